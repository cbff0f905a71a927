//! Schedules: what is declared, what is stored, and what comes due.
//!
//! ```text
//! declared in code ─┐
//! stored ───────────┴─▶ reconcile ─▶ book ─▶ decide (pure) ─▶ Schedules::fire: state and tasks, one transaction
//!                                     ▲                              │
//!                                     └── read again ◀── Conflict ◀──┘
//! ```
//!
//! Whatever fails is tried again: nothing counts as decided that is not written. How late that may be is up to the schedule's catch-up
//! policy, as after any time in which nobody was there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::control::{CommandError, Origin, ScheduleView};
use runtime_core::error::ErrorCode;
use runtime_core::etag::Terms;
use runtime_core::input::Misfits;
use runtime_core::name::{Route, ScheduleName};
use runtime_core::node::Health;
use runtime_core::schedule::{
    Decision, DeclaredBy, OverlapPolicy, ScheduleSpec, ScheduleState, Skipped, decide,
};
use runtime_core::store::{Fired, Firing, PutSchedule, Revision, StoreError, StoredSchedule, TaskCommand};

use crate::platform::Platform;
use crate::services::intake::Intake;

mod commands;
mod reconcile;
mod telling;

/// How long a sleep may be at most: a wall clock that was moved is noticed by then.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How often a schedule whose tick waits looks whether its task has finished.
const LOOK_AT_TASK: Duration = Duration::from_secs(1);

/// How long a failed try waits, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The schedules of one tree.
pub struct ScheduleService {
    platform: Arc<Platform>,
    declared: Arc<Vec<ScheduleSpec>>,
    /// `None` until the store was read.
    book: Option<BTreeMap<ScheduleName, Kept>>,
    trouble: Option<Health>,
    retry: Duration,
    paused: bool,
    /// Something is to be shown that was not shown yet.
    changed: bool,
}

/// A schedule, and what its next decision depends on.
struct Kept {
    stored: StoredSchedule,
    /// When to decide again; `None` when nothing will come due.
    wake: Option<Timestamp>,
    next_tick: Option<Timestamp>,
    lag: Option<Duration>,
    skipped: Option<Skipped>,
    problem: Option<String>,
    /// What of its input its worker would refuse. Workers do not change while a process lives, so only a change of the schedule helps;
    /// until then it is not decided.
    unfit: Option<String>,
}

impl Kept {
    /// Read or changed just now: to be decided at once, if it can be.
    fn new(stored: StoredSchedule, intake: &Intake) -> Self {
        let misfits = intake.misfits(&stored.spec);
        let unfit = (!misfits.is_empty()).then(|| {
            let handler = &stored.spec.route.handler;
            format!("its input does not fit worker {handler}: {}", Misfits(misfits))
        });
        let wake = unfit.is_none().then_some(Timestamp::MIN);
        Self { stored, wake, next_tick: None, lag: None, skipped: None, problem: None, unfit }
    }

    /// Whether it would make tasks, and cannot.
    fn lacks_input(&self) -> bool {
        self.unfit.is_some() && !self.stored.state.orphaned && self.stored.state.paused.is_none()
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.wake.is_some_and(|wake| wake <= now)
    }

    fn view(&self) -> ScheduleView {
        ScheduleView {
            stored: self.stored.clone(),
            next_tick: self.next_tick,
            lag: self.lag,
            skipped: self.skipped,
            problem: self.unfit.clone().or_else(|| self.problem.clone()),
            unfit: self.unfit.is_some(),
            etag: self.stored.etag(),
        }
    }
}

impl ScheduleService {
    /// Knows what is declared, and nothing of what is stored yet.
    pub fn new(platform: Arc<Platform>, declared: Arc<Vec<ScheduleSpec>>) -> Self {
        Self { platform, declared, book: None, trouble: None, retry: RETRY.0, paused: false, changed: true }
    }

    /// Reads the store when that has not been done, decides what is due, and says how long nothing will be.
    pub async fn work(&mut self) -> Duration {
        match self.catch_up().await {
            Ok(()) => {
                self.changed |= self.trouble.is_some();
                self.retry = RETRY.0;
                self.trouble = None;
                self.until(|_| true)
            }
            Err(error) => {
                // A queue that sheds load does what it is there for, and the tick waits for it.
                let health = if error.code == ErrorCode::LoadShed {
                    tracing::warn!(error_code = %error.code, error = %error.message, "ticks wait; trying again");
                    Health::Degraded(error.message)
                } else {
                    tracing::error!(error_code = %error.code, error = %error.message, "schedules cannot go on; trying again");
                    Health::Unhealthy(error.message)
                };
                self.changed |= self.trouble.as_ref() != Some(&health);
                self.trouble = Some(health);
                let wait = self.retry;
                self.retry = (wait * 2).min(RETRY.1);
                // What waits keeps no other schedule from its tick.
                wait.min(self.until(|kept| kept.problem.is_none()))
            }
        }
    }

    /// Decides nothing from here on, or decides again.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    async fn catch_up(&mut self) -> Result<(), CommandError> {
        if self.book.is_none() {
            self.reconcile().await?;
        }
        // A schedule that is refused does not keep the others from their tasks; the worst refusal is what is told, of those the first.
        let mut refused: Result<(), CommandError> = Ok(());
        while let Some(name) = self.next_due().filter(|_| !self.paused) {
            if let Err(error) = self.decide(&name).await {
                let text = format!("schedule {name}: what is due cannot be done: {error}");
                let is_worse = match &refused {
                    Ok(()) => true,
                    Err(known) => known.code == ErrorCode::LoadShed && error.code != ErrorCode::LoadShed,
                };
                if is_worse {
                    refused = Err(CommandError::new(error.code, text));
                }
                self.hold_up(&name, error.message);
            }
        }
        self.release_held();
        refused
    }

    /// Decides a schedule that was changed just now. The change stands, also when what follows from it has to wait.
    async fn decide_changed(&mut self, name: &ScheduleName) {
        if self.paused {
            return;
        }
        if let Err(error) = self.decide(name).await {
            self.hold_up(name, error.message);
            self.release_held();
        }
    }

    /// The schedule that has waited longest, of those that are due and were not refused in this round.
    fn next_due(&self) -> Option<ScheduleName> {
        let now = self.platform.clock.now();
        let due = self.book.iter().flatten().filter(|(_, kept)| kept.is_due(now));
        due.min_by_key(|(_, kept)| kept.wake).map(|(name, _)| name.clone())
    }

    fn hold_up(&mut self, name: &ScheduleName, problem: String) {
        self.changed = true;
        if let Some(kept) = self.kept(name) {
            kept.problem = Some(problem);
            kept.wake = None;
        }
    }

    fn release_held(&mut self) {
        for kept in self.book.iter_mut().flat_map(BTreeMap::values_mut) {
            if kept.problem.is_some() {
                kept.wake = Some(Timestamp::MIN);
            }
        }
    }

    fn kept(&mut self, name: &ScheduleName) -> Option<&mut Kept> {
        self.book.as_mut()?.get_mut(name)
    }

    /// Decides one schedule, and writes what was decided with its tasks.
    async fn decide(&mut self, name: &ScheduleName) -> Result<(), CommandError> {
        let sound = self.kept(name).filter(|kept| kept.unfit.is_none()).map(|kept| kept.stored.clone());
        let Some(StoredSchedule { spec, state, revision }) = sound else { return Ok(()) };
        let running = self.is_running(&spec, &state).await?;
        let now = self.platform.clock.now();
        let decision = decide(&spec, &state, now, running);
        if let (true, Some(task)) = (decision.cancel_running, state.last_task) {
            // Before the tick's own task is made: a crash in between leaves the tick undecided, not two tasks at work.
            self.cancel(task).await?;
        }
        let Decision { fire, skipped, state: decided, next_wake, .. } = decision;
        let mut stored = StoredSchedule { spec, state, revision };
        if decided != stored.state || !fire.is_empty() {
            let complete = |task| self.platform.intake.complete(task);
            let tasks = fire.iter().map(|tick| stored.spec.task(tick, complete)).collect::<Result<_, _>>()?;
            let firing = Firing { name: name.clone(), revision, state: decided.clone(), tasks };
            match self.platform.store.fire(firing).await? {
                Fired::Done { revision, tasks } => {
                    let last_task = tasks.last().map(runtime_core::store::Enqueued::id).or(decided.last_task);
                    stored.state = ScheduleState { last_task, ..decided };
                    stored.revision = revision;
                }
                Fired::Conflict => {
                    tracing::warn!(schedule = %name, "the schedule was changed elsewhere; reading again");
                    return self.read_again().await;
                }
            }
        }
        let lag = fire.last().map(|tick| Duration::try_from(now.duration_since(tick.at)).unwrap_or_default());
        self.tell_decided(&stored, &fire, &skipped, now);
        for run in &skipped {
            tracing::info!(schedule = %name, reason = ?run.reason, first = %run.first, last = %run.last, "ticks skipped");
        }
        if let Some(lag) = lag {
            let lag_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(schedule = %name, tasks = fire.len(), lag_ms, "ticks fired");
        }
        let look = stored.state.buffered.and_then(|_| now.checked_add(LOOK_AT_TASK).ok());
        self.changed = true;
        if let Some(kept) = self.kept(name) {
            kept.stored = stored;
            kept.next_tick = next_wake;
            kept.wake = next_wake.into_iter().chain(look).min();
            kept.lag = lag.or(kept.lag);
            kept.skipped = skipped.last().copied().or(kept.skipped);
            kept.problem = None;
        }
        Ok(())
    }

    /// Whether the task it made last is unfinished, where anything depends on that.
    async fn is_running(&self, spec: &ScheduleSpec, state: &ScheduleState) -> Result<bool, StoreError> {
        let matters = spec.overlap != OverlapPolicy::AllowAll || state.buffered.is_some();
        let Some(task) = state.last_task.filter(|_| matters) else { return Ok(false) };
        let found = self.platform.store.get(vec![task]).await?.pop().flatten();
        // What history has forgotten had finished.
        Ok(found.is_some_and(|task| !task.state.is_finished()))
    }

    /// Cancels a task. One that is finished by now is as good.
    async fn cancel(&self, task: runtime_core::task::TaskId) -> Result<(), CommandError> {
        use runtime_core::error::ErrorCode::{FailedPrecondition, NotFound};
        let origin = Origin::platform();
        match self.platform.decide(task, TaskCommand::Cancel, Terms::default(), &origin).await {
            Err(error) if !matches!(error.code, FailedPrecondition | NotFound) => Err(error),
            _ => Ok(()),
        }
    }

    /// How long none of these is to be decided.
    fn until(&self, of: impl Fn(&&Kept) -> bool) -> Duration {
        let now = self.platform.clock.now();
        if self.paused {
            return LOOK_AGAIN;
        }
        let kept = self.book.iter().flat_map(BTreeMap::values).filter(of);
        let next = kept.filter_map(|kept| kept.wake).min();
        let until = |wake: Timestamp| Duration::try_from(wake.duration_since(now)).unwrap_or_default();
        // Rounded up to the next millisecond, so that one look finds it due.
        next.map_or(LOOK_AGAIN, |wake| (until(wake) + Duration::from_millis(1)).min(LOOK_AGAIN))
    }

    /// Whether there is something to show since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Every schedule, by name; `None` before the store was read.
    pub fn views(&self) -> Option<Vec<ScheduleView>> {
        self.book.as_ref().map(|book| book.values().map(Kept::view).collect())
    }

    /// How it goes: unhealthy while anything that is due cannot be done, or could not be when it comes due; degraded while a tick only
    /// waits because its queue sheds load.
    pub fn health(&self) -> Health {
        let unfit = || {
            let (name, kept) = self.book.iter().flatten().find(|(_, kept)| kept.lacks_input())?;
            Some(format!("schedule {name}: {}", kept.unfit.as_deref()?))
        };
        match &self.trouble {
            Some(Health::Unhealthy(text)) => Health::Unhealthy(text.clone()),
            waits => unfit().map(Health::Unhealthy).or_else(|| waits.clone()).unwrap_or(Health::Healthy),
        }
    }

    /// Schedules that could not be decided when they were due, or cannot be.
    pub fn held_up(&self) -> usize {
        let held = |kept: &&Kept| kept.problem.is_some() || kept.lacks_input();
        self.book.iter().flat_map(BTreeMap::values).filter(held).count()
    }
}
