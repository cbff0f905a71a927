//! The port of operations: one decision about many tasks, and the one way in which a batch of it is written.

use std::time::Duration;

use async_trait::async_trait;

use super::{Revision, StoreError};
use crate::error::TaskError;
use crate::operation::{Operation, OperationId, OperationSpec, OperationState};
use crate::task::TaskId;

/// Finished operations that a store keeps; the oldest go first.
pub const KEPT_OPERATIONS: u16 = 1_000;

/// A batch that was decided on, and how the operation stands after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationStep {
    /// Which operation.
    pub id: OperationId,
    /// The revision the step was decided on.
    pub revision: Revision,
    /// The tasks to change, in this order.
    pub tasks: Vec<TaskId>,
    /// Where the next step goes on.
    pub cursor: Option<TaskId>,
    /// The next step not before so long from now, by the store's clock.
    pub wait: Duration,
    /// How it stands afterwards.
    pub state: OperationState,
    /// Why it ended, when not because everything was done.
    pub error: Option<TaskError>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stepped {
    /// The tasks are changed, and the operation is where the step leads.
    Done {
        /// The operation now.
        operation: Box<Operation>,
        /// Tasks that fit and are under way: whoever holds them has to be asked. They are in no count.
        under_way: Vec<TaskId>,
    },
    /// Somebody else has written the operation since, it has ended, or it is gone. Nothing was written.
    Conflict,
}

/// Operations, as documents beside the tasks they change.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Notes an operation, which runs from here on. Finished ones beyond [`KEPT_OPERATIONS`] are forgotten.
    async fn start_operation(&self, spec: OperationSpec) -> Result<Operation, StoreError>;

    /// One operation.
    async fn operation(&self, id: OperationId) -> Result<Option<Operation>, StoreError>;

    /// Operations, newest first; `before` is the last one of the page before.
    async fn operations(
        &self,
        before: Option<OperationId>,
        page_size: usize,
    ) -> Result<Vec<Operation>, StoreError>;

    /// Those that have not ended, oldest first.
    async fn running_operations(&self) -> Result<Vec<Operation>, StoreError>;

    /// Writes a step: what happens to its tasks and how far the operation is, in one transaction, or neither. Conditional on the revision,
    /// so that of two who decided on the same one alone changes tasks, and a crash leaves a batch either done and counted or not begun.
    ///
    /// Each task is looked at once more: one that no longer fits the operation's filter is passed over and counted as skipped.
    async fn step_operation(&self, step: OperationStep) -> Result<Stepped, StoreError>;
}
