//! Workbooks are zip archives, and a small archive may unpack to anything. What it *says* it unpacks to is checked before
//! it is opened at all; what it *really* unpacks to is checked in the child before the reader sees it.

use std::io::{Cursor, Read, sink};

use mail_order_domain::ObstacleCode;
use zip::ZipArchive;
use zip::result::ZipError;

/// Most bytes an archive may unpack to.
pub const MAX_EXPANDED_BYTES: u64 = 48 * 1024 * 1024;
/// Most entries an archive may have.
const MAX_ENTRIES: usize = 1_000;

/// The kind of workbook an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workbook {
    /// Office Open XML.
    Xlsx,
    /// OpenDocument.
    Ods,
}

/// Reads an archive's directory and nothing else: what workbook it is, if it is one.
///
/// # Errors
/// It says that it is too large, needs a password, or cannot be read.
pub fn check_declared(bytes: &[u8]) -> Result<Option<Workbook>, ObstacleCode> {
    let mut archive = open(bytes)?;
    let mut expanded = 0_u64;
    let mut workbook = None;
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(|error| obstacle_of(&error))?;
        if entry.encrypted() {
            return Err(ObstacleCode::Encrypted);
        }
        expanded = expanded.saturating_add(entry.size());
        match entry.name().map_err(|error| obstacle_of(&error))?.as_ref() {
            "xl/workbook.xml" => workbook = Some(Workbook::Xlsx),
            "content.xml" => workbook = workbook.or(Some(Workbook::Ods)),
            _ => {}
        }
    }
    if expanded > MAX_EXPANDED_BYTES { Err(ObstacleCode::ExpansionLimit) } else { Ok(workbook) }
}

/// Unpacks every entry into nothing and counts.
///
/// # Errors
/// As [`check_declared`].
pub fn check_actual(bytes: &[u8]) -> Result<(), ObstacleCode> {
    let mut archive = open(bytes)?;
    let mut left = MAX_EXPANDED_BYTES;
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(|error| obstacle_of(&error))?;
        let unpacked =
            std::io::copy(&mut entry.take(left + 1), &mut sink()).map_err(|_| ObstacleCode::Unreadable)?;
        left = left.checked_sub(unpacked).ok_or(ObstacleCode::ExpansionLimit)?;
    }
    Ok(())
}

fn open(bytes: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>, ObstacleCode> {
    let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| obstacle_of(&error))?;
    if archive.len() > MAX_ENTRIES { Err(ObstacleCode::ExpansionLimit) } else { Ok(archive) }
}

fn obstacle_of(error: &ZipError) -> ObstacleCode {
    match error {
        ZipError::UnsupportedArchive(why) if *why == ZipError::PASSWORD_REQUIRED => ObstacleCode::Encrypted,
        _ => ObstacleCode::Unreadable,
    }
}
