//! DomainEventActor: relays facts, after the settlement that stated them has committed and never before.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::error::TaskError;
use runtime_core::node::Health;
use runtime_core::supervision::Fault;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::node::{Myself, NodeActor, NodeContext, Progress};
use crate::platform::Platform;
use crate::services::events::DomainEventService;
use crate::services::status::status_path;
use crate::status::StatusMsg;

/// What the events node is asked and told.
pub(crate) enum EventsMsg {
    /// The outbox has something.
    DispatchEvents,
    /// A relay ended.
    Relayed(Result<(), TaskError>),
}

/// How long one delivery may take, all subscribers together, until it is begun anew.
const RELAY_WITHIN: Duration = Duration::from_secs(30);

/// How long a failed relay waits.
const RELAY_RETRY: Duration = Duration::from_secs(1);

/// The logic of the events node.
pub(crate) struct DomainEventActor {
    platform: Arc<Platform>,
    service: Arc<DomainEventService>,
    relaying: bool,
    asked_again: bool,
    stopping: bool,
    tasks: JoinSet<()>,
}

impl DomainEventActor {
    pub(crate) fn new(platform: Arc<Platform>, service: Arc<DomainEventService>) -> Self {
        Self {
            platform,
            service,
            relaying: false,
            asked_again: false,
            stopping: false,
            tasks: JoinSet::new(),
        }
    }

    fn relay(&mut self, node: &NodeContext<EventsMsg>) {
        if std::mem::replace(&mut self.relaying, true) {
            self.asked_again = true;
            return;
        }
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(relay(self.platform.clone(), self.service.clone(), node.myself()));
    }

    fn show(&self, node: &NodeContext<EventsMsg>, health: Health) {
        self.tell_status(health == Health::Healthy);
        node.entry().set_health(health);
    }

    /// Tells the status node whether facts get out. One that is not up looks into the table when it comes up.
    fn tell_status(&self, integrated: bool) {
        if let Some(status) = self.platform.table.address(&status_path()) {
            drop(status.send(StatusMsg::SetEventIntegration(integrated)));
        }
    }
}

#[async_trait]
impl NodeActor for DomainEventActor {
    type Msg = EventsMsg;

    /// What a crash left in the outbox goes out first.
    async fn init(&mut self, node: &NodeContext<EventsMsg>) -> Result<Progress, Fault> {
        self.relay(node);
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, node: &NodeContext<EventsMsg>, message: EventsMsg) -> Result<(), Fault> {
        match message {
            EventsMsg::DispatchEvents => self.relay(node),
            EventsMsg::Relayed(result) => {
                self.relaying = false;
                let again = std::mem::take(&mut self.asked_again);
                match result {
                    Ok(()) => self.show(node, Health::Healthy),
                    Err(error) => {
                        tracing::warn!(error_code = %error.code, error = %error.message, "events cannot be relayed; trying again");
                        self.show(node, Health::Degraded(error.to_string()));
                        if !self.stopping {
                            node.myself().tell_after(RELAY_RETRY, EventsMsg::DispatchEvents);
                        }
                    }
                }
                if again {
                    self.relay(node);
                } else if self.stopping {
                    node.finish();
                }
            }
        }
        Ok(())
    }

    /// What the last settlements stated still goes out; what cannot, stays in the outbox for the next start.
    async fn stop(&mut self, node: &NodeContext<EventsMsg>) -> Result<Progress, Fault> {
        self.stopping = true;
        self.relay(node);
        Ok(Progress::Underway)
    }
}

impl Drop for DomainEventActor {
    fn drop(&mut self) {
        self.tell_status(false);
    }
}

/// Relays until the outbox is empty. Subscribers are user code: they run on the work pool, and neither a panic nor one that hangs
/// ends the relaying.
async fn relay(platform: Arc<Platform>, service: Arc<DomainEventService>, myself: Myself<EventsMsg>) {
    let result = loop {
        let service = service.clone();
        let relaying = AbortOnDropHandle::new(platform.pool.spawn(async move { service.relay().await }));
        match tokio::time::timeout(RELAY_WITHIN, relaying).await {
            Ok(Ok(Ok(true))) => {}
            Ok(Ok(Ok(false))) => break Ok(()),
            Ok(Ok(Err(error))) => break Err(error),
            Ok(Err(error)) => break Err(TaskError::retryable(format!("a subscriber broke: {error}"))),
            Err(_) => {
                let text = format!("facts were not taken within {} s", RELAY_WITHIN.as_secs());
                break Err(TaskError::retryable(text));
            }
        }
    };
    myself.tell(EventsMsg::Relayed(result));
}
