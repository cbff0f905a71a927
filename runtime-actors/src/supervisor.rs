//! A supervisor: carries out what the decision core in runtime-core says, and nothing else.
//!
//! ```text
//! child ended · ready · timer fired · operator ─▶ SupervisorCore::step ─▶ spawn · ask to stop · kill · arm · finish
//! ```
//!
//! It never waits: not for a child's start, not for its stop. Every deadline is a timer that comes back as a message.

mod child;
mod root;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use ractor::ActorId;
use runtime_core::control::{CommandError, Reply};
use runtime_core::node::{DesiredState, NodeState};
use runtime_core::supervision::{
    ChildEnd, ChildId, ChildPhase, Fault, FaultKind, Incarnation, SupervisionAction, SupervisionEvent,
    SupervisionTimer, SupervisorCore, SupervisorEnd, SupervisorSpec, TimerKind,
};
use tokio::time::Instant;

pub(crate) use child::ChildPlan;
use child::{Spawn, Spawned};
pub(crate) use root::Root;

use crate::node::{ControlMsg, NodeActor, NodeContext, Progress};

/// What a supervisor is told and asked.
#[derive(Debug)]
pub(crate) enum SupervisorMsg {
    /// A child's init is done.
    ChildReady {
        /// Which.
        child: ChildId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// A child could not even build its state.
    SpawnFailed {
        /// Which.
        child: ChildId,
        /// Which run of it.
        incarnation: Incarnation,
        /// Why.
        error: String,
    },
    /// A deadline or a wait is over.
    TimerFired(SupervisionTimer),
    /// An operator wants a child stopped.
    StopChild(ChildId, Reply<()>),
    /// An operator wants a child up.
    StartChild(ChildId, Reply<()>),
    /// An operator wants a child anew.
    RestartChild(ChildId, Reply<()>),
}

/// What an operator waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Up,
    AtRest,
}

/// The logic of a supervisor node.
pub(crate) struct Supervisor {
    core: SupervisorCore,
    plans: HashMap<ChildId, ChildPlan>,
    spawned: HashMap<ChildId, (Incarnation, Spawned)>,
    by_actor: HashMap<ActorId, (ChildId, Incarnation)>,
    asked: Vec<(ChildId, Goal, Reply<()>)>,
    since: Instant,
    stop: StopOrder,
}

/// In which order children are asked to stop when their supervisor stops. When each has ended is the decision core's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopOrder {
    /// Each when those started after it have ended.
    RightToLeft,
    /// All at once: they do not need each other, and the slowest alone says how long it takes.
    Together,
}

impl Supervisor {
    /// A supervisor over these children. `spec.children` is filled in from the plans, in their order.
    pub(crate) fn new(mut spec: SupervisorSpec, stop: StopOrder, plans: Vec<ChildPlan>) -> Self {
        spec.children = plans.iter().map(|plan| plan.spec.clone()).collect();
        Self {
            core: SupervisorCore::new(spec),
            plans: plans.into_iter().map(|plan| (plan.spec.id.clone(), plan)).collect(),
            spawned: HashMap::new(),
            by_actor: HashMap::new(),
            asked: Vec::new(),
            since: Instant::now(),
            stop,
        }
    }

    fn step(&mut self, node: &NodeContext<SupervisorMsg>, event: SupervisionEvent) -> Result<(), Fault> {
        let mut events = vec![event];
        let mut end = None;
        while let Some(event) = events.pop() {
            let actions = self.core.step(self.since.elapsed(), event);
            // Whoever is answered finds the table as the answer says.
            self.show();
            for action in actions {
                self.act(node, action, &mut events, &mut end);
            }
        }
        end.map_or(Ok(()), |end| self.finish(node, end))
    }

    fn finish(&mut self, node: &NodeContext<SupervisorMsg>, end: SupervisorEnd) -> Result<(), Fault> {
        match end {
            SupervisorEnd::Stopped | SupervisorEnd::SignificantChildEnded { .. } => {
                node.finish();
                Ok(())
            }
            SupervisorEnd::GaveUp { first_fault, last_fault } => {
                tracing::error!(node = %node.path(), first = %first_fault, last = %last_fault, "supervisor gave up");
                let fault = Fault::gave_up(node.path().as_str(), first_fault);
                node.entry().set_fault(Some(fault.to_string()));
                Err(fault)
            }
        }
    }

    fn act(
        &mut self,
        node: &NodeContext<SupervisorMsg>,
        action: SupervisionAction,
        events: &mut Vec<SupervisionEvent>,
        end: &mut Option<SupervisorEnd>,
    ) {
        match action {
            SupervisionAction::Spawn { child, incarnation } => self.spawn(node, child, incarnation, events),
            SupervisionAction::AskStop { child, incarnation } => {
                if let Some(live) = self.live(&child, incarnation) {
                    (live.control)(ControlMsg::Stop);
                }
            }
            SupervisionAction::Kill { child, incarnation } => {
                if let (Some(live), Some(plan)) = (self.live(&child, incarnation), self.plans.get(&child)) {
                    plan.entry.set_overdue();
                    live.cell.kill();
                }
            }
            SupervisionAction::Abandon { child, incarnation } => {
                tracing::error!(node = %node.path(), %child, %incarnation, "child did not end when killed; abandoned");
                self.forget(&child, incarnation);
            }
            SupervisionAction::Arm { timer, after } => {
                if timer.kind == TimerKind::Backoff {
                    self.show_restart(&timer.child, after);
                }
                node.myself().tell_after(after, SupervisorMsg::TimerFired(timer));
            }
            SupervisionAction::AllReady => node.ready(),
            SupervisionAction::ChildSettled { child, phase } => self.answer(&child, phase),
            SupervisionAction::Finish(how) => *end = Some(how),
        }
    }

    fn spawn(
        &mut self,
        node: &NodeContext<SupervisorMsg>,
        child: ChildId,
        incarnation: Incarnation,
        events: &mut Vec<SupervisionEvent>,
    ) {
        let Some(plan) = self.plans.get(&child) else { return };
        let spawn = Spawn {
            entry: plan.entry.clone(),
            supervisor: node.cell(),
            myself: node.myself(),
            child: child.clone(),
            incarnation,
        };
        match (plan.spawn)(spawn) {
            Ok(spawned) => {
                self.by_actor.insert(spawned.cell.get_id(), (child.clone(), incarnation));
                self.spawned.insert(child, (incarnation, spawned));
            }
            Err(error) => {
                let how = spawn_failed(node, &child, error);
                events.push(self.ended(&child, incarnation, how));
            }
        }
    }

    fn live(&self, child: &ChildId, incarnation: Incarnation) -> Option<&Spawned> {
        self.spawned.get(child).filter(|(present, _)| *present == incarnation).map(|(_, spawned)| spawned)
    }

    fn forget(&mut self, child: &ChildId, incarnation: Incarnation) {
        if self.live(child, incarnation).is_some()
            && let Some((_, spawned)) = self.spawned.remove(child)
        {
            self.by_actor.remove(&spawned.cell.get_id());
            if let Some(plan) = self.plans.get(child) {
                plan.entry.end(spawned.run);
            }
        }
    }

    fn ended(&mut self, child: &ChildId, incarnation: Incarnation, how: ChildEnd) -> SupervisionEvent {
        self.forget(child, incarnation);
        if let (ChildEnd::Fault(fault), Some(plan)) = (&how, self.plans.get(child)) {
            tracing::warn!(node = %plan.entry.path(), %incarnation, %fault, "node broke");
            plan.entry.set_fault(Some(fault.to_string()));
        }
        SupervisionEvent::Ended { child: child.clone(), incarnation, how, jitter: rand_unit() }
    }

    /// A child is to be restarted, for what the core calls its fault: that a permanent child ended, or was not ready in time, is one too.
    fn show_restart(&self, child: &ChildId, backoff: Duration) {
        let (Some(plan), Some(known)) = (self.plans.get(child), self.core.child(child)) else { return };
        plan.entry.note_restart(known.last_fault(), backoff);
    }

    /// Brings the table up to what the core knows. What a ready child does is its own to show.
    fn show(&self) {
        for child in self.core.children() {
            let Some(plan) = self.plans.get(&child.spec().id) else { continue };
            match child.phase() {
                ChildPhase::Ready | ChildPhase::Starting => {}
                ChildPhase::Waiting => plan.entry.set_state(NodeState::Waiting),
                ChildPhase::Stopping | ChildPhase::Killing => plan.entry.set_state(NodeState::Stopping),
                ChildPhase::BackingOff => plan.entry.set_state(NodeState::BackingOff),
                ChildPhase::Stopped => plan.entry.set_state(NodeState::Stopped),
                ChildPhase::Abandoned => plan.entry.set_state(NodeState::Abandoned),
            }
        }
    }

    /// An operator's wish concerning one child.
    fn ask(
        &mut self,
        node: &NodeContext<SupervisorMsg>,
        child: ChildId,
        goal: Goal,
        reply: Reply<()>,
        event: SupervisionEvent,
    ) -> Result<(), Fault> {
        let Some(present) = self.core.child(&child).map(|known| known.phase()) else {
            reply
                .send(Err(CommandError::not_found(format!("no node {}", node.path().child(child.as_str())))));
            return Ok(());
        };
        if self.core.is_ending() {
            reply.send(Err(CommandError::precondition(format!("{} is stopping", node.path()))));
            return Ok(());
        }
        let restart = matches!(event, SupervisionEvent::RestartChild { .. });
        if !restart && goal.met_by(present) {
            reply.send(Ok(()));
            return Ok(());
        }
        if let Some(plan) = self.plans.get(&child).filter(|_| goal == Goal::Up) {
            plan.entry.expect_wish();
        }
        self.asked.push((child, goal, reply));
        self.step(node, event)
    }

    fn answer(&mut self, child: &ChildId, phase: ChildPhase) {
        let (of_child, others): (Vec<_>, Vec<_>) =
            self.asked.drain(..).partition(|(asked, ..)| asked == child);
        self.asked = others;
        for (_, goal, reply) in of_child {
            let answer = if goal.met_by(phase) {
                Ok(())
            } else {
                let fault =
                    self.core.child(child).and_then(|known| known.last_fault().map(ToString::to_string));
                let why = fault.unwrap_or_else(|| "it was asked to do something else meanwhile".into());
                Err(CommandError::precondition(format!("{child} is {phase}: {why}")))
            };
            reply.send(answer);
        }
    }
}

impl Goal {
    fn met_by(self, phase: ChildPhase) -> bool {
        match self {
            Self::Up => phase == ChildPhase::Ready,
            Self::AtRest => phase.is_at_rest(),
        }
    }
}

#[async_trait]
impl NodeActor for Supervisor {
    type Msg = SupervisorMsg;

    async fn init(&mut self, node: &NodeContext<SupervisorMsg>) -> Result<Progress, Fault> {
        self.since = Instant::now();
        let held: Vec<ChildId> = self
            .plans
            .iter()
            .filter(|(_, plan)| plan.entry.desired() == DesiredState::Stopped)
            .map(|(id, _)| id.clone())
            .collect();
        for child in held {
            self.step(node, SupervisionEvent::StopChild { child })?;
        }
        self.step(node, SupervisionEvent::Start)?;
        Ok(Progress::Underway)
    }

    async fn handle(
        &mut self,
        node: &NodeContext<SupervisorMsg>,
        message: SupervisorMsg,
    ) -> Result<(), Fault> {
        match message {
            SupervisorMsg::ChildReady { child, incarnation } => {
                self.step(node, SupervisionEvent::Ready { child, incarnation })
            }
            // A child that could not be built may have been given up meanwhile.
            SupervisorMsg::SpawnFailed { child, incarnation, .. }
                if self.live(&child, incarnation).is_none() =>
            {
                Ok(())
            }
            SupervisorMsg::SpawnFailed { child, incarnation, error } => {
                let how = spawn_failed(node, &child, error);
                let event = self.ended(&child, incarnation, how);
                self.step(node, event)
            }
            SupervisorMsg::TimerFired(timer) => self.step(node, SupervisionEvent::TimerFired { timer }),
            SupervisorMsg::StopChild(child, reply) => {
                let event = SupervisionEvent::StopChild { child: child.clone() };
                self.ask(node, child, Goal::AtRest, reply, event)
            }
            SupervisorMsg::StartChild(child, reply) => {
                let event = SupervisionEvent::StartChild { child: child.clone() };
                self.ask(node, child, Goal::Up, reply, event)
            }
            SupervisorMsg::RestartChild(child, reply) => {
                let event = SupervisionEvent::RestartChild { child: child.clone() };
                self.ask(node, child, Goal::Up, reply, event)
            }
        }
    }

    async fn stop(&mut self, node: &NodeContext<SupervisorMsg>) -> Result<Progress, Fault> {
        if self.stop == StopOrder::Together {
            for (_, live) in self.spawned.values() {
                (live.control)(ControlMsg::Stop);
            }
        }
        self.step(node, SupervisionEvent::StopAsked)?;
        Ok(Progress::Underway)
    }

    async fn child_ended(
        &mut self,
        node: &NodeContext<SupervisorMsg>,
        actor: ActorId,
        how: ChildEnd,
    ) -> Result<(), Fault> {
        let Some((child, incarnation)) = self.by_actor.get(&actor).cloned() else { return Ok(()) };
        let how = match how {
            ChildEnd::Fault(fault) if fault.child.is_empty() => {
                ChildEnd::Fault(Fault { child: node.path().child(child.as_str()).to_string(), ..fault })
            }
            other => other,
        };
        let event = self.ended(&child, incarnation, how);
        self.step(node, event)
    }
}

impl Drop for Supervisor {
    /// Killed or broken: the framework kills its children with it. Those that waited for a restart wait no longer.
    fn drop(&mut self) {
        for plan in self.plans.values() {
            if matches!(plan.entry.state(), NodeState::BackingOff | NodeState::Waiting) {
                plan.entry.set_state(NodeState::Stopped);
            }
        }
    }
}

fn spawn_failed(node: &NodeContext<SupervisorMsg>, child: &ChildId, error: String) -> ChildEnd {
    ChildEnd::Fault(Fault::new(node.path().child(child.as_str()).as_str(), FaultKind::SpawnFailed, error))
}

/// Chance for back-off jitter: quality does not matter, a dependency would.
pub(crate) fn rand_unit() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bits = RandomState::new().build_hasher().finish() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    let unit = bits as f64 / (1_u64 << 53) as f64;
    unit
}
