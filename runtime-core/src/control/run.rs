//! What operators ask one worker to run, while everything else goes on or stays paused as it is.

use jiff::Timestamp;

use crate::name::{CorrelationId, Scope, WorkerName};
use crate::store::StateCounts;
use crate::task::TaskId;

/// What an operator wants one worker to run, while everything else goes on or stays paused as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAsk {
    /// The worker. It may be paused.
    pub worker: WorkerName,
    /// Which of its tasks.
    pub selection: RunSelection,
    /// What the run is to be found under afterwards.
    pub correlation: CorrelationId,
    /// Each task at most once: what fails waits for its retry, what follows waits for the worker.
    pub once: bool,
    /// Discard what the worker made for the scope, and make it again from truth.
    pub rebuild: bool,
    /// Only say what would be run.
    pub dry_run: bool,
}

/// Which tasks of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunSelection {
    /// This one. It must be ready.
    Task(TaskId),
    /// All of a scope that are ready, oldest first.
    Scope {
        /// The scope.
        scope: Scope,
        /// Made at this time or later.
        since: Option<Timestamp>,
        /// Made before this time.
        until: Option<Timestamp>,
    },
}

/// How an operator's run goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// Tasks that were selected.
    pub selected: u64,
    /// Of these, made for this run by the worker's rebuild function.
    pub made: u64,
    /// Where those that were run stand.
    pub counts: StateCounts,
    /// Tasks that could not be claimed: somebody else had them, or they are held.
    pub refused: u64,
}
