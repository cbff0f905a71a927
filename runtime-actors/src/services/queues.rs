//! One queue for operators: what it holds, what keeps it waiting, and pausing it, whole or by scope.

use std::sync::Arc;
use std::time::Duration;

use runtime_core::control::{
    CommandError, NodeCommand, Origin, QueueCommand, QueueDetail, QueueView, is_paused,
};
use runtime_core::error::ErrorCode;
use runtime_core::etag::{Etag, Terms};
use runtime_core::journal::{Changed, Changes, Entry, EventType, Place, Subject, Value};
use runtime_core::name::{AppName, QueueName, Scope};
use runtime_core::node::NodePath;
use runtime_core::store::{OverriddenQueue, QueueChange, QueueOverride, QueueStats, TaskFilter};
use runtime_core::task::TaskState;
use tokio::sync::watch;

use super::operator_run::RunTarget;
use super::steering::SteeringService;
use crate::platform::Platform;

/// Most heads of ordering keys that are shown.
const HEADS: usize = 100;

/// How often somebody who drains looks.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

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
    pub(crate) async fn carry_out(self, command: QueueCommand, origin: Origin) {
        match command {
            QueueCommand::Get { queue, reply } => reply.send(self.get(&queue).await),
            QueueCommand::Drain { queue, scope, reason, terms, leased, reply } => {
                reply.send(self.drain(&queue, scope, reason, &terms, &leased, &origin).await);
            }
            QueueCommand::Pause { queue, scope, paused, reason, terms, reply } => {
                reply.send(self.pause(&queue, scope, paused, reason, &terms, &origin).await);
            }
            QueueCommand::Update { queue, change, reason, terms, reply } => {
                reply.send(self.update(&queue, change, reason, &terms, &origin).await);
            }
        }
    }

    /// Every queue, by name: those that have held tasks, and those that a worker waits at.
    pub(crate) async fn list(&self) -> Result<Vec<QueueView>, CommandError> {
        // Before the figures, as in `get`.
        let etags = self.platform.wishes.of_queues(&self.platform);
        let mut all = self.platform.store.queue_stats().await?;
        for target in self.targets.iter() {
            let queue = &target.descriptor.route.queue;
            if !all.iter().any(|stats| stats.queue == *queue) {
                all.push(self.without_tasks(queue));
            }
        }
        all.sort_by(|one, other| one.queue.cmp(&other.queue));
        let scopes = self.platform.store.paused_scopes().await?;
        let view = |stats: QueueStats| QueueView {
            rates: self.platform.journal.rates(&stats.queue),
            paused: self.waits(&stats.queue),
            paused_scopes: scopes.iter().filter(|paused| paused.queue == stats.queue).count() as u64,
            etag: etags(&stats.queue),
            stats,
        };
        Ok(all.into_iter().map(view).collect())
    }

    async fn get(&self, queue: &QueueName) -> Result<QueueDetail, CommandError> {
        let etag = self.platform.wishes.of_queue(&self.platform, queue);
        let seen = self.platform.store.look_at_queue(queue.clone(), HEADS).await?;
        Ok(QueueDetail {
            stats: self.known(queue, seen.stats)?,
            policy: seen.policy,
            overridden: seen.overridden,
            workers: self
                .nodes(queue)
                .filter_map(|path| Some(self.platform.table.get(path)?.view()))
                .collect(),
            paused_scopes: seen.paused_scopes,
            heads: seen.heads,
            rates: self.platform.journal.rates(queue),
            etag,
        })
    }

    async fn pause(
        &self,
        queue: &QueueName,
        scope: Option<Scope>,
        paused: bool,
        reason: String,
        terms: &Terms,
        origin: &Origin,
    ) -> Result<QueueDetail, CommandError> {
        let etag = self.hold(queue, scope, paused, reason, terms, origin).await?;
        Ok(QueueDetail { etag, ..self.get(queue).await? })
    }

    /// Holds tasks or lets them go; says what the queue is then.
    async fn hold(
        &self,
        queue: &QueueName,
        scope: Option<Scope>,
        paused: bool,
        reason: String,
        terms: &Terms,
        origin: &Origin,
    ) -> Result<Etag, CommandError> {
        // Once there, a queue stays: what takes time is not asked within the turn.
        if self.nodes(queue).next().is_none() {
            self.stats(queue).await?;
        }
        let turn = self.platform.wishes.turn().await;
        self.platform.wishes.check_queue(&turn, &self.platform, queue, terms)?;
        let nodes: Vec<&NodePath> = self.nodes(queue).filter(|_| scope.is_none()).collect();
        if scope.is_none() && nodes.is_empty() {
            return Err(CommandError::precondition(format!("no worker takes from queue {queue}")));
        }
        if terms.validate_only {
            return Ok(self.platform.wishes.of_queue(&self.platform, queue));
        }
        let mut before = self.waits(queue);
        tracing::info!(%queue, ?scope, paused, reason, "an operator pauses or resumes a queue");
        let mut changes = Vec::with_capacity(nodes.len());
        let command = if paused { NodeCommand::Pause } else { NodeCommand::Resume };
        for node in nodes {
            changes.push(self.steering.begin(&turn, node, command, &Terms::default(), origin).await?);
        }
        if let Some(scope) = scope.clone() {
            before = self.platform.store.pause_scope(queue.clone(), scope, paused, reason).await?;
        }
        let etag = self.platform.wishes.note_queue(&turn, &self.platform, queue);
        drop(turn);
        for change in &mut changes {
            self.steering.happened(change).await?;
        }
        drop(changes);
        let scope = scope.map(|scope| Changed::is("scope", Value::text(scope.as_str())));
        self.tell_paused(queue, before, paused, scope, origin);
        Ok(etag)
    }

    fn tell_paused(
        &self,
        queue: &QueueName,
        before: bool,
        paused: bool,
        scope: Option<Changed>,
        origin: &Origin,
    ) {
        let word = |paused| Value::Word(if paused { "yes" } else { "no" });
        let changed = Changed::new("paused", word(before), word(paused));
        let (kind, command) =
            if paused { (EventType::QueuePaused, "pause") } else { (EventType::QueueResumed, "resume") };
        self.tell(queue, kind, Changes::of([changed].into_iter().chain(scope)), origin, command);
    }

    fn tell(
        &self,
        queue: &QueueName,
        kind: EventType,
        changes: Changes,
        origin: &Origin,
        command: &'static str,
    ) {
        let entry = Entry::new(self.platform.clock.now(), kind, Subject::Queue(queue.clone()), changes);
        self.platform.journal.note(&self.place(queue), entry.of(origin, command));
    }

    /// A queue belongs to an app whose workers alone take from it.
    fn place(&self, queue: &QueueName) -> Arc<Place> {
        let mut apps: Vec<&AppName> =
            self.targets_of(queue).map(|target| &target.descriptor.route.app).collect();
        apps.dedup();
        let app = if let [app] = apps[..] { Some(app.clone()) } else { None };
        Arc::new(Place { app, queue: Some(queue.clone()), worker: None })
    }

    /// Says other limits than the worker declares, or takes back what was said.
    async fn update(
        &self,
        queue: &QueueName,
        change: QueueChange,
        reason: String,
        terms: &Terms,
        origin: &Origin,
    ) -> Result<QueueDetail, CommandError> {
        let turn = self.platform.wishes.turn().await;
        let mut detail = self.get(queue).await?;
        self.platform.wishes.check_queue(&turn, &self.platform, queue, terms)?;
        if change.says_something() && detail.policy.lanes.is_none() {
            let why = "has no lanes, so no limit holds for anything; what makes them is said by its worker";
            return Err(CommandError::precondition(format!("queue {queue} {why}")));
        }
        let before = detail.overridden.take().map(|known| known.says).unwrap_or_default();
        let says = before.changed(&change);
        if says.lanes.len() > QueueOverride::MAX_LANES {
            let most = QueueOverride::MAX_LANES;
            let why = format!("something is said of {most} lanes of queue {queue} already: clear some");
            return Err(CommandError::precondition(why));
        }
        if terms.validate_only {
            let since = self.platform.clock.now();
            let would = OverriddenQueue { queue: queue.clone(), says, reason, since };
            detail.overridden = (!would.says.says_nothing()).then_some(would);
            return Ok(detail);
        }
        tracing::info!(%queue, ?change, reason, "an operator changes what is said of the limits of a queue");
        detail.overridden = self.platform.store.override_queue(queue.clone(), change, reason).await?;
        let says = detail.overridden.as_ref().map(|known| known.says.clone()).unwrap_or_default();
        self.tell(queue, EventType::QueueUpdated, limits_changed(&before, &says), origin, "update");
        detail.etag = self.platform.wishes.note_queue(&turn, &self.platform, queue);
        Ok(detail)
    }

    /// Holds what is to come, and waits for what is under way. Whether anything is, only the store knows: other instances may hold leases.
    async fn drain(
        &self,
        queue: &QueueName,
        scope: Option<Scope>,
        reason: String,
        terms: &Terms,
        leased: &watch::Sender<u64>,
        origin: &Origin,
    ) -> Result<u64, CommandError> {
        self.hold(queue, scope.clone(), true, reason, terms, origin).await?;
        loop {
            let count = self.under_way(queue, scope.as_ref()).await?;
            if count == 0 || terms.validate_only {
                return Ok(count);
            }
            leased.send_if_modified(|known| std::mem::replace(known, count) != count);
            if self.platform.is_stopping() {
                return Err(CommandError::new(ErrorCode::ShuttingDown, "the runtime is stopping"));
            }
            tokio::select! {
                () = leased.closed() => return Ok(count),
                () = tokio::time::sleep(DRAIN_LOOK) => {}
            }
        }
    }

    async fn under_way(&self, queue: &QueueName, scope: Option<&Scope>) -> Result<u64, CommandError> {
        let Some(scope) = scope else { return Ok(self.stats(queue).await?.counts.of(TaskState::Leased)) };
        let filter = TaskFilter {
            states: vec![TaskState::Leased],
            queue: Some(queue.clone()),
            scope: Some(scope.clone()),
            ..TaskFilter::default()
        };
        Ok(self.platform.store.count(filter, u64::MAX).await?.total())
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, CommandError> {
        let mut all = self.platform.store.queue_stats().await?.into_iter();
        self.known(queue, all.find(|stats| stats.queue == *queue))
    }

    /// A queue that has held tasks has figures; one that a worker waits at exists all the same.
    fn known(&self, queue: &QueueName, stats: Option<QueueStats>) -> Result<QueueStats, CommandError> {
        match stats {
            Some(stats) => Ok(stats),
            None if self.nodes(queue).next().is_some() => Ok(self.without_tasks(queue)),
            None => Err(CommandError::not_found(format!("no queue {queue}"))),
        }
    }

    fn without_tasks(&self, queue: &QueueName) -> QueueStats {
        QueueStats {
            queue: queue.clone(),
            counts: Default::default(),
            oldest_ready: None,
            capacity: self.platform.store.limits().queue_capacity,
            shed: Default::default(),
            limited_until: None,
        }
    }

    /// Whether it waits as a whole.
    fn waits(&self, queue: &QueueName) -> bool {
        is_paused(self.nodes(queue).filter_map(|path| Some(self.platform.table.get(path)?.desired())))
    }

    fn nodes<'a>(&'a self, queue: &'a QueueName) -> impl Iterator<Item = &'a NodePath> {
        self.targets_of(queue).map(|target| &target.path)
    }

    fn targets_of<'a>(&'a self, queue: &'a QueueName) -> impl Iterator<Item = &'a RunTarget> {
        self.targets.iter().filter(|target| target.descriptor.route.queue == *queue)
    }
}

/// What is said of limits that was not said before.
fn limits_changed(before: &QueueOverride, after: &QueueOverride) -> Changes {
    let said = |says: &QueueOverride| serde_json::to_value(says).unwrap_or_default();
    let (before, after) = (said(before), said(after));
    let text = |value: Option<&serde_json::Value>| match value {
        None | Some(serde_json::Value::Null) => Value::Nothing,
        Some(value) => Value::text(value.to_string()),
    };
    let fields = after.as_object().into_iter().flat_map(|fields| fields.keys());
    let differs = |field: &&String| before.get(field) != after.get(field);
    let changed = |field: &String| Changed::named(field, text(before.get(field)), text(after.get(field)));
    Changes::of(fields.filter(differs).map(changed))
}
