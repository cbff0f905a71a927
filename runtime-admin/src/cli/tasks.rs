//! `runtimectl task …`.

use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use runtime_core::store::TaskCommand;
use runtime_core::task::{TaskId, UniqueWithin};
use runtime_proto::v1;

use super::args::{ConflictPolicy, EnqueueArgs, Many, TaskOrMany, TaskVerb};
use super::failure::Failure;
use super::operations::{Found, agreed, watch};
use super::output::Output;
use super::table::{Cell, Column, Sheet, Table};
use super::words::{age, clean, count, duration, moment, node_name, or_none, short_name, task_state};
use crate::client::AdminClient;
use crate::convert::{duration as wire_duration, timestamp, worker_name};

pub(super) async fn run(
    verb: TaskVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        TaskVerb::List { filter, limit } => list(&filter, limit.get(), client, output).await,
        TaskVerb::Get(target) => get(target.id, client, output).await,
        TaskVerb::Enqueue(args) => enqueue(*args, client, output).await,
        TaskVerb::Count { filter } => count_tasks(&filter, client, output).await,
        TaskVerb::Payload { target, result } => payload_of(target.id, result, client, output).await,
        TaskVerb::Retry(target) => match target.id {
            Some(id) => steer(id, "retry", TaskCommand::Retry, client, output).await,
            None => retry(target.filter.unwrap_or_default(), target.all, &target.many, client, output).await,
        },
        TaskVerb::Reschedule { target, at, .. } => {
            steer(target.id, "reschedule", TaskCommand::Reschedule { at }, client, output).await
        }
        TaskVerb::Resolve { target, approve, .. } => {
            let (word, command) =
                if approve { ("approve", TaskCommand::Approve) } else { ("reject", TaskCommand::Reject) };
            steer(target.id, word, command, client, output).await
        }
        TaskVerb::Cancel(target) => match target.id {
            Some(id) => steer(id, "cancel", TaskCommand::Cancel, client, output).await,
            None => cancel(target, client, output).await,
        },
        TaskVerb::Delete { target, change, yes } => {
            delete(target.id, change.reason, yes, client, output).await
        }
        TaskVerb::Replay { target, payload, at, .. } => {
            let payload = payload.as_deref().map(read).transpose()?;
            steer(target.id, "replay", TaskCommand::Replay { at, payload }, client, output).await
        }
        TaskVerb::Discard { target, change } => {
            let reason = change.reason;
            steer(target.id, "discard", TaskCommand::Discard { reason }, client, output).await
        }
    }
}

async fn list(
    filter: &str,
    limit: usize,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let tasks = output.saw(client.tasks(filter, limit).await?);
    output.cut_at(limit, tasks.len())?;
    let whole = v1::ListTasksResponse { tasks, event_cursor: output.as_of.clone(), ..Default::default() };
    output.list(&whole, "tasks", &whole.tasks, |task| &task.name, |now| table(&whole.tasks, now))?;
    Ok(())
}

async fn get(id: TaskId, client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let detail = client.task(id).await?;
    output.as_of.clone_from(&detail.event_cursor);
    let task = detail.task.clone().unwrap_or_default();
    let colours = output.colours;
    output.one(&detail, &task.name, |now, wide| {
        let mut text = sheet(&task, now).render(colours);
        if !detail.attempts.is_empty() {
            text.push('\n');
            text.push_str(&attempts(&detail.attempts, now).render(wide, colours));
        }
        text
    })?;
    Ok(())
}

async fn steer(
    id: TaskId,
    word: &str,
    command: TaskCommand,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    output.announce(word, &format!("task {id}"))?;
    client.steer_task(id, command).await?;
    let task = client.task(id).await?.task.unwrap_or_default();
    show(&task, output)
}

async fn count_tasks(filter: &str, client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let counted = client.count_tasks(filter).await?;
    output.as_of.clone_from(&counted.event_cursor);
    let at_least = if counted.at_least { "at least " } else { "" };
    output.sheet(&counted, "", |_| {
        let counts = counted.counts.unwrap_or_default();
        let mut sheet = Sheet::default();
        sheet.line("Total", format!("{at_least}{}", count(counted.total)));
        for (state, tasks) in [
            ("Scheduled", counts.scheduled),
            ("Ready", counts.ready),
            ("Leased", counts.leased),
            ("Parked", counts.parked),
            ("Done", counts.done),
            ("Dead", counts.dead),
            ("Cancelled", counts.cancelled),
        ] {
            if tasks > 0 {
                sheet.line(state, count(tasks));
            }
        }
        sheet
    })?;
    Ok(())
}

/// The bytes as they are: for a file or another program.
async fn payload_of(
    id: TaskId,
    result: bool,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let read = client.task_payload(id).await?;
    output.stdout.write_all(if result { &read.output } else { &read.payload })?;
    output.stdout.flush()?;
    Ok(())
}

/// Tasks that wait for their time go now.
pub(super) async fn retry(
    filter: String,
    all: bool,
    many: &Many,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut request = v1::RetryTasksRequest {
        filter,
        all,
        rate: many.rate.map_or(0, Into::into),
        validate_only: true,
        ..Default::default()
    };
    let found = client.retry_tasks(request.clone()).await?;
    let found = Found { matched: found.matched, at_least: found.at_least, sample: &found.sample };
    if !agreed("retry", "waiting task", many.yes, found, output)? {
        return Ok(());
    }
    request.validate_only = false;
    let begun = client.retry_tasks(request).await?.operation.unwrap_or_default();
    watch(&begun.name, client, output).await
}

async fn cancel(target: TaskOrMany, client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let many = target.many;
    let mut request = v1::CancelTasksRequest {
        filter: target.filter.unwrap_or_default(),
        all: target.all,
        rate: many.rate.map_or(0, Into::into),
        validate_only: true,
        ..Default::default()
    };
    let found = client.cancel_tasks(request.clone()).await?;
    let found = Found { matched: found.matched, at_least: found.at_least, sample: &found.sample };
    if !agreed("cancel", "unfinished task", many.yes, found, output)? {
        return Ok(());
    }
    request.validate_only = false;
    let begun = client.cancel_tasks(request).await?.operation.unwrap_or_default();
    watch(&begun.name, client, output).await
}

async fn delete(
    id: TaskId,
    reason: String,
    yes: bool,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let task = client.task(id).await?.task.unwrap_or_default();
    output.announce("delete", &format!("task {id}"))?;
    output.sample(&table(std::slice::from_ref(&task), output.clock.now()))?;
    let question = format!("delete task {id} at {}?", output.place);
    output.confirm(&question, yes)?;
    client.steer_task(id, TaskCommand::Delete { reason }).await?;
    Ok(())
}

async fn enqueue(args: EnqueueArgs, client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let payload = payload(&args)?;
    let (unique_within, unique_for) = match args.unique_within {
        None => (v1::UniqueWithin::Unspecified, None),
        Some(UniqueWithin::Remembered) => (v1::UniqueWithin::Remembered, None),
        Some(UniqueWithin::WhileWaiting) => (v1::UniqueWithin::WhileWaiting, None),
        Some(UniqueWithin::WhileLive) => (v1::UniqueWithin::WhileLive, None),
        Some(UniqueWithin::For(time)) => (v1::UniqueWithin::Period, Some(wire_duration(time))),
        Some(UniqueWithin::Forever) => (v1::UniqueWithin::Forever, None),
    };
    let on_conflict = match args.on_conflict {
        None => v1::OnConflict::Unspecified,
        Some(ConflictPolicy::Insert) => v1::OnConflict::Insert,
        Some(ConflictPolicy::Ignore) => v1::OnConflict::Ignore,
        Some(ConflictPolicy::Replace) => v1::OnConflict::Replace,
        Some(ConflictPolicy::Debounce) => v1::OnConflict::Debounce,
    };
    let wanted = worker_name(&args.worker);
    let workers = client.workers().await?;
    let worker = workers
        .into_iter()
        .find(|worker| worker.name == wanted)
        .ok_or_else(|| Failure::NoWorker(args.worker.to_string()))?;
    output.announce("enqueue", &format!("a task for worker {}", args.worker))?;
    let answer = client
        .enqueue(v1::EnqueueTaskRequest {
            app: worker.app,
            queue: worker.queue,
            handler: worker.handler,
            payload,
            schema_version: 0,
            tenant: text(args.tenant),
            scope: text(args.scope),
            priority: args.priority.into(),
            weight: args.weight.get(),
            idempotency_key: text(args.key),
            ordering_key: String::new(),
            run_at: args.run_at.map(timestamp),
            deadline: args.deadline.map(timestamp),
            max_attempts: args.max_attempts.map_or(0, Into::into),
            correlation_id: text(args.correlation),
            unique_within: unique_within.into(),
            unique_for,
            on_conflict: on_conflict.into(),
            debounce_at_most: args.debounce_at_most.map(wire_duration),
            ..Default::default()
        })
        .await?;
    output.one(&answer, &answer.name, |now, _| {
        let mut sheet = Sheet::default();
        sheet.line("Name", short_name(&answer.name));
        match answer.outcome() {
            v1::EnqueueOutcome::Unspecified | v1::EnqueueOutcome::Accepted => {}
            v1::EnqueueOutcome::Duplicate => {
                sheet.line("Duplicate", "yes: the key was known, nothing was made");
                sheet.line("State", task_state(answer.state()));
            }
            v1::EnqueueOutcome::Replaced => {
                sheet.line("Replaced", "yes: the key was known, its task waited and was changed");
            }
            v1::EnqueueOutcome::Debounced => {
                sheet.line("Put off", "yes: the key was known, its task waited and was changed");
                sheet.line("Due", moment(answer.run_at.as_ref(), now));
            }
        }
        sheet.render(false)
    })?;
    Ok(())
}

fn payload(args: &EnqueueArgs) -> Result<Vec<u8>, Failure> {
    match &args.payload_file {
        Some(file) => read(file),
        None => Ok(args.payload.clone().unwrap_or_default().into_bytes()),
    }
}

/// A document from a file, or from the standard input.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    read.map_err(|source| Failure::Input { file: file.display().to_string(), source })
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn show(task: &v1::Task, output: &mut Output<'_>) -> Result<(), Failure> {
    let colours = output.colours;
    output.one(task, &task.name, |now, wide| table(std::slice::from_ref(task), now).render(wide, colours))?;
    Ok(())
}

/// Tasks, a row each.
pub(super) fn table(tasks: &[v1::Task], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME"),
        Column::text("STATE"),
        Column::text("HANDLER").gives(),
        Column::text("APP").wide(),
        Column::text("QUEUE").wide(),
        Column::text("TENANT").wide(),
        Column::text("SCOPE").wide(),
        Column::figure("ATTEMPT"),
        Column::text("CODE"),
        Column::text("ERROR").wide(),
        Column::figure("AGE"),
    ]);
    for task in tasks {
        let error = task.last_error.clone().unwrap_or_default();
        table.row([
            short_name(&task.name).into(),
            task_state(task.state()),
            task.handler.clone().into(),
            short_name(&task.app).into(),
            short_name(&task.queue).into(),
            or_none(&task.tenant).into(),
            or_none(&task.scope).into(),
            attempt_of(task, "/").into(),
            or_none(&error.code).into(),
            or_none(&error.message).into(),
            age(task.created_at.as_ref(), now).into(),
        ]);
    }
    table
}

fn attempts(attempts: &[v1::Attempt], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::figure("ATTEMPT"),
        Column::text("OUTCOME"),
        Column::text("CODE"),
        Column::text("CLASS").wide(),
        Column::text("INSTANCE").gives(),
        Column::text("NODE").wide(),
        Column::figure("TOOK"),
        Column::text("TRACE").wide(),
        Column::text("ERROR").wide(),
        Column::figure("AGE"),
    ]);
    for attempt in attempts {
        let error = attempt.error.clone().unwrap_or_default();
        table.row([
            attempt.attempt.to_string().into(),
            clean(&attempt.outcome).into(),
            or_none(&error.code).into(),
            or_none(&error.error_class).into(),
            clean(&attempt.instance).into(),
            or_none(node_name(&attempt.node).as_str()).into(),
            duration(attempt.took.as_ref()).into(),
            or_none(&attempt.trace_id).into(),
            or_none(&error.message).into(),
            age(attempt.started_at.as_ref(), now).into(),
        ]);
    }
    table
}

fn sheet(task: &v1::Task, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.line("Name", short_name(&task.name));
    sheet.line("State", task_state(task.state()));
    sheet.line("App", short_name(&task.app));
    sheet.line("Queue", short_name(&task.queue));
    sheet.line("Handler", task.handler.as_str());
    sheet.line("Attempt", attempt_of(task, " of "));
    if let Some(error) = &task.last_error {
        let kind = if task.state() == v1::TaskState::Parked { "Parked for" } else { "Last error" };
        sheet.line(kind, format!("{} {}: {}", error.code, error.code_name, clean(&error.message)));
        optional(&mut sheet, "Error field", &error.field);
    }
    if let Some(held) = &task.held {
        sheet.line("Held", Cell::warn(hold(held)));
    }
    if let Some(lease) = &task.lease {
        sheet.line(
            "Leased by",
            format!("{} until {}", clean(&lease.instance), moment(lease.until.as_ref(), now)),
        );
    }
    if let Some(progress) = &task.progress {
        sheet.line("Progress", format!("{:.0} % {}", progress.fraction * 100.0, clean(&progress.note)));
    }
    sheet.line("Created", moment(task.created_at.as_ref(), now));
    sheet.line("Due", moment(task.run_at.as_ref(), now));
    if task.deadline.is_some() {
        sheet.line("Deadline", moment(task.deadline.as_ref(), now));
    }
    if task.finished_at.is_some() {
        sheet.line("Finished", moment(task.finished_at.as_ref(), now));
    }
    sheet.line("Priority", task.priority.to_string());
    sheet.line("Weight", task.weight.to_string());
    optional(&mut sheet, "Tenant", &task.tenant);
    optional(&mut sheet, "Scope", &task.scope);
    optional(&mut sheet, "Idempotency", &task.idempotency_key);
    optional(&mut sheet, "Ordering", &task.ordering_key);
    optional(&mut sheet, "Correlation", &task.correlation_id);
    optional(&mut sheet, "Caused by", short_name(&task.caused_by));
    optional(&mut sheet, "Trace", &task.trace_id);
    if task.approved {
        sheet.line("Approved", "yes");
    }
    if task.edited {
        sheet.line("Edited", "yes: replayed with another payload");
    }
    if task.crash_count > 0 {
        sheet.line("Crashes", task.crash_count.to_string());
    }
    sheet.line("Payload", format!("{} bytes, schema {}", count(task.payload_bytes), task.schema_version));
    if task.output_bytes > 0 {
        sheet.line("Output", format!("{} bytes", count(task.output_bytes)));
    }
    sheet
}

/// Why a task waits although it may be due.
fn hold(held: &v1::TaskHold) -> String {
    let behind = format!("behind {} of its ordering key", short_name(&held.behind));
    match (held.behind.is_empty(), held.scope_paused) {
        (true, _) => "its scope is paused".to_owned(),
        (false, false) => behind,
        (false, true) => format!("its scope is paused, and it is {behind}"),
    }
}

fn optional(sheet: &mut Sheet, title: &'static str, text: &str) {
    if !text.is_empty() {
        sheet.line(title, clean(text));
    }
}

/// The attempt, and of how many, when the task itself says.
fn attempt_of(task: &v1::Task, of: &str) -> String {
    if task.max_attempts == 0 {
        task.attempt.to_string()
    } else {
        format!("{}{of}{}", task.attempt, task.max_attempts)
    }
}
