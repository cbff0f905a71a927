//! User code, and what it may do.
//!
//! A handler is an async function from an input to an output. The platform reads the task's payload into the input type,
//! checks it against the input's JSON schema, runs the function, checks the output, and settles:
//!
//! ```
//! use runtime_core::handler::{Context, HandlerResult, TypedHandler};
//! use runtime_core::input::TaskInput;
//! use runtime_core::name::{IdempotencyKey, InvalidName};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Greet { name: String }
//!
//! impl TaskInput for Greet {
//!     const KEY: &'static str = "name";
//!     fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
//!         IdempotencyKey::new(&self.name)
//!     }
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Greeting { text: String }
//!
//! async fn greet(_ctx: Context, input: Greet) -> HandlerResult<Greeting> {
//!     Ok(Greeting { text: format!("hello {}", input.name) })
//! }
//!
//! let handler = TypedHandler::new(greet);
//! ```

mod context;
mod effect;
mod typed;

use std::time::Duration;

use async_trait::async_trait;

pub use context::{Context, ContextParts};
pub use effect::EffectFailed;
pub use typed::TypedHandler;

use crate::error::{ErrorClass, ErrorCode, TaskError};
use crate::input::{InputError, Misfits};
use crate::name::InvalidName;
use crate::outcome::ParkReason;
use crate::store::StoreError;
use crate::task::NewTask;

/// What a handler returns: its output, or why there is none.
pub type HandlerResult<O> = Result<O, NotDone>;

/// Every end of an attempt but the good one, as a handler says it.
#[derive(Debug, Clone, PartialEq)]
pub enum NotDone {
    /// Failed; may be tried again, not before `after` when given.
    Retry {
        /// What happened.
        error: TaskError,
        /// Least time to wait.
        after: Option<Duration>,
    },
    /// Failed for good.
    Reject {
        /// What happened.
        error: TaskError,
    },
    /// Not now; does not count as an attempt.
    Snooze {
        /// How long to wait.
        wait: Duration,
    },
    /// Somebody else has to act.
    Park {
        /// Who and why.
        reason: ParkReason,
    },
    /// The task shall not run.
    Cancel {
        /// Why.
        reason: String,
    },
    /// The lease is gone: nothing this attempt does counts any more.
    LeaseLost,
}

impl From<TaskError> for NotDone {
    /// The error's class decides.
    fn from(error: TaskError) -> Self {
        match error.code.class() {
            ErrorClass::Retryable => Self::Retry { after: error.retry_after, error },
            ErrorClass::Permanent | ErrorClass::InvalidRequest | ErrorClass::InvalidOutput => {
                Self::Reject { error }
            }
            ErrorClass::NeedsHuman => {
                Self::Park { reason: ParkReason::NeedsDecision { question: error.message } }
            }
        }
    }
}

impl From<InputError> for NotDone {
    fn from(error: InputError) -> Self {
        TaskError::from(error).into()
    }
}

impl From<InvalidName> for NotDone {
    fn from(error: InvalidName) -> Self {
        TaskError::permanent(error.to_string()).into()
    }
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> Self {
        TaskError::from(error).into()
    }
}

/// A handler as the executor sees it: bytes in, bytes out.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt. Panics are caught by the executor.
    async fn run(&self, ctx: Context, payload: &[u8]) -> HandlerResult<Vec<u8>>;

    /// A task that was asked for by its document alone, with everything that follows from that document: the way of every door
    /// through which tasks come from outside the app's own code. What is said beside the document may only confirm what follows from it.
    /// A handler that knows nothing of its documents takes the task as it is.
    ///
    /// # Errors
    /// Every misfit of the document, and everything beside it that contradicts it.
    fn complete(&self, task: NewTask) -> Result<NewTask, Misfits> {
        Ok(task)
    }

    /// JSON schema of the input.
    fn input_schema(&self) -> serde_json::Value;

    /// JSON schema of the output.
    fn output_schema(&self) -> serde_json::Value;
}

/// Makes the error of a document that does not fit.
fn misfit(code: ErrorCode, field: String, why: impl std::fmt::Display) -> TaskError {
    TaskError::new(code, why.to_string()).at(field)
}
