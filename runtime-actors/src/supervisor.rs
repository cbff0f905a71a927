//! A supervisor: carries out what the decision core in runtime-core says, and nothing else.
//!
//! ```text
//! child ended · ready · timer fired · operator ─▶ SupervisorCore::step ─▶ spawn · ask to stop · kill · arm · finish
//! ```
//!
//! It never waits: not for a child's start, not for its stop. Every deadline is a timer that comes back as a message.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ractor::{ActorCell, ActorId, ActorRef, ActorRuntime};
use runtime_core::control::{CommandError, Reply};
use runtime_core::node::{DesiredState, NodeState};
use runtime_core::supervision::{
    ChildEnd, ChildId, ChildPhase, ChildSpec, Fault, FaultKind, Incarnation, SupervisionAction,
    SupervisionEvent, SupervisionTimer, SupervisorCore, SupervisorEnd, SupervisorSpec,
};
use tokio::time::Instant;

use crate::node::{ControlMsg, Myself, Node, NodeActor, NodeContext, NodeMsg, NodeStart, Progress};
use crate::table::NodeEntry;

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

/// How one child is made, beside what the decision core knows of it.
pub(crate) struct ChildPlan {
    pub(crate) spec: ChildSpec,
    pub(crate) entry: Arc<NodeEntry>,
    spawn: Box<dyn Fn(Spawn) -> Result<Spawned, String> + Send + Sync>,
    root: Box<dyn Fn(Arc<NodeEntry>) -> StartingRoot + Send + Sync>,
}

type StartingRoot = BoxFuture<'static, Result<Root, String>>;

struct Spawn {
    entry: Arc<NodeEntry>,
    incarnation: Incarnation,
    supervisor: ActorCell,
    myself: Myself<SupervisorMsg>,
    child: ChildId,
}

struct Spawned {
    cell: ActorCell,
    control: Box<dyn Fn(ControlMsg) + Send + Sync>,
}

impl ChildPlan {
    /// A child whose logic `build` makes anew for every incarnation.
    pub(crate) fn new<A: NodeActor>(
        spec: ChildSpec,
        entry: Arc<NodeEntry>,
        build: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let build = Arc::new(build);
        let as_child = build.clone();
        let spawn = Box::new(move |spawn: Spawn| spawn_node(as_child.clone(), spawn));
        let root = Box::new(move |entry| Box::pin(spawn_root(build.clone(), entry)) as StartingRoot);
        Self { spec, entry, spawn, root }
    }
}

fn spawn_node<A: NodeActor>(
    build: Arc<impl Fn() -> A + Send + Sync + 'static>,
    spawn: Spawn,
) -> Result<Spawned, String> {
    let Spawn { entry, incarnation, supervisor, myself, child } = spawn;
    let report_ready = {
        let (myself, child) = (myself.clone(), child.clone());
        Arc::new(move || {
            myself.tell(SupervisorMsg::ChildReady { child: child.clone(), incarnation });
        })
    };
    let start = NodeStart { build: Box::new(move || build()), entry, incarnation, report_ready };
    let (actor, started) = ActorRuntime::spawn_linked_instant(None, Node::<A>::new(), start, supervisor)
        .map_err(|error| error.to_string())?;
    // A failure before the link exists is no supervision event: it shows in this handle alone.
    tokio::spawn(async move {
        let error = match started.await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        myself.tell(SupervisorMsg::SpawnFailed { child, incarnation, error });
    });
    let control: ActorRef<NodeMsg<A::Msg>> = actor.clone();
    Ok(Spawned {
        cell: actor.get_cell(),
        control: Box::new(move |message| drop(control.send_message(NodeMsg::Control(message)))),
    })
}

async fn spawn_root<A: NodeActor>(
    build: Arc<impl Fn() -> A + Send + Sync + 'static>,
    entry: Arc<NodeEntry>,
) -> Result<Root, String> {
    let (ready, mut is_ready) = tokio::sync::watch::channel(false);
    let (end, ended) = tokio::sync::watch::channel(None);
    let start = NodeStart {
        build: Box::new(move || build()),
        entry: entry.clone(),
        incarnation: Incarnation(1),
        report_ready: Arc::new(move || {
            ready.send_replace(true);
        }),
    };
    let (actor, running) =
        ActorRuntime::spawn(None, Node::<A>::new(), start).await.map_err(|error| error.to_string())?;
    let finished = tokio::spawn(async move {
        drop(running.await);
        let fault = entry.view().last_fault.unwrap_or_default();
        end.send_replace(Some(fault));
    });
    let root = Root {
        control: Box::new(move |message| drop(actor.send_message(NodeMsg::Control(message)))),
        ended: ended.clone(),
        finished,
    };
    let mut ended = ended;
    tokio::select! {
        up = is_ready.wait_for(|ready| *ready) => up.map(|_| ()).map_err(|_| "it ended before it was ready".to_owned())?,
        fault = ended.wait_for(Option::is_some) => {
            return Err(fault.ok().and_then(|fault| fault.clone()).unwrap_or_default());
        }
    }
    Ok(root)
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
}

impl Supervisor {
    /// A supervisor over these children. `spec.children` is filled in from the plans, in their order.
    pub(crate) fn new(mut spec: SupervisorSpec, plans: Vec<ChildPlan>) -> Self {
        spec.children = plans.iter().map(|plan| plan.spec.clone()).collect();
        Self {
            core: SupervisorCore::new(spec),
            plans: plans.into_iter().map(|plan| (plan.spec.id.clone(), plan)).collect(),
            spawned: HashMap::new(),
            by_actor: HashMap::new(),
            asked: Vec::new(),
            since: Instant::now(),
        }
    }

    fn step(&mut self, node: &NodeContext<SupervisorMsg>, event: SupervisionEvent) -> Result<(), Fault> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.core.step(self.since.elapsed(), event) {
                self.act(node, action, &mut events)?;
            }
        }
        self.show();
        Ok(())
    }

    fn act(
        &mut self,
        node: &NodeContext<SupervisorMsg>,
        action: SupervisionAction,
        events: &mut Vec<SupervisionEvent>,
    ) -> Result<(), Fault> {
        match action {
            SupervisionAction::Spawn { child, incarnation } => self.spawn(node, child, incarnation, events),
            SupervisionAction::AskStop { child, incarnation } => {
                if let Some(live) = self.live(&child, incarnation) {
                    (live.control)(ControlMsg::Stop);
                }
            }
            SupervisionAction::Kill { child, incarnation } => {
                if let Some(live) = self.live(&child, incarnation) {
                    live.cell.kill();
                }
            }
            SupervisionAction::Abandon { child, incarnation } => {
                tracing::error!(node = %node.path(), %child, %incarnation, "child did not end when killed; abandoned");
                self.forget(&child, incarnation);
            }
            SupervisionAction::Arm { timer, after } => {
                node.myself().tell_after(after, SupervisorMsg::TimerFired(timer));
            }
            SupervisionAction::AllReady => node.ready(),
            SupervisionAction::ChildSettled { child, phase } => self.answer(&child, phase),
            SupervisionAction::Finish(SupervisorEnd::GaveUp { first_fault, last_fault }) => {
                tracing::error!(node = %node.path(), first = %first_fault, last = %last_fault, "supervisor gave up");
                node.entry().set_fault(Some(first_fault.to_string()));
                return Err(Fault::gave_up(node.path().as_str(), first_fault));
            }
            SupervisionAction::Finish(
                SupervisorEnd::Stopped | SupervisorEnd::SignificantChildEnded { .. },
            ) => {
                node.finish();
            }
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        node: &NodeContext<SupervisorMsg>,
        child: ChildId,
        incarnation: Incarnation,
        events: &mut Vec<SupervisionEvent>,
    ) {
        let Some(plan) = self.plans.get(&child) else { return };
        plan.entry.set_incarnation(incarnation.0);
        plan.entry.set_state(NodeState::Starting);
        let spawn = Spawn {
            entry: plan.entry.clone(),
            incarnation,
            supervisor: node.cell(),
            myself: node.myself(),
            child: child.clone(),
        };
        match (plan.spawn)(spawn) {
            Ok(spawned) => {
                self.by_actor.insert(spawned.cell.get_id(), (child.clone(), incarnation));
                self.spawned.insert(child, (incarnation, spawned));
            }
            Err(error) => events.push(self.ended(&child, incarnation, spawn_failed(node, &child, error))),
        }
    }

    fn live(&self, child: &ChildId, incarnation: Incarnation) -> Option<&Spawned> {
        self.spawned.get(child).filter(|(present, _)| *present == incarnation).map(|(_, spawned)| spawned)
    }

    fn forget(&mut self, child: &ChildId, incarnation: Incarnation) {
        if let Some(live) = self.live(child, incarnation) {
            let id = live.cell.get_id();
            self.by_actor.remove(&id);
            self.spawned.remove(child);
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

    /// Brings the table up to what the core knows. What a ready child does is its own to show.
    fn show(&self) {
        for child in self.core.children() {
            let Some(plan) = self.plans.get(&child.spec().id) else { continue };
            plan.entry.restarts.store(child.restarts(), Ordering::Relaxed);
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

/// The root of a tree: the one node without a supervisor.
pub(crate) struct Root {
    control: Box<dyn Fn(ControlMsg) + Send + Sync>,
    ended: tokio::sync::watch::Receiver<Option<String>>,
    finished: tokio::task::JoinHandle<()>,
}

impl Root {
    /// Starts the root and waits until all under it are ready.
    ///
    /// # Errors
    /// Why it did not come up.
    pub(crate) async fn start(plan: ChildPlan) -> Result<Self, String> {
        plan.entry.set_incarnation(1);
        plan.entry.set_state(NodeState::Starting);
        (plan.root)(plan.entry.clone()).await
    }

    /// Set when the root ended.
    pub(crate) fn broken(&self) -> tokio::sync::watch::Receiver<Option<String>> {
        self.ended.clone()
    }

    /// Stops everything in order.
    ///
    /// # Errors
    /// Why the root broke, when it did.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        (self.control)(ControlMsg::Stop);
        // The root ends when everything under it has ended or was abandoned; its own deadlines bound that.
        drop((&mut self.finished).await);
        match self.ended.borrow().clone() {
            Some(fault) if !fault.is_empty() => Err(fault),
            _ => Ok(()),
        }
    }
}
