//! A mailbox, a source on it and a real store, driven as a source's pump drives them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mail_order_bot::sources::{IncomingMail, SourceConfig};
use runtime_core::error::TaskError;
use runtime_core::name::{IdempotencyKey, InstanceName, Route};
use runtime_core::source::{Finished, Found, Source};
use runtime_core::store::{AppMigration, AppRows, Enqueued, SqlValue, TaskStore};
use runtime_core::task::{TaskId, TaskState};
use runtime_stores::{SqliteOptions, SqliteStore, SystemClock};
use runtime_tests::servers::Dovecot;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The table that the app keeps raw mails in.
const RAW_MAILS: &[AppMigration] = &[AppMigration {
    name: "raw mails",
    sql: "CREATE TABLE mail_raw (hash TEXT PRIMARY KEY, bytes BLOB NOT NULL, received_at INTEGER NOT NULL) WITHOUT ROWID",
}];

/// How long a mail may take to come before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both ways to wait for mail on a server.
pub(crate) const KINDS: [&str; 2] = ["imap_polling", "imap_idle"];

/// Settings of a source for this user of the server, without TLS.
pub(crate) fn settings(dovecot: &Dovecot, kind: &str, user: &str) -> Value {
    json!({
        "kind": kind,
        "account": "orders",
        "host": "127.0.0.1",
        "port": dovecot.imap_addr().port(),
        "tls": "none_loopback_only",
        "user": user,
        "password": "file:set by the inbox",
        "poll_secs": 1,
    })
}

/// A source with what a pump has: a store, and the mails that are not marked.
pub(crate) struct Inbox {
    _folder: TempDir,
    pub(crate) source: Box<dyn Source>,
    config: SourceConfig,
    route: Arc<Route>,
    store: SqliteStore,
    /// Tasks in the order in which they were accepted.
    pub(crate) accepted: Vec<(IdempotencyKey, TaskId, IncomingMail)>,
    /// How often a mail came that the store knew.
    pub(crate) known: usize,
    /// Errors after which the source was opened again.
    pub(crate) errors: Vec<TaskError>,
}

impl Inbox {
    /// A source that is not open yet.
    pub(crate) async fn new(mut settings: Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let password = folder.path().join("password");
        std::fs::write(&password, format!("{}\n", Dovecot::PASSWORD)).expect("write");
        if settings["password"] == "file:set by the inbox" {
            settings["password"] = format!("file:{}", password.display()).into();
        }
        let config: SourceConfig = serde_json::from_value(settings).expect("a configuration");
        let route = Route {
            app: "shop".parse().expect("a name"),
            queue: "mails".parse().expect("a name"),
            handler: "mail".parse().expect("a name"),
        };
        let route = Arc::new(route);
        let instance = InstanceName::new("test").expect("a name");
        let path: PathBuf = folder.path().join("store.db");
        let store =
            SqliteStore::open(SqliteOptions::new(path, instance, Arc::new(SystemClock))).expect("a store");
        store.migrate_app("shop".parse().expect("a name"), RAW_MAILS).await.expect("migrated");
        let source = config.build(route.clone());
        Self {
            _folder: folder,
            source,
            config,
            route,
            store,
            accepted: Vec::new(),
            known: 0,
            errors: Vec::new(),
        }
    }

    /// Begins with a source that remembers nothing, as a new process does.
    pub(crate) fn renew(&mut self) {
        self.source = self.config.build(self.route.clone());
    }

    /// Opens the source, again and again while the server does not let it.
    pub(crate) async fn open(&mut self) {
        let opened = tokio::time::timeout(PATIENCE, async {
            while let Err(error) = self.source.open().await {
                self.errors.push(error);
                // The pump's back-off.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        opened.await.unwrap_or_else(|_| panic!("it never opened: {:?}", self.errors.last()));
    }

    /// Takes mails in, at most `up_to` at a time, until so many tasks were accepted in all. Opens the source again after errors.
    pub(crate) async fn take_in(&mut self, accepted: usize, up_to: usize) {
        let taken = tokio::time::timeout(PATIENCE, async {
            while self.accepted.len() < accepted {
                let up_to = up_to.min(accepted - self.accepted.len());
                match self.source.next(up_to).await {
                    Ok(found) => {
                        assert!((1..=up_to).contains(&found.len()), "{} mails", found.len());
                        self.enqueue(found).await;
                    }
                    Err(error) => {
                        self.errors.push(error);
                        self.open().await;
                    }
                }
            }
        });
        if taken.await.is_err() {
            let (came, errors) = (self.accepted.len(), self.errors.len());
            panic!("{came} of {accepted} mails came; {errors} errors, the last: {:?}", self.errors.last());
        }
    }

    /// Makes tasks of what was found, as the pump does: all at once, each in one transaction with its raw bytes.
    pub(crate) async fn enqueue(&mut self, found: Vec<Found>) {
        let mut asked = Vec::new();
        for Found { key, task, writes } in found {
            let (store, keyed) = (self.store.clone(), task.clone().keyed(key.clone()));
            let answer = tokio::spawn(async move { store.enqueue_whole(vec![keyed], writes).await });
            asked.push((key, task, answer));
        }
        for (key, task, answer) in asked {
            let mail: IncomingMail = serde_json::from_slice(&task.payload).expect("a payload");
            let answers = answer.await.expect("an answer").expect("the same name stands for the same mail");
            match answers[0] {
                Enqueued::Accepted { id } => self.accepted.push((key, id, mail)),
                Enqueued::Duplicate { .. } | Enqueued::Replaced { .. } | Enqueued::Debounced { .. } => {
                    self.known += 1;
                }
            }
        }
    }

    /// Marks accepted mails of this range as finished; opens the source again after errors, until they are marked.
    pub(crate) async fn finish(&mut self, range: std::ops::Range<usize>, state: TaskState) {
        let finished = self.ended(range, state);
        while let Err(error) = self.source.finished(&finished).await {
            self.errors.push(error);
            self.open().await;
        }
    }

    /// The ends of accepted mails.
    pub(crate) fn ended(&self, range: std::ops::Range<usize>, state: TaskState) -> Vec<Finished> {
        let ended = |(key, task, _): &(IdempotencyKey, TaskId, IncomingMail)| Finished {
            key: key.clone(),
            task: *task,
            state,
            output: None,
        };
        self.accepted[range].iter().map(ended).collect()
    }

    /// The raw bytes that were kept, by hash.
    pub(crate) async fn raw(&self) -> BTreeMap<String, Vec<u8>> {
        let rows = self.store.query_app("SELECT hash, bytes FROM mail_raw", Vec::<SqlValue>::new()).await;
        let rows = rows.expect("rows");
        let row = |row: &runtime_core::store::SqlRow| {
            (row.text(0).expect("a hash").to_owned(), row.blob(1).expect("bytes").to_vec())
        };
        rows.iter().map(row).collect()
    }

    /// The subjects of the mails that were kept, each as often as it came.
    pub(crate) async fn subjects(&self) -> Vec<String> {
        let raw = self.raw().await;
        let mut subjects: Vec<String> = self
            .accepted
            .iter()
            .map(|(_, _, mail)| {
                let raw = String::from_utf8_lossy(&raw[mail.content.as_ref().expect("content")]).into_owned();
                let line = raw.lines().find_map(|line| line.strip_prefix("Subject: "));
                line.expect("a subject").to_owned()
            })
            .collect();
        subjects.sort();
        subjects
    }
}

/// A mail with this subject.
pub(crate) fn mail(subject: &str) -> Vec<u8> {
    format!("From: ann@example.org\nTo: orders@example.org\nMessage-ID: <{subject}@example.org>\nSubject: {subject}\n\n3 bolts\n")
        .into_bytes()
}

/// The subjects of so many mails, sorted.
pub(crate) fn subjects(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("order-{n:04}")).collect::<BTreeSet<_>>().into_iter().collect()
}
