//! One queue for operators: what it holds, what keeps it waiting, and pausing it, whole or by scope.

use std::sync::Arc;

use runtime_core::control::{CommandError, NodeCommand, QueueCommand, QueueDetail};
use runtime_core::name::{QueueName, Scope};
use runtime_core::node::NodePath;
use runtime_core::store::{Capability, QueueStats};

use super::operator_run::RunTarget;
use super::steering::SteeringService;
use crate::platform::Platform;

/// Looks at queues of one tree and pauses them.
#[derive(Clone)]
pub(crate) struct QueueService {
    platform: Arc<Platform>,
    steering: SteeringService,
    targets: Arc<Vec<RunTarget>>,
}

impl QueueService {
    /// A service over this tree, whose workers are these.
    pub(crate) fn new(platform: Arc<Platform>, targets: Arc<Vec<RunTarget>>) -> Self {
        Self { steering: SteeringService::new(platform.clone()), platform, targets }
    }

    /// Carries out a command and answers it.
    pub(crate) async fn carry_out(self, command: QueueCommand) {
        match command {
            QueueCommand::Get { queue, reply } => reply.send(self.get(&queue).await),
            QueueCommand::Pause { queue, scope, paused, reason, reply } => {
                reply.send(self.pause(&queue, scope, paused, reason).await);
            }
        }
    }

    async fn get(&self, queue: &QueueName) -> Result<QueueDetail, CommandError> {
        let store = &self.platform.store;
        let stats = self.stats(queue).await?;
        let policies = store.queue_policies().await?;
        let policy = policies.into_iter().find(|(known, _)| known == queue).map(|(_, policy)| policy);
        let paused_scopes = store.paused_scopes().await?;
        let heads = if store.capabilities().contains(&Capability::OrderingKeys) {
            store.ordering_heads(queue.clone()).await?
        } else {
            Vec::new()
        };
        Ok(QueueDetail {
            stats,
            policy: policy.unwrap_or_default(),
            workers: self
                .nodes(queue)
                .filter_map(|path| Some(self.platform.table.get(path)?.view()))
                .collect(),
            paused_scopes: paused_scopes.into_iter().filter(|paused| paused.queue == *queue).collect(),
            heads,
        })
    }

    async fn pause(
        &self,
        queue: &QueueName,
        scope: Option<Scope>,
        paused: bool,
        reason: String,
    ) -> Result<QueueDetail, CommandError> {
        self.stats(queue).await?;
        match scope {
            Some(scope) => {
                tracing::info!(%queue, %scope, paused, reason, "an operator pauses or resumes a scope");
                self.platform.store.pause_scope(queue.clone(), scope, paused, reason).await?;
            }
            None => {
                tracing::info!(%queue, paused, reason, "an operator pauses or resumes a queue");
                let command = if paused { NodeCommand::Pause } else { NodeCommand::Resume };
                let mut nodes = self.nodes(queue).peekable();
                if nodes.peek().is_none() {
                    return Err(CommandError::precondition(format!("no worker takes from queue {queue}")));
                }
                for node in nodes {
                    self.steering.steer(node, command).await?;
                }
            }
        }
        self.get(queue).await
    }

    /// A queue that has held tasks has figures; one that a worker waits at exists all the same.
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, CommandError> {
        let known = self.platform.store.queue_stats().await?.into_iter().find(|stats| stats.queue == *queue);
        match known {
            Some(stats) => Ok(stats),
            None if self.nodes(queue).next().is_some() => Ok(QueueStats {
                queue: queue.clone(),
                counts: Default::default(),
                oldest_ready: None,
                capacity: self.platform.store.limits().queue_capacity,
            }),
            None => Err(CommandError::not_found(format!("no queue {queue}"))),
        }
    }

    fn nodes<'a>(&'a self, queue: &'a QueueName) -> impl Iterator<Item = &'a NodePath> {
        self.targets
            .iter()
            .filter(|target| target.descriptor.route.queue == *queue)
            .map(|target| &target.path)
    }
}
