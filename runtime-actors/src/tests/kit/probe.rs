//! Stands in for the actor around a node's logic, so that a test can call the logic itself and see what it sends to itself.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime_core::node::NodeKind;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::world::path;
use crate::node::{NodeContext, NodeMsg};
use crate::platform::Platform;

/// A node without its logic.
pub(crate) struct Probe<M: Send + 'static> {
    /// What the logic is called with.
    pub(crate) node: NodeContext<M>,
    inbox: mpsc::UnboundedReceiver<NodeMsg<M>>,
    ended: JoinHandle<()>,
    ready: Arc<AtomicUsize>,
}

impl<M: Send + 'static> Probe<M> {
    /// A node at this path, declared when it is new.
    pub(crate) async fn at(platform: &Platform, at: &str, kind: NodeKind) -> Self {
        let entry = platform.table.declare(path(at), kind);
        let (sender, inbox) = mpsc::unbounded_channel();
        let (actor, ended) = Actor::spawn(None, Inbox(PhantomData), sender).await.expect("an actor");
        let ready = Arc::new(AtomicUsize::new(0));
        let readied = ready.clone();
        let report = Arc::new(move || {
            readied.fetch_add(1, Ordering::Relaxed);
        });
        let incarnation = entry.begin();
        Self { node: NodeContext::new(entry, incarnation, actor, report), inbox, ended, ready }
    }

    /// The next message that the node's own tasks sent to it.
    pub(crate) async fn next(&mut self) -> M {
        match self.inbox.recv().await {
            Some(NodeMsg::Own(message)) => message,
            Some(_) => panic!("a message of the facet"),
            None => panic!("the node has finished"),
        }
    }

    /// Whether nothing was sent to the node.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.inbox.try_recv().is_err()
    }

    /// How often the node said that it is ready.
    pub(crate) fn readied(&self) -> usize {
        self.ready.load(Ordering::Relaxed)
    }

    /// Whether the node said that it has finished.
    pub(crate) async fn finished(self) {
        self.ended.await.expect("it ends");
    }
}

/// Keeps what arrives.
struct Inbox<M>(PhantomData<fn(M)>);

impl<M: Send + 'static> Actor for Inbox<M> {
    type Msg = NodeMsg<M>;
    type State = mpsc::UnboundedSender<NodeMsg<M>>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        sender: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(sender)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        sender: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        drop(sender.send(message));
        Ok(())
    }
}
