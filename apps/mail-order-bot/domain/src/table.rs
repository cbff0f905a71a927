//! What was taken out of a mail, before anyone asks what it means: tables and text.

use serde::{Deserialize, Serialize};

use crate::number::Decimal;

/// A piece of a mail that may hold an order: its text, or one attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What the customer calls it: a file name, or nothing for the mail's own text.
    pub name: Option<String>,
    /// Its parts in order; a workbook has one for each sheet.
    pub contents: Vec<Content>,
}

impl Document {
    /// A document of one table.
    #[must_use]
    pub fn table(name: &str, table: Table) -> Self {
        Self { name: Some(name.to_owned()), contents: vec![Content::Table(table)] }
    }

    /// The text of the mail itself.
    #[must_use]
    pub fn mail_text(text: &str) -> Self {
        Self { name: None, contents: vec![Content::Text(text.to_owned())] }
    }
}

/// One part of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Rows of cells.
    Table(Table),
    /// Lines of text.
    Text(String),
}

/// Rows of cells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The sheet's name, when the document has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

impl Table {
    /// A table of text cells, numbered from one.
    #[must_use]
    pub fn from_text(rows: &[&[&str]]) -> Self {
        let rows = rows.iter().zip(1..).map(|(cells, number)| Row {
            number,
            cells: cells.iter().map(|text| Cell::text(text)).collect(),
        });
        Self { sheet: None, rows: rows.collect() }
    }
}

/// One row, numbered as its reader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The line or row number in the document, from one.
    pub number: u32,
    /// From the first column on, so that a cell's place is its column.
    pub cells: Vec<Cell>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Nothing, or blanks only.
    Empty,
    /// Text as written.
    Text(String),
    /// A number whose value the document states, so that no notation needs to be guessed.
    Number(Decimal),
}

impl Cell {
    /// A text cell, or an empty one when there is nothing but blanks.
    #[must_use]
    pub fn text(text: &str) -> Self {
        match text.trim() {
            "" => Self::Empty,
            text => Self::Text(text.to_owned()),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::Empty
    }

    /// What a reader sees.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        }
    }
}
