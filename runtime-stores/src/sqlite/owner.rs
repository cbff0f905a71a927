//! One owner at a time: a lock on a file of its own beside the database.
//!
//! The system frees the lock when the process ends, however it ends. The text in the file is for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use runtime_core::name::InstanceName;
use runtime_core::store::StoreError;

/// Ownership of a store; given up when dropped.
#[derive(Debug)]
pub(super) struct OwnerLock {
    _file: File,
}

impl OwnerLock {
    pub(super) fn take(database: &Path, instance: &InstanceName) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let read_only =
            |error: std::io::Error| StoreError::ReadOnly { detail: format!("{}: {error}", path.display()) };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(super::open::MODE)
            .open(&path)
            .map_err(read_only)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // The text is a courtesy: without it the answer is the same.
                let _ = file.read_to_string(&mut owner);
                let owner =
                    if owner.trim().is_empty() { "unknown".to_owned() } else { owner.trim().to_owned() };
                return Err(StoreError::Owned { owner });
            }
            Err(TryLockError::Error(error)) => return Err(read_only(error)),
        }
        let note = || -> std::io::Result<()> {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "instance {instance}, process {}", std::process::id())
        };
        // A full disk must not keep the owner from opening: it has to open to make room.
        let mut note = note;
        if let Err(error) = note() {
            tracing::warn!(%error, "the owner could not be noted in the lock file");
        }
        Ok(Self { _file: file })
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}
