//! What a schedule is, as declared: which task, at which times, and what to do when times collide or were missed.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::InvalidSchedule;
use super::input::{follows_the_tick, render_input};
use super::timing::{Timing, Window};
use super::zone::Zone;
use crate::input::{Misfit, Misfits};
use crate::name::{CorrelationId, IdempotencyKey, Route, ScheduleName, Scope, Tenant};
use crate::task::{NewTask, OnConflict, Priority, UniqueWithin};

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
    /// Input of each task, in which values may follow from the tick: see [`render_input`].
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

    /// The input of the task of the tick at a time, before the worker has completed it.
    ///
    /// # Errors
    /// Every placeholder of the input that is none.
    pub fn input_at(&self, tick: Timestamp) -> Result<serde_json::Value, Misfits> {
        let zone = match &self.timing {
            Timing::Cron { zone, .. } => zone.clone(),
            Timing::Every { .. } => Zone::default(),
        };
        render_input(&self.input, tick, &zone)
    }

    /// The task of a tick, completed by its worker. It is found by its correlation id, the [`tick_name`].
    ///
    /// Its idempotency key is what follows from its input. Where none does, it is the tick's, so that a tick that is fired again finds the
    /// task it made. Under a key that is known it makes nothing, whatever that task holds: nobody is there to hear of a conflict.
    ///
    /// # Errors
    /// What keeps the input from being one of its worker.
    pub fn task(
        &self,
        tick: &Tick,
        complete: impl FnOnce(NewTask) -> Result<NewTask, Misfits>,
    ) -> Result<NewTask, Misfits> {
        let mut task = self.task_besides(tick.at, complete)?;
        let name = tick_name(&self.name, tick.at);
        if task.idempotency_key.is_none() {
            task = task.keyed(IdempotencyKey::new(&name).expect(PRINTABLE));
        }
        task.correlation_id = Some(CorrelationId::new(&name).expect(PRINTABLE));
        task.run_at = Some(tick.run_at);
        Ok(task)
    }

    /// A task besides its ticks, due at once: what an operator triggers, with the input of a tick at this time.
    ///
    /// # Errors
    /// What keeps the input from being one of its worker.
    pub fn task_besides(
        &self,
        at: Timestamp,
        complete: impl FnOnce(NewTask) -> Result<NewTask, Misfits>,
    ) -> Result<NewTask, Misfits> {
        let input = self.input_at(at)?;
        let mut task = NewTask::new(Arc::new(self.route.clone()), input.to_string().into_bytes());
        task.tenant = self.tenant.clone();
        task.scope = self.scope.clone();
        task.priority = self.priority;
        let mut task = complete(task)?;
        if task.unique.on_conflict == OnConflict::Insert {
            task.unique.on_conflict = OnConflict::Ignore;
        }
        Ok(task)
    }

    /// Everything about its tasks that does not fit their worker, found on one of its ticks: on its first, or its first after
    /// 2026 began.
    pub fn misfits(&self, complete: impl FnOnce(NewTask) -> Result<NewTask, Misfits>) -> Vec<Misfit> {
        let ticks = self.timing.preview(SAMPLED_AFTER, &self.window(), 2);
        let sample = ticks.first().copied().unwrap_or(SAMPLED_AFTER);
        let task = match self.task_besides(sample, complete) {
            Ok(task) => task,
            Err(Misfits(misfits)) => return misfits,
        };
        let stands_on = matches!(task.unique.within, UniqueWithin::Remembered | UniqueWithin::Forever);
        let once = task.idempotency_key.is_some() && stands_on && !follows_the_tick(&self.input);
        if once && ticks.len() > 1 {
            let why = "is the same at every tick, and so is the key that follows from it: after the first no tick would make a \
                       task; let a value follow from the tick with {\"$tick\": …}, or the key stand for less long";
            return Misfits::one("input", why).0;
        }
        Vec::new()
    }
}

/// Any time does: what is wrong with an input does not depend on it.
const SAMPLED_AFTER: Timestamp = Timestamp::constant(1_767_225_600, 0);

const PRINTABLE: &str = "a name and a time are printable and short";

/// What a tick is called: `schedule:NAME@TIME`. One tick, one task.
pub fn tick_name(name: &ScheduleName, at: Timestamp) -> String {
    format!("schedule:{name}@{at}")
}
