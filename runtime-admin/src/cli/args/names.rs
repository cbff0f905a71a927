//! Names on the command line: alone, or as the resource names that lists print.

use std::str::FromStr;

use jiff::Timestamp;
use runtime_core::name::{QueueName, ScheduleName, WorkerName};
use runtime_core::node::NodePath;
use runtime_core::task::TaskId;

/// What a filter of tasks is.
pub(super) const FILTER_HELP: &str = "\
A filter joins comparisons by AND, OR and NOT; AND binds closer than OR, and
parentheses say otherwise: (state=dead OR state=parked) AND NOT queue=mail.
field=value is equality, field!=value its negation, field:value a prefix; a
value with spaces or parentheses goes in double quotes. Fields: state, app,
queue, handler, tenant, scope, code, class. The times created and finished are
compared by <, <=, > and >=, such as: finished>=2030-01-31T08:00:00Z. What a
task does not have fits no comparison, and so fits the negation of every one.";

/// A path, a resource name, or short for a path under /engine/apps.
pub(super) fn node_path(text: &str) -> Result<NodePath, String> {
    // As a shell completes folders.
    let text = text.strip_suffix('/').filter(|rest| !rest.is_empty() && *rest != "nodes").unwrap_or(text);
    let path = match text.strip_prefix("nodes/") {
        Some(rest) => format!("/{rest}"),
        None if text.starts_with('/') => text.to_owned(),
        None => format!("/engine/apps/{text}"),
    };
    path.parse().map_err(|error: runtime_core::node::InvalidNodePath| error.to_string())
}

/// A number of things: one at least.
pub(super) fn at_least_one<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number from 1".to_owned())
}

/// A point in time.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "expected a time and its zone, such as 2030-01-31T08:00:00Z".to_owned())
}

/// A queue, or its resource name.
pub(super) fn queue(text: &str) -> Result<QueueName, String> {
    QueueName::new(text.strip_prefix("queues/").unwrap_or(text)).map_err(|error| error.to_string())
}

/// A schedule, or its resource name.
pub(super) fn schedule(text: &str) -> Result<ScheduleName, String> {
    ScheduleName::new(text.strip_prefix("schedules/").unwrap_or(text)).map_err(|error| error.to_string())
}

/// A worker, or its resource name.
pub(super) fn worker(text: &str) -> Result<WorkerName, String> {
    WorkerName::new(text.strip_prefix("workers/").unwrap_or(text)).map_err(|error| error.to_string())
}

/// A task, or its resource name.
pub(super) fn task(text: &str) -> Result<TaskId, String> {
    let id = text.strip_prefix("tasks/").unwrap_or(text);
    id.parse().map_err(|error: runtime_core::task::InvalidTaskId| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_goes_by_its_path_its_name_or_short() {
        for text in [
            "shop/workers/settle",
            "shop/workers/settle/",
            "/engine/apps/shop/workers/settle",
            "nodes/engine/apps/shop/workers/settle",
        ] {
            assert_eq!(node_path(text).unwrap().as_str(), "/engine/apps/shop/workers/settle");
        }
        assert!(node_path("nodes/").unwrap().is_root());
        assert!(node_path("a//b").is_err());
        assert!(node_path("").is_err());
    }
}
