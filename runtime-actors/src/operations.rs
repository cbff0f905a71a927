//! OperationActor: keeps the operations. The work is done by one task that it owns, batch after batch, so that a store that is away never
//! stops the node's mailbox.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use runtime_core::control::{CommandError, OperationCommand, Origin};
use runtime_core::error::ErrorCode;
use runtime_core::node::Health;
use runtime_core::supervision::Fault;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::node::{Myself, NodeActor, NodeContext, Progress};
use crate::platform::Platform;
use crate::services::operations::OperationService;

/// What the operations' node is asked and told.
pub(crate) enum OperationMsg {
    /// An operator asks.
    Asked(OperationCommand, Origin),
    /// This is how it stands.
    Shown {
        /// How it goes.
        health: Health,
        /// Operations that go on.
        running: usize,
    },
}

/// Commands that may wait while a batch is written.
const INBOX: usize = 64;

/// The logic of the operations' node.
pub(crate) struct OperationActor {
    platform: Arc<Platform>,
    is_ready: bool,
    paused: watch::Sender<bool>,
    asks: Option<mpsc::Sender<(OperationCommand, Origin)>>,
    tasks: JoinSet<()>,
}

impl OperationActor {
    pub(crate) fn new(platform: Arc<Platform>) -> Self {
        let paused = watch::Sender::new(false);
        Self { platform, is_ready: false, paused, asks: None, tasks: JoinSet::new() }
    }

    fn asked(&self, command: OperationCommand, origin: Origin) {
        let refused = self.asks.as_ref().map(|asks| asks.try_send((command, origin)));
        if let Some(Err(error)) = refused {
            refuse(error.into_inner().0);
        }
    }
}

/// Too much waits already, as when the store does not answer.
fn refuse(command: OperationCommand) {
    let busy =
        || CommandError::new(ErrorCode::NoAnswer, "too many commands about operations wait; try again");
    match command {
        OperationCommand::Preview { reply, .. } => reply.send(Err(busy())),
        OperationCommand::List { reply, .. } => reply.send(Err(busy())),
        OperationCommand::Start { reply, .. }
        | OperationCommand::Get { reply, .. }
        | OperationCommand::Cancel { reply, .. }
        | OperationCommand::Follow { reply, .. } => reply.send(Err(busy())),
    }
}

#[async_trait]
impl NodeActor for OperationActor {
    type Msg = OperationMsg;

    /// Ready when the store was read, or has failed once: then it is tried again, and the node says why it is not well.
    async fn init(&mut self, node: &NodeContext<OperationMsg>) -> Result<Progress, Fault> {
        let service = OperationService::new(self.platform.clone());
        let (asks, inbox) = mpsc::channel(INBOX);
        self.asks = Some(asks);
        self.tasks.spawn(keep(service, inbox, self.paused.subscribe(), node.myself()));
        Ok(Progress::Underway)
    }

    async fn handle(&mut self, node: &NodeContext<OperationMsg>, message: OperationMsg) -> Result<(), Fault> {
        match message {
            OperationMsg::Asked(command, origin) => self.asked(command, origin),
            OperationMsg::Shown { health, running } => {
                node.entry().set_health(health);
                let running = u64::try_from(running).unwrap_or(u64::MAX);
                node.entry().queued.store(running, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_ready, true) {
                    node.ready();
                }
            }
        }
        Ok(())
    }

    /// No operation goes on; what is asked for is taken all the same, and begins when the node is resumed.
    fn pause(&mut self, _node: &NodeContext<OperationMsg>) {
        self.paused.send_replace(true);
    }

    fn resume(&mut self, _node: &NodeContext<OperationMsg>) {
        self.paused.send_replace(false);
    }
}

/// Writes one batch after the other, and does what operators ask in between.
async fn keep(
    mut service: OperationService,
    mut asks: mpsc::Receiver<(OperationCommand, Origin)>,
    mut paused: watch::Receiver<bool>,
    myself: Myself<OperationMsg>,
) {
    loop {
        service.pause(*paused.borrow_and_update());
        let wait = service.work().await;
        if let Some((health, running)) = service.changed() {
            myself.tell(OperationMsg::Shown { health, running });
        }
        tokio::select! {
            biased;
            ask = asks.recv() => {
                let Some((command, origin)) = ask else { return };
                service.carry_out(command, &origin).await;
                // All who ask go before the next batch.
                while let Ok((command, origin)) = asks.try_recv() {
                    service.carry_out(command, &origin).await;
                }
            }
            _ = paused.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}
