//! ScheduleActor: keeps the schedules. The work is done by one task that it owns, in order, so that a store that is away never stops the
//! node's mailbox: the node shows what that task said last.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use runtime_core::control::{CommandError, Origin, ScheduleCommand, ScheduleView};
use runtime_core::error::ErrorCode;
use runtime_core::node::Health;
use runtime_core::schedule::ScheduleSpec;
use runtime_core::supervision::Fault;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::node::{Myself, NodeActor, NodeContext, Progress};
use crate::platform::Platform;
use crate::services::schedules::ScheduleService;

/// What the schedules' node is asked and told.
pub(crate) enum ScheduleMsg {
    /// An operator asks, or somebody on an operator's behalf.
    Asked(ScheduleCommand, Origin),
    /// This is how it stands.
    Shown {
        /// Every schedule; `None` before the store was read.
        views: Option<Vec<ScheduleView>>,
        /// How it goes.
        health: Health,
        /// Schedules that are held up.
        held_up: usize,
    },
}

/// Commands that may wait while one is carried out.
const INBOX: usize = 64;

/// The logic of the schedules' node.
pub(crate) struct ScheduleActor {
    platform: Arc<Platform>,
    declared: Arc<Vec<ScheduleSpec>>,
    views: Option<Vec<ScheduleView>>,
    is_ready: bool,
    paused: watch::Sender<bool>,
    asks: Option<mpsc::Sender<(ScheduleCommand, Origin)>>,
    tasks: JoinSet<()>,
}

impl ScheduleActor {
    pub(crate) fn new(platform: Arc<Platform>, declared: Arc<Vec<ScheduleSpec>>) -> Self {
        Self {
            platform,
            declared,
            views: None,
            is_ready: false,
            paused: watch::Sender::new(false),
            asks: None,
            tasks: JoinSet::new(),
        }
    }

    /// What is shown needs nobody; everything else goes to the keeper, in order.
    fn asked(&self, command: ScheduleCommand, origin: Origin) {
        match (command, &self.views) {
            (ScheduleCommand::List { reply }, Some(views)) => reply.send(Ok(views.clone())),
            (ScheduleCommand::Get { name, reply }, Some(views)) => {
                let view = views.iter().find(|view| view.stored.spec.name == name).cloned();
                reply.send(view.ok_or_else(|| CommandError::not_found(format!("no schedule {name}"))));
            }
            (command, _) => {
                let refused = self.asks.as_ref().map(|asks| asks.try_send((command, origin)));
                if let Some(Err(error)) = refused {
                    refuse(error.into_inner().0);
                }
            }
        }
    }
}

/// Too much waits already, as when the store does not answer.
fn refuse(command: ScheduleCommand) {
    let busy = || CommandError::new(ErrorCode::NoAnswer, "too many commands about schedules wait; try again");
    match command {
        ScheduleCommand::List { reply } => reply.send(Err(busy())),
        ScheduleCommand::Get { reply, .. }
        | ScheduleCommand::Pause { reply, .. }
        | ScheduleCommand::Resume { reply, .. }
        | ScheduleCommand::Create { reply, .. }
        | ScheduleCommand::Update { reply, .. } => reply.send(Err(busy())),
        ScheduleCommand::Preview { reply, .. } => reply.send(Err(busy())),
        ScheduleCommand::Trigger { reply, .. } => reply.send(Err(busy())),
        ScheduleCommand::Backfill { reply, .. } => reply.send(Err(busy())),
        ScheduleCommand::Delete { reply, .. } => reply.send(Err(busy())),
    }
}

#[async_trait]
impl NodeActor for ScheduleActor {
    type Msg = ScheduleMsg;

    /// Ready when the store was read, or has failed once: then it is tried again, and the node says why it is not well.
    async fn init(&mut self, node: &NodeContext<ScheduleMsg>) -> Result<Progress, Fault> {
        let service = ScheduleService::new(self.platform.clone(), self.declared.clone());
        let (asks, inbox) = mpsc::channel(INBOX);
        self.asks = Some(asks);
        self.tasks.spawn(keep(service, inbox, self.paused.subscribe(), node.myself()));
        Ok(Progress::Underway)
    }

    async fn handle(&mut self, node: &NodeContext<ScheduleMsg>, message: ScheduleMsg) -> Result<(), Fault> {
        match message {
            ScheduleMsg::Asked(command, origin) => self.asked(command, origin),
            ScheduleMsg::Shown { views, health, held_up } => {
                self.views = views;
                node.entry().set_health(health);
                let held_up = u64::try_from(held_up).unwrap_or(u64::MAX);
                node.entry().queued.store(held_up, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_ready, true) {
                    node.ready();
                }
            }
        }
        Ok(())
    }

    /// No schedule decides anything; what comes due meanwhile is missed, and goes by its catch-up policy.
    fn pause(&mut self, _node: &NodeContext<ScheduleMsg>) {
        self.paused.send_replace(true);
    }

    fn resume(&mut self, _node: &NodeContext<ScheduleMsg>) {
        self.paused.send_replace(false);
    }
}

/// Decides what comes due, and carries out what operators ask, one after the other.
async fn keep(
    mut service: ScheduleService,
    mut asks: mpsc::Receiver<(ScheduleCommand, Origin)>,
    mut paused: watch::Receiver<bool>,
    myself: Myself<ScheduleMsg>,
) {
    loop {
        service.pause(*paused.borrow_and_update());
        let wait = service.work().await;
        show(&mut service, &myself);
        tokio::select! {
            ask = asks.recv() => {
                let Some((command, origin)) = ask else { return };
                let answer = service.carry_out(command, &origin).await;
                show(&mut service, &myself);
                answer();
            }
            () = tokio::time::sleep(wait) => {}
            _ = paused.changed() => {}
        }
    }
}

/// The node shows it before anybody hears of it.
fn show(service: &mut ScheduleService, myself: &Myself<ScheduleMsg>) {
    if !service.take_changed() {
        return;
    }
    let (views, health, held_up) = (service.views(), service.health(), service.held_up());
    myself.tell(ScheduleMsg::Shown { views, health, held_up });
}
