//! What an idempotency key promises: for how long it stands for one task, and what a second task under it does.
//!
//! Two choices, made by whoever makes the task. The window says how long the key belongs to the known task; the policy says what happens to
//! a task that comes within it. Outside of the window a new task is made, and the key belongs to that one from then on.
//!
//! A task *waits* while it is scheduled or ready and was never leased. From its first lease on a handler may have read its payload, so
//! nothing replaces it any more, also while it waits for a retry: a debounced task that began is followed by a new one where its window is
//! [`UniqueWithin::WhileWaiting`], and what came late is not lost.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::task::{Epoch, TaskState};

/// What a task's idempotency key promises. Without a key it means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unique {
    /// For how long the key stands for the known task.
    pub within: UniqueWithin,
    /// What a task under a key that stands for another one does.
    pub on_conflict: OnConflict,
}

/// For how long a key stands for one task. The task that comes states it; the one that is known was accepted under its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniqueWithin {
    /// As long as the store remembers the key: while the task is live or in history, and for the store's stated time after it finished.
    #[default]
    Remembered,
    /// Until the task is first leased, or ends before that.
    WhileWaiting,
    /// Until the task is finished.
    WhileLive,
    /// So long after the task was accepted, whatever became of it. The store remembers the key at least that long.
    For(Duration),
    /// The key is never forgotten.
    Forever,
}

/// What happens to a task whose key stands for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Same content, same task; other content is a hard error.
    #[default]
    Insert,
    /// The known task stays as it is, whatever the content of the new one.
    Ignore,
    /// A known task that waits takes the new one's payload with its schema version, due time, deadline and priority; one that was leased
    /// stays as it is, and the new task is ignored. Only for the same work: app, handler, tenant, scope and ordering key must be those
    /// of the known task, anything else is the error of [`OnConflict::Insert`].
    Replace,
    /// As [`OnConflict::Replace`], and a bound for the due time: however often the task is put off, it is due no later than so long after
    /// it was first accepted.
    Debounce {
        /// Longest time between the acceptance and the due time.
        at_most: Duration,
    },
}

/// The task a key stands for, as the rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownTask {
    /// Whether the new task asks for the same.
    pub same_content: bool,
    /// Where it stands, or stood when history forgot it.
    pub state: TaskState,
    /// How often it was leased.
    pub epoch: Epoch,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

impl KnownTask {
    /// Scheduled or ready, and never leased.
    pub fn waits(&self) -> bool {
        matches!(self.state, TaskState::Scheduled | TaskState::Ready) && self.epoch == Epoch(0)
    }
}

/// What becomes of a task whose key is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyVerdict {
    /// The window is over: a new task is made, and the key belongs to it.
    New,
    /// The known task stays as it is, and is the answer.
    Known,
    /// The known task takes what the new one says, if it is the same work.
    Replace,
    /// As replace, due at this time at the latest.
    Debounce {
        /// The latest due time.
        latest: Timestamp,
    },
    /// Other content: a hard error.
    Conflict,
}

impl Unique {
    /// What becomes of a task that comes at `now` under the key of a known one.
    pub fn verdict(&self, known: KnownTask, now: Timestamp) -> KeyVerdict {
        if !self.stands(known, now) {
            return KeyVerdict::New;
        }
        match self.on_conflict {
            OnConflict::Insert if known.same_content => KeyVerdict::Known,
            OnConflict::Insert => KeyVerdict::Conflict,
            OnConflict::Ignore => KeyVerdict::Known,
            OnConflict::Replace | OnConflict::Debounce { .. } if !known.waits() => KeyVerdict::Known,
            OnConflict::Replace => KeyVerdict::Replace,
            OnConflict::Debounce { at_most } => {
                KeyVerdict::Debounce { latest: later(known.accepted_at, at_most) }
            }
        }
    }

    fn stands(&self, known: KnownTask, now: Timestamp) -> bool {
        match self.within {
            UniqueWithin::Remembered | UniqueWithin::Forever => true,
            UniqueWithin::WhileWaiting => known.waits(),
            UniqueWithin::WhileLive => !known.state.is_finished(),
            UniqueWithin::For(time) => now < later(known.accepted_at, time),
        }
    }

    /// Until when the key of a task accepted at `accepted_at` must be remembered, whatever the store's own time for keys; `None` when
    /// that time is enough.
    pub fn keep_until(&self, accepted_at: Timestamp) -> Option<Timestamp> {
        match self.within {
            UniqueWithin::Remembered | UniqueWithin::WhileWaiting | UniqueWithin::WhileLive => None,
            UniqueWithin::For(time) => Some(later(accepted_at, time)),
            UniqueWithin::Forever => Some(Timestamp::MAX),
        }
    }

    /// When a task accepted at `accepted_at` that asks for this due time is due at the latest.
    pub fn latest(&self, accepted_at: Timestamp) -> Option<Timestamp> {
        match self.on_conflict {
            OnConflict::Debounce { at_most } => Some(later(accepted_at, at_most)),
            OnConflict::Insert | OnConflict::Ignore | OnConflict::Replace => None,
        }
    }
}

/// The end of time when there is no such moment.
fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn known(state: TaskState, epoch: u64) -> KnownTask {
        KnownTask { same_content: false, state, epoch: Epoch(epoch), accepted_at: at(1_000) }
    }

    fn unique(within: UniqueWithin, on_conflict: OnConflict) -> Unique {
        Unique { within, on_conflict }
    }

    #[test]
    fn a_key_stands_for_its_task_as_long_as_its_window_says() {
        use TaskState::*;
        // Seconds after acceptance, state, epoch, and whether remembered, waiting, live, one minute, for ever stand.
        let cases = [
            (0, Ready, 0, [true, true, true, true, true]),
            (59, Scheduled, 0, [true, true, true, true, true]),
            (60, Scheduled, 0, [true, true, true, false, true]),
            (1, Leased, 1, [true, false, true, true, true]),
            (1, Scheduled, 1, [true, false, true, true, true]),
            (1, Ready, 1, [true, false, true, true, true]),
            (1, Parked, 1, [true, false, true, true, true]),
            (1, Done, 1, [true, false, false, true, true]),
            (60, Dead, 1, [true, false, false, false, true]),
            (1, Cancelled, 0, [true, false, false, true, true]),
        ];
        let windows = [
            UniqueWithin::Remembered,
            UniqueWithin::WhileWaiting,
            UniqueWithin::WhileLive,
            UniqueWithin::For(MINUTE),
            UniqueWithin::Forever,
        ];
        for (seconds, state, epoch, stands) in cases {
            for (within, stands) in windows.into_iter().zip(stands) {
                let verdict =
                    unique(within, OnConflict::Ignore).verdict(known(state, epoch), at(1_000 + seconds));
                let expected = if stands { KeyVerdict::Known } else { KeyVerdict::New };
                assert_eq!(verdict, expected, "{within:?}, {state} at epoch {epoch} after {seconds} s");
            }
        }
    }

    #[test]
    fn a_policy_says_what_a_second_task_does() {
        let debounce = OnConflict::Debounce { at_most: MINUTE };
        let latest = at(1_060);
        let waits = known(TaskState::Ready, 0);
        let same = KnownTask { same_content: true, ..waits };
        let leased = known(TaskState::Leased, 1);
        let retries = known(TaskState::Scheduled, 1);
        let verdicts = |policy| {
            let unique = unique(UniqueWithin::Remembered, policy);
            [same, waits, leased, retries].map(|known| unique.verdict(known, at(1_001)))
        };
        use KeyVerdict::*;
        assert_eq!(verdicts(OnConflict::Insert), [Known, Conflict, Conflict, Conflict]);
        assert_eq!(verdicts(OnConflict::Ignore), [Known; 4]);
        assert_eq!(verdicts(OnConflict::Replace), [Replace, Replace, Known, Known]);
        assert_eq!(verdicts(debounce), [Debounce { latest }, Debounce { latest }, Known, Known]);
    }

    #[test]
    fn only_a_window_that_outlasts_the_store_keeps_its_key() {
        let keep = |within| unique(within, OnConflict::Insert).keep_until(at(1_000));
        assert_eq!(keep(UniqueWithin::Remembered), None);
        assert_eq!(keep(UniqueWithin::For(MINUTE)), Some(at(1_060)));
        assert_eq!(keep(UniqueWithin::For(Duration::MAX)), Some(Timestamp::MAX));
        assert_eq!(keep(UniqueWithin::Forever), Some(Timestamp::MAX));
    }

    #[test]
    fn it_reads_back_as_it_was_written() {
        let asked = unique(UniqueWithin::For(MINUTE), OnConflict::Debounce { at_most: MINUTE });
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(serde_json::from_str::<Unique>(&text).unwrap(), asked);
        assert_eq!(serde_json::from_str::<Unique>("{}").unwrap(), Unique::default());
    }
}
