//! What operators want of nodes and queues is changed by one at a time: who names the state that it goes out from, meets that state, or
//! hears that it is another.
//!
//! ```text
//! turn ─▶ is it as it was read? ─▶ write ─▶ count ─▶ tell the nodes ─▶ end of the turn ─▶ wait until it has happened
//! ```
//!
//! Nodes are told within the turn, so that they hear of two changes in the order in which these were made.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use runtime_core::control::CommandError;
use runtime_core::etag::{Etag, Terms};
use runtime_core::name::QueueName;
use tokio::sync::{Mutex as Turns, MutexGuard as TurnGuard};

use crate::platform::Platform;

/// Whose turn it is, and how often what is wanted of each queue has changed. Nodes count in their rows.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    turns: Turns<()>,
    queues: Mutex<HashMap<QueueName, u64>>,
}

/// The right to change what operators want.
pub(crate) struct Turn<'a>(#[expect(dead_code, reason = "held for its end")] TurnGuard<'a, ()>);

impl Wishes {
    /// Waits for a turn.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn(self.turns.lock().await)
    }

    /// What operators want of a queue. Read it before what it stands for: what is read later may be newer, never older.
    pub(crate) fn of_queue(&self, platform: &Platform, queue: &QueueName) -> Etag {
        Etag::counted(platform.table.began(), self.queues().get(queue).copied().unwrap_or(0))
    }

    /// The same of every queue, as of now.
    pub(crate) fn of_queues(&self, platform: &Platform) -> impl Fn(&QueueName) -> Etag + use<> {
        let (began, changes) = (platform.table.began(), self.queues().clone());
        move |queue| Etag::counted(began, changes.get(queue).copied().unwrap_or(0))
    }

    /// Whether a queue may be changed on these terms.
    ///
    /// # Errors
    /// It was changed since it was read.
    pub(crate) fn check_queue(
        &self,
        _turn: &Turn<'_>,
        platform: &Platform,
        queue: &QueueName,
        terms: &Terms,
    ) -> Result<(), CommandError> {
        if terms.fit(&self.of_queue(platform, queue)) {
            return Ok(());
        }
        Err(CommandError::changed(format!("queue {queue} was changed since it was read: read it again")))
    }

    /// Operators want something else of a queue.
    pub(crate) fn note_queue(&self, _turn: &Turn<'_>, platform: &Platform, queue: &QueueName) -> Etag {
        *self.queues().entry(queue.clone()).or_default() += 1;
        self.of_queue(platform, queue)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<QueueName, u64>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
