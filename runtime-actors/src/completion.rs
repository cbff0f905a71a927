//! CompletionActor: drives the one writer of outcomes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::{Origin, Reply};
use runtime_core::etag::Terms;
use runtime_core::node::Health;
use runtime_core::store::Steered;
use runtime_core::store::TaskCommand;
use runtime_core::supervision::Fault;
use runtime_core::task::TaskId;
use tokio::task::JoinHandle;

use crate::events::EventsMsg;
use crate::node::{NodeActor, NodeContext, Progress};
use crate::platform::Platform;
use crate::table::{NodeAddress, NodeEntry};

/// What the completion node is asked and told.
pub(crate) enum CompletionMsg {
    /// Writes a decision from outside about one task: a person's, or an outside system's that completes a parked task.
    SendTaskResult {
        /// The task.
        id: TaskId,
        /// The decision.
        command: TaskCommand,
        /// On which terms.
        terms: Terms,
        /// Whose.
        origin: Origin,
        /// Where the task stands afterwards.
        reply: Reply<Steered>,
    },
    /// Settles what waits, and answers when nothing does any more.
    ProcessTaskCompletion(Reply<()>),
    /// The task that writes ended; it never should.
    WriterEnded(String),
}

/// Longest wait between two tries to reach a store that fails.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The logic of the completion node.
pub(crate) struct CompletionActor {
    platform: Arc<Platform>,
    events: NodeAddress<EventsMsg>,
    writer: Option<JoinHandle<()>>,
    stopping: bool,
}

impl CompletionActor {
    pub(crate) fn new(platform: Arc<Platform>, events: NodeAddress<EventsMsg>) -> Self {
        Self { platform, events, writer: None, stopping: false }
    }
}

#[async_trait]
impl NodeActor for CompletionActor {
    type Msg = CompletionMsg;

    async fn init(&mut self, node: &NodeContext<CompletionMsg>) -> Result<Progress, Fault> {
        node.entry().set_health(Health::Healthy);
        let write = write(self.platform.clone(), self.events.clone(), node.entry().clone());
        let (writer, myself) = (tokio::spawn(write), node.myself());
        let abort = writer.abort_handle();
        self.writer = Some(tokio::spawn(async move {
            let _abort = AbortOnDrop(abort);
            if let Err(error) = writer.await {
                myself.tell(CompletionMsg::WriterEnded(error.to_string()));
            }
        }));
        Ok(Progress::Complete)
    }

    async fn handle(
        &mut self,
        node: &NodeContext<CompletionMsg>,
        message: CompletionMsg,
    ) -> Result<(), Fault> {
        match message {
            CompletionMsg::SendTaskResult { id, command, terms, origin, reply } => {
                let platform = self.platform.clone();
                tokio::spawn(async move {
                    reply.send(platform.decide(id, command, terms, &origin).await);
                });
            }
            CompletionMsg::ProcessTaskCompletion(reply) => {
                let platform = self.platform.clone();
                tokio::spawn(async move {
                    platform.completion.flushed().await;
                    reply.send(Ok(()));
                });
            }
            CompletionMsg::WriterEnded(error) => return Err(node.fault(error)),
        }
        Ok(())
    }

    /// Ends when everything is written: the supervisor's deadline bounds the wait.
    async fn stop(&mut self, node: &NodeContext<CompletionMsg>) -> Result<Progress, Fault> {
        if !std::mem::replace(&mut self.stopping, true) {
            let platform = self.platform.clone();
            let finish = node.finisher();
            tokio::spawn(async move {
                platform.completion.flushed().await;
                finish();
            });
        }
        Ok(Progress::Underway)
    }
}

impl Drop for CompletionActor {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.abort();
        }
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Settles batches for ever. A store that fails is tried again; nothing is dropped meanwhile.
async fn write(platform: Arc<Platform>, events: NodeAddress<EventsMsg>, entry: Arc<NodeEntry>) {
    let mut wait = Duration::ZERO;
    loop {
        match platform.completion.flush(&*platform.store, &platform.leases).await {
            Ok(None) => platform.completion.arrived().await,
            Ok(Some(flushed)) => {
                if !wait.is_zero() {
                    wait = Duration::ZERO;
                    entry.set_health(Health::Healthy);
                    tracing::info!(settled = flushed.settled, "the store takes outcomes again");
                }
                if flushed.events {
                    drop(events.send(EventsMsg::DispatchEvents));
                }
            }
            Err(error) => {
                wait = (wait * 2).clamp(Duration::from_millis(50), LONGEST_WAIT);
                let waiting = platform.completion.waiting();
                tracing::error!(error_code = %error.code(), %error, waiting, "outcomes cannot be settled; trying again");
                entry.set_health(Health::Unhealthy(format!("{waiting} outcomes wait: {error}")));
                tokio::time::sleep(wait).await;
            }
        }
    }
}
