//! One attempt: a handler's run on the work pool, with timeout, cancellation and panic catch.
//!
//! However it ends, exactly one outcome is submitted for its lease: by the attempt itself, by its guard when it is aborted, or
//! by the executor when it is stuck. Whoever comes second finds the outcome taken.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::handler::{Context, ContextParts, Handler, HandlerResult, NotDone};
use runtime_core::name::CorrelationId;
use runtime_core::outcome::{Outcome, ReleaseReason, SettleWith, Settlement};
use runtime_core::task::{Lease, LeasedTask};
use runtime_core::trace::TraceContext;
use runtime_core::worker::WorkerDescriptor;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::executor::ExecutorMsg;
use crate::platform::Platform;
use crate::services::completion::Ended;
use crate::supervisor::rand_unit;
use crate::table::NodeAddress;

/// What all attempts of one worker share.
pub struct WorkerRun {
    pub(crate) platform: Arc<Platform>,
    pub(crate) descriptor: Arc<WorkerDescriptor>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) executor: NodeAddress<ExecutorMsg>,
}

/// One attempt, as its executor and its task share it.
pub struct Attempt {
    lease: Lease,
    number: u32,
    cancel: CancellationToken,
    /// Whoever takes the task runs it: an attempt that has not begun can be moved to another pool.
    task: Mutex<Option<LeasedTask>>,
    began_ms: AtomicI64,
    ended: AtomicBool,
    stuck: AtomicBool,
    abort: Mutex<Option<AbortHandle>>,
    correlation: Option<CorrelationId>,
}

const NOT_BEGUN: i64 = i64::MIN;

impl Attempt {
    /// Starts a leased task on the work pool.
    pub(crate) fn start(
        run: &Arc<WorkerRun>,
        leased: LeasedTask,
        correlation: Option<CorrelationId>,
    ) -> Arc<Self> {
        let attempt = Arc::new(Self {
            lease: leased.lease,
            number: leased.task.attempt,
            cancel: CancellationToken::new(),
            task: Mutex::new(Some(leased)),
            began_ms: AtomicI64::new(NOT_BEGUN),
            ended: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            abort: Mutex::new(None),
            correlation,
        });
        attempt.spawn(run);
        attempt
    }

    fn spawn(self: &Arc<Self>, run: &Arc<WorkerRun>) {
        let handle = run.platform.pool.spawn(perform(self.clone(), run.clone()));
        *self.abort.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.abort_handle());
    }

    /// The right under which it runs.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// Asks the handler to end.
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
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
        if let Some(handle) = &*self.abort.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.abort();
        }
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
        let Ok(began) = Timestamp::from_millisecond(self.began_ms.load(Ordering::Acquire)) else { return };
        let now = run.platform.clock.now();
        let over = run.descriptor.timeout + stuck_after;
        if now.duration_since(began) <= over.try_into().unwrap_or(jiff::SignedDuration::MAX) {
            return;
        }
        let error = TaskError::new(
            ErrorCode::AttemptTimedOut,
            "the handler does not yield; its attempt was fenced off",
        );
        let outcome = retry(run, self.number, error, None);
        if self.submit(run, outcome, None, began, None) {
            self.stuck.store(true, Ordering::Release);
            run.executor.entry().stuck.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = %self.lease.task, worker_id = %run.descriptor.name, error_code = "RT0005", "attempt is stuck and fenced off");
        }
        self.abort(run);
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
        let took = run.platform.clock.now().duration_since(started_at).try_into().unwrap_or_default();
        let settlement = Settlement { lease: self.lease, outcome, with, started_at, took, trace };
        run.platform.completion.submit(Ended { settlement, executor: run.executor.clone() });
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
            started_at: now,
            took: Duration::ZERO,
            trace: None,
        };
        run.platform.completion.submit(Ended { settlement, executor: run.executor.clone() });
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
        if self.attempt.stuck.load(Ordering::Acquire) {
            self.run.executor.entry().stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

async fn perform(attempt: Arc<Attempt>, run: Arc<WorkerRun>) {
    let Some(leased) = attempt.take_task() else { return };
    let started_at = run.platform.clock.now();
    attempt.began_ms.store(started_at.as_millisecond(), Ordering::Release);
    runtime_core::failpoint!("attempt_begun");
    let _guard = Guard { attempt: &attempt, run: &run, started_at };

    let span = span_of(&run, &leased, attempt.correlation.as_ref());
    let limit = limit_of(&run, &leased, started_at);
    let ctx = Context::new(ContextParts {
        leased,
        cancel: attempt.cancel.clone(),
        store: run.platform.store.clone(),
    });
    let began = Instant::now();

    let (outcome, trace) = async {
        let result = handle(&run, ctx.clone(), limit).await;
        let outcome = outcome_of(&run, attempt.number, result);
        report(&outcome, began.elapsed());
        (outcome, run.platform.traces.current())
    }
    .instrument(span)
    .await;

    runtime_core::failpoint!("handler_returned");
    let Some(outcome) = outcome else { return attempt.forget() };
    let with = if matches!(outcome, Outcome::Done { .. }) { ctx.take_with() } else { None };
    attempt.submit(&run, outcome, with, started_at, trace);
}

impl Attempt {
    /// Its lease is lost: what it would submit has no meaning any more. The executor frees the slot when it hears of the loss.
    fn forget(&self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// How an attempt came back, beside what the handler said.
enum Came {
    Back(HandlerResult<Vec<u8>>),
    TooLate(ErrorCode),
    Panicked(String),
}

/// How long the attempt may take, and what it means when it takes longer.
fn limit_of(run: &WorkerRun, leased: &LeasedTask, now: Timestamp) -> (Duration, ErrorCode) {
    let timeout = (run.descriptor.timeout, ErrorCode::AttemptTimedOut);
    match leased.task.deadline {
        None => timeout,
        Some(deadline) => {
            let left = Duration::try_from(deadline.duration_since(now)).unwrap_or(Duration::ZERO);
            if left < timeout.0 { (left, ErrorCode::DeadlineExceeded) } else { timeout }
        }
    }
}

async fn handle(run: &WorkerRun, ctx: Context, (limit, code): (Duration, ErrorCode)) -> Came {
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

/// `None` when the lease is lost: there is nothing to settle.
fn outcome_of(run: &WorkerRun, attempt: u32, came: Came) -> Option<Outcome> {
    Some(match came {
        Came::Back(Ok(output)) => Outcome::Done { output },
        Came::Back(Err(NotDone::Retry { error, after })) => retry(run, attempt, error, after),
        Came::Back(Err(NotDone::Reject { error })) => Outcome::Reject { error },
        Came::Back(Err(NotDone::Snooze { wait })) => Outcome::Snooze { wait },
        Came::Back(Err(NotDone::Park { reason })) => Outcome::Park { reason },
        Came::Back(Err(NotDone::Cancel { reason })) => Outcome::Cancel { reason },
        Came::Back(Err(NotDone::LeaseLost)) => return None,
        Came::Panicked(text) => retry(run, attempt, TaskError::new(ErrorCode::HandlerPanicked, text), None),
        Came::TooLate(code) => {
            let error = TaskError::new(code, "the handler did not end in time");
            if code == ErrorCode::DeadlineExceeded {
                Outcome::Reject { error }
            } else {
                retry(run, attempt, error, None)
            }
        }
    })
}

/// The next attempt's wait. Attempts end at the smaller of the task's and the worker's maximum; the store knows the task's.
fn retry(run: &WorkerRun, attempt: u32, error: TaskError, after: Option<Duration>) -> Outcome {
    if run.descriptor.retry.attempts_left(attempt) == 0 {
        return Outcome::Reject { error };
    }
    let after = run.descriptor.retry.delay(attempt, after.or(error.retry_after), rand_unit());
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
    span
}

/// Says how it ended: in the span always, in the log when somebody may want to act on it.
fn report(outcome: &Option<Outcome>, took: Duration) {
    let span = tracing::Span::current();
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = outcome.as_ref().map_or("lease_lost", Outcome::name);
    span.record("status", status).record("duration_ms", duration_ms);
    if let Some(error) = outcome.as_ref().and_then(Outcome::error) {
        span.record("error_code", error.code.as_str());
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
