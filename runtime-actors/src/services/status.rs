//! What the tree looks like, and how well it does: read from the node table, asking nobody who works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use runtime_core::control::{CommandError, EventStatus, Overview, SystemInfo, is_paused};
use runtime_core::health::Progress;
use runtime_core::name::{AppName, QueueName};
use runtime_core::node::{Health, NodeKind, NodePath, NodeState, NodeView};
use runtime_core::store::{QueueStats, StoreError};
use runtime_core::task::TaskState;
use runtime_core::worker::WorkerDescriptor;

use crate::platform::Platform;
use crate::services::breakers::Breakers;
use crate::services::events::DomainEventService;

/// What is fixed for the life of the process.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The apps that run.
    pub apps: Vec<AppName>,
    /// Name of the back end.
    pub store: String,
    /// When the tree was started.
    pub started_at: Timestamp,
}

/// Who serves which queue.
#[derive(Debug, Clone)]
pub struct Serving {
    /// The executor.
    pub path: NodePath,
    /// Its worker, as it was when the tree was built.
    pub worker: Arc<WorkerDescriptor>,
}

impl Serving {
    fn queue(&self) -> &QueueName {
        &self.worker.route.queue
    }
}

/// Reads the table and derives health from it.
pub struct WorkerStatusService {
    platform: Arc<Platform>,
    identity: Identity,
    events: Arc<DomainEventService>,
    events_integrated: AtomicBool,
    serving: Vec<Serving>,
    breakers: Vec<Arc<Breakers>>,
}

impl WorkerStatusService {
    /// A service over this tree, with its executors.
    pub fn new(
        platform: Arc<Platform>,
        identity: Identity,
        events: Arc<DomainEventService>,
        serving: Vec<Serving>,
    ) -> Self {
        Self {
            platform,
            identity,
            events,
            events_integrated: AtomicBool::new(false),
            serving,
            breakers: Vec::new(),
        }
    }

    /// The same, with the breakers of the apps.
    #[must_use]
    pub(crate) fn with_breakers(mut self, breakers: Vec<Arc<Breakers>>) -> Self {
        self.breakers = breakers;
        self
    }

    /// The node and all under it.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn tree(&self, root: &NodePath) -> Result<Vec<NodeView>, CommandError> {
        let views: Vec<NodeView> = self.platform.table.under(root).iter().map(|entry| entry.view()).collect();
        if views.is_empty() { Err(CommandError::not_found(format!("no node {root}"))) } else { Ok(views) }
    }

    /// One node.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn node(&self, path: &NodePath) -> Result<NodeView, CommandError> {
        let entry = self.platform.table.get(path);
        entry.map(|entry| entry.view()).ok_or_else(|| CommandError::not_found(format!("no node {path}")))
    }

    /// Who this is.
    pub fn info(&self) -> SystemInfo {
        let uptime = self.platform.clock.now().duration_since(self.identity.started_at);
        SystemInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.platform.instance.clone(),
            apps: self.identity.apps.clone(),
            store: self.identity.store.clone(),
            capabilities: self.platform.store.capabilities().to_vec(),
            uptime_secs: u64::try_from(uptime.as_secs()).unwrap_or(0),
            drain: self.platform.drain.view(&self.platform),
        }
    }

    /// How events are doing.
    pub fn events(&self) -> EventStatus {
        EventStatus {
            integrated: self.events_integrated.load(Ordering::Relaxed),
            relayed: self.events.relayed(),
        }
    }

    /// Whether the events node gets facts out, as the table shows it.
    pub fn look_at_events(&self) {
        let entry = self.platform.table.get(&NodePath::root().child("engine").child("events"));
        let view = entry.map(|entry| entry.view());
        self.set_events(
            view.is_some_and(|view| view.state == NodeState::Running && view.health == Health::Healthy),
        );
    }

    /// Whether the events node gets facts out, as it says itself.
    pub fn set_events(&self, integrated: bool) {
        self.events_integrated.store(integrated, Ordering::Relaxed);
    }

    /// The whole at one glance, given the queues' figures.
    pub fn overview(&self, queues: Result<Vec<QueueStats>, StoreError>) -> Overview {
        let views: Vec<NodeView> =
            self.platform.table.under(&NodePath::root()).iter().map(|entry| entry.view()).collect();
        let mut worst = Health::Healthy;
        let queues = queues.unwrap_or_else(|error| {
            worst = Health::Unhealthy(format!("the store does not answer: {error}"));
            Vec::new()
        });
        let apps: Vec<(AppName, Health)> = self
            .identity
            .apps
            .iter()
            .map(|app| (app.clone(), self.app_health(app, &views, &queues)))
            .collect();
        worst = apps.iter().map(|(_, health)| health.clone()).fold(worst, worse);
        worst = views.iter().map(|view| self.node_health(view)).fold(worst, worse);
        if self.platform.pool.is_degraded() {
            let text = format!(
                "handlers that do not yield hold threads; {} replaced",
                self.platform.pool.replacements()
            );
            worst = worse(worst, Health::Degraded(text));
        }
        Overview {
            health: worst,
            apps,
            stopping: self.platform.is_stopping(),
            nodes: views.len() as u64,
            restarts: views.iter().map(|view| view.restarts).sum(),
            paused_queues: self.paused(&views),
            queues,
            dependencies: self.breakers.iter().flat_map(|breakers| breakers.views()).collect(),
            drain: self.platform.drain.view(&self.platform),
        }
    }

    /// Queues that wait as a whole.
    fn paused(&self, views: &[NodeView]) -> Vec<QueueName> {
        let mut queues: Vec<QueueName> = self.serving.iter().map(|serving| serving.queue().clone()).collect();
        queues.sort();
        queues.dedup();
        queues.retain(|queue| {
            let takes = |view: &&NodeView| {
                self.serving.iter().any(|serving| serving.path == view.path && serving.queue() == queue)
            };
            is_paused(views.iter().filter(takes).map(|view| view.desired))
        });
        queues
    }

    /// Health of an app: of its nodes, and of its progress.
    fn app_health(&self, app: &AppName, views: &[NodeView], queues: &[QueueStats]) -> Health {
        let root = app_path(app);
        let own = views.iter().filter(|view| view.path.is_within(&root));
        let nodes = own.map(|view| self.node_health(view)).fold(Health::Healthy, worse);
        let serving = self.serving.iter().filter(|serving| serving.path.is_within(&root));
        let own =
            serving.map(|serving| worse(self.progress(serving, queues), shedding(serving.queue(), queues)));
        own.fold(nodes, worse)
    }

    /// Health of one node: of its state, of what it says itself, and of whether it comes to an end with its messages.
    fn node_health(&self, view: &NodeView) -> Health {
        let busy_for = view.busy_since.map(|since| self.platform.clock.now().duration_since(since));
        let own = match view.state {
            NodeState::BackingOff => {
                let fault = view.last_fault.as_deref().unwrap_or("it broke");
                Health::Degraded(format!("{} waits for its restart: {fault}", view.path))
            }
            NodeState::Abandoned => Health::Unhealthy(format!("{} did not end when killed", view.path)),
            _ if busy_for.is_some_and(|time| time > self.patience()) => {
                Health::Unhealthy(format!("{} has been at one message for a long time", view.path))
            }
            _ if view.kind == NodeKind::Executor && view.stuck > 0 => {
                Health::Degraded(format!("{}: {} attempts are stuck", view.path, view.stuck))
            }
            _ => Health::Healthy,
        };
        worse(own, view.health.clone())
    }

    /// How long nothing may move although it should.
    fn patience(&self) -> SignedDuration {
        SignedDuration::try_from(self.platform.timing.progress_within).unwrap_or(SignedDuration::MAX)
    }

    /// How long an attempt may take, as it is configured now.
    fn timeout(&self, serving: &Serving) -> SignedDuration {
        let timeout = self.platform.templates.current(&serving.worker).timeout;
        SignedDuration::try_from(timeout).unwrap_or(SignedDuration::MAX)
    }

    /// Whether what waits for a worker moves.
    fn progress(&self, serving: &Serving, queues: &[QueueStats]) -> Health {
        let (path, queue) = (&serving.path, serving.queue());
        let Some(entry) = self.platform.table.get(path) else { return Health::Healthy };
        let Some(stats) = queues.iter().find(|stats| stats.queue == *queue) else { return Health::Healthy };
        let progress = Progress {
            // One that waits for a dependency says so itself: that is not a pipeline that died unseen.
            takes_tasks: entry.state() == NodeState::Running
                && !matches!(entry.view().health, Health::Degraded(_)),
            ready: stats.counts.of(TaskState::Ready),
            oldest_ready: stats.oldest_ready,
            last_settled: entry.last_progress(),
            limited_until: stats.limited_until,
            attempt_may_take: (entry.busy_slots.load(Ordering::Relaxed) > 0).then(|| self.timeout(serving)),
        };
        progress.health(path, self.platform.clock.now(), self.patience())
    }
}

/// A queue that refuses what can wait.
fn shedding(queue: &QueueName, queues: &[QueueStats]) -> Health {
    let stats = queues.iter().find(|stats| stats.queue == *queue);
    match stats.and_then(|stats| stats.shed.shedding) {
        None => Health::Healthy,
        Some(shedding) => Health::Degraded(format!(
            "queue {queue} sheds load since {:.0} ({})",
            shedding.since, shedding.cause
        )),
    }
}

/// Where the status node is.
pub(crate) fn status_path() -> NodePath {
    NodePath::root().child("control").child("status")
}

/// Where an app's nodes are.
pub(crate) fn app_path(app: &AppName) -> NodePath {
    NodePath::root().child("engine").child("apps").child(app.as_str())
}

/// The worse of two; of two equally bad ones the first.
fn worse(one: Health, other: Health) -> Health {
    let rank = |health: &Health| match health {
        Health::Healthy => 0,
        Health::Degraded(_) => 1,
        Health::Unhealthy(_) => 2,
    };
    if rank(&other) > rank(&one) { other } else { one }
}
