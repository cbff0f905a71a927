//! The store of tests: everything in memory, no thread of its own, so that it runs under a paused clock.
//!
//! It keeps every promise that needs no disk. What is lost with the process: everything. What it lacks: the app's own rows.

mod attempt;
mod audit;
mod enqueue;
mod lanes;
mod line;
mod look;
mod operations;
mod operator;
mod principals;
mod schedules;
mod shed;
mod state;
mod sweep;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::clock::Clock;
use runtime_core::etag::Terms;
use runtime_core::event::StoredEvent;
use runtime_core::limits::StoreLimits;
use runtime_core::name::{AppName, QueueName, ScheduleName, StepName};
use runtime_core::node::{DesiredState, NodePath};
use runtime_core::operation::{Operation, OperationId, OperationSpec};
use runtime_core::outcome::{Settled, Settlement};
use runtime_core::schedule::{ScheduleSpec, ScheduleState};
use runtime_core::store::{
    AppMigration, AppRows, AppWrite, Capability, ContentHash, DeadGroups, DeadLetters, DesiredStates,
    EffectBegun, EffectClass, EffectLedger, EnqueueError, Enqueued, Fired, Firing, LeaseAsk, OperationStep,
    Operations, Outbox, PutSchedule, QueueStats, Resized, Revision, Schedules, SqlRow, SqlValue, SteerError,
    Steered, Stepped, StoreError, StoredSchedule, Swept, TaskCommand, TaskCount, TaskFilter, TaskPage,
    TaskReader, TaskStore,
};
use runtime_core::task::{AttemptRecord, Lease, LeasedTask, NewTask, Progress, Task, TaskId, TaskState};
use tokio::sync::Notify;

use crate::content;
use crate::retention::Retention;
use enqueue::Origin;
use state::State;

/// Tasks in memory. Cheap to clone: all clones are the same store.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    limits: StoreLimits,
    state: Mutex<State>,
    wakes: Mutex<HashMap<QueueName, Arc<Notify>>>,
    due: Arc<Notify>,
}

impl MemoryStore {
    /// An empty store with the default retention.
    pub fn new(clock: Arc<dyn Clock>, limits: StoreLimits) -> Self {
        Self::with_retention(clock, limits, Retention::default())
    }

    /// An empty store.
    pub fn with_retention(clock: Arc<dyn Clock>, limits: StoreLimits, retention: Retention) -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self(Arc::new(Inner {
            state: Mutex::new(State::new(high ^ low, limits, retention)),
            clock,
            limits,
            wakes: Mutex::default(),
            due: Arc::default(),
        }))
    }

    /// The same, with another worth of a degree of priority than [`crate::PRIORITY_STEP`].
    #[must_use]
    pub fn priority_step(self, step: Duration) -> Self {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).priority_step = content::whole_step(step);
        self
    }

    /// Looks.
    fn look(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(StoreError::Closed) } else { Ok(state) }
    }

    /// Changes, then wakes whom it concerns.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let mut state = self.look()?;
        // Whole milliseconds, as every back end keeps them.
        let now = self.0.clock.now().as_millisecond();
        state.now = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
        let result = change(&mut state);
        let woken = std::mem::take(&mut state.woken);
        let due_changed = std::mem::take(&mut state.due_changed);
        drop(state);
        let wakes = self.0.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        for bell in woken.iter().filter_map(|queue| wakes.get(queue)) {
            bell.notify_one();
        }
        if due_changed {
            self.0.due.notify_one();
        }
        Ok(result)
    }

    fn check_batch(&self, items: usize) -> Result<(), StoreError> {
        let limit = self.0.limits.max_batch;
        if items > limit { Err(StoreError::BatchTooLarge { items, limit }) } else { Ok(()) }
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl TaskStore for MemoryStore {
    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::OrderingKeys]
    }

    fn limits(&self) -> StoreLimits {
        self.0.limits
    }

    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Result<Enqueued, EnqueueError>>, StoreError> {
        self.check_batch(tasks.len())?;
        self.change(|state| tasks.into_iter().map(|task| state.take_in(task, Origin::Outside)).collect())
    }

    async fn enqueue_whole(
        &self,
        tasks: Vec<NewTask>,
        writes: Vec<AppWrite>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        self.check_batch(tasks.len())?;
        if !writes.is_empty() {
            return Err(EnqueueError::CapabilityMissing(Capability::AppWrites));
        }
        self.change(|state| state.take_in_whole(tasks, Origin::Outside))?
    }

    async fn lease(&self, ask: LeaseAsk) -> Result<Vec<LeasedTask>, StoreError> {
        self.change(|state| state.lease(&ask))
    }

    async fn extend(&self, leases: Vec<Lease>, lease_for: Duration) -> Result<Vec<Lease>, StoreError> {
        self.check_batch(leases.len())?;
        self.change(|state| state.extend(leases, lease_for))
    }

    async fn settle(&self, settlements: Arc<Vec<Settlement>>) -> Result<Vec<Settled>, StoreError> {
        self.check_batch(settlements.len())?;
        self.change(|state| settlements.iter().map(|settlement| state.settle(settlement)).collect())
    }

    async fn checkpoint(
        &self,
        lease: Lease,
        checkpoint: Option<Vec<u8>>,
        progress: Option<Progress>,
    ) -> Result<bool, StoreError> {
        let (bytes, limit) = (checkpoint.as_ref().map_or(0, Vec::len), self.0.limits.max_payload_bytes);
        if bytes > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        self.change(|state| {
            let Some(task) = state.leased(lease) else { return false };
            task.checkpoint = checkpoint.or_else(|| task.checkpoint.take());
            task.progress = progress.or_else(|| task.progress.take());
            true
        })
    }

    async fn steer(
        &self,
        commands: Vec<(TaskId, TaskCommand)>,
    ) -> Result<Vec<Result<TaskState, SteerError>>, StoreError> {
        self.check_batch(commands.len())?;
        self.change(|state| commands.into_iter().map(|(id, command)| state.steer(id, command)).collect())
    }

    async fn steer_on(
        &self,
        id: TaskId,
        command: TaskCommand,
        terms: Terms,
    ) -> Result<Result<Steered, SteerError>, StoreError> {
        self.change(|state| state.steer_on(id, command, &terms))
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        self.change(State::sweep)
    }

    fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        let mut wakes = self.0.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(wakes.entry(queue.clone()).or_default())
    }

    fn due_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.0.due)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.look()?.closed = true;
        Ok(())
    }
}

#[async_trait]
impl TaskReader for MemoryStore {
    async fn get(&self, ids: Vec<TaskId>) -> Result<Vec<Option<Task>>, StoreError> {
        self.check_batch(ids.len())?;
        let state = self.look()?;
        Ok(ids.into_iter().map(|id| state.find(id).map(|task| state.shown(task))).collect())
    }

    async fn attempts(&self, id: TaskId) -> Result<Vec<AttemptRecord>, StoreError> {
        Ok(self.look()?.attempts(id))
    }

    async fn list(
        &self,
        filter: TaskFilter,
        after: Option<TaskId>,
        page_size: usize,
    ) -> Result<TaskPage, StoreError> {
        self.check_batch(page_size)?;
        Ok(self.look()?.list(&filter, after, page_size))
    }

    async fn walk(
        &self,
        filter: TaskFilter,
        after: Option<TaskId>,
        up_to: usize,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.check_batch(up_to)?;
        Ok(self.look()?.walk(&filter, after, up_to))
    }

    async fn count(&self, filter: TaskFilter, look_at_most: u64) -> Result<TaskCount, StoreError> {
        Ok(self.look()?.count(&filter, look_at_most))
    }

    async fn queue_stats(&self) -> Result<Vec<QueueStats>, StoreError> {
        Ok(self.look()?.queue_stats())
    }
}

#[async_trait]
impl DeadLetters for MemoryStore {
    async fn dead_groups(&self, filter: TaskFilter, look_at_most: u64) -> Result<DeadGroups, StoreError> {
        Ok(self.look()?.dead_groups(filter, look_at_most))
    }
}

#[async_trait]
impl Operations for MemoryStore {
    async fn start_operation(&self, spec: OperationSpec) -> Result<Operation, StoreError> {
        self.change(|state| state.start_operation(spec))
    }

    async fn operation(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        Ok(self.look()?.operations.get(&id).cloned())
    }

    async fn operations(
        &self,
        before: Option<OperationId>,
        page_size: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        self.check_batch(page_size)?;
        Ok(self.look()?.operations(before, page_size))
    }

    async fn running_operations(&self) -> Result<Vec<Operation>, StoreError> {
        Ok(self.look()?.operations.values().filter(|known| known.is_running()).cloned().collect())
    }

    async fn step_operation(&self, step: OperationStep) -> Result<Stepped, StoreError> {
        self.check_batch(step.tasks.len())?;
        self.change(|state| state.step_operation(step))
    }
}

#[async_trait]
impl EffectLedger for MemoryStore {
    async fn begin_effect(
        &self,
        lease: Lease,
        step: StepName,
        class: EffectClass,
        content: ContentHash,
    ) -> Result<EffectBegun, StoreError> {
        self.change(|state| state.begin_effect(lease, step, class, content))
    }

    async fn record_effect(
        &self,
        lease: Lease,
        step: StepName,
        content: ContentHash,
        result: Vec<u8>,
    ) -> Result<bool, StoreError> {
        self.change(|state| state.record_effect(lease, step, content, result))
    }

    async fn withdraw_effect(&self, lease: Lease, step: StepName) -> Result<bool, StoreError> {
        self.change(|state| state.withdraw_effect(lease, &step))
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn unrelayed(&self, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self.look()?.outbox.iter().take(limit).cloned().collect())
    }

    async fn relayed(&self, position: u64) -> Result<(), StoreError> {
        self.change(|state| state.outbox.retain(|event| event.position > position))
    }
}

#[async_trait]
impl DesiredStates for MemoryStore {
    async fn desired(&self) -> Result<Vec<(NodePath, DesiredState)>, StoreError> {
        Ok(self.look()?.desired.iter().map(|(path, desired)| (path.clone(), *desired)).collect())
    }

    async fn set_desired(&self, paths: Vec<NodePath>, desired: DesiredState) -> Result<(), StoreError> {
        self.change(|state| state.desired.extend(paths.into_iter().map(|path| (path, desired))))
    }

    async fn resized(&self) -> Result<Vec<Resized>, StoreError> {
        Ok(self.look()?.resized.values().cloned().collect())
    }

    async fn set_slots(&self, path: NodePath, slots: Option<NonZeroUsize>) -> Result<(), StoreError> {
        self.change(|state| {
            let since = state.now;
            match slots {
                Some(slots) => drop(state.resized.insert(path.clone(), Resized { path, slots, since })),
                None => drop(state.resized.remove(&path)),
            }
        })
    }
}

#[async_trait]
impl Schedules for MemoryStore {
    async fn schedules(&self) -> Result<Vec<StoredSchedule>, StoreError> {
        Ok(self.look()?.schedules.values().cloned().collect())
    }

    async fn put_schedule(
        &self,
        spec: ScheduleSpec,
        state: ScheduleState,
        expected: Option<Revision>,
    ) -> Result<PutSchedule, StoreError> {
        self.change(|stored| stored.put_schedule(spec, state, expected))
    }

    async fn delete_schedule(&self, name: ScheduleName, expected: Revision) -> Result<bool, StoreError> {
        self.change(|stored| stored.delete_schedule(&name, expected))
    }

    async fn fire(&self, firing: Firing) -> Result<Fired, EnqueueError> {
        self.check_batch(firing.tasks.len())?;
        self.change(|state| state.fire(firing))?
    }
}

#[async_trait]
impl AppRows for MemoryStore {
    async fn migrate_app(
        &self,
        _app: AppName,
        _migrations: &'static [AppMigration],
    ) -> Result<(), StoreError> {
        Err(StoreError::CapabilityMissing(Capability::AppWrites))
    }

    async fn query_app(&self, _sql: &str, _params: Vec<SqlValue>) -> Result<Vec<SqlRow>, StoreError> {
        Err(StoreError::CapabilityMissing(Capability::AppWrites))
    }

    async fn write_app(&self, _write: AppWrite) -> Result<(), EnqueueError> {
        Err(EnqueueError::CapabilityMissing(Capability::AppWrites))
    }
}
