//! A Maildir as a source of mail, and the Maildir itself.
//!
//! ```text
//! deliver: tmp/x ─▶ new/x        unread: new/x, cur/x:2,…    done: .Processed/cur/x:2,S    else: .Failed/cur/x:2,S
//! ```
//!
//! Every step is one rename, so a mail is always in exactly one place. It is called by the unique part of its file name,
//! which stays when flags change. New mail is looked for by listing, which also works where the kernel tells nothing
//! (network file systems); finished mails leave, so there is little to list.

mod folder;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::core::error::TaskError;
use runtime::core::source::{Finished, Found};
use runtime::core::task::TaskState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::folder::Entry;
pub use self::folder::Maildir;
use super::mail_source::{MailAccount, MailSession};
use super::{AccountName, MailIntake, default_max_mail_bytes, unavailable};

/// Where mails go whose task is done, and where those go whose task is dead or cancelled.
const PROCESSED: &str = "Processed";
const FAILED: &str = "Failed";

/// Mails, and bytes of mails, that are read at a time. One mail may be larger.
const BATCH_MAILS: usize = 64;
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// A Maildir as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaildirConfig {
    /// What keys and logs call it. It stays the same for the life of the mailbox.
    pub account: AccountName,
    /// The folder that has `new`, `cur` and `tmp`.
    pub path: PathBuf,
    /// Milliseconds between two looks for new mail.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: NonZeroU64,
    /// Most bytes of a mail that is taken in; a larger one becomes a task without content.
    #[serde(default = "default_max_mail_bytes")]
    pub max_mail_bytes: NonZeroU64,
}

impl MaildirConfig {
    /// A Maildir that is looked at as often as is usual.
    pub fn new(account: AccountName, path: impl Into<PathBuf>) -> Self {
        Self {
            account,
            path: path.into(),
            poll_ms: default_poll_ms(),
            max_mail_bytes: default_max_mail_bytes(),
        }
    }
}

fn default_poll_ms() -> NonZeroU64 {
    const { NonZeroU64::new(250).expect("not zero") }
}

/// A configured Maildir.
pub(super) struct MaildirAccount {
    config: MaildirConfig,
    intake: MailIntake,
}

impl MaildirAccount {
    pub(super) fn new(config: MaildirConfig, intake: MailIntake) -> Self {
        Self { config, intake }
    }
}

impl MailAccount for MaildirAccount {
    type Session = MaildirSession;

    async fn open(&mut self) -> Result<MaildirSession, TaskError> {
        let path = self.config.path.clone();
        let (inbox, processed, failed) = blocking(move || {
            let inbox = Maildir::open(&path)
                .map_err(|error| unavailable(format!("{} is no Maildir: {error}", path.display())))?;
            let folder = |name: &str| {
                inbox.folder(name).map_err(|error| {
                    unavailable(format!("folder {name} of {} cannot be made: {error}", path.display()))
                })
            };
            let (processed, failed) = (folder(PROCESSED)?, folder(FAILED)?);
            Ok((inbox, processed, failed))
        })
        .await?;
        Ok(MaildirSession {
            inbox,
            processed,
            failed,
            intake: self.intake.clone(),
            poll: Duration::from_millis(self.config.poll_ms.get()),
            look_at: Instant::now(),
            known: HashMap::new(),
            todo: VecDeque::new(),
            unreadable: HashSet::new(),
        })
    }
}

/// An open Maildir.
pub(super) struct MaildirSession {
    inbox: Maildir,
    processed: Maildir,
    failed: Maildir,
    intake: MailIntake,
    poll: Duration,
    /// When the next look is due.
    look_at: Instant,
    /// Unread mails that were seen and not marked, and where each was last. A mail somebody removed stays here: the price
    /// is its name.
    known: HashMap<String, PathBuf>,
    /// Names of known mails that were not read.
    todo: VecDeque<String>,
    /// Known mails that cannot be read. They are tried again at every look and logged once.
    unreadable: HashSet<String>,
}

impl MailSession for MaildirSession {
    async fn look(&mut self) -> Result<(), TaskError> {
        let inbox = self.inbox.clone();
        let entries = blocking(move || {
            inbox
                .entries()
                .map_err(|error| unavailable(format!("{} cannot be listed: {error}", inbox.path().display())))
        })
        .await?;
        self.look_at = Instant::now() + self.poll;
        for Entry { unique, path, .. } in entries.into_iter().filter(|entry| entry.unread) {
            let known = self.known.insert(unique.clone(), path).is_some();
            if !known || self.unreadable.contains(&unique) {
                self.todo.push_back(unique);
            }
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        !self.todo.is_empty()
    }

    async fn take(&mut self) -> Result<Vec<Found>, TaskError> {
        let names: Vec<String> = self.todo.drain(..self.todo.len().min(BATCH_MAILS)).collect();
        let paths: Vec<PathBuf> =
            names.iter().map(|name| self.known.get(name).cloned().unwrap_or_default()).collect();
        let limit = self.intake.max_mail_bytes;
        let mails = blocking(move || Ok(read_some(&paths, limit))).await?;
        for name in names[mails.len()..].iter().rev() {
            self.todo.push_front(name.clone());
        }
        let mut found = Vec::with_capacity(mails.len());
        for (name, mail) in names.into_iter().zip(mails) {
            match mail {
                Ok(mail) => {
                    self.unreadable.remove(&name);
                    found.push(self.found(&name, mail)?);
                }
                // Somebody moved or renamed it: it is met again if it is still here.
                Err(error) if error.kind() == io::ErrorKind::NotFound => drop(self.known.remove(&name)),
                Err(error) => {
                    if self.unreadable.insert(name.clone()) {
                        tracing::error!(account = %self.intake.account, mail = name, %error, "mail cannot be read; trying again at every look");
                    }
                }
            }
        }
        Ok(found)
    }

    async fn wait(&mut self, called: impl Future<Output = ()> + Send) -> Result<bool, TaskError> {
        tokio::select! {
            () = tokio::time::sleep_until(self.look_at) => Ok(true),
            () = called => Ok(false),
        }
    }

    async fn mark(&mut self, finished: &[Finished]) -> Result<(), TaskError> {
        let mut moves = Vec::with_capacity(finished.len());
        for Finished { key, task, state, .. } in finished {
            let Some(name) = self.intake.name(key) else {
                tracing::warn!(%key, %task, "finished mail is of another account and not marked here");
                continue;
            };
            let to = if *state == TaskState::Done { &self.processed } else { &self.failed };
            let from = self.known.get(name).cloned();
            moves.push(Move { name: name.to_owned(), from, to: to.clone(), task: task.to_string() });
        }
        let inbox = self.inbox.clone();
        let moved = blocking(move || {
            move_away(&inbox, &moves)
                .map_err(|error| unavailable(format!("finished mails cannot be moved away: {error}")))?;
            Ok(moves)
        })
        .await?;
        for Move { name, .. } in moved {
            self.known.remove(&name);
            self.unreadable.remove(&name);
        }
        Ok(())
    }
}

impl MaildirSession {
    fn found(&self, name: &str, mail: Mail) -> Result<Found, TaskError> {
        let key = self.intake.key(name).map_err(|error| unavailable(error.to_string()))?;
        match mail {
            Mail::Whole(raw) => self.intake.whole(key, raw),
            Mail::Oversize(size) => self.intake.oversize(key, size),
        }
    }
}

/// A mail as it was read.
enum Mail {
    Whole(Vec<u8>),
    Oversize(u64),
}

/// Reads the first of these files: all, unless they hold more than a batch may.
fn read_some(paths: &[PathBuf], limit: u64) -> Vec<io::Result<Mail>> {
    let mut mails = Vec::with_capacity(paths.len());
    let mut bytes = 0;
    for path in paths {
        let mail = read(path, limit);
        if let Ok(Mail::Whole(raw)) = &mail {
            bytes += raw.len() as u64;
        }
        mails.push(mail);
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    mails
}

fn read(path: &Path, limit: u64) -> io::Result<Mail> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > limit {
        return Ok(Mail::Oversize(size));
    }
    let mut raw = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    // A file that grows while it is read is no mail that was delivered, and still must not fill the memory.
    file.take(limit + 1).read_to_end(&mut raw)?;
    let read = raw.len() as u64;
    Ok(if read > limit { Mail::Oversize(read) } else { Mail::Whole(raw) })
}

/// A finished mail on its way.
struct Move {
    name: String,
    /// Where it was last seen.
    from: Option<PathBuf>,
    to: Maildir,
    task: String,
}

/// Moves mails away, each by one rename. A mail that is not where it was is looked for once; gone is gone.
fn move_away(inbox: &Maildir, moves: &[Move]) -> io::Result<()> {
    let mut elsewhere = Vec::new();
    for item in moves {
        if !item.from.as_ref().map_or(Ok(false), |from| item.to.take_over(from, &item.task))? {
            elsewhere.push(item);
        }
    }
    if elsewhere.is_empty() {
        return Ok(());
    }
    let entries: HashMap<String, PathBuf> =
        inbox.entries()?.into_iter().map(|entry| (entry.unique, entry.path)).collect();
    for item in elsewhere {
        let moved = entries.get(&item.name).map_or(Ok(false), |from| item.to.take_over(from, &item.task))?;
        if !moved {
            tracing::debug!(mail = item.name, "finished mail is gone from the Maildir");
        }
    }
    Ok(())
}

/// Runs what touches the disk where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TaskError> + Send + 'static,
) -> Result<T, TaskError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(unavailable(format!("reading the Maildir broke: {error}"))))
}
