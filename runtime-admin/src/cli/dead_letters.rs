//! `runtimectl dead-letter …`.

use jiff::Timestamp;
use runtime_proto::v1;

use super::args::{DeadLetterTarget, DeadLetterVerb};
use super::failure::Failure;
use super::output::Output;
use super::table::{Column, Sheet, Table};
use super::tasks;
use super::words::{age, clean, count, moment, short_name};
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
            output.list(&whole, &whole.groups, |group| &group.example, |now| groups(&whole.groups, now))?;
            Ok(())
        }
        DeadLetterVerb::Replay { target, rate } => {
            replay(target, rate.map_or(0, Into::into), client, output).await
        }
        DeadLetterVerb::Discard { target, reason } => discard(target, reason, client, output).await,
    }
}

async fn list(
    filter: &str,
    limit: usize,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let tasks = client.dead_letters(filter, limit).await?;
    if tasks.len() == limit {
        writeln!(output.stderr, "listed the newest {limit}; --limit changes that")?;
    }
    let whole = v1::ListDeadLettersResponse { tasks, next_page_token: String::new() };
    output.list(&whole, &whole.tasks, |task| &task.name, |now| tasks::table(&whole.tasks, now))?;
    Ok(())
}

async fn replay(
    target: DeadLetterTarget,
    rate: u32,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut request = v1::ReplayDeadLettersRequest {
        filter: target.filter.clone().unwrap_or_default(),
        all: target.all,
        rate,
        validate_only: true,
    };
    let preview = client.replay_dead_letters(request.clone(), |_| ()).await?;
    let end = if agreed("replay", &target, preview.matched, &preview.sample, output)? {
        request.validate_only = false;
        client.replay_dead_letters(request, |_| ()).await?
    } else {
        preview
    };
    output.sheet(&end, "", |now| {
        let mut sheet = outcome(end.matched, "Replayed", end.replayed);
        if end.due_by.is_some() {
            sheet.line("Due by", moment(end.due_by.as_ref(), now));
        }
        sheet
    })?;
    complete(target.dry_run || end.replayed == end.matched)
}

async fn discard(
    target: DeadLetterTarget,
    reason: String,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut request = v1::DiscardDeadLettersRequest {
        filter: target.filter.clone().unwrap_or_default(),
        all: target.all,
        reason,
        validate_only: true,
    };
    let preview = client.discard_dead_letters(request.clone(), |_| ()).await?;
    let end = if agreed("discard", &target, preview.matched, &preview.sample, output)? {
        request.validate_only = false;
        client.discard_dead_letters(request, |_| ()).await?
    } else {
        preview
    };
    output.sheet(&end, "", |_| outcome(end.matched, "Discarded", end.discarded))?;
    complete(target.dry_run || end.discarded == end.matched)
}

/// Shows what is about to be changed: how many, where, and some of them; then asks. `false` for a dry run, which only shows.
fn agreed(
    verb: &str,
    target: &DeadLetterTarget,
    matched: u64,
    sample: &[v1::Task],
    output: &mut Output<'_>,
) -> Result<bool, Failure> {
    let doing = if target.dry_run { format!("would {verb}") } else { verb.to_owned() };
    output.announce(&doing, &number(matched))?;
    if !sample.is_empty() {
        write!(output.stderr, "{}", tasks::table(sample, output.now).render(false, false))?;
    }
    if matched > sample.len() as u64 {
        writeln!(output.stderr, "and {} more", count(matched - sample.len() as u64))?;
    }
    if matched > 0 && !target.dry_run {
        let question = format!("{verb} {} at {}?", number(matched), output.endpoint);
        output.confirm(&question, target.yes)?;
    }
    Ok(!target.dry_run)
}

fn number(matched: u64) -> String {
    if matched == 1 { "1 dead task".to_owned() } else { format!("{} dead tasks", count(matched)) }
}

fn outcome(matched: u64, what: &'static str, acted: u64) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.line("Matched", count(matched));
    sheet.line(what, count(acted));
    sheet
}

fn complete(complete: bool) -> Result<(), Failure> {
    if complete {
        Ok(())
    } else {
        Err(Failure::Partial("not every task that fitted was changed: look again"))
    }
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
            count(group.count).into(),
            age(group.oldest_at.as_ref(), now).into(),
            short_name(&group.example).into(),
            age(group.newest_at.as_ref(), now).into(),
        ]);
    }
    table
}
