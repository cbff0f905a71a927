//! What operators ask of dead letters: groups to look at, and one action on many.

use std::num::NonZeroU32;

use jiff::Timestamp;
use tokio::sync::watch;

use super::Reply;
use crate::store::{DeadGroup, TaskFilter};
use crate::task::Task;

/// Everything that can be asked of dead letters together.
#[derive(Debug)]
pub enum DeadLetterCommand {
    /// What did they die of?
    Count {
        /// Which dead tasks.
        filter: TaskFilter,
        /// Their groups, by app, queue, handler and code.
        reply: Reply<Vec<DeadGroup>>,
    },
    /// Replays or discards many, in bounded steps.
    Act {
        /// What to do, and to which.
        ask: DeadLetterAsk,
        /// How it goes. Who drops the other end lets the step under way end and starts no other.
        progress: watch::Sender<DeadLetterProgress>,
        /// Answered at the end.
        reply: Reply<DeadLetterProgress>,
    },
}

/// What to do to which dead tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterAsk {
    /// Which. Only what died before the ask is taken is meant: what dies again meanwhile is not taken a second time.
    pub filter: TaskFilter,
    /// What to do.
    pub action: DeadLetterAction,
    /// Only count them and show some.
    pub dry_run: bool,
}

/// What can be done to dead tasks together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetterAction {
    /// Run them again, under their ids.
    Replay {
        /// At most so many become due in a second; all at once when absent.
        rate: Option<NonZeroU32>,
    },
    /// They shall not be replayed: they are cancelled.
    Discard {
        /// Why. It becomes part of each task's error.
        reason: String,
    },
}

impl DeadLetterAction {
    /// The name used in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Replay { .. } => "replay",
            Self::Discard { .. } => "discard",
        }
    }
}

/// How an action on many goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeadLetterProgress {
    /// Tasks that fitted when it began.
    pub matched: u64,
    /// Tasks it was done to.
    pub acted: u64,
    /// By when all that were replayed are due; absent until one was.
    pub due_by: Option<Timestamp>,
    /// Of a dry run: some of those that fit, newest first.
    pub sample: Vec<Task>,
}
