//! `runtimectl task enqueue …`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use runtime_core::name::{CorrelationId, IdempotencyKey, Scope, Tenant, WorkerName};
use runtime_core::task::UniqueWithin;

use super::Change;
use super::change::unseen;
use super::names::{at_least_one, moment, worker};

#[derive(Debug, Clone, clap::Args)]
#[command(
    group = clap::ArgGroup::new("input").required(true),
    override_usage = "runtimectl task enqueue <WORKER> <--payload <JSON>|--payload-file <FILE>>",
)]
#[command(mut_arg("dry_run", unseen))]
pub(in crate::cli) struct EnqueueArgs {
    /// The worker whose app, queue and handler the task is for
    #[arg(value_parser = worker)]
    pub(in crate::cli) worker: WorkerName,
    /// Input, a JSON document
    #[arg(long, group = "input", value_name = "JSON")]
    pub(in crate::cli) payload: Option<String>,
    /// File with the input; - is the standard input
    #[arg(long, group = "input", value_name = "FILE")]
    pub(in crate::cli) payload_file: Option<PathBuf>,
    /// Whose work it is, where its input does not say
    #[arg(long)]
    pub(in crate::cli) tenant: Option<Tenant>,
    /// The part of the world it concerns, where its input does not say
    #[arg(long)]
    pub(in crate::cli) scope: Option<Scope>,
    /// Lower goes first
    #[arg(long, default_value = "0", allow_negative_numbers = true)]
    pub(in crate::cli) priority: i16,
    /// Tokens of its lane's rate that it takes
    #[arg(value_parser = at_least_one::<NonZeroU32>, long, value_name = "TOKENS", default_value = "1")]
    pub(in crate::cli) weight: NonZeroU32,
    /// Idempotency key; may only confirm what follows from the input
    #[arg(long)]
    pub(in crate::cli) key: Option<IdempotencyKey>,
    /// How long the key stands: waiting, live, 24h, forever
    #[arg(long, value_parser = unique_within, value_name = "WINDOW", requires = "key")]
    pub(in crate::cli) unique_within: Option<UniqueWithin>,
    /// Under a known key: insert, ignore, replace, debounce
    #[arg(long, value_enum, value_name = "POLICY", hide_possible_values = true, requires = "key")]
    pub(in crate::cli) on_conflict: Option<ConflictPolicy>,
    /// With debounce: put off in all at most, such as 10m
    #[arg(long, value_parser = time, value_name = "TIME", required_if_eq("on_conflict", "debounce"))]
    pub(in crate::cli) debounce_at_most: Option<Duration>,
    /// Not before, such as 2030-01-31T08:00:00Z
    #[arg(value_parser = moment, long, value_name = "TIME")]
    pub(in crate::cli) run_at: Option<Timestamp>,
    /// Dead when not done by this time
    #[arg(value_parser = moment, long, value_name = "TIME")]
    pub(in crate::cli) deadline: Option<Timestamp>,
    /// Attempts in all [default: the platform's]
    #[arg(value_parser = at_least_one::<NonZeroU32>, long, value_name = "COUNT")]
    pub(in crate::cli) max_attempts: Option<NonZeroU32>,
    /// What a chain of tasks has in common
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) correlation: Option<CorrelationId>,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}

/// What a task does whose key stands for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ConflictPolicy {
    /// Same content, same task; other content is refused.
    Insert,
    /// The known task stays as it is.
    Ignore,
    /// A known task that waits takes what the new one says.
    Replace,
    /// As replace, and put off.
    Debounce,
}

fn unique_within(text: &str) -> Result<UniqueWithin, String> {
    match text {
        "remembered" => Ok(UniqueWithin::Remembered),
        "waiting" => Ok(UniqueWithin::WhileWaiting),
        "live" => Ok(UniqueWithin::WhileLive),
        "forever" => Ok(UniqueWithin::Forever),
        other => time(other).map(UniqueWithin::For),
    }
}

/// A length of time: `24h`, `90 seconds`, `PT1H`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let length: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let length = Duration::try_from(length).map_err(|error| error.to_string())?;
    if length.is_zero() { Err("no time at all".into()) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_word_or_a_length_of_time() {
        assert_eq!(unique_within("waiting"), Ok(UniqueWithin::WhileWaiting));
        assert_eq!(unique_within("24h"), Ok(UniqueWithin::For(Duration::from_hours(24))));
        assert_eq!(unique_within("PT90S"), Ok(UniqueWithin::For(Duration::from_secs(90))));
        for bad in ["", "never", "-1h", "0s"] {
            assert!(unique_within(bad).is_err(), "{bad:?}");
        }
    }
}
