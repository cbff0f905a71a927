//! Tables for people.

/// Columns as wide as their widest cell; numbers to the right.
pub(super) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headers[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let is_number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let line = |cells: Vec<&str>| {
        let mut line = String::from(" ");
        for (cell, width) in cells.iter().zip(&widths) {
            if is_number(cell) {
                line.push_str(&format!(" {cell:>width$} "));
            } else {
                line.push_str(&format!(" {cell:<width$} "));
            }
        }
        format!("{}\n", line.trim_end())
    };
    let mut text = line(headers.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// What was checked, and whether it holds.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) failed: u64,
}

impl Checks {
    /// Says whether it holds.
    pub(super) fn check(&mut self, holds: bool, what: &str) {
        println!("  [{}] {what}", if holds { "ok" } else { "FAILED" });
        self.failed += u64::from(!holds);
    }
}
