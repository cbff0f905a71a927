//! The story of a supervisor: events change what is wanted of each child, then [`SupervisorCore::advance`] takes
//! whatever next step is allowed. Nothing remembers a plan, so that a stop may come at any moment and be right.

mod wishes;

use std::time::Duration;

use super::budget::RestartLog;
use super::child::Fate;
use super::{
    ChildEnd, ChildId, ChildPhase, Fault, Incarnation, RestartPolicy, Strategy, SupervisedChild,
    SupervisionAction, SupervisionEvent, SupervisionTimer, SupervisorEnd, SupervisorSpec, TimerKind, order,
};

/// The decisions of one supervisor. See the [module](super) for the rules.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisorCore {
    path: String,
    strategy: Strategy,
    restarts: RestartLog,
    /// In the order of their start.
    children: Vec<SupervisedChild>,
    goal: Goal,
    all_ready_said: bool,
    /// No removed child had a higher incarnation: an added child starts above it.
    highest_removed: Incarnation,
    now: Duration,
    actions: Vec<SupervisionAction>,
}

/// What the supervisor as a whole is after.
#[derive(Debug, Clone, PartialEq)]
enum Goal {
    /// Not started yet.
    Idle,
    /// Every child that should run is ready.
    Running,
    /// No child runs; then finish with this.
    Ending(SupervisorEnd),
    Finished,
}

impl SupervisorCore {
    /// A supervisor that waits for [`SupervisionEvent::Start`].
    pub fn new(spec: SupervisorSpec) -> Self {
        let mut core = Self {
            path: spec.path,
            strategy: spec.strategy,
            restarts: RestartLog::new(spec.budget),
            children: Vec::with_capacity(spec.children.len()),
            goal: Goal::Idle,
            all_ready_said: false,
            highest_removed: Incarnation::default(),
            now: Duration::ZERO,
            actions: Vec::new(),
        };
        for child in spec.children {
            core.add_child(child);
        }
        core
    }

    /// Takes in one event that happened at `now` (time since the supervisor started) and says what to do about it.
    ///
    /// Total: any event in any state is accepted, and time that seems to go back stands still.
    pub fn step(&mut self, now: Duration, event: SupervisionEvent) -> Vec<SupervisionAction> {
        self.now = self.now.max(now);
        if self.goal != Goal::Finished {
            self.take_in(event);
            self.advance();
        }
        std::mem::take(&mut self.actions)
    }

    /// The children, in the order of their start.
    pub fn children(&self) -> impl DoubleEndedIterator<Item = &SupervisedChild> + ExactSizeIterator {
        self.children.iter()
    }

    /// The child of this name. Operators' wishes about a name that is unknown here are not answered.
    pub fn child(&self, id: &ChildId) -> Option<&SupervisedChild> {
        self.children.iter().find(|child| child.id() == id)
    }

    /// Whether the supervisor stops its children for good: it adds and starts none any more.
    pub fn is_ending(&self) -> bool {
        matches!(self.goal, Goal::Ending(_) | Goal::Finished)
    }

    /// Whether [`SupervisionAction::Finish`] was given.
    pub fn is_finished(&self) -> bool {
        self.goal == Goal::Finished
    }

    fn take_in(&mut self, event: SupervisionEvent) {
        match event {
            SupervisionEvent::Start => self.start(),
            SupervisionEvent::Ready { child, incarnation } => self.with(&child, incarnation, Self::ready),
            SupervisionEvent::Ended { child, incarnation, how, jitter } => {
                self.with(&child, incarnation, |core, at| core.ended(at, how, jitter));
            }
            SupervisionEvent::TimerFired { timer } => {
                self.with(&timer.child, timer.incarnation, |core, at| core.timer_fired(at, timer.kind));
            }
            SupervisionEvent::StopAsked => self.end(SupervisorEnd::Stopped),
            SupervisionEvent::StopChild { child } => {
                self.with_named(&child, |core, at| core.dismiss(at, Fate::AtRest))
            }
            SupervisionEvent::StartChild { child } => self.with_named(&child, Self::start_child),
            SupervisionEvent::RestartChild { child } => self.with_named(&child, Self::restart_child),
            SupervisionEvent::AddChild { spec } => self.add_child(spec),
            SupervisionEvent::RemoveChild { child } => {
                self.with_named(&child, |core, at| core.dismiss(at, Fate::Removed));
            }
        }
    }

    fn with_named(&mut self, id: &ChildId, change: impl FnOnce(&mut Self, usize)) {
        if let Some(at) = self.children.iter().position(|child| child.id() == id) {
            change(self, at);
        }
    }

    fn with(&mut self, id: &ChildId, incarnation: Incarnation, change: impl FnOnce(&mut Self, usize)) {
        self.with_named(id, |core, at| {
            if core.children[at].incarnation == incarnation {
                change(core, at);
            }
        });
    }
}

/// What the supervisor is told about itself.
impl SupervisorCore {
    fn start(&mut self) {
        if self.goal == Goal::Idle {
            self.goal = Goal::Running;
        }
    }

    /// The first reason to end is the one that counts.
    fn end(&mut self, end: SupervisorEnd) {
        if self.is_ending() {
            return;
        }
        self.goal = Goal::Ending(end);
        for at in 0..self.children.len() {
            let child = &mut self.children[at];
            if child.phase.is_live() {
                child.leaving = matches!(child.phase, ChildPhase::Starting | ChildPhase::Ready);
                if child.fate != Fate::Removed {
                    child.fate = Fate::AtRest;
                }
            } else if !child.phase.is_at_rest() {
                self.settle(at, ChildPhase::Stopped);
            }
        }
    }
}

/// What children and timers report.
impl SupervisorCore {
    fn ready(&mut self, at: usize) {
        let child = &mut self.children[at];
        if child.phase == ChildPhase::Starting {
            child.proved = true;
            child.ready_since = Some(self.now);
            child.phase = ChildPhase::Ready;
            self.answer(at);
        }
    }

    fn ended(&mut self, at: usize, how: ChildEnd, jitter: f64) {
        if self.children[at].phase.is_live() {
            self.gone(at, ChildPhase::Stopped, how, jitter);
        }
    }

    fn timer_fired(&mut self, at: usize, kind: TimerKind) {
        let child = &mut self.children[at];
        match (kind, child.phase) {
            (TimerKind::Init, ChildPhase::Starting) => {
                if child.fate == Fate::Judged {
                    child.fate = Fate::Condemned(Fault::init_timeout(&self.path, &child.spec.id));
                }
                self.kill(at);
            }
            (TimerKind::Stop, ChildPhase::Stopping) => self.kill(at),
            (TimerKind::Kill, ChildPhase::Killing) => {
                let (child, incarnation) = self.run_of(at);
                self.actions.push(SupervisionAction::Abandon { child, incarnation });
                // Without chance the back-off is at its longest, which is right for a child that would not die.
                self.gone(at, ChildPhase::Abandoned, ChildEnd::Normal, 0.0);
            }
            (TimerKind::Backoff, ChildPhase::BackingOff) => child.phase = ChildPhase::Waiting,
            (TimerKind::Init | TimerKind::Stop | TimerKind::Kill | TimerKind::Backoff, _) => {}
        }
    }

    /// The present incarnation is over; `rest` is where the child comes to rest if it is not started again.
    fn gone(&mut self, at: usize, rest: ChildPhase, how: ChildEnd, jitter: f64) {
        let child = &mut self.children[at];
        child.leaving = false;
        match std::mem::replace(&mut child.fate, Fate::Judged) {
            Fate::Judged => self.judge(at, rest, how, jitter),
            Fate::Condemned(fault) => self.judge(at, rest, ChildEnd::Fault(fault), jitter),
            Fate::StartedAgain => child.phase = ChildPhase::Waiting,
            Fate::AtRest => self.settle(at, rest),
            Fate::Removed => self.remove(at, rest),
        }
    }

    fn judge(&mut self, at: usize, rest: ChildPhase, how: ChildEnd, jitter: f64) {
        let child = &mut self.children[at];
        let fault = match how {
            ChildEnd::Fault(fault) => Some(fault),
            ChildEnd::Normal if child.spec.restart == RestartPolicy::Permanent => {
                Some(Fault::ended(&self.path, child.id()))
            }
            ChildEnd::Normal => None,
        };
        child.last_fault = fault.clone().or(child.last_fault.take());
        match fault {
            Some(fault) if child.spec.restart != RestartPolicy::Temporary => {
                self.restart(at, rest, fault, jitter)
            }
            Some(_) | None => {
                let significant = child.spec.significant.then(|| child.id().clone());
                self.settle(at, rest);
                if let Some(child) = significant {
                    self.end(SupervisorEnd::SignificantChildEnded { child });
                }
            }
        }
    }

    fn restart(&mut self, at: usize, rest: ChildPhase, last_fault: Fault, jitter: f64) {
        if let Err(first_fault) = self.restarts.charge(self.now, &last_fault) {
            self.settle(at, rest);
            self.end(SupervisorEnd::GaveUp { first_fault, last_fault });
            return;
        }
        let child = &mut self.children[at];
        let recovered =
            child.ready_since.is_some_and(|since| self.now.saturating_sub(since) >= self.restarts.within());
        child.failures = if recovered { 1 } else { child.failures.saturating_add(1) };
        child.restarts = child.restarts.saturating_add(1);
        let after = child.spec.backoff.delay(child.failures, jitter);
        self.settle(at, ChildPhase::BackingOff);
        self.arm(at, TimerKind::Backoff, after);
        self.dismiss_siblings(at);
    }
}

/// The next steps that are allowed.
impl SupervisorCore {
    fn advance(&mut self) {
        if let Some(at) = order::next_to_stop(&self.children) {
            self.ask_stop(at);
        }
        while self.goal == Goal::Running
            && let Some(at) = order::next_to_start(self.strategy, &self.children, self.all_ready_said)
        {
            self.spawn(at);
        }
        match &self.goal {
            Goal::Running if !self.all_ready_said && order::all_are_ready(&self.children) => {
                self.all_ready_said = true;
                self.actions.push(SupervisionAction::AllReady);
            }
            Goal::Ending(end) if !self.children.iter().any(|child| child.phase.is_live()) => {
                self.actions.push(SupervisionAction::Finish(end.clone()));
                self.goal = Goal::Finished;
            }
            Goal::Idle | Goal::Running | Goal::Ending(_) | Goal::Finished => {}
        }
    }
}

/// What is done to one child.
impl SupervisorCore {
    /// Lets the siblings that are restarted together with this child leave, to be started again.
    fn dismiss_siblings(&mut self, of: usize) {
        let concerned = order::restarted_with(self.strategy, of, self.children.len());
        for sibling in &mut self.children[concerned] {
            if sibling.is_staying() {
                sibling.leaving = true;
                sibling.fate = match sibling.spec.restart {
                    RestartPolicy::Permanent | RestartPolicy::Transient => Fate::StartedAgain,
                    RestartPolicy::Temporary => Fate::AtRest,
                };
            }
        }
    }

    fn spawn(&mut self, at: usize) {
        let child = &mut self.children[at];
        child.incarnation = child.incarnation.next();
        child.phase = ChildPhase::Starting;
        child.ready_since = None;
        let deadline = child.spec.init_within;
        let (child, incarnation) = self.run_of(at);
        self.actions.push(SupervisionAction::Spawn { child, incarnation });
        self.arm(at, TimerKind::Init, deadline);
    }

    fn ask_stop(&mut self, at: usize) {
        let child = &mut self.children[at];
        child.leaving = false;
        child.phase = ChildPhase::Stopping;
        let deadline = child.spec.stop_within;
        let (child, incarnation) = self.run_of(at);
        self.actions.push(SupervisionAction::AskStop { child, incarnation });
        self.arm(at, TimerKind::Stop, deadline);
    }

    fn kill(&mut self, at: usize) {
        let child = &mut self.children[at];
        child.leaving = false;
        child.phase = ChildPhase::Killing;
        let deadline = child.spec.kill_within;
        let (child, incarnation) = self.run_of(at);
        self.actions.push(SupervisionAction::Kill { child, incarnation });
        self.arm(at, TimerKind::Kill, deadline);
    }

    fn remove(&mut self, at: usize, rest: ChildPhase) {
        self.settle(at, rest);
        let removed = self.children.remove(at);
        self.highest_removed = self.highest_removed.max(removed.incarnation);
    }

    fn settle(&mut self, at: usize, phase: ChildPhase) {
        self.children[at].phase = phase;
        self.answer(at);
    }

    fn answer(&mut self, at: usize) {
        let child = &self.children[at];
        if child.is_settled() {
            let (child, phase) = (child.id().clone(), child.phase);
            self.actions.push(SupervisionAction::ChildSettled { child, phase });
        }
    }

    fn arm(&mut self, at: usize, kind: TimerKind, after: Duration) {
        let (child, incarnation) = self.run_of(at);
        let timer = SupervisionTimer { child, incarnation, kind };
        self.actions.push(SupervisionAction::Arm { timer, after });
    }

    fn run_of(&self, at: usize) -> (ChildId, Incarnation) {
        let child = &self.children[at];
        (child.id().clone(), child.incarnation)
    }
}
