//! Operations: one decision about many tasks, carried out in batches that no crash undoes or repeats.
//!
//! ```text
//! asked ─▶ running ─▶ batch · batch · … ─▶ done
//!                          │
//!                          ├─▶ cancelled   an operator does not want the rest
//!                          └─▶ failed      it can never go on
//! ```
//!
//! What is here decides: which tasks an operation is about, what happens to each, how fast. The store keeps it
//! ([`crate::store::Operations`]) and writes a batch together with how far the operation is; a node of the tree carries it out.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::TaskError;
use crate::etag::Etag;
use crate::name::PrincipalName;
use crate::store::{OperationStep, Revision, TaskCommand, TaskFilter};
use crate::task::{TaskId, TaskState};

/// An operation's identity: a number that its store gave, growing and never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub u64);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The text is no operation's number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the number of an operation")]
pub struct InvalidOperationId(String);

impl FromStr for OperationId {
    type Err = InvalidOperationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| InvalidOperationId(text.chars().take(80).collect()))
    }
}

/// What is done to each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Those that wait for their time go now.
    Retry,
    /// Those that are not finished are cancelled; what is under way is asked to end.
    Cancel,
    /// Those that are dead run again.
    Replay,
    /// Those that are dead shall not be replayed: they are cancelled.
    Discard,
    /// Those that are not under way are forgotten, as if retention were over.
    Purge,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Retry, Self::Cancel, Self::Replay, Self::Discard, Self::Purge];

    /// The name used in logs, the API and the stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::Purge => "purge",
        }
    }

    /// States of the tasks it can be about, in the order of a task's life.
    pub fn states(self) -> &'static [TaskState] {
        use TaskState::{Cancelled, Dead, Done, Leased, Parked, Ready, Scheduled};
        match self {
            Self::Retry => &[Scheduled],
            Self::Cancel => &[Scheduled, Ready, Leased, Parked],
            Self::Replay | Self::Discard => &[Dead],
            Self::Purge => &[Scheduled, Ready, Parked, Done, Dead, Cancelled],
        }
    }

    /// What happens to each task.
    pub fn command(self, reason: &str) -> TaskCommand {
        match self {
            Self::Retry => TaskCommand::Retry,
            Self::Cancel => TaskCommand::Cancel,
            Self::Replay => TaskCommand::Replay { at: None, payload: None },
            Self::Discard => TaskCommand::Discard { reason: reason.to_owned() },
            Self::Purge => TaskCommand::Delete { reason: reason.to_owned() },
        }
    }

    /// The same filter for what an operation that begins at `now` is about: tasks in its states, that were there by then and, where it is
    /// about finished ones, had finished. What dies again on the way is not meant a second time. `None` when nothing can fit.
    pub fn select(self, filter: TaskFilter, now: Timestamp) -> Option<TaskFilter> {
        let filter = filter.in_states(self.states())?;
        let right_after = now.checked_add(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX);
        let until =
            |asked: Option<Timestamp>| Some(asked.map_or(right_after, |until| until.min(right_after)));
        let about_finished = filter.states.iter().all(|state| state.is_finished());
        Some(TaskFilter {
            created_until: until(filter.created_until),
            finished_until: if about_finished { until(filter.finished_until) } else { filter.finished_until },
            ..filter
        })
    }

    /// Whether it can end tasks that are not finished.
    pub fn ends_tasks(self) -> bool {
        matches!(self, Self::Cancel | Self::Purge)
    }

    /// Whether the walk over all tasks is made again until it finds none: what is under way ends in its own time.
    fn walks_until_none_is_left(self) -> bool {
        self == Self::Cancel
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Goes on, by itself, also after a restart.
    Running,
    /// Every task it was about was looked at.
    Done,
    /// An operator ended it; what was changed stays so.
    Cancelled,
    /// It can never go on.
    Failed,
}

impl OperationState {
    /// The name used in logs, the API and the stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationSpec {
    /// What is done to each task.
    pub kind: OperationKind,
    /// Which tasks, as [`OperationKind::select`] made it.
    pub filter: TaskFilter,
    /// The filter as it was asked for, for people.
    pub asked: String,
    /// Most tasks of any second; as fast as the store takes them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,
    /// Why; may be empty where nothing is lost.
    pub reason: String,
    /// Who asked, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PrincipalName>,
    /// Tasks that fitted when it was asked for.
    pub matched: u64,
}

/// What became of tasks that an operation came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationCounts {
    /// Changed.
    pub done: u64,
    /// No longer fitted when their turn came: somebody else was faster.
    pub skipped: u64,
    /// Fitted, and could not be changed.
    pub failed: u64,
}

/// An operation, as its store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub id: OperationId,
    /// What was asked for.
    pub spec: OperationSpec,
    /// How it stands.
    pub state: OperationState,
    /// How often it was written.
    pub revision: Revision,
    /// The last task it came to, in the order in which tasks were made; `None` at the beginning of a walk.
    pub cursor: Option<TaskId>,
    /// What became of the tasks so far.
    pub counts: OperationCounts,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The next batch not before this.
    pub next_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it ended, when not because everything was done.
    pub error: Option<TaskError>,
}

impl Operation {
    /// Whether it goes on.
    pub fn is_running(&self) -> bool {
        self.state == OperationState::Running
    }

    /// What operators can change of it: whether it goes on.
    pub fn etag(&self) -> Etag {
        Etag::of_name(self.state.as_str())
    }

    /// The step that follows when a walk for as many tasks as the pace allows, from the cursor on, has found these. It changes them; where
    /// the walk has come to its end, so has the operation.
    pub fn next_step(&self, found: Vec<TaskId>, pace: Pace) -> OperationStep {
        let at_end = found.len() < pace.tasks;
        let again = self.spec.kind.walks_until_none_is_left();
        let is_over = at_end && (!again || (found.is_empty() && self.cursor.is_none()));
        OperationStep {
            id: self.id,
            revision: self.revision,
            cursor: if at_end && again { None } else { found.last().copied().or(self.cursor) },
            tasks: found,
            wait: pace.wait,
            state: if is_over { OperationState::Done } else { OperationState::Running },
            error: None,
        }
    }

    /// The step that ends it as it is.
    pub fn end(&self, state: OperationState, error: Option<TaskError>) -> OperationStep {
        OperationStep {
            id: self.id,
            revision: self.revision,
            tasks: Vec::new(),
            cursor: self.cursor,
            wait: Duration::ZERO,
            state,
            error,
        }
    }
}

/// How an operation keeps its rate: batches of so many, each so long after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Most tasks of a batch.
    pub tasks: usize,
    /// From one batch to the next.
    pub wait: Duration,
}

impl Pace {
    /// Batches a second, about: small enough to be smooth, few enough to be cheap.
    const BATCHES: u32 = 10;

    /// The pace of a rate, with batches of at most `most` tasks. In no second does it let more pass than the rate, wherever the second
    /// begins; it may be up to a tenth slower.
    pub fn of(rate: Option<NonZeroU32>, most: usize) -> Self {
        let Some(rate) = rate else { return Self { tasks: most.max(1), wait: Duration::ZERO } };
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let tasks = (rate.get() / Self::BATCHES).clamp(1, most.max(1));
        let batches = u64::from(rate.get() / tasks).max(1);
        let wait = Duration::from_millis(1_000_u64.div_ceil(batches));
        Self { tasks: usize::try_from(tasks).unwrap_or(usize::MAX), wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    #[test]
    fn no_second_sees_more_than_the_rate() {
        for rate in (1..=1_000).chain([1_999, 5_000, 123_456]) {
            let Pace { tasks, wait } = Pace::of(NonZeroU32::new(rate), 500);
            assert!((1..=500).contains(&tasks), "{rate}");
            // Batches at 0, wait, 2 * wait, …: as many as begin within a second that begins with one of them.
            let batches = Duration::from_secs(1).as_millis().div_ceil(wait.as_millis());
            let in_a_second = batches * tasks as u128;
            assert!(in_a_second <= rate.into(), "{rate} a second, {tasks} every {wait:?}");
            let slowest = u128::from(rate) * 85 / 100;
            assert!(rate > 1_000 || in_a_second >= slowest, "{rate} a second, but {in_a_second} are done");
        }
        assert_eq!(Pace::of(None, 500), Pace { tasks: 500, wait: Duration::ZERO });
    }

    #[test]
    fn an_operation_is_about_what_was_there_when_it_began() {
        let any = TaskFilter::default;
        for kind in OperationKind::ALL {
            let filter = kind.select(any(), now()).unwrap();
            assert_eq!(filter.states, kind.states());
            assert!(filter.created_until.unwrap() > now());
            let only_finished = matches!(kind, OperationKind::Replay | OperationKind::Discard);
            assert_eq!(filter.finished_until.is_some(), only_finished, "{kind}");
        }
        let early = now() - SignedDuration::from_secs(9);
        let asked = TaskFilter {
            states: vec![TaskState::Done, TaskState::Leased],
            finished_until: Some(early),
            ..any()
        };
        let filter = OperationKind::Purge.select(asked.clone(), now()).unwrap();
        assert_eq!((filter.states, filter.finished_until), (vec![TaskState::Done], Some(early)));
        assert_eq!(OperationKind::Cancel.select(asked.clone(), now()), None, "what is leased has no end");
        assert_eq!(OperationKind::Replay.select(asked, now()), None, "nothing dead was asked for");
    }

    fn running(kind: OperationKind, cursor: Option<TaskId>) -> Operation {
        let filter = TaskFilter::default();
        let (asked, reason) = (String::new(), String::new());
        Operation {
            id: OperationId(7),
            spec: OperationSpec { kind, filter, asked, rate: None, reason, by: None, matched: 3 },
            state: OperationState::Running,
            revision: Revision(4),
            cursor,
            counts: OperationCounts::default(),
            created_at: now(),
            next_at: now(),
            finished_at: None,
            error: None,
        }
    }

    #[test]
    fn an_operation_ends_with_its_walk_and_a_cancel_when_a_whole_walk_finds_nothing() {
        let ids: Vec<TaskId> = (1..=3).map(|row| TaskId::new(now(), 0, row)).collect();
        let pace = Pace { tasks: 2, wait: Duration::from_millis(100) };
        let step = |kind, cursor, found: &[TaskId]| {
            let step = running(kind, cursor).next_step(found.to_vec(), pace);
            assert_eq!((step.revision, step.wait, step.tasks.as_slice()), (Revision(4), pace.wait, found));
            (step.cursor, step.state)
        };
        use OperationState::{Done, Running};
        for kind in OperationKind::ALL.into_iter().filter(|kind| *kind != OperationKind::Cancel) {
            assert_eq!(step(kind, None, &ids[..2]), (Some(ids[1]), Running), "{kind}");
            assert_eq!(step(kind, Some(ids[1]), &ids[2..]), (Some(ids[2]), Done), "{kind}");
            assert_eq!(step(kind, Some(ids[1]), &[]), (Some(ids[1]), Done), "{kind}");
            assert_eq!(step(kind, None, &[]), (None, Done), "{kind}");
        }
        assert_eq!(step(OperationKind::Cancel, None, &ids[..2]), (Some(ids[1]), Running));
        assert_eq!(step(OperationKind::Cancel, Some(ids[1]), &ids[2..]), (None, Running), "and again");
        assert_eq!(step(OperationKind::Cancel, Some(ids[1]), &[]), (None, Running), "and again");
        assert_eq!(step(OperationKind::Cancel, None, &ids[2..]), (None, Running), "one is under way");
        assert_eq!(step(OperationKind::Cancel, None, &[]), (None, Done));
    }

    #[test]
    fn an_operation_goes_by_its_number() {
        assert_eq!("17".parse(), Ok(OperationId(17)));
        for bad in ["", "-1", "+1", "1x", "99999999999999999999999"] {
            assert!(bad.parse::<OperationId>().is_err(), "{bad:?}");
        }
    }
}
