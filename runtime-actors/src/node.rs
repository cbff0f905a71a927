//! One node of the tree: the only place, beside its supervisor, that speaks to the actor framework.
//!
//! A node's logic is a [`NodeActor`]: plain methods on `&mut self`, which tests call directly. [`Node`] gives it its life:
//!
//! ```text
//! spawn ─▶ pre_start: build the state ─▶ Init: I/O, under the supervisor's deadline ─▶ ready, door open
//!                                                                                       │
//!        stop hook ◀─ Stop (asked) ◀──────────── messages, control facet ◀──────────────┘
//! ```
//!
//! An error from any method means that the actor is broken; its supervisor decides what follows. An error of the work it does
//! is a value and never comes here.

mod life;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ractor::{ActorCell, ActorId, ActorRef};
use runtime_core::control::{CommandError, Reply};
use runtime_core::node::{NodePath, NodeState, NodeView};
use runtime_core::supervision::{ChildEnd, Fault, FaultKind};

#[cfg(test)]
pub(crate) use life::NodeLife;
pub(crate) use life::{Node, NodeStart};

use crate::table::NodeEntry;

/// What every node understands, whatever its own messages are.
#[derive(Debug)]
pub(crate) enum ControlMsg {
    /// Take no new work.
    Pause(Reply<()>),
    /// Go on.
    Resume(Reply<()>),
    /// Look again whether you shall take work.
    Obey(Reply<()>),
    /// End in order.
    Stop,
    /// Finish what there is; answered when nothing is left.
    Drain(Reply<()>),
    /// How is it?
    Snapshot(Reply<NodeView>),
    /// Have so many slots.
    Resize(usize, Reply<()>),
}

/// What arrives in a node's mailbox.
pub(crate) enum NodeMsg<M> {
    /// Sent by the node to itself when its state is built.
    Init,
    /// The facet all nodes share.
    Control(ControlMsg),
    /// The node's own messages.
    Own(M),
}

/// Whether something is complete, or will be reported later through the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is.
    Complete,
    /// It is under way.
    Underway,
}

/// The logic of a node. Every method runs in the node's mailbox order and never waits for user code.
#[async_trait]
pub(crate) trait NodeActor: Send + 'static {
    /// The node's own messages: asks are verbs, facts are in the past tense.
    type Msg: Send + 'static;

    /// Does the I/O of the start. `Underway`: the node says [`NodeContext::ready`] later.
    ///
    /// # Errors
    /// A fault: the start has failed.
    async fn init(&mut self, _node: &NodeContext<Self::Msg>) -> Result<Progress, Fault> {
        Ok(Progress::Complete)
    }

    /// Handles one message.
    ///
    /// # Errors
    /// A fault: the actor is broken.
    async fn handle(&mut self, node: &NodeContext<Self::Msg>, message: Self::Msg) -> Result<(), Fault>;

    /// Takes no new work from here on. Comes before `init` when the node shall be paused from the start.
    fn pause(&mut self, _node: &NodeContext<Self::Msg>) {}

    /// Takes work again.
    fn resume(&mut self, _node: &NodeContext<Self::Msg>) {}

    /// Has so many slots from here on.
    ///
    /// # Errors
    /// When the node has no slots.
    fn resize(&mut self, node: &NodeContext<Self::Msg>, _slots: usize) -> Result<(), CommandError> {
        Err(CommandError::precondition(format!("{} has no slots", node.path())))
    }

    /// Finishes what there is, takes nothing new; answers when nothing is left.
    fn drain(&mut self, _node: &NodeContext<Self::Msg>, reply: Reply<()>) {
        reply.send(Ok(()));
    }

    /// Ends in order. `Underway`: the node says [`NodeContext::finish`] later. Not called after a fault or a kill: what must
    /// not be left behind belongs into `Drop`.
    ///
    /// # Errors
    /// A fault: it ended badly.
    async fn stop(&mut self, _node: &NodeContext<Self::Msg>) -> Result<Progress, Fault> {
        Ok(Progress::Complete)
    }

    /// A child of this node ended. Only supervisors have children.
    ///
    /// # Errors
    /// A fault: this node gives up too.
    async fn child_ended(
        &mut self,
        _node: &NodeContext<Self::Msg>,
        _child: ActorId,
        _how: ChildEnd,
    ) -> Result<(), Fault> {
        Ok(())
    }
}

/// What a node knows of itself.
pub(crate) struct NodeContext<M> {
    entry: Arc<NodeEntry>,
    /// Which run of the node this is, as the table counts.
    incarnation: u64,
    myself: ActorRef<NodeMsg<M>>,
    report_ready: Arc<dyn Fn() + Send + Sync>,
    /// Set by [`NodeContext::ready`], until the node's life has seen it.
    came_up: AtomicBool,
}

impl<M: Send + 'static> NodeContext<M> {
    pub(crate) fn new(
        entry: Arc<NodeEntry>,
        incarnation: u64,
        myself: ActorRef<NodeMsg<M>>,
        report_ready: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self { entry, incarnation, myself, report_ready, came_up: AtomicBool::new(false) }
    }

    /// The node's address.
    pub(crate) fn path(&self) -> &NodePath {
        self.entry.path()
    }

    /// The node's row of the table.
    pub(crate) fn entry(&self) -> &Arc<NodeEntry> {
        &self.entry
    }

    /// A fault of this node.
    pub(crate) fn fault(&self, error: impl std::fmt::Display) -> Fault {
        Fault::new(self.path().as_str(), FaultKind::Error, error.to_string())
    }

    /// How this node can be reached by tasks that it owns.
    pub(crate) fn myself(&self) -> Myself<M> {
        Myself { actor: self.myself.clone(), entry: self.entry.clone() }
    }

    /// The init that was under way is done.
    pub(crate) fn ready(&self) {
        self.open();
        self.came_up.store(true, Ordering::Relaxed);
        self.is_up(NodeState::Running);
    }

    /// Whether it became ready since this was asked last.
    fn came_up(&self) -> bool {
        self.came_up.swap(false, Ordering::Relaxed)
    }

    fn open(&self) {
        self.entry.open(self.incarnation, self.myself.clone());
    }

    fn is_up(&self, state: NodeState) {
        self.entry.set_state(state);
        (self.report_ready)();
    }

    /// The stop that was under way is done, or the node has nothing more to do.
    pub(crate) fn finish(&self) {
        self.myself.stop(None);
    }

    /// The same, for a task that the stop waits for.
    pub(crate) fn finisher(&self) -> impl Fn() + Send + 'static + use<M> {
        let myself = self.myself.clone();
        move || myself.stop(None)
    }

    pub(crate) fn cell(&self) -> ActorCell {
        self.myself.get_cell()
    }
}

/// A node as the tasks it owns see it. Ends with the incarnation.
pub(crate) struct Myself<M> {
    actor: ActorRef<NodeMsg<M>>,
    entry: Arc<NodeEntry>,
}

impl<M> Clone for Myself<M> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), entry: self.entry.clone() }
    }
}

impl<M: Send + 'static> Myself<M> {
    /// Sends a fact to the node. `false` when the node is gone.
    pub(crate) fn tell(&self, message: M) -> bool {
        send(&self.entry, &self.actor, message).is_ok()
    }

    /// Sends a message to the node after a while, unless the node has ended by then.
    pub(crate) fn tell_after(&self, wait: Duration, message: M)
    where
        M: Sync,
    {
        let myself = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            myself.tell(message);
        });
    }
}

/// Puts one of the node's own messages into its mailbox; gives it back when the actor is gone.
pub(crate) fn send<M: Send + 'static>(
    entry: &NodeEntry,
    actor: &ActorRef<NodeMsg<M>>,
    message: M,
) -> Result<(), M> {
    entry.message_sent();
    actor.send_message(NodeMsg::Own(message)).map_err(|error| {
        entry.message_taken();
        returned(error)
    })
}

/// The message that could not be sent.
fn returned<M>(error: ractor::MessagingErr<NodeMsg<M>>) -> M {
    match error {
        ractor::MessagingErr::SendErr(NodeMsg::Own(message)) => message,
        _ => unreachable!("a refused message comes back as it was"),
    }
}
