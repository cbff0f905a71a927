//! An instance that takes no new work: what it has, ends. For this process alone, and not stored.

use jiff::Timestamp;

use super::Reply;

/// That an instance takes no new work, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainView {
    /// Since when.
    pub since: Timestamp,
    /// Who wanted it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Tasks that it still holds the lease of.
    pub leased: u64,
    /// Nothing is under way any more.
    pub drained: bool,
}

/// A command about the draining of the whole instance.
#[derive(Debug)]
pub enum DrainCommand {
    /// Take no new work. Nothing of what operators want of single nodes, queues or schedules is touched.
    Start {
        /// Who wants it.
        by: String,
        /// Why.
        reason: String,
        /// Only answer how it would be.
        validate_only: bool,
        /// Answered when everything that takes work has heard of it. One that drains already says since when, by whom and why.
        reply: Reply<DrainView>,
    },
    /// Take work again. What operators had paused or stopped stays so.
    Stop {
        /// Answered when everything that takes work has heard of it: with how far it was, when it did drain.
        reply: Reply<Option<DrainView>>,
    },
}
