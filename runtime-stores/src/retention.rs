//! How long what is finished is kept.

use std::time::Duration;

use runtime_core::audit::AuditKind;
use runtime_core::task::TaskState;

/// What a store keeps of finished tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// History keeps a task that is done or cancelled so long.
    pub keep_finished_for: Duration,
    /// History keeps at most so many tasks that are done or cancelled; those created first go first.
    pub keep_finished_at_most: u64,
    /// History keeps a dead task so long.
    pub keep_dead_for: Duration,
    /// History keeps at most so many dead tasks; those created first go first.
    pub keep_dead_at_most: u64,
    /// An idempotency key is remembered as long as its task, live or in history, and at least so long after the task finished.
    pub keep_keys_for: Duration,
    /// The audit log keeps an entry so long.
    pub keep_audit_for: Duration,
    /// The audit log keeps at most so many mutations, and so many denials; the oldest go first, and neither push the other out.
    pub keep_audit_at_most: u64,
}

/// Kinds of audit entries that are counted apart.
pub(crate) const AUDIT_KINDS: [AuditKind; 2] = [AuditKind::Mutation, AuditKind::Denial];

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep_finished_for: Duration::from_hours(7 * 24),
            keep_finished_at_most: 1_000_000,
            keep_dead_for: Duration::from_hours(30 * 24),
            keep_dead_at_most: 100_000,
            keep_keys_for: Duration::from_hours(30 * 24),
            keep_audit_for: Duration::from_hours(365 * 24),
            keep_audit_at_most: 1_000_000,
        }
    }
}

/// What is forgotten by the same rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Done and cancelled tasks.
    Finished,
    /// Dead tasks.
    Dead,
}

impl Kept {
    /// Which rule a finished task falls under.
    pub(crate) fn of(state: TaskState) -> Self {
        if state == TaskState::Dead { Self::Dead } else { Self::Finished }
    }
}

impl Retention {
    /// For how many milliseconds, and how many tasks.
    pub(crate) fn keeps(&self, kept: Kept) -> (i64, u64) {
        match kept {
            Kept::Finished => (millis(self.keep_finished_for), self.keep_finished_at_most),
            Kept::Dead => (millis(self.keep_dead_for), self.keep_dead_at_most),
        }
    }

    /// For how many milliseconds, and how many entries of each kind.
    pub(crate) fn keeps_audit(&self) -> (i64, u64) {
        (millis(self.keep_audit_for), self.keep_audit_at_most)
    }

    /// For how many milliseconds after a task finished.
    pub(crate) fn keeps_keys(&self) -> i64 {
        millis(self.keep_keys_for)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
