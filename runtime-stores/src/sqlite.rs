//! The embedded store: one file, one owner, one writer that commits in groups.
//!
//! ```text
//! callers ─▶ group ─▶ writer ─▶ file          callers ─▶ readers ─▶ file
//!            (one thread, one transaction        (a few connections,
//!             for all that wait)                  blocking threads)
//! ```

mod app;
mod audit;
mod batches;
mod books;
mod budget;
mod columns;
mod conditions;
mod effects;
mod enqueue;
mod expression;
mod fault;
mod group;
mod keys;
mod lanes;
mod lease;
mod line;
mod names;
mod open;
mod operations;
mod options;
mod owner;
mod policy;
mod principals;
mod reader;
mod room;
mod schedules;
mod schema;
mod settle;
mod shed;
mod standalone;
mod statements;
mod steer;
mod sweep;
mod ways;
mod writer;

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::etag::Terms;
use runtime_core::limits::StoreLimits;
use runtime_core::name::QueueName;
use runtime_core::outcome::{Settled, Settlement};
use runtime_core::store::{
    AppWrite, Capability, DeadGroups, DeadLetters, EnqueueError, Enqueued, LeaseAsk, QueueStats, SteerError,
    Steered, StoreError, Swept, TaskCommand, TaskCount, TaskFilter, TaskPage, TaskReader, TaskStore,
};
use runtime_core::task::{AttemptRecord, Lease, LeasedTask, NewTask, Progress, Task, TaskId, TaskState};
use tokio::sync::{Notify, oneshot};

pub use options::{SqliteOptions, Synchronous};
pub use standalone::SqliteReader;

use fault::Fault;
use group::{Answer, Ask, Callers, ToWriter};
use reader::Readers;
use writer::{Shared, Writer};

/// The embedded store. Cheap to clone: all clones are the same store.
///
/// Dropping the last clone waits for what is under way and gives up ownership; [`TaskStore::close`] does so in order.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    to_writer: Option<Callers>,
    thread: Option<JoinHandle<()>>,
    /// For what may take long.
    readers: Readers,
    /// For looks that have an end.
    lookers: Readers,
    shared: Arc<Shared>,
    limits: StoreLimits,
}

impl SqliteStore {
    /// Opens the store, makes the file when there is none, and releases the leases that its last owner held.
    ///
    /// Blocks until the file is checked: at most a fraction of a second, longer only where a schema has to change.
    ///
    /// # Errors
    /// [`StoreError::Owned`] when another process owns it, [`StoreError::TooNew`] and [`StoreError::Corrupt`] when the file cannot be
    /// used (it is left as it was), [`StoreError::ReadOnly`] and [`StoreError::Full`] when it cannot be written.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let (to_writer, inbox) = group::way();
        let (ready, opened) = std::sync::mpsc::channel();
        let (path, limits) = (options.path.clone(), options.limits);
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("store-writer".into())
                .spawn(move || open::run(&options, &shared, inbox, ready))
                .map_err(|error| StoreError::Unavailable { detail: error.to_string() })?
        };
        match opened.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                return Err(StoreError::Unavailable {
                    detail: "the writer broke while it opened the file".into(),
                });
            }
        }
        let readers = Readers::open(path.clone(), Arc::clone(&shared))?;
        let lookers = Readers::open(path, Arc::clone(&shared))?;
        Ok(Self(Arc::new(Inner {
            to_writer: Some(to_writer),
            thread: Some(thread),
            readers,
            lookers,
            shared,
            limits,
        })))
    }

    /// Has the writer work on a question; the answer comes after the commit, and the commit is on disk.
    async fn write<Q, A>(
        &self,
        question: Q,
        run: fn(&mut Writer<'_>, &Q) -> Result<A, Fault>,
    ) -> Result<A, StoreError>
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let (ask, answer) = Ask::new(question, true, run);
        self.writer()?.call(ToWriter::Member(ask)).await?;
        answered(answer).await
    }

    /// As [`SqliteStore::write`], for an operator: it waits for nothing but what is being written.
    async fn command<Q, A>(
        &self,
        question: Q,
        run: fn(&mut Writer<'_>, &Q) -> Result<A, Fault>,
    ) -> Result<A, StoreError>
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let (ask, answer) = Ask::new(question, true, run);
        self.writer()?.command(ask).await?;
        answered(answer).await
    }

    /// As [`SqliteStore::write`], for what may go with the power, because whom it concerns goes with it.
    async fn grant<Q, A>(
        &self,
        question: Q,
        run: fn(&mut Writer<'_>, &Q) -> Result<A, Fault>,
    ) -> Result<A, StoreError>
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let (ask, answer) = Ask::new(question, false, run);
        self.writer()?.call(ToWriter::Member(ask)).await?;
        answered(answer).await
    }

    fn writer(&self) -> Result<&Callers, StoreError> {
        self.0.to_writer.as_ref().ok_or(StoreError::Closed)
    }

    async fn look_for_room(&self) -> Result<(), StoreError> {
        let (reply, found) = oneshot::channel();
        self.writer()?.call(ToWriter::LookForRoom(reply)).await?;
        found.await.map_err(|_| StoreError::Closed)?
    }

    /// Figures of these queues as of the last commit, without what has to be looked up.
    fn counted(&self, asked: impl Fn(&QueueName) -> bool) -> Vec<QueueStats> {
        let counts = self.0.shared.counts.read().unwrap_or_else(PoisonError::into_inner);
        let shed = self.0.shared.shed.read().unwrap_or_else(PoisonError::into_inner);
        let limited = self.0.shared.limited.read().unwrap_or_else(PoisonError::into_inner);
        let counted = counts.iter().filter(|(queue, _)| asked(queue)).map(|(queue, counts)| QueueStats {
            queue: queue.clone(),
            counts: *counts,
            oldest_ready: None,
            capacity: self.0.limits.queue_capacity,
            shed: shed.get(queue).copied().unwrap_or_default(),
            limited_until: limited.get(queue).copied(),
        });
        counted.collect()
    }

    fn check_batch(&self, items: usize) -> Result<(), StoreError> {
        let limit = self.0.limits.max_batch;
        if items > limit { Err(StoreError::BatchTooLarge { items, limit }) } else { Ok(()) }
    }
}

async fn answered<Q, A>(answer: Answer<Q, A>) -> Result<A, StoreError> {
    match answer.await {
        Ok((answer, _question)) => answer,
        Err(_) => Err(StoreError::Closed),
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.to_writer = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer had broken");
        }
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl TaskStore for SqliteStore {
    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::Durable, Capability::AppWrites, Capability::OrderingKeys]
    }

    fn limits(&self) -> StoreLimits {
        self.0.limits
    }

    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Result<Enqueued, EnqueueError>>, StoreError> {
        self.check_batch(tasks.len())?;
        self.write(tasks, |writer, asked| writer.enqueue(asked)).await
    }

    async fn enqueue_whole(
        &self,
        tasks: Vec<NewTask>,
        writes: Vec<AppWrite>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        self.check_batch(tasks.len())?;
        self.write((tasks, writes), |writer, asked| writer.enqueue_whole(asked)).await?
    }

    async fn lease(&self, ask: LeaseAsk) -> Result<Vec<LeasedTask>, StoreError> {
        self.grant(ask, |writer, asked| writer.lease(asked)).await
    }

    async fn extend(&self, leases: Vec<Lease>, lease_for: Duration) -> Result<Vec<Lease>, StoreError> {
        self.check_batch(leases.len())?;
        self.grant((leases, lease_for), |writer, asked| writer.extend(asked)).await
    }

    async fn settle(&self, settlements: Arc<Vec<Settlement>>) -> Result<Vec<Settled>, StoreError> {
        self.check_batch(settlements.len())?;
        self.write(settlements, |writer, asked| writer.settle(asked)).await
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
        self.write((lease, checkpoint, progress), |writer, asked| writer.checkpoint(asked)).await
    }

    async fn steer(
        &self,
        commands: Vec<(TaskId, TaskCommand)>,
    ) -> Result<Vec<Result<TaskState, SteerError>>, StoreError> {
        self.check_batch(commands.len())?;
        self.write(commands, |writer, asked| writer.steer(asked)).await
    }

    async fn steer_on(
        &self,
        id: TaskId,
        command: TaskCommand,
        terms: Terms,
    ) -> Result<Result<Steered, SteerError>, StoreError> {
        self.command((id, command, terms), |writer, (id, command, terms)| {
            writer.steer_on(*id, command, terms)
        })
        .await
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        loop {
            let step = self.write((), |writer, ()| writer.sweep()).await?;
            swept.promoted += step.swept.promoted;
            swept.expired_leases += step.swept.expired_leases;
            swept.past_deadline += step.swept.past_deadline;
            swept.forgotten += step.swept.forgotten;
            swept.next_due = step.swept.next_due;
            if !step.more {
                break;
            }
        }
        // After the chores: what they forget makes room.
        if self.0.shared.is_full() {
            self.look_for_room().await?;
        }
        Ok(swept)
    }

    fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        self.0.shared.wake(queue)
    }

    fn due_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.0.shared.due)
    }

    async fn close(&self) -> Result<(), StoreError> {
        let (done, closed) = oneshot::channel();
        let to_writer = self.writer()?;
        // Readers first: with their snapshots gone the log can be folded in.
        tokio::join!(self.0.readers.close(), self.0.lookers.close());
        to_writer.call(ToWriter::Close(done)).await?;
        closed.await.map_err(|_| StoreError::Closed)
    }
}

#[async_trait]
impl TaskReader for SqliteStore {
    async fn get(&self, ids: Vec<TaskId>) -> Result<Vec<Option<Task>>, StoreError> {
        self.check_batch(ids.len())?;
        self.0.lookers.read(move |reader, look| reader.get(look, &ids)).await
    }

    async fn attempts(&self, id: TaskId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.0.lookers.read(move |reader, look| reader.attempts(look, id)).await
    }

    async fn list(
        &self,
        filter: TaskFilter,
        after: Option<TaskId>,
        page_size: usize,
    ) -> Result<TaskPage, StoreError> {
        self.check_batch(page_size)?;
        self.0.lookers.read(move |reader, look| reader.list(look, &filter, after, page_size)).await
    }

    async fn walk(
        &self,
        filter: TaskFilter,
        after: Option<TaskId>,
        up_to: usize,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.check_batch(up_to)?;
        self.0.readers.read(move |reader, look| reader.walk(look, &filter, after, up_to)).await
    }

    async fn count(&self, filter: TaskFilter, look_at_most: u64) -> Result<TaskCount, StoreError> {
        let to_the_end = look_at_most == u64::MAX;
        let readers = if to_the_end { &self.0.readers } else { &self.0.lookers };
        readers.read(move |reader, look| reader.count(look, &filter, look_at_most)).await
    }

    async fn queue_stats(&self) -> Result<Vec<QueueStats>, StoreError> {
        let known = self.counted(|_| true);
        self.0.lookers.read(move |reader, look| reader.queue_stats(look, known)).await
    }
}

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn dead_groups(&self, filter: TaskFilter, look_at_most: u64) -> Result<DeadGroups, StoreError> {
        let to_the_end = look_at_most == u64::MAX;
        let readers = if to_the_end { &self.0.readers } else { &self.0.lookers };
        readers.read(move |reader, look| reader.dead_groups(look, filter, look_at_most)).await
    }
}
