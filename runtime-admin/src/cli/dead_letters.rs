//! `runtimectl dead-letter …`.

use jiff::Timestamp;
use runtime_proto::v1;

use super::args::{DeadLetterTarget, DeadLetterVerb};
use super::failure::Failure;
use super::operations::{Found, Progress, agreed, ended};
use super::output::Output;
use super::table::{Column, Table};
use super::tasks;
use super::words::{age, clean, count, short_name};
use crate::client::AdminClient;

pub(super) async fn run(
    verb: DeadLetterVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        DeadLetterVerb::List { filter, limit } => list(&filter, limit.get(), client, output).await,
        DeadLetterVerb::Groups { filter } => {
            let whole = client.dead_letter_groups(&filter).await?;
            output.as_of.clone_from(&whole.event_cursor);
            if whole.at_least {
                writeln!(
                    output.stderr,
                    "not all were counted: there are at least so many, perhaps in other groups too"
                )?;
            }
            let table = |now| groups(&whole.groups, now);
            output.list(&whole, "dead letters", &whole.groups, |group| &group.example, table)?;
            Ok(())
        }
        DeadLetterVerb::Replay(target) => replay(target, client, output).await,
        DeadLetterVerb::Discard(target) => discard(target, client, output).await,
    }
}

async fn list(
    filter: &str,
    limit: usize,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let tasks = output.saw(client.dead_letters(filter, limit).await?);
    output.cut_at(limit, tasks.len())?;
    let event_cursor = output.as_of.clone();
    let whole = v1::ListDeadLettersResponse { tasks, event_cursor, ..Default::default() };
    let table = |now| tasks::table(&whole.tasks, now);
    output.list(&whole, "dead letters", &whole.tasks, |task| &task.name, table)?;
    Ok(())
}

async fn replay(
    target: DeadLetterTarget,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut request = v1::ReplayDeadLettersRequest {
        filter: target.filter.unwrap_or_default(),
        all: target.all,
        rate: target.many.rate.map_or(0, Into::into),
        validate_only: true,
        ..Default::default()
    };
    let found = client.replay_dead_letters(request.clone(), |_| ()).await?;
    let found = Found { matched: found.matched, at_least: found.at_least, sample: &found.sample };
    if !agreed("replay", "dead task", target.many.yes, found, output)? {
        return Ok(());
    }
    request.validate_only = false;
    let mut progress = Progress::of(output);
    let told = |message: &v1::ReplayDeadLettersResponse| {
        message.operation.iter().for_each(|operation| progress.show(operation));
    };
    let end = client.replay_dead_letters(request, told).await;
    progress.clear();
    ended(&end?.operation.unwrap_or_default(), output)
}

async fn discard(
    target: DeadLetterTarget,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut request = v1::DiscardDeadLettersRequest {
        filter: target.filter.unwrap_or_default(),
        all: target.all,
        validate_only: true,
        rate: target.many.rate.map_or(0, Into::into),
        ..Default::default()
    };
    let found = client.discard_dead_letters(request.clone(), |_| ()).await?;
    let found = Found { matched: found.matched, at_least: found.at_least, sample: &found.sample };
    if !agreed("discard", "dead task", target.many.yes, found, output)? {
        return Ok(());
    }
    request.validate_only = false;
    let mut progress = Progress::of(output);
    let told = |message: &v1::DiscardDeadLettersResponse| {
        message.operation.iter().for_each(|operation| progress.show(operation));
    };
    let end = client.discard_dead_letters(request, told).await;
    progress.clear();
    ended(&end?.operation.unwrap_or_default(), output)
}

fn groups(groups: &[v1::DeadLetterGroup], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("QUEUE").gives(),
        Column::text("HANDLER").gives(),
        Column::text("CODE"),
        Column::text("MEANING").gives(),
        Column::text("CLASS").wide(),
        Column::text("APP").wide(),
        Column::figure("COUNT"),
        Column::figure("FIRST"),
        Column::text("EXAMPLE").wide(),
        Column::figure("AGE"),
    ]);
    for group in groups {
        table.row([
            short_name(&group.queue).into(),
            clean(&group.handler).into(),
            clean(&group.code).into(),
            clean(&group.code_name).into(),
            clean(&group.error_class).into(),
            short_name(&group.app).into(),
            format!("{}{}", count(group.count), if group.at_least { "+" } else { "" }).into(),
            age(group.oldest_at.as_ref(), now).into(),
            short_name(&group.example).into(),
            age(group.newest_at.as_ref(), now).into(),
        ]);
    }
    table
}
