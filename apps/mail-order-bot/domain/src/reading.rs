//! From documents to drafts: which table or which lines of text claim to order something.

mod header;
mod line;
mod quote;
mod table;
mod text;

pub use self::header::Column;
pub(crate) use self::quote::{is_reply, own_words};
use crate::draft::{LineRef, OrderDraft};
use crate::problem::{LineProblem, ProblemKind};
use crate::table::{Content, Document};

/// What a document says about orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentReading {
    /// The lines it claims to order; none when it claims nothing.
    pub draft: OrderDraft,
    /// Tables that would order something if they had one column more.
    pub missing_columns: Vec<LineProblem>,
    /// Whether all its lines come from running text, where articles may be mentioned without being asked for.
    pub is_running_text: bool,
}

/// Reads a document.
#[must_use]
pub fn read_document(document: &Document) -> DocumentReading {
    let mut reading = DocumentReading { is_running_text: true, ..DocumentReading::default() };
    for content in &document.contents {
        let mut at = Place { document: document.name.as_deref(), sheet: None };
        match content {
            Content::Table(table) => {
                at.sheet = table.sheet.as_deref();
                match table::read(table, at) {
                    table::TableReading::Draft(draft) => {
                        reading.is_running_text = false;
                        reading.draft.append(draft);
                    }
                    table::TableReading::MissingColumn { needed, line } => {
                        reading.is_running_text = false;
                        let kind = ProblemKind::MissingColumn { needed };
                        let at = at.line(line);
                        reading.missing_columns.push(LineProblem { at, column: None, sku: None, kind });
                    }
                    table::TableReading::Nothing => {}
                }
            }
            Content::Text(text) => {
                let text = text::read(text, at);
                reading.is_running_text &= !text.has_table;
                reading.draft.append(text.draft);
            }
        }
    }
    reading
}

/// The document, and the part of it, that is being read.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    document: Option<&'a str>,
    sheet: Option<&'a str>,
}

impl Place<'_> {
    fn line(self, line: u32) -> LineRef {
        LineRef { document: self.document.map(str::to_owned), sheet: self.sheet.map(str::to_owned), line }
    }
}
