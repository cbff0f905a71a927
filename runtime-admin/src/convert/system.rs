//! The runtime as a whole.

use std::time::Duration;

use runtime_core::control::{DrainView, EventStatus, Overview, SystemInfo};
use runtime_core::store::{Capability, QueueStats};
use runtime_proto::v1;

use super::{app_name, dependency, duration, health, queue_at_a_glance, timestamp};
use crate::auth::MethodRule;

/// Who this is, for the wire.
pub(crate) fn system_info(info: &SystemInfo) -> v1::SystemInfo {
    v1::SystemInfo {
        version: info.version.clone(),
        instance: info.instance.to_string(),
        apps: info.apps.iter().map(app_name).collect(),
        store: info.store.clone(),
        store_capabilities: info.capabilities.iter().map(|able| capability(*able).into()).collect(),
        uptime: Some(duration(Duration::from_secs(info.uptime_secs))),
        drain: info.drain.as_ref().map(drain),
    }
}

/// How it is, for the wire.
pub(crate) fn overview(mut overview: Overview, events: &EventStatus) -> v1::Overview {
    overview.queues.sort_by(|a, b| a.queue.cmp(&b.queue));
    let queue = |stats: &QueueStats| queue_at_a_glance(stats, overview.paused_queues.contains(&stats.queue));
    let app = |(app, state): &(_, _)| v1::AppOverview { name: app_name(app), health: Some(health(state)) };
    v1::Overview {
        health: Some(health(&overview.health)),
        apps: overview.apps.iter().map(app).collect(),
        stopping: overview.stopping,
        nodes: overview.nodes,
        restarts: overview.restarts,
        queues: overview.queues.iter().map(queue).collect(),
        events: Some(v1::EventStatus { integrated: events.integrated, relayed: events.relayed }),
        dependencies: overview.dependencies.iter().map(dependency).collect(),
        drain: overview.drain.as_ref().map(drain),
    }
}

/// How far a draining is, for the wire.
pub(crate) fn drain(view: &DrainView) -> v1::Drain {
    v1::Drain {
        since: Some(timestamp(view.since)),
        by: view.by.clone(),
        reason: view.reason.clone(),
        leased: view.leased,
        drained: view.drained,
    }
}

/// A method and what it needs, for the wire.
pub(crate) fn method(rule: &MethodRule) -> v1::MethodCapability {
    v1::MethodCapability {
        method: rule.method().to_owned(),
        role: rule.role().to_string(),
        changes: rule.changes(),
        needs_reason: rule.needs_reason(),
    }
}

fn capability(capability: Capability) -> v1::StoreCapability {
    match capability {
        Capability::Durable => v1::StoreCapability::Durable,
        Capability::AppWrites => v1::StoreCapability::AppWrites,
        Capability::OrderingKeys => v1::StoreCapability::OrderingKeys,
        Capability::ManyInstances => v1::StoreCapability::ManyInstances,
    }
}
