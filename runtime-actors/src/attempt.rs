//! One attempt: a handler's run on the work pool, with timeout, cancellation and panic catch.
//!
//! However it ends, exactly one outcome is submitted for its lease: by the attempt itself, by its guard when it is aborted, or
//! by the executor when it is stuck. Whoever comes second finds the outcome taken.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::handler::{Context, ContextParts, Handler, HandlerResult, NotDone};
use runtime_core::name::CorrelationId;
use runtime_core::outcome::{Outcome, ReleaseReason, SettleWith, Settlement};
use runtime_core::task::{Lease, LeasedTask};
use runtime_core::trace::{TraceBridge, TraceContext};
use runtime_core::worker::WorkerDescriptor;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::executor::ExecutorMsg;
use crate::messaging;
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
        self.platform.templates.get(&self.descriptor.name).unwrap_or_else(|| self.descriptor.clone())
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
        if self.take_task().is_some() {
            let released = Outcome::Released { reason: ReleaseReason::NotStarted };
            self.submit(run, released, None, run.platform.clock.now(), None);
        }
    }

    /// Ends the handler at its next await. One that has not begun ends here.
    pub(crate) fn abort(&self, run: &WorkerRun) {
        self.cancel.cancel();
        if self.take_task().is_some() {
            self.submit(
                run,
                Outcome::Released { reason: ReleaseReason::NotStarted },
                None,
                run.platform.clock.now(),
                None,
            );
        }
        self.abort.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(AbortHandle::abort);
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

async fn perform(attempt: Arc<Attempt>, run: Arc<WorkerRun>) {
    let Some(leased) = attempt.take_task() else { return };
    let started_at = run.platform.clock.now();
    attempt.began_ms.store(started_at.as_millisecond(), Ordering::Release);
    runtime_core::failpoint!("attempt_begun");
    let _guard = Guard { attempt: &attempt, run: &run, started_at };

    let span = span_of(&run, &leased, attempt.correlation.as_ref());
    let settings = attempt.settings.get_or_init(|| run.current()).clone();
    let limit = limit_of(&settings, &leased, started_at);
    let ctx = Context::new(ContextParts {
        leased,
        cancel: attempt.cancel.clone(),
        store: run.platform.store.clone(),
        worker: settings.clone(),
    });
    let began = Instant::now();

    let (outcome, with, trace) = async {
        let result = handle(&run, ctx.clone(), limit).await;
        let (outcome, with) = allowed(outcome_of(&settings, attempt.number, result), &ctx);
        report(&*run.platform.traces, &outcome, began.elapsed());
        let trace = run.platform.traces.current();
        if trace.is_some() {
            let (traces, task) = (&*run.platform.traces, ctx.task());
            let settle =
                tracing::info_span!("settle", otel.name = format_args!("settle {}", task.route.queue));
            messaging::settles(traces, &settle, task, &run.descriptor.name);
            drop(attempt.settling.set(settle));
        }
        (outcome, with, trace)
    }
    .instrument(span)
    .await;

    runtime_core::failpoint!("handler_returned");
    attempt.submit(&run, outcome, with, started_at, trace);
}

/// How an attempt came back, beside what the handler said.
enum Came {
    /// The task is for another handler: nothing was run.
    Misrouted,
    Back(HandlerResult<Vec<u8>>),
    TooLate(ErrorCode),
    Panicked(String),
}

/// What is done brings along what its worker declared, or is refused.
fn allowed(outcome: Outcome, ctx: &Context) -> (Outcome, Option<Box<SettleWith>>) {
    if !matches!(outcome, Outcome::Done { .. }) {
        return (outcome, None);
    }
    match ctx.take_with() {
        Ok(with) => (outcome, with),
        Err(error) => (Outcome::Reject { error }, None),
    }
}

/// How long the attempt may take, and what it means when it takes longer.
fn limit_of(worker: &WorkerDescriptor, leased: &LeasedTask, now: Timestamp) -> (Duration, ErrorCode) {
    let timeout = (worker.timeout, ErrorCode::AttemptTimedOut);
    let workers =
        worker.deadline.map(|after| leased.task.created_at.checked_add(after).unwrap_or(Timestamp::MAX));
    match workers.into_iter().chain(leased.task.deadline).min() {
        None => timeout,
        Some(deadline) => {
            let left = Duration::try_from(deadline.duration_since(now)).unwrap_or(Duration::ZERO);
            if left < timeout.0 { (left, ErrorCode::DeadlineExceeded) } else { timeout }
        }
    }
}

async fn handle(run: &WorkerRun, ctx: Context, (limit, code): (Duration, ErrorCode)) -> Came {
    if ctx.task().route.handler != run.descriptor.route.handler {
        return Came::Misrouted;
    }
    if limit.is_zero() {
        return Came::TooLate(code);
    }
    let work = async {
        let task = ctx.clone();
        run.handler.run(ctx, &task.task().payload).await
    };
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => Came::Back(result),
        Ok(Err(panic)) => Came::Panicked(panic_text(&*panic)),
        Err(_) => Came::TooLate(code),
    }
}

fn outcome_of(worker: &WorkerDescriptor, attempt: u32, came: Came) -> Outcome {
    match came {
        Came::Misrouted => {
            let text = format!("worker {} runs another handler", worker.name);
            Outcome::Reject { error: TaskError::new(ErrorCode::UnknownHandler, text) }
        }
        Came::Back(Ok(output)) => Outcome::Done { output },
        Came::Back(Err(NotDone::Retry { error, after })) => retry(worker, attempt, error, after),
        Came::Back(Err(NotDone::Reject { error })) => Outcome::Reject { error },
        Came::Back(Err(NotDone::Snooze { wait })) => Outcome::Snooze { wait },
        Came::Back(Err(NotDone::Park { reason })) => Outcome::Park { reason },
        Came::Back(Err(NotDone::Cancel { reason })) => Outcome::Cancel { reason },
        // Settling it will say that it is stale, and free the slot; if the lease is not lost after all, it is a failure like any other.
        Came::Back(Err(NotDone::LeaseLost)) => {
            let error = TaskError::new(ErrorCode::LeaseLost, "the handler met a lost lease");
            retry(worker, attempt, error, None)
        }
        Came::Panicked(text) => {
            retry(worker, attempt, TaskError::new(ErrorCode::HandlerPanicked, text), None)
        }
        Came::TooLate(code) => {
            if code == ErrorCode::DeadlineExceeded {
                Outcome::Reject {
                    error: TaskError::new(code, "the deadline passed before the task was done"),
                }
            } else {
                retry(worker, attempt, TaskError::new(code, "the handler did not end in time"), None)
            }
        }
    }
}

/// The next attempt's wait. Attempts end at the smaller of the task's and the worker's maximum; the store knows the task's.
fn retry(worker: &WorkerDescriptor, attempt: u32, error: TaskError, after: Option<Duration>) -> Outcome {
    if worker.retry.attempts_left(attempt) == 0 {
        return Outcome::Reject { error };
    }
    let after = worker.retry.delay(attempt, after.or(error.retry_after), rand_unit());
    Outcome::Retry { error, after }
}

/// The attempt's span: a child of the producer for the first attempt, a new root that points there for a later one.
fn span_of(run: &WorkerRun, leased: &LeasedTask, correlation: Option<&CorrelationId>) -> tracing::Span {
    let task = &leased.task;
    let queue = &task.route.queue;
    let span = tracing::info_span!(
        "process",
        otel.name = format_args!("process {queue}"),
        otel.kind = "consumer",
        app = %task.route.app,
        queue = %queue,
        worker_id = %run.descriptor.name,
        task = %task.id,
        attempt = task.attempt,
        tenant = task.tenant.as_ref().map(runtime_core::name::Tenant::as_str),
        scope = task.scope.as_ref().map(runtime_core::name::Scope::as_str),
        correlation_id = correlation.or(task.correlation_id.as_ref()).map(CorrelationId::as_str),
        status = tracing::field::Empty,
        error_code = tracing::field::Empty,
        duration_ms = tracing::field::Empty,
    );
    if let Some(trace) = &task.trace {
        if task.attempt <= 1 {
            run.platform.traces.adopt(&span, trace);
        } else {
            run.platform.traces.link(&span, trace);
        }
    }
    messaging::processes(&*run.platform.traces, &span, task, &run.descriptor.name);
    span
}

/// Says how it ended: in the span always, in the log when somebody may want to act on it.
fn report(traces: &dyn TraceBridge, outcome: &Outcome, took: Duration) {
    let span = tracing::Span::current();
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = outcome.name();
    tracing::record_all!(span, status, duration_ms);
    if let Some(error) = outcome.error() {
        span.record("error_code", error.code.as_str());
        messaging::failed(traces, &span, error.code.as_str());
        tracing::warn!(status, duration_ms, error_code = %error.code, error = %error.message, "attempt ended");
    } else {
        tracing::debug!(status, duration_ms, "attempt ended");
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("no text"))
}
