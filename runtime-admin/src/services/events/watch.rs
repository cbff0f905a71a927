//! One watcher: where it stands, and what it is told next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use runtime_core::error::ErrorCode;
use runtime_core::journal::{Class, Cursor, EventJournal};
use runtime_proto::v1;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::pace::Pace;
use super::{Asked, READ, messages};
use crate::status::refused;

/// How long a watcher is told nothing at most.
const BOOKMARK_EVERY: Duration = Duration::from_secs(15);

/// Most events of one message.
const MAX_EVENTS: usize = 500;

/// Most events that are looked at for one message, when several become one.
const MAX_TOGETHER: usize = 20_000;

/// How somebody wants to be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling {
    /// Several events of one resource as one.
    pub(super) coalesce: bool,
    /// How many tasks, instead of which.
    pub(super) count_tasks: bool,
}

/// Somebody who watches.
pub(super) struct Watch {
    journal: Arc<dyn EventJournal>,
    pace: Arc<Pace>,
    asked: Asked,
    telling: Telling,
    /// What is still to be told of the state at the beginning; `None` once its end was told.
    state: Option<VecDeque<v1::Event>>,
    at: Cursor,
    /// Nothing was told yet: the first message says from where it watches.
    is_new: bool,
    /// When it reads again.
    read_at: Instant,
    bookmark_at: Instant,
    tree: Arc<Notify>,
    tasks: Arc<Notify>,
    stopping: CancellationToken,
    /// Told what happened up to the end of the server.
    is_over: bool,
    _counted: Box<dyn Send + Sync>,
}

impl Watch {
    pub(super) fn new(
        (journal, pace): (Arc<dyn EventJournal>, Arc<Pace>),
        asked: Asked,
        at: Cursor,
        telling: Telling,
        state: Option<Vec<v1::Event>>,
        is_new: bool,
        stopping: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        Self {
            tree: journal.written(Class::Tree),
            tasks: journal.written(Class::Tasks),
            _counted: journal.watching(),
            journal,
            pace,
            asked,
            telling,
            is_new,
            state: state.map(VecDeque::from),
            at,
            read_at: now,
            bookmark_at: now + BOOKMARK_EVERY,
            stopping,
            is_over: false,
        }
    }

    /// The next message, when there is one.
    ///
    /// # Errors
    /// It was overtaken, or the server ends: there is no next one.
    pub(super) async fn next(&mut self) -> Result<v1::WatchEventsResponse, Status> {
        if let Some(state) = &mut self.state {
            let events: Vec<v1::Event> = state.drain(..state.len().min(MAX_EVENTS)).collect();
            if !events.is_empty() {
                return Ok(v1::WatchEventsResponse { events, ..Default::default() });
            }
            self.state = None;
            return Ok(v1::WatchEventsResponse { initial_state_end: true, ..self.bookmark() });
        }
        if std::mem::take(&mut self.is_new) {
            return Ok(self.bookmark());
        }
        loop {
            let stopping = self.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => return self.last().ok_or_else(ends),
                () = sleep_until(self.read_at) => {}
            }
            let (tree, tasks) = (self.tree.clone(), self.tasks.clone());
            let (tree, tasks) = (tree.notified(), tasks.notified());
            tokio::pin!(tree, tasks);
            // From here on: what is written while it is read is not missed.
            tree.as_mut().enable();
            tasks.as_mut().enable();
            let (message, more) = self.read()?;
            if !more {
                self.read_at = self.read_at.max(Pace::after_all(self.journal.watchers()));
            }
            if message.is_some() || more {
                match message {
                    Some(message) => return Ok(message),
                    None => tokio::task::yield_now().await,
                }
                continue;
            }
            let classes = self.asked.classes;
            tokio::select! {
                () = tree, if classes.tree => {}
                () = tasks, if classes.tasks => {}
                () = stopping.cancelled() => return self.last().ok_or_else(ends),
                () = sleep_until(self.bookmark_at) => return Ok(self.bookmark()),
            }
        }
    }

    /// When the server ends: one more message, if there is anything to tell.
    fn last(&mut self) -> Option<v1::WatchEventsResponse> {
        let first = !std::mem::replace(&mut self.is_over, true);
        first.then(|| self.read().ok()?.0).flatten()
    }

    /// Reads on: what is to be told of it, and whether more is there.
    fn read(&mut self) -> Result<(Option<v1::WatchEventsResponse>, bool), Status> {
        let Telling { coalesce, count_tasks } = self.telling;
        let up_to = if coalesce || count_tasks { MAX_TOGETHER } else { READ };
        let most = if coalesce { MAX_TOGETHER } else { MAX_EVENTS };
        let page = self.journal.read(self.at, self.asked.classes, up_to).map_err(|_| {
            self.journal.cut_off();
            let what = "the watcher was overtaken: what it had not read yet is forgotten";
            refused(ErrorCode::SlowConsumer, what)
        })?;
        let selected = self.asked.select(&page, most);
        let (reached, tasks) = (selected.reached, selected.tasks());
        if tasks > 0 {
            self.read_at = self.pace.after_tasks(tasks);
        }
        let events = messages(self.at.life, selected, coalesce);
        self.at = reached;
        let more = page.more() || reached != page.next();
        if events.is_empty() {
            return Ok((None, more));
        }
        let message = v1::WatchEventsResponse { events, bookmark: false, ..self.bookmark() };
        Ok((Some(message), more))
    }

    fn bookmark(&mut self) -> v1::WatchEventsResponse {
        self.bookmark_at = Instant::now() + BOOKMARK_EVERY;
        v1::WatchEventsResponse { cursor: self.at.to_string(), bookmark: true, ..Default::default() }
    }
}

fn ends() -> Status {
    refused(ErrorCode::ShuttingDown, "the admin server ends: connect again and go on from the last cursor")
}
