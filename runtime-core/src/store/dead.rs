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
    /// When the first of them died.
    pub oldest: Timestamp,
    /// When the last of them died.
    pub newest: Timestamp,
    /// The one of them that was created last.
    pub example: TaskId,
}

/// Looks at dead letters together.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Dead tasks that fit the filter by app, queue, handler and code, in this order. Never looks at tasks that are not dead.
    async fn dead_groups(&self, filter: TaskFilter) -> Result<Vec<DeadGroup>, StoreError>;
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
