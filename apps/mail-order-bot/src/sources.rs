//! Where mail comes in, exchanged by configuration alone.
//!
//! ```text
//! Maildir ──────┐
//! IMAP polling ─┼─▶ MailSource: found ─▶ MailIntake: key, task, raw bytes ─▶ the source's pump
//! IMAP IDLE ────┘        ◀─ finished: to Processed or Failed
//! ```
//!
//! A mail stays where it came in until its task is finished; only then it is moved away. So whatever breaks in between,
//! the mail is found again under the same key, and the platform knows it. The raw bytes of a mail are kept once, by
//! their hash, in the same transaction as its task; nothing after that depends on the mailbox.

mod imap;
mod mail_source;
mod maildir;

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use runtime::core::error::{ErrorCode, TaskError};
use runtime::core::input::TaskInput;
use runtime::core::name::{IdempotencyKey, InvalidName, Route, Scope};
use runtime::core::source::{Found, Source};
use runtime::core::store::AppWrite;
use runtime::core::task::NewTask;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::imap::{FolderName, ImapConfig, InvalidFolderName, TlsMode};
use self::imap::{ImapAccount, Rest};
use self::mail_source::MailSource;
use self::maildir::MaildirAccount;
pub use self::maildir::{Maildir, MaildirConfig};

/// Most bytes of a mail that is taken in whole, unless the configuration says otherwise.
fn default_max_mail_bytes() -> NonZeroU64 {
    const { NonZeroU64::new(25 * 1024 * 1024).expect("not zero") }
}

/// A source of mail, as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceConfig {
    /// A folder of this machine.
    Maildir(MaildirConfig),
    /// A folder of a mail server, looked at in intervals.
    ImapPolling(ImapConfig),
    /// A folder of a mail server that says itself when something is new.
    ImapIdle(ImapConfig),
}

impl SourceConfig {
    /// What keys and logs call the mailbox.
    pub fn account(&self) -> &AccountName {
        match self {
            Self::Maildir(config) => &config.account,
            Self::ImapPolling(config) | Self::ImapIdle(config) => &config.account,
        }
    }

    /// The source; its mails become tasks of `route`. Nothing is connected before it is opened.
    pub fn build(&self, route: Arc<Route>) -> Box<dyn Source> {
        let max_mail_bytes = match self {
            Self::Maildir(config) => config.max_mail_bytes.get(),
            Self::ImapPolling(config) | Self::ImapIdle(config) => config.max_mail_bytes.get(),
        };
        let intake = MailIntake { route, account: self.account().clone(), max_mail_bytes };
        match self.clone() {
            Self::Maildir(config) => Box::new(MailSource::new(MaildirAccount::new(config, intake))),
            Self::ImapPolling(config) => {
                Box::new(MailSource::new(ImapAccount::new(config, intake, Rest::Polling)))
            }
            Self::ImapIdle(config) => Box::new(MailSource::new(ImapAccount::new(config, intake, Rest::Idle))),
        }
    }
}

/// What we call a mailbox: part of the key of each of its mails, so it stays when anything else about it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct AccountName(#[schemars(regex(pattern = "^[a-z0-9][a-z0-9._@-]{0,63}$"))] String);

/// The text is no account name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "account name {0:?} is not 1 to 64 of a-z, 0-9, '.', '_', '@' and '-', starting with a letter or a digit"
)]
pub struct InvalidAccountName(String);

impl AccountName {
    /// Checks the text.
    ///
    /// # Errors
    /// [`InvalidAccountName`] with the rule.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidAccountName> {
        let text = text.into();
        let fits =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'@' | b'-');
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if starts && text.len() <= 64 && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            Err(InvalidAccountName(text))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountName {
    type Error = InvalidAccountName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The input of the handler: a mail that came in. Its bytes are in the table `mail_raw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IncomingMail {
    /// The BLAKE3 hash of the raw bytes in hexadecimal; absent when the mail was too large to be taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The account it came in at.
    pub source: String,
    /// What the account calls it: the task's idempotency key.
    pub outside: String,
    /// Bytes of the raw mail, as the account counts them.
    pub size: u64,
    /// Whether it was too large to be taken in. It is still in the mailbox then, until its task is finished.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oversize: bool,
}

impl TaskInput for IncomingMail {
    const KEY: &'static str = "account and what it calls the mail";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(&self.outside)
    }

    fn scope(&self) -> Result<Option<Scope>, InvalidName> {
        Scope::new(format!("account={}", self.source)).map(Some)
    }
}

/// Turns mails of one account into tasks, whatever kind of mailbox they come from.
#[derive(Debug, Clone)]
struct MailIntake {
    route: Arc<Route>,
    account: AccountName,
    /// A mail beyond it becomes a task without content.
    max_mail_bytes: u64,
}

impl MailIntake {
    /// The key of the mail that the mailbox calls `name`.
    fn key(&self, name: &str) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(format!("{}/{name}", self.account))
    }

    /// What the mailbox calls the mail with this key; nothing when the key is of another account.
    fn name<'k>(&self, key: &'k IdempotencyKey) -> Option<&'k str> {
        key.as_str().strip_prefix(self.account.as_str())?.strip_prefix('/')
    }

    /// A mail with its bytes.
    fn whole(&self, key: IdempotencyKey, raw: Vec<u8>) -> Result<Found, TaskError> {
        let hash = blake3::hash(&raw).to_hex().to_string();
        let size = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        let write = keep_raw(hash.clone(), raw);
        self.found(key, Some(hash), size, vec![write])
    }

    /// A mail that is too large to be taken in.
    fn oversize(&self, key: IdempotencyKey, size: u64) -> Result<Found, TaskError> {
        tracing::warn!(account = %self.account, %key, size, limit = self.max_mail_bytes, "mail is too large to be taken in");
        self.found(key, None, size, Vec::new())
    }

    fn found(
        &self,
        key: IdempotencyKey,
        content: Option<String>,
        size: u64,
        writes: Vec<AppWrite>,
    ) -> Result<Found, TaskError> {
        let mail = IncomingMail {
            oversize: content.is_none(),
            content,
            source: self.account.to_string(),
            outside: key.to_string(),
            size,
        };
        let task = NewTask::of(self.route.clone(), &mail)
            .map_err(|error| unavailable(format!("a mail cannot be written as a task: {error}")))?;
        Ok(Found { key, task, writes })
    }
}

/// Keeps the raw bytes of a mail once, however often it comes; the time, in milliseconds since 1970, is that of the first.
fn keep_raw(hash: String, raw: Vec<u8>) -> AppWrite {
    const KEEP: &str =
        "INSERT INTO mail_raw(hash, bytes, received_at) VALUES (?1, ?2, ?3) ON CONFLICT(hash) DO NOTHING";
    AppWrite::new(move |tx| {
        let now = tx.now().as_millisecond();
        tx.execute(KEEP, &[hash.as_str().into(), raw.as_slice().into(), now.into()]).map(drop)
    })
}

/// The mailbox cannot be used; the pump opens the source again.
fn unavailable(what: impl Into<String>) -> TaskError {
    TaskError::new(ErrorCode::SourceUnavailable, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intake() -> MailIntake {
        let route = Route {
            app: "shop".parse().unwrap(),
            queue: "mails".parse().unwrap(),
            handler: "mail".parse().unwrap(),
        };
        let account = AccountName::new("orders").unwrap();
        MailIntake { route: Arc::new(route), account, max_mail_bytes: default_max_mail_bytes().get() }
    }

    #[test]
    fn the_task_names_the_bytes_by_their_hash() {
        let intake = intake();
        let key = intake.key("17.host").unwrap();
        let found = intake.whole(key.clone(), b"From: a@b\r\n\r\nhello".to_vec()).unwrap();
        assert_eq!(found.key.as_str(), "orders/17.host");
        assert_eq!(intake.name(&found.key), Some("17.host"));
        assert_eq!(found.writes.len(), 1);
        let mail: IncomingMail = serde_json::from_slice(&found.task.payload).unwrap();
        assert_eq!(mail.content, Some(blake3::hash(b"From: a@b\r\n\r\nhello").to_hex().to_string()));
        assert_eq!((mail.size, mail.oversize, mail.outside.as_str()), (18, false, "orders/17.host"));

        let large = intake.oversize(key, 1 << 40).unwrap();
        assert!(large.writes.is_empty());
        let text = String::from_utf8(large.task.payload).unwrap();
        assert_eq!(
            text,
            r#"{"source":"orders","outside":"orders/17.host","size":1099511627776,"oversize":true}"#
        );
    }

    #[test]
    fn a_key_of_another_account_has_no_name_here() {
        for other in ["orders2/17.host", "order/17.host", "17.host", "orders"] {
            assert_eq!(intake().name(&IdempotencyKey::new(other).unwrap()), None, "{other}");
        }
    }

    #[test]
    fn an_account_name_is_checked_where_it_is_configured() {
        for good in ["orders", "orders@example.org", "1"] {
            assert!(AccountName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Orders", "a/b", "-a", "a b", &"a".repeat(65)] {
            assert!(AccountName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_configuration_is_read_and_its_mistakes_are_refused() {
        let read = |text: &str| serde_json::from_str::<SourceConfig>(text);
        let idle = r#"{"kind": "imap_idle", "account": "orders", "host": "localhost", "user": "ann", "password": "env:P"}"#;
        let config = read(idle).unwrap();
        assert_eq!(config.account().as_str(), "orders");
        assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
        assert!(read(r#"{"kind": "maildir", "account": "orders", "path": "mail"}"#).is_ok());
        for wrong in [
            idle.replace("\"account\"", "\"acount\""),
            idle.replace("env:P", "hunter2"),
            idle.replace("\"user\"", "\"folder\": \"Größe\", \"user\""),
            idle.replace("imap_idle", "pop3"),
            idle.replace("\"user\"", "\"poll_secs\": 0, \"user\""),
        ] {
            let error = read(&wrong).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_schema_accepts_what_is_read_and_refuses_unknown_keys() {
        let schema = schemars::schema_for!(SourceConfig).to_value();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let idle = serde_json::json!({"kind": "imap_idle", "account": "orders", "host": "localhost", "user": "ann", "password": "env:P"});
        let maildir = serde_json::json!({"kind": "maildir", "account": "orders", "path": "mail"});
        for good in [&idle, &maildir] {
            assert!(
                validator.is_valid(good),
                "{good}: {:?}",
                validator.iter_errors(good).map(|e| e.to_string()).collect::<Vec<_>>()
            );
        }
        let mut unknown = maildir;
        unknown["host"] = "localhost".into();
        assert!(!validator.is_valid(&unknown));
    }
}
