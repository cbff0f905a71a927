//! `runtimectl worker …`.

use runtime_proto::v1;

use super::args::WorkerVerb;
use super::failure::Failure;
use super::output::Output;
use super::table::{Column, Sheet, Table};
use super::words::{clean, duration, or_none, short_name, word};
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
        Column::text("EFFECTS").wide(),
        Column::text("RESPONSIBILITY").wide(),
    ]);
    for worker in workers {
        let attempts = worker.retry.as_ref().map_or(0, |retry| retry.max_attempts);
        let effect = |effect: &v1::Effect| {
            format!("{} ({})", effect.step, word(effect.class().as_str_name(), "EFFECT_CLASS_"))
        };
        table.row([
            short_name(&worker.name).into(),
            short_name(&worker.app).into(),
            short_name(&worker.queue).into(),
            worker.handler.clone().into(),
            worker.slots.to_string().into(),
            duration(worker.timeout.as_ref()).into(),
            attempts.to_string().into(),
            or_none(&worker.effects.iter().map(effect).collect::<Vec<_>>().join(", ")).into(),
            clean(&worker.responsibility).into(),
        ]);
    }
    table
}
