//! Facts that handlers state: written to the outbox in the settling transaction, relayed after it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::task::TaskId;

/// A fact as a handler states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// What kind of fact, in the past tense, for example `order_created`.
    pub kind: String,
    /// A JSON document.
    pub body: Vec<u8>,
}

/// A fact in the outbox. Positions grow in commit order and have no meaning beyond order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Place in the outbox.
    pub position: u64,
    /// The task whose settlement stated it.
    pub task: TaskId,
    /// When it was committed.
    pub at: Timestamp,
    /// The fact.
    pub event: NewEvent,
}

/// Somebody who wants to hear of facts.
#[async_trait::async_trait]
pub trait EventSubscriber: Send + Sync + 'static {
    /// Takes facts, in commit order. A fact may come again after an error or a crash.
    ///
    /// # Errors
    /// When they could not be taken: all of them come again.
    async fn deliver(&self, events: &[StoredEvent]) -> Result<(), crate::error::TaskError>;
}
