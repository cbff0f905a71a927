//! What a resource was when somebody read it: whoever changes it may name that, and hears when it is something else by now.
//!
//! ```text
//! read ─▶ etag ─▶ change on these terms ─▶ still so? ─▶ changed, with the next etag
//!                                              └─ no ─▶ refused: read it again, and decide anew
//! ```
//!
//! Whether it is still so is decided where the change is made, in its transaction or under its lock: of two who go out from the same
//! state, one alone changes it.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::task::{Epoch, TaskState};

/// A state of a resource. What it is made of is nobody's business: two are compared, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Etag(String);

impl Etag {
    /// Of something whose changes are counted, since this moment.
    pub fn counted(since: Timestamp, changes: u64) -> Self {
        Self(format!("{:x}-{changes:x}", since.as_millisecond()))
    }

    /// Of a task: it changes with every move, and with every other due time.
    pub fn of_task(state: TaskState, epoch: Epoch, attempt: u32, run_at: Timestamp) -> Self {
        Self(format!("{}-{:x}-{attempt:x}-{:x}", state.number(), epoch.0, run_at.as_millisecond()))
    }

    /// Of something that is compared by what it says.
    pub fn of_content(content: &impl Serialize) -> Self {
        let text = serde_json::to_vec(content).unwrap_or_default();
        Self(blake3::hash(&text).to_hex()[..16].to_owned())
    }

    /// Of something that is in one of few states.
    pub fn of_name(state: &str) -> Self {
        Self(state.to_owned())
    }

    /// As somebody gives it back; nothing for an empty text.
    pub fn given(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// On which terms something is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Only while it is as it was read; whatever it is when absent.
    pub expected: Option<Etag>,
    /// Only say how it would be.
    pub validate_only: bool,
}

impl Terms {
    /// Whether it may be changed that is this now.
    pub fn fit(&self, now: &Etag) -> bool {
        self.expected.as_ref().is_none_or(|expected| expected == now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_fits_the_state_that_was_read_and_no_other() {
        let since = Timestamp::from_second(1_790_000_000).unwrap();
        let (one, two) = (Etag::counted(since, 1), Etag::counted(since, 2));
        let on = |expected: &Etag| Terms { expected: Some(expected.clone()), ..Terms::default() };
        assert!(on(&one).fit(&one) && !on(&one).fit(&two) && Terms::default().fit(&two));
        assert_eq!((Etag::given(""), Etag::given(one.as_str())), (None, Some(one)));
        let later = Timestamp::from_second(1_790_000_001).unwrap();
        assert_ne!(Etag::counted(later, 2), two, "what another process counted is another state");
    }

    #[test]
    fn every_move_of_a_task_is_another_state() {
        let at = |seconds: i64| Timestamp::from_second(1_790_000_000 + seconds).unwrap();
        let ready = Etag::of_task(TaskState::Ready, Epoch(1), 0, at(0));
        for other in [
            Etag::of_task(TaskState::Scheduled, Epoch(1), 0, at(0)),
            Etag::of_task(TaskState::Ready, Epoch(2), 0, at(0)),
            Etag::of_task(TaskState::Ready, Epoch(1), 1, at(0)),
            Etag::of_task(TaskState::Ready, Epoch(1), 0, at(1)),
        ] {
            assert_ne!(ready, other);
        }
    }
}
