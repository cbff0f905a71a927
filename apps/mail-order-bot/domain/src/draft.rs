//! What a document claims, field by field as written, with the place of every claim so that a reply can point at it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::number::DecimalMark;
use crate::table::Cell;

/// The order lines a document seems to hold, before anybody checked them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderDraft {
    /// The lines in their order.
    pub lines: Vec<DraftLine>,
    /// The totals the document states for its lines.
    pub totals: Vec<(LineRef, Field)>,
    /// The language its headings are in.
    pub language: Option<Language>,
    /// How it writes decimals, where its own numbers or its language tell.
    pub decimal_mark: Option<DecimalMark>,
}

impl OrderDraft {
    /// Takes the lines of another part of the same document. Where the parts write decimals differently, neither way
    /// is taken for granted.
    pub(crate) fn append(&mut self, part: Self) {
        if self.lines.is_empty() && self.totals.is_empty() {
            *self = part;
            return;
        }
        if self.decimal_mark != part.decimal_mark {
            self.decimal_mark = None;
        }
        self.lines.extend(part.lines);
        self.totals.extend(part.totals);
        self.language = self.language.or(part.language);
    }
}

/// One claimed line. A field that is missing was not written at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftLine {
    /// Where it stands.
    pub at: LineRef,
    /// Article code.
    pub sku: Option<Field>,
    /// Quantity, perhaps with its unit (`10 Stk`).
    pub quantity: Option<Field>,
    /// Unit.
    pub unit: Option<Field>,
    /// Price of one unit.
    pub price: Option<Field>,
    /// Price of the line.
    pub total: Option<Field>,
}

impl DraftLine {
    /// A line with nothing on it yet.
    #[must_use]
    pub fn at(at: LineRef) -> Self {
        Self { at, sku: None, quantity: None, unit: None, price: None, total: None }
    }
}

/// One claim and the column it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What is written.
    pub cell: Cell,
    /// The column, when the claim comes from a table.
    pub column: Option<ColumnRef>,
}

/// A line of a document, as the customer would find it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LineRef {
    /// The document's name; `None` is the text of the mail.
    pub document: Option<String>,
    /// The sheet, when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// Line or row, from one.
    pub line: u32,
}

/// A column of a table, as the customer would find it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColumnRef {
    /// From one.
    pub number: u32,
    /// What its heading says.
    pub title: String,
}

/// `C "Menge"`: the letter that spreadsheets show, and the heading.
impl fmt::Display for ColumnRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = Vec::new();
        let mut rest = self.number;
        while rest > 0 {
            letters.push(char::from(b'A' + ((rest - 1) % 26) as u8));
            rest = (rest - 1) / 26;
        }
        let letters: String = letters.into_iter().rev().collect();
        write!(out, "{letters} \"{}\"", self.title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_named_as_spreadsheets_name_it() {
        for (number, expected) in [(1, "A"), (26, "Z"), (27, "AA"), (703, "AAA")] {
            let column = ColumnRef { number, title: "Qty".into() };
            assert_eq!(column.to_string(), format!("{expected} \"Qty\""));
        }
    }
}
