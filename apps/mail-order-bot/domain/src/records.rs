//! The small text format of the shop's own files: one record a line, fields parted by `;`, the first line naming them,
//! `#` for remarks. Every mistake in a file is reported at once, each with its line and column.

use std::fmt;

/// The shop's files could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ShopError {
    /// Every mistake, in the order of the files.
    pub problems: Vec<FileProblem>,
}

/// One problem a line, ready for a terminal.
impl fmt::Display for ShopError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            write!(out, "{}{problem}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// One mistake in one of the shop's files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}, column {column}: {why}")]
pub struct FileProblem {
    /// `catalogue` or `customers`.
    pub file: &'static str,
    /// From one.
    pub line: u32,
    /// The character the bad field begins at, from one.
    pub column: u32,
    /// What is wrong with it.
    pub why: String,
}

/// A record with as many fields as the format has names.
pub(crate) struct Record<'a, const N: usize> {
    pub(crate) fields: [(&'a str, Place); N],
}

/// Where a field begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    line: u32,
    column: u32,
}

/// Reads a file record by record and gathers what is wrong with it.
pub(crate) struct RecordReader {
    file: &'static str,
    pub(crate) problems: Vec<FileProblem>,
}

impl RecordReader {
    pub(crate) fn new(file: &'static str) -> Self {
        Self { file, problems: Vec::new() }
    }

    pub(crate) fn complain(&mut self, at: Place, why: impl Into<String>) {
        let Place { line, column } = at;
        self.problems.push(FileProblem { file: self.file, line, column, why: why.into() });
    }

    /// The records below the line that names the fields. A record of the wrong width is reported and left out.
    pub(crate) fn read<'a, const N: usize>(&mut self, text: &'a str, names: [&str; N]) -> Vec<Record<'a, N>> {
        let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().zip(1..);
        let mut lines =
            lines.filter(|(line, _)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        let start = Place { line: 1, column: 1 };
        let Some((heading, line)) = lines.next() else {
            self.complain(start, format!("the file is empty, expected the line {}", names.join(";")));
            return Vec::new();
        };
        if let Some(heading) = self.record::<N>(heading, line) {
            for ((found, at), name) in heading.fields.into_iter().zip(names) {
                if found != name {
                    self.complain(at, format!("the field is named {found:?}, expected {name:?}"));
                }
            }
        }
        lines.filter_map(|(text, line)| self.record(text, line)).collect()
    }

    fn record<'a, const N: usize>(&mut self, text: &'a str, line: u32) -> Option<Record<'a, N>> {
        let found: Vec<_> = fields(text, line).collect();
        let count = found.len();
        match <[_; N]>::try_from(found) {
            Ok(fields) => Some(Record { fields }),
            Err(found) => {
                let at = found.last().map_or(Place { line, column: 1 }, |field| field.1);
                self.complain(at, format!("{count} fields, expected {N}"));
                None
            }
        }
    }
}

fn fields(text: &str, line: u32) -> impl Iterator<Item = (&str, Place)> {
    let mut column = 1;
    text.split(';').map(move |field| {
        let blanks = field.chars().take_while(|c| c.is_whitespace()).count();
        let place = Place { line, column: column + u32::try_from(blanks).unwrap_or(0) };
        column += u32::try_from(field.chars().count()).unwrap_or(0) + 1;
        (field.trim(), place)
    })
}
