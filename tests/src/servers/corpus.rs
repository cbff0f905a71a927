//! Real mail by other people, as it went over the wire two decades ago: ham and spam, and no order among them.

use std::fs;
use std::path::PathBuf;

use super::{ServerError, place};

/// The files of the public mail corpus, sorted by name.
pub struct MailCorpus {
    root: PathBuf,
    names: Vec<String>,
}

/// One mail as it came.
pub struct RawMail {
    /// Folder and file, such as `hard-ham-1/0001.txt`.
    pub name: String,
    /// Headers and body, in whatever charset and with whatever faults.
    pub bytes: Vec<u8>,
}

impl MailCorpus {
    /// Lists the corpus; the mails are read when they are asked for.
    ///
    /// # Errors
    /// When `RUNTIME_MAIL_CORPUS` is not set or its folder cannot be read.
    pub fn open() -> Result<Self, ServerError> {
        let root = place("RUNTIME_MAIL_CORPUS")?;
        let listed = ServerError::io(format!("list {}", root.display()));
        let list = || {
            let mut names = Vec::new();
            for folder in fs::read_dir(&root)? {
                let folder = folder?;
                for file in fs::read_dir(folder.path())? {
                    let (folder, file) = (folder.file_name(), file?.file_name());
                    names.push(format!("{}/{}", folder.display(), file.display()));
                }
            }
            names.sort();
            Ok(names)
        };
        let names = list().map_err(listed)?;
        Ok(Self { root, names })
    }

    /// How many mails there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no mail at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Reads the mails one after the other.
    pub fn mails(&self) -> impl Iterator<Item = Result<RawMail, ServerError>> {
        self.names.iter().map(|name| {
            let bytes = fs::read(self.root.join(name)).map_err(ServerError::io(format!("read {name}")))?;
            Ok(RawMail { name: name.clone(), bytes })
        })
    }
}
