//! The only writer of outcomes.
//!
//! ```text
//! attempt ended ─▶ submit ─▶ batch ─▶ Store::settle ─▶ executor: a slot is free
//!                              ▲            │      └──▶ watchers: the task is finished
//!                              └── again ◀──┘ the store failed: nothing is dropped
//! ```
//!
//! What is submitted stays here until the store has it, also across a restart of the actor that drives this service. It is bounded
//! by the slots: whoever submits holds one until the outcome is settled.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::control::{CommandError, Origin};
use runtime_core::error::{ErrorClass, TaskError};
use runtime_core::etag::Terms;
use runtime_core::journal::{Cause, Entry};
use runtime_core::outcome::{Outcome, Settled, Settlement};
use runtime_core::store::{Steered, StoreError, TaskCommand, TaskReader, TaskStore};
use runtime_core::task::{Lease, TaskId, TaskState};
use tokio::sync::Notify;

use super::telling::{self, Accepted, Asked};
use crate::executor::ExecutorMsg;
use crate::source_pump::PumpMsg;
use crate::table::NodeAddress;

/// Most settlements of one transaction.
const MAX_BATCH: usize = 1_000;

/// The end of an attempt, and who waits to hear that it is settled.
pub(crate) struct Ended {
    pub(crate) settlement: Settlement,
    pub(crate) executor: NodeAddress<ExecutorMsg>,
    /// When the task was due; nothing for one that never began.
    pub(crate) due: Option<Timestamp>,
    /// How long the next attempt waits if the rows that ride along are refused. `None`: this was the last attempt.
    pub(crate) retry_after: Option<Duration>,
    /// Which attempt it was.
    pub(crate) attempt: u32,
}

/// What one flush did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// Outcomes that are on disk.
    pub settled: usize,
    /// Late outcomes of lost leases: refused.
    pub stale: usize,
    /// Outcomes whose own rows failed; they come back as retries.
    pub undone: usize,
    /// Whether facts were written to the outbox.
    pub events: bool,
}

/// Collects ended attempts and settles them in batches.
#[derive(Default)]
pub struct CompletionService {
    ended: Mutex<Vec<Ended>>,
    /// Taken but not yet known to be written.
    in_flight: Mutex<Option<Batch>>,
    /// Held while a batch is written: a writer whose actor was killed may not be quite gone when the next one begins.
    writing: tokio::sync::Mutex<()>,
    arrived: Notify,
    emptied: Notify,
    watchers: Mutex<HashMap<TaskId, NodeAddress<PumpMsg>>>,
}

/// Leases whose slots are free, and whether each went well.
type Freed = Vec<(Lease, bool)>;

#[derive(Clone)]
struct Batch {
    settlements: Arc<Vec<Settlement>>,
    /// For each settlement, what is to be known when it is written.
    waiting: Arc<Vec<Waiting>>,
}

/// The rest of an [`Ended`], beside its settlement.
struct Waiting {
    executor: NodeAddress<ExecutorMsg>,
    due: Option<Timestamp>,
    retry_after: Option<Duration>,
    attempt: u32,
}

/// What one worker hears of a batch, and what is told of its tasks.
struct Report<'a> {
    executor: &'a NodeAddress<ExecutorMsg>,
    freed: Freed,
    entries: Vec<Entry>,
    followed: Accepted,
}

impl CompletionService {
    /// Takes the end of an attempt.
    pub(crate) fn submit(&self, ended: Ended) {
        lock(&self.ended).push(ended);
        self.arrived.notify_one();
    }

    /// Waits until something was submitted.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Waits until nothing waits to be written.
    pub(crate) async fn flushed(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.is_flushed() {
                return;
            }
            emptied.await;
        }
    }

    /// Whether nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        // Never both locks at once: a batch is taken under both, in the other order.
        let none_ended = lock(&self.ended).is_empty();
        none_ended && lock(&self.in_flight).is_none()
    }

    /// Outcomes that wait to be written.
    pub fn waiting(&self) -> usize {
        let ended = lock(&self.ended).len();
        ended + lock(&self.in_flight).as_ref().map_or(0, |batch| batch.settlements.len())
    }

    /// Tells this source when the task is finished.
    pub(crate) fn watch(&self, task: TaskId, pump: NodeAddress<PumpMsg>) {
        lock(&self.watchers).insert(task, pump);
    }

    /// Nobody waits for this task any more.
    pub(crate) fn unwatch(&self, task: TaskId) {
        lock(&self.watchers).remove(&task);
    }

    /// Writes a decision from outside about one task.
    ///
    /// # Errors
    /// No such task; its state does not allow it; what the store said.
    pub(crate) async fn decide(
        &self,
        store: &dyn TaskStore,
        task: TaskId,
        command: TaskCommand,
        terms: Terms,
    ) -> Result<Steered, CommandError> {
        // By name alone: a command may carry a payload.
        let (name, validate_only) = (command.name(), terms.validate_only);
        let steered = store.steer_on(task, command, terms).await??;
        if !validate_only {
            tracing::info!(%task, command = name, state = %steered.state, "task changed from outside");
            self.finished(task, steered.state);
        }
        Ok(steered)
    }

    /// Some of these may have finished in another way: sources that wait for one hear of it. Tasks nobody waits for cost nothing.
    ///
    /// # Errors
    /// What the store said; nobody was told then, and a source finds the task finished when it meets it again.
    pub(crate) async fn finished_elsewhere(
        &self,
        store: &dyn TaskReader,
        mut tasks: Vec<TaskId>,
    ) -> Result<(), StoreError> {
        {
            let watchers = lock(&self.watchers);
            tasks.retain(|task| watchers.contains_key(task));
        }
        if tasks.is_empty() {
            return Ok(());
        }
        let found = store.get(tasks.clone()).await?;
        for (task, found) in tasks.into_iter().zip(found) {
            // What is gone was ended before it was forgotten.
            self.finished(task, found.map_or(TaskState::Cancelled, |found| found.state));
        }
        Ok(())
    }

    /// A task finished in another way than by an attempt of this instance.
    fn finished(&self, task: TaskId, state: TaskState) {
        if state.is_finished()
            && let Some(pump) = lock(&self.watchers).remove(&task)
        {
            // A source that is restarting finds the task finished when it meets it again.
            drop(pump.send(PumpMsg::TaskFinished { task, state, output: None }));
        }
    }

    /// Writes one batch. `None` when nothing waited.
    ///
    /// # Errors
    /// What the store said; the batch is kept and comes first at the next call.
    pub(crate) async fn flush(
        &self,
        store: &dyn TaskStore,
        leases: &crate::platform::LeaseBook,
    ) -> Result<Option<Flushed>, StoreError> {
        let _writing = self.writing.lock().await;
        let Some(batch) = self.next_batch(store.limits().max_batch) else { return Ok(None) };
        let results = store.settle(batch.settlements.clone()).await?;
        runtime_core::failpoint!("settle_committed");
        *lock(&self.in_flight) = None;
        let over = batch.settlements.iter().zip(&results);
        let over = over.filter(|(_, result)| !matches!(result, Settled::Undone { .. }));
        leases.remove(over.map(|(settlement, _)| &settlement.lease));
        let flushed = self.report(&batch, results);
        if self.is_flushed() {
            self.emptied.notify_waiters();
        }
        Ok(Some(flushed))
    }

    fn next_batch(&self, up_to: usize) -> Option<Batch> {
        let up_to = up_to.min(MAX_BATCH);
        let mut in_flight = lock(&self.in_flight);
        if in_flight.is_none() {
            let mut ended = lock(&self.ended);
            let rest = if ended.len() > up_to { ended.split_off(up_to) } else { Vec::new() };
            let taken = mem::replace(&mut *ended, rest);
            if taken.is_empty() {
                return None;
            }
            let (settlements, waiting) = taken
                .into_iter()
                .map(|Ended { settlement, executor, due, retry_after, attempt }| {
                    (settlement, Waiting { executor, due, retry_after, attempt })
                })
                .unzip::<_, _, Vec<_>, Vec<_>>();
            *in_flight = Some(Batch { settlements: Arc::new(settlements), waiting: Arc::new(waiting) });
        }
        in_flight.clone()
    }

    /// Tells everyone what became of a batch: one message an executor, however many outcomes.
    fn report(&self, batch: &Batch, results: Vec<Settled>) -> Flushed {
        let mut flushed = Flushed::default();
        let mut reports: Vec<Report<'_>> = Vec::new();
        for ((settlement, waiting), result) in batch.settlements.iter().zip(batch.waiting.iter()).zip(results)
        {
            let executor = &waiting.executor;
            let meter = executor.entry().meter.get();
            // Also of a stale one: it may be stale because it was written before, and its answer lost.
            flushed.events |= settlement.with.as_ref().is_some_and(|with| !with.events.is_empty());
            let known = reports.iter().position(|report| report.executor.is_same(executor));
            let known = known.unwrap_or_else(|| {
                let followed = Accepted::new(executor.entry().now(), Cause::FollowUp, &Origin::platform());
                reports.push(Report { executor, freed: Vec::new(), entries: Vec::new(), followed });
                reports.len() - 1
            });
            let report = &mut reports[known];
            let now = report.followed.now();
            match result {
                Settled::Applied { state, follow_ups } => {
                    telling::settled(&mut report.entries, now, settlement, waiting.attempt, state);
                    let asked = settlement.with.iter().flat_map(|with| &with.follow_ups).map(Asked::of);
                    asked.zip(follow_ups).for_each(|(asked, id)| report.followed.add(&asked, id));
                    flushed.settled += 1;
                    meter.inspect(|meter| meter.settled(settlement, waiting.due, state));
                    self.tell_watcher(settlement, state);
                }
                Settled::Stale => {
                    flushed.stale += 1;
                    meter.inspect(|meter| meter.stale());
                    tracing::warn!(task = %settlement.lease.task, outcome = settlement.outcome.name(), error_code = "RT0003", "late outcome refused: the lease was lost");
                }
                Settled::Undone { error } => {
                    flushed.undone += 1;
                    self.resubmit(settlement, waiting, error);
                    continue;
                }
            }
            let good = matches!(settlement.outcome, Outcome::Done { .. });
            report.freed.push((settlement.lease, good));
        }
        for Report { executor, freed: leases, entries, followed } in reports {
            executor.entry().note_tasks(entries);
            followed.tell(executor.entry().journal());
            if !leases.is_empty() {
                // An executor that is restarting has forgotten these leases: nothing is lost by not telling it.
                drop(executor.send(ExecutorMsg::OutcomesSettled { leases }));
            }
        }
        flushed
    }

    /// The handler's own rows were refused: its outcome becomes a failed attempt under the same lease.
    fn resubmit(
        &self,
        settlement: &Settlement,
        Waiting { executor, due, retry_after, attempt }: &Waiting,
        error: TaskError,
    ) {
        let outcome = match *retry_after {
            Some(after) if error.code.class() == ErrorClass::Retryable => {
                Outcome::Retry { after: error.retry_after.map_or(after, |asked| asked.max(after)), error }
            }
            _ => Outcome::Reject { error },
        };
        let settlement = Settlement {
            lease: settlement.lease,
            outcome,
            with: None,
            node: settlement.node.clone(),
            started_at: settlement.started_at,
            took: settlement.took,
            trace: settlement.trace.clone(),
        };
        let (executor, due, attempt) = (executor.clone(), *due, *attempt);
        self.submit(Ended { settlement, executor, due, retry_after: None, attempt });
    }

    fn tell_watcher(&self, settlement: &Settlement, state: TaskState) {
        if !state.is_finished() {
            return;
        }
        let task = settlement.lease.task;
        let Some(pump) = lock(&self.watchers).remove(&task) else { return };
        let output = match &settlement.outcome {
            Outcome::Done { output } => Some(output.clone()),
            _ => None,
        };
        drop(pump.send(PumpMsg::TaskFinished { task, state, output }));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
