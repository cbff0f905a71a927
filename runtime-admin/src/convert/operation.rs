//! Operations.

use runtime_core::operation::{Operation, OperationId, OperationKind, OperationState};
use runtime_proto::v1;
use tonic::Status;

use super::task::task_error;
use super::{named, timestamp};
use crate::status::Resource;

/// The resource name of an operation.
pub(crate) fn operation_name(id: OperationId) -> String {
    format!("operations/{id}")
}

/// An operation and what to call it in errors.
pub(crate) fn operation_from_wire(name: &str) -> Result<(OperationId, Resource), Status> {
    Ok((named("name", "operations/", name)?, Resource::new("operation", name)))
}

/// An operation, for the wire.
pub(crate) fn operation(operation: &Operation) -> v1::Operation {
    let spec = &operation.spec;
    v1::Operation {
        name: operation_name(operation.id),
        kind: kind(spec.kind).into(),
        filter: spec.asked.clone(),
        rate: spec.rate.map_or(0, Into::into),
        reason: spec.reason.clone(),
        started_by: spec.by.as_ref().map(ToString::to_string).unwrap_or_default(),
        state: state(operation.state).into(),
        matched: spec.matched,
        done: operation.counts.done,
        skipped: operation.counts.skipped,
        failed: operation.counts.failed,
        created_at: Some(timestamp(operation.created_at)),
        next_at: operation.is_running().then(|| timestamp(operation.next_at)),
        finished_at: operation.finished_at.map(timestamp),
        error: operation.error.as_ref().map(task_error),
        etag: operation.etag().to_string(),
    }
}

fn kind(kind: OperationKind) -> v1::OperationKind {
    match kind {
        OperationKind::Retry => v1::OperationKind::Retry,
        OperationKind::Cancel => v1::OperationKind::Cancel,
        OperationKind::Replay => v1::OperationKind::Replay,
        OperationKind::Discard => v1::OperationKind::Discard,
        OperationKind::Purge => v1::OperationKind::Purge,
    }
}

fn state(state: OperationState) -> v1::OperationState {
    match state {
        OperationState::Running => v1::OperationState::Running,
        OperationState::Done => v1::OperationState::Done,
        OperationState::Cancelled => v1::OperationState::Cancelled,
        OperationState::Failed => v1::OperationState::Failed,
    }
}
