//! What SQLite says, in the words of the port.

use runtime_core::store::StoreError;
use rusqlite::ErrorCode as Sqlite;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// A failure that undoes a whole group.
#[derive(Debug, Clone)]
pub(super) struct Fault(pub(super) StoreError);

impl Fault {
    /// What was read cannot have been written by us.
    pub(super) fn corrupt(detail: impl Into<String>) -> Self {
        Self(StoreError::Corrupt { detail: detail.into() })
    }

    /// Whether every other member of the group would meet it as well.
    pub(super) fn concerns_all(&self) -> bool {
        !matches!(self.0, StoreError::Unavailable { .. })
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let detail = error.to_string();
        let rusqlite::Error::SqliteFailure(cause, _) = &error else {
            return Self(match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => StoreError::Corrupt { detail },
                _ => StoreError::Unavailable { detail },
            });
        };
        Self(match cause.code {
            Sqlite::DiskFull => StoreError::Full,
            // The shared-memory file could not grow: on a full disk this comes before the write-ahead log notices.
            Sqlite::SystemIoFailure if cause.extended_code == SQLITE_IOERR_SHMSIZE => StoreError::Full,
            Sqlite::ReadOnly | Sqlite::CannotOpen | Sqlite::PermissionDenied => {
                StoreError::ReadOnly { detail }
            }
            Sqlite::DatabaseCorrupt | Sqlite::NotADatabase => StoreError::Corrupt { detail },
            _ => StoreError::Unavailable { detail },
        })
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        fault.0
    }
}
