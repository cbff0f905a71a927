//! Watches what goes in and what comes out, and knows nothing of how the core decides. It keeps its own view of each
//! child, and raises a [`Violation`] when an action breaks a rule of the tree.

mod judge;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use runtime_core::supervision::{
    ChildEnd, ChildId, ChildSpec, Fault, FaultKind, Incarnation, RestartPolicy, Strategy, SupervisionAction,
    SupervisionEvent, SupervisionTimer, SupervisorEnd, SupervisorSpec, TimerKind,
};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// At most one incarnation of a child is live (spawned, neither ended nor abandoned), and incarnations grow.
    OneIncarnation,
    /// A child is spawned only when the siblings before it stand.
    StartOrder,
    /// In an ordered stop a child is asked only when the siblings after it are gone.
    StopOrder,
    /// Nobody is stopped without a reason.
    StopReason,
    /// A child is killed after a deadline, and abandoned after another.
    Deadlines,
    /// Each deadline is armed with what it is for, once, with the length of the spec.
    Timers,
    /// An end that nobody asked for is judged by the restart policy and the budget, and answered at once.
    Judgement,
    /// A restart waits for its back-off.
    Backoff,
    /// What an operator stopped, and what has come to rest, starts only by an operator.
    OperatorsWish,
    /// Nothing is spawned before the start or after the end has begun.
    SpawnInLife,
    /// A child settles where it is.
    Settled,
    /// All ready is said once, and when it is true.
    AllReady,
    /// Finish comes once, for the first reason, when no child lives, and last of all.
    Finish,
    /// An operator's wish is answered by where the child settles, at the latest when nothing more will happen.
    Answered,
    /// When nothing more will happen, every child stands.
    NothingStuck,
}

#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

fn must(holds: bool, rule: Rule, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { rule, what: what() }) }
}

/// A live incarnation.
#[derive(Debug)]
struct Run {
    incarnation: Incarnation,
    ready: bool,
    /// It is to go because the supervisor ends, or to be started anew: its end is not judged.
    marked: bool,
    asked: bool,
    killed: bool,
    /// Which of its deadlines have passed.
    passed: HashSet<TimerKind>,
}

impl Run {
    fn stays(&self) -> bool {
        !self.marked && !self.asked && !self.killed
    }
}

#[derive(Debug)]
struct Child {
    spec: ChildSpec,
    run: Option<Run>,
    resting: bool,
    abandoned: bool,
    /// An operator stopped it.
    held: bool,
    removed: bool,
    backing_off: bool,
    proved: bool,
    /// It is being restarted: a reason for siblings to be stopped.
    troubled: bool,
}

impl Child {
    fn new(spec: ChildSpec) -> Self {
        Self {
            spec,
            run: None,
            resting: false,
            abandoned: false,
            held: false,
            removed: false,
            backing_off: false,
            proved: false,
            troubled: false,
        }
    }

    fn stands(&self) -> bool {
        self.resting || self.run.as_ref().is_some_and(|run| run.ready && run.stays())
    }

    fn departs(&self) -> bool {
        self.run.as_ref().is_some_and(|run| !run.stays())
    }
}

/// How a judged end must be answered in the same step.
#[derive(Debug, PartialEq)]
enum Verdict {
    Restart,
    Rest,
}

pub(crate) struct Witness {
    spec: SupervisorSpec,
    children: Vec<Child>,
    incarnations: HashMap<ChildId, Incarnation>,
    recent_restarts: Vec<(Duration, Fault)>,
    armed: HashSet<SupervisionTimer>,
    started: bool,
    all_ready: bool,
    ending: Option<SupervisorEnd>,
    finished: bool,
    /// A child was removed while its siblings were stopped because of it.
    reason_removed: bool,
    /// What the present step still owes.
    owed_timers: HashSet<SupervisionTimer>,
    owed_verdict: Option<(ChildId, Verdict)>,
    owed_ask: Option<ChildId>,
    /// Whose settling an operator waits for.
    owed_answers: HashSet<ChildId>,
    /// How often what was seen.
    pub(crate) seen: BTreeMap<&'static str, usize>,
}

impl Witness {
    pub(crate) fn new(spec: SupervisorSpec) -> Self {
        Self {
            children: spec.children.iter().cloned().map(Child::new).collect(),
            spec,
            incarnations: HashMap::new(),
            recent_restarts: Vec::new(),
            armed: HashSet::new(),
            started: false,
            all_ready: false,
            ending: None,
            finished: false,
            reason_removed: false,
            owed_timers: HashSet::new(),
            owed_verdict: None,
            owed_ask: None,
            owed_answers: HashSet::new(),
            seen: BTreeMap::new(),
        }
    }

    pub(crate) fn sees(
        &mut self,
        now: Duration,
        event: &SupervisionEvent,
        actions: &[SupervisionAction],
    ) -> Result<(), Violation> {
        if self.finished {
            return must(actions.is_empty(), Rule::Finish, || format!("after the finish: {actions:?}"));
        }
        self.hears(now, event);
        for action in actions {
            must(!self.finished, Rule::Finish, || format!("behind the finish: {action:?}"))?;
            self.judges(now, action).map_err(|violation| Violation {
                what: format!("at {now:?} {event:?} => {actions:?}: {}", violation.what),
                ..violation
            })?;
        }
        let context = || format!("at {now:?} {event:?} => {actions:?}");
        must(self.owed_timers.drain().next().is_none(), Rule::Timers, context)?;
        must(self.owed_verdict.take().is_none(), Rule::Judgement, context)?;
        must(self.owed_ask.take().is_none(), Rule::OperatorsWish, context)?;
        let ready = self.started && self.ending.is_none() && self.children.iter().all(Child::stands);
        must(self.all_ready || !ready, Rule::AllReady, context)
    }

    /// The agenda of the world is empty but for the stop.
    pub(crate) fn sees_that_nothing_more_will_happen(&mut self) -> Result<(), Violation> {
        if !self.finished {
            self.count("came to rest");
            must(self.owed_answers.is_empty(), Rule::Answered, || format!("{:?}", self.owed_answers))?;
            let stuck = self.children.iter().find(|child| !child.stands());
            must(stuck.is_none(), Rule::NothingStuck, || format!("{stuck:?}"))?;
            must(self.ending.is_none(), Rule::NothingStuck, || format!("{:?} without finish", self.ending))?;
        }
        Ok(())
    }

    pub(crate) fn sees_the_end(&self) -> Result<(), Violation> {
        must(self.finished, Rule::NothingStuck, || format!("stopped but not finished: {:?}", self.children))
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn position(&self, id: &ChildId) -> Option<usize> {
        self.children.iter().position(|child| child.spec.id == *id)
    }

    /// The child whose live run this is.
    fn running(&self, id: &ChildId, incarnation: Incarnation) -> Option<usize> {
        self.position(id)
            .filter(|at| self.children[*at].run.as_ref().is_some_and(|run| run.incarnation == incarnation))
    }
}

/// What an event means.
impl Witness {
    fn hears(&mut self, now: Duration, event: &SupervisionEvent) {
        if let SupervisionEvent::StopChild { child }
        | SupervisionEvent::StartChild { child }
        | SupervisionEvent::RestartChild { child }
        | SupervisionEvent::RemoveChild { child } = event
            && self.position(child).is_some()
        {
            self.owed_answers.insert(child.clone());
        }
        match event {
            SupervisionEvent::Start => self.started = true,
            SupervisionEvent::StopAsked => self.begin_to_end(SupervisorEnd::Stopped),
            SupervisionEvent::Ready { child, incarnation } => {
                if let Some(at) = self.running(child, *incarnation) {
                    let child = &mut self.children[at];
                    if let Some(run) = child.run.as_mut().filter(|run| !run.asked && !run.killed) {
                        run.ready = true;
                        child.proved = true;
                        child.troubled &= run.marked;
                    }
                }
            }
            SupervisionEvent::Ended { child, incarnation, how, .. } => {
                if let Some(at) = self.running(child, *incarnation) {
                    self.run_is_over(at, now, how);
                }
            }
            SupervisionEvent::TimerFired { timer } if timer.kind == TimerKind::Backoff => {
                if let Some(at) = self.position(&timer.child)
                    && self.incarnations.get(&timer.child) == Some(&timer.incarnation)
                {
                    self.children[at].backing_off = false;
                }
            }
            SupervisionEvent::TimerFired { timer } => {
                if let Some(at) = self.running(&timer.child, timer.incarnation)
                    && let Some(run) = &mut self.children[at].run
                {
                    run.passed.insert(timer.kind);
                }
            }
            SupervisionEvent::StopChild { child } => self.wants_gone(child, |child| child.held = true),
            SupervisionEvent::RemoveChild { child } => self.wants_gone(child, |child| child.removed = true),
            SupervisionEvent::StartChild { child } => {
                self.wants_running(child);
            }
            SupervisionEvent::RestartChild { child } => {
                if let Some(at) = self.wants_running(child)
                    && let Some(run) = self.children[at].run.as_mut().filter(|run| run.stays())
                {
                    run.marked = true;
                    self.children[at].troubled = true;
                    self.mark_siblings(at);
                    self.count("restart by an operator");
                }
            }
            SupervisionEvent::AddChild { spec } => {
                if self.position(&spec.id).is_none() && self.ending.is_none() {
                    self.children.push(Child::new(spec.clone()));
                    self.count("added");
                }
            }
        }
    }

    fn wants_gone(&mut self, id: &ChildId, wish: impl FnOnce(&mut Child)) {
        if let Some(at) = self.position(id) {
            let child = &mut self.children[at];
            wish(child);
            if child.run.as_ref().is_some_and(Run::stays) {
                self.owed_ask = Some(id.clone());
            }
        }
    }

    fn wants_running(&mut self, id: &ChildId) -> Option<usize> {
        let at = self.position(id).filter(|at| self.ending.is_none() && !self.children[*at].removed)?;
        let child = &mut self.children[at];
        child.held = false;
        child.resting = false;
        child.backing_off = false;
        if let Some(run) = child.run.as_mut().filter(|run| !run.stays()) {
            run.marked = true;
        }
        Some(at)
    }

    /// The run has ended or was abandoned.
    fn run_is_over(&mut self, at: usize, now: Duration, how: &ChildEnd) {
        let child = &mut self.children[at];
        let Some(run) = child.run.take() else { return };
        if run.marked || run.asked || child.held || child.removed {
            return;
        }
        let id = child.spec.id.clone();
        let condemned = run.killed && run.passed.contains(&TimerKind::Init);
        let fault = match how {
            _ if condemned => Some(Fault::new(format!("/{id}"), FaultKind::InitTimeout, "not ready in time")),
            ChildEnd::Fault(fault) => Some(fault.clone()),
            ChildEnd::Normal => None,
        };
        let restart = match child.spec.restart {
            RestartPolicy::Permanent => true,
            RestartPolicy::Transient => fault.is_some(),
            RestartPolicy::Temporary => false,
        };
        let significant = child.spec.significant;
        if condemned {
            self.count("missed its init deadline");
        }
        if !restart {
            self.owed_verdict = Some((id.clone(), Verdict::Rest));
            if significant {
                self.begin_to_end(SupervisorEnd::SignificantChildEnded { child: id });
            }
            return;
        }
        let fault = fault.unwrap_or_else(|| {
            Fault::new(format!("/{id}"), FaultKind::Ended, "ended normally although it is permanent")
        });
        let within = self.spec.budget.within;
        self.recent_restarts.retain(|(at, _)| now - *at <= within);
        if self.recent_restarts.len() < self.spec.budget.max_restarts {
            self.recent_restarts.push((now, fault));
            self.owed_verdict = Some((id, Verdict::Restart));
            self.children[at].backing_off = true;
            self.children[at].troubled = true;
            self.mark_siblings(at);
            self.count("restart");
        } else {
            let first_fault = self.recent_restarts.first().map_or(&fault, |(_, first)| first).clone();
            self.owed_verdict = Some((id, Verdict::Rest));
            self.begin_to_end(SupervisorEnd::GaveUp { first_fault, last_fault: fault });
        }
    }

    fn mark_siblings(&mut self, of: usize) {
        let concerned = match self.spec.strategy {
            Strategy::OneForOne => return,
            Strategy::OneForAll => 0..self.children.len(),
            Strategy::RestForOne => of + 1..self.children.len(),
        };
        for sibling in &mut self.children[concerned] {
            if let Some(run) = sibling.run.as_mut().filter(|run| run.stays()) {
                run.marked = true;
            }
        }
    }

    fn begin_to_end(&mut self, end: SupervisorEnd) {
        if self.ending.is_none() {
            self.ending = Some(end);
            for run in self.children.iter_mut().filter_map(|child| child.run.as_mut()) {
                run.marked = true;
            }
        }
    }
}
