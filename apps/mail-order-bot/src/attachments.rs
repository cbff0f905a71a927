//! Which attachments may hold an order, decided without opening one: by their first bytes, their names, their number,
//! their size, and by what an archive says it unpacks to.

use mail_order_domain::{Obstacle, ObstacleCode};

use crate::extract::Format;
use crate::extract::expansion::{self, Workbook};
use crate::mime::Attachment;

/// Most attachments of a mail that are read.
const MAX_CANDIDATES: usize = 8;
/// Most bytes of one.
const MAX_BYTES: usize = 5 * 1024 * 1024;

/// An attachment that will be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// How to read it.
    pub format: Format,
    /// The character set its sender declared.
    pub charset: Option<String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Every attachment's fate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those to be read, in their order.
    pub candidates: Vec<Candidate>,
    /// Those that might have held an order and will not be read.
    pub obstacles: Vec<Obstacle>,
    /// Those that cannot hold one: a sentence each.
    pub notes: Vec<String>,
}

/// What an attachment is.
enum Kind {
    Readable(Format),
    Obstacle(ObstacleCode),
    /// Pictures, cards, calendars, signatures.
    Irrelevant,
}

/// Chooses the attachments that are read.
#[must_use]
pub fn choose(attachments: Vec<Attachment>) -> Selection {
    let mut selection = Selection::default();
    for attachment in attachments {
        let name = attachment.name.clone();
        let mut refuse = |code| selection.obstacles.push(Obstacle { attachment: name.clone(), code });
        match kind_of(&attachment) {
            Kind::Irrelevant => {
                selection.notes.push(format!("{name} ({}) was not looked at", attachment.media_type));
            }
            Kind::Obstacle(code) => refuse(code),
            Kind::Readable(_) if selection.candidates.len() == MAX_CANDIDATES => {
                refuse(ObstacleCode::TooMany)
            }
            Kind::Readable(format) => {
                let Attachment { name, charset, bytes, .. } = attachment;
                selection.candidates.push(Candidate { name, format, charset, bytes });
            }
        }
    }
    selection
}

fn kind_of(attachment: &Attachment) -> Kind {
    let claimed = claimed_kind(attachment);
    let claims_document = matches!(claimed, Kind::Readable(_));
    if claims_document && attachment.damaged {
        return Kind::Obstacle(ObstacleCode::Unreadable);
    }
    if claims_document && attachment.bytes.len() > MAX_BYTES {
        return Kind::Obstacle(ObstacleCode::TooLarge);
    }
    match (claimed, content_kind(&attachment.bytes)) {
        (Kind::Readable(Format::Csv | Format::Text), None) => claimed_kind(attachment),
        // A workbook or PDF by name, but not by its bytes.
        (Kind::Readable(_), None) => Kind::Obstacle(ObstacleCode::Unreadable),
        (Kind::Readable(_), Some(Kind::Irrelevant)) => Kind::Obstacle(ObstacleCode::Unreadable),
        (Kind::Readable(_), Some(found)) => found,
        // An archive that nobody calls a workbook is one only if it holds one.
        (Kind::Irrelevant, Some(Kind::Readable(format))) if attachment.bytes.len() <= MAX_BYTES => {
            Kind::Readable(format)
        }
        (claimed, _) => claimed,
    }
}

/// What the name and the media type say.
fn claimed_kind(attachment: &Attachment) -> Kind {
    let extension = attachment.name.rsplit_once('.').map(|(_, end)| end.to_lowercase()).unwrap_or_default();
    match (extension.as_str(), attachment.media_type.as_str()) {
        ("csv" | "tsv", _) | (_, "text/csv" | "text/tab-separated-values") => Kind::Readable(Format::Csv),
        ("xlsx" | "xlsm", _) | (_, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet") => {
            Kind::Readable(Format::Xlsx)
        }
        ("ods", _) | (_, "application/vnd.oasis.opendocument.spreadsheet") => Kind::Readable(Format::Ods),
        ("pdf", _) | (_, "application/pdf") => Kind::Readable(Format::Pdf),
        (
            "gz" | "xls" | "doc" | "docx" | "odt" | "rtf" | "xml" | "json" | "zip" | "7z" | "rar" | "xlsb"
            | "pages" | "numbers",
            _,
        ) => Kind::Obstacle(ObstacleCode::Unsupported),
        (_, "application/ms-tnef" | "application/vnd.ms-tnef") => Kind::Obstacle(ObstacleCode::Unsupported),
        ("txt", _) | (_, "text/plain") => Kind::Readable(Format::Text),
        // A container whose parts cannot be told apart.
        (_, media_type) if media_type.starts_with("multipart/") => Kind::Obstacle(ObstacleCode::Unreadable),
        _ => Kind::Irrelevant,
    }
}

/// What the bytes say, if they say anything.
fn content_kind(bytes: &[u8]) -> Option<Kind> {
    const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Some(match expansion::check_declared(bytes) {
            Ok(Some(Workbook::Xlsx)) => Kind::Readable(Format::Xlsx),
            Ok(Some(Workbook::Ods)) => Kind::Readable(Format::Ods),
            Ok(None) => Kind::Irrelevant,
            Err(code) => Kind::Obstacle(code),
        });
    }
    if bytes.starts_with(OLE) {
        // Office keeps a workbook with a password inside its older container.
        let mark: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let encrypted = bytes.windows(mark.len()).any(|window| window == mark);
        let code = if encrypted { ObstacleCode::Encrypted } else { ObstacleCode::Unsupported };
        return Some(Kind::Obstacle(code));
    }
    let head = &bytes[..bytes.len().min(1024)];
    let is_pdf = head.windows(5).any(|window| window == b"%PDF-");
    is_pdf.then_some(Kind::Readable(Format::Pdf))
}
