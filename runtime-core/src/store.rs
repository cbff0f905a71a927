//! The store ports: what every back end promises.
//!
//! Small object-safe traits, batch-first. What a call guarantees is said on the call; the conformance suite in
//! `runtime-stores` holds every back end to it. [`Store`] is all of them together, chosen once as `Arc<dyn Store>`.
//!
//! Promises common to every write:
//! - acknowledged means durable, where the back end has [`Capability::Durable`]; only the grant or extension of a lease may go with the
//!   power, because whoever holds it goes as well;
//! - a write by a [`Lease`] that is no longer the task's live lease changes nothing and says so;
//! - a whole-call error ([`StoreError`]) means that nothing of the call was written, and the same call may be made again.

mod audit;
mod dead;
mod error;
mod expression;
mod filter;
mod operations;
mod principals;
mod queue_flow;
mod queue_override;
mod schedules;
mod task_test;
mod transaction;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use audit::{AuditFilter, AuditLog, AuditPage, AuditTest, Begun, REQUEST_ID_FOR, Remembered};
pub use dead::{DeadGroup, DeadGroups, DeadLetters};
pub use error::{EnqueueError, SteerError, StoreError};
pub use expression::{Expr, TextTest, TimeTest};
pub use filter::{QueueStats, ShedView, StateCounts, TaskCount, TaskFilter, TaskPage};
pub use operations::{KEPT_OPERATIONS, OperationStep, Operations, Stepped};
pub use principals::{Principals, PutPrincipal, PutToken, StoredPrincipal};
pub use queue_flow::{LaneBy, OrderingHead, OrderingHeads, PausedScope, QueueFlow, QueueLook, QueuePolicy};
pub use queue_override::{Change, Limit, LimitOverride, OverriddenQueue, QueueChange, QueueOverride};
pub use schedules::{Fired, Firing, PutSchedule, Revision, Schedules, StoredSchedule};
pub use task_test::{Known, TaskTest};
pub use transaction::{AppMigration, AppWrite, SqlRow, SqlValue, StoreTx};

use crate::etag::{Etag, Terms};
use crate::event::StoredEvent;
use crate::limits::StoreLimits;
use crate::name::{AppName, InstanceName, QueueName, StepName};
use crate::node::{DesiredState, NodePath};
use crate::outcome::{Settled, Settlement};
use crate::task::{AttemptRecord, Lease, LeasedTask, NewTask, Progress, Task, TaskId, TaskState};

/// What a back end can do beyond the common promises. Asking for a missing one fails at start-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// What was acknowledged survives a crash of process and machine.
    Durable,
    /// The app's own rows can join enqueue and settle.
    AppWrites,
    /// Ordering keys are kept.
    OrderingKeys,
    /// Several instances may share the store.
    ManyInstances,
}

/// The answer to one enqueued task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// A new task was made.
    Accepted {
        /// Its id.
        id: TaskId,
    },
    /// The idempotency key stands for this task, which stays as it is.
    Duplicate {
        /// Its id.
        id: TaskId,
        /// Where it stands.
        state: TaskState,
    },
    /// The idempotency key stands for this task, which waited and took what the new one says: [`crate::task::OnConflict::Replace`].
    Replaced {
        /// Its id.
        id: TaskId,
    },
    /// As replaced, and put off: [`crate::task::OnConflict::Debounce`].
    Debounced {
        /// Its id.
        id: TaskId,
        /// When it is due now.
        run_at: Timestamp,
    },
}

impl Enqueued {
    /// The task, new or known.
    pub fn id(&self) -> TaskId {
        match self {
            Self::Accepted { id }
            | Self::Duplicate { id, .. }
            | Self::Replaced { id }
            | Self::Debounced { id, .. } => *id,
        }
    }
}

/// A wish for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseAsk {
    /// From this queue.
    pub queue: QueueName,
    /// Who will hold them.
    pub instance: InstanceName,
    /// At most so many.
    pub up_to: usize,
    /// How long each is valid unless extended.
    pub lease_for: Duration,
    /// Only this task, when given.
    pub task: Option<TaskId>,
}

/// What an operator's command made of a task, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steered {
    /// Where the task stands.
    pub state: TaskState,
    /// What it is then; of a task that is forgotten, or that would be changed, what it was.
    pub etag: Etag,
}

/// What one sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Scheduled tasks that became ready.
    pub promoted: usize,
    /// Leases that had run out; their tasks are ready again, or dead as poison.
    pub expired_leases: usize,
    /// Tasks whose deadline had passed.
    pub past_deadline: usize,
    /// Finished tasks that history no longer keeps.
    pub forgotten: usize,
    /// When the next scheduled task is due, or a rate lets the next one start.
    pub next_due: Option<Timestamp>,
}

/// What an operator can do to one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskCommand {
    /// Run a dead, cancelled or waiting task (again, now).
    Retry,
    /// A parked task may go on. For an unknown effect: it happened.
    Approve,
    /// A parked task may not go on. For an unknown effect: it did not happen, run it again.
    Reject,
    /// The task shall not run.
    Cancel,
    /// Run a dead or cancelled task again, under its id and with all its attempts. Made twice it makes one run: the second finds it no
    /// longer dead and is refused.
    Replay {
        /// When; now when absent or past.
        at: Option<Timestamp>,
        /// Another input in place of its own. The task is marked as edited and begins anew, without its checkpoint; effects that it had
        /// are not undone, so a step that now asks for something else meets [`crate::error::ErrorCode::EffectConflict`].
        payload: Option<Vec<u8>>,
    },
    /// A dead task shall not be replayed: it is cancelled.
    Discard {
        /// Why. It becomes part of the task's error.
        reason: String,
    },
    /// Give a task that waits for its time, or is ready, another one.
    Reschedule {
        /// When; now when past.
        at: Timestamp,
    },
    /// Forget a task that is not under way, as if retention were over: its idempotency key stays known as long as after that. One that
    /// waits is cancelled first.
    Delete {
        /// Why. It goes into the log: of the task nothing is kept.
        reason: String,
    },
}

impl TaskCommand {
    /// The name used in logs: without what the command carries.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Cancel => "cancel",
            Self::Replay { .. } => "replay",
            Self::Discard { .. } => "discard",
            Self::Reschedule { .. } => "reschedule",
            Self::Delete { .. } => "delete",
        }
    }
}

/// The write path of tasks.
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// What this back end can do.
    fn capabilities(&self) -> &'static [Capability];

    /// What this back end accepts.
    fn limits(&self) -> StoreLimits;

    /// Makes tasks. Each item is atomic on its own; the answers come in the order asked. A task whose idempotency key stands for another
    /// one does what its [`crate::task::Unique`] says, and the answer says which it was.
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Result<Enqueued, EnqueueError>>, StoreError>;

    /// Makes tasks and runs the app's own writes in the same transaction: all or nothing. The writes also run when every
    /// task is a duplicate, so they must be idempotent.
    async fn enqueue_whole(
        &self,
        tasks: Vec<NewTask>,
        writes: Vec<AppWrite>,
    ) -> Result<Vec<Enqueued>, EnqueueError>;

    /// Grants leases on ready tasks that nothing holds ([`QueueFlow`]): in the order of their [`crate::flow::rank`], so a better priority is
    /// a head start over what was due before; equal ones go in the order they were made. A queue whose policy has lanes shares the
    /// leases among them. Granting raises the epoch. A suspect of [`crate::lifecycle::CRASHES_BEFORE_ALONE`] deaths is granted only alone: not while this instance holds any other lease, and
    /// nothing else while it is held.
    async fn lease(&self, ask: LeaseAsk) -> Result<Vec<LeasedTask>, StoreError>;

    /// Extends leases from now. Returns those that are lost.
    async fn extend(&self, leases: Vec<Lease>, lease_for: Duration) -> Result<Vec<Lease>, StoreError>;

    /// Writes outcomes: state, history, follow-up tasks, events and app writes of one member in one transaction, all or
    /// nothing for each member. The settlements stay with the caller, who can call again after an error.
    async fn settle(&self, settlements: Arc<Vec<Settlement>>) -> Result<Vec<Settled>, StoreError>;

    /// Stores where a long handler will go on, and how far it is. `false` when the lease is lost.
    async fn checkpoint(
        &self,
        lease: Lease,
        checkpoint: Option<Vec<u8>>,
        progress: Option<Progress>,
    ) -> Result<bool, StoreError>;

    /// Applies operators' commands, each atomic on its own.
    async fn steer(
        &self,
        commands: Vec<(TaskId, TaskCommand)>,
    ) -> Result<Vec<Result<TaskState, SteerError>>, StoreError>;

    /// Applies an operator's command to one task on terms: whether the task is as it was read is decided in the transaction that moves it.
    /// With `validate_only` nothing is written.
    async fn steer_on(
        &self,
        id: TaskId,
        command: TaskCommand,
        terms: Terms,
    ) -> Result<Result<Steered, SteerError>, StoreError>;

    /// Makes due tasks ready, releases expired leases, ends tasks past their deadline, trims history.
    ///
    /// Once any write was refused with [`StoreError::Full`] this fails with it too, its chores done, until there is room again: so whoever
    /// sweeps knows how the store is, also while nobody else writes.
    async fn sweep(&self) -> Result<Swept, StoreError>;

    /// Notified when a task of this queue may have become ready. One waiter a queue.
    fn wake(&self, queue: &QueueName) -> Arc<Notify>;

    /// Notified when a sweep is worth while: the next due time may have come nearer, or the store has just become full.
    fn due_changed(&self) -> Arc<Notify>;

    /// Writes what is pending and gives up ownership. Later calls fail with [`StoreError::Closed`].
    async fn close(&self) -> Result<(), StoreError>;
}

/// Looks at tasks, live and finished. Never blocks the write path.
#[async_trait]
pub trait TaskReader: Send + Sync {
    /// Tasks by id, in the order asked.
    async fn get(&self, ids: Vec<TaskId>) -> Result<Vec<Option<Task>>, StoreError>;

    /// Attempts that history keeps of a task, oldest first.
    async fn attempts(&self, id: TaskId) -> Result<Vec<AttemptRecord>, StoreError>;

    /// Tasks that fit the filter, newest first. `after` is the `next` of the page before. A back end looks at a bounded number of tasks for one
    /// page: where few fit among many, the page holds fewer than asked, even none, and has a `next` all the same.
    async fn list(
        &self,
        filter: TaskFilter,
        after: Option<TaskId>,
        page_size: usize,
    ) -> Result<TaskPage, StoreError>;

    /// Ids of tasks that fit the filter, oldest first: those made after `after`, at most `up_to`.
    async fn walk(
        &self,
        filter: TaskFilter,
        after: Option<TaskId>,
        up_to: usize,
    ) -> Result<Vec<TaskId>, StoreError>;

    /// How many tasks fit the filter, by state. Looks at `look_at_most` live ones and as many finished ones before it stops, and says so; what
    /// is known without a look, such as how many stand in a state of a queue, is exact however many they are.
    async fn count(&self, filter: TaskFilter, look_at_most: u64) -> Result<TaskCount, StoreError>;

    /// Depth by state and age of every queue that ever held a task. Cheap at any depth.
    async fn queue_stats(&self) -> Result<Vec<QueueStats>, StoreError>;
}

/// Class of an effect that leaves the store's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// Commits with the settlement: exactly once.
    Transactional,
    /// The peer enforces our key: effectively once.
    Keyed,
    /// The peer knows no key: intent, call, result. A crash between parks the task.
    Unkeyed,
}

impl EffectClass {
    /// The name used in logs, the API and documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Keyed => "keyed",
            Self::Unkeyed => "unkeyed",
        }
    }
}

impl std::fmt::Display for EffectClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Hash of what a step was asked to do, so that the same key with other content is noticed.
pub type ContentHash = [u8; 32];

/// What the ledger knows of a step before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectBegun {
    /// It may run. For an unkeyed effect the intent is now durable.
    Fresh,
    /// It ran: this is its result.
    Known {
        /// A JSON document.
        result: Vec<u8>,
    },
    /// An unkeyed effect began before and has no result.
    Unknown,
    /// The step is known with other content.
    Conflict,
    /// The lease is lost.
    Stale,
}

/// The ledger of effects, keyed by task id and step name, never by attempt.
#[async_trait]
pub trait EffectLedger: Send + Sync {
    /// Looks a step up before it runs, and notes the intent of an unkeyed one.
    async fn begin_effect(
        &self,
        lease: Lease,
        step: StepName,
        class: EffectClass,
        content: ContentHash,
    ) -> Result<EffectBegun, StoreError>;

    /// Stores a step's result. `false` when the lease is lost.
    async fn record_effect(
        &self,
        lease: Lease,
        step: StepName,
        content: ContentHash,
        result: Vec<u8>,
    ) -> Result<bool, StoreError>;

    /// Takes back the intent of an unkeyed step that certainly did not happen. `false` when the lease is lost.
    async fn withdraw_effect(&self, lease: Lease, step: StepName) -> Result<bool, StoreError>;
}

/// Facts that settlements wrote, in commit order.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Facts not yet relayed, oldest first.
    async fn unrelayed(&self, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// Everything up to and including this position was relayed.
    async fn relayed(&self, position: u64) -> Result<(), StoreError>;
}

/// What operators want of nodes; survives a restart.
#[async_trait]
pub trait DesiredStates: Send + Sync {
    /// All that were ever set and not cleared.
    async fn desired(&self) -> Result<Vec<(NodePath, DesiredState)>, StoreError>;

    /// Sets that of these, all or nothing.
    async fn set_desired(&self, paths: Vec<NodePath>, desired: DesiredState) -> Result<(), StoreError>;

    /// Workers whose number of slots operators chose, by path.
    async fn resized(&self) -> Result<Vec<Resized>, StoreError>;

    /// Chooses one's number of slots; `None` takes that back.
    async fn set_slots(&self, path: NodePath, slots: Option<NonZeroUsize>) -> Result<(), StoreError>;
}

/// A worker's number of slots as operators want it, in place of the configured one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// Its node.
    pub path: NodePath,
    /// The slots.
    pub slots: NonZeroUsize,
    /// When that was said.
    pub since: Timestamp,
}

/// The app's own tables in the same database. Needs [`Capability::AppWrites`].
#[async_trait]
pub trait AppRows: Send + Sync {
    /// Brings the app's tables to the newest of `migrations` (version 1 is the first), all or nothing. Refuses a newer schema.
    async fn migrate_app(&self, app: AppName, migrations: &'static [AppMigration]) -> Result<(), StoreError>;

    /// Reads the app's tables.
    async fn query_app(&self, sql: &str, params: Vec<SqlValue>) -> Result<Vec<SqlRow>, StoreError>;

    /// Writes the app's tables outside of any task, in a transaction of its own.
    async fn write_app(&self, write: AppWrite) -> Result<(), EnqueueError>;
}

/// All ports of a back end.
pub trait Store:
    TaskStore
    + TaskReader
    + QueueFlow
    + DeadLetters
    + Operations
    + EffectLedger
    + Outbox
    + DesiredStates
    + Schedules
    + Principals
    + AuditLog
    + AppRows
{
}

impl<
    T: TaskStore
        + TaskReader
        + QueueFlow
        + DeadLetters
        + Operations
        + EffectLedger
        + Outbox
        + DesiredStates
        + Schedules
        + Principals
        + AuditLog
        + AppRows,
> Store for T
{
}
