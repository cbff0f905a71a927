//! The root of a tree: the one node without a supervisor.

use std::sync::Arc;

use ractor::ActorRuntime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::child::ChildPlan;
use crate::node::{ControlMsg, Node, NodeActor, NodeMsg, NodeStart};
use crate::table::NodeEntry;

/// A running root.
pub(crate) struct Root {
    control: Box<dyn Fn(ControlMsg) + Send + Sync>,
    /// Set when the root ended; empty when it was asked to.
    ended: watch::Receiver<Option<String>>,
    finished: JoinHandle<()>,
}

impl Root {
    /// Starts the root and waits until all under it are ready.
    ///
    /// # Errors
    /// Why it did not come up.
    pub(crate) async fn start(plan: ChildPlan) -> Result<Self, String> {
        (plan.root)(plan.entry.clone()).await
    }

    /// Set when the root ended.
    pub(crate) fn broken(&self) -> watch::Receiver<Option<String>> {
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

pub(super) async fn spawn_root<A: NodeActor>(
    build: Arc<impl Fn() -> A + Send + Sync + 'static>,
    entry: Arc<NodeEntry>,
) -> Result<Root, String> {
    let (ready, mut is_ready) = watch::channel(false);
    let (end, mut ended) = watch::channel(None);
    let start = NodeStart {
        build: Box::new(move || build()),
        incarnation: entry.begin(),
        entry: entry.clone(),
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
    // A root that broke drops both senders: why it did is said by the second.
    let up = tokio::select! {
        up = is_ready.wait_for(|ready| *ready) => up.is_ok(),
        _ = ended.wait_for(Option::is_some) => false,
    };
    if up {
        return Ok(root);
    }
    let fault = ended.wait_for(Option::is_some).await.ok().and_then(|fault| fault.clone());
    Err(fault.filter(|fault| !fault.is_empty()).unwrap_or_else(|| "it ended before it was ready".to_owned()))
}
