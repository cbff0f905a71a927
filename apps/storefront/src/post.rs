//! How letters leave: into a Maildir, for a mail server or a person to send.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::{Address, Message};
use runtime::prelude::{EffectFailed, SetupError, TaskError};
use storefront_domain::Letter;

use crate::config::NotificationsConfig;

/// A Maildir that letters are delivered to.
#[derive(Debug, Clone)]
pub struct Spool {
    from: Mailbox,
    path: PathBuf,
}

impl Spool {
    /// The one of the configuration. Made when the first letter leaves.
    ///
    /// # Errors
    /// When the sender's address is none.
    pub fn open(config: &NotificationsConfig) -> Result<Self, SetupError> {
        let refused = |error: lettre::address::AddressError| {
            SetupError::Module(format!("app.notifications.from: {error}"))
        };
        Ok(Self { from: config.from.parse().map_err(refused)?, path: config.spool.clone() })
    }

    /// Delivers a letter under this name.
    ///
    /// # Errors
    /// [`EffectFailed::NotHappened`] when it certainly did not leave, [`EffectFailed::Unknown`] when nobody can tell.
    pub async fn deliver(&self, letter: &Letter, name: &str) -> Result<(), EffectFailed> {
        let bytes = self
            .write(letter, name)
            .map_err(|error| EffectFailed::NotHappened(TaskError::permanent(error)))?;
        let (path, name) = (self.path.clone(), name.to_owned());
        match tokio::task::spawn_blocking(move || put(&path, &name, &bytes)).await {
            // A file that is not renamed into `new` does not exist: a failure is certain.
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(EffectFailed::NotHappened(TaskError::retryable(error.to_string()))),
            Err(error) => Err(EffectFailed::Unknown(TaskError::retryable(error.to_string()))),
        }
    }

    /// No text of an error names the customer.
    fn write(&self, letter: &Letter, name: &str) -> Result<Vec<u8>, String> {
        let to: Address = letter.to.parse().map_err(|_| "the customer's address is none".to_owned())?;
        let reference = HeaderName::new_from_ascii_str("X-Promotion");
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject.clone())
            .message_id(Some(format!("<{name}@{}>", self.from.email.domain())))
            .raw_header(HeaderValue::new(reference, letter.reference.to_string()))
            .singlepart(
                SinglePart::builder()
                    .header(ContentType::TEXT_PLAIN)
                    .header(ContentTransferEncoding::QuotedPrintable)
                    .body(letter.text.clone()),
            );
        Ok(message.map_err(|error| error.to_string())?.formatted())
    }
}

/// As the Maildir format has it: written and synced in `tmp`, then renamed into `new`.
fn put(spool: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    for folder in ["tmp", "new", "cur"] {
        fs::create_dir_all(spool.join(folder))?;
    }
    let (draft, letter) = (spool.join("tmp").join(name), spool.join("new").join(name));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, &letter)?;
    File::open(spool.join("new"))?.sync_all()
}
