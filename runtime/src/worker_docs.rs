//! The registered workers as a page of documentation.

use std::fmt::Write as _;
use std::sync::Arc;

use runtime_core::retry::{RetryDelay, RetryPolicy};
use runtime_core::worker::WorkerDescriptor;

/// A Markdown page with the five duties of each worker, in the order registered.
pub fn worker_docs<'a>(app: &str, workers: impl IntoIterator<Item = &'a Arc<WorkerDescriptor>>) -> String {
    let mut page = format!("# Workers of {app}\n");
    for worker in workers {
        section(&mut page, worker).expect("a string takes what is written");
    }
    page
}

fn section(page: &mut String, worker: &WorkerDescriptor) -> std::fmt::Result {
    let WorkerDescriptor { name, responsibility, serves, route, slots, retry, key, .. } = worker;
    writeln!(page, "\n## {name}\n\n{}\n\n| duty | |\n| --- | --- |", cell(responsibility))?;
    let writes = listed(&worker.writes);
    writeln!(page, "| named responsibility | for {}; writes {} |", cell(serves), cell(&writes))?;
    let version = worker.schema_version;
    writeln!(page, "| durable input | queue `{}`, schema version {version}, below |", route.queue)?;
    let horizon = seconds(worker.retry_horizon());
    writeln!(page, "| retry behaviour | {}; all within {horizon} |", retries(retry))?;
    let effects: Vec<_> = worker.effects.iter().map(|(step, class)| format!("`{step}` {class}")).collect();
    let effects = if effects.is_empty() { "none".to_owned() } else { effects.join(", ") };
    writeln!(page, "| idempotence boundary | key: {}; effects: {effects} |", cell(key))?;
    let rebuilds = if worker.rebuilds { "; rebuilds its projection" } else { "" };
    writeln!(page, "| operational entry point | {}{rebuilds} |", worker.entry_point)?;
    let deadline = worker.deadline.map_or_else(|| "none".to_owned(), seconds);
    let limits = format!("{slots} slots, {} an attempt, deadline {deadline}", seconds(worker.timeout));
    writeln!(page, "| limits | {limits} |")?;
    writeln!(page, "| flow | {} |", cell(&worker.flow.to_string()))?;
    if !worker.dependencies.is_empty() {
        writeln!(page, "| depends on | {} |", listed(&worker.dependencies))?;
    }
    writeln!(page, "\n```json\n{:#}\n```", worker.input_schema)
}

fn retries(policy: &RetryPolicy) -> String {
    let attempts = policy.max_attempts;
    match policy.delay {
        RetryDelay::Fixed { delay } => format!("{attempts} attempts, {} apart", seconds(delay)),
        RetryDelay::Exponential { first, factor, cap } => format!(
            "{attempts} attempts, up to {} apart, times {factor}, at most {}",
            seconds(first),
            seconds(cap)
        ),
    }
}

fn seconds(length: std::time::Duration) -> String {
    format!("{} s", length.as_secs_f64())
}

fn listed<T: std::fmt::Display>(things: &[T]) -> String {
    things.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
