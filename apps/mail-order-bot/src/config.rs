//! The `[app]` section of the configuration.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;

use runtime::config::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sources::{AccountName, MaildirConfig, SourceConfig};

/// What the mail order bot has to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BotConfig {
    /// Price list (CSV). Unset: the bundled one.
    #[schemars(example = &"catalogue.csv")]
    pub catalogue: Option<PathBuf>,
    /// Customers (CSV). Unset: the bundled ones.
    #[schemars(example = &"customers.csv")]
    pub customers: Option<PathBuf>,
    /// Where order mails come from, by name; each is a source of the tree.
    pub mailboxes: BTreeMap<String, SourceConfig>,
    /// How customers are answered.
    pub replies: RepliesConfig,
}

impl Default for BotConfig {
    fn default() -> Self {
        Self {
            catalogue: None,
            customers: None,
            mailboxes: [("inbox".to_owned(), SourceConfig::Maildir(inbox()))].into(),
            replies: RepliesConfig::default(),
        }
    }
}

fn inbox() -> MaildirConfig {
    MaildirConfig::new(AccountName::new("inbox").expect("a valid name"), "data/mail")
}

/// How customers are answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RepliesConfig {
    /// Address the replies come from.
    pub from: String,
    /// How they leave.
    pub transport: TransportConfig,
}

impl Default for RepliesConfig {
    fn default() -> Self {
        Self { from: "orders@shop.example".to_owned(), transport: TransportConfig::default() }
    }
}

/// How replies leave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TransportConfig {
    /// Into a Maildir, for a mail server or a person to send.
    Spool {
        /// The Maildir.
        path: PathBuf,
    },
    /// To a mail server.
    Smtp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: NonZeroU16,
        /// How the connection is protected.
        tls: SmtpTls,
        /// User name, when the server wants one.
        #[serde(default)]
        user: Option<String>,
        /// Password, when the server wants one.
        #[serde(default)]
        password: Option<SecretRef>,
    },
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self::Spool { path: "data/outgoing".into() }
    }
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// TLS from the first byte.
    Implicit,
    /// TLS after STARTTLS; refused when the server has none.
    Starttls,
    /// None: for a server on this machine only.
    NoneLoopbackOnly,
}
