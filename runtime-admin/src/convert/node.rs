//! Nodes.

use runtime_core::control::{Restart, RestartCause};
use runtime_core::node::{Condition, ConditionKind, DesiredState, NodeKind, NodeState, NodeView};
use runtime_proto::v1;

use super::{duration, health, node_name, timestamp};

/// A node, for the wire.
pub(crate) fn node(view: &NodeView) -> v1::Node {
    v1::Node {
        name: node_name(&view.path),
        kind: node_kind(view.kind).into(),
        state: node_state(view.state).into(),
        desired_state: desired_state(view.desired).into(),
        since: Some(timestamp(view.since)),
        incarnation: view.incarnation,
        restarts: view.restarts,
        handled: view.handled,
        errors: view.errors,
        busy_since: view.busy_since.map(timestamp),
        queued: view.queued,
        slots: view.slots.map(|(busy, total)| v1::Slots { busy, total }),
        stuck: view.stuck,
        last_fault: view.last_fault.clone().unwrap_or_default(),
        health: Some(health(&view.health)),
        etag: view.etag.to_string(),
        conditions: view.conditions.iter().map(|known| condition(known, view)).collect(),
    }
}

/// A condition of a node, for the wire.
fn condition(known: &Condition, view: &NodeView) -> v1::Condition {
    let fault = || view.last_fault.clone().unwrap_or_default();
    let (kind, reason, message) = match known.kind {
        ConditionKind::Ready => {
            let message = if view.state == NodeState::BackingOff { fault() } else { String::new() };
            (v1::ConditionType::Ready, view.state.as_str(), message)
        }
        ConditionKind::Healthy => {
            let message = view.health.reason().unwrap_or_default().to_owned();
            (v1::ConditionType::Healthy, view.health.level(), message)
        }
        ConditionKind::AsWanted => {
            let message = format!("{} is wanted, and it is {}", view.desired.as_str(), view.state.as_str());
            (
                v1::ConditionType::AsWanted,
                view.state.as_str(),
                if known.holds { String::new() } else { message },
            )
        }
    };
    let status = if known.holds { v1::ConditionStatus::True } else { v1::ConditionStatus::False };
    v1::Condition {
        r#type: kind.into(),
        status: status.into(),
        reason: reason.to_owned(),
        message,
        last_transition_at: Some(timestamp(known.since)),
    }
}

/// A restart, for the wire.
pub(crate) fn restart(restart: &Restart) -> v1::Restart {
    let (cause, fault) = match &restart.cause {
        RestartCause::Fault(text) => (v1::RestartCause::Fault, text.as_str()),
        RestartCause::Escalation(text) => (v1::RestartCause::Escalation, text.as_str()),
        RestartCause::Operator => (v1::RestartCause::Operator, ""),
        RestartCause::Together => (v1::RestartCause::Together, ""),
    };
    v1::Restart {
        name: node_name(&restart.path),
        before: restart.before,
        after: restart.after,
        at: Some(timestamp(restart.at)),
        cause: cause.into(),
        fault: fault.to_owned(),
        backoff: restart.backoff.map(duration),
    }
}

/// What a node is, for the wire.
fn node_kind(kind: NodeKind) -> v1::NodeKind {
    match kind {
        NodeKind::Supervisor => v1::NodeKind::Supervisor,
        NodeKind::Store => v1::NodeKind::Store,
        NodeKind::Completion => v1::NodeKind::Completion,
        NodeKind::Templates => v1::NodeKind::Templates,
        NodeKind::Events => v1::NodeKind::Events,
        NodeKind::Executor => v1::NodeKind::Executor,
        NodeKind::Source => v1::NodeKind::Source,
        NodeKind::Endpoint => v1::NodeKind::Endpoint,
        NodeKind::Health => v1::NodeKind::Health,
        NodeKind::Status => v1::NodeKind::Status,
        NodeKind::Schedules => v1::NodeKind::Schedules,
        NodeKind::Operations => v1::NodeKind::Operations,
        NodeKind::Commands => v1::NodeKind::Commands,
        NodeKind::Admin => v1::NodeKind::Admin,
    }
}

/// What a node does, for the wire.
fn node_state(state: NodeState) -> v1::NodeState {
    match state {
        NodeState::Waiting => v1::NodeState::Waiting,
        NodeState::Starting => v1::NodeState::Starting,
        NodeState::Running => v1::NodeState::Running,
        NodeState::Paused => v1::NodeState::Paused,
        NodeState::Draining => v1::NodeState::Draining,
        NodeState::Stopping => v1::NodeState::Stopping,
        NodeState::Stopped => v1::NodeState::Stopped,
        NodeState::BackingOff => v1::NodeState::BackingOff,
        NodeState::Abandoned => v1::NodeState::Abandoned,
    }
}

/// What an operator wants, for the wire.
fn desired_state(desired: DesiredState) -> v1::DesiredState {
    match desired {
        DesiredState::Running => v1::DesiredState::Running,
        DesiredState::Paused => v1::DesiredState::Paused,
        DesiredState::Stopped => v1::DesiredState::Stopped,
    }
}
