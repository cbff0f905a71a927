//! What every node of one tree may use. Built once, before the tree; it outlives every incarnation, so that a restarted node
//! finds what the one before it had.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use runtime_core::clock::Clock;
use runtime_core::control::{CommandError, Origin};
use runtime_core::error::ErrorCode;
use runtime_core::etag::Terms;
use runtime_core::name::InstanceName;
use runtime_core::node::{NodeKind, NodePath};
use runtime_core::store::{SteerError, Steered, Store, TaskCommand};
use runtime_core::task::{Lease, TaskId, TaskState};
use runtime_core::trace::TraceBridge;

use crate::executor::ExecutorMsg;
use crate::journal::SharedJournal;
use crate::metrics::Instruments;
use crate::services::completion::CompletionService;
use crate::services::drain::DrainService;
use crate::services::intake::Intake;
use crate::services::telling;
use crate::services::templates::TemplateCache;
use crate::services::wishes::Wishes;
use crate::table::{NodeAddress, NodeTable};
use crate::work_pool::WorkPool;

/// Times of the platform, with the blueprint's values as defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease is valid.
    pub lease: Duration,
    /// How often leases are extended.
    pub extend_every: Duration,
    /// How often the store is swept when nothing else asks for it.
    pub sweep_every: Duration,
    /// How long running attempts may take to end when a worker stops.
    pub grace: Duration,
    /// How long after its timeout an attempt that has not ended counts as stuck.
    pub stuck_after: Duration,
    /// How long tasks may wait with nothing settled until the pipeline counts as dead.
    pub progress_within: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            extend_every: Duration::from_secs(10),
            sweep_every: Duration::from_secs(5),
            grace: Duration::from_secs(30),
            stuck_after: Duration::from_secs(2),
            progress_within: Duration::from_mins(1),
        }
    }
}

/// Shared by all nodes.
pub struct Platform {
    /// The back end.
    pub store: Arc<dyn Store>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// This process.
    pub instance: InstanceName,
    /// Times.
    pub timing: Timing,
    /// Joins spans to stored contexts.
    pub traces: Arc<dyn TraceBridge>,
    /// Where handlers run.
    pub pool: Arc<WorkPool>,
    /// Every node.
    pub table: Arc<NodeTable>,
    /// What happens in the tree.
    pub journal: Arc<SharedJournal>,
    /// Settles outcomes.
    pub completion: Arc<CompletionService>,
    /// Serves worker descriptors.
    pub templates: Arc<TemplateCache>,
    /// Makes tasks of documents.
    pub intake: Arc<Intake>,
    /// Leases that this instance holds.
    pub leases: LeaseBook,
    /// What is measured as it happens, when somebody wants to know.
    pub(crate) instruments: Option<Arc<Instruments>>,
    /// Set when the process stops: what is closed now is not opened again.
    pub stopping: AtomicBool,
    /// How long running attempts may take to end when the process stops, where somebody wanted less than the usual time.
    pub(crate) stop_grace: OnceLock<Duration>,
    /// That the instance takes no new work.
    pub(crate) drain: DrainService,
    /// What operators want of nodes and queues.
    pub(crate) wishes: Wishes,
}

impl Platform {
    /// Writes a decision from outside about one task. A leased task cannot be cancelled in the store; when this instance holds it, its
    /// attempt is asked to end, is cut off when it has not after the grace, and settles as cancelled, unless it is done by then.
    ///
    /// # Errors
    /// No such task; its state does not allow it; what the store said.
    pub(crate) async fn decide(
        &self,
        task: TaskId,
        command: TaskCommand,
        terms: Terms,
        origin: &Origin,
    ) -> Result<Steered, CommandError> {
        let (cancels, name) = (command == TaskCommand::Cancel, command.name());
        let before = self.store.get(vec![task]).await?.pop().flatten().filter(|_| !terms.validate_only);
        let answer = self.completion.decide(&*self.store, task, command, terms.clone()).await;
        match answer {
            Err(refused) if cancels && refused.code == ErrorCode::FailedPrecondition => {
                let held = self.store.get(vec![task]).await?.pop().flatten();
                let held = held.filter(|task| task.state == TaskState::Leased && self.leases.holds(task.id));
                let etag = held.ok_or(refused)?.etag();
                if !terms.fit(&etag) {
                    return Err(SteerError::Changed(task).into());
                }
                if !terms.validate_only {
                    self.ask_to_end(task);
                }
                Ok(Steered { state: TaskState::Leased, etag })
            }
            Ok(steered) => {
                if let Some(before) = before {
                    telling::changed(&self.journal, self.clock.now(), &before, steered.state, name, origin);
                }
                Ok(steered)
            }
            refused => refused,
        }
    }

    /// Asks the attempt of a task to end as cancelled, if this instance has one.
    pub(crate) fn ask_to_end(&self, task: TaskId) {
        if !self.leases.holds(task) {
            return;
        }
        for entry in self.table.under(&NodePath::root()) {
            if entry.kind() == NodeKind::Executor {
                drop(NodeAddress::of(entry).send(ExecutorMsg::CancelTask { task }));
            }
        }
        tracing::info!(%task, "a running task is asked to end");
    }

    /// How long running attempts may take to end when a worker stops.
    pub(crate) fn grace(&self) -> Duration {
        self.stop_grace.get().copied().unwrap_or(self.timing.grace)
    }

    /// Whether the process stops.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// Every lease of this instance, so that one statement can extend them all.
#[derive(Debug, Default)]
pub struct LeaseBook {
    held: Mutex<HashMap<TaskId, Lease>>,
    /// Asks for leases that the store has not answered.
    asks: AtomicUsize,
}

/// An ask for leases under way, until what was granted is noted.
pub(crate) struct LeaseAsking<'a>(&'a LeaseBook);

impl Drop for LeaseAsking<'_> {
    fn drop(&mut self) {
        self.0.asks.fetch_sub(1, Ordering::AcqRel);
    }
}

impl LeaseBook {
    /// Notes granted leases.
    pub(crate) fn add(&self, leases: impl IntoIterator<Item = Lease>) {
        self.held().extend(leases.into_iter().map(|lease| (lease.task, lease)));
    }

    /// Strikes leases out that are settled or lost. A later lease of the same task stays.
    pub(crate) fn remove<'a>(&self, leases: impl IntoIterator<Item = &'a Lease>) {
        let mut held = self.held();
        for lease in leases {
            if held.get(&lease.task).is_some_and(|present| present.epoch == lease.epoch) {
                held.remove(&lease.task);
            }
        }
    }

    /// Whether this instance holds the task's lease.
    pub(crate) fn holds(&self, task: TaskId) -> bool {
        self.held().contains_key(&task)
    }

    /// Begins an ask for leases. To be kept until the answer is noted.
    pub(crate) fn asking(&self) -> LeaseAsking<'_> {
        self.asks.fetch_add(1, Ordering::AcqRel);
        LeaseAsking(self)
    }

    /// How many there are, and whether more may be granted any moment.
    pub(crate) fn count(&self) -> (usize, bool) {
        // In this order: what is granted meanwhile shows in one of both.
        let asked = self.asks.load(Ordering::Acquire) > 0;
        (self.held().len(), asked)
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Lease> {
        self.held().values().copied().collect()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<TaskId, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
