//! `runtimectl worker …`.

use runtime_proto::v1;
use runtime_proto::v1::retry_policy::Delay;

use super::args::WorkerVerb;
use super::failure::Failure;
use super::output::Output;
use super::table::{Column, Sheet, Table};
use super::words::{NONE, clean, duration, or_none, short_name, word};
use crate::client::{AdminClient, RunSelection};

pub(super) async fn run(
    verb: WorkerVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        WorkerVerb::List => {
            let whole =
                v1::ListWorkersResponse { workers: client.workers().await?, next_page_token: String::new() };
            output.list(&whole, &whole.workers, |worker| &worker.name, |_| table(&whole.workers))?;
        }
        WorkerVerb::Get { worker } => {
            let worker = client.worker(&worker).await?;
            output.sheet(&worker, &worker.name, |_| sheet(&worker))?;
        }
        WorkerVerb::Run { worker, task, scope, correlation } => {
            let selection = match (task, scope) {
                (Some(task), _) => RunSelection::Task(task),
                (None, Some(scope)) => RunSelection::Scope(scope),
                (None, None) => unreachable!("the command line asks for one of the two"),
            };
            output.announce("run", &format!("worker {worker}"))?;
            let started = client.run_worker(&worker, selection, correlation).await?;
            output.sheet(&started, &started.task, |_| {
                let mut sheet = Sheet::default();
                sheet.line("Task", short_name(&started.task));
                sheet.line("Correlation", clean(&started.correlation_id));
                sheet
            })?;
        }
    }
    Ok(())
}

fn table(workers: &[v1::Worker]) -> Table {
    let mut table = Table::new([
        Column::text("NAME").gives(),
        Column::text("APP").gives(),
        Column::text("QUEUE").gives(),
        Column::text("HANDLER").gives(),
        Column::figure("SLOTS"),
        Column::figure("TIMEOUT"),
        Column::figure("ATTEMPTS"),
        Column::text("SCOPE"),
        Column::text("EFFECTS").wide(),
        Column::text("RESPONSIBILITY").wide(),
    ]);
    for worker in workers {
        let attempts = worker.retry.as_ref().map_or(0, |retry| retry.max_attempts);
        table.row([
            short_name(&worker.name).into(),
            short_name(&worker.app).into(),
            short_name(&worker.queue).into(),
            worker.handler.clone().into(),
            worker.slots.to_string().into(),
            duration(worker.timeout.as_ref()).into(),
            attempts.to_string().into(),
            scope_key(worker).into(),
            effects(worker).into(),
            clean(&worker.responsibility).into(),
        ]);
    }
    table
}

fn sheet(worker: &v1::Worker) -> Sheet {
    let retry = worker.retry.unwrap_or_default();
    let delay = match &retry.delay {
        Some(Delay::Fixed(wait)) => format!("{} apart", duration(Some(wait))),
        Some(Delay::Exponential(grows)) => format!(
            "up to {} apart, times {}, at most {}",
            duration(grows.first.as_ref()),
            grows.factor,
            duration(grows.cap.as_ref())
        ),
        None => NONE.to_owned(),
    };
    let horizon = duration(worker.retry_horizon.as_ref());
    let entry = match scope_key(worker).as_str() {
        NONE => "one task".to_owned(),
        key => format!("one task, or scope {key}=…"),
    };
    let rebuilds = worker.entry_point.as_ref().is_some_and(|entry| entry.rebuilds);
    let mut sheet = Sheet::default();
    sheet.line("Name", short_name(&worker.name));
    sheet.line("Responsibility", clean(&worker.responsibility));
    sheet.line("Serves", or_none(&worker.serves));
    sheet.line("Writes", or_none(&worker.writes.iter().map(home).collect::<Vec<_>>().join(", ")));
    sheet.line("App", short_name(&worker.app));
    sheet.line("Queue", short_name(&worker.queue));
    sheet.line("Handler", clean(&worker.handler));
    sheet.line("Input", clean(&worker.input_schema));
    sheet.line("Input version", worker.schema_version.to_string());
    sheet.line("Retry", format!("{} attempts, {delay}; all within {horizon}", retry.max_attempts));
    sheet.line("Key", or_none(&worker.idempotency_key));
    sheet.line("Effects", effects(worker));
    sheet.line("Entry point", format!("{entry}{}", if rebuilds { "; rebuilds" } else { "" }));
    sheet.line("Slots", worker.slots.to_string());
    sheet.line("Timeout", duration(worker.timeout.as_ref()));
    sheet.line("Deadline", duration(worker.deadline.as_ref()));
    sheet.line("Depends on", or_none(&worker.dependencies.join(", ")));
    sheet
}

fn effects(worker: &v1::Worker) -> String {
    let effect = |effect: &v1::Effect| {
        format!("{} ({})", effect.step, word(effect.class().as_str_name(), "EFFECT_CLASS_"))
    };
    or_none(&worker.effects.iter().map(effect).collect::<Vec<_>>().join(", "))
}

fn home(home: &v1::Home) -> String {
    let kind = word(home.kind().as_str_name(), "HOME_KIND_");
    if home.name.is_empty() { kind } else { format!("{kind} {}", clean(&home.name)) }
}

fn scope_key(worker: &v1::Worker) -> String {
    or_none(worker.entry_point.as_ref().map_or("", |entry| &entry.scope_key))
}
