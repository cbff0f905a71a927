//! The port through which work comes in from outside.
//!
//! ```text
//! outside ─▶ Source::next ─▶ pump: enqueue, keyed ─▶ queue ─▶ … ─▶ finished
//!    ▲                                                              │
//!    └────────────── Source::finished: mark it outside ◀────────────┘
//! ```
//!
//! A source never decides that something is done: it marks outside what the platform says is finished. After a crash it simply
//! finds the unmarked again; the idempotency key tells the platform that it knows them.

use async_trait::async_trait;

use crate::error::TaskError;
use crate::name::IdempotencyKey;
use crate::store::AppWrite;
use crate::task::{NewTask, TaskId, TaskState};

/// Something found outside, on its way to become a task.
#[derive(Debug, Clone)]
pub struct Found {
    /// What the outside calls it: same key, same thing.
    pub key: IdempotencyKey,
    /// The task to make. The pump sets its idempotency key.
    pub task: NewTask,
    /// Rows of the app that are to exist when the task does.
    pub writes: Vec<AppWrite>,
}

/// The end of a task that came from this source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What the outside calls it.
    pub key: IdempotencyKey,
    /// The task.
    pub task: TaskId,
    /// Done, dead or cancelled.
    pub state: TaskState,
    /// The handler's output, a JSON document, when done.
    pub output: Option<Vec<u8>>,
}

/// An outside system that work comes from.
///
/// One task drives it: [`Source::open`], then [`Source::next`] again and again, with [`Source::finished`] in between. After an
/// error the pump closes the source (drops what it holds), waits with back-off and opens it again.
#[async_trait]
pub trait Source: Send + 'static {
    /// Connects. Called again after every error.
    async fn open(&mut self) -> Result<(), TaskError>;

    /// Waits until there is something and returns it, at most `up_to`. Cancel-safe: what a dropped call found is found
    /// again. What was returned once is not returned again until the next `open`.
    async fn next(&mut self, up_to: usize) -> Result<Vec<Found>, TaskError>;

    /// Marks outside what is finished. Doing it twice must be harmless.
    async fn finished(&mut self, finished: &[Finished]) -> Result<(), TaskError>;
}
