//! Tasks and their attempts, and a task asked for from outside.

use std::num::NonZeroU32;
use std::sync::Arc;

use runtime_core::error::TaskError;
use runtime_core::name::Route;
use runtime_core::store::{Enqueued, TaskCommand};
use runtime_core::task::{
    AttemptRecord, NewTask, OnConflict, Priority, Task, TaskState, Unique, UniqueWithin,
};
use runtime_core::trace::TraceContext;
use runtime_proto::v1;
use serde::de::IgnoredAny;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::{app_name, duration, length, moment, named, optional, parsed, queue_name, task_name, timestamp};
use crate::status::invalid;

/// A task, for the wire: sizes instead of payloads.
pub(crate) fn task(task: &Task) -> v1::Task {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    v1::Task {
        name: task_name(task.id),
        app: app_name(&task.route.app),
        queue: queue_name(&task.route.queue),
        handler: task.route.handler.to_string(),
        state: task_state(task.state).into(),
        attempt: task.attempt,
        max_attempts: if task.max_attempts == NewTask::AS_THE_WORKER_SAYS.get() {
            0
        } else {
            task.max_attempts
        },
        crash_count: task.crash_count,
        epoch: task.epoch.0,
        lease: task.holder.as_ref().map(|(instance, until)| v1::TaskLease {
            instance: instance.to_string(),
            until: Some(timestamp(*until)),
        }),
        tenant: text(task.tenant.as_ref().map(|tenant| tenant.as_str())),
        scope: text(task.scope.as_ref().map(|scope| scope.as_str())),
        priority: task.priority.0.into(),
        weight: task.weight.get(),
        idempotency_key: text(task.idempotency_key.as_ref().map(|key| key.as_str())),
        ordering_key: text(task.ordering_key.as_ref().map(|key| key.as_str())),
        schema_version: task.schema_version,
        correlation_id: text(task.correlation_id.as_ref().map(|id| id.as_str())),
        caused_by: task.causation_id.map(task_name).unwrap_or_default(),
        trace_id: text(task.trace.as_ref().and_then(TraceContext::trace_id)),
        created_at: Some(timestamp(task.created_at)),
        run_at: Some(timestamp(task.run_at)),
        deadline: task.deadline.map(timestamp),
        finished_at: task.finished_at.map(timestamp),
        progress: task
            .progress
            .as_ref()
            .map(|progress| v1::TaskProgress { fraction: progress.fraction, note: progress.note.clone() }),
        approved: task.approved,
        edited: task.edited,
        held: task.held.map(|held| v1::TaskHold {
            behind: held.behind.map(task_name).unwrap_or_default(),
            scope_paused: held.scope_paused,
        }),
        last_error: task.last_error.as_ref().map(task_error),
        payload_bytes: bytes(&task.payload),
        output_bytes: task.output.as_deref().map_or(0, bytes),
        etag: task.etag().to_string(),
    }
}

/// An attempt, for the wire.
pub(crate) fn attempt(record: &AttemptRecord) -> v1::Attempt {
    v1::Attempt {
        attempt: record.attempt,
        epoch: record.epoch.0,
        instance: record.instance.to_string(),
        node: record.node.as_ref().map(ToString::to_string).unwrap_or_default(),
        started_at: Some(timestamp(record.started_at)),
        took: Some(duration(record.took)),
        outcome: record.outcome.clone(),
        error: record.error.as_ref().map(task_error),
        trace_id: record.trace.as_ref().and_then(TraceContext::trace_id).unwrap_or_default().to_owned(),
    }
}

/// Where a task stands, for the wire.
pub(crate) fn task_state(state: TaskState) -> v1::TaskState {
    match state {
        TaskState::Scheduled => v1::TaskState::Scheduled,
        TaskState::Ready => v1::TaskState::Ready,
        TaskState::Leased => v1::TaskState::Leased,
        TaskState::Parked => v1::TaskState::Parked,
        TaskState::Done => v1::TaskState::Done,
        TaskState::Dead => v1::TaskState::Dead,
        TaskState::Cancelled => v1::TaskState::Cancelled,
    }
}

/// A task asked for from outside. The caller's trace comes with the call's headers.
pub(crate) fn new_task(request: v1::EnqueueTaskRequest, metadata: &MetadataMap) -> Result<NewTask, Status> {
    let route = Route {
        app: named("app", "apps/", &request.app)?,
        queue: named("queue", "queues/", &request.queue)?,
        handler: parsed("handler", &request.handler)?,
    };
    check_json(&request.payload)?;
    let unique = unique(&request)?;
    let priority = i16::try_from(request.priority)
        .map_err(|_| invalid("priority", format!("{} is not between -32768 and 32767", request.priority)))?;
    let defaults = NewTask::new(Arc::new(route), request.payload);
    Ok(NewTask {
        schema_version: request.schema_version.max(1),
        tenant: optional("tenant", &request.tenant)?,
        scope: optional("scope", &request.scope)?,
        priority: Priority(priority),
        weight: NonZeroU32::new(request.weight).unwrap_or(defaults.weight),
        idempotency_key: optional("idempotency_key", &request.idempotency_key)?,
        unique,
        ordering_key: optional("ordering_key", &request.ordering_key)?,
        run_at: moment("run_at", request.run_at)?,
        deadline: moment("deadline", request.deadline)?,
        max_attempts: NonZeroU32::new(request.max_attempts).unwrap_or(defaults.max_attempts),
        correlation_id: optional("correlation_id", &request.correlation_id)?,
        trace: trace(metadata),
        ..defaults
    })
}

/// What the idempotency key promises.
fn unique(request: &v1::EnqueueTaskRequest) -> Result<Unique, Status> {
    let within = match request.unique_within() {
        v1::UniqueWithin::Unspecified | v1::UniqueWithin::Remembered => UniqueWithin::Remembered,
        v1::UniqueWithin::WhileWaiting => UniqueWithin::WhileWaiting,
        v1::UniqueWithin::WhileLive => UniqueWithin::WhileLive,
        v1::UniqueWithin::Period => UniqueWithin::For(length("unique_for", request.unique_for)?),
        v1::UniqueWithin::Forever => UniqueWithin::Forever,
    };
    let on_conflict = match request.on_conflict() {
        v1::OnConflict::Unspecified | v1::OnConflict::Insert => OnConflict::Insert,
        v1::OnConflict::Ignore => OnConflict::Ignore,
        v1::OnConflict::Replace => OnConflict::Replace,
        v1::OnConflict::Debounce => {
            OnConflict::Debounce { at_most: length("debounce_at_most", request.debounce_at_most)? }
        }
    };
    let unique = Unique { within, on_conflict };
    if unique != Unique::default() && request.idempotency_key.is_empty() {
        return Err(invalid("idempotency_key", "without a key there is nothing to be unique by"));
    }
    Ok(unique)
}

/// What an operator wants replayed, and how.
pub(crate) fn replay(request: v1::ReplayTaskRequest) -> Result<TaskCommand, Status> {
    request.payload.as_deref().map(check_json).transpose()?;
    Ok(TaskCommand::Replay { at: moment("at", request.at)?, payload: request.payload })
}

fn check_json(payload: &[u8]) -> Result<(), Status> {
    match serde_json::from_slice::<IgnoredAny>(payload) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(invalid("payload", format!("not a JSON document: {error}"))),
    }
}

/// What became of a task that was asked for, for the wire.
pub(crate) fn enqueued(enqueued: &Enqueued) -> v1::EnqueueTaskResponse {
    let answer = |outcome: v1::EnqueueOutcome| v1::EnqueueTaskResponse {
        name: task_name(enqueued.id()),
        duplicate: outcome == v1::EnqueueOutcome::Duplicate,
        outcome: outcome.into(),
        ..v1::EnqueueTaskResponse::default()
    };
    match enqueued {
        Enqueued::Accepted { .. } => answer(v1::EnqueueOutcome::Accepted),
        Enqueued::Duplicate { state, .. } => v1::EnqueueTaskResponse {
            state: task_state(*state).into(),
            ..answer(v1::EnqueueOutcome::Duplicate)
        },
        Enqueued::Replaced { .. } => answer(v1::EnqueueOutcome::Replaced),
        Enqueued::Debounced { run_at, .. } => v1::EnqueueTaskResponse {
            run_at: Some(timestamp(*run_at)),
            ..answer(v1::EnqueueOutcome::Debounced)
        },
    }
}

pub(super) fn task_error(error: &TaskError) -> v1::TaskError {
    v1::TaskError {
        code: error.code.as_str().to_owned(),
        code_name: error.code.name().to_owned(),
        message: error.message.clone(),
        field: error.field.clone().unwrap_or_default(),
        error_class: error.code.class().as_str().to_owned(),
    }
}

/// The W3C headers of the call, when they are well formed: a broken one is dropped, as the specification asks.
fn trace(metadata: &MetadataMap) -> Option<TraceContext> {
    let header =
        |name| metadata.get(name).and_then(|value| value.to_str().ok()).filter(|text| text.len() <= 512);
    let context = TraceContext {
        traceparent: header("traceparent")?.to_owned(),
        tracestate: header("tracestate").map(str::to_owned),
    };
    context.trace_id().is_some().then_some(context)
}

fn bytes(document: &[u8]) -> u64 {
    u64::try_from(document.len()).unwrap_or(u64::MAX)
}
