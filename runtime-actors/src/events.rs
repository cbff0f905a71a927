//! DomainEventActor: relays facts, after the settlement that stated them has committed and never before.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::error::TaskError;
use runtime_core::node::Health;
use runtime_core::supervision::Fault;
use tokio::task::JoinSet;

use crate::node::{NodeActor, NodeContext, Progress};
use crate::services::events::DomainEventService;

/// What the events node is asked and told.
pub(crate) enum EventsMsg {
    /// The outbox has something.
    DispatchEvents,
    /// A relay ended.
    Relayed(Result<(), TaskError>),
}

/// How long a failed relay waits.
const RELAY_RETRY: Duration = Duration::from_secs(1);

/// The logic of the events node.
pub(crate) struct DomainEventActor {
    service: Arc<DomainEventService>,
    relaying: bool,
    asked_again: bool,
    stopping: bool,
    tasks: JoinSet<()>,
}

impl DomainEventActor {
    pub(crate) fn new(service: Arc<DomainEventService>) -> Self {
        Self { service, relaying: false, asked_again: false, stopping: false, tasks: JoinSet::new() }
    }

    fn relay(&mut self, node: &NodeContext<EventsMsg>) {
        if std::mem::replace(&mut self.relaying, true) {
            self.asked_again = true;
            return;
        }
        let (service, myself) = (self.service.clone(), node.myself());
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(async move {
            let result = service.relay().await;
            myself.tell(EventsMsg::Relayed(result));
        });
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
                    Ok(()) => node.entry().set_health(Health::Healthy),
                    Err(error) => {
                        tracing::warn!(error_code = %error.code, error = %error.message, "events cannot be relayed; trying again");
                        node.entry().set_health(Health::Degraded(error.to_string()));
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
