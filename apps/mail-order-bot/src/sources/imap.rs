//! A folder of a mail server as a source of mail.
//!
//! A mail is called by its folder's UIDVALIDITY and its UID. All that is in the folder is work: finished mails are moved
//! away, and nobody's habit of reading mail with another program makes one disappear. When the server gives the folder
//! another UIDVALIDITY, the same mails come under other names; what they contain tells the handler that it knows them.

mod connection;
mod login;
mod suspects;
mod tls;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use runtime::config::SecretRef;
use runtime::core::error::TaskError;
use runtime::core::name::IdempotencyKey;
use runtime::core::source::{Finished, Found};
use runtime::core::task::TaskState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::connection::Connection;
use self::suspects::Suspects;
use super::mail_source::{MailAccount, MailSession};
use super::{AccountName, MailIntake, default_max_mail_bytes, unavailable};

/// Mails, and bytes of mails, that are fetched at a time. One mail may be larger.
const BATCH_MAILS: usize = 64;
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// Most seconds between two looks.
const MAX_POLL_SECS: u64 = 300;

/// Mails that one command moves: keeps its line shorter than any server's limit.
const MOVED_AT_ONCE: usize = 100;

/// A folder of a mail server as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImapConfig {
    /// What keys and logs call it. It stays the same for the life of the mailbox.
    pub account: AccountName,
    /// Name or address of the server.
    pub host: String,
    /// Unset: 993 with implicit TLS, else 143.
    #[serde(default)]
    pub port: Option<NonZeroU16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: TlsMode,
    /// PEM file with the authorities whose word is taken for the server's certificate. Unset: those of this machine.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Login name.
    pub user: String,
    /// Password.
    pub password: SecretRef,
    /// The folder that mail comes into.
    #[serde(default = "inbox")]
    pub folder: FolderName,
    /// Where mails go whose task is done. Made when it is missing.
    #[serde(default = "processed")]
    pub processed: FolderName,
    /// Where mails go whose task is dead or cancelled. Made when it is missing.
    #[serde(default = "failed")]
    pub failed: FolderName,
    /// Longest time without a look at the folder, in seconds: with polling the interval, with IDLE how long the server is
    /// trusted to say what is new. At most 300, or the server and the firewalls on the way forget us. Unset: 30 with
    /// polling, 240 with IDLE.
    #[serde(default)]
    #[schemars(range(max = 300))]
    pub poll_secs: Option<NonZeroU64>,
    /// How long the server may be silent when an answer is due, in seconds.
    #[serde(default = "default_timeout_secs")]
    pub timeout_secs: NonZeroU64,
    /// Most bytes of a mail that is taken in; a larger one becomes a task without content.
    #[serde(default = "default_max_mail_bytes")]
    pub max_mail_bytes: NonZeroU64,
}

fn inbox() -> FolderName {
    FolderName("INBOX".into())
}

fn processed() -> FolderName {
    FolderName("Processed".into())
}

fn failed() -> FolderName {
    FolderName("Failed".into())
}

fn default_timeout_secs() -> NonZeroU64 {
    const { NonZeroU64::new(60).expect("not zero") }
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// By TLS from the first byte.
    #[default]
    Implicit,
    /// By TLS that is agreed on before the login.
    Starttls,
    /// Not at all, which is refused unless the server is on this machine.
    NoneLoopbackOnly,
}

/// The name of a folder as the server writes it (modified UTF-7, with its own separator): printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct FolderName(#[schemars(regex(pattern = "^[ -~]{1,120}$"))] String);

/// The text is no name of a folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("folder name {0:?} is not 1 to 120 printable ASCII characters, as the server writes it")]
pub struct InvalidFolderName(String);

impl TryFrom<String> for FolderName {
    type Error = InvalidFolderName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if printable && (1..=120).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(InvalidFolderName(text))
        }
    }
}

impl fmt::Display for FolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a session waits for new mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Polling,
    Idle,
}

/// A configured folder.
pub(super) struct ImapAccount {
    config: ImapConfig,
    intake: MailIntake,
    rest: Rest,
    /// The UIDVALIDITY of the session before.
    validity: Option<u32>,
    suspects: Suspects,
}

impl ImapAccount {
    pub(super) fn new(config: ImapConfig, intake: MailIntake, rest: Rest) -> Self {
        Self { config, intake, rest, validity: None, suspects: Suspects::default() }
    }
}

impl MailAccount for ImapAccount {
    type Session = ImapSession;

    async fn open(&mut self) -> Result<ImapSession, TaskError> {
        let mut connection = Connection::open(&self.config).await?;
        if self.rest == Rest::Idle && !connection.knows("IDLE") {
            return Err(unavailable(format!("{} knows no IDLE: configure imap_polling", self.config.host)));
        }
        let validity = connection.select(&self.config.folder).await?;
        if let Some(before) = self.validity.replace(validity)
            && before != validity
        {
            tracing::warn!(
                account = %self.config.account, folder = %self.config.folder, before, now = validity,
                "folder got another UIDVALIDITY: its mails come again under other names"
            );
            self.suspects.forget();
        }
        for uid in self.suspects.held_back(Instant::now()) {
            tracing::error!(account = %self.config.account, uid, "the session broke over this mail: it stays in its folder and is tried again later");
        }
        Ok(ImapSession {
            connection,
            config: self.config.clone(),
            intake: self.intake.clone(),
            rest: self.rest,
            poll: poll(&self.config, self.rest),
            validity,
            suspects: self.suspects.clone(),
            look_at: Instant::now(),
            last: 0,
            todo: VecDeque::new(),
        })
    }
}

/// An open folder.
pub(super) struct ImapSession {
    connection: Connection,
    config: ImapConfig,
    intake: MailIntake,
    rest: Rest,
    poll: Duration,
    validity: u32,
    suspects: Suspects,
    /// When the next look is due.
    look_at: Instant,
    /// Largest UID that was seen.
    last: u32,
    /// UIDs that were seen and not fetched: those above suspicion first.
    todo: VecDeque<u32>,
}

impl MailSession for ImapSession {
    async fn look(&mut self) -> Result<(), TaskError> {
        let new = self.connection.search_from(self.last.saturating_add(1)).await?;
        let now = Instant::now();
        self.look_at = now + self.poll;
        self.last = new.last().copied().unwrap_or(self.last);
        self.todo.extend(new.into_iter().filter(|&uid| !self.suspects.include(uid)));
        for uid in self.suspects.due(now) {
            if uid <= self.last && !self.todo.contains(&uid) {
                self.todo.push_back(uid);
            }
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        !self.todo.is_empty()
    }

    async fn take(&mut self) -> Result<Vec<Found>, TaskError> {
        let mut uids: Vec<u32> = self
            .todo
            .iter()
            .copied()
            .take_while(|&uid| !self.suspects.include(uid))
            .take(BATCH_MAILS)
            .collect();
        if uids.is_empty() {
            uids.extend(self.todo.front());
        }
        self.suspects.accuse(&uids, Instant::now());
        let sizes = self.connection.sizes(&uids).await?;
        let (wanted, oversize) = self.choose(&mut uids, sizes);
        let bodies = self.connection.bodies(&wanted).await?;
        self.todo.drain(..uids.len());
        let mut found = Vec::with_capacity(uids.len());
        match bodies {
            Ok(bodies) => {
                self.suspects.clear(&uids);
                for (uid, raw) in bodies {
                    found.push(self.intake.whole(self.key(uid)?, raw)?);
                }
            }
            // Each of them alone, then.
            Err(_) if uids.len() > 1 => self.todo.extend(wanted.keys()),
            Err(refusal) => {
                tracing::error!(account = %self.config.account, uid = uids.first(), refusal, "mail cannot be fetched: it stays in its folder and is tried again later");
            }
        }
        for (uid, size) in oversize {
            self.suspects.clear(&[uid]);
            found.push(self.intake.oversize(self.key(uid)?, size)?);
        }
        Ok(found)
    }

    async fn wait(&mut self, called: impl Future<Output = ()> + Send) -> Result<bool, TaskError> {
        if self.connection.has_news() {
            return Ok(true);
        }
        match self.rest {
            Rest::Idle => self.connection.idle(self.look_at, called).await?,
            Rest::Polling => tokio::select! {
                () = tokio::time::sleep_until(self.look_at) => {}
                () = called => {}
            },
        }
        Ok(self.connection.has_news() || Instant::now() >= self.look_at)
    }

    async fn mark(&mut self, finished: &[Finished]) -> Result<(), TaskError> {
        let (mut done, mut others) = (Vec::new(), Vec::new());
        for Finished { key, task, state, .. } in finished {
            match self.uid(key) {
                Some(uid) if *state == TaskState::Done => done.push(uid),
                Some(uid) => others.push(uid),
                None => tracing::warn!(
                    account = %self.config.account, %key, %task, validity = self.validity,
                    "finished mail is not marked: the folder no longer calls it that"
                ),
            }
        }
        for (uids, folder) in [(done, &self.config.processed), (others, &self.config.failed)] {
            for some in uids.chunks(MOVED_AT_ONCE) {
                self.connection.move_away(some, folder).await?;
            }
        }
        Ok(())
    }
}

impl ImapSession {
    fn key(&self, uid: u32) -> Result<IdempotencyKey, TaskError> {
        let name = format!("{}/{}/{uid}", self.config.folder, self.validity);
        self.intake.key(&name).map_err(|error| unavailable(error.to_string()))
    }

    /// The inverse of `key`; nothing when the mail had that name under another UIDVALIDITY, or in another folder.
    fn uid(&self, key: &IdempotencyKey) -> Option<u32> {
        let name = self.intake.name(key)?.strip_prefix(self.config.folder.0.as_str())?.strip_prefix('/')?;
        let (validity, uid) = name.split_once('/')?;
        (validity.parse() == Ok(self.validity)).then(|| uid.parse().ok())?
    }

    /// Shortens `uids` to what is fetched at a time, and says which of them to fetch and which are too large for that.
    fn choose(&self, uids: &mut Vec<u32>, sizes: HashMap<u32, u64>) -> (BTreeMap<u32, u64>, Vec<(u32, u64)>) {
        let (mut wanted, mut oversize, mut bytes) = (BTreeMap::new(), Vec::new(), 0);
        let mut taken = 0;
        for uid in uids.iter().copied() {
            match sizes.get(&uid) {
                Some(&size) if size > self.intake.max_mail_bytes => oversize.push((uid, size)),
                Some(&size) if bytes > 0 && bytes + size > BATCH_BYTES => break,
                Some(&size) => {
                    bytes += size;
                    wanted.insert(uid, size);
                }
                None => {
                    tracing::debug!(account = %self.config.account, uid, "mail is gone from its folder");
                }
            }
            taken += 1;
        }
        self.suspects.clear(&uids[taken..]);
        uids.truncate(taken);
        (wanted, oversize)
    }
}

fn poll(config: &ImapConfig, rest: Rest) -> Duration {
    let unset = match rest {
        Rest::Polling => 30,
        Rest::Idle => 240,
    };
    Duration::from_secs(config.poll_secs.map_or(unset, NonZeroU64::get).min(MAX_POLL_SECS))
}

/// UIDs as a command names them.
fn uid_set<'u>(uids: impl IntoIterator<Item = &'u u32>) -> String {
    let texts: Vec<String> = uids.into_iter().map(u32::to_string).collect();
    texts.join(",")
}
