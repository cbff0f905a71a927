//! The life of a node under the actor framework: built, started, told what to do, ended.

use std::sync::Arc;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use runtime_core::control::CommandError;
use runtime_core::node::{DesiredState, NodeState};
use runtime_core::supervision::{ChildEnd, Fault, FaultKind};

use super::{ControlMsg, NodeActor, NodeContext, NodeMsg, Progress};
use crate::table::NodeEntry;

/// What the framework needs to start a node.
pub(crate) struct NodeStart<A: NodeActor> {
    pub(crate) build: Box<dyn FnOnce() -> A + Send>,
    pub(crate) entry: Arc<NodeEntry>,
    pub(crate) incarnation: u64,
    pub(crate) report_ready: Arc<dyn Fn() + Send + Sync>,
}

/// The actor behind a [`NodeActor`].
pub(crate) struct Node<A>(std::marker::PhantomData<fn() -> A>);

impl<A> Node<A> {
    pub(crate) fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

/// A running node: its logic and what it knows of itself.
pub(crate) struct NodeLife<A: NodeActor> {
    logic: A,
    context: NodeContext<A::Msg>,
    initialised: bool,
    paused: bool,
    stopping: bool,
}

impl<A: NodeActor> Drop for NodeLife<A> {
    /// However the node ended, nobody must reach it any more.
    fn drop(&mut self) {
        self.context.entry.end(self.context.incarnation);
    }
}

impl<A: NodeActor> NodeLife<A> {
    pub(crate) fn new(logic: A, context: NodeContext<A::Msg>) -> Self {
        Self { logic, context, initialised: false, paused: false, stopping: false }
    }

    pub(crate) async fn receive(&mut self, message: NodeMsg<A::Msg>) -> Result<(), Fault> {
        #[cfg(test)]
        self.context.entry.sabotage.at(crate::tests::Point::of(&message)).await?;
        match message {
            NodeMsg::Init => self.init().await,
            NodeMsg::Own(message) => {
                self.context.entry.message_taken();
                self.logic.handle(&self.context, message).await?;
                if self.context.came_up() {
                    // As at an init that is complete at once: what was wanted meanwhile, and what is wanted all along.
                    self.obey();
                    if self.paused {
                        self.context.entry.set_state(NodeState::Paused);
                    }
                }
                Ok(())
            }
            NodeMsg::Control(control) => self.control(control).await,
        }
    }

    async fn init(&mut self) -> Result<(), Fault> {
        // A node that shall be paused takes no work from its first moment on.
        self.obey();
        let progress = self.logic.init(&self.context).await?;
        self.initialised = true;
        if progress == Progress::Complete {
            self.context.open();
            // Whoever changed the wish before this found the door shut and could not say so.
            self.obey();
            self.context.is_up(if self.paused { NodeState::Paused } else { NodeState::Running });
        }
        Ok(())
    }

    /// Is paused, or not, as operators want of it and of the instance.
    fn obey(&mut self) {
        let entry = &self.context.entry;
        let paused = entry.desired() == DesiredState::Paused || entry.is_held();
        if paused != self.paused {
            self.pause(paused);
        }
    }

    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if paused { self.logic.pause(&self.context) } else { self.logic.resume(&self.context) }
    }

    fn show(&self) {
        self.context.entry.set_state(if self.paused { NodeState::Paused } else { NodeState::Running });
    }

    async fn control(&mut self, message: ControlMsg) -> Result<(), Fault> {
        match message {
            ControlMsg::Snapshot(reply) => reply.send(Ok(self.context.entry.view())),
            ControlMsg::Stop => return self.stop().await,
            ControlMsg::Pause(reply)
            | ControlMsg::Resume(reply)
            | ControlMsg::Obey(reply)
            | ControlMsg::Drain(reply)
            | ControlMsg::Resize(_, reply)
                if self.stopping =>
            {
                let text = format!("{} is stopping", self.context.path());
                reply.send(Err(CommandError::precondition(text)));
            }
            ControlMsg::Pause(reply) => {
                self.pause(true);
                self.show();
                reply.send(Ok(()));
            }
            ControlMsg::Resume(reply) => {
                // What the whole instance does not do, none of its nodes does.
                self.pause(self.context.entry.is_held());
                self.show();
                reply.send(Ok(()));
            }
            ControlMsg::Obey(reply) => {
                // One that drains takes nothing as it is, and does not come back by itself.
                if self.context.entry.state() != NodeState::Draining {
                    self.obey();
                    self.show();
                }
                reply.send(Ok(()));
            }
            ControlMsg::Drain(reply) => {
                self.context.entry.set_state(NodeState::Draining);
                self.logic.drain(&self.context, reply);
            }
            ControlMsg::Resize(slots, reply) => reply.send(self.logic.resize(&self.context, slots)),
        }
        Ok(())
    }

    /// Ends in order, once: a second wish changes nothing.
    async fn stop(&mut self) -> Result<(), Fault> {
        if std::mem::replace(&mut self.stopping, true) {
            return Ok(());
        }
        self.context.entry.set_state(NodeState::Stopping);
        if !self.initialised || self.logic.stop(&self.context).await? == Progress::Complete {
            self.context.finish();
        }
        Ok(())
    }
}

impl<A: NodeActor> Actor for Node<A> {
    type Msg = NodeMsg<A::Msg>;
    type State = NodeLife<A>;
    type Arguments = NodeStart<A>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        start: NodeStart<A>,
    ) -> Result<Self::State, ActorProcessingErr> {
        let NodeStart { build, entry, incarnation, report_ready } = start;
        #[cfg(test)]
        entry.sabotage.at(crate::tests::Point::Build).await?;
        let context = NodeContext::new(entry, incarnation, myself.clone(), report_ready);
        let life = NodeLife::new(build(), context);
        myself.send_message(NodeMsg::Init)?;
        Ok(life)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        life: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let entry = life.context.entry.clone();
        entry.begin_work();
        let result = life.receive(message).await;
        entry.end_work(result.is_err());
        Ok(result?)
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        life: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some((child, how)) = child_end(event) {
            life.logic.child_ended(&life.context, child, how).await?;
        }
        Ok(())
    }
}

/// Reads the framework's event. A kill or an aborted task arrives as "terminated" with a reason, an error keeps its type, a panic
/// arrives as text.
fn child_end(event: SupervisionEvent) -> Option<(ActorId, ChildEnd)> {
    match event {
        SupervisionEvent::ActorTerminated(cell, _, None) => Some((cell.get_id(), ChildEnd::Normal)),
        SupervisionEvent::ActorTerminated(cell, _, Some(reason)) => {
            Some((cell.get_id(), ChildEnd::Fault(Fault::new("", FaultKind::Killed, reason))))
        }
        SupervisionEvent::ActorFailed(cell, error) => {
            let fault = match error.downcast::<Fault>() {
                Ok(fault) => *fault,
                Err(other) => Fault::new("", FaultKind::Panic, other.to_string()),
            };
            Some((cell.get_id(), ChildEnd::Fault(fault)))
        }
        SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => None,
    }
}
