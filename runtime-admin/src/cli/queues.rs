//! `runtimectl queue …`.

use jiff::Timestamp;
use runtime_core::name::{QueueName, Scope};
use runtime_core::store::Limit;
use runtime_proto::v1;

use super::args::{Fairness, QueuePurge, QueueUpdate, QueueVerb, Said};
use super::failure::Failure;
use super::operations::{Found, Progress, look, number, watch};
use super::output::Output;
use super::table::{Cell, Column, Sheet, Table};
use super::words::{
    age, clean, count, duration, moment, node_name, node_state, or_none, short_name, slots, task_state, word,
};
use crate::client::AdminClient;
use crate::convert::{self, queue_name};

pub(super) async fn run(
    verb: QueueVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        QueueVerb::List => {
            let queues = output.saw(client.queues().await?);
            let event_cursor = output.as_of.clone();
            let whole = v1::ListQueuesResponse { queues, event_cursor, ..Default::default() };
            output.list(&whole, "queues", &whole.queues, |one| &one.name, |now| table(&whole.queues, now))?;
        }
        QueueVerb::Get { queue } => show(&output.saw(client.queue(&queue).await?), output)?,
        QueueVerb::Pause { queue, scope, change } => {
            output.announce("pause", &target(&queue, scope.as_ref()))?;
            show(&client.pause_queue(&queue, scope.as_ref(), &change.reason).await?, output)?;
        }
        QueueVerb::Resume { queue, scope, .. } => {
            output.announce("resume", &target(&queue, scope.as_ref()))?;
            show(&client.resume_queue(&queue, scope.as_ref()).await?, output)?;
        }
        QueueVerb::Update(update) => {
            let lane = update.lane.as_ref().map(|lane| format!("lane {lane} of "));
            output.announce("update", &format!("{}queue {}", lane.unwrap_or_default(), update.queue))?;
            show(&client.update_queue(change(*update)).await?, output)?;
        }
        QueueVerb::Drain { queue, scope, change } => {
            drain(&queue, scope.as_ref(), &change.reason, client, output).await?;
        }
        QueueVerb::Purge(asked) => return purge(*asked, client, output).await,
        QueueVerb::Stats { queue } => {
            let stats = output.saw(client.queue_stats(&queue).await?);
            output.sheet(&stats, &queue_name(&queue), |now| {
                let mut sheet = sheet(queue.as_str(), &stats, now);
                if let Some(rates) = &stats.rates {
                    sheet.line("A second", lately(rates));
                }
                sheet
            })?;
        }
    }
    Ok(())
}

/// Holds the tasks and waits until none is under way; then the queue is shown.
pub(super) async fn drain(
    queue: &QueueName,
    scope: Option<&Scope>,
    reason: &str,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    output.announce("drain", &target(queue, scope))?;
    let mut progress = Progress::of(output);
    let told = |drain: &v1::DrainQueueResponse| {
        progress.line(&format!("{} under way", number(drain.leased, "task")));
    };
    let drained = client.drain_queue(queue, scope, reason, told).await;
    progress.clear();
    drained?;
    show(&client.queue(queue).await?.what, output)
}

async fn purge(asked: QueuePurge, client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut request = v1::PurgeQueueRequest {
        name: queue_name(&asked.queue),
        filter: asked.filter,
        include_waiting: asked.include_waiting,
        rate: asked.rate.map_or(0, Into::into),
        force: false,
        ..Default::default()
    };
    let found = client.purge_queue(request.clone()).await?;
    let found = Found { matched: found.matched, at_least: found.at_least, sample: &found.sample };
    look("forget", "task", found, output)?;
    if output.dry_run {
        return Ok(());
    }
    if found.is_some() {
        let question = format!("forget {} at {}? Its queue's name:", found.number("task"), output.place);
        let given = asked.confirm.as_ref().map(|queue| queue.as_str());
        output.confirm_by_name(&question, asked.queue.as_str(), given)?;
    }
    request.force = true;
    let begun = client.purge_queue(request).await?.operation.unwrap_or_default();
    watch(&begun.name, client, output).await
}

fn target(queue: &QueueName, scope: Option<&Scope>) -> String {
    scope.map_or_else(|| format!("queue {queue}"), |scope| format!("scope {scope} of queue {queue}"))
}

fn change(update: QueueUpdate) -> v1::UpdateQueueRequest {
    use v1::{concurrency_change, rate_change};
    let concurrency = update.concurrency.map(|said| match said {
        Said::Declared => concurrency_change::Change::Clear(true),
        Said::Limit(Limit::Unlimited) => concurrency_change::Change::Unlimited(true),
        Said::Limit(Limit::To(most)) => concurrency_change::Change::Most(most.get()),
    });
    let rate = update.rate.map(|said| match said {
        Said::Declared => rate_change::Change::Clear(true),
        Said::Limit(Limit::Unlimited) => rate_change::Change::Unlimited(true),
        Said::Limit(Limit::To((tokens, per))) => rate_change::Change::Rate(v1::Rate {
            tokens: tokens.get(),
            per: Some(convert::duration(per)),
            burst: update.burst.map_or(0, Into::into),
        }),
    });
    let fairness = match update.fairness {
        None => v1::FairnessChange::Unspecified,
        Some(Fairness::Fair) => v1::FairnessChange::Fair,
        Some(Fairness::InOrder) => v1::FairnessChange::InOrder,
        Some(Fairness::Declared) => v1::FairnessChange::Clear,
    };
    v1::UpdateQueueRequest {
        name: queue_name(&update.queue),
        lane: update.lane.map(|lane| lane.to_string()).unwrap_or_default(),
        clear_all: update.clear,
        concurrency: concurrency.map(|change| v1::ConcurrencyChange { change: Some(change) }),
        rate: rate.map(|change| v1::RateChange { change: Some(change) }),
        fairness: fairness.into(),
        ..Default::default()
    }
}

/// One queue: its figures, then what keeps its tasks waiting.
fn show(detail: &v1::QueueDetail, output: &mut Output<'_>) -> Result<(), Failure> {
    let queue = detail.queue.clone().unwrap_or_default();
    let colours = output.colours;
    output.one(detail, &queue.name, |now, wide| {
        let mut sheet = sheet(short_name(&queue.name), &queue.stats.unwrap_or_default(), now);
        for line in lines_of(&clean(&detail.policy)) {
            sheet.line("Policy", line);
        }
        if let Some(said) = &detail.overridden {
            let since = moment(said.since.as_ref(), now);
            sheet.line("Overridden", format!("{since}: {}", or_none(&said.reason)));
        }
        for worker in &detail.workers {
            let slots = slots(worker.slots.as_ref());
            let state = node_state(worker);
            sheet.line("Worker", format!("{} {}, slots {slots}", node_name(&worker.name), state.text()));
        }
        let mut text = sheet.render(colours);
        if !detail.limits.is_empty() {
            text.push('\n');
            text.push_str(&limits(&detail.limits).render(wide, colours));
        }
        if !detail.paused_scopes.is_empty() {
            text.push('\n');
            text.push_str(&paused(&detail.paused_scopes, now).render(wide, colours));
        }
        if !detail.heads.is_empty() {
            text.push('\n');
            text.push_str(&heads(&detail.heads).render(wide, colours));
        }
        text
    })?;
    Ok(())
}

/// A policy in lines that fit a terminal, broken between its parts.
fn lines_of(policy: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in policy.split(", ") {
        match lines.last_mut().filter(|line| line.len() + part.len() < 60) {
            Some(line) => line.extend([", ", part]),
            None => lines.push(part.to_owned()),
        }
    }
    lines
}

/// Limits in force. A star marks what operators say.
fn limits(limits: &[v1::LaneLimits]) -> Table {
    let mut table = Table::new([
        Column::text("LANE").gives(),
        Column::text("AT ONCE"),
        Column::text("RATE").gives(),
        Column::figure("BURST"),
    ]);
    let star = |origin| if origin == v1::LimitOrigin::Operator { "*" } else { "" };
    for lane in limits {
        let name = if lane.lane.is_empty() { "each lane".to_owned() } else { clean(&lane.lane) };
        let most = lane.concurrency.map_or("unlimited".to_owned(), |most| count(most.into()));
        let (rate, burst) = match &lane.rate {
            Some(rate) => {
                let per = duration(rate.per.as_ref());
                (format!("{} in {per}", count(rate.tokens.into())), count(rate.burst.into()))
            }
            None => ("unlimited".to_owned(), or_none("")),
        };
        table.row([
            name.into(),
            format!("{most}{}", star(lane.concurrency_origin())).into(),
            format!("{rate}{}", star(lane.rate_origin())).into(),
            burst.into(),
        ]);
    }
    table
}

fn paused(scopes: &[v1::PausedScope], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("PAUSED SCOPE").gives(),
        Column::text("REASON").gives(),
        Column::figure("AGE"),
    ]);
    for paused in scopes {
        table.row([
            clean(&paused.scope).into(),
            or_none(&paused.reason).into(),
            age(paused.since.as_ref(), now).into(),
        ]);
    }
    table
}

fn heads(heads: &[v1::OrderingHead]) -> Table {
    let mut table = Table::new([
        Column::text("BLOCKED KEY").gives(),
        Column::text("BY TASK"),
        Column::text("STATE"),
        Column::figure("WAITING"),
    ]);
    for head in heads {
        table.row([
            clean(&head.ordering_key).into(),
            short_name(&head.task).into(),
            task_state(head.state()),
            count(head.waiting).into(),
        ]);
    }
    table
}

/// Queues with their depth; AGE is that of the oldest ready task.
pub(super) fn table(queues: &[v1::Queue], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME").gives(),
        Column::text("STATE"),
        Column::figure("SCHEDULED"),
        Column::figure("READY"),
        Column::figure("LEASED"),
        Column::figure("PARKED"),
        Column::figure("DEAD"),
        Column::figure("DONE"),
        Column::figure("CANCELLED").wide(),
        Column::figure("LIVE").wide(),
        Column::figure("CAPACITY").wide(),
        Column::figure("PAUSED SCOPES").wide(),
        Column::figure("AGE"),
    ]);
    for queue in queues {
        let stats = queue.stats.unwrap_or_default();
        let counts = stats.counts.unwrap_or_default();
        table.row([
            short_name(&queue.name).into(),
            state(queue),
            count(counts.scheduled).into(),
            count(counts.ready).into(),
            count(counts.leased).into(),
            worth_a_look(counts.parked, Cell::warn),
            worth_a_look(counts.dead, Cell::bad),
            count(counts.done).into(),
            count(counts.cancelled).into(),
            count(stats.live).into(),
            count(stats.capacity).into(),
            count(queue.paused_scopes).into(),
            age(stats.oldest_ready_at.as_ref(), now).into(),
        ]);
    }
    table
}

/// What keeps a queue from giving or taking tasks, the most of it first.
fn state(queue: &v1::Queue) -> Cell {
    match &queue.stats {
        _ if queue.paused => Cell::warn("paused"),
        Some(stats) if stats.shedding.is_some() => Cell::warn("sheds"),
        _ if queue.paused_scopes > 0 => Cell::warn("held"),
        _ => Cell::good("active"),
    }
}

fn sheet(name: &str, stats: &v1::QueueStats, now: Timestamp) -> Sheet {
    let counts = stats.counts.unwrap_or_default();
    let mut sheet = Sheet::default();
    sheet.line("Name", name);
    sheet.line("Live", format!("{} of {}", count(stats.live), count(stats.capacity)));
    sheet.line("Oldest ready", moment(stats.oldest_ready_at.as_ref(), now));
    if let Some(shedding) = &stats.shedding {
        let cause = word(shedding.cause().as_str_name(), "SHED_CAUSE_");
        sheet.line(
            "Sheds load",
            Cell::warn(format!("by {cause}, since {}", moment(shedding.since.as_ref(), now))),
        );
    }
    if let Some(until) = stats.limited_until.filter(|until| until.seconds >= now.as_second()) {
        sheet.line("Limited", Cell::warn(format!("until {}", moment(Some(&until), now))));
    }
    if stats.shed > 0 {
        sheet.line("Refused", count(stats.shed));
    }
    sheet.line("Scheduled", count(counts.scheduled));
    sheet.line("Ready", count(counts.ready));
    sheet.line("Leased", count(counts.leased));
    sheet.line("Parked", worth_a_look(counts.parked, Cell::warn));
    sheet.line("Done", count(counts.done));
    sheet.line("Dead", worth_a_look(counts.dead, Cell::bad));
    sheet.line("Cancelled", count(counts.cancelled));
    sheet
}

/// How fast a queue went lately, in tasks a second.
fn lately(rates: &v1::QueueRates) -> String {
    let v1::QueueRates { accepted, settled, failed, over } = rates;
    format!("{accepted:.1} taken, {settled:.1} ended, {failed:.1} failed; over {}", duration(over.as_ref()))
}

fn worth_a_look(number: u64, tone: fn(String) -> Cell) -> Cell {
    if number == 0 { Cell::plain("0") } else { tone(count(number)) }
}
