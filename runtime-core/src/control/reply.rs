//! Where the answer to a command goes, and what it says when the command was not carried out.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::{ErrorCode, TaskError};
use crate::input::{Misfit, Misfits};
use crate::store::{EnqueueError, SteerError, StoreError};

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// The code of the closed list.
    pub code: ErrorCode,
    /// What to know about it.
    pub message: String,
    /// What of the asked does not fit, place by place; empty where that is not the reason.
    pub misfits: Vec<Misfit>,
    /// How long to wait before the same is asked again, where that is known.
    pub retry_after: Option<Duration>,
}

impl CommandError {
    /// An error with this code and text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), misfits: Vec::new(), retry_after: None }
    }

    /// No such thing.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, what)
    }

    /// The thing is no longer as whoever changes it has read it.
    pub fn changed(what: impl Into<String>) -> Self {
        Self::new(ErrorCode::ChangedMeanwhile, what)
    }

    /// The thing is there but not in a state that allows it.
    pub fn precondition(why: impl Into<String>) -> Self {
        Self::new(ErrorCode::FailedPrecondition, why)
    }
}

impl From<Misfits> for CommandError {
    fn from(error: Misfits) -> Self {
        let message = error.to_string();
        Self { misfits: error.0, ..Self::new(ErrorCode::InvalidInput, message) }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<SteerError> for CommandError {
    fn from(error: SteerError) -> Self {
        match error {
            SteerError::NotFound(_) => Self::not_found(error.to_string()),
            SteerError::Changed(_) => Self::changed(error.to_string()),
            SteerError::NotAllowed(_) => Self::precondition(error.to_string()),
            SteerError::PayloadTooLarge { .. } => Self::new(ErrorCode::TooLarge, error.to_string()),
        }
    }
}

impl From<EnqueueError> for CommandError {
    fn from(error: EnqueueError) -> Self {
        let retry_after = error.retry_after();
        Self { retry_after, ..Self::new(error.code(), error.to_string()) }
    }
}

impl From<CommandError> for TaskError {
    fn from(error: CommandError) -> Self {
        Self { retry_after: error.retry_after, ..Self::new(error.code, error.message) }
    }
}

/// Where a command's answer goes. An answer to an asker who has gone is dropped.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<Result<T, CommandError>>);

impl<T> Reply<T> {
    /// A reply and where it arrives.
    pub fn channel() -> (Self, oneshot::Receiver<Result<T, CommandError>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers.
    pub fn send(self, answer: Result<T, CommandError>) {
        drop(self.0.send(answer));
    }
}
