//! Places from claim to mark where a test can end the process, as a crash would.
//!
//! ```text
//! found ─▶ enqueue ─▶ lease ─▶ attempt ─▶ handler (intent ─▶ call ─▶ result) ─▶ settle ─▶ report ─▶ mark
//!                │        │        │          │         │       │         │        │  │        │       │
//!                └────────┴────────┴──────────┴─────────┴───────┴─────────┴────────┴──┴────────┴───────┘
//! ```
//!
//! [`ALL`] is the list, and [`OPERATION`] that of operations. A place is marked with [`failpoint!`](crate::failpoint!), which checks at
//! compile time that its name is on one of them. Without the feature `faults` nothing of it is left in the program. With it, the environment variable `RUNTIME_FAILPOINT`, written
//! `name:count`, aborts the process when the place is reached for the `count`-th time: no destructor runs, nothing is flushed.

/// Every place, in the order in which a task meets them, with what is on disk there.
pub const ALL: &[(&str, &str)] = &[
    ("enqueue_committed", "the task is on disk, its source has not been told"),
    ("lease_committed", "the lease is on disk, no attempt has begun"),
    ("attempt_begun", "the attempt has begun, the handler has not"),
    ("effect_intent_due", "an unkeyed effect is about to be noted"),
    ("effect_intent_written", "the intent of an unkeyed effect is on disk, nothing was called"),
    ("effect_called", "an unkeyed effect has happened, its result is not on disk"),
    ("effect_result_written", "the result of an unkeyed effect is on disk"),
    ("handler_returned", "the handler is done, its outcome was not submitted"),
    ("settle_uncommitted", "the settlement is written in the open transaction"),
    ("settle_committed", "the settlement is on disk, nobody has been told"),
    ("mark_due", "the source is about to hear what is finished"),
    ("marked", "the outside is marked, the pump does not know it yet"),
];

/// Every place of an operation, in the order of a batch, with what is on disk there.
pub const OPERATION: &[(&str, &str)] = &[
    ("operation_started", "the operation is on disk, nobody has been told"),
    ("operation_uncommitted", "a batch is written in the open transaction"),
    ("operation_committed", "a batch is on disk with how far the operation is, nobody has been told"),
];

/// Whether a name is on a list.
pub const fn is_listed(name: &str) -> bool {
    is_in(ALL, name) || is_in(OPERATION, name)
}

const fn is_in(list: &[(&str, &str)], name: &str) -> bool {
    let mut index = 0;
    while index < list.len() {
        if is_same(list[index].0.as_bytes(), name.as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// Marks a place of the list.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {{
        const { assert!($crate::failpoint::is_listed($name), "this failpoint is not on the list") };
        $crate::failpoint::reached($name);
    }};
}

/// Nothing: the program was built without faults.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn reached(_name: &'static str) {}

/// Ends the process when this is the place, and the time, that the environment names.
#[cfg(feature = "faults")]
pub fn reached(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("RUNTIME_FAILPOINT").ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        assert!(is_listed(name), "RUNTIME_FAILPOINT names no place of the list: {text:?}");
        let count: u64 = count.parse().expect("RUNTIME_FAILPOINT is written name:count");
        Some((name.to_owned(), AtomicU64::new(count)))
    });
    if let Some((wanted, left)) = wanted
        && wanted == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        eprintln!("failpoint {name} reached: the process ends here");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_whole() {
        assert!(is_listed("marked") && is_listed("mark_due"));
        assert!(!is_listed("mark") && !is_listed("marked_") && !is_listed(""));
    }

    #[test]
    fn a_place_that_is_not_asked_for_is_passed() {
        failpoint!("marked");
    }
}
