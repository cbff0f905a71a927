//! What a schedule does now.

use std::time::Duration;

use jiff::Timestamp;

use super::spec::{CatchUpPolicy, OverlapPolicy, ScheduleSpec, Tick};
use super::state::ScheduleState;
use super::timing::just_before;

/// A tick that is decided within this time of its own is on time; later, it was missed. A restart that takes no longer
/// misses nothing.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// At most so many ticks are fired, buffered or held against a running task by one decision. What is left is due at
/// once: [`Decision::next_wake`] is `now`.
pub const MAX_TICKS_PER_DECISION: usize = 100;

/// What a schedule does now.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Ticks that make their task, oldest first.
    pub fire: Vec<Tick>,
    /// Ticks that make none, oldest first, as runs.
    pub skipped: Vec<Skipped>,
    /// Whether the unfinished task is to be cancelled.
    pub cancel_running: bool,
    /// The state to store, with the tasks or after them.
    pub state: ScheduleState,
    /// When to decide again, if nothing happens before: `now` when more is due. `None` when nothing will be.
    pub next_wake: Option<Timestamp>,
}

/// Ticks in a row that were skipped for one reason: the first, the last and all between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Skipped {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// Why.
    pub reason: SkipReason,
}

/// Why a tick makes no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The schedule was paused.
    Paused,
    /// The schedule's app no longer declares it.
    Orphaned,
    /// Nobody was there in time, and the catch-up policy does not want it.
    Missed,
    /// A task had not finished ([`OverlapPolicy::Skip`]), or a tick waited already ([`OverlapPolicy::BufferOne`]).
    Running,
    /// A later tick fires at the same moment and would cancel it ([`OverlapPolicy::CancelRunning`]).
    Superseded,
}

/// Decides all ticks that are due: after those decided before, up to `now`.
///
/// `running` says whether a task of this schedule has not finished. To be asked at [`Decision::next_wake`], after a change
/// to the schedule, and, while a tick is [`ScheduleState::buffered`], when the task has finished.
///
/// What holds whatever the clock does: a tick is decided once, and ticks are decided in order. A clock that jumps
/// back finds them decided; one that jumps ahead decides what comes due by it.
pub fn decide(spec: &ScheduleSpec, state: &ScheduleState, now: Timestamp, running: bool) -> Decision {
    let mut deciding = Deciding::new(spec, state, running);
    if state.orphaned {
        deciding.skip_until(now, SkipReason::Orphaned);
    } else if state.paused.is_some() {
        deciding.skip_until(now, SkipReason::Paused);
    } else {
        deciding.take_buffered();
        deciding.skip_missed(now);
        let more = deciding.take_due(now);
        deciding.wake_next(more.then_some(now));
    }
    deciding.decision
}

/// A decision in the making.
struct Deciding<'s> {
    spec: &'s ScheduleSpec,
    running: bool,
    decision: Decision,
}

impl<'s> Deciding<'s> {
    fn new(spec: &'s ScheduleSpec, state: &ScheduleState, running: bool) -> Self {
        let decision = Decision {
            fire: Vec::new(),
            skipped: Vec::new(),
            cancel_running: false,
            state: state.clone(),
            next_wake: None,
        };
        Self { spec, running, decision }
    }

    /// Whether a task is unfinished, or will be by what was decided so far.
    fn is_busy(&self) -> bool {
        self.running || !self.decision.fire.is_empty()
    }

    fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.spec.timing.next_after(after, &self.spec.window())
    }

    /// The tick that waited fires when nothing is in its way any more.
    fn take_buffered(&mut self) {
        if !self.running
            && let Some(at) = self.decision.state.buffered.take()
        {
            self.fire(at);
        }
    }

    /// Steps over what the catch-up policy does not want.
    fn skip_missed(&mut self, now: Timestamp) {
        let back = match self.spec.catch_up {
            CatchUpPolicy::None | CatchUpPolicy::Last => ON_TIME,
            CatchUpPolicy::All { window_secs } => ON_TIME.max(Duration::from_secs(window_secs.into())),
        };
        let wanted_from = now.checked_sub(back).unwrap_or(Timestamp::MIN);
        let mut until = just_before(wanted_from);
        if self.spec.catch_up == CatchUpPolicy::Last {
            let decided = self.decision.state.decided_until();
            match self.spec.timing.latest(decided, now, &self.spec.window()) {
                Some(latest) => until = until.min(just_before(latest)),
                None => return,
            }
        }
        self.skip_until(until, SkipReason::Missed);
    }

    /// Decides what is due by the overlap policy, and says whether more is.
    fn take_due(&mut self, now: Timestamp) -> bool {
        let mut due = self.next_after(self.decision.state.decided_until()).filter(|tick| *tick <= now);
        for _ in 0..MAX_TICKS_PER_DECISION {
            let Some(tick) = due else { return false };
            due = self.next_after(tick).filter(|next| *next <= now);
            self.take(tick, due.is_none());
        }
        due.is_some()
    }

    fn take(&mut self, tick: Timestamp, is_latest: bool) {
        match self.spec.overlap {
            OverlapPolicy::CancelRunning if !is_latest => self.skip(tick, tick, SkipReason::Superseded),
            OverlapPolicy::CancelRunning => {
                self.decision.cancel_running = self.running;
                self.supersede_buffered();
                self.fire(tick);
            }
            OverlapPolicy::AllowAll => self.fire(tick),
            _ if !self.is_busy() => self.fire(tick),
            OverlapPolicy::BufferOne if self.decision.state.buffered.is_none() => {
                self.decision.state.buffered = Some(tick);
            }
            OverlapPolicy::BufferOne | OverlapPolicy::Skip => self.skip(tick, tick, SkipReason::Running),
        }
        self.decided(tick);
    }

    /// A tick that waited since the policy was another one, and fires now, gives way like any earlier tick.
    fn supersede_buffered(&mut self) {
        if let Some(Tick { at, .. }) = self.decision.fire.pop() {
            self.decision.skipped.insert(0, Skipped { first: at, last: at, reason: SkipReason::Superseded });
        }
    }

    fn wake_next(&mut self, more_due: Option<Timestamp>) {
        let next = || self.next_after(self.decision.state.decided_until());
        self.decision.next_wake = more_due.or_else(next);
    }

    fn fire(&mut self, at: Timestamp) {
        self.decision.fire.push(self.spec.tick(at));
    }

    /// Skips what is undecided up to `until`, however many ticks that are.
    fn skip_until(&mut self, until: Timestamp, reason: SkipReason) {
        let decided = self.decision.state.decided_until();
        let Some(first) = self.next_after(decided).filter(|first| *first <= until) else { return };
        let last = self.spec.timing.latest(decided, until, &self.spec.window()).unwrap_or(first);
        self.skip(first, last, reason);
        self.decided(last);
    }

    fn skip(&mut self, first: Timestamp, last: Timestamp, reason: SkipReason) {
        match self.decision.skipped.last_mut().filter(|run| run.reason == reason) {
            Some(run) => run.last = last,
            None => self.decision.skipped.push(Skipped { first, last, reason }),
        }
    }

    fn decided(&mut self, tick: Timestamp) {
        let last = &mut self.decision.state.last_tick;
        *last = Some(last.map_or(tick, |last| last.max(tick)));
    }
}
