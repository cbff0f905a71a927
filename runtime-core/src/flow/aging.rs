//! Priority with ageing, as one integer that never changes while the task waits.

use std::time::Duration;

use jiff::Timestamp;

use crate::task::Priority;

/// Where a task stands among the ready ones: lower goes first. The time it is due, in microseconds, plus one `step` for each degree
/// of priority (lower is better, so a better priority is a head start).
///
/// The obvious ageing, "priority minus the time waited", changes with the clock for every waiting task and would have to be sorted
/// anew at each look. But all waiting tasks age alike, so only differences matter, and those stay: the order by rank is the order by
/// aged priority at any moment, and an index can hold it.
///
/// What it means: between tasks of priorities `p` and `q` (`q` the better, lower one) the worse goes first exactly if it was due more
/// than `(p - q) * step` earlier. So no task is passed for ever: those who come later than that stand behind it, whatever their
/// priority. With a `step` of zero the oldest goes first; with one longer than any task waits, priority decides alone.
///
/// Saturates at both ends instead of wrapping, and then ranks alike what lies beyond.
pub fn rank(due: Timestamp, priority: Priority, step: Duration) -> i64 {
    let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
    due.as_microsecond().saturating_add(step.saturating_mul(i64::from(priority.0)))
}
