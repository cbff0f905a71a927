//! All that can be known of the tree at one moment, as a document to be kept or sent: names, states, figures and ids, and never a
//! payload, an output or a key.

use runtime_core::control::{CommandError, EventStatus, SystemInfo};
use runtime_core::node::{NodePath, NodeView};
use runtime_core::store::QueueStats;
use runtime_core::task::TaskState;
use serde_json::{Map, Value, json};

use crate::platform::Platform;
use crate::services::status::WorkerStatusService;

/// Most leases that are told one by one.
const MAX_LEASES: usize = 1_000;

/// The document. The store is asked for its queues; what else is in it asks nobody.
///
/// # Errors
/// When the tree has no root.
pub(crate) async fn dump(platform: &Platform, status: &WorkerStatusService) -> Result<Value, CommandError> {
    let nodes = status.tree(&NodePath::root())?;
    let queues = match platform.store.queue_stats().await {
        Ok(queues) => queues.iter().map(queue).collect(),
        Err(error) => json!({ "error_code": error.code().as_str(), "error": error.to_string() }),
    };
    let leases = platform.leases.all();
    let told = leases
        .iter()
        .take(MAX_LEASES)
        .map(|lease| json!({ "task": lease.task.to_string(), "epoch": lease.epoch.0 }));
    Ok(json!({
        "at": platform.clock.now().to_string(),
        "system": system(&status.info()),
        "stopping": platform.is_stopping(),
        "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
        "leases": { "count": leases.len(), "first": told.collect::<Vec<_>>() },
        "completion": { "waiting": platform.completion.waiting() },
        "events": events(status.events()),
        "work_pool": { "replaced": platform.pool.replacements(), "degraded": platform.pool.is_degraded() },
        "queues": queues,
    }))
}

fn system(info: &SystemInfo) -> Value {
    json!({
        "version": info.version,
        "instance": info.instance.to_string(),
        "apps": info.apps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "store": info.store,
        "uptime_secs": info.uptime_secs,
    })
}

fn events(events: EventStatus) -> Value {
    json!({ "integrated": events.integrated, "relayed": events.relayed })
}

fn node(view: &NodeView) -> Value {
    json!({
        "path": view.path.as_str(),
        "kind": view.kind.as_str(),
        "state": view.state.as_str(),
        "desired": view.desired.as_str(),
        "since": view.since.to_string(),
        "incarnation": view.incarnation,
        "restarts": view.restarts,
        "mailbox": view.mailbox,
        "handled": view.handled,
        "errors": view.errors,
        "busy_since": view.busy_since.map(|since| since.to_string()),
        "queued": view.queued,
        "slots": view.slots.map(|(busy, slots)| json!({ "busy": busy, "all": slots })),
        "stuck": view.stuck,
        "last_fault": view.last_fault,
        "health": { "level": view.health.level(), "reason": view.health.reason() },
    })
}

fn queue(stats: &QueueStats) -> Value {
    let count = |state: TaskState| (state.as_str().to_owned(), stats.counts.of(state).into());
    json!({
        "queue": stats.queue.to_string(),
        "tasks": TaskState::ALL.into_iter().map(count).collect::<Map<_, _>>(),
        "oldest_ready": stats.oldest_ready.map(|oldest| oldest.to_string()),
        "capacity": stats.capacity,
    })
}
