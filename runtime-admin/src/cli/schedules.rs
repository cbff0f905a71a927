//! `runtimectl schedule …`.

use std::time::Duration;

use jiff::Timestamp;
use runtime_core::name::{ScheduleName, WorkerName};
use runtime_proto::v1;
use runtime_proto::v1::schedule_spec::Timing;

use super::args::{Part, ScheduleParts, ScheduleVerb};
use super::failure::Failure;
use super::output::Output;
use super::table::{Cell, Column, Sheet, Table};
use super::words::{NONE, count, duration, moment, or_none, short_name, word};
use crate::client::AdminClient;
use crate::convert::{duration as wire_duration, schedule_name, timestamp, worker_name};

pub(super) async fn run(
    verb: ScheduleVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        ScheduleVerb::List => {
            let schedules = output.saw(client.schedules().await?);
            let event_cursor = output.as_of.clone();
            let whole = v1::ListSchedulesResponse { schedules, event_cursor, ..Default::default() };
            let table = |now| table(&whole.schedules, now);
            output.list(&whole, "schedules", &whole.schedules, |one| &one.name, table)?;
        }
        ScheduleVerb::Get { schedule } => show(&output.saw(client.schedule(&schedule).await?), output)?,
        ScheduleVerb::Preview { schedule, after, count } => {
            let preview = client.preview_schedule(&schedule, after, count.get()).await?;
            output.one(&preview, &schedule_name(&schedule), |now, wide| {
                ticks(&preview, now).render(wide, false)
            })?;
        }
        ScheduleVerb::Pause { schedule, change } => {
            announce("pause", &schedule, output)?;
            show(&client.pause_schedule(&schedule, &change.reason).await?, output)?;
        }
        ScheduleVerb::Resume { schedule, .. } => {
            announce("resume", &schedule, output)?;
            show(&client.resume_schedule(&schedule).await?, output)?;
        }
        ScheduleVerb::Trigger { schedule, .. } => {
            announce("trigger", &schedule, output)?;
            let made = client.trigger_schedule(&schedule).await?;
            output.sheet(&made, &made.task, |_| {
                let mut sheet = Sheet::default();
                sheet.line("Task", short_name(&made.task));
                sheet.line("Known", if made.known { "yes: nothing new was made" } else { "no" });
                sheet
            })?;
        }
        ScheduleVerb::Backfill { schedule, from, until, .. } => {
            announce("backfill", &schedule, output)?;
            let done = client.backfill_schedule(&schedule, from, until).await?;
            output.sheet(&done, &schedule_name(&schedule), |now| backfilled(&done, now))?;
            if done.next_from.is_some() {
                return Err(Failure::Partial("the period has more ticks: go on from there"));
            }
        }
        ScheduleVerb::Create(create) => {
            announce("create", &create.schedule, output)?;
            let mut spec = v1::ScheduleSpec { input: create.payload, ..v1::ScheduleSpec::default() };
            route(&mut spec, &create.worker, client).await?;
            put(&mut spec, create.parts);
            show(&client.create_schedule(&create.schedule, spec).await?, output)?;
        }
        ScheduleVerb::Update(update) => {
            announce("update", &update.schedule, output)?;
            let known = client.schedule(&update.schedule).await?.what;
            let mut spec = known.spec.unwrap_or_default();
            if let Some(worker) = &update.worker {
                route(&mut spec, worker, client).await?;
            }
            spec.input = update.payload.unwrap_or(spec.input);
            update.clear.iter().for_each(|part| take_back(&mut spec, *part));
            put(&mut spec, update.parts);
            let etag = update.change.etag.as_ref().unwrap_or(&known.etag);
            show(&client.update_schedule(&update.schedule, spec, etag).await?, output)?;
        }
        ScheduleVerb::Delete { schedule, yes, .. } => {
            let known = client.schedule(&schedule).await?.what;
            announce("delete", &schedule, output)?;
            output.sample(&table(&[known], output.clock.now()))?;
            let question = format!("delete schedule {schedule} at {}?", output.place);
            output.confirm(&question, yes)?;
            client.delete_schedule(&schedule).await?;
        }
    }
    Ok(())
}

fn announce(verb: &str, schedule: &ScheduleName, output: &mut Output<'_>) -> Result<(), Failure> {
    output.announce(verb, &format!("schedule {schedule}"))
}

fn show(schedule: &v1::Schedule, output: &mut Output<'_>) -> Result<(), Failure> {
    Ok(output.sheet(schedule, &schedule.name, |now| sheet(schedule, now))?)
}

/// Where the tasks of this worker go.
async fn route(
    spec: &mut v1::ScheduleSpec,
    worker: &WorkerName,
    client: &AdminClient,
) -> Result<(), Failure> {
    let wanted = worker_name(worker);
    let found = client.workers().await?.into_iter().find(|worker| worker.name == wanted);
    let found = found.ok_or_else(|| Failure::NoWorker(worker.to_string()))?;
    (spec.app, spec.queue, spec.handler) = (found.app, found.queue, found.handler);
    Ok(())
}

/// What was said, over what stands there.
fn put(spec: &mut v1::ScheduleSpec, parts: ScheduleParts) {
    let zone_now = match &spec.timing {
        Some(Timing::Cron(cron)) => cron.zone.clone(),
        _ => String::new(),
    };
    match (parts.cron, parts.every_secs, &mut spec.timing) {
        (Some(expression), _, timing) => {
            let zone = parts.zone.unwrap_or(zone_now);
            *timing = Some(Timing::Cron(v1::CronTiming { expression, zone }));
        }
        (None, Some(secs), timing) => {
            *timing = Some(Timing::Every(wire_duration(Duration::from_secs(secs.get().into()))));
        }
        (None, None, Some(Timing::Cron(cron))) => cron.zone = parts.zone.unwrap_or(zone_now),
        // The server says that an interval has no zone.
        (None, None, timing) => {
            if let Some(zone) = parts.zone {
                *timing = Some(Timing::Cron(v1::CronTiming { zone, ..v1::CronTiming::default() }));
            }
        }
    }
    spec.start = parts.start.map(timestamp).or(spec.start);
    spec.end = parts.end.map(timestamp).or(spec.end);
    spec.jitter = parts.jitter.map(wire_duration).or(spec.jitter);
    if let Some(overlap) = parts.overlap {
        spec.set_overlap(overlap.wire());
    }
    if let Some(catch_up) = parts.catch_up {
        spec.set_catch_up(catch_up.wire());
        spec.catch_up_window = parts.catch_up_window.map(wire_duration);
    }
    if let Some(tenant) = parts.tenant {
        spec.tenant = tenant.to_string();
    }
    if let Some(scope) = parts.scope {
        spec.scope = scope.to_string();
    }
    spec.priority = parts.priority.map_or(spec.priority, i32::from);
}

fn take_back(spec: &mut v1::ScheduleSpec, part: Part) {
    match part {
        Part::Start => spec.start = None,
        Part::End => spec.end = None,
        Part::Jitter => spec.jitter = None,
        Part::Tenant => spec.tenant.clear(),
        Part::Scope => spec.scope.clear(),
    }
}

/// Schedules with what comes next; PROBLEM is what holds one up.
pub(super) fn table(schedules: &[v1::Schedule], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME").gives(),
        Column::text("STATE"),
        Column::text("TIMES").gives(),
        Column::text("HANDLER").gives(),
        Column::text("ORIGIN").wide(),
        Column::text("OVERLAP").wide(),
        Column::figure("LAG"),
        Column::text("NEXT"),
    ]);
    for schedule in schedules {
        let spec = schedule.spec.clone().unwrap_or_default();
        table.row([
            short_name(&schedule.name).into(),
            state(schedule),
            times(&spec).into(),
            or_none(&spec.handler).into(),
            word(schedule.origin().as_str_name(), "SCHEDULE_ORIGIN_").into(),
            word(spec.overlap().as_str_name(), "OVERLAP_POLICY_").into(),
            duration(schedule.lag.as_ref()).into(),
            until(schedule.next_tick_at.as_ref(), now).into(),
        ]);
    }
    table
}

fn state(schedule: &v1::Schedule) -> Cell {
    let text = word(schedule.state().as_str_name(), "SCHEDULE_STATE_");
    match schedule.state() {
        v1::ScheduleState::Active if schedule.problem.is_empty() => Cell::good(text),
        v1::ScheduleState::Active => Cell::bad("held up"),
        v1::ScheduleState::Paused => Cell::warn(text),
        v1::ScheduleState::Orphaned | v1::ScheduleState::Unfit => Cell::bad(text),
        v1::ScheduleState::Unspecified => Cell::plain(text),
    }
}

fn times(spec: &v1::ScheduleSpec) -> String {
    match &spec.timing {
        Some(Timing::Cron(cron)) => or_none(&format!("{} {}", cron.expression, cron.zone)),
        Some(Timing::Every(every)) => format!("every {}", duration(Some(every))),
        None => NONE.to_owned(),
    }
}

fn until(at: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| NONE.to_owned(), |at| super::words::span((at.seconds - now.as_second()).max(0)))
}

fn sheet(schedule: &v1::Schedule, now: Timestamp) -> Sheet {
    let spec = schedule.spec.clone().unwrap_or_default();
    let mut sheet = Sheet::default();
    sheet.line("Name", short_name(&schedule.name));
    sheet.line("State", state(schedule));
    if schedule.state() == v1::ScheduleState::Paused {
        sheet.line("Reason", or_none(&schedule.pause_reason));
        sheet.line("Paused by", or_none(&schedule.paused_by));
        sheet.line("Paused at", moment(schedule.paused_at.as_ref(), now));
    }
    if !schedule.problem.is_empty() {
        sheet.line("Problem", Cell::bad(or_none(&schedule.problem)));
    }
    sheet.line("Origin", word(schedule.origin().as_str_name(), "SCHEDULE_ORIGIN_"));
    sheet.line("Times", times(&spec));
    sheet.line("App", short_name(&spec.app));
    sheet.line("Queue", short_name(&spec.queue));
    sheet.line("Handler", or_none(&spec.handler));
    sheet.line("Input", or_none(&spec.input));
    for (title, text) in [("Tenant", &spec.tenant), ("Scope", &spec.scope)] {
        if !text.is_empty() {
            sheet.line(title, or_none(text));
        }
    }
    if spec.priority != 0 {
        sheet.line("Priority", spec.priority.to_string());
    }
    for (title, at) in [("Start", &spec.start), ("End", &spec.end)] {
        if at.is_some() {
            sheet.line(title, moment(at.as_ref(), now));
        }
    }
    if spec.jitter.is_some() {
        sheet.line("Jitter", duration(spec.jitter.as_ref()));
    }
    sheet.line("Overlap", word(spec.overlap().as_str_name(), "OVERLAP_POLICY_"));
    let catch_up = word(spec.catch_up().as_str_name(), "CATCH_UP_POLICY_");
    sheet.line(
        "Catch-up",
        match &spec.catch_up_window {
            None => catch_up,
            window => format!("{catch_up} of the last {}", duration(window.as_ref())),
        },
    );
    sheet.line("Next tick", moment(schedule.next_tick_at.as_ref(), now));
    sheet.line("Last tick", moment(schedule.last_tick_at.as_ref(), now));
    sheet.line("Last task", or_none(short_name(&schedule.last_task)));
    sheet.line("Lag", duration(schedule.lag.as_ref()));
    if let Some(at) = &schedule.last_skipped_at {
        sheet.line("Last skipped", format!("{} ({})", moment(Some(at), now), schedule.skip_reason));
    }
    sheet
}

fn ticks(preview: &v1::PreviewTimesResponse, now: Timestamp) -> Table {
    let mut table =
        Table::new([Column::text("TICK"), Column::text("TASK STARTS").wide(), Column::text("INPUT").gives()]);
    for tick in &preview.ticks {
        table.row([
            moment(tick.at.as_ref(), now).into(),
            moment(tick.run_at.as_ref(), now).into(),
            or_none(&tick.input).into(),
        ]);
    }
    table
}

fn backfilled(done: &v1::BackfillScheduleResponse, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.line("Made", count(u64::try_from(done.tasks.len()).unwrap_or(u64::MAX)));
    sheet.line("Known", count(done.known));
    if done.next_from.is_some() {
        sheet.line("Go on from", moment(done.next_from.as_ref(), now));
    }
    sheet
}
