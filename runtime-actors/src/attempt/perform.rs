//! A handler's run on the work pool, with timeout, cancellation and panic catch, and what its end means for the task.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::handler::{Context, ContextParts, HandlerResult, NotDone};
use runtime_core::name::CorrelationId;
use runtime_core::outcome::{Outcome, SettleWith};
use runtime_core::task::LeasedTask;
use runtime_core::trace::TraceBridge;
use runtime_core::worker::WorkerDescriptor;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Attempt, Guard, WorkerRun};
use crate::messaging;
use crate::supervisor::rand_unit;

/// Runs the handler and submits what came of it, when nobody else took the task.
pub(super) async fn perform(attempt: Arc<Attempt>, run: Arc<WorkerRun>) {
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
pub(super) fn retry(
    worker: &WorkerDescriptor,
    attempt: u32,
    error: TaskError,
    after: Option<Duration>,
) -> Outcome {
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
