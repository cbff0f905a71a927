//! One attempt: the right to submit one outcome for a lease, shared by whoever could.
//!
//! However it ends, exactly one outcome is submitted for its lease: by the attempt itself, by its guard when it is aborted, or
//! by the executor when it is stuck. Whoever comes second finds the outcome taken.

mod perform;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::handler::Handler;
use runtime_core::name::CorrelationId;
use runtime_core::outcome::{Outcome, ReleaseReason, SettleWith, Settlement};
use runtime_core::task::{Lease, LeasedTask};
use runtime_core::trace::TraceContext;
use runtime_core::worker::WorkerDescriptor;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use self::perform::{perform, retry};
use crate::executor::ExecutorMsg;
use crate::platform::Platform;
use crate::services::breakers::{Breakers, Permits};
use crate::services::completion::Ended;
use crate::supervisor::rand_unit;
use crate::table::NodeAddress;

/// What all attempts of one worker share.
pub struct WorkerRun {
    pub(crate) platform: Arc<Platform>,
    pub(crate) descriptor: Arc<WorkerDescriptor>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) executor: NodeAddress<ExecutorMsg>,
}

impl WorkerRun {
    /// The worker as it is configured now.
    pub(crate) fn current(&self) -> Arc<WorkerDescriptor> {
        self.platform.templates.current(&self.descriptor)
    }
}

/// One attempt, as its executor and its task share it.
pub struct Attempt {
    lease: Lease,
    number: u32,
    /// When the task was due.
    due: Timestamp,
    cancel: CancellationToken,
    /// Whoever takes the task runs it: an attempt that has not begun can be moved to another pool.
    task: Mutex<Option<LeasedTask>>,
    began_ms: AtomicI64,
    ended: AtomicBool,
    stuck: AtomicBool,
    /// The task shall not run: however the attempt ends, unless it is done, the task is cancelled.
    called_off: AtomicBool,
    /// One for each lane it was given to.
    abort: Mutex<Vec<AbortHandle>>,
    correlation: Option<CorrelationId>,
    /// For what its worker depends on; reported with its outcome.
    permits: Mutex<Permits>,
    /// The worker's settings when it began: it keeps them.
    settings: OnceLock<Arc<WorkerDescriptor>>,
    /// Open from the handler's end until the outcome is settled: it closes with the attempt.
    settling: OnceLock<tracing::Span>,
}

const NOT_BEGUN: i64 = i64::MIN;

impl Attempt {
    /// Starts a leased task on the work pool.
    pub(crate) fn start(
        run: &Arc<WorkerRun>,
        leased: LeasedTask,
        permits: Permits,
        correlation: Option<CorrelationId>,
    ) -> Arc<Self> {
        let attempt = Arc::new(Self { permits: Mutex::new(permits), ..Self::new(leased, correlation) });
        attempt.spawn(run);
        attempt
    }

    /// An attempt that nobody runs yet.
    pub(crate) fn new(leased: LeasedTask, correlation: Option<CorrelationId>) -> Self {
        Self {
            lease: leased.lease,
            number: leased.task.attempt,
            due: leased.task.run_at,
            cancel: CancellationToken::new(),
            task: Mutex::new(Some(leased)),
            began_ms: AtomicI64::new(NOT_BEGUN),
            ended: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            called_off: AtomicBool::new(false),
            abort: Mutex::default(),
            correlation,
            permits: Mutex::default(),
            settings: OnceLock::new(),
            settling: OnceLock::new(),
        }
    }

    fn spawn(self: &Arc<Self>, run: &Arc<WorkerRun>) {
        let handle = run.platform.pool.spawn(perform(self.clone(), run.clone()));
        self.abort.lock().unwrap_or_else(PoisonError::into_inner).push(handle.abort_handle());
    }

    /// The right under which it runs.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// Asks the handler to end.
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Asks the handler to end for good. One that has not begun ends here.
    pub(crate) fn call_off(&self, run: &WorkerRun) {
        self.called_off.store(true, Ordering::Release);
        self.cancel.cancel();
        self.end_if_not_begun(run);
    }

    /// Ends the handler at its next await. One that has not begun ends here.
    pub(crate) fn abort(&self, run: &WorkerRun) {
        self.cancel.cancel();
        self.end_if_not_begun(run);
        self.abort.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(AbortHandle::abort);
    }

    fn end_if_not_begun(&self, run: &WorkerRun) {
        if self.take_task().is_some() {
            let released = Outcome::Released { reason: ReleaseReason::NotStarted };
            self.submit(run, released, None, run.platform.clock.now(), None);
        }
    }

    /// Gives its lease back although its handler has not ended: whatever that still writes is refused by the epoch.
    pub(crate) fn fence(&self, run: &WorkerRun) {
        let released = Outcome::Released { reason: ReleaseReason::Shutdown };
        if self.submit(run, released, None, self.began().unwrap_or_else(|| run.platform.clock.now()), None) {
            tracing::error!(task = %self.lease.task, worker_id = %run.descriptor.name, "attempt does not end; fenced off");
        }
    }

    /// Whether its outcome is on its way.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn began(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.began_ms.load(Ordering::Acquire)).ok()
    }

    /// Starts it again on the pool's present lane, when it has not begun.
    pub(crate) fn move_if_not_begun(self: &Arc<Self>, run: &Arc<WorkerRun>) {
        if self.began_ms.load(Ordering::Acquire) == NOT_BEGUN {
            self.spawn(run);
        }
    }

    /// When it has run past its timeout for this long: ends it without it, and says so. Its thread is lost until the handler yields;
    /// its late writes are refused by the epoch.
    pub(crate) fn give_up_if_stuck(&self, run: &WorkerRun, stuck_after: Duration) {
        let Some(began) = self.began() else { return };
        let over = self.settings(run).timeout + stuck_after;
        let late = run.platform.clock.now().duration_since(began)
            > over.try_into().unwrap_or(jiff::SignedDuration::MAX);
        if !late || self.has_ended() {
            return;
        }
        // Counted before it is submitted, so that an end at this very moment finds something to take back.
        self.stuck.store(true, Ordering::Release);
        run.executor.entry().stuck.fetch_add(1, Ordering::Relaxed);
        let error = TaskError::new(
            ErrorCode::AttemptTimedOut,
            "the handler does not yield; its attempt was fenced off",
        );
        if self.submit(run, retry(self.settings(run), self.number, error, None), None, began, None) {
            tracing::error!(task = %self.lease.task, worker_id = %run.descriptor.name, error_code = "RT0005", "attempt is stuck and fenced off");
        } else {
            self.not_stuck(run);
        }
        self.abort(run);
    }

    /// It came to an end after all.
    fn not_stuck(&self, run: &WorkerRun) {
        if self.stuck.swap(false, Ordering::AcqRel) {
            run.executor.entry().stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn settings<'a>(&'a self, run: &'a WorkerRun) -> &'a Arc<WorkerDescriptor> {
        self.settings.get().unwrap_or(&run.descriptor)
    }

    fn take_task(&self) -> Option<LeasedTask> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Submits the outcome, unless one was submitted before.
    fn submit(
        &self,
        run: &WorkerRun,
        outcome: Outcome,
        with: Option<Box<SettleWith>>,
        started_at: Timestamp,
        trace: Option<TraceContext>,
    ) -> bool {
        if self.ended.swap(true, Ordering::AcqRel) {
            return false;
        }
        let called_off = self.called_off.load(Ordering::Acquire) && !matches!(outcome, Outcome::Done { .. });
        let outcome = if called_off {
            Outcome::Cancel { reason: "cancelled while it ran".to_owned() }
        } else {
            outcome
        };
        let permits = std::mem::take(&mut *self.permits.lock().unwrap_or_else(PoisonError::into_inner));
        run.breakers.report(permits, &outcome);
        let took = run.platform.clock.now().duration_since(started_at).try_into().unwrap_or_default();
        let node = Some(run.executor.entry().path().clone());
        let settlement = Settlement { lease: self.lease, outcome, with, node, started_at, took, trace };
        let policy = &self.settings(run).retry;
        let retry_after =
            (policy.attempts_left(self.number) > 0).then(|| policy.delay(self.number, None, rand_unit()));
        let (executor, due) = (run.executor.clone(), Some(self.due));
        run.platform.completion.submit(Ended {
            settlement,
            executor,
            due,
            retry_after,
            attempt: self.number,
        });
        true
    }
}

/// Gives back leased tasks that never became an attempt.
pub(crate) fn release(run: &WorkerRun, waiting: Vec<LeasedTask>) {
    let now = run.platform.clock.now();
    for leased in waiting {
        let settlement = Settlement {
            lease: leased.lease,
            outcome: Outcome::Released { reason: ReleaseReason::NotStarted },
            with: None,
            node: Some(run.executor.entry().path().clone()),
            started_at: now,
            took: Duration::ZERO,
            trace: None,
        };
        let (executor, attempt) = (run.executor.clone(), leased.task.attempt);
        let ended = Ended { settlement, executor, due: None, retry_after: None, attempt };
        run.platform.completion.submit(ended);
    }
}

/// Submits a release when the attempt's task is dropped before it came to an end.
struct Guard<'a> {
    attempt: &'a Attempt,
    run: &'a WorkerRun,
    started_at: Timestamp,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let released = Outcome::Released { reason: ReleaseReason::Shutdown };
        self.attempt.submit(self.run, released, None, self.started_at, None);
        self.attempt.not_stuck(self.run);
    }
}
