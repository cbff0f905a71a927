//! Dead letters: tasks that will not be retried by themselves, looked at in groups.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::error::ErrorCode;
use crate::name::{AppName, HandlerName, QueueName};
use crate::store::{StoreError, TaskFilter};
use crate::task::{TaskId, TaskState};

/// Dead tasks of one route that died of the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadGroup {
    /// The app.
    pub app: AppName,
    /// The queue.
    pub queue: QueueName,
    /// The handler.
    pub handler: HandlerName,
    /// What they died of.
    pub code: ErrorCode,
    /// How many there are.
    pub count: u64,
    /// Whether all were counted; else there are at least so many.
    pub whole: bool,
    /// When the first of them died; of those that were looked at, where that was not all.
    pub oldest: Timestamp,
    /// When the last of them died.
    pub newest: Timestamp,
    /// The one of them that died last.
    pub example: TaskId,
}

/// Dead tasks by what they died of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadGroups {
    /// The groups, by app, queue, handler and code.
    pub groups: Vec<DeadGroup>,
    /// Whether every dead task that fits is in one of them; else there are at least these, and there may be other groups.
    pub whole: bool,
}

impl DeadGroups {
    /// Tasks of all groups.
    pub fn total(&self) -> u64 {
        self.groups.iter().map(|group| group.count).sum()
    }
}

impl Default for DeadGroups {
    fn default() -> Self {
        Self { groups: Vec::new(), whole: true }
    }
}

/// Looks at dead letters together.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Dead tasks that fit the filter, in groups. Never looks at tasks that are not dead, and at `look_at_most` of those before it stops and
    /// says so; [`u64::MAX`]: at all of them. What an index answers needs no look at a task.
    async fn dead_groups(&self, filter: TaskFilter, look_at_most: u64) -> Result<DeadGroups, StoreError>;
}

impl TaskFilter {
    /// The same filter for dead tasks alone; `None` when it asks for others.
    #[must_use]
    pub fn of_the_dead(self) -> Option<Self> {
        self.in_states(&[TaskState::Dead])
    }

    /// The same filter for tasks in these states alone; `None` when it asks for others.
    #[must_use]
    pub fn in_states(mut self, states: &[TaskState]) -> Option<Self> {
        let possible = self.possible_states();
        self.states = states.iter().copied().filter(|state| possible.contains(state)).collect();
        (!self.states.is_empty()).then_some(self)
    }
}
