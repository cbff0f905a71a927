//! TemplateCacheActor: serves worker descriptors.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_core::control::{CommandError, Reply};
use runtime_core::name::WorkerName;
use runtime_core::node::{NodeKind, NodePath};
use runtime_core::supervision::Fault;
use runtime_core::worker::WorkerDescriptor;

use crate::executor::ExecutorMsg;
use crate::node::{NodeActor, NodeContext, Progress};
use crate::platform::Platform;
use crate::table::NodeAddress;

/// What the template cache is asked.
pub(crate) enum TemplatesMsg {
    /// Take the descriptors from the apps again.
    RefreshTemplateCache,
    /// Take these descriptors of the same workers from now on.
    Reconfigure {
        /// All of them.
        workers: Vec<Arc<WorkerDescriptor>>,
        /// Answered when they are in force.
        reply: Reply<()>,
    },
    /// One worker, or all.
    GetTemplate {
        /// The worker; all when absent.
        worker: Option<WorkerName>,
        /// The answer, by name.
        reply: Reply<Vec<WorkerDescriptor>>,
    },
}

/// The logic of the template cache's node.
pub(crate) struct TemplateCacheActor {
    platform: Arc<Platform>,
    registered: Vec<Arc<WorkerDescriptor>>,
}

impl TemplateCacheActor {
    /// What was reconfigured stays so over a restart of the node: the cache outlives it.
    pub(crate) fn new(platform: Arc<Platform>, registered: Arc<Vec<Arc<WorkerDescriptor>>>) -> Self {
        let registered = registered.iter().map(|worker| platform.templates.current(worker)).collect();
        Self { platform, registered }
    }

    async fn reconfigure(&mut self, fresh: Vec<Arc<WorkerDescriptor>>) -> Result<(), CommandError> {
        let same = |known: &Arc<WorkerDescriptor>| {
            fresh.iter().any(|worker| worker.name == known.name && worker.route == known.route)
        };
        if fresh.len() != self.registered.len() || !self.registered.iter().all(same) {
            return Err(CommandError::precondition("other workers take a restart"));
        }
        if let Err(error) = self.set_policies(&fresh).await {
            // What the store took before it failed is taken back; if it fails at that too, the next start sets every policy anew.
            let before = self.registered.clone();
            if let Err(error) = self.set_policies(&before).await {
                tracing::error!(error_code = %error.code, %error, "policies of queues cannot be taken back");
            }
            return Err(error);
        }
        self.registered = fresh;
        self.platform.templates.refresh(self.registered.iter().cloned());
        for entry in self.platform.table.under(&NodePath::root()) {
            if entry.kind() == NodeKind::Executor {
                // One that is not up finds it in the cache when it comes up.
                drop(NodeAddress::of(entry).send(ExecutorMsg::Reconfigured));
            }
        }
        Ok(())
    }

    async fn set_policies(&self, workers: &[Arc<WorkerDescriptor>]) -> Result<(), CommandError> {
        for worker in workers {
            let queue = worker.route.queue.clone();
            self.platform.store.set_queue_policy(queue, worker.flow.clone()).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl NodeActor for TemplateCacheActor {
    type Msg = TemplatesMsg;

    async fn init(&mut self, node: &NodeContext<TemplatesMsg>) -> Result<Progress, Fault> {
        // Before any worker of these queues starts.
        for worker in &self.registered {
            let set = self.platform.store.set_queue_policy(worker.route.queue.clone(), worker.flow.clone());
            set.await.map_err(|error| {
                node.fault(format!("the policy of queue {}: {error}", worker.route.queue))
            })?;
        }
        self.handle(node, TemplatesMsg::RefreshTemplateCache).await?;
        Ok(Progress::Complete)
    }

    async fn handle(
        &mut self,
        _node: &NodeContext<TemplatesMsg>,
        message: TemplatesMsg,
    ) -> Result<(), Fault> {
        match message {
            TemplatesMsg::RefreshTemplateCache => {
                self.platform.templates.refresh(self.registered.iter().cloned())
            }
            TemplatesMsg::Reconfigure { workers, reply } => reply.send(self.reconfigure(workers).await),
            TemplatesMsg::GetTemplate { worker: None, reply } => {
                reply.send(Ok(self
                    .platform
                    .templates
                    .all()
                    .values()
                    .map(|known| (**known).clone())
                    .collect()));
            }
            TemplatesMsg::GetTemplate { worker: Some(worker), reply } => {
                let known = self.platform.templates.get(&worker);
                let answer = known.map(|known| vec![(*known).clone()]);
                reply.send(answer.ok_or_else(|| CommandError::not_found(format!("no worker {worker}"))));
            }
        }
        Ok(())
    }
}
