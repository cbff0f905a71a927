//! A folder in Maildir format: `tmp`, `new` and `cur`. Everything here touches the disk and may block.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// Bytes of the longest unique part that is used as it is.
const LONGEST: usize = 180;

/// A Maildir. Any number of processes may use it at a time.
#[derive(Debug, Clone)]
pub struct Maildir {
    path: PathBuf,
}

/// A mail in `new` or `cur`.
pub(super) struct Entry {
    /// What stays of its name when flags change, as text.
    pub(super) unique: String,
    pub(super) path: PathBuf,
    /// In `new`, or in `cur` and neither seen (`S`) nor trashed (`T`).
    pub(super) unread: bool,
}

impl Maildir {
    /// Makes the folder with all that belongs to it, or completes one that is there.
    ///
    /// # Errors
    /// What the system said.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        for part in ["tmp", "new", "cur"] {
            fs::create_dir_all(path.join(part))?;
        }
        Ok(Self { path })
    }

    /// A Maildir that is there already.
    ///
    /// # Errors
    /// When the folder, or its `new` or `cur`, is missing or no folder.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        for part in ["new", "cur"] {
            if !fs::metadata(path.join(part))?.is_dir() {
                return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{part} is no folder")));
            }
        }
        Ok(Self { path })
    }

    /// The folder `.name` inside, made when it is missing: what mail programs show as a folder beside the inbox.
    ///
    /// # Errors
    /// What the system said.
    pub fn folder(&self, name: &str) -> io::Result<Self> {
        let folder = Self::create(self.path.join(format!(".{name}")))?;
        File::create(folder.path.join("maildirfolder"))?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Delivers a mail: it appears in `new` complete and on disk, or not at all. Returns the unique part of its name,
    /// which sorts by time of delivery.
    ///
    /// # Errors
    /// What the system said.
    pub fn deliver(&self, raw: &[u8]) -> io::Result<String> {
        static DELIVERED: AtomicU64 = AtomicU64::new(0);
        static RANDOM: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("maildir"));
        let delivered = DELIVERED.fetch_add(1, Ordering::Relaxed);
        let own = format!("P{}Q{delivered}R{:016x}", std::process::id(), *RANDOM);

        let draft = self.path.join("tmp").join(&own);
        let mut file = File::create_new(&draft)?;
        let delivery = (|| {
            file.write_all(raw)?;
            file.sync_all()?;
            // The time of the file system that orders the mails, also when several machines deliver to it.
            let since = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let unique = format!("{}.M{:06}{own}", since.as_secs(), since.subsec_micros());
            fs::rename(&draft, self.path.join("new").join(&unique))?;
            Ok(unique)
        })();
        if delivery.is_err() {
            // What cannot be removed stays in `tmp`, where nobody reads it.
            let _ = fs::remove_file(&draft);
        }
        File::open(self.path.join("new"))?.sync_all()?;
        delivery
    }

    /// All mails, in order of their names.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        // In this order: a mail that moves from `new` to `cur` meanwhile is seen at least once.
        for part in ["new", "cur"] {
            for file in fs::read_dir(self.path.join(part))? {
                let file = file?;
                let name = file.file_name();
                // An entry without a type has vanished meanwhile.
                if name.as_bytes().starts_with(b".") || !file.file_type().is_ok_and(|kind| kind.is_file()) {
                    continue;
                }
                let (unique, flags) = split(&name);
                let handled = part == "cur" && flags.iter().any(|flag| matches!(flag, b'S' | b'T'));
                entries.push(Entry { unique: as_text(unique), path: file.path(), unread: !handled });
            }
        }
        entries.sort_by(|a, b| a.unique.cmp(&b.unique));
        Ok(entries)
    }

    /// Moves a mail here, into `cur`, as seen. False when there is none at `from`. Never replaces another mail: where the
    /// name is taken, `or_else` is added to it.
    pub(super) fn take_over(&self, from: &Path, or_else: &str) -> io::Result<bool> {
        let (unique, _) = split(from.file_name().unwrap_or_default());
        // A name that fills its file name has no room for flags.
        let unique = if unique.len() > LONGEST { as_text(unique).into_bytes() } else { unique.to_vec() };
        let named = |addition: &[u8]| {
            let name = [&unique, addition, b":2,S"].concat();
            self.path.join("cur").join(OsStr::from_bytes(&name))
        };
        let mut to = named(b"");
        if to.try_exists()? {
            to = named(format!(",{or_else}").as_bytes());
        }
        match fs::rename(from, to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.join("cur").is_dir() => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// The unique part of a file name, and its flags: `unique:2,flags`.
fn split(name: &OsStr) -> (&[u8], &[u8]) {
    let name = name.as_bytes();
    match name.iter().position(|&byte| byte == b':') {
        Some(colon) => (&name[..colon], name[colon + 1..].strip_prefix(b"2,").unwrap_or_default()),
        None => (name, b""),
    }
}

/// The unique part as a text that can stand in a key: itself, or its hash when it is no sensible name.
fn as_text(unique: &[u8]) -> String {
    match std::str::from_utf8(unique) {
        Ok(text) if (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control) => {
            text.to_owned()
        }
        _ => format!("blake3-{}", blake3::hash(unique).to_hex()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_has_a_unique_part_and_flags() {
        for (name, unique, flags) in [
            ("17.M1P2.host", "17.M1P2.host", ""),
            ("17.M1P2.host:2,", "17.M1P2.host", ""),
            ("17.M1P2.host:2,RS", "17.M1P2.host", "RS"),
            ("17.M1P2.host:1,S", "17.M1P2.host", ""),
            (":2,S", "", "S"),
        ] {
            assert_eq!(split(OsStr::new(name)), (unique.as_bytes(), flags.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_name_that_cannot_stand_in_a_key_is_replaced_by_its_hash() {
        assert_eq!(as_text(b"17.host"), "17.host");
        let texts: Vec<_> = [&b"\xff"[..], b"a\nb", b"", &[b'x'; 181]].map(as_text).into();
        assert!(texts.iter().all(|text| text.starts_with("blake3-") && text.len() == 71));
    }
}
