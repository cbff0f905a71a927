//! One durable unit of work: how it is asked for, what it is, and the right to run it.

mod unique;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use unique::{KeyVerdict, KnownTask, OnConflict, Unique, UniqueWithin};

use crate::error::TaskError;
use crate::etag::Etag;
use crate::name::{CorrelationId, IdempotencyKey, InstanceName, OrderingKey, Route, Scope, Tenant};
use crate::node::NodePath;
use crate::trace::TraceContext;

/// A task's identity: a UUIDv7 whose random part is the store's salt and the task's row number.
///
/// Whoever has the id therefore finds the row without an index over ids (ADR 0003):
/// `48 bits milliseconds | 4 version | 12 salt | 2 variant | 22 salt | 40 row`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Uuid);

impl TaskId {
    const ROW_BITS: u32 = 40;
    const SALT_LOW_BITS: u32 = 22;

    /// Largest row number an id can carry.
    pub const MAX_ROW: u64 = (1 << Self::ROW_BITS) - 1;

    /// The id of row `row` in the store salted with `salt` (its low 34 bits count), created at `created`.
    pub fn new(created: Timestamp, salt: u64, row: u64) -> Self {
        let millis = u64::try_from(created.as_millisecond()).unwrap_or(0) & 0xFFFF_FFFF_FFFF;
        let salt_high = (salt >> Self::SALT_LOW_BITS) & 0xFFF;
        let salt_low = salt & ((1 << Self::SALT_LOW_BITS) - 1);
        let high = (millis << 16) | (0x7 << 12) | salt_high;
        let low = (0b10 << 62) | (salt_low << Self::ROW_BITS) | (row & Self::MAX_ROW);
        Self(Uuid::from_u64_pair(high, low))
    }

    /// The row number.
    pub fn row(self) -> u64 {
        self.0.as_u64_pair().1 & Self::MAX_ROW
    }

    /// The 34 bits that tell one store's ids from another's.
    pub fn salt(self) -> u64 {
        let (high, low) = self.0.as_u64_pair();
        ((high & 0xFFF) << Self::SALT_LOW_BITS) | ((low >> Self::ROW_BITS) & ((1 << Self::SALT_LOW_BITS) - 1))
    }

    /// When the task was made, in milliseconds since 1970.
    pub fn created_ms(self) -> u64 {
        self.0.as_u64_pair().0 >> 16
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The text is no task id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a task id")]
pub struct InvalidTaskId(String);

impl FromStr for TaskId {
    type Err = InvalidTaskId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Uuid::parse_str(text) {
            Ok(uuid) if uuid.get_version_num() == 7 => Ok(Self(uuid)),
            _ => Err(InvalidTaskId(text.chars().take(80).collect())),
        }
    }
}

/// How often a task was leased. A lease is valid only while its epoch is the task's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The revocable right to run one attempt of one task. It is also the proof that every later write shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lease {
    /// The task.
    pub task: TaskId,
    /// The epoch this lease was granted with.
    pub epoch: Epoch,
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.task, self.epoch.0)
    }
}

/// Which ready task of a queue goes first: lower goes first, 0 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(pub i16);

/// Where a task stands. [`crate::lifecycle`] alone decides which follows which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for its time: not due yet, or a retry or snooze that waits.
    Scheduled,
    /// May be leased.
    Ready,
    /// An instance holds the lease.
    Leased,
    /// Waits for a person or for an outside completion.
    Parked,
    /// Finished well.
    Done,
    /// Finished badly: will not be retried by itself.
    Dead,
    /// Finished by decision.
    Cancelled,
}

impl TaskState {
    /// All states, in the order of a task's life.
    pub const ALL: [Self; 7] =
        [Self::Scheduled, Self::Ready, Self::Leased, Self::Parked, Self::Done, Self::Dead, Self::Cancelled];

    /// Done, dead or cancelled.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }

    /// The name used in logs, the API and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Parked => "parked",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The number under which a store keeps the state. Never renumbered.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The inverse of [`TaskState::number`].
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TaskState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("unknown state {text:?}"))
    }
}

/// A task as asked for. The store gives it its id, its state and its first moments.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// App, queue and handler.
    pub route: Arc<Route>,
    /// Input of the handler: a JSON document.
    pub payload: Vec<u8>,
    /// Version of the input's schema.
    pub schema_version: u32,
    /// Whose work it is.
    pub tenant: Option<Tenant>,
    /// The part of the world it concerns.
    pub scope: Option<Scope>,
    /// Lower goes first.
    pub priority: Priority,
    /// Tokens it takes from the rate of its lane when it starts. Heavier than the lane's burst is refused from outside; where a limit has
    /// shrunk since, it takes the whole burst.
    pub weight: NonZeroU32,
    /// Same key, same task.
    pub idempotency_key: Option<IdempotencyKey>,
    /// For how long the key stands for one task, and what a second one under it does.
    pub unique: Unique,
    /// One at a time, in order (a store needs the capability).
    pub ordering_key: Option<OrderingKey>,
    /// Not before this time; at once when absent.
    pub run_at: Option<Timestamp>,
    /// Dead when not done by this time.
    pub deadline: Option<Timestamp>,
    /// Attempts in all, the first included; never more than the worker's retry policy allows.
    pub max_attempts: NonZeroU32,
    /// Somebody asked for this very task, as who rebuilds a projection does: a queue that sheds load takes it all the same, up to its
    /// capacity. Not kept.
    pub asked_by_name: bool,
    /// Context of the producer.
    pub trace: Option<TraceContext>,
    /// What a chain of tasks has in common.
    pub correlation_id: Option<CorrelationId>,
    /// The task that caused this one.
    pub causation_id: Option<TaskId>,
}

impl NewTask {
    /// The task sets no limit of its own: as many attempts as its worker's retry policy says. Small, because every row holds it.
    pub const AS_THE_WORKER_SAYS: NonZeroU32 = NonZeroU32::new(32_767).unwrap();

    /// A task for this route with this JSON payload, due at once, everything else at its default.
    pub fn new(route: Arc<Route>, payload: Vec<u8>) -> Self {
        Self {
            route,
            payload,
            schema_version: 1,
            tenant: None,
            scope: None,
            priority: Priority::default(),
            weight: NonZeroU32::MIN,
            idempotency_key: None,
            unique: Unique::default(),
            ordering_key: None,
            run_at: None,
            deadline: None,
            max_attempts: Self::AS_THE_WORKER_SAYS,
            asked_by_name: false,
            trace: None,
            correlation_id: None,
            causation_id: None,
        }
    }

    /// The same task with this weight.
    #[must_use]
    pub fn weighing(mut self, weight: NonZeroU32) -> Self {
        self.weight = weight;
        self
    }

    /// The same task under an idempotency key.
    #[must_use]
    pub fn keyed(mut self, key: IdempotencyKey) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    /// The same task, with a key that stands for it this long.
    #[must_use]
    pub fn unique_within(mut self, within: UniqueWithin) -> Self {
        self.unique.within = within;
        self
    }

    /// The same task, with this policy for a key that stands for another one.
    #[must_use]
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.unique.on_conflict = on_conflict;
        self
    }

    /// The same task, put off: due at `run_at`, and each further task under `key` replaces it and puts it off again, to `at_most` after the
    /// first at the latest. Once it is leased, the next task under the key is a new one.
    #[must_use]
    pub fn debounced(mut self, key: IdempotencyKey, run_at: Timestamp, at_most: Duration) -> Self {
        self.run_at = Some(run_at);
        self.keyed(key)
            .unique_within(UniqueWithin::WhileWaiting)
            .on_conflict(OnConflict::Debounce { at_most })
    }
}

/// How far a long task has come, as its handler said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f32,
    /// For people.
    pub note: String,
}

/// Why a task is not leased although it may be due. At least one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The task of the same ordering key whose turn it is.
    pub behind: Option<TaskId>,
    /// Its scope is paused in its queue.
    pub scope_paused: bool,
}

/// A task as the store holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its identity.
    pub id: TaskId,
    /// App, queue and handler.
    pub route: Arc<Route>,
    /// Input of the handler: a JSON document.
    pub payload: Vec<u8>,
    /// Version of the input's schema.
    pub schema_version: u32,
    /// Whose work it is.
    pub tenant: Option<Tenant>,
    /// The part of the world it concerns.
    pub scope: Option<Scope>,
    /// Lower goes first.
    pub priority: Priority,
    /// Tokens it takes from the rate of its lane each time it starts.
    pub weight: NonZeroU32,
    /// Its idempotency key, when it has one.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Its ordering key, when it has one.
    pub ordering_key: Option<OrderingKey>,
    /// Due time: of the first attempt or of the next.
    pub run_at: Timestamp,
    /// Dead when not done by this time.
    pub deadline: Option<Timestamp>,
    /// Where it stands.
    pub state: TaskState,
    /// Why it has to wait although it may be due.
    pub held: Option<Held>,
    /// Attempts that counted so far; while leased, the running one included.
    pub attempt: u32,
    /// Attempts in all; [`NewTask::AS_THE_WORKER_SAYS`] when the task sets no limit of its own.
    pub max_attempts: u32,
    /// Deaths of an instance that held it, since an attempt last ended.
    pub crash_count: u32,
    /// Times it was leased.
    pub epoch: Epoch,
    /// Who holds it, and until when, while leased.
    pub holder: Option<(InstanceName, Timestamp)>,
    /// Context of the producer.
    pub trace: Option<TraceContext>,
    /// What a chain of tasks has in common.
    pub correlation_id: Option<CorrelationId>,
    /// The task that caused this one.
    pub causation_id: Option<TaskId>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Where a long handler will go on.
    pub checkpoint: Option<Vec<u8>>,
    /// How far it has come.
    pub progress: Option<Progress>,
    /// Whether a person let it go on after it was parked. A handler that parked for a decision reads the answer here.
    pub approved: bool,
    /// Whether its payload was edited when it was replayed: it is no longer the producer's.
    pub edited: bool,
    /// How its latest failed attempt ended, or why it is parked.
    pub last_error: Option<TaskError>,
    /// When it finished.
    pub finished_at: Option<Timestamp>,
    /// The handler's output, a JSON document, when done.
    pub output: Option<Vec<u8>>,
}

impl Task {
    /// Whether attempts remain after the present one.
    pub fn attempts_left(&self) -> bool {
        self.attempt < self.max_attempts
    }

    /// What it is, for whoever changes it later.
    pub fn etag(&self) -> Etag {
        Etag::of_task(self.state, self.epoch, self.attempt, self.run_at)
    }
}

/// A leased task: everything an attempt needs.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedTask {
    /// The right to run it.
    pub lease: Lease,
    /// The task, as it was when the lease was granted.
    pub task: Box<Task>,
}

/// One attempt, as history keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its number, from 1.
    pub attempt: u32,
    /// The epoch of its lease.
    pub epoch: Epoch,
    /// Who ran it.
    pub instance: InstanceName,
    /// The worker's node in the tree; unknown when its lease was lost.
    #[serde(default)]
    pub node: Option<NodePath>,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Name of its outcome, see [`crate::outcome::Outcome::name`].
    pub outcome: String,
    /// Its error, when it had one.
    pub error: Option<TaskError>,
    /// Its own trace, when one was recorded.
    pub trace: Option<TraceContext>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_v7_that_carries_its_row() {
        let created = Timestamp::from_millisecond(1_790_000_000_123).unwrap();
        let salt = 0x3_FFFF_FFFF & 0x2_1234_5678;
        let id = TaskId::new(created, salt, 987_654_321);
        assert_eq!((id.row(), id.salt(), id.created_ms()), (987_654_321, salt, 1_790_000_000_123));
        let parsed: TaskId = id.to_string().parse().unwrap();
        assert_eq!(parsed, id);
        assert!("0190c0de-0000-4000-8000-000000000000".parse::<TaskId>().is_err());
    }

    #[test]
    fn ids_of_one_store_sort_by_time_and_row() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        assert!(TaskId::new(at(1), 7, 1) < TaskId::new(at(1), 7, 2));
        assert!(TaskId::new(at(1), 7, 2) < TaskId::new(at(2), 7, 1));
    }

    #[test]
    fn state_numbers_are_fixed() {
        let numbers: Vec<u8> = TaskState::ALL.iter().map(|state| state.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
        for state in TaskState::ALL {
            assert_eq!(TaskState::from_number(state.number()), Some(state));
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }
}
