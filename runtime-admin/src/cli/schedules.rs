//! `runtimectl schedule …`.

use jiff::Timestamp;
use runtime_core::name::ScheduleName;
use runtime_proto::v1;
use runtime_proto::v1::schedule_spec::Timing;

use super::args::{ScheduleCreate, ScheduleVerb};
use super::failure::Failure;
use super::output::Output;
use super::table::{Cell, Column, Sheet, Table};
use super::words::{NONE, count, duration, moment, or_none, short_name, word};
use crate::client::AdminClient;
use crate::convert::{duration as wire_duration, schedule_name, worker_name};

pub(super) async fn run(
    verb: ScheduleVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        ScheduleVerb::List => {
            let schedules = client.schedules().await?;
            let whole = v1::ListSchedulesResponse { schedules, next_page_token: String::new() };
            output.list(&whole, &whole.schedules, |one| &one.name, |now| table(&whole.schedules, now))?;
        }
        ScheduleVerb::Get { schedule } => show(&client.schedule(&schedule).await?, output)?,
        ScheduleVerb::Preview { schedule, after, count } => {
            let preview = client.preview_schedule(&schedule, after, count.get()).await?;
            output.one(&preview, &schedule_name(&schedule), |now, wide| {
                ticks(&preview, now).render(wide, false)
            })?;
        }
        ScheduleVerb::Pause { schedule, reason } => {
            announce("pause", &schedule, output)?;
            show(&client.pause_schedule(&schedule, &reason).await?, output)?;
        }
        ScheduleVerb::Resume { schedule } => {
            announce("resume", &schedule, output)?;
            show(&client.resume_schedule(&schedule).await?, output)?;
        }
        ScheduleVerb::Trigger { schedule } => {
            announce("trigger", &schedule, output)?;
            let made = client.trigger_schedule(&schedule).await?;
            output.sheet(&made, &made.task, |_| {
                let mut sheet = Sheet::default();
                sheet.line("Task", short_name(&made.task));
                sheet
            })?;
        }
        ScheduleVerb::Backfill { schedule, from, until } => {
            announce("backfill", &schedule, output)?;
            let done = client.backfill_schedule(&schedule, from, until).await?;
            output.sheet(&done, &schedule_name(&schedule), |now| backfilled(&done, now))?;
            if done.next_from.is_some() {
                return Err(Failure::Partial("the period has more ticks: go on from there"));
            }
        }
        ScheduleVerb::Create(create) => {
            announce("create", &create.schedule, output)?;
            let spec = spec(&create, client).await?;
            show(&client.create_schedule(&create.schedule, spec).await?, output)?;
        }
        ScheduleVerb::Delete { schedule } => {
            announce("delete", &schedule, output)?;
            client.delete_schedule(&schedule).await?;
        }
    }
    Ok(())
}

fn announce(verb: &str, schedule: &ScheduleName, output: &mut Output<'_>) -> Result<(), Failure> {
    Ok(output.announce(verb, &format!("schedule {schedule}"))?)
}

fn show(schedule: &v1::Schedule, output: &mut Output<'_>) -> Result<(), Failure> {
    Ok(output.sheet(schedule, &schedule.name, |now| sheet(schedule, now))?)
}

async fn spec(create: &ScheduleCreate, client: &AdminClient) -> Result<v1::ScheduleSpec, Failure> {
    let wanted = worker_name(&create.worker);
    let workers = client.workers().await?;
    let worker = workers
        .into_iter()
        .find(|worker| worker.name == wanted)
        .ok_or_else(|| Failure::NoWorker(create.worker.to_string()))?;
    let timing = match (&create.cron, create.every_secs) {
        (Some(expression), _) => {
            Timing::Cron(v1::CronTiming { expression: expression.clone(), zone: create.zone.clone() })
        }
        (None, every) => {
            let secs = every.map_or(0, |secs| secs.get());
            Timing::Every(wire_duration(std::time::Duration::from_secs(secs.into())))
        }
    };
    Ok(v1::ScheduleSpec {
        app: worker.app,
        queue: worker.queue,
        handler: worker.handler,
        input: create.payload.clone(),
        timing: Some(timing),
        overlap: create.overlap.wire().into(),
        catch_up: create.catch_up.wire().into(),
        scope: create.scope.as_ref().map(ToString::to_string).unwrap_or_default(),
        ..v1::ScheduleSpec::default()
    })
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
        v1::ScheduleState::Orphaned => Cell::bad(text),
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
    sheet.line("Overlap", word(spec.overlap().as_str_name(), "OVERLAP_POLICY_"));
    sheet.line("Catch-up", word(spec.catch_up().as_str_name(), "CATCH_UP_POLICY_"));
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
    let mut table = Table::new([Column::text("TICK"), Column::text("TASK STARTS")]);
    for tick in &preview.ticks {
        table.row([moment(tick.at.as_ref(), now).into(), moment(tick.run_at.as_ref(), now).into()]);
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
