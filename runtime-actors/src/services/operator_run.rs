//! One worker, for one task or one scope, because an operator asked.
//!
//! ```text
//! [rebuild: discard the projection, make its tasks] ─▶ ready tasks of the scope, oldest first ─▶ executor, a slot each ─▶ settled
//!                                                        ▲                                                              │
//!                                                        └──────── until none is ready (once: a single pass) ◀──────────┘
//! ```
//!
//! Every task goes through the worker's own node: same slots, same limits, same ledger, same trace. Everything else goes on, or stays
//! paused, as it is; the worker itself may be paused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use runtime_core::control::{CommandError, Reply, RunAsk, RunProgress, RunSelection};
use runtime_core::error::ErrorCode;
use runtime_core::name::{CorrelationId, IdempotencyKey, InvalidName};
use runtime_core::node::{NodePath, NodeState};
use runtime_core::rebuild::{Rebuild, RebuildAsk, RebuildPlan};
use runtime_core::store::{Enqueued, TaskFilter};
use runtime_core::task::{NewTask, Task, TaskId, TaskState};
use runtime_core::worker::WorkerDescriptor;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::executor::ExecutorMsg;
use crate::platform::Platform;
use crate::table::NodeAddress;

/// How often a run looks whether an attempt was settled.
const LOOK: Duration = Duration::from_millis(20);

/// Tasks of one page while they are selected.
const PAGE: usize = 1_000;

/// A worker that operators can run.
#[derive(Clone)]
pub(crate) struct RunTarget {
    pub(crate) descriptor: Arc<WorkerDescriptor>,
    pub(crate) path: NodePath,
    pub(crate) rebuild: Option<Arc<dyn Rebuild>>,
}

/// Carries out what one operator asked for.
pub(crate) struct OperatorRun {
    pub(crate) platform: Arc<Platform>,
    pub(crate) target: RunTarget,
    pub(crate) ask: RunAsk,
    pub(crate) progress: watch::Sender<RunProgress>,
}

impl OperatorRun {
    /// Runs until nothing of the selection is ready any more, or until nobody listens to the progress.
    pub(crate) async fn run(self) -> Result<RunProgress, CommandError> {
        let executor = self.executor()?;
        let made = if self.ask.rebuild { Some(self.rebuild().await?) } else { None };
        if made.is_some() && self.ask.dry_run {
            return Ok(self.progress.borrow().clone());
        }
        // A task that was named is run once, whatever comes of it.
        let once = self.ask.once || matches!(self.ask.selection, RunSelection::Task(_));
        // What a rebuild made belongs to the run, whoever runs it.
        let mut selected: BTreeSet<TaskId> = made.iter().flatten().copied().collect();
        let mut begun = BTreeSet::new();
        let mut refused = BTreeSet::new();
        let mut down = None;
        loop {
            let ready = match &made {
                Some(made) => self.to_come(made).await?,
                None => self.ready().await?,
            };
            let pass: Vec<TaskId> = ready.into_iter().filter(|id| !refused.contains(id)).collect();
            selected.extend(&pass);
            self.progress.send_modify(|progress| progress.selected = selected.len() as u64);
            if pass.is_empty() || self.ask.dry_run {
                break;
            }
            for (id, answer) in self.pass(&executor, pass).await {
                begun.insert(id);
                if let Err(refusal) = answer {
                    tracing::info!(task = %id, error_code = %refusal.code, error = %refusal.message, "not run for the operator");
                    refused.insert(id);
                    down = Some(refusal).filter(|refusal| refusal.code == ErrorCode::DependencyDown).or(down);
                }
            }
            if once || self.is_called_off() {
                break;
            }
            self.count(&begun, &refused).await?;
        }
        // Nothing of it ran, and the operator can be told until when.
        if let Some(down) = down.filter(|_| begun == refused) {
            return Err(down);
        }
        if !self.ask.dry_run {
            begun.extend(made.into_iter().flatten());
            self.count(&begun, &refused).await?;
        }
        Ok(self.progress.borrow().clone())
    }

    /// Nobody listens any more, or the instance takes no new work: nothing more is begun.
    fn is_called_off(&self) -> bool {
        self.progress.is_closed() || self.platform.drain.lets_in().is_err()
    }

    /// Discards the projection and makes its tasks, in one transaction; only looks at a dry run. Returns the tasks.
    async fn rebuild(&self) -> Result<Vec<TaskId>, CommandError> {
        let worker = &self.target.descriptor.name;
        let RunSelection::Scope { scope, since, until } = &self.ask.selection else {
            return Err(CommandError::new(ErrorCode::InvalidArgument, "a rebuild is for a scope"));
        };
        let rebuild = self.target.rebuild.clone();
        let rebuild =
            rebuild.ok_or_else(|| CommandError::precondition(format!("worker {worker} has no rebuild")))?;
        let ask = RebuildAsk {
            scope: scope.clone(),
            since: *since,
            until: *until,
            store: self.platform.store.clone(),
            run: self.ask.correlation.clone(),
        };
        // The app's code runs where its code runs.
        let planned = self.platform.pool.spawn(async move { rebuild.plan(ask).await });
        let planned = planned.await.map_err(|error| {
            CommandError::new(
                ErrorCode::HandlerPanicked,
                format!("the rebuild of worker {worker} broke: {error}"),
            )
        })?;
        let RebuildPlan { discard, tasks } =
            planned.map_err(|error| CommandError::new(error.code, error.message))?;
        let made = tasks.len() as u64;
        if self.ask.dry_run {
            self.progress.send_modify(|progress| (progress.selected, progress.made) = (made, made));
            return Ok(Vec::new());
        }
        let tasks = tasks.into_iter().map(|task| self.of_this_run(task)).collect::<Result<_, _>>()?;
        let taken = self.platform.store.enqueue_whole(tasks, discard).await?;
        let made = taken.iter().filter(|taken| matches!(taken, Enqueued::Accepted { .. })).count() as u64;
        tracing::info!(worker_id = %worker, %scope, correlation_id = %self.ask.correlation, made, "projection discarded; it is made again");
        self.progress.send_modify(|progress| progress.made = made);
        Ok(taken.iter().map(Enqueued::id).collect())
    }

    /// Which of these have an attempt to come, or under way: a worker that is not paused takes them by itself as well.
    async fn to_come(&self, made: &[TaskId]) -> Result<Vec<TaskId>, CommandError> {
        let mut to_come = Vec::new();
        for ids in made.chunks(PAGE) {
            let tasks = self.platform.store.get(ids.to_vec()).await?.into_iter().flatten();
            let runs = |task: &Task| matches!(task.state, TaskState::Ready | TaskState::Leased);
            to_come.extend(tasks.filter(runs).map(|task| task.id));
        }
        Ok(to_come)
    }

    /// A task of this run: under the key of the first time it would be a duplicate of a task that is done. Asked for twice, the same
    /// run makes its tasks once.
    fn of_this_run(&self, mut task: NewTask) -> Result<NewTask, CommandError> {
        let run = &self.ask.correlation;
        let invalid = |error: InvalidName| CommandError::new(ErrorCode::InvalidArgument, error.to_string());
        if let Some(key) = &task.idempotency_key {
            task.idempotency_key = Some(IdempotencyKey::new(format!("{key}@{run}")).map_err(invalid)?);
        }
        task.correlation_id = Some(run.clone());
        task.asked_by_name = true;
        Ok(task)
    }

    fn executor(&self) -> Result<NodeAddress<ExecutorMsg>, CommandError> {
        let path = &self.target.path;
        let gone = || CommandError::not_found(format!("no node {path}"));
        let entry = self.platform.table.get(path).ok_or_else(gone)?;
        if !matches!(entry.state(), NodeState::Running | NodeState::Paused) {
            let text = format!(
                "{path} is {}; start it, or start it paused, to run its tasks",
                entry.state().as_str()
            );
            return Err(CommandError::precondition(text));
        }
        self.platform.table.address(path).ok_or_else(gone)
    }

    /// What is ready of the selection, oldest first.
    async fn ready(&self) -> Result<Vec<TaskId>, CommandError> {
        let (scope, since, until) = match &self.ask.selection {
            RunSelection::Task(id) => return self.one(*id).await,
            RunSelection::Scope { scope, since, until } => (scope, *since, *until),
        };
        let route = &self.target.descriptor.route;
        let filter = TaskFilter {
            states: vec![TaskState::Ready],
            app: Some(route.app.clone()),
            queue: Some(route.queue.clone()),
            handler: Some(route.handler.clone()),
            scope: Some(scope.clone()),
            created_since: since,
            created_until: until,
            ..TaskFilter::default()
        };
        let (mut ready, mut after) = (Vec::new(), None);
        loop {
            let page = self.platform.store.list(filter.clone(), after, PAGE).await?;
            ready.extend(page.tasks.iter().map(|task| task.id));
            after = page.next;
            if after.is_none() {
                ready.reverse();
                return Ok(ready);
            }
        }
    }

    /// A task that was named must be there; whether it can run is the executor's to say.
    async fn one(&self, id: TaskId) -> Result<Vec<TaskId>, CommandError> {
        match self.platform.store.get(vec![id]).await?.pop().flatten() {
            None => Err(CommandError::not_found(format!("no task {id}"))),
            Some(task) if task.state != TaskState::Ready => {
                Err(CommandError::precondition(format!("task {id} is {}, not ready", task.state)))
            }
            Some(task) if task.route != self.target.descriptor.route => Err(CommandError::precondition(
                format!("task {id} is none of worker {}", self.target.descriptor.name),
            )),
            Some(_) => Ok(vec![id]),
        }
    }

    /// Runs each of these once, as many at a time as the worker has slots.
    async fn pass(
        &self,
        executor: &NodeAddress<ExecutorMsg>,
        ids: Vec<TaskId>,
    ) -> Vec<(TaskId, Result<(), CommandError>)> {
        let slots = usize::try_from(executor.entry().slots.load(Ordering::Relaxed)).unwrap_or(1).max(1);
        let (mut runs, mut ended) = (JoinSet::new(), Vec::new());
        for id in ids {
            if runs.len() >= slots {
                ended.extend(runs.join_next().await.and_then(Result::ok));
            }
            if self.is_called_off() {
                break;
            }
            let (platform, executor) = (self.platform.clone(), executor.clone());
            let correlation = self.ask.correlation.clone();
            runs.spawn(async move { (id, attempt(&platform, &executor, id, correlation).await) });
        }
        while let Some(run) = runs.join_next().await {
            ended.extend(run.ok());
        }
        ended
    }

    /// Where everything that was begun stands now.
    async fn count(&self, begun: &BTreeSet<TaskId>, refused: &BTreeSet<TaskId>) -> Result<(), CommandError> {
        let mut now = RunProgress { refused: refused.len() as u64, ..RunProgress::default() };
        let ids: Vec<TaskId> = begun.difference(refused).copied().collect();
        for ids in ids.chunks(PAGE) {
            for task in self.platform.store.get(ids.to_vec()).await?.into_iter().flatten() {
                *now.counts.of_mut(task.state) += 1;
            }
        }
        self.progress.send_modify(|progress| {
            *progress = RunProgress { selected: progress.selected, made: progress.made, ..now };
        });
        Ok(())
    }
}

/// Has one task started, and waits until that attempt is settled.
async fn attempt(
    platform: &Platform,
    executor: &NodeAddress<ExecutorMsg>,
    task: TaskId,
    correlation: CorrelationId,
) -> Result<(), CommandError> {
    let (reply, started) = Reply::channel();
    let gone = || CommandError::precondition(format!("{} is not up", executor.entry().path()));
    executor
        .send(ExecutorMsg::ExecuteTaskWithCorrelation { task, correlation, reply })
        .map_err(|_| gone())?;
    let mut refusal = started.await.unwrap_or_else(|_| Err(gone())).err();
    loop {
        let state = platform.store.get(vec![task]).await?.pop().flatten().map(|task| task.state);
        if state != Some(TaskState::Leased) {
            // A worker that is not paused may have been faster: it ran all the same.
            let ran = state.is_none_or(TaskState::is_finished);
            return refusal.filter(|_| !ran).map_or(Ok(()), Err);
        }
        refusal = None;
        tokio::time::sleep(LOOK).await;
    }
}
