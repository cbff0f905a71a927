//! Events.

use jiff::Timestamp;
use runtime_core::journal::{Cause, Changed, Counted, Cursor, EventType, Place, Subject, Told};
use runtime_core::task::TaskState;
use runtime_proto::v1;

use super::{app_name, principal_name, queue_name, timestamp, worker_name};

/// An event, or several as one.
pub(crate) fn event(life: u64, told: &Told<'_>) -> v1::Event {
    let Told { sequence, place, entry, changes, count } = told;
    let asked = entry.origin.asked();
    let (cause, detail) = match &entry.cause {
        Cause::Platform => (v1::EventCause::Platform, String::new()),
        Cause::Command(word) => {
            let method = asked.map_or_else(|| (*word).to_owned(), |asked| asked.method.clone());
            (v1::EventCause::Command, method)
        }
        Cause::Fault(text) => (v1::EventCause::Fault, text.to_string()),
        Cause::Outcome(outcome, _) => (v1::EventCause::Outcome, (*outcome).to_owned()),
        Cause::Tick(at) => (v1::EventCause::Tick, at.to_string()),
        Cause::Source => (v1::EventCause::Source, String::new()),
        Cause::FollowUp => (v1::EventCause::FollowUp, String::new()),
    };
    v1::Event {
        name: format!("events/{}", Cursor { life, sequence: *sequence }),
        r#type: event_type(entry.kind).into(),
        cause: cause.into(),
        cause_detail: detail,
        error_code: entry.cause.error_code().map(|code| code.to_string()).unwrap_or_default(),
        principal: entry.origin.principal().map(principal_name).unwrap_or_default(),
        reason: asked.map(|asked| asked.reason.clone()).unwrap_or_default(),
        request_id: asked
            .and_then(|asked| asked.request_id.as_ref())
            .map(ToString::to_string)
            .unwrap_or_default(),
        trace_id: entry.trace.map(|trace| trace.to_string()).unwrap_or_default(),
        count: *count,
        ..of(&entry.subject, place, entry.at, changes)
    }
}

/// What happened to tasks of a queue, counted.
pub(crate) fn counted(life: u64, counted: &Counted<'_>) -> v1::Event {
    let Counted { sequence, at, place, kind, tallies } = counted;
    let tallies = tallies.iter().filter_map(|tally| Some((tally.after?, tally.count)));
    let change = |(state, count): (TaskState, u32)| v1::EventChange {
        field: state.as_str().to_owned(),
        before: String::new(),
        after: count.to_string(),
    };
    v1::Event {
        name: format!("events/{}", Cursor { life, sequence: *sequence }),
        r#type: event_type(*kind).into(),
        at: Some(timestamp(*at)),
        resource: place.queue.as_ref().map(queue_name).unwrap_or_default(),
        app: place.app.as_ref().map(app_name).unwrap_or_default(),
        queue: place.queue.as_ref().map(queue_name).unwrap_or_default(),
        worker: place.worker.as_ref().map(worker_name).unwrap_or_default(),
        changes: tallies.map(change).collect(),
        count: counted.count(),
        ..v1::Event::default()
    }
}

/// How something is, at the beginning of a watch.
pub(crate) fn snapshot(subject: &Subject, place: &Place, at: Timestamp, fields: &[Changed]) -> v1::Event {
    v1::Event { r#type: v1::EventType::Snapshot.into(), count: 1, ..of(subject, place, at, fields) }
}

fn of(subject: &Subject, place: &Place, at: Timestamp, changes: &[Changed]) -> v1::Event {
    let change = |changed: &Changed| v1::EventChange {
        field: changed.field.to_string(),
        before: changed.before.to_string(),
        after: changed.after.to_string(),
    };
    v1::Event {
        at: Some(timestamp(at)),
        resource: subject.to_string(),
        app: place.app.as_ref().map(app_name).unwrap_or_default(),
        queue: place.queue.as_ref().map(queue_name).unwrap_or_default(),
        worker: place.worker.as_ref().map(worker_name).unwrap_or_default(),
        changes: changes.iter().map(change).collect(),
        ..v1::Event::default()
    }
}

fn event_type(kind: EventType) -> v1::EventType {
    match kind {
        EventType::NodeChanged => v1::EventType::NodeChanged,
        EventType::NodeRestarted => v1::EventType::NodeRestarted,
        EventType::QueuePaused => v1::EventType::QueuePaused,
        EventType::QueueResumed => v1::EventType::QueueResumed,
        EventType::QueueUpdated => v1::EventType::QueueUpdated,
        EventType::BreakerChanged => v1::EventType::BreakerChanged,
        EventType::ScheduleCreated => v1::EventType::ScheduleCreated,
        EventType::ScheduleUpdated => v1::EventType::ScheduleUpdated,
        EventType::ScheduleDeleted => v1::EventType::ScheduleDeleted,
        EventType::SchedulePaused => v1::EventType::SchedulePaused,
        EventType::ScheduleResumed => v1::EventType::ScheduleResumed,
        EventType::ScheduleFired => v1::EventType::ScheduleFired,
        EventType::ScheduleSkipped => v1::EventType::ScheduleSkipped,
        EventType::OperationStarted => v1::EventType::OperationStarted,
        EventType::OperationProgressed => v1::EventType::OperationProgressed,
        EventType::OperationEnded => v1::EventType::OperationEnded,
        EventType::ConfigReloaded => v1::EventType::ConfigReloaded,
        EventType::OverrideCleared => v1::EventType::OverrideCleared,
        EventType::LogFilterChanged => v1::EventType::LogFilterChanged,
        EventType::LeasesExpired => v1::EventType::LeasesExpired,
        EventType::TaskAccepted => v1::EventType::TaskAccepted,
        EventType::TaskSettled => v1::EventType::TaskSettled,
        EventType::TaskChanged => v1::EventType::TaskChanged,
        EventType::FactStated => v1::EventType::FactStated,
        EventType::DrainStarted => v1::EventType::DrainStarted,
        EventType::DrainStopped => v1::EventType::DrainStopped,
        EventType::ShutdownAsked => v1::EventType::ShutdownAsked,
        EventType::PrincipalCreated => v1::EventType::PrincipalCreated,
        EventType::PrincipalUpdated => v1::EventType::PrincipalUpdated,
        EventType::PrincipalDeleted => v1::EventType::PrincipalDeleted,
        EventType::TokenCreated => v1::EventType::TokenCreated,
        EventType::TokenRevoked => v1::EventType::TokenRevoked,
    }
}
