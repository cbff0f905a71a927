//! `runtimectl operation …`, and what every command on many tasks has in common: a look and a question before it, how it goes, how it
//! ended.

use std::io::Write;

use jiff::Timestamp;
use runtime_proto::v1;

use super::args::OperationVerb;
use super::failure::Failure;
use super::output::Output;
use super::table::{Cell, Column, Sheet, Table};
use super::tasks;
use super::words::{age, clean, count, moment, or_none, short_name, word};
use crate::client::AdminClient;
use crate::convert::operation_name;

pub(super) async fn run(
    verb: OperationVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        OperationVerb::List { limit } => {
            let operations = output.saw(client.operations(limit.get()).await?);
            output.cut_at(limit.get(), operations.len())?;
            let event_cursor = output.as_of.clone();
            let whole = v1::ListOperationsResponse { operations, event_cursor, ..Default::default() };
            let table = |now| table(&whole.operations, now);
            output.list(&whole, "operations", &whole.operations, |known| &known.name, table)?;
        }
        OperationVerb::Get(target) => show(&output.saw(client.operation(target.id).await?), output)?,
        OperationVerb::Cancel { target, change } => {
            output.announce("cancel", &format!("operation {}", target.id))?;
            show(&client.cancel_operation(target.id, &change.reason).await?, output)?;
        }
        OperationVerb::Watch(target) => return watch(&operation_name(target.id), client, output).await,
    }
    Ok(())
}

/// Waits for the end of an operation and shows it.
pub(super) async fn watch(name: &str, client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut progress = Progress::of(output);
    let end = client.watch_operation(name, |operation| progress.show(operation)).await;
    progress.clear();
    ended(&end?, output)
}

/// What is shown of an operation while it goes on: one line on a terminal, written over and over; elsewhere nothing.
pub(super) struct Progress<'o> {
    stderr: Option<&'o mut dyn Write>,
}

impl<'o> Progress<'o> {
    pub(super) fn of(output: &'o mut Output<'_>) -> Self {
        Self { stderr: output.progress.then_some(&mut *output.stderr) }
    }

    pub(super) fn show(&mut self, operation: &v1::Operation) {
        self.bar(
            &format!("operation {}", short_name(&operation.name)),
            come_to(operation),
            operation.matched,
        );
    }

    /// How much of it is done.
    pub(super) fn bar(&mut self, what: &str, done: u64, of: u64) {
        const WIDTH: u64 = 20;
        let part = |whole: u64| done.saturating_mul(whole).checked_div(of).unwrap_or(whole).min(whole);
        let bar: String = (0..WIDTH).map(|place| if place < part(WIDTH) { '#' } else { '-' }).collect();
        self.line(&format!("{what} [{bar}] {} of {}, {} %", count(done), count(of), part(100)));
    }

    pub(super) fn line(&mut self, text: &str) {
        if let Some(stderr) = &mut self.stderr {
            // Whoever closed stderr does not watch.
            drop(write!(stderr, "\r\u{1b}[2K{text}").and_then(|()| stderr.flush()));
        }
    }

    pub(super) fn clear(&mut self) {
        self.line("");
    }
}

/// Shows what is about to be changed: how many, where, and some of them; then asks. `false` in a dry run, which only shows.
pub(super) fn agreed(
    verb: &str,
    noun: &str,
    yes: bool,
    found: Found<'_>,
    output: &mut Output<'_>,
) -> Result<bool, Failure> {
    look(verb, noun, found, output)?;
    if found.is_some() {
        let question = format!("{verb} {} at {}?", found.number(noun), output.place);
        output.confirm(&question, yes)?;
    }
    Ok(!output.dry_run)
}

/// Shows what is about to be changed.
pub(super) fn look(verb: &str, noun: &str, found: Found<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let Found { matched, at_least, sample } = found;
    output.announce(verb, &found.number(noun))?;
    output.sample(&tasks::table(sample, output.clock.now()))?;
    if matched > sample.len() as u64 {
        let at_least = if at_least { "at least " } else { "" };
        writeln!(output.stderr, "and {at_least}{} more", count(matched - sample.len() as u64))?;
    }
    Ok(())
}

/// What a look found: how many tasks, or at least so many, and some of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) matched: u64,
    pub(super) at_least: bool,
    pub(super) sample: &'a [v1::Task],
}

impl Found<'_> {
    /// Whether there may be any.
    pub(super) fn is_some(self) -> bool {
        self.matched > 0 || self.at_least
    }

    /// How many.
    pub(super) fn number(self, noun: &str) -> String {
        format!("{}{}", if self.at_least { "at least " } else { "" }, number(self.matched, noun))
    }
}

pub(super) fn number(matched: u64, noun: &str) -> String {
    if matched == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(matched)) }
}

/// How an operation ended, and whether all of it was done.
pub(super) fn ended(operation: &v1::Operation, output: &mut Output<'_>) -> Result<(), Failure> {
    show(operation, output)?;
    match (operation.state(), operation.failed) {
        (v1::OperationState::Done, 0) => Ok(()),
        (v1::OperationState::Done, _) => Err(Failure::Partial("not every task could be changed")),
        _ => Err(Failure::Partial("the operation ended before all of it was done; what it changed stays so")),
    }
}

fn show(operation: &v1::Operation, output: &mut Output<'_>) -> Result<(), Failure> {
    output.sheet(operation, &operation.name, |now| sheet(operation, now))?;
    Ok(())
}

/// Tasks it has looked at.
fn come_to(operation: &v1::Operation) -> u64 {
    operation.done.saturating_add(operation.skipped).saturating_add(operation.failed)
}

fn table(operations: &[v1::Operation], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME"),
        Column::text("KIND"),
        Column::text("STATE"),
        Column::figure("DONE"),
        Column::figure("OF"),
        Column::figure("SKIPPED").wide(),
        Column::figure("FAILED").wide(),
        Column::text("FILTER").gives(),
        Column::text("BY").wide(),
        Column::text("REASON").wide(),
        Column::figure("AGE"),
    ]);
    for operation in operations {
        table.row([
            short_name(&operation.name).into(),
            kind(operation).into(),
            state(operation),
            count(operation.done).into(),
            count(operation.matched).into(),
            count(operation.skipped).into(),
            count(operation.failed).into(),
            or_all(&operation.filter).into(),
            or_none(&operation.started_by).into(),
            or_none(&operation.reason).into(),
            age(operation.created_at.as_ref(), now).into(),
        ]);
    }
    table
}

fn sheet(operation: &v1::Operation, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.line("Name", short_name(&operation.name));
    sheet.line("Kind", kind(operation));
    sheet.line("Filter", or_all(&operation.filter));
    sheet.line("State", state(operation));
    if let Some(error) = &operation.error {
        sheet.line("Why", clean(&error.message));
    }
    sheet.line("Done", format!("{} of {}", count(operation.done), count(operation.matched)));
    for (title, tasks) in [("Skipped", operation.skipped), ("Failed", operation.failed)] {
        if tasks > 0 {
            sheet.line(title, count(tasks));
        }
    }
    if operation.rate > 0 {
        sheet.line("Rate", format!("at most {} a second", count(operation.rate.into())));
    }
    if !operation.reason.is_empty() {
        sheet.line("Reason", clean(&operation.reason));
    }
    if !operation.started_by.is_empty() {
        sheet.line("By", clean(&operation.started_by));
    }
    sheet.line("Begun", moment(operation.created_at.as_ref(), now));
    if operation.finished_at.is_some() {
        sheet.line("Ended", moment(operation.finished_at.as_ref(), now));
    }
    sheet
}

fn kind(operation: &v1::Operation) -> String {
    word(operation.kind().as_str_name(), "OPERATION_KIND_")
}

fn or_all(filter: &str) -> String {
    if filter.is_empty() { "all".to_owned() } else { clean(filter) }
}

fn state(operation: &v1::Operation) -> Cell {
    let text = word(operation.state().as_str_name(), "OPERATION_STATE_");
    match operation.state() {
        v1::OperationState::Done => Cell::good(text),
        v1::OperationState::Cancelled => Cell::faint(text),
        v1::OperationState::Failed => Cell::bad(text),
        v1::OperationState::Running | v1::OperationState::Unspecified => Cell::plain(text),
    }
}
