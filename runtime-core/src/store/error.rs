//! What can go wrong at a store.

use std::time::Duration;

use crate::error::{ErrorCode, TaskError};
use crate::flow::ShedCause;
use crate::name::{FlowKey, QueueName};
use crate::store::Capability;
use crate::task::TaskId;

/// A call failed as a whole: nothing of it was written, and it may be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space is left; free some, and work goes on by itself.
    #[error("the disk that holds the store is full; free some space")]
    Full,
    /// The file, or its folder, cannot be written.
    #[error("the store cannot be written: {detail}")]
    ReadOnly {
        /// What the system said.
        detail: String,
    },
    /// Another process owns the store.
    #[error("the store is owned by another instance: {owner}")]
    Owned {
        /// What the lock file says of it.
        owner: String,
    },
    /// A newer release wrote the store.
    #[error("the store has schema {found}, this release knows {known}")]
    TooNew {
        /// Version found.
        found: u32,
        /// Newest version known.
        known: u32,
    },
    /// The file is damaged.
    #[error("the store is damaged: {detail}")]
    Corrupt {
        /// What the check said.
        detail: String,
    },
    /// Anything else that the back end said.
    #[error("the store did not answer: {detail}")]
    Unavailable {
        /// What it said.
        detail: String,
    },
    /// More items in one call than allowed.
    #[error("{items} items in one call, at most {limit} are allowed")]
    BatchTooLarge {
        /// Items in the call.
        items: usize,
        /// Most allowed.
        limit: usize,
    },
    /// A checkpoint is larger than a payload may be.
    #[error("{bytes} bytes in one value, at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// Largest allowed.
        limit: usize,
    },
    /// The back end cannot do this.
    #[error("this store lacks the capability {0:?}")]
    CapabilityMissing(Capability),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// The code of the closed list.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Full => ErrorCode::StoreFull,
            Self::ReadOnly { .. } => ErrorCode::StoreReadOnly,
            Self::Owned { .. } => ErrorCode::StoreOwned,
            Self::TooNew { .. } => ErrorCode::StoreTooNew,
            Self::Corrupt { .. } => ErrorCode::StoreCorrupt,
            Self::Unavailable { .. } | Self::Closed => ErrorCode::StoreUnavailable,
            Self::BatchTooLarge { .. } | Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::CapabilityMissing(_) => ErrorCode::CapabilityMissing,
        }
    }
}

impl From<StoreError> for TaskError {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// One task was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    /// The queue holds as many tasks as it may.
    #[error("queue {queue} is full: it holds {capacity} tasks")]
    QueueFull {
        /// The queue.
        queue: QueueName,
        /// Its bound.
        capacity: u64,
    },
    /// The queue is overloaded, and the task's priority is one that can wait.
    #[error("queue {queue} sheds load ({cause}); offer it again in {} s", retry_after.as_secs_f64())]
    Shed {
        /// The queue.
        queue: QueueName,
        /// Why it sheds.
        cause: ShedCause,
        /// How long to wait first.
        retry_after: Duration,
    },
    /// The key is known with other content.
    #[error("the idempotency key belongs to task {existing}, which has other content")]
    IdempotencyConflict {
        /// The task the key belongs to.
        existing: TaskId,
    },
    /// The payload is larger than the limit.
    #[error("a payload of {bytes} bytes, at most {limit} are allowed")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
        /// Largest allowed.
        limit: usize,
    },
    /// No bucket of its lane ever holds what the task weighs.
    #[error(
        "a task of weight {weight} never fits lane {lane} of queue {queue}, whose rate gives {burst} tokens at a time"
    )]
    WeightAboveBurst {
        /// The queue.
        queue: QueueName,
        /// The lane.
        lane: FlowKey,
        /// The weight asked for.
        weight: u32,
        /// Tokens of a full bucket.
        burst: u32,
    },
    /// An ordering key was given and the store keeps none.
    #[error("this store lacks the capability {0:?}")]
    CapabilityMissing(Capability),
    /// The app's own write failed: nothing was written.
    #[error("the app's write failed")]
    AppWrite(#[source] TaskError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EnqueueError {
    /// The code of the closed list.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::QueueFull { .. } => ErrorCode::QueueFull,
            Self::Shed { .. } => ErrorCode::LoadShed,
            Self::IdempotencyConflict { .. } => ErrorCode::IdempotencyConflict,
            Self::PayloadTooLarge { .. } => ErrorCode::TooLarge,
            Self::WeightAboveBurst { .. } => ErrorCode::TooHeavy,
            Self::CapabilityMissing(_) => ErrorCode::CapabilityMissing,
            Self::AppWrite(_) => ErrorCode::AppWriteFailed,
            Self::Store(error) => error.code(),
        }
    }

    /// How long to wait before the same is tried again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Shed { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

impl From<EnqueueError> for TaskError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::AppWrite(cause) => cause,
            other => {
                let retry_after = other.retry_after();
                Self { retry_after, ..Self::new(other.code(), other.to_string()) }
            }
        }
    }
}

/// An operator's command on one task was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SteerError {
    /// No such task, or history no longer keeps it.
    #[error("no task {0}")]
    NotFound(TaskId),
    /// It is no longer as whoever steers it has read it.
    #[error("task {0} was changed since it was read: read it again")]
    Changed(TaskId),
    /// Its state does not allow it.
    #[error(transparent)]
    NotAllowed(#[from] crate::lifecycle::NotAllowed),
    /// The edited payload is larger than the limit.
    #[error("a payload of {bytes} bytes, at most {limit} are allowed")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
        /// Largest allowed.
        limit: usize,
    },
}
