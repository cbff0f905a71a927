//! A tree, its store and the ways to look at both.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::clock::Clock;
use runtime_core::control::{Command, CommandError, Control, NodeCommand, RunAsk, RunProgress, ask};
use runtime_core::etag::Terms;
use runtime_core::handler::Handler;
use runtime_core::journal::JournalLimits;
use runtime_core::limits::StoreLimits;
use runtime_core::name::{AppName, HandlerName, InstanceName, QueueName, Route, StepName, WorkerName};
use runtime_core::node::{NodePath, NodeState, NodeView};
use runtime_core::retry::{RetryDelay, RetryPolicy};
use runtime_core::schedule::ScheduleSpec;
use runtime_core::store::{EffectClass, QueuePolicy, Store, TaskCommand};
use runtime_core::task::{NewTask, Task, TaskId, TaskState};
use runtime_core::trace::NoTrace;
use runtime_core::worker::{EntryPoint, Home, WorkerDescriptor};
use runtime_stores::MemoryStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::FaultyStore;
use crate::platform::{LeaseBook, Platform, Timing};
use crate::registry::{AppPlan, WorkerPlan};
use crate::runtime::{MakeServe, RuntimeCore, RuntimeParts, StopReport};
use crate::services::drain::DrainService;
use crate::services::wishes::Wishes;
use crate::table::{NodeEntry, NodeTable};
use crate::work_pool::WorkPool;

/// Wall time that follows tokio's, so that a paused clock stands for both.
pub(crate) struct PausedClock {
    began: Instant,
}

impl PausedClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now() })
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let began = Timestamp::from_second(1_800_000_000).expect("a moment");
        began.checked_add(self.began.elapsed()).expect("tests end before time does")
    }
}

/// The path in this text.
pub(crate) fn path(text: &str) -> NodePath {
    text.parse().expect("a path")
}

/// The blueprint's times, with less grace.
pub(crate) fn timing() -> Timing {
    Timing { grace: Duration::from_secs(5), ..Timing::default() }
}

/// A worker of app `shop` whose queue and handler have its name: 10 s an attempt, 3 attempts a second apart.
pub(crate) fn worker(name: &str, slots: usize, handler: impl Handler) -> WorkerPlan {
    let descriptor = WorkerDescriptor {
        name: WorkerName::new(name).expect("a name"),
        responsibility: format!("does {name}"),
        route: route(name),
        slots: NonZeroUsize::new(slots).expect("slots"),
        timeout: Duration::from_secs(10),
        retry: RetryPolicy {
            max_attempts: NonZeroU32::new(3).expect("three"),
            delay: RetryDelay::Fixed { delay: Duration::from_secs(1) },
            ..RetryPolicy::default()
        },
        deadline: None,
        serves: "tests".into(),
        writes: vec![Home::Truth("rows")],
        key: "none".into(),
        effects: vec![(StepName::new("rows").expect("a name"), EffectClass::Transactional)],
        dependencies: Vec::new(),
        entry_point: EntryPoint::PerTask,
        flow: QueuePolicy::default(),
        rebuilds: false,
        schema_version: 1,
        input_schema: handler.input_schema(),
        output_schema: handler.output_schema(),
    };
    WorkerPlan { descriptor: Arc::new(descriptor), handler: Arc::new(handler), rebuild: None }
}

pub(crate) fn route(name: &str) -> Arc<Route> {
    Arc::new(Route {
        app: AppName::new("shop").expect("a name"),
        queue: QueueName::new(name).expect("a name"),
        handler: HandlerName::new(name).expect("a name"),
    })
}

/// What the nodes of a tree share, without a tree.
pub(crate) fn platform(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Arc<Platform> {
    let journal = Arc::<crate::SharedJournal>::default();
    Arc::new(Platform {
        store,
        instance: InstanceName::new("test-1").expect("a name"),
        timing: timing(),
        traces: Arc::new(NoTrace),
        pool: Arc::new(WorkPool::shared(tokio::runtime::Handle::current())),
        table: Arc::new(NodeTable::new(clock.clone(), journal.clone())),
        journal,
        clock,
        completion: Arc::default(),
        templates: Arc::default(),
        intake: Arc::default(),
        leases: LeaseBook::default(),
        instruments: None,
        stopping: AtomicBool::new(false),
        stop_grace: OnceLock::new(),
        drain: DrainService::default(),
        wishes: Wishes::default(),
    })
}

/// What a world is made of; the store outlives the tree, so that a second tree can be started on it.
pub(crate) struct Worlds {
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) app: AppPlan,
    pub(crate) timing: Timing,
    pub(crate) pool: Option<WorkPool>,
    pub(crate) admin: Option<MakeServe>,
    pub(crate) quiet: bool,
}

impl Worlds {
    /// App `shop` without anything in it, on a memory store under the paused clock.
    pub(crate) fn new() -> Self {
        let clock = PausedClock::new();
        let store = MemoryStore::new(clock.clone(), StoreLimits::default());
        Self::on(FaultyStore::new(Arc::new(store)), clock)
    }

    /// The same on a store that is there already.
    pub(crate) fn on(store: Arc<FaultyStore>, clock: Arc<dyn Clock>) -> Self {
        let app = AppPlan {
            name: AppName::new("shop").expect("a name"),
            workers: Vec::new(),
            sources: Vec::new(),
            endpoints: Vec::new(),
            schedules: Vec::new(),
            health: Vec::new(),
            subscribers: Vec::new(),
            dependencies: BTreeMap::new(),
        };
        Self { store, clock, app, timing: timing(), pool: None, admin: None, quiet: false }
    }

    pub(crate) fn worker(mut self, worker: WorkerPlan) -> Self {
        self.app.workers.push(worker);
        self
    }

    pub(crate) fn schedule(mut self, spec: ScheduleSpec) -> Self {
        self.app.schedules.push(spec);
        self
    }

    pub(crate) async fn start(self) -> World {
        self.try_start().await.expect("the tree comes up")
    }

    pub(crate) async fn try_start(self) -> Result<World, CommandError> {
        let Self { store, clock, app, timing, pool, admin, quiet } = self;
        let parts = RuntimeParts {
            store: store.clone(),
            store_name: "memory".into(),
            clock: clock.clone(),
            instance: InstanceName::new("test-1").expect("a name"),
            traces: Arc::new(NoTrace),
            meter: None,
            pool: pool.unwrap_or_else(|| WorkPool::shared(tokio::runtime::Handle::current())),
            timing,
            apps: vec![app],
            admin,
            instance_control: None,
            events: JournalLimits::default(),
            quiet,
        };
        let core = RuntimeCore::new(parts).await?;
        Ok(World { control: core.control(), core, store, clock })
    }
}

/// A running tree.
pub(crate) struct World {
    pub(crate) core: RuntimeCore,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl World {
    pub(crate) fn platform(&self) -> &Arc<Platform> {
        self.core.platform()
    }

    pub(crate) fn entry(&self, at: &str) -> Arc<NodeEntry> {
        self.platform().table.get(&path(at)).unwrap_or_else(|| panic!("no node {at}"))
    }

    /// Waits until the row at this path fits.
    pub(crate) async fn until(&self, at: &str, fits: impl Fn(&NodeView) -> bool) -> NodeView {
        let (entry, changed) = (self.entry(at), self.platform().table.changed());
        loop {
            let change = changed.notified();
            tokio::pin!(change);
            change.as_mut().enable();
            let view = entry.view();
            if fits(&view) {
                return view;
            }
            // Figures change without a change of state: those are looked at again after a moment of the test's clock.
            drop(tokio::time::timeout(Duration::from_millis(10), change).await);
        }
    }

    pub(crate) async fn until_state(&self, at: &str, state: NodeState) -> NodeView {
        self.until(at, |view| view.state == state).await
    }

    pub(crate) async fn steer(&self, at: &str, command: NodeCommand) -> Result<NodeView, CommandError> {
        steer(self.control.clone(), path(at), command).await
    }

    /// The same, while the test goes on.
    pub(crate) fn steering(
        &self,
        at: &str,
        command: NodeCommand,
    ) -> JoinHandle<Result<NodeView, CommandError>> {
        tokio::spawn(steer(self.control.clone(), path(at), command))
    }

    pub(crate) async fn decide(&self, id: TaskId, command: TaskCommand) -> Result<TaskState, CommandError> {
        let terms = Terms::default();
        let steered = ask(&*self.control, |reply| Command::SteerTask { id, command, terms, reply }).await;
        steered.map(|steered| steered.state)
    }

    /// Runs a worker as an operator, who listens until the end.
    pub(crate) async fn run(&self, run: RunAsk) -> Result<RunProgress, CommandError> {
        let (progress, _listens) = watch::channel(RunProgress::default());
        ask(&*self.control, |reply| Command::RunWorker { ask: run, progress, reply }).await
    }

    pub(crate) async fn idle(&self) {
        ask(&*self.control, |reply| Command::AwaitIdle { reply }).await.expect("idle");
    }

    /// Enqueues tasks for a worker.
    pub(crate) async fn enqueue(&self, worker: &str, count: usize) -> Vec<TaskId> {
        self.enqueue_with(worker, count, |task| task).await
    }

    pub(crate) async fn enqueue_with(
        &self,
        worker: &str,
        count: usize,
        change: impl Fn(NewTask) -> NewTask,
    ) -> Vec<TaskId> {
        let tasks = (0..count).map(|_| change(NewTask::new(route(worker), b"null".to_vec()))).collect();
        let answers =
            ask(&*self.control, |reply| Command::EnqueueTasks { tasks, reply }).await.expect("taken");
        answers.into_iter().map(|answer| answer.expect("taken").id()).collect()
    }

    pub(crate) async fn task(&self, id: TaskId) -> Task {
        let mut found = self.inner_store().get(vec![id]).await.expect("the store answers");
        found.pop().flatten().expect("the task is there")
    }

    /// Waits until the task stands there.
    pub(crate) async fn until_task(&self, id: TaskId, state: TaskState) -> Task {
        loop {
            let task = self.task(id).await;
            if task.state == state {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How many tasks stand in each of these states, over all queues.
    pub(crate) async fn count(&self, state: TaskState) -> u64 {
        let stats = self.inner_store().queue_stats().await.expect("the store answers");
        stats.iter().map(|queue| queue.counts.of(state)).sum()
    }

    fn inner_store(&self) -> Arc<dyn Store> {
        self.store.inner()
    }

    pub(crate) async fn stop(self) -> StopReport {
        self.core.stop().await
    }
}

async fn steer(
    control: Arc<dyn Control>,
    path: NodePath,
    command: NodeCommand,
) -> Result<NodeView, CommandError> {
    let terms = Terms::default();
    ask(&*control, |reply| Command::SteerNode { path, command, terms, reply }).await
}
