//! PDF by pdf-extract, as lines of text. Runs in the child only: the reader is not written for hostile files, and panics,
//! recurses or loops on some.

use mail_order_domain::{Content, ObstacleCode};
use pdf_extract::{Error, OutputError, extract_text_from_mem};

/// The text of a document.
///
/// # Errors
/// It is no PDF, needs a password, or has no text.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Content>, ObstacleCode> {
    let text = extract_text_from_mem(bytes).map_err(|error| match error {
        OutputError::PdfError(Error::Decryption(_)) => ObstacleCode::Encrypted,
        _ => ObstacleCode::Unreadable,
    })?;
    if text.trim().is_empty() { Err(ObstacleCode::NoText) } else { Ok(vec![Content::Text(text)]) }
}
