//! What an attempt may know and do.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

use super::NotDone;
use crate::error::{ErrorCode, TaskError};
use crate::event::NewEvent;
use crate::outcome::SettleWith;
use crate::store::{AppWrite, Store};
use crate::task::{Lease, LeasedTask, NewTask, Progress, Task};
use crate::worker::WorkerDescriptor;

/// A handler's view of its attempt. Cheap to clone; all clones are the same attempt.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    task: Task,
    lease: Lease,
    cancel: CancellationToken,
    store: Arc<dyn Store>,
    worker: Arc<WorkerDescriptor>,
    with: Mutex<SettleWith>,
}

/// What the executor puts into a context.
pub struct ContextParts {
    /// The leased task.
    pub leased: LeasedTask,
    /// Set when the attempt shall end.
    pub cancel: CancellationToken,
    /// Where effects are noted.
    pub store: Arc<dyn Store>,
    /// Which effects are declared.
    pub worker: Arc<WorkerDescriptor>,
}

impl Context {
    /// A context for one attempt.
    pub fn new(parts: ContextParts) -> Self {
        let ContextParts { leased, cancel, store, worker } = parts;
        Self(Arc::new(Inner {
            task: *leased.task,
            lease: leased.lease,
            cancel,
            store,
            worker,
            with: Mutex::default(),
        }))
    }

    /// The task, as it was when the attempt began.
    pub fn task(&self) -> &Task {
        &self.0.task
    }

    /// The right under which this attempt runs.
    pub fn lease(&self) -> Lease {
        self.0.lease
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.task.attempt
    }

    /// Whether a person let the task go on after it was parked.
    pub fn approved(&self) -> bool {
        self.0.task.approved
    }

    /// The worker that runs it.
    pub fn worker(&self) -> &WorkerDescriptor {
        &self.0.worker
    }

    /// Set when the attempt shall end: stop, lost lease, timeout. A handler that works long looks at it.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.0.cancel
    }

    /// The store, for reads of the app's own rows.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// A task that exists when, and only when, this attempt is settled as done. It inherits correlation and cause.
    pub fn enqueue(&self, mut task: NewTask) {
        task.causation_id = Some(self.0.task.id);
        if task.correlation_id.is_none() {
            task.correlation_id.clone_from(&self.0.task.correlation_id);
        }
        if task.trace.is_none() {
            task.trace.clone_from(&self.0.task.trace);
        }
        self.with().follow_ups.push(task);
    }

    /// A fact that is stated when, and only when, this attempt is settled as done.
    pub fn emit(&self, event: NewEvent) {
        self.with().events.push(event);
    }

    /// A transactional effect: rows of the app that commit with the settlement, or not at all. A worker that declared none has its
    /// attempt refused with [`ErrorCode::UndeclaredEffect`] in place of the settlement.
    pub fn write(&self, write: AppWrite) {
        self.with().app_writes.push(write);
    }

    /// Where the attempt before this one said it would go on.
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.0.task.checkpoint.as_deref()
    }

    /// Stores where a later attempt would go on, and how far this one is. Durable when it returns.
    ///
    /// # Errors
    /// [`NotDone::LeaseLost`] when the lease is lost; a retry when the store fails.
    pub async fn save(&self, checkpoint: Vec<u8>, progress: Option<Progress>) -> Result<(), NotDone> {
        if self.0.store.checkpoint(self.0.lease, Some(checkpoint), progress).await? {
            Ok(())
        } else {
            Err(NotDone::LeaseLost)
        }
    }

    /// Takes what rides along with the settlement. Called once by the executor, after the handler.
    ///
    /// # Errors
    /// [`ErrorCode::UndeclaredEffect`] when there are rows and the worker declared no transactional effect.
    pub fn take_with(&self) -> Result<Option<Box<SettleWith>>, TaskError> {
        let with = std::mem::take(&mut *self.with());
        if !with.app_writes.is_empty() && !self.0.worker.writes_rows() {
            let text =
                format!("worker {} writes rows and declared no transactional effect", self.0.worker.name);
            return Err(TaskError::new(ErrorCode::UndeclaredEffect, text));
        }
        Ok(if with.is_empty() { None } else { Some(Box::new(with)) })
    }

    fn with(&self) -> MutexGuard<'_, SettleWith> {
        // A handler that panicked while it held the guard left a list in order: pushes are not torn.
        self.0.with.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("lease", &self.0.lease).finish_non_exhaustive()
    }
}

/// Turns any displayable failure into a retry. For peers that say nothing better.
impl NotDone {
    /// A retry with this text.
    pub fn retry(message: impl Into<String>) -> Self {
        TaskError::retryable(message).into()
    }

    /// A rejection with this text.
    pub fn reject(message: impl Into<String>) -> Self {
        TaskError::permanent(message).into()
    }
}
