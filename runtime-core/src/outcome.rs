//! How an attempt ended, and what is written when that outcome is settled.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, TaskError};
use crate::event::NewEvent;
use crate::name::StepName;
use crate::node::NodePath;
use crate::store::AppWrite;
use crate::task::{Lease, NewTask, TaskId, TaskState};
use crate::trace::TraceContext;

/// Why a task waits for somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// A person has to decide; the text says what.
    NeedsDecision {
        /// What is to be decided.
        question: String,
    },
    /// An unkeyed effect began and nobody knows whether it happened.
    EffectUnknown {
        /// The step.
        step: StepName,
    },
    /// An outside system will report the completion.
    AwaitsCompletion {
        /// Who, or what, will report.
        by: String,
    },
}

impl ParkReason {
    /// The reason as the error a parked task shows.
    pub fn to_error(&self) -> TaskError {
        match self {
            Self::NeedsDecision { question } => TaskError::new(ErrorCode::NeedsDecision, question.clone()),
            Self::EffectUnknown { step } => TaskError::new(
                ErrorCode::EffectUnknown,
                format!(
                    "step {step} began and its result is not known; approve if it happened, reject to run it again"
                ),
            ),
            Self::AwaitsCompletion { by } => TaskError::new(
                ErrorCode::NeedsDecision,
                format!("waits for the completion that {by} reports"),
            ),
        }
    }
}

/// Why a lease was given back without an end of the attempt. Never counted against the task's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// The runtime, or the worker, is stopping.
    Shutdown,
    /// The worker was stopped or paused before the attempt began.
    NotStarted,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The handler did its work.
    Done {
        /// A JSON document.
        output: Vec<u8>,
    },
    /// It failed and may be tried again.
    Retry {
        /// What happened.
        error: TaskError,
        /// How long the next attempt waits. Computed from the worker's retry policy before settling.
        after: Duration,
    },
    /// It failed for good.
    Reject {
        /// What happened.
        error: TaskError,
    },
    /// Not now: come again later. Does not count as an attempt.
    Snooze {
        /// How long to wait.
        wait: Duration,
    },
    /// Somebody else has to act.
    Park {
        /// Who and why.
        reason: ParkReason,
    },
    /// The handler decided that the task shall not run.
    Cancel {
        /// Why.
        reason: String,
    },
    /// The lease is given back.
    Released {
        /// Why.
        reason: ReleaseReason,
    },
}

impl Outcome {
    /// A stable name for logs, metrics and history.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Retry { .. } => "retry",
            Self::Reject { .. } => "reject",
            Self::Snooze { .. } => "snooze",
            Self::Park { .. } => "park",
            Self::Cancel { .. } => "cancel",
            Self::Released { .. } => "released",
        }
    }

    /// The error it carries, when it carries one.
    pub fn error(&self) -> Option<TaskError> {
        match self {
            Self::Done { .. } | Self::Snooze { .. } | Self::Released { .. } => None,
            Self::Retry { error, .. } | Self::Reject { error } => Some(error.clone()),
            Self::Park { reason } => Some(reason.to_error()),
            Self::Cancel { reason } => Some(TaskError::new(ErrorCode::Cancelled, reason.clone())),
        }
    }

    /// The code of [`Outcome::error`].
    pub fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Done { .. } | Self::Snooze { .. } | Self::Released { .. } => None,
            Self::Retry { error, .. } | Self::Reject { error } => Some(error.code),
            Self::Park { reason: ParkReason::EffectUnknown { .. } } => Some(ErrorCode::EffectUnknown),
            Self::Park { .. } => Some(ErrorCode::NeedsDecision),
            Self::Cancel { .. } => Some(ErrorCode::Cancelled),
        }
    }
}

/// What rides in the settling transaction of a done attempt beside the outcome.
#[derive(Debug, Default)]
pub struct SettleWith {
    /// Tasks that follow. Always taken, also by a full queue.
    pub follow_ups: Vec<NewTask>,
    /// Facts for the outbox.
    pub events: Vec<NewEvent>,
    /// The app's own rows, in the order in which the handler asked.
    pub app_writes: Vec<AppWrite>,
}

impl SettleWith {
    /// Whether nothing rides along.
    pub fn is_empty(&self) -> bool {
        self.follow_ups.is_empty() && self.events.is_empty() && self.app_writes.is_empty()
    }
}

/// The end of one attempt, ready to be written.
#[derive(Debug)]
pub struct Settlement {
    /// The right to write.
    pub lease: Lease,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// What rides along; only with [`Outcome::Done`].
    pub with: Option<Box<SettleWith>>,
    /// The worker's node that ran it, for the record.
    pub node: Option<NodePath>,
    /// When the attempt began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The attempt's own trace.
    pub trace: Option<TraceContext>,
}

/// What settling one attempt did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The outcome is on disk.
    Applied {
        /// Where the task stands now.
        state: TaskState,
        /// Ids of its follow-up tasks, in the order asked.
        follow_ups: Vec<TaskId>,
    },
    /// The lease was lost: nothing was written.
    Stale,
    /// This member's app write or follow-up failed: nothing of it was written, the lease is still held.
    Undone {
        /// What failed.
        error: TaskError,
    },
}
