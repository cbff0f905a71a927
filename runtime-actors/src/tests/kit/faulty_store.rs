//! A real store behind switches: each call can be made to fail, or to wait, and is counted.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::access::{Principal, Token, TokenId};
use runtime_core::audit::{AuditOutcome, AuditSubject};
use runtime_core::etag::Terms;
use runtime_core::event::StoredEvent;
use runtime_core::limits::StoreLimits;
use runtime_core::name::{AppName, PrincipalName, QueueName, ScheduleName, Scope, StepName};
use runtime_core::node::{DesiredState, NodePath};
use runtime_core::operation::{Operation, OperationId, OperationSpec};
use runtime_core::outcome::{Settled, Settlement};
use runtime_core::schedule::{ScheduleSpec, ScheduleState};
use runtime_core::store::{
    AppMigration, AppRows, AppWrite, AuditFilter, AuditLog, AuditPage, Begun, Capability, ContentHash,
    DeadGroups, DeadLetters, DesiredStates, EffectBegun, EffectClass, EffectLedger, EnqueueError, Enqueued,
    Fired, Firing, LeaseAsk, OperationStep, Operations, Outbox, OverriddenQueue, PausedScope, Principals,
    PutPrincipal, PutSchedule, PutToken, QueueChange, QueueFlow, QueueLook, QueuePolicy, QueueStats,
    Remembered, Resized, Revision, Schedules, SqlRow, SqlValue, SteerError, Steered, Stepped, Store,
    StoreError, StoredPrincipal, StoredSchedule, Swept, TaskCommand, TaskCount, TaskFilter, TaskPage,
    TaskReader, TaskStore,
};
use runtime_core::task::{AttemptRecord, Lease, LeasedTask, NewTask, Progress, Task, TaskId, TaskState};
use tokio::sync::{Notify, watch};

/// The calls that can be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum StoreCall {
    Lease,
    Extend,
    Settle,
    /// The settlement is written, and its answer is lost.
    SettleAnswer,
    Sweep,
    Steer,
    Close,
    Get,
    Stats,
    Unrelayed,
    Relayed,
    SetDesired,
    SetQueuePolicy,
    Schedules,
    /// Before the decision is written.
    Fire,
    /// The decision is written, and its answer is lost.
    FireAnswer,
    Walk,
    StartOperation,
    RunningOperations,
    /// Before the batch is written.
    StepOperation,
    /// The batch is written, and its answer is lost.
    StepAnswer,
}

/// What a call does before it reaches the store.
#[derive(Debug, Clone)]
pub(crate) enum Gate {
    /// Goes on.
    Open,
    /// Waits until the gate is something else.
    Shut,
    /// Fails.
    Fails(StoreError),
}

/// A store with a gate at each call.
pub(crate) struct FaultyStore {
    inner: Arc<dyn Store>,
    gates: Mutex<HashMap<StoreCall, watch::Sender<Gate>>>,
    calls: Mutex<HashMap<StoreCall, watch::Sender<usize>>>,
    /// Largest number of leases that one ask wanted.
    pub(crate) largest_ask: AtomicUsize,
    /// Largest batch that one call of `extend` carried.
    pub(crate) largest_extend: AtomicUsize,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            gates: Mutex::default(),
            calls: Mutex::default(),
            largest_ask: AtomicUsize::new(0),
            largest_extend: AtomicUsize::new(0),
        })
    }

    /// Sets the gate of a call; whoever waits at it looks again.
    pub(crate) fn set(&self, call: StoreCall, gate: Gate) {
        self.gate(call).send_replace(gate);
    }

    /// Makes a call fail from here on.
    pub(crate) fn fail(&self, call: StoreCall) {
        self.set(call, Gate::Fails(StoreError::Unavailable { detail: "told to fail".into() }));
    }

    /// Calls so far, also those that failed or wait.
    pub(crate) fn count(&self, call: StoreCall) -> usize {
        *self.counter(call).borrow()
    }

    /// Waits until the call was made so often in all.
    pub(crate) async fn called(&self, call: StoreCall, times: usize) {
        let mut counter = self.counter(call).subscribe();
        counter.wait_for(|count| *count >= times).await.expect("the counter outlives its waiters");
    }

    /// The store itself, past the gates.
    pub(crate) fn inner(&self) -> Arc<dyn Store> {
        self.inner.clone()
    }

    fn gate(&self, call: StoreCall) -> watch::Sender<Gate> {
        let mut gates = self.gates.lock().unwrap();
        gates.entry(call).or_insert_with(|| watch::Sender::new(Gate::Open)).clone()
    }

    fn counter(&self, call: StoreCall) -> watch::Sender<usize> {
        let mut calls = self.calls.lock().unwrap();
        calls.entry(call).or_insert_with(|| watch::Sender::new(0)).clone()
    }

    async fn pass(&self, call: StoreCall) -> Result<(), StoreError> {
        self.counter(call).send_modify(|count| *count += 1);
        let mut gate = self.gate(call).subscribe();
        let open = gate.wait_for(|gate| !matches!(gate, Gate::Shut)).await.expect("the gate outlives calls");
        match &*open {
            Gate::Open | Gate::Shut => Ok(()),
            Gate::Fails(error) => Err(error.clone()),
        }
    }
}

#[async_trait]
impl TaskStore for FaultyStore {
    fn capabilities(&self) -> &'static [Capability] {
        self.inner.capabilities()
    }

    fn limits(&self) -> StoreLimits {
        self.inner.limits()
    }

    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Result<Enqueued, EnqueueError>>, StoreError> {
        self.inner.enqueue(tasks).await
    }

    async fn enqueue_whole(
        &self,
        tasks: Vec<NewTask>,
        writes: Vec<AppWrite>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        self.inner.enqueue_whole(tasks, writes).await
    }

    async fn lease(&self, ask: LeaseAsk) -> Result<Vec<LeasedTask>, StoreError> {
        self.largest_ask.fetch_max(ask.up_to, Ordering::Relaxed);
        self.pass(StoreCall::Lease).await?;
        self.inner.lease(ask).await
    }

    async fn extend(&self, leases: Vec<Lease>, lease_for: Duration) -> Result<Vec<Lease>, StoreError> {
        self.largest_extend.fetch_max(leases.len(), Ordering::Relaxed);
        self.pass(StoreCall::Extend).await?;
        self.inner.extend(leases, lease_for).await
    }

    async fn settle(&self, settlements: Arc<Vec<Settlement>>) -> Result<Vec<Settled>, StoreError> {
        self.pass(StoreCall::Settle).await?;
        let settled = self.inner.settle(settlements).await?;
        self.pass(StoreCall::SettleAnswer).await?;
        Ok(settled)
    }

    async fn checkpoint(
        &self,
        lease: Lease,
        checkpoint: Option<Vec<u8>>,
        progress: Option<Progress>,
    ) -> Result<bool, StoreError> {
        self.inner.checkpoint(lease, checkpoint, progress).await
    }

    async fn steer(
        &self,
        commands: Vec<(TaskId, TaskCommand)>,
    ) -> Result<Vec<Result<TaskState, SteerError>>, StoreError> {
        self.pass(StoreCall::Steer).await?;
        self.inner.steer(commands).await
    }

    async fn steer_on(
        &self,
        id: TaskId,
        command: TaskCommand,
        terms: Terms,
    ) -> Result<Result<Steered, SteerError>, StoreError> {
        self.pass(StoreCall::Steer).await?;
        self.inner.steer_on(id, command, terms).await
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        self.pass(StoreCall::Sweep).await?;
        self.inner.sweep().await
    }

    fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        self.inner.wake(queue)
    }

    fn due_changed(&self) -> Arc<Notify> {
        self.inner.due_changed()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.pass(StoreCall::Close).await?;
        self.inner.close().await
    }
}

#[async_trait]
impl TaskReader for FaultyStore {
    async fn get(&self, ids: Vec<TaskId>) -> Result<Vec<Option<Task>>, StoreError> {
        self.pass(StoreCall::Get).await?;
        self.inner.get(ids).await
    }

    async fn attempts(&self, id: TaskId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.inner.attempts(id).await
    }

    async fn list(
        &self,
        filter: TaskFilter,
        after: Option<TaskId>,
        page_size: usize,
    ) -> Result<TaskPage, StoreError> {
        self.inner.list(filter, after, page_size).await
    }

    async fn walk(
        &self,
        filter: TaskFilter,
        after: Option<TaskId>,
        up_to: usize,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.pass(StoreCall::Walk).await?;
        self.inner.walk(filter, after, up_to).await
    }

    async fn count(&self, filter: TaskFilter, look_at_most: u64) -> Result<TaskCount, StoreError> {
        self.inner.count(filter, look_at_most).await
    }

    async fn queue_stats(&self) -> Result<Vec<QueueStats>, StoreError> {
        self.pass(StoreCall::Stats).await?;
        self.inner.queue_stats().await
    }
}

#[async_trait]
impl QueueFlow for FaultyStore {
    async fn set_queue_policy(&self, queue: QueueName, policy: QueuePolicy) -> Result<(), StoreError> {
        self.pass(StoreCall::SetQueuePolicy).await?;
        self.inner.set_queue_policy(queue, policy).await
    }

    async fn override_queue(
        &self,
        queue: QueueName,
        change: QueueChange,
        reason: String,
    ) -> Result<Option<OverriddenQueue>, StoreError> {
        self.inner.override_queue(queue, change, reason).await
    }

    async fn overridden_queues(&self) -> Result<Vec<OverriddenQueue>, StoreError> {
        self.inner.overridden_queues().await
    }

    async fn look_at_queue(&self, queue: QueueName, heads_at_most: usize) -> Result<QueueLook, StoreError> {
        self.inner.look_at_queue(queue, heads_at_most).await
    }

    async fn pause_scope(
        &self,
        queue: QueueName,
        scope: Scope,
        paused: bool,
        reason: String,
    ) -> Result<bool, StoreError> {
        self.inner.pause_scope(queue, scope, paused, reason).await
    }

    async fn pause_delay(&self, queue: QueueName, paused: bool) -> Result<(), StoreError> {
        self.inner.pause_delay(queue, paused).await
    }

    async fn paused_scopes(&self) -> Result<Vec<PausedScope>, StoreError> {
        self.inner.paused_scopes().await
    }
}

#[async_trait]
impl DeadLetters for FaultyStore {
    async fn dead_groups(&self, filter: TaskFilter, look_at_most: u64) -> Result<DeadGroups, StoreError> {
        self.inner.dead_groups(filter, look_at_most).await
    }
}

#[async_trait]
impl Operations for FaultyStore {
    async fn start_operation(&self, spec: OperationSpec) -> Result<Operation, StoreError> {
        self.pass(StoreCall::StartOperation).await?;
        self.inner.start_operation(spec).await
    }

    async fn operation(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        self.inner.operation(id).await
    }

    async fn operations(
        &self,
        before: Option<OperationId>,
        page_size: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        self.inner.operations(before, page_size).await
    }

    async fn running_operations(&self) -> Result<Vec<Operation>, StoreError> {
        self.pass(StoreCall::RunningOperations).await?;
        self.inner.running_operations().await
    }

    async fn step_operation(&self, step: OperationStep) -> Result<Stepped, StoreError> {
        self.pass(StoreCall::StepOperation).await?;
        let stepped = self.inner.step_operation(step).await?;
        self.pass(StoreCall::StepAnswer).await?;
        Ok(stepped)
    }
}

#[async_trait]
impl EffectLedger for FaultyStore {
    async fn begin_effect(
        &self,
        lease: Lease,
        step: StepName,
        class: EffectClass,
        content: ContentHash,
    ) -> Result<EffectBegun, StoreError> {
        self.inner.begin_effect(lease, step, class, content).await
    }

    async fn record_effect(
        &self,
        lease: Lease,
        step: StepName,
        content: ContentHash,
        result: Vec<u8>,
    ) -> Result<bool, StoreError> {
        self.inner.record_effect(lease, step, content, result).await
    }

    async fn withdraw_effect(&self, lease: Lease, step: StepName) -> Result<bool, StoreError> {
        self.inner.withdraw_effect(lease, step).await
    }
}

#[async_trait]
impl Outbox for FaultyStore {
    async fn unrelayed(&self, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.pass(StoreCall::Unrelayed).await?;
        self.inner.unrelayed(limit).await
    }

    async fn relayed(&self, position: u64) -> Result<(), StoreError> {
        self.pass(StoreCall::Relayed).await?;
        self.inner.relayed(position).await
    }
}

#[async_trait]
impl DesiredStates for FaultyStore {
    async fn desired(&self) -> Result<Vec<(NodePath, DesiredState)>, StoreError> {
        self.inner.desired().await
    }

    async fn set_desired(&self, paths: Vec<NodePath>, desired: DesiredState) -> Result<(), StoreError> {
        self.pass(StoreCall::SetDesired).await?;
        self.inner.set_desired(paths, desired).await
    }

    async fn resized(&self) -> Result<Vec<Resized>, StoreError> {
        self.inner.resized().await
    }

    async fn set_slots(&self, path: NodePath, slots: Option<NonZeroUsize>) -> Result<(), StoreError> {
        self.pass(StoreCall::SetDesired).await?;
        self.inner.set_slots(path, slots).await
    }
}

#[async_trait]
impl Schedules for FaultyStore {
    async fn schedules(&self) -> Result<Vec<StoredSchedule>, StoreError> {
        self.pass(StoreCall::Schedules).await?;
        self.inner.schedules().await
    }

    async fn put_schedule(
        &self,
        spec: ScheduleSpec,
        state: ScheduleState,
        expected: Option<Revision>,
    ) -> Result<PutSchedule, StoreError> {
        self.inner.put_schedule(spec, state, expected).await
    }

    async fn delete_schedule(&self, name: ScheduleName, expected: Revision) -> Result<bool, StoreError> {
        self.inner.delete_schedule(name, expected).await
    }

    async fn fire(&self, firing: Firing) -> Result<Fired, EnqueueError> {
        self.pass(StoreCall::Fire).await?;
        let fired = self.inner.fire(firing).await?;
        self.pass(StoreCall::FireAnswer).await?;
        Ok(fired)
    }
}

#[async_trait]
impl Principals for FaultyStore {
    async fn principals(&self) -> Result<Vec<StoredPrincipal>, StoreError> {
        self.inner.principals().await
    }

    async fn put_principal(
        &self,
        principal: Principal,
        expected: Option<Revision>,
    ) -> Result<PutPrincipal, StoreError> {
        self.inner.put_principal(principal, expected).await
    }

    async fn delete_principal(&self, name: PrincipalName, expected: Revision) -> Result<bool, StoreError> {
        self.inner.delete_principal(name, expected).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.inner.tokens().await
    }

    async fn put_token(&self, token: Token) -> Result<PutToken, StoreError> {
        self.inner.put_token(token).await
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<Option<Token>, StoreError> {
        self.inner.revoke_token(id, at).await
    }
}

#[async_trait]
impl AuditLog for FaultyStore {
    async fn begin_mutation(&self, subject: AuditSubject, content: ContentHash) -> Result<Begun, StoreError> {
        self.inner.begin_mutation(subject, content).await
    }

    async fn end_mutation(
        &self,
        position: u64,
        outcome: AuditOutcome,
        remembered: Remembered,
    ) -> Result<(), StoreError> {
        self.inner.end_mutation(position, outcome, remembered).await
    }

    async fn write_denial(&self, subject: AuditSubject, outcome: AuditOutcome) -> Result<u64, StoreError> {
        self.inner.write_denial(subject, outcome).await
    }

    async fn audit_entries(
        &self,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        self.inner.audit_entries(filter, before, limit).await
    }
}

#[async_trait]
impl AppRows for FaultyStore {
    async fn migrate_app(&self, app: AppName, migrations: &'static [AppMigration]) -> Result<(), StoreError> {
        self.inner.migrate_app(app, migrations).await
    }

    async fn query_app(&self, sql: &str, params: Vec<SqlValue>) -> Result<Vec<SqlRow>, StoreError> {
        self.inner.query_app(sql, params).await
    }

    async fn write_app(&self, write: AppWrite) -> Result<(), EnqueueError> {
        self.inner.write_app(write).await
    }
}
