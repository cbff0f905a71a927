//! WorkerStatusActor: answers what the tree looks like. Never blocked by a job: it reads, and what takes time it hands on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::{EventStatus, Overview, Reply, SystemInfo};
use runtime_core::node::{NodePath, NodeView};
use runtime_core::store::StoreError;
use runtime_core::supervision::Fault;

use crate::node::{NodeActor, NodeContext, Progress};
use crate::platform::Platform;
use crate::services::dump::dump;
use crate::services::status::WorkerStatusService;

/// What the status node is asked.
pub(crate) enum StatusMsg {
    /// The node at this path and, when asked, all under it.
    GetWorkerStatus {
        /// Where to begin.
        root: NodePath,
        /// Whether what lies under it is wanted too.
        deep: bool,
        /// The answer; the first is the node itself.
        reply: Reply<Vec<NodeView>>,
    },
    /// The whole at one glance.
    HealthCheck {
        /// The answer.
        reply: Reply<Overview>,
    },
    /// Who this is.
    GetInfo {
        /// The answer.
        reply: Reply<SystemInfo>,
    },
    /// How events are doing.
    GetEventStatus {
        /// The answer.
        reply: Reply<EventStatus>,
    },
    /// All that can be known of the tree.
    DumpState {
        /// The answer.
        reply: Reply<serde_json::Value>,
    },
    /// Facts get out, or do not.
    SetEventIntegration(bool),
}

/// How long the store may take to say how deep its queues are.
const STATS_WITHIN: Duration = Duration::from_secs(1);

/// The logic of the status node.
pub(crate) struct WorkerStatusActor {
    platform: Arc<Platform>,
    service: Arc<WorkerStatusService>,
}

impl WorkerStatusActor {
    pub(crate) fn new(platform: Arc<Platform>, service: Arc<WorkerStatusService>) -> Self {
        Self { platform, service }
    }
}

#[async_trait]
impl NodeActor for WorkerStatusActor {
    type Msg = StatusMsg;

    async fn init(&mut self, _node: &NodeContext<StatusMsg>) -> Result<Progress, Fault> {
        // What the events node said before this one was up.
        self.service.look_at_events();
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, _node: &NodeContext<StatusMsg>, message: StatusMsg) -> Result<(), Fault> {
        match message {
            StatusMsg::GetWorkerStatus { root, deep: true, reply } => reply.send(self.service.tree(&root)),
            StatusMsg::GetWorkerStatus { root, deep: false, reply } => {
                reply.send(self.service.node(&root).map(|view| vec![view]));
            }
            StatusMsg::DumpState { reply } => {
                let (platform, service) = (self.platform.clone(), self.service.clone());
                tokio::spawn(async move { reply.send(dump(&platform, &service).await) });
            }
            StatusMsg::HealthCheck { reply } => {
                let (platform, service) = (self.platform.clone(), self.service.clone());
                tokio::spawn(async move {
                    let queues = tokio::time::timeout(STATS_WITHIN, platform.store.queue_stats()).await;
                    let queues = queues.unwrap_or_else(|_| {
                        Err(StoreError::Unavailable {
                            detail: format!("no answer within {} s", STATS_WITHIN.as_secs()),
                        })
                    });
                    reply.send(Ok(service.overview(queues)));
                });
            }
            StatusMsg::GetInfo { reply } => reply.send(Ok(self.service.info())),
            StatusMsg::GetEventStatus { reply } => reply.send(Ok(self.service.events())),
            StatusMsg::SetEventIntegration(integrated) => self.service.set_events(integrated),
        }
        Ok(())
    }
}
