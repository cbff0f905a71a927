//! Schedules.

use std::time::Duration;

use runtime_core::control::{PreviewedTick, ScheduleView};
use runtime_core::name::{AppName, HandlerName, QueueName, Route, ScheduleName};
use runtime_core::schedule::{CatchUpPolicy, DeclaredBy, OverlapPolicy, ScheduleSpec, SkipReason, Timing};
use runtime_core::task::Priority;
use runtime_proto::v1;
use runtime_proto::v1::schedule_spec::Timing as WireTiming;
use tonic::Status;

use super::{
    app_name, duration, named, optional, parsed, queue_name, task_name, timestamp, timestamp_from_wire,
};
use crate::status::{Resource, invalid};

/// The resource name of a schedule.
pub(crate) fn schedule_name(schedule: &ScheduleName) -> String {
    format!("schedules/{schedule}")
}

/// A schedule and what to call it in errors.
pub(crate) fn schedule_from_wire(name: &str) -> Result<(ScheduleName, Resource), Status> {
    Ok((named("name", "schedules/", name)?, Resource::new("schedule", name)))
}

/// A schedule, for the wire.
pub(crate) fn schedule(view: &ScheduleView) -> v1::Schedule {
    let ScheduleView { stored, next_tick, lag, skipped, problem, unfit, etag } = view;
    let state = &stored.state;
    let wire_state = match (state.orphaned, &state.paused) {
        (true, _) => v1::ScheduleState::Orphaned,
        (false, Some(_)) => v1::ScheduleState::Paused,
        (false, None) if *unfit => v1::ScheduleState::Unfit,
        (false, None) => v1::ScheduleState::Active,
    };
    let origin = match state.declared_by {
        DeclaredBy::App => v1::ScheduleOrigin::App,
        DeclaredBy::RunTime => v1::ScheduleOrigin::RunTime,
    };
    let paused = state.paused.as_ref();
    v1::Schedule {
        name: schedule_name(&stored.spec.name),
        spec: Some(schedule_spec(&stored.spec)),
        origin: origin.into(),
        state: wire_state.into(),
        pause_reason: paused.map(|paused| paused.reason.clone()).unwrap_or_default(),
        paused_by: paused.map(|paused| paused.by.clone()).unwrap_or_default(),
        paused_at: paused.map(|paused| timestamp(paused.at)),
        next_tick_at: next_tick.map(timestamp),
        last_tick_at: state.last_tick.map(timestamp),
        buffered_tick_at: state.buffered.map(timestamp),
        last_task: state.last_task.map(task_name).unwrap_or_default(),
        lag: lag.map(duration),
        last_skipped_at: skipped.map(|run| timestamp(run.last)),
        skip_reason: skipped.map(|run| skip_reason(run.reason).to_owned()).unwrap_or_default(),
        problem: problem.clone().unwrap_or_default(),
        etag: etag.to_string(),
    }
}

fn skip_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Paused => "paused",
        SkipReason::Orphaned => "orphaned",
        SkipReason::Missed => "missed",
        SkipReason::Running => "running",
        SkipReason::Superseded => "superseded",
    }
}

fn schedule_spec(spec: &ScheduleSpec) -> v1::ScheduleSpec {
    let timing = match &spec.timing {
        Timing::Cron { expression, zone } => {
            WireTiming::Cron(v1::CronTiming { expression: expression.to_string(), zone: zone.to_string() })
        }
        Timing::Every { interval_secs } => {
            WireTiming::Every(duration(Duration::from_secs(interval_secs.get().into())))
        }
    };
    let overlap = match spec.overlap {
        OverlapPolicy::Skip => v1::OverlapPolicy::Skip,
        OverlapPolicy::BufferOne => v1::OverlapPolicy::BufferOne,
        OverlapPolicy::AllowAll => v1::OverlapPolicy::AllowAll,
        OverlapPolicy::CancelRunning => v1::OverlapPolicy::CancelRunning,
    };
    let secs = |secs: u32| duration(Duration::from_secs(secs.into()));
    let (catch_up, catch_up_window) = match spec.catch_up {
        CatchUpPolicy::None => (v1::CatchUpPolicy::None, None),
        CatchUpPolicy::Last => (v1::CatchUpPolicy::Last, None),
        CatchUpPolicy::All { window_secs } => (v1::CatchUpPolicy::All, Some(secs(window_secs))),
    };
    v1::ScheduleSpec {
        app: app_name(&spec.route.app),
        queue: queue_name(&spec.route.queue),
        handler: spec.route.handler.to_string(),
        input: spec.input.to_string(),
        timing: Some(timing),
        start: spec.start.map(timestamp),
        end: spec.end.map(timestamp),
        jitter: (spec.jitter_secs > 0).then(|| secs(spec.jitter_secs)),
        overlap: overlap.into(),
        catch_up: catch_up.into(),
        catch_up_window,
        tenant: spec.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
        scope: spec.scope.as_ref().map(ToString::to_string).unwrap_or_default(),
        priority: spec.priority.0.into(),
    }
}

/// What a schedule is to be.
pub(crate) fn schedule_spec_from_wire(
    name: ScheduleName,
    wire: &v1::ScheduleSpec,
) -> Result<ScheduleSpec, Status> {
    let route = Route {
        app: named::<AppName>("spec.app", "apps/", &wire.app)?,
        queue: named::<QueueName>("spec.queue", "queues/", &wire.queue)?,
        handler: parsed::<HandlerName>("spec.handler", &wire.handler)?,
    };
    let timing = match &wire.timing {
        None => return Err(invalid("spec.timing", "cron or every is required")),
        Some(WireTiming::Cron(cron)) if cron.expression.is_empty() => {
            let why = "wall times are required beside a zone; an interval has none";
            return Err(invalid("spec.cron.expression", why));
        }
        Some(WireTiming::Cron(cron)) => {
            let zone = if cron.zone.is_empty() { "UTC" } else { &cron.zone };
            Timing::cron(&cron.expression, zone).map_err(|error| invalid("spec.cron", error.to_string()))?
        }
        Some(WireTiming::Every(every)) => {
            let interval =
                Duration::try_from(*every).map_err(|error| invalid("spec.every", error.to_string()))?;
            Timing::every(interval).map_err(|error| invalid("spec.every", error.to_string()))?
        }
    };
    let input = if wire.input.is_empty() { "null" } else { &wire.input };
    let input = serde_json::from_str(input).map_err(|error| invalid("spec.input", error.to_string()))?;
    let moment = |field: &str, at: &Option<prost_types::Timestamp>| {
        at.as_ref().map(|at| timestamp_from_wire(field, at)).transpose()
    };
    let spec = ScheduleSpec {
        start: moment("spec.start", &wire.start)?,
        end: moment("spec.end", &wire.end)?,
        jitter_secs: seconds("spec.jitter", wire.jitter.as_ref())?,
        overlap: match wire.overlap() {
            v1::OverlapPolicy::Unspecified | v1::OverlapPolicy::Skip => OverlapPolicy::Skip,
            v1::OverlapPolicy::BufferOne => OverlapPolicy::BufferOne,
            v1::OverlapPolicy::AllowAll => OverlapPolicy::AllowAll,
            v1::OverlapPolicy::CancelRunning => OverlapPolicy::CancelRunning,
        },
        catch_up: match wire.catch_up() {
            v1::CatchUpPolicy::Unspecified | v1::CatchUpPolicy::None => CatchUpPolicy::None,
            v1::CatchUpPolicy::Last => CatchUpPolicy::Last,
            v1::CatchUpPolicy::All => CatchUpPolicy::All {
                window_secs: seconds("spec.catch_up_window", wire.catch_up_window.as_ref())?,
            },
        },
        tenant: optional("spec.tenant", &wire.tenant)?,
        scope: optional("spec.scope", &wire.scope)?,
        priority: i16::try_from(wire.priority)
            .map(Priority)
            .map_err(|_| invalid("spec.priority", "from -32768 to 32767"))?,
        ..ScheduleSpec::new(name, route, input, timing)
    };
    spec.check().map_err(|error| invalid("spec.end", error.to_string()))?;
    Ok(spec)
}

fn seconds(field: &str, length: Option<&prost_types::Duration>) -> Result<u32, Status> {
    let Some(length) = length else { return Ok(0) };
    match u32::try_from(length.seconds) {
        Ok(seconds) if length.nanos == 0 => Ok(seconds),
        _ => Err(invalid(field, "whole seconds, from 0 on")),
    }
}

/// A tick, for the wire.
pub(crate) fn tick(PreviewedTick { tick, input }: &PreviewedTick) -> v1::Tick {
    v1::Tick { at: Some(timestamp(tick.at)), run_at: Some(timestamp(tick.run_at)), input: input.to_string() }
}
