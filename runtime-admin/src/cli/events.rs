//! `runtimectl events`: what happens in the tree.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use runtime_proto::v1;

use super::args::{EventsArgs, Format};
use super::exit::Exit;
use super::failure::Failure;
use super::json::{self, Wire};
use super::output::Output;
use super::table::{Column, Table};
use super::words::{age, clean, or_none, short_name, word};
use crate::client::{AdminClient, EventAsk, Watched};
use crate::page::MAX_PAGE_SIZE;

/// For how long a watch tries to find a server that went away.
const PATIENCE: Duration = Duration::from_mins(1);

/// The latest events: all pages are read, since the newest are on the last.
pub(super) async fn list(
    args: EventsArgs,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let EventsArgs { filter, limit, .. } = args;
    let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let (mut latest, mut page_token) = (VecDeque::new(), String::new());
    let cursor = loop {
        let page_size = u32::try_from(MAX_PAGE_SIZE).unwrap_or(0);
        let request = v1::ListEventsRequest { filter: filter.clone(), page_size, page_token };
        let page = client.list_events(request).await?;
        latest.extend(page.events);
        latest.drain(..latest.len().saturating_sub(limit));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break page.cursor;
        }
    };
    output.cut_at(limit, latest.len())?;
    let whole = v1::ListEventsResponse { events: latest.into(), next_page_token: String::new(), cursor };
    output.list(&whole, "events", &whole.events, |event| &event.name, |now| table(&whole.events, now))?;
    Ok(())
}

pub(super) async fn watch(
    args: EventsArgs,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let EventsArgs { filter, state: initial_state, coalesce, count: count_tasks, .. } = args;
    let ask =
        EventAsk { filter, initial_state, coalesce, count_tasks, patience: PATIENCE, ..EventAsk::default() };
    let mut watch = client.watch_events(ask).await?;
    loop {
        match watch.next().await? {
            Watched::State(events) | Watched::Events(events) => {
                for event in &events {
                    match output.format {
                        Format::Json | Format::Jsonl => {
                            writeln!(output.stdout, "{}", json::line(&Wire(event)))?
                        }
                        Format::Yaml => writeln!(output.stdout, "---\n{}", json::yaml(&Wire(event)))?,
                        Format::Name => writeln!(output.stdout, "{}", event.resource)?,
                        _ => writeln!(output.stdout, "{}", line(event))?,
                    }
                }
                output.stdout.flush()?;
            }
            Watched::Missed(code) => {
                let why = code.name();
                writeln!(output.stderr, "events were missed ({why}): what follows begins anew")?;
            }
            Watched::StateEnd | Watched::Bookmark => {}
        }
    }
}

fn table(events: &[v1::Event], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME").wide(),
        Column::text("RESOURCE").gives(),
        Column::text("TYPE"),
        Column::text("CHANGE").gives(),
        Column::text("CAUSE").wide(),
        Column::text("BY"),
        Column::text("REASON").wide(),
        Column::text("REQUEST").wide(),
        Column::text("TRACE").wide(),
        Column::figure("AGE"),
    ]);
    for event in events {
        table.row([
            event.name.clone().into(),
            clean(&event.resource).into(),
            kind(event).into(),
            or_none(&changes(event)).into(),
            or_none(&cause(event)).into(),
            or_none(short_name(&event.principal)).into(),
            or_none(&event.reason).into(),
            or_none(&event.request_id).into(),
            or_none(&event.trace_id).into(),
            age(event.at.as_ref(), now).into(),
        ]);
    }
    table
}

/// An event as one line of a watch.
fn line(event: &v1::Event) -> String {
    let at = event.at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
    let at = at.map(|at| format!("{at:.3}")).unwrap_or_default();
    let mut parts = vec![at, kind(event), clean(&event.resource), changes(event)];
    match event.principal.as_str() {
        "" => {}
        principal => parts.push(format!("by {}", clean(short_name(principal)))),
    }
    parts.push(cause(event));
    if !event.reason.is_empty() {
        parts.push(format!("{:?}", clean(&event.reason)));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

fn kind(event: &v1::Event) -> String {
    word(event.r#type().as_str_name(), "EVENT_TYPE_")
}

fn cause(event: &v1::Event) -> String {
    let kind = match event.cause() {
        v1::EventCause::Unspecified | v1::EventCause::Platform => String::new(),
        other => word(other.as_str_name(), "EVENT_CAUSE_"),
    };
    let parts = [kind, clean(&event.cause_detail), event.error_code.clone()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn changes(event: &v1::Event) -> String {
    let change = |change: &v1::EventChange| {
        let v1::EventChange { field, before, after } = change;
        let said = if before.is_empty() { after.clone() } else { format!("{before} → {after}") };
        clean(&format!("{field}: {said}"))
    };
    let mut text = event.changes.iter().map(change).collect::<Vec<_>>().join(", ");
    if event.count > 1 {
        text.push_str(&format!(" ({} events)", event.count));
    }
    text
}
