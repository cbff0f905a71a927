//! XLSX and ODS by calamine. Runs in the child only.

use std::io::Cursor;

use calamine::{Data, Ods, OdsError, Range, Reader, Xlsx, XlsxError};
use mail_order_domain::{Cell, Content, Decimal, ObstacleCode, Row, Table};

use super::expansion::{self, Workbook};

/// The sheets of a workbook, one table each.
///
/// # Errors
/// It is no such workbook, needs a password, or unpacks to too much.
pub(super) fn read(bytes: &[u8], kind: Workbook) -> Result<Vec<Content>, ObstacleCode> {
    expansion::check_actual(bytes)?;
    let bytes = Cursor::new(bytes);
    let sheets = match kind {
        Workbook::Xlsx => {
            let mut book: Xlsx<_> = Xlsx::new(bytes).map_err(|error| match error {
                XlsxError::Password => ObstacleCode::Encrypted,
                _ => ObstacleCode::Unreadable,
            })?;
            sheets(&mut book)
        }
        Workbook::Ods => {
            let mut book: Ods<_> = Ods::new(bytes).map_err(|error| match error {
                OdsError::Password => ObstacleCode::Encrypted,
                _ => ObstacleCode::Unreadable,
            })?;
            sheets(&mut book)
        }
    }?;
    let several = sheets.len() > 1;
    let table = |(name, rows)| Content::Table(Table { sheet: several.then_some(name), rows });
    Ok(sheets.into_iter().map(table).collect())
}

fn sheets<'a, R: Reader<Cursor<&'a [u8]>>>(book: &mut R) -> Result<Vec<(String, Vec<Row>)>, ObstacleCode> {
    let mut sheets = Vec::new();
    for name in book.sheet_names() {
        let range = book.worksheet_range(&name).map_err(|_| ObstacleCode::Unreadable)?;
        let rows = rows(&range);
        if !rows.is_empty() {
            sheets.push((name, rows));
        }
    }
    Ok(sheets)
}

/// The rows that are not blank, numbered and placed as the sheet shows them.
fn rows(range: &Range<Data>) -> Vec<Row> {
    let (first_row, first_column) = range.start().unwrap_or_default();
    let numbered = (first_row + 1..).zip(range.rows());
    let row = |(number, cells): (u32, &[Data])| {
        let mut placed = vec![Cell::Empty; first_column as usize];
        placed.extend(cells.iter().map(cell));
        while placed.last().is_some_and(Cell::is_empty) {
            placed.pop();
        }
        Row { number, cells: placed }
    };
    numbered.map(row).filter(|row| !row.cells.is_empty()).collect()
}

fn cell(data: &Data) -> Cell {
    match data {
        Data::Empty => Cell::Empty,
        Data::Int(value) => Cell::Number(Decimal::whole(*value)),
        Data::Float(value) => {
            Decimal::from_spreadsheet(*value).map_or_else(|| Cell::text(&value.to_string()), Cell::Number)
        }
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => Cell::text(text),
        Data::Bool(value) => Cell::text(&value.to_string()),
        Data::DateTime(value) => Cell::text(&value.to_string()),
        Data::Error(error) => Cell::text(&error.to_string()),
    }
}
