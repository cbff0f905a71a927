//! `runtimectl queue …`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use jiff::SignedDuration;
use runtime_core::flow::RateLimit;
use runtime_core::name::{FlowKey, QueueName, Scope};
use runtime_core::store::Limit;

use super::change::{Change, needed};
use super::names::{FILTER_HELP, at_least_one, queue};

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum QueueVerb {
    /// List queues
    List,
    /// Show one queue: policy, limits, what is paused, what blocks
    Get {
        /// The queue
        #[arg(value_parser = queue)]
        queue: QueueName,
    },
    /// Hold the tasks of a queue; what runs, ends
    Pause {
        /// The queue
        #[arg(value_parser = queue)]
        queue: QueueName,
        /// Only this scope; without it its workers are paused
        #[arg(long, value_name = "KEY=VALUE")]
        scope: Option<Scope>,
        #[command(flatten)]
        change: Change,
    },
    /// Let the tasks of a queue go again
    Resume {
        /// The queue
        #[arg(value_parser = queue)]
        queue: QueueName,
        /// Only this scope; without it its workers are resumed
        #[arg(long, value_name = "KEY=VALUE")]
        scope: Option<Scope>,
        #[command(flatten)]
        change: Change,
    },
    /// Hold the tasks of a queue, and wait until none is under way
    Drain {
        /// The queue
        #[arg(value_parser = queue)]
        queue: QueueName,
        /// Only this scope; without it its workers are paused
        #[arg(long, value_name = "KEY=VALUE")]
        scope: Option<Scope>,
        #[command(flatten)]
        change: Change,
    },
    /// Forget tasks of a queue: finished ones, or all but those under way
    #[command(after_help = FILTER_HELP)]
    Purge(Box<QueuePurge>),
    /// Say other limits than the code declares, or take that back
    Update(Box<QueueUpdate>),
    /// Show the figures of one queue
    Stats {
        /// The queue
        #[arg(value_parser = queue)]
        queue: QueueName,
    },
}

/// What to say of a queue's limits, and what no longer.
#[derive(Debug, Clone, clap::Args)]
#[command(
    group = clap::ArgGroup::new("change").required(true).multiple(true),
    override_usage = "runtimectl queue update <QUEUE> [--lane <LANE>] <CHANGE>...",
)]
pub(in crate::cli) struct QueueUpdate {
    /// The queue
    #[arg(value_parser = queue)]
    pub(in crate::cli) queue: QueueName,
    /// Only this lane, such as acme [default: every lane]
    #[arg(long)]
    pub(in crate::cli) lane: Option<FlowKey>,
    /// Tasks of a lane at once: 5, unlimited, declared
    #[arg(long, group = "change", value_parser = concurrency, value_name = "COUNT")]
    pub(in crate::cli) concurrency: Option<Said<NonZeroU32>>,
    /// Tokens of a lane in a time: 100/60s, unlimited, declared
    #[arg(long, group = "change", value_parser = rate, value_name = "RATE")]
    pub(in crate::cli) rate: Option<Said<(NonZeroU32, Duration)>>,
    /// With a rate: tokens at once after a pause [default: as many]
    #[arg(value_parser = at_least_one::<NonZeroU32>, long, requires = "rate", value_name = "TOKENS")]
    pub(in crate::cli) burst: Option<NonZeroU32>,
    /// How lanes share the slots: fair, in-order, declared
    #[arg(
        long,
        group = "change",
        value_enum,
        hide_possible_values = true,
        value_name = "HOW",
        conflicts_with = "lane"
    )]
    pub(in crate::cli) fairness: Option<Fairness>,
    /// Forget first all that was said, of the lane or of the whole queue
    #[arg(long, group = "change")]
    pub(in crate::cli) clear: bool,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}

/// What to forget of a queue, and how sure one is.
#[derive(Debug, Clone, clap::Args)]
#[command(mut_arg("reason", needed))]
pub(in crate::cli) struct QueuePurge {
    /// The queue
    #[arg(value_parser = queue)]
    pub(in crate::cli) queue: QueueName,
    /// Only these, such as: finished<2030-01-31T08:00:00Z
    #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
    pub(in crate::cli) filter: String,
    /// Also those that wait: they are cancelled first
    #[arg(long)]
    pub(in crate::cli) include_waiting: bool,
    /// At most so many in any second
    #[arg(value_parser = at_least_one::<NonZeroU32>, long, value_name = "COUNT")]
    pub(in crate::cli) rate: Option<NonZeroU32>,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
    /// Do not ask: the queue's name once more
    #[arg(long, value_parser = queue, value_name = "QUEUE")]
    pub(in crate::cli) confirm: Option<QueueName>,
}

/// A limit, or that the declared one holds again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Said<T> {
    /// This, or none.
    Limit(Limit<T>),
    /// What is declared.
    Declared,
}

/// How lanes share the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Fairness {
    /// Each lane the same.
    Fair,
    /// The first go first, whatever their lane.
    InOrder,
    /// What is declared.
    Declared,
}

fn said<T>(text: &str, limit: impl FnOnce(&str) -> Result<T, String>) -> Result<Said<T>, String> {
    match text {
        "declared" => Ok(Said::Declared),
        "unlimited" => Ok(Said::Limit(Limit::Unlimited)),
        other => limit(other).map(|limit| Said::Limit(Limit::To(limit))),
    }
}

fn concurrency(text: &str) -> Result<Said<NonZeroU32>, String> {
    said(text, |text| text.parse().map_err(|_| "a number from 1, unlimited or declared".into()))
}

/// `100/60s`: tokens, and the time in which they come back. `5/s` is five in one second.
fn rate(text: &str) -> Result<Said<(NonZeroU32, Duration)>, String> {
    said(text, |text| {
        let (tokens, per) = text.split_once('/').ok_or("tokens and a time, such as 100/60s")?;
        let tokens: NonZeroU32 = tokens.parse().map_err(|_| "tokens are a number from 1")?;
        let one = if per.starts_with(|first: char| first.is_ascii_digit()) { "" } else { "1" };
        let per: Result<SignedDuration, _> = format!("{one}{per}").parse();
        let per = per.map_err(|_| "the time after / is none, such as 60s, s or 5min")?;
        let per = Duration::try_from(per).map_err(|error| error.to_string())?;
        RateLimit::new(tokens, per, tokens).map_err(|error| error.to_string())?;
        Ok((tokens, per))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_one_of_two_words() {
        let five = NonZeroU32::new(5).unwrap();
        assert_eq!(concurrency("5"), Ok(Said::Limit(Limit::To(five))));
        assert_eq!(concurrency("unlimited"), Ok(Said::Limit(Limit::Unlimited)));
        assert_eq!(rate("declared"), Ok(Said::Declared));
        assert_eq!(rate("5/1m"), Ok(Said::Limit(Limit::To((five, Duration::from_mins(1))))));
        assert_eq!(rate("5/s"), rate("5/1s"));
        assert!(concurrency("0").is_err());
        for bad in ["", "5", "5/", "0/1s", "5/0s", "5/-1s", "many/1s", "5/1us"] {
            assert!(rate(bad).is_err(), "{bad:?}");
        }
    }
}
