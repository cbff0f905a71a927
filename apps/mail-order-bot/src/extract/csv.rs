//! Comma separated values, whatever the comma is. Read in process: it is text, its size is limited, and reading it takes
//! no more memory than a small multiple of that.

use csv::ReaderBuilder;
use mail_order_domain::{Cell, ObstacleCode, Row, Table};

use super::charset;

const DELIMITERS: [u8; 4] = [b';', b',', b'\t', b'|'];
/// How many lines are looked at to find the delimiter.
const SAMPLE_LINES: usize = 50;

/// Most cells a table may have; an order has a few thousand.
const MAX_CELLS: usize = 200_000;

/// Reads bytes as a table.
///
/// # Errors
/// They are not text, or hold more cells than an order can have.
pub(super) fn read(bytes: &[u8], declared_charset: Option<&str>) -> Result<Table, ObstacleCode> {
    let text = charset::decode(bytes, declared_charset);
    if text.contains('\0') {
        return Err(ObstacleCode::Unreadable);
    }
    let mut rows = records(&text, delimiter(&text))?;
    // `sep=;` on the first line is for Excel, and counts as a line.
    rows.retain(|row| {
        !matches!(row.cells.first(), Some(Cell::Text(text)) if row.number == 1 && text.starts_with("sep="))
    });
    Ok(Table { sheet: None, rows })
}

/// The rows that are not blank.
fn records(text: &str, delimiter: u8) -> Result<Vec<Row>, ObstacleCode> {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let (mut line, mut counted) = (1_u32, 0);
    let (mut rows, mut cells) = (Vec::new(), 0);
    for record in reader.records().filter_map(Result::ok) {
        // The reader's own position lies before the line ends that it skipped.
        let begin = record.position().map_or(counted, |position| position.byte() as usize);
        let blank = text[begin..].bytes().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line += text[counted..begin + blank].bytes().map(|byte| u32::from(byte == b'\n')).sum::<u32>();
        counted = begin + blank;
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        cells += record.len();
        if cells > MAX_CELLS {
            return Err(ObstacleCode::ExtractOutput);
        }
        rows.push(Row { number: line, cells: record.iter().map(Cell::text).collect() });
    }
    Ok(rows)
}

/// The delimiter that parts most lines into the same number of fields, more than one. `,` may be a decimal mark, so
/// another that does as well comes first.
fn delimiter(text: &str) -> u8 {
    if let Some(named) = text.strip_prefix("sep=").and_then(|rest| rest.bytes().next()) {
        return named;
    }
    let sample: String = text.split_inclusive('\n').take(SAMPLE_LINES).collect();
    let score = |delimiter: u8| {
        let widths: Vec<_> =
            records(&sample, delimiter).unwrap_or_default().iter().map(|row| row.cells.len()).collect();
        let same = |width: usize| widths.iter().filter(|other| **other == width).count();
        widths.iter().filter(|width| **width > 1).map(|width| (same(*width), *width)).max()
    };
    let mut best = (b';', score(b';'));
    for other in DELIMITERS {
        let score = score(other);
        if score > best.1 {
            best = (other, score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> Vec<String> {
        let rows = read(bytes, None).expect("text").rows;
        rows.iter().map(|row| row.cells.iter().map(Cell::shown).collect::<Vec<_>>().join("/")).collect()
    }

    #[test]
    fn the_delimiter_is_found() {
        assert_eq!(
            shown(b"SKU;Qty;Price\nTEA-100;10;3,50\nMUG-200;4;8,90\n"),
            ["SKU/Qty/Price", "TEA-100/10/3,50", "MUG-200/4/8,90"]
        );
        assert_eq!(shown(b"SKU,Qty\nTEA-100,10\n"), ["SKU/Qty", "TEA-100/10"]);
        assert_eq!(shown(b"SKU\tQty\nTEA-100\t10\n"), ["SKU/Qty", "TEA-100/10"]);
        assert_eq!(shown(b"SKU|Qty|Price\nTEA-100|10|3,50"), ["SKU/Qty/Price", "TEA-100/10/3,50"]);
        assert_eq!(shown(b"sep=,\nSKU,Qty\nTEA-100,10"), ["SKU/Qty", "TEA-100/10"]);
    }

    #[test]
    fn quoted_fields_may_hold_delimiters_and_lines() {
        let table = read(b"SKU;Name;Qty\r\n\r\nTEA-100;\"Tea; green\nlarge\";10\r\nMUG-200;Mug;4\r\n", None);
        let rows = table.expect("text").rows;
        assert_eq!(
            rows.iter().map(|row| row.number).collect::<Vec<_>>(),
            [1, 3, 5],
            "line numbers as an editor shows"
        );
        assert_eq!(rows[1].cells[1].shown(), "Tea; green\nlarge");
    }

    #[test]
    fn a_table_has_no_more_cells_than_an_order_can_have() {
        let wide = [b"a".as_slice(), &vec![b';'; 1 << 20]].concat();
        assert_eq!(read(&wide, None), Err(ObstacleCode::ExtractOutput));
        assert_eq!(
            read(&vec![b';'; 1 << 20], None).map(|table| table.rows.len()),
            Ok(0),
            "blank rows do not count"
        );
    }

    #[test]
    fn binary_is_not_text() {
        assert_eq!(read(b"PK\x03\x04\0\0\0\0\x08", None), Err(ObstacleCode::Unreadable));
    }
}
