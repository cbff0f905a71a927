//! Tables: find the headings, then take each row below them as a line.

use super::header::{Column, Header, says_total};
use super::{Place, line};
use crate::draft::{ColumnRef, DraftLine, Field, OrderDraft};
use crate::number::{Decimal, DecimalMark};
use crate::table::{Cell, Row, Table};

/// How far down the headings may stand; above them there may be a letterhead.
const HEADER_WITHIN: usize = 40;

pub(super) enum TableReading {
    Draft(OrderDraft),
    MissingColumn { needed: Column, line: u32 },
    Nothing,
}

pub(super) fn read(table: &Table, at: Place<'_>) -> TableReading {
    let mut incomplete = None;
    for (index, row) in table.rows.iter().enumerate().take(HEADER_WITHIN) {
        let header = Header::read(&row.cells);
        let needed = match (header.place(Column::Sku), header.place(Column::Quantity)) {
            (Some(_), Some(_)) => {
                return TableReading::Draft(below(row, &header, &table.rows[index + 1..], at));
            }
            (Some(_), None) => Column::Quantity,
            (None, Some(_)) => Column::Sku,
            (None, None) => continue,
        };
        if header.known > 1 {
            incomplete.get_or_insert(TableReading::MissingColumn { needed, line: row.number });
        }
    }
    if let Some(incomplete) = incomplete {
        return incomplete;
    }
    let draft = without_header(&table.rows, at);
    if draft.lines.is_empty() { TableReading::Nothing } else { TableReading::Draft(draft) }
}

/// The rows below a row of headings.
pub(super) fn below(titles: &Row, header: &Header, rows: &[Row], at: Place<'_>) -> OrderDraft {
    let mut draft = OrderDraft { language: header.language, ..OrderDraft::default() };
    let field = |row: &Row, column| {
        let place = header.place(column)?;
        let cell = row.cells.get(place).filter(|cell| !cell.is_empty())?.clone();
        let number = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let title = titles.cells.get(place).map(Cell::shown).unwrap_or_default();
        Some(Field { cell, column: Some(ColumnRef { number, title }) })
    };
    for row in rows.iter().filter(|row| row.cells != titles.cells) {
        let line = DraftLine {
            at: at.line(row.number),
            sku: field(row, Column::Sku),
            quantity: field(row, Column::Quantity),
            unit: field(row, Column::Unit),
            price: field(row, Column::Price),
            total: field(row, Column::Total),
        };
        match total_of(row, &line) {
            Some(total) => draft.totals.push((line.at, total)),
            None if line.sku.is_some() || line.quantity.is_some() => {
                draft.lines.push(with_blanks(line, titles, header))
            }
            // A row with neither article nor quantity is a remark.
            None => {}
        }
    }
    draft.decimal_mark = decimal_mark(&draft);
    draft
}

/// A row that says it is a total, and the last amount on it.
fn total_of(row: &Row, line: &DraftLine) -> Option<Field> {
    let says = row.cells.iter().any(|cell| matches!(cell, Cell::Text(text) if says_total(text)));
    let is_amount = |cell: &&Cell| match cell {
        Cell::Empty => false,
        Cell::Number(_) => true,
        Cell::Text(text) => text.bytes().any(|b| b.is_ascii_digit()),
    };
    if !says || line.quantity.is_some() && line.sku.is_some() {
        return None;
    }
    let cell = row.cells.iter().rfind(is_amount)?.clone();
    Some(Field { cell, column: None })
}

/// A blank cell still has a column to be pointed at.
fn with_blanks(mut line: DraftLine, titles: &Row, header: &Header) -> DraftLine {
    let blank = |column| {
        let place = header.place(column)?;
        let number = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let title = titles.cells.get(place).map(Cell::shown).unwrap_or_default();
        Some(Field { cell: Cell::Empty, column: Some(ColumnRef { number, title }) })
    };
    line.sku = line.sku.or_else(|| blank(Column::Sku));
    line.quantity = line.quantity.or_else(|| blank(Column::Quantity));
    line
}

/// How the document writes decimals: its own unambiguous numbers decide; where they disagree nothing does; where there
/// are none its language does.
pub(super) fn decimal_mark(draft: &OrderDraft) -> Option<DecimalMark> {
    let lines = draft.lines.iter().flat_map(|line| [&line.quantity, &line.price, &line.total]).flatten();
    let fields = lines.chain(draft.totals.iter().map(|(_, field)| field));
    let mut marks = fields.filter_map(|field| match &field.cell {
        Cell::Text(text) => Decimal::evidence(
            text.trim_matches(|c: char| c.is_alphabetic() || c.is_whitespace() || "€$£".contains(c)),
        ),
        Cell::Empty | Cell::Number(_) => None,
    });
    match marks.next() {
        Some(first) => marks.all(|mark| mark == first).then_some(first),
        None => draft.language.map(|language| language.decimal_mark()),
    }
}

/// Rows without headings are read as lines of text: `TEA-100;10;pcs`.
fn without_header(rows: &[Row], at: Place<'_>) -> OrderDraft {
    let mut draft = OrderDraft::default();
    for row in rows {
        let text: Vec<_> = row.cells.iter().map(Cell::shown).filter(|text| !text.is_empty()).collect();
        draft.lines.extend(line::read(&text.join(" "), &at.line(row.number)));
    }
    draft.decimal_mark = decimal_mark(&draft);
    draft
}
