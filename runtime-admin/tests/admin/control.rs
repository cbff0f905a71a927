//! A `Control` that answers from memory: enough tree to prove conversion, errors, limits and output. The real tree is tested
//! elsewhere, through the same client.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::control::{
    Command, CommandError, Control, DrainCommand, DrainView, EventStatus, NodeCommand, OperationAsk,
    OperationCommand, OperationPreview, Origin, OverrideCommand, Overview, QueueCommand, QueueDetail,
    QueueRates, QueueView, Reply, Restart, RestartCause, RestartPage, RunAsk, RunProgress, RunSelection,
    SystemInfo, TaskDetail,
};
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::etag::Etag;
use runtime_core::flow::{FlowLimits, RateLimit};
use runtime_core::journal::{EventJournal, JournalLimits};
use runtime_core::lifecycle::{LifecycleEvent, LifecycleView, transition};
use runtime_core::name::{InstanceName, QueueName, Route, Scope, StepName};
use runtime_core::node::{Condition, DesiredState, Health, NodeKind, NodePath, NodeState, NodeView};
use runtime_core::operation::{
    Operation, OperationCounts, OperationId, OperationKind, OperationSpec, OperationState,
};
use runtime_core::retry::RetryPolicy;
use runtime_core::store::{
    Capability, DeadGroup, DeadGroups, EffectClass, Enqueued, LaneBy, Limit, LimitOverride, OrderingHead,
    OrderingHeads, OverriddenQueue, PausedScope, QueuePolicy, QueueStats, Revision, StateCounts, Steered,
    TaskCommand, TaskCount, TaskFilter, TaskPage,
};
use runtime_core::task::{AttemptRecord, Epoch, Held, NewTask, Priority, Task, TaskId, TaskState};
use runtime_core::trace::TraceContext;
use runtime_core::worker::{EntryPoint, Home, WorkerDescriptor};
use tokio::sync::{Notify, watch};

use crate::journal::KeptJournal;
use crate::schedules::ScheduleBook;

/// The moment at which everything in memory stands still.
pub(crate) const NOW: i64 = 1_790_000_000;

pub(crate) fn at(seconds_ago: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds_ago).expect("a moment")
}

pub(crate) fn path(text: &str) -> NodePath {
    text.parse().expect("a path")
}

/// What a command meets.
#[derive(Debug, Clone, Default)]
pub(crate) enum Mood {
    /// It is answered.
    #[default]
    Answering,
    /// It is taken and never answered.
    Silent,
    /// It is refused at the door.
    Refusing(CommandError),
}

pub(crate) struct World {
    pub(crate) mood: Mood,
    pub(crate) overview: Overview,
    pub(crate) nodes: Vec<NodeView>,
    pub(crate) workers: Vec<WorkerDescriptor>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) enqueued: Vec<NewTask>,
    pub(crate) runs: Vec<RunAsk>,
    /// Runs that go on until a test ends them; none is held when absent.
    pub(crate) held_runs: Option<Vec<HeldRun>>,
    pub(crate) acts: Vec<OperationAsk>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) drained: Vec<(QueueName, Option<Scope>)>,
    pub(crate) paused_scopes: Vec<PausedScope>,
    pub(crate) overridden: Option<OverriddenQueue>,
    pub(crate) schedules: ScheduleBook,
    pub(crate) journal: Arc<KeptJournal>,
    /// How many events follow a command.
    pub(crate) events_after: Box<dyn FnMut(&Command) -> u64 + Send>,
    /// Commands that found no answer: those of a silent tree, and those that the API does not send.
    pub(crate) unanswered: Vec<Command>,
}

/// A run under way.
pub(crate) struct HeldRun {
    pub(crate) progress: watch::Sender<RunProgress>,
    pub(crate) reply: Reply<RunProgress>,
}

/// A tree held in memory.
#[derive(Clone)]
pub(crate) struct InMemoryControl(Arc<Mutex<World>>, Arc<Notify>);

impl InMemoryControl {
    pub(crate) fn new() -> Self {
        let workers = vec![worker("fetch", "mail"), worker("settle", "mail"), worker("import", "orders")];
        Self(
            Arc::new(Mutex::new(World {
                mood: Mood::Answering,
                overview: Overview {
                    health: Health::Degraded("shop: the printer is slow".into()),
                    apps: vec![
                        ("shop".parse().expect("a name"), Health::Healthy),
                        ("books".parse().expect("a name"), Health::Unhealthy("no connection".into())),
                    ],
                    stopping: false,
                    nodes: 12,
                    restarts: 4,
                    queues: queues(),
                    paused_queues: Vec::new(),
                    dependencies: Vec::new(),
                    drain: None,
                },
                nodes: nodes(),
                tasks: tasks(),
                workers,
                enqueued: Vec::new(),
                runs: Vec::new(),
                held_runs: None,
                acts: Vec::new(),
                operations: Vec::new(),
                drained: Vec::new(),
                paused_scopes: Vec::new(),
                overridden: None,
                schedules: ScheduleBook::new(),
                journal: Arc::new(KeptJournal::new(1, JournalLimits::default())),
                events_after: Box::new(|_| 0),
                unanswered: Vec::new(),
            })),
            Arc::default(),
        )
    }

    /// Waits until a command has made `reached` true.
    pub(crate) async fn until(&self, reached: impl Fn(&World) -> bool) {
        while !reached(&self.0.lock().expect("no panic while held")) {
            self.1.notified().await;
        }
    }

    pub(crate) fn journal_kept(&self) -> Arc<KeptJournal> {
        self.0.lock().expect("no panic while held").journal.clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.0.lock().expect("no panic while held"));
    }
}

impl Control for InMemoryControl {
    fn send_on_behalf(&self, command: Command, _origin: Origin) -> Result<(), CommandError> {
        let mut world = self.0.lock().expect("no panic while held");
        match world.mood.clone() {
            Mood::Answering => {
                let events = (world.events_after)(&command);
                world.answer(command);
                for _ in 0..events {
                    let next = world.journal.tip().sequence + 1;
                    world.journal.count("mail", next);
                }
            }
            Mood::Silent => world.unanswered.push(command),
            Mood::Refusing(error) => return Err(error),
        }
        self.1.notify_one();
        Ok(())
    }

    fn journal(&self) -> Option<Arc<dyn EventJournal>> {
        Some(self.journal_kept())
    }
}

impl World {
    pub(crate) fn answer(&mut self, command: Command) {
        match command {
            Command::GetInfo { reply } => {
                reply.send(Ok(SystemInfo { drain: self.overview.drain.clone(), ..info() }));
            }
            Command::Drain(DrainCommand::Start { by, reason, validate_only, reply }) => {
                let drain = DrainView { since: at(75), by, reason, leased: 3, drained: false };
                if !validate_only {
                    self.overview.drain = Some(drain.clone());
                }
                reply.send(Ok(drain));
            }
            Command::Drain(DrainCommand::Stop { reply }) => reply.send(Ok(self.overview.drain.take())),
            Command::GetOverview { reply } => reply.send(Ok(self.overview.clone())),
            Command::GetEventStatus { reply } => {
                reply.send(Ok(EventStatus { integrated: true, relayed: 1_203 }))
            }
            Command::GetTree { root, reply } => reply.send(self.tree(&root)),
            Command::GetNode { path, reply } => reply.send(self.node(&path).cloned()),
            Command::ListRestarts { under, before, page_size, reply } => {
                let known = restarts().into_iter().filter(|known| known.path.is_within(&under));
                let mut known: Vec<Restart> =
                    known.filter(|known| before.is_none_or(|before| known.number < before)).collect();
                let more = known.len() > page_size;
                known.truncate(page_size);
                reply.send(Ok(RestartPage { restarts: known, more, forgotten: 1_204 }));
            }
            Command::SteerNode { path, command, terms, reply } => {
                let was = self.node(&path).cloned();
                reply.send(match was {
                    Ok(was) if !terms.fit(&was.etag) => {
                        Err(CommandError::changed("the node was changed since"))
                    }
                    Ok(was) if terms.validate_only => Ok(was),
                    _ => self.steer_node(&path, command),
                });
            }
            Command::ListWorkers { reply } => reply.send(Ok(self.workers.clone())),
            Command::RunWorker { ask, progress, reply } => {
                let scope = "store=42".parse().expect("a scope");
                let known = match &ask.selection {
                    RunSelection::Task(task) => *task == id(4),
                    RunSelection::Scope { scope: asked, .. } => *asked == scope,
                };
                if !known || !self.workers.iter().any(|worker| worker.name == ask.worker) {
                    return reply.send(Err(CommandError::not_found("nothing to run")));
                }
                let mut run = RunProgress { selected: 3, made: 0, ..RunProgress::default() };
                progress.send_replace(run.clone());
                if let Some(held) = &mut self.held_runs {
                    return held.push(HeldRun { progress, reply });
                }
                if !ask.dry_run {
                    *run.counts.of_mut(TaskState::Done) = 2;
                    *run.counts.of_mut(TaskState::Scheduled) = u64::from(ask.once);
                }
                self.runs.push(ask);
                reply.send(Ok(run));
            }
            Command::ListQueues { reply } => {
                let views =
                    queues().into_iter().map(|stats| self.queue(&stats.queue).map(|known| known.view()));
                reply.send(views.collect::<Result<_, _>>().map(by_name));
            }
            Command::EnqueueTasks { tasks, reply } => self.enqueue(tasks, reply),
            Command::ListTasks { filter, after, page_size, reply } => {
                reply.send(Ok(self.list(&filter, after, page_size)));
            }
            Command::GetTask { id, reply } => reply.send(self.detail(id)),
            Command::SteerTask { id, command, terms, reply } => {
                let known = self.detail(id).map(|detail| detail.task.etag());
                reply.send(match known {
                    Ok(was) if !terms.fit(&was) => Err(CommandError::changed("the task was changed since")),
                    Ok(etag) if terms.validate_only => {
                        self.detail(id).map(|detail| Steered { state: detail.task.state, etag })
                    }
                    Ok(was) => self.steer_task(id, command).map(|state| Steered { state, etag: was }),
                    Err(missing) => Err(missing),
                });
            }
            Command::CountDeadLetters { filter, reply, .. } => {
                reply.send(Ok(groups(&self.list(&filter, None, usize::MAX - 1).tasks)));
            }
            Command::CountTasks { filter, at_most, reply } => {
                let tasks = self.list(&filter, None, usize::MAX - 1).tasks;
                let mut counts = StateCounts::default();
                tasks.iter().for_each(|task| *counts.of_mut(task.state) += 1);
                reply.send(Ok(TaskCount { counts, whole: (tasks.len() as u64) < at_most }));
            }
            Command::Operations(command) => self.operate(command),
            Command::Queues(QueueCommand::Drain { queue, scope, leased, reply, .. }) => {
                leased.send_replace(2);
                let drained = self.queue(&queue).map(|_| 0);
                self.drained.push((queue, scope));
                reply.send(drained);
            }
            Command::Queues(QueueCommand::Get { queue, reply }) => reply.send(self.queue(&queue)),
            Command::Queues(QueueCommand::Pause { queue, terms, reply, .. }) if terms.validate_only => {
                reply.send(self.queue(&queue));
            }
            Command::Queues(QueueCommand::Pause { queue, scope, paused, reason, reply, .. }) => {
                let answer = self.queue(&queue).and_then(|_| {
                    match scope {
                        Some(scope) => {
                            self.paused_scopes.retain(|known| known.scope != scope);
                            let (queue, since) = (queue.clone(), at(75));
                            self.paused_scopes.extend(paused.then_some(PausedScope {
                                queue,
                                scope,
                                reason,
                                since,
                            }));
                        }
                        None => {
                            let command = if paused { NodeCommand::Pause } else { NodeCommand::Resume };
                            self.steer_node(&path("/engine/apps/shop/workers/fetch"), command)?;
                        }
                    }
                    self.queue(&queue)
                });
                reply.send(answer);
            }
            Command::Queues(QueueCommand::Update { queue, change, reason, terms, reply }) => {
                let answer = self.queue(&queue).map(|mut detail| {
                    let before = detail.overridden.take().map(|known| known.says).unwrap_or_default();
                    let (says, since) = (before.changed(&change), at(75));
                    let said = OverriddenQueue { queue, says, reason, since };
                    detail.overridden = (!said.says.says_nothing()).then_some(said);
                    if !terms.validate_only {
                        self.overridden = detail.overridden.clone();
                    }
                    detail
                });
                reply.send(answer);
            }
            Command::Overrides(OverrideCommand::List { reply }) => reply.send(Ok(Vec::new())),
            Command::Schedules(command) => self.schedules.answer(command),
            other => self.unanswered.push(other),
        }
    }

    fn node(&self, path: &NodePath) -> Result<&NodeView, CommandError> {
        let node = self.nodes.iter().find(|node| node.path == *path);
        node.ok_or_else(|| CommandError::not_found(format!("no node {path}")))
    }

    fn tree(&self, root: &NodePath) -> Result<Vec<NodeView>, CommandError> {
        self.node(root)?;
        Ok(self.nodes.iter().filter(|node| node.path.is_within(root)).cloned().collect())
    }

    fn steer_node(&mut self, path: &NodePath, command: NodeCommand) -> Result<NodeView, CommandError> {
        self.node(path)?;
        if !path.is_within(&self::path("/engine/apps")) && command != NodeCommand::Restart {
            return Err(CommandError::precondition(format!(
                "{path} belongs to the platform: it can only be restarted"
            )));
        }
        let node = self.nodes.iter_mut().find(|node| node.path == *path).expect("looked up above");
        (node.state, node.desired) = match command {
            NodeCommand::Start | NodeCommand::Resume | NodeCommand::AsConfigured => {
                (NodeState::Running, DesiredState::Running)
            }
            NodeCommand::Stop | NodeCommand::Drain => (NodeState::Stopped, DesiredState::Stopped),
            NodeCommand::Pause => (NodeState::Paused, DesiredState::Paused),
            NodeCommand::Restart | NodeCommand::Resize { .. } => (node.state, node.desired),
        };
        match command {
            NodeCommand::Restart => node.incarnation += 1,
            NodeCommand::Resize { slots } => node.slots = Some((0, slots.get() as u64)),
            _ => {}
        }
        Ok(node.clone())
    }

    fn enqueue(&mut self, tasks: Vec<NewTask>, reply: Reply<Vec<Result<Enqueued, CommandError>>>) {
        let answer = |task: &NewTask| match task.idempotency_key.as_ref().map(|key| key.as_str()) {
            Some("known") => Ok(Enqueued::Duplicate { id: id(1), state: TaskState::Done }),
            Some("waiting") => Ok(Enqueued::Replaced { id: id(1) }),
            Some("put off") => Ok(Enqueued::Debounced {
                id: id(1),
                run_at: jiff::Timestamp::from_second(1_790_000_100).unwrap(),
            }),
            Some("conflict") => Err(CommandError::new(ErrorCode::IdempotencyConflict, "other content")),
            Some("large") => Err(CommandError::new(ErrorCode::TooLarge, "2 MiB, at most 1 MiB")),
            Some("heavy") => Err(CommandError::new(ErrorCode::TooHeavy, "11 tokens, at most 10 at once")),
            _ => Ok(Enqueued::Accepted { id: id(9) }),
        };
        let answers = tasks.iter().map(answer).collect();
        self.enqueued.extend(tasks);
        reply.send(Ok(answers));
    }

    fn list(&self, filter: &TaskFilter, after: Option<TaskId>, page_size: usize) -> TaskPage {
        let fits = |task: &&Task| filter.fits(task) && after.is_none_or(|after| task.id < after);
        let mut tasks: Vec<Task> = self.tasks.iter().filter(fits).take(page_size + 1).cloned().collect();
        let more = tasks.len() > page_size;
        tasks.truncate(page_size);
        TaskPage { next: tasks.last().filter(|_| more).map(|task| task.id), tasks }
    }

    /// Everything about operations: one is over when it is begun, unless it is to go one by one.
    fn operate(&mut self, command: OperationCommand) {
        match command {
            OperationCommand::Preview { kind, filter, at_most, reply } => {
                let sample = self.list(&of_the_kind(kind, *filter), None, 1_000).tasks;
                let mut counts = StateCounts::default();
                sample.iter().for_each(|task| *counts.of_mut(task.state) += 1);
                let count = TaskCount { counts, whole: (sample.len() as u64) < at_most };
                reply.send(Ok(OperationPreview { count, sample }));
            }
            OperationCommand::Start { ask, reply } => {
                let operation = self.begin(&ask);
                self.acts.push(*ask);
                self.operations.push(operation.clone());
                reply.send(Ok(operation));
            }
            OperationCommand::Get { id, reply } => reply.send(self.operation(id).cloned()),
            OperationCommand::List { before, page_size, reply } => {
                let newest = self.operations.iter().rev();
                let older = newest.filter(|known| before.is_none_or(|before| known.id < before));
                reply.send(Ok(older.take(page_size).cloned().collect()));
            }
            OperationCommand::Cancel { id, reason, reply, .. } => {
                let known = self.operations.iter_mut().find(|known| known.id == id && known.is_running());
                if let Some(known) = known {
                    (known.state, known.finished_at) = (OperationState::Cancelled, Some(at(0)));
                    known.error = Some(TaskError::new(ErrorCode::Cancelled, format!("by ann: {reason}")));
                }
                reply.send(self.operation(id).cloned());
            }
            OperationCommand::Follow { id, progress, reply } => {
                if let Ok(known) = self.operation(id) {
                    progress.send_replace(known.clone());
                }
                reply.send(self.operation(id).cloned());
            }
        }
    }

    fn operation(&self, id: OperationId) -> Result<&Operation, CommandError> {
        let known = self.operations.iter().find(|known| known.id == id);
        known.ok_or_else(|| CommandError::not_found(format!("no operation {id}")))
    }

    fn begin(&mut self, ask: &OperationAsk) -> Operation {
        let tasks = self.list(&of_the_kind(ask.kind, ask.filter.clone()), None, 1_000).tasks;
        let mut counts = OperationCounts::default();
        for task in &tasks {
            match self.steer_task(task.id, ask.kind.command(&ask.reason)) {
                Ok(_) => counts.done += 1,
                Err(_) => counts.failed += 1,
            }
        }
        let OperationAsk { kind, filter, asked, rate, reason, by } = ask.clone();
        let is_over = rate != NonZeroU32::new(1);
        Operation {
            id: OperationId(self.operations.len() as u64 + 1),
            spec: OperationSpec { kind, filter, asked, rate, reason, by, matched: tasks.len() as u64 },
            state: if is_over { OperationState::Done } else { OperationState::Running },
            revision: Revision::FIRST,
            cursor: None,
            counts,
            created_at: at(3),
            next_at: at(-9),
            finished_at: is_over.then(|| at(1)),
            error: None,
        }
    }

    fn queue(&self, queue: &QueueName) -> Result<QueueDetail, CommandError> {
        let stats = queues().into_iter().find(|stats| stats.queue == *queue);
        let stats = stats.ok_or_else(|| CommandError::not_found(format!("no queue {queue}")))?;
        let head = OrderingHead {
            key: "order-1001".parse().expect("a key"),
            task: id(7),
            state: TaskState::Parked,
            waiting: 12,
        };
        let takes = queue.as_str() == "mail";
        let worker = self.node(&path("/engine/apps/shop/workers/fetch"))?;
        Ok(QueueDetail {
            stats,
            policy: policy(),
            overridden: self.overridden.clone(),
            workers: takes.then(|| worker.clone()).into_iter().collect(),
            paused_scopes: self.paused_scopes.iter().filter(|known| known.queue == *queue).cloned().collect(),
            heads: OrderingHeads { heads: vec![head], whole: true },
            rates: Some(rates()),
            etag: queue_etag(),
        })
    }

    fn detail(&self, id: TaskId) -> Result<TaskDetail, CommandError> {
        let task = self.tasks.iter().find(|task| task.id == id);
        let task = task.cloned().ok_or_else(|| CommandError::not_found(format!("no task {id}")))?;
        Ok(TaskDetail { attempts: attempts(&task), task })
    }

    fn steer_task(&mut self, id: TaskId, command: TaskCommand) -> Result<TaskState, CommandError> {
        let task = self.tasks.iter_mut().find(|task| task.id == id);
        let task = task.ok_or_else(|| CommandError::not_found(format!("no task {id}")))?;
        let view = LifecycleView {
            state: task.state,
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            crash_count: task.crash_count,
        };
        let event = match command {
            TaskCommand::Retry => LifecycleEvent::RetryAsked,
            TaskCommand::Approve | TaskCommand::Reject => LifecycleEvent::Resolved,
            TaskCommand::Cancel => LifecycleEvent::CancelAsked,
            TaskCommand::Replay { ref at, .. } => LifecycleEvent::ReplayAsked { due: at.is_none() },
            TaskCommand::Discard { ref reason } => LifecycleEvent::DiscardAsked { reason },
            TaskCommand::Reschedule { at: until } => LifecycleEvent::RescheduleAsked {
                wait: Duration::try_from(until.duration_since(at(0))).unwrap_or_default(),
            },
            TaskCommand::Delete { .. } => LifecycleEvent::DeleteAsked,
        };
        let next = transition(view, event).map_err(|error| CommandError::precondition(error.to_string()))?;
        task.state = next.state;
        Ok(next.state)
    }
}

fn of_the_kind(kind: OperationKind, filter: TaskFilter) -> TaskFilter {
    kind.select(filter, at(-3_600)).expect("the API has checked it")
}

/// Every dead task as a group of its own.
fn groups(dead: &[Task]) -> DeadGroups {
    let group = |task: &Task| DeadGroup {
        app: task.route.app.clone(),
        queue: task.route.queue.clone(),
        handler: task.route.handler.clone(),
        code: task.last_error.as_ref().expect("a cause").code,
        count: 1_204,
        whole: true,
        oldest: at(7_200),
        newest: task.finished_at.expect("it is finished"),
        example: task.id,
    };
    DeadGroups { groups: dead.iter().map(group).collect(), whole: true }
}

pub(crate) fn id(row: u64) -> TaskId {
    TaskId::new(at(3_600), 42, row)
}

fn restarts() -> Vec<Restart> {
    let restart = |number, node: &str, cause, backoff: Option<u64>| Restart {
        number,
        path: path(node),
        before: number,
        after: number + 1,
        at: at(60),
        cause,
        backoff: backoff.map(Duration::from_millis),
    };
    let (fetch, inbox) = ("/engine/apps/shop/workers/fetch", "/engine/apps/shop/sources/inbox");
    vec![
        restart(4, fetch, RestartCause::Together, None),
        restart(3, inbox, RestartCause::Operator, None),
        restart(2, "/engine/apps/shop", RestartCause::Escalation("inbox: no mailbox".into()), Some(1_000)),
        restart(1, inbox, RestartCause::Fault("no mailbox".into()), Some(200)),
    ]
}

fn info() -> SystemInfo {
    SystemInfo {
        version: "0.1.0".into(),
        instance: InstanceName::new("desk-7").expect("a name"),
        apps: vec!["shop".parse().expect("a name"), "books".parse().expect("a name")],
        store: "sqlite".into(),
        capabilities: vec![Capability::Durable, Capability::AppWrites],
        uptime_secs: 93_784,
        drain: None,
    }
}

fn node(path_text: &str, kind: NodeKind) -> NodeView {
    NodeView {
        path: path(path_text),
        kind,
        state: NodeState::Running,
        desired: DesiredState::Running,
        incarnation: 1,
        restarts: 0,
        handled: 0,
        errors: 0,
        busy_since: None,
        queued: 0,
        mailbox: 0,
        slots: None,
        stuck: 0,
        last_fault: None,
        since: at(7_200),
        health: Health::Healthy,
        etag: Etag::counted(at(0), 1),
        conditions: Condition::from_now_on(
            NodeState::Running,
            DesiredState::Running,
            &Health::Healthy,
            at(3_600),
        ),
    }
}

fn nodes() -> Vec<NodeView> {
    use NodeKind::{Admin, Commands, Completion, Executor, Source, Store, Supervisor};
    let mut nodes: Vec<NodeView> = [
        ("/", Supervisor),
        ("/engine", Supervisor),
        ("/engine/store", Store),
        ("/engine/completion", Completion),
        ("/engine/apps", Supervisor),
        ("/engine/apps/shop", Supervisor),
        ("/engine/apps/shop/workers/fetch", Executor),
        ("/engine/apps/shop/workers/settle", Executor),
        ("/engine/apps/shop/sources/inbox", Source),
        ("/control", Supervisor),
        ("/control/commands", Commands),
        ("/control/admin", Admin),
    ]
    .map(|(path, kind)| node(path, kind))
    .into();
    let fetch = &mut nodes[6];
    (fetch.slots, fetch.queued, fetch.handled, fetch.errors) = (Some((3, 4)), 17, 12_408, 31);
    fetch.busy_since = Some(at(2));
    let settle = &mut nodes[7];
    (settle.slots, settle.state, settle.since) = (Some((1, 2)), NodeState::Draining, at(95));
    settle.desired = DesiredState::Paused;
    settle.stuck = 1;
    settle.health = Health::Degraded("1 attempt does not yield".into());
    let inbox = &mut nodes[8];
    (inbox.state, inbox.incarnation, inbox.restarts, inbox.since) = (NodeState::BackingOff, 5, 4, at(8));
    inbox.last_fault = Some("RT0031 the server closed the connection:\u{1b}[31m bye\u{1b}[0m".into());
    inbox.health = Health::Unhealthy("restarting for the 4th time".into());
    for NodeView { state, desired, health, conditions, .. } in &mut nodes {
        conditions.iter_mut().for_each(|known| known.look_again(*state, *desired, health, at(8)));
    }
    nodes
}

fn queue_etag() -> Etag {
    Etag::counted(at(0), 3)
}

fn rates() -> QueueRates {
    QueueRates { accepted: 2.5, settled: 2.25, failed: 0.25, over: Duration::from_secs(60) }
}

/// By name.
fn by_name(mut views: Vec<QueueView>) -> Vec<QueueView> {
    views.sort_by(|one, other| one.stats.queue.cmp(&other.stats.queue));
    views
}

fn queues() -> Vec<QueueStats> {
    let queue = |name: &str, counts: [u64; 7], oldest_ready| {
        let mut by_state = StateCounts::default();
        for (state, count) in TaskState::ALL.into_iter().zip(counts) {
            *by_state.of_mut(state) = count;
        }
        QueueStats {
            queue: name.parse().expect("a name"),
            counts: by_state,
            oldest_ready,
            capacity: 10_000_000,
            shed: Default::default(),
            limited_until: None,
        }
    };
    vec![queue("orders", [0; 7], None), queue("mail", [12, 1_034, 4, 2, 981_377, 31, 0], Some(at(312)))]
}

pub(crate) fn route(queue: &str, handler: &str) -> Arc<Route> {
    Arc::new(Route {
        app: "shop".parse().expect("a name"),
        queue: queue.parse().expect("a name"),
        handler: handler.parse().expect("a name"),
    })
}

pub(crate) fn worker(name: &str, queue: &str) -> WorkerDescriptor {
    WorkerDescriptor {
        name: name.parse().expect("a name"),
        responsibility: format!("Does what has to be done to {name} one message."),
        route: route(queue, name),
        slots: NonZeroUsize::new(4).expect("not zero"),
        timeout: Duration::from_secs(90),
        retry: RetryPolicy::default(),
        deadline: (name == "settle").then(|| Duration::from_hours(24)),
        serves: "store owners".to_owned(),
        writes: vec![Home::Truth("settlement"), Home::Outside("bank")],
        key: "store and period".to_owned(),
        effects: vec![(StepName::new("confirm").expect("a name"), EffectClass::Unkeyed)],
        dependencies: vec!["bank".parse().expect("a name")],
        entry_point: if name == "settle" { EntryPoint::per_scope("store") } else { EntryPoint::per_task() },
        flow: QueuePolicy::default(),
        rebuilds: name == "settle",
        schema_version: 2,
        input_schema: serde_json::json!({"type": "object"}),
        output_schema: serde_json::json!(true),
    }
}

fn task(row: u64, state: TaskState) -> Task {
    Task {
        id: id(row),
        route: route("mail", "fetch"),
        payload: br#"{"secret":"canary-4711"}"#.to_vec(),
        schema_version: 1,
        tenant: None,
        scope: None,
        priority: Priority::default(),
        weight: NonZeroU32::MIN,
        idempotency_key: None,
        ordering_key: None,
        run_at: at(600),
        deadline: None,
        state,
        held: None,
        attempt: 1,
        max_attempts: 5,
        crash_count: 0,
        epoch: Epoch(1),
        holder: None,
        trace: None,
        correlation_id: None,
        causation_id: None,
        created_at: at(i64::try_from(row).expect("small") * 60),
        checkpoint: None,
        progress: None,
        approved: false,
        edited: false,
        last_error: None,
        finished_at: None,
        output: None,
    }
}

/// Newest first, as a store lists them.
fn tasks() -> Vec<Task> {
    let mut parked = task(7, TaskState::Parked);
    parked.route = route("mail", "settle");
    parked.scope = Some(Scope::new("store=42").expect("a scope"));
    parked.tenant = Some("acme".parse().expect("a tenant"));
    parked.correlation_id = Some("order-1001".parse().expect("an id"));
    parked.causation_id = Some(id(1));
    parked.trace = Some(TraceContext {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        tracestate: None,
    });
    parked.last_error = Some(
        TaskError::new(ErrorCode::EffectUnknown, "the confirmation may have been sent").at("/lines/3/sku"),
    );
    let mut leased = task(6, TaskState::Leased);
    leased.holder = Some(("desk-7".parse().expect("a name"), at(-20)));
    let mut dead = task(5, TaskState::Dead);
    dead.attempt = 5;
    dead.last_error = Some(TaskError::retryable("the peer said 503"));
    dead.finished_at = Some(at(30));
    let behind = Some(Held { behind: Some(id(7)), scope_paused: true });
    let scoped =
        |row, scope| Task { scope: Some(Scope::new(scope).expect("a scope")), ..task(row, TaskState::Ready) };
    let held = Task {
        ordering_key: Some("order-1001".parse().expect("a key")),
        held: behind,
        ..scoped(3, "store=42")
    };
    let mut done = task(1, TaskState::Done);
    (done.finished_at, done.output) = (Some(at(500)), Some(br#"{"answer":"canary-4712"}"#.to_vec()));
    vec![parked, leased, dead, scoped(4, "store=7"), held, scoped(2, "store=42"), done]
}

fn attempts(task: &Task) -> Vec<AttemptRecord> {
    vec![AttemptRecord {
        attempt: 1,
        epoch: Epoch(1),
        instance: "desk-7".parse().expect("a name"),
        node: Some("/engine/apps/shop/workers/fetch".parse().expect("a path")),
        started_at: at(580),
        took: Duration::from_millis(1_250),
        outcome: "park".into(),
        error: task.last_error.clone(),
        trace: None,
    }]
}

/// Lanes by tenant with a limit of tasks at once, of which one has more, and a rate.
fn policy() -> QueuePolicy {
    let number = |number| NonZeroU32::new(number).expect("not zero");
    let rate = RateLimit::new(number(100), Duration::from_mins(1), number(20)).expect("a rate");
    let limits = FlowLimits {
        concurrency_per_key: Some(number(2)),
        rate_per_key: Some(rate),
        ..FlowLimits::default()
    };
    let more = LimitOverride { concurrency: Some(Limit::To(number(10))), rate: None };
    QueuePolicy {
        lanes: Some(LaneBy::Tenant),
        limits,
        overrides: [("acme".parse().expect("a lane"), more)].into(),
        dead_head_blocks: true,
        ..QueuePolicy::default()
    }
}
