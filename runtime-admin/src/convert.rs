//! Between the core's types and the wire. Names from outside become domain types here, once, or an error that names the field.

mod audit;
mod config;
mod dead_letter;
mod event;
mod limits;
mod node;
mod operation;
mod principal;
mod queue;
mod schedule;
mod system;
mod task;
mod worker;

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::etag::{Etag, Terms};
use runtime_core::name::{AppName, QueueName, WorkerName};
use runtime_core::node::{Health, NodePath};
use runtime_core::task::TaskId;
use runtime_proto::v1;
use tonic::Status;

pub(crate) use audit::audit_entry;
pub(crate) use config::{certificates, change, log_filter, overridden, problem, setting, subject_from_wire};
pub(crate) use dead_letter::dead_letter_group;
pub(crate) use event::{counted, event, snapshot};
pub(crate) use limits::change_from_wire;
pub(crate) use node::{node, restart};
pub(crate) use operation::{operation, operation_from_wire, operation_name};
pub(crate) use principal::{
    new_principal, principal, principal_from_wire, principal_name, principal_revision, token,
    token_from_wire, token_name,
};
pub(crate) use queue::{counts, queue, queue_at_a_glance, queue_detail, queue_stats};
pub(crate) use schedule::{schedule, schedule_from_wire, schedule_name, schedule_spec_from_wire, tick};
pub(crate) use system::{drain, method, overview, system_info};
pub(crate) use task::{attempt, enqueued, new_task, replay, task, task_state};
pub(crate) use worker::{dependency, worker};

use crate::status::{Resource, invalid};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// The resource name of a node: `nodes` and its path.
pub(crate) fn node_name(path: &NodePath) -> String {
    format!("nodes{path}")
}

/// The resource name of an app.
pub(crate) fn app_name(app: &AppName) -> String {
    format!("apps/{app}")
}

/// The resource name of a queue.
pub(crate) fn queue_name(queue: &QueueName) -> String {
    format!("queues/{queue}")
}

/// The resource name of a task.
pub(crate) fn task_name(id: TaskId) -> String {
    format!("tasks/{id}")
}

/// The resource name of a worker.
pub(crate) fn worker_name(worker: &WorkerName) -> String {
    format!("workers/{worker}")
}

/// A node and what to call it in errors.
pub(crate) fn node_from_wire(name: &str) -> Result<(NodePath, Resource), Status> {
    let path = name
        .strip_prefix("nodes")
        .filter(|path| path.starts_with('/'))
        .ok_or_else(|| invalid("name", format!("{:?} is not of the form nodes/{{path}}", short(name))))?;
    let path: NodePath = path.parse().map_err(|error| invalid("name", format!("{error}")))?;
    Ok((path, Resource::new("node", name)))
}

/// A queue and what to call it in errors.
pub(crate) fn queue_from_wire(name: &str) -> Result<(QueueName, Resource), Status> {
    Ok((named("name", "queues/", name)?, Resource::new("queue", name)))
}

/// A task and what to call it in errors.
pub(crate) fn task_from_wire(name: &str) -> Result<(TaskId, Resource), Status> {
    Ok((named("name", "tasks/", name)?, Resource::new("task", name)))
}

/// A worker and what to call it in errors.
pub(crate) fn worker_from_wire(name: &str) -> Result<(WorkerName, Resource), Status> {
    Ok((named("name", "workers/", name)?, Resource::new("worker", name)))
}

/// The part of a resource name after its collection, as a domain type.
pub(crate) fn named<T>(field: &str, collection: &str, name: &str) -> Result<T, Status>
where
    T: FromStr<Err: std::fmt::Display>,
{
    let rest = name
        .strip_prefix(collection)
        .ok_or_else(|| invalid(field, format!("{:?} does not begin with {collection}", short(name))))?;
    parsed(field, rest)
}

/// A text as a domain type.
pub(crate) fn parsed<T>(field: &str, text: &str) -> Result<T, Status>
where
    T: FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error: T::Err| invalid(field, error.to_string()))
}

/// A text that may be empty, as a domain type.
pub(crate) fn optional<T>(field: &str, text: &str) -> Result<Option<T>, Status>
where
    T: FromStr<Err: std::fmt::Display>,
{
    if text.is_empty() { Ok(None) } else { parsed(field, text).map(Some) }
}

/// A moment, for the wire.
pub(crate) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let nanos = at.as_nanosecond();
    prost_types::Timestamp {
        seconds: i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).unwrap_or(0),
    }
}

/// A moment from the wire.
pub(crate) fn moment(field: &str, at: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Status> {
    at.map(|at| timestamp_from_wire(field, &at)).transpose()
}

/// A moment from the wire.
pub(crate) fn timestamp_from_wire(field: &str, at: &prost_types::Timestamp) -> Result<Timestamp, Status> {
    let nanos = i128::from(at.seconds) * NANOS_PER_SECOND + i128::from(at.nanos);
    Timestamp::from_nanosecond(nanos).map_err(|error| invalid(field, error.to_string()))
}

/// A length of time, for the wire.
pub(crate) fn duration(length: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(length.subsec_nanos()).unwrap_or(0),
    }
}

/// A length of time from the wire that has to be there and to be some time.
pub(crate) fn length(field: &str, length: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let length = length.and_then(|length| Duration::try_from(length).ok()).unwrap_or_default();
    if length.is_zero() { Err(invalid(field, "name a length of time")) } else { Ok(length) }
}

/// Health, for the wire.
pub(crate) fn health(health: &Health) -> v1::Health {
    let (level, reason) = match health {
        Health::Healthy => (v1::HealthLevel::Healthy, ""),
        Health::Degraded(reason) => (v1::HealthLevel::Degraded, reason.as_str()),
        Health::Unhealthy(reason) => (v1::HealthLevel::Unhealthy, reason.as_str()),
    };
    v1::Health { level: level.into(), reason: reason.to_owned() }
}

/// On which terms a change is asked for.
pub(crate) fn terms(etag: &str, validate_only: bool) -> Terms {
    Terms { expected: Etag::given(etag), validate_only }
}

/// The beginning of a text, for an error.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_wrong_form_names_its_field() {
        assert_eq!(node_from_wire("nodes/engine/apps").unwrap().0.as_str(), "/engine/apps");
        assert!(node_from_wire("nodes/").unwrap().0.is_root());
        for bad in [
            "",
            "nodes",
            "engine/apps",
            "nodes//",
            "nodes/ü",
            "nodesx/a",
            &format!("nodes/{}", "x".repeat(600)),
        ] {
            assert_eq!(node_from_wire(bad).unwrap_err().code(), tonic::Code::InvalidArgument, "{bad:?}");
        }
        assert!(queue_from_wire("queues/mail").is_ok());
        assert!(queue_from_wire("mail").is_err());
        assert!(task_from_wire("tasks/7").is_err());
    }

    #[test]
    fn moments_before_1970_keep_positive_nanoseconds() {
        let at = Timestamp::from_nanosecond(-1).unwrap();
        let wire = timestamp(at);
        assert_eq!((wire.seconds, wire.nanos), (-1, 999_999_999));
        assert_eq!(timestamp_from_wire("run_at", &wire).unwrap(), at);
        let far = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        assert!(timestamp_from_wire("run_at", &far).is_err());
    }
}
