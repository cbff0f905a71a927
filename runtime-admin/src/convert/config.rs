//! The configuration, and what operators said in place of it.

use runtime_core::control::{
    CertificatesView, ConfigChange, ConfigProblemView, LogFilterView, Override, OverrideSubject, SettingView,
};
use runtime_proto::v1;
use tonic::Status;

use super::{duration, node_from_wire, queue_from_wire, schedule_from_wire, timestamp};
use crate::status::{Resource, invalid};

/// One key, for the wire.
pub(crate) fn setting(setting: SettingView) -> v1::Setting {
    let SettingView { key, value, origin, live, waits } = setting;
    let pending = waits.map(|waits| v1::PendingValue { value: waits.value, origin: waits.origin });
    v1::Setting { key, value, origin, live, pending }
}

/// One override, for the wire.
pub(crate) fn overridden(known: Override) -> v1::Override {
    let Override { subject, says, reason, by, since } = known;
    v1::Override { name: subject.to_string(), says, reason, by, since: since.map(timestamp) }
}

/// One problem, for the wire.
pub(crate) fn problem(problem: ConfigProblemView) -> v1::ConfigProblem {
    let ConfigProblemView { key, origin, text } = problem;
    v1::ConfigProblem { key, origin, text }
}

/// One change, for the wire.
pub(crate) fn change(change: ConfigChange) -> v1::ConfigChange {
    let ConfigChange { key, before, after, origin, needs_restart } = change;
    v1::ConfigChange { key, before, after, origin, needs_restart }
}

/// Certificates, for the wire.
pub(crate) fn certificates(view: CertificatesView) -> v1::Certificates {
    let CertificatesView { server_ends, clients_end } = view;
    v1::Certificates { server_ends: Some(timestamp(server_ends)), clients_end: clients_end.map(timestamp) }
}

/// The log filter, for the wire.
pub(crate) fn log_filter(filter: LogFilterView) -> v1::LogFilter {
    let LogFilterView { in_force, configured, comes_back_in } = filter;
    v1::LogFilter { in_force, configured, comes_back_in: comes_back_in.map(duration) }
}

/// What an override is about, and what to call it in errors.
pub(crate) fn subject_from_wire(name: &str) -> Result<(OverrideSubject, Resource), Status> {
    match name.split_once('/').map(|(collection, _)| collection) {
        Some("nodes") => node_from_wire(name).map(|(path, about)| (OverrideSubject::Node(path), about)),
        Some("queues") => queue_from_wire(name).map(|(queue, about)| (OverrideSubject::Queue(queue), about)),
        Some("schedules") => {
            schedule_from_wire(name).map(|(schedule, about)| (OverrideSubject::Schedule(schedule), about))
        }
        _ => {
            Err(invalid("name", "the name of a node, a queue or a schedule, such as nodes/engine/apps/shop"))
        }
    }
}
