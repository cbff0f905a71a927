//! How long what is finished is kept.

use std::time::Duration;

/// What a store keeps of finished tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// History keeps a finished task so long.
    pub keep_finished_for: Duration,
    /// History keeps at most so many tasks; those created first go first.
    pub keep_finished_at_most: u64,
    /// An idempotency key is remembered as long as its task, live or in history, and at least so long after the task finished.
    pub keep_keys_for: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep_finished_for: Duration::from_hours(7 * 24),
            keep_finished_at_most: 1_000_000,
            keep_keys_for: Duration::from_hours(30 * 24),
        }
    }
}

impl Retention {
    /// The three, in milliseconds and tasks.
    pub(crate) fn in_millis(&self) -> (i64, u64, i64) {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        (millis(self.keep_finished_for), self.keep_finished_at_most, millis(self.keep_keys_for))
    }
}
