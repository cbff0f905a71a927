//! What a schedule is, as declared: which task, at which times, and what to do when times collide or were missed.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::InvalidSchedule;
use super::timing::{Timing, Window};
use crate::name::{IdempotencyKey, Route, ScheduleName, Scope, Tenant};
use crate::task::{NewTask, OnConflict, Priority};

/// A schedule as an app declares it, or an operator.
///
/// ```
/// use runtime_core::schedule::{OverlapPolicy, ScheduleSpec};
///
/// let nightly: ScheduleSpec = serde_json::from_str(
///     r#"{
///         "name": "nightly-settlement",
///         "route": { "app": "shop", "queue": "settle", "handler": "settle" },
///         "input": { "store": 42 },
///         "timing": { "kind": "cron", "expression": "30 2 * * *", "zone": "Europe/Berlin" }
///     }"#,
/// )?;
/// assert_eq!(nightly.overlap, OverlapPolicy::Skip);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// Its name, and the first half of the identity of its ticks.
    pub name: ScheduleName,
    /// Where its tasks go.
    pub route: Route,
    /// Input of each task.
    #[serde(default)]
    pub input: serde_json::Value,
    /// Its times.
    pub timing: Timing,
    /// No tick before this; the first tick of an interval.
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// No tick at this time or later.
    #[serde(default)]
    pub end: Option<Timestamp>,
    /// A task may start up to so many seconds after its tick, by a delay that follows from the schedule's name and the tick.
    #[serde(default)]
    pub jitter_secs: u32,
    /// What a tick does when a task of the schedule has not finished.
    #[serde(default)]
    pub overlap: OverlapPolicy,
    /// What becomes of ticks that nobody decided in time.
    #[serde(default)]
    pub catch_up: CatchUpPolicy,
    /// Whose work its tasks are.
    #[serde(default)]
    pub tenant: Option<Tenant>,
    /// The part of the world its tasks concern.
    #[serde(default)]
    pub scope: Option<Scope>,
    /// Priority of its tasks.
    #[serde(default)]
    pub priority: Priority,
}

/// What a tick does when a task of the schedule has not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapPolicy {
    /// Nothing: the tick is skipped.
    #[default]
    Skip,
    /// It waits until the task has finished. One tick waits, the first that came; those after it are skipped.
    BufferOne,
    /// It makes its task all the same.
    AllowAll,
    /// It makes its task, and the unfinished one is cancelled. Of several ticks at once, only the latest.
    CancelRunning,
}

/// What becomes of missed ticks: those that are decided more than [`super::ON_TIME`] after their time, because no
/// instance was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CatchUpPolicy {
    /// They are skipped.
    #[default]
    None,
    /// The latest fires, unless a tick that is on time does.
    Last,
    /// All fire that are no older than the window; the older ones are skipped.
    All {
        /// The window in seconds, up to now.
        window_secs: u32,
    },
}

/// One time of a schedule that is to make its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tick {
    /// The time, a whole second.
    pub at: Timestamp,
    /// When its task may start: the time and its jitter.
    pub run_at: Timestamp,
}

impl ScheduleSpec {
    /// A schedule that makes a task of this route and input at these times; everything else at its default.
    pub fn new(name: ScheduleName, route: Route, input: serde_json::Value, timing: Timing) -> Self {
        Self {
            name,
            route,
            input,
            timing,
            start: None,
            end: None,
            jitter_secs: 0,
            overlap: OverlapPolicy::default(),
            catch_up: CatchUpPolicy::default(),
            tenant: None,
            scope: None,
            priority: Priority::default(),
        }
    }

    /// Checks what the types of the fields cannot say.
    ///
    /// # Errors
    /// [`InvalidSchedule::EndsBeforeStart`].
    pub fn check(&self) -> Result<(), InvalidSchedule> {
        match (self.start, self.end) {
            (Some(start), Some(end)) if end <= start => Err(InvalidSchedule::EndsBeforeStart { start, end }),
            _ => Ok(()),
        }
    }

    /// The time in which it has ticks.
    pub fn window(&self) -> Window {
        Window { start: self.start, end: self.end }
    }

    /// The tick at a time, with its jitter: the same in every process, whenever it is asked.
    pub fn tick(&self, at: Timestamp) -> Tick {
        let most = u64::from(self.jitter_secs) * 1_000;
        let hash = blake3::hash(format!("{} {}", self.name, at.as_second()).as_bytes());
        let number = hash.as_bytes()[..8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        let jitter =
            i64::try_from(number % (most + 1)).map_or(SignedDuration::ZERO, SignedDuration::from_millis);
        Tick { at, run_at: at.checked_add(jitter).unwrap_or(at) }
    }

    /// The task of a tick. It has the tick's key, so that a tick that is fired again finds the task it made, also when the schedule was
    /// changed in between.
    pub fn task(&self, tick: &Tick) -> NewTask {
        let mut task = self.task_now().keyed(tick_key(&self.name, tick.at)).on_conflict(OnConflict::Ignore);
        task.run_at = Some(tick.run_at);
        task
    }

    /// A task besides its ticks, due at once and without a key: what an operator triggers.
    pub fn task_now(&self) -> NewTask {
        let mut task = NewTask::new(Arc::new(self.route.clone()), self.input.to_string().into_bytes());
        task.tenant = self.tenant.clone();
        task.scope = self.scope.clone();
        task.priority = self.priority;
        task
    }
}

/// The idempotency key of a tick's task: `schedule:NAME@TIME`. One tick, one task.
pub fn tick_key(name: &ScheduleName, at: Timestamp) -> IdempotencyKey {
    IdempotencyKey::new(format!("schedule:{name}@{at}")).expect("a name and a time are printable and short")
}
