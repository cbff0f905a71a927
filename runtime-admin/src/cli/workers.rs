//! `runtimectl worker …`.

use jiff::Timestamp;
use runtime_core::name::Scope;
use runtime_proto::v1;
use runtime_proto::v1::Worker;
use runtime_proto::v1::retry_policy::Delay;
use runtime_proto::v1::run_worker_request::Selection;

use super::args::{WorkerRun, WorkerVerb};
use super::failure::Failure;
use super::operations::Progress;
use super::output::Output;
use super::queues;
use super::table::{Cell, Column, Sheet, Table};
use super::tasks;
use super::words::{NONE, clean, duration, moment, or_none, short_name, word};
use crate::client::AdminClient;
use crate::convert::{task_name, timestamp, worker_name};

pub(super) async fn run(
    verb: WorkerVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        WorkerVerb::List => {
            let workers = output.saw(client.workers().await?);
            let event_cursor = output.as_of.clone();
            let whole = v1::ListWorkersResponse { workers, event_cursor, ..Default::default() };
            output.list(&whole, "workers", &whole.workers, |one| &one.name, |_| table(&whole.workers))?;
        }
        WorkerVerb::Get { worker } => {
            let worker = output.saw(client.worker(&worker).await?);
            output.sheet(&worker, &worker.name, |now| sheet(&worker, now))?;
        }
        WorkerVerb::Drain { worker, scope, change } => {
            let queue = client.worker(&worker).await?.what.queue;
            let queue = short_name(&queue).parse().map_err(|_| Failure::NoWorker(worker.to_string()))?;
            queues::drain(&queue, scope.as_ref(), &change.reason, client, output).await?;
        }
        WorkerVerb::Retry { worker, scope, many } => {
            let filter = filter_of(&client.worker(&worker).await?.what, scope.as_ref());
            tasks::retry(filter, false, &many, client, output).await?;
        }
        WorkerVerb::Run(run) => {
            let worker = format!("worker {}", run.worker);
            output.announce(if run.rebuild { "rebuild" } else { "run" }, &worker)?;
            let mut progress = Progress::of(output);
            let told = |so_far: &v1::RunWorkerResponse| {
                progress.bar(&format!("worker {}", run.worker), come_to(so_far), so_far.selected);
            };
            let end = client.run_worker(run.request(), told).await;
            progress.clear();
            let end = end?;
            output.sheet(&end, &end.correlation_id, |_| outcome(&end))?;
            if let Some(scope) = run.scope.as_ref().filter(|_| end.selected == 0) {
                let worker = client.worker(&run.worker).await?;
                if let Some(hint) = of_another_kind(&worker, scope) {
                    writeln!(output.stderr, "hint: {hint}")?;
                }
            }
            if unfinished(&end) {
                return Err(Failure::Partial("not every task that was run is done"));
            }
        }
    }
    Ok(())
}

/// Tasks of a worker, and of one scope when it is given.
fn filter_of(worker: &v1::Worker, scope: Option<&Scope>) -> String {
    let Worker { app, queue, .. } = worker;
    let (app, queue, handler) = (short_name(app), short_name(queue), &worker.handler);
    let mut filter = format!("app={app} AND queue={queue} AND handler={handler}");
    if let Some(scope) = scope {
        let quoted = scope.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        filter.push_str(&format!(" AND scope=\"{quoted}\""));
    }
    filter
}

impl WorkerRun {
    /// The request that asks for this.
    pub(super) fn request(&self) -> v1::RunWorkerRequest {
        let selection = match (&self.task, &self.scope) {
            (Some(task), _) => Some(Selection::Task(task_name(*task))),
            (None, scope) => scope.as_ref().map(|scope| Selection::Scope(scope.to_string())),
        };
        v1::RunWorkerRequest {
            name: worker_name(&self.worker),
            selection,
            correlation_id: self.correlation.as_ref().map(ToString::to_string).unwrap_or_default(),
            since: self.since.map(timestamp),
            until: self.until.map(timestamp),
            once: self.once,
            rebuild: self.rebuild,
            validate_only: self.change.dry_run,
            ..Default::default()
        }
    }
}

/// What to say of a scope that the worker is not run by.
fn of_another_kind(worker: &v1::Worker, scope: &Scope) -> Option<String> {
    let name = short_name(&worker.name);
    match worker.entry_point.as_ref().map_or("", |entry| &entry.scope_key) {
        "" => Some(format!("worker {name} has no scopes: --task ID runs one of its tasks")),
        key if scope.as_str().split_once('=').is_some_and(|(of, _)| of == key) => None,
        key => Some(format!("worker {name} is run by scopes such as {key}=…")),
    }
}

/// Whether something that was run is neither done nor decided.
fn unfinished(end: &v1::RunWorkerResponse) -> bool {
    let counts = end.counts.unwrap_or_default();
    end.refused + counts.scheduled + counts.ready + counts.leased + counts.parked + counts.dead > 0
}

/// Tasks whose attempt has ended, or that could not be claimed.
fn come_to(run: &v1::RunWorkerResponse) -> u64 {
    let counts = run.counts.unwrap_or_default();
    run.refused
        + counts.done
        + counts.cancelled
        + counts.dead
        + counts.parked
        + counts.scheduled
        + counts.ready
}

/// How a run went, as a sheet.
fn outcome(end: &v1::RunWorkerResponse) -> Sheet {
    let counts = end.counts.unwrap_or_default();
    let mut sheet = Sheet::default();
    sheet.line("Correlation", clean(&end.correlation_id));
    sheet.line("Selected", end.selected.to_string());
    for (name, count) in [
        ("Made anew", end.made),
        ("Done", counts.done),
        ("Cancelled", counts.cancelled),
        ("Dead", counts.dead),
        ("Parked", counts.parked),
        ("Wait for a retry", counts.scheduled),
        ("Ready again", counts.ready),
        ("Leased", counts.leased),
        ("Not claimed", end.refused),
    ] {
        if count > 0 {
            sheet.line(name, count.to_string());
        }
    }
    sheet
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

fn sheet(worker: &v1::Worker, now: Timestamp) -> Sheet {
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
    sheet.line("Flow", or_none(&worker.flow));
    sheet.line("Depends on", or_none(&worker.dependencies.join(", ")));
    for dependency in &worker.breakers {
        sheet.line("Breaker", breaker(dependency, now));
    }
    sheet
}

/// Where the breaker of a dependency stands, in one line.
fn breaker(dependency: &v1::Dependency, now: Timestamp) -> Cell {
    let (name, failures) = (clean(&dependency.name), dependency.failures);
    let since = moment(dependency.since.as_ref(), now);
    match dependency.state() {
        v1::BreakerState::Open => {
            let next = moment(dependency.next_probe_at.as_ref(), now);
            Cell::bad(format!("{name} open since {since}; {failures} failures, next probe {next}"))
        }
        v1::BreakerState::HalfOpen => {
            Cell::warn(format!("{name} half-open since {since}; {} probes under way", dependency.probing))
        }
        _ => Cell::plain(format!("{name} closed since {since}; {failures} failures in a row")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_of_another_kind_than_the_worker_s_is_told() {
        let worker = |key: &str| v1::Worker {
            name: "workers/settle".into(),
            entry_point: Some(v1::EntryPoint { scope_key: key.into(), ..Default::default() }),
            ..Default::default()
        };
        let told = |key: &str, scope: &str| of_another_kind(&worker(key), &scope.parse().expect("a scope"));
        assert_eq!(told("store", "store=1"), None);
        for scope in ["1", "stores=1"] {
            assert_eq!(told("store", scope).unwrap(), "worker settle is run by scopes such as store=…");
        }
        assert!(told("", "store=1").unwrap().contains("--task ID"));
    }
}
