//! What readers ask and get.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Expr, TaskTest};
use crate::error::{ErrorClass, ErrorCode};
use crate::flow::Shedding;
use crate::name::{AppName, HandlerName, QueueName, Scope, Tenant};
use crate::task::{Task, TaskId, TaskState};

/// Which tasks: every given field must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskFilter {
    /// One of these states; empty means any.
    pub states: Vec<TaskState>,
    /// Of this app.
    pub app: Option<AppName>,
    /// In this queue.
    pub queue: Option<QueueName>,
    /// For this handler.
    pub handler: Option<HandlerName>,
    /// Of this tenant.
    pub tenant: Option<Tenant>,
    /// Of this scope.
    pub scope: Option<Scope>,
    /// Whose last error has this code.
    pub code: Option<ErrorCode>,
    /// Whose last error is of this class.
    pub error_class: Option<ErrorClass>,
    /// Accepted at this time or later.
    pub created_since: Option<Timestamp>,
    /// Accepted before this time.
    pub created_until: Option<Timestamp>,
    /// Finished at this time or later; what is not finished does not fit.
    pub finished_since: Option<Timestamp>,
    /// Finished before this time; what is not finished does not fit.
    pub finished_until: Option<Timestamp>,
    /// And this must hold: what an operator wrote in the filter language, whose OR and NOT the fields above cannot say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<Expr<TaskTest>>,
}

impl From<Expr<TaskTest>> for TaskFilter {
    fn from(expr: Expr<TaskTest>) -> Self {
        Self { also: Some(expr), ..Self::default() }
    }
}

/// One page of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskPage {
    /// The tasks, newest first: fewer than asked, even none, where few fit among many.
    pub tasks: Vec<Task>,
    /// Where the next page begins, when there may be one.
    pub next: Option<TaskId>,
}

/// How many tasks stand in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCounts([u64; 7]);

impl StateCounts {
    /// The count of one state.
    pub fn of(&self, state: TaskState) -> u64 {
        self.0[usize::from(state.number())]
    }

    /// The count of one state, to change.
    pub fn of_mut(&mut self, state: TaskState) -> &mut u64 {
        &mut self.0[usize::from(state.number())]
    }

    /// Tasks that are not finished.
    pub fn live(&self) -> u64 {
        TaskState::ALL.into_iter().filter(|state| !state.is_finished()).map(|state| self.of(state)).sum()
    }
}

/// How many tasks fit a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCount {
    /// By state.
    pub counts: StateCounts,
    /// Whether all were counted; else there are at least so many.
    pub whole: bool,
}

impl TaskCount {
    /// Tasks of all states.
    pub fn total(&self) -> u64 {
        TaskState::ALL.into_iter().map(|state| self.counts.of(state)).sum()
    }
}

/// A queue in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStats {
    /// The queue.
    pub queue: QueueName,
    /// Tasks by state. Finished ones: as many as history keeps.
    pub counts: StateCounts,
    /// When the ready task that goes next became due. `None` also when every ready task is held.
    pub oldest_ready: Option<Timestamp>,
    /// Most live tasks taken from outside.
    pub capacity: u64,
    /// Whether it sheds load, as of the last look: see [`super::QueuePolicy::shed`].
    pub shed: ShedView,
    /// Until when the limits of its lanes held tasks back, as the last ask was told. It may be past.
    pub limited_until: Option<Timestamp>,
}

/// What a queue refused to keep up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShedView {
    /// Since when and why it sheds; `None` while it takes everything.
    pub shedding: Option<Shedding>,
    /// Tasks it refused for that since the start of the process.
    pub refused: u64,
}
