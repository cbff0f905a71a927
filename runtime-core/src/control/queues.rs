//! What operators ask of one queue: how it gives its tasks away, who has to wait, and that it waits as a whole.

use std::time::Duration;

use tokio::sync::watch;

use super::Reply;
use crate::etag::{Etag, Terms};
use crate::name::{QueueName, Scope};
use crate::node::{DesiredState, NodeView};
use crate::store::{OrderingHeads, OverriddenQueue, PausedScope, QueueChange, QueuePolicy, QueueStats};

/// Everything that can be asked of one queue.
#[derive(Debug)]
pub enum QueueCommand {
    /// How is it?
    Get {
        /// Which.
        queue: QueueName,
        /// The answer.
        reply: Reply<QueueDetail>,
    },
    /// Holds its tasks, as by a pause, and waits until none of them is under way any more.
    Drain {
        /// Which.
        queue: QueueName,
        /// Only the tasks of this scope; absent, its workers take no new work at all.
        scope: Option<Scope>,
        /// Why; kept with a paused scope.
        reason: String,
        /// On which terms. A look says at once how many are under way.
        terms: Terms,
        /// How many are still under way. Who drops the other end waits no longer; what is held stays so.
        leased: watch::Sender<u64>,
        /// Answered when none is: with that number.
        reply: Reply<u64>,
    },
    /// Holds its tasks, or lets them go. What runs, goes on.
    Pause {
        /// Which.
        queue: QueueName,
        /// Only the tasks of this scope; absent, its workers take no new work at all.
        scope: Option<Scope>,
        /// Hold, or let go.
        paused: bool,
        /// Why; kept with a paused scope.
        reason: String,
        /// On which terms.
        terms: Terms,
        /// The queue afterwards.
        reply: Reply<QueueDetail>,
    },
    /// Changes what operators say of its limits.
    Update {
        /// Which.
        queue: QueueName,
        /// What is said from now on, and what no longer.
        change: QueueChange,
        /// Why; kept while something is said.
        reason: String,
        /// On which terms.
        terms: Terms,
        /// The queue afterwards.
        reply: Reply<QueueDetail>,
    },
}

/// One queue in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueView {
    /// Its figures.
    pub stats: QueueStats,
    /// How fast it goes; `None` in the first second of the process.
    pub rates: Option<QueueRates>,
    /// Whether it waits as a whole: it has workers, and each of them is to be paused.
    pub paused: bool,
    /// How many of its scopes are paused.
    pub paused_scopes: u64,
    /// What operators said of it, for whoever says something else.
    pub etag: Etag,
}

/// One queue, with everything that keeps its tasks from running.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueDetail {
    /// Its figures.
    pub stats: QueueStats,
    /// How it gives its tasks away, as its worker declares.
    pub policy: QueuePolicy,
    /// What operators say in place of it, if they say anything.
    pub overridden: Option<OverriddenQueue>,
    /// The nodes of the workers that take from it.
    pub workers: Vec<NodeView>,
    /// Its scopes that are paused, by scope.
    pub paused_scopes: Vec<PausedScope>,
    /// Tasks whose turn it is within their ordering key, that do not run while others wait behind them.
    pub heads: OrderingHeads,
    /// How fast it goes; `None` in the first second of the process.
    pub rates: Option<QueueRates>,
    /// What operators said of it, for whoever says something else.
    pub etag: Etag,
}

impl QueueDetail {
    /// As it stands in a list.
    pub fn view(&self) -> QueueView {
        QueueView {
            stats: self.stats.clone(),
            rates: self.rates,
            paused: is_paused(self.workers.iter().map(|worker| worker.desired)),
            paused_scopes: self.paused_scopes.len() as u64,
            etag: self.etag.clone(),
        }
    }
}

/// Whether a queue waits as a whole, given what is wanted of each of its workers.
pub fn is_paused(wanted: impl IntoIterator<Item = DesiredState>) -> bool {
    let mut wanted = wanted.into_iter().peekable();
    wanted.peek().is_some() && wanted.all(|desired| desired == DesiredState::Paused)
}

/// How fast a queue went lately, as this process saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueRates {
    /// Tasks taken, a second.
    pub accepted: f64,
    /// Attempts settled, a second.
    pub settled: f64,
    /// Of these, the ones that ended with an error.
    pub failed: f64,
    /// Over so long, until now: about a minute, less when the process is younger.
    pub over: Duration,
}
