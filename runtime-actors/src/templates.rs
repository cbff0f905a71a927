//! TemplateCacheActor: serves worker descriptors.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_core::control::{CommandError, Reply};
use runtime_core::name::WorkerName;
use runtime_core::supervision::Fault;
use runtime_core::worker::WorkerDescriptor;

use crate::node::{NodeActor, NodeContext, Progress};
use crate::platform::Platform;

/// What the template cache is asked.
pub(crate) enum TemplatesMsg {
    /// Take the descriptors from the apps again.
    RefreshTemplateCache,
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
    registered: Arc<Vec<Arc<WorkerDescriptor>>>,
}

impl TemplateCacheActor {
    pub(crate) fn new(platform: Arc<Platform>, registered: Arc<Vec<Arc<WorkerDescriptor>>>) -> Self {
        Self { platform, registered }
    }
}

#[async_trait]
impl NodeActor for TemplateCacheActor {
    type Msg = TemplatesMsg;

    async fn init(&mut self, node: &NodeContext<TemplatesMsg>) -> Result<Progress, Fault> {
        // Before any worker of these queues starts.
        for worker in &*self.registered {
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
