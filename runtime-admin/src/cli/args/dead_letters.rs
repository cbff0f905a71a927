//! `runtimectl dead-letter …`.

use std::num::NonZeroUsize;

use clap::Subcommand;

use super::Many;
use super::change::needed;
use super::names::{FILTER_HELP, at_least_one};

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum DeadLetterVerb {
    /// List dead tasks, newest first
    #[command(after_help = FILTER_HELP)]
    List {
        /// Only these, such as: class=retryable AND scope=store=42
        #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
        filter: String,
        /// Most tasks to list
        #[arg(value_parser = at_least_one::<NonZeroUsize>, long, default_value = "50", value_name = "COUNT")]
        limit: NonZeroUsize,
    },
    /// Count dead tasks by queue, handler and code
    #[command(after_help = FILTER_HELP)]
    Groups {
        /// Only these, such as: queue=mail AND code=RT0001
        #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
        filter: String,
    },
    /// Run dead tasks again, each once
    #[command(after_help = FILTER_HELP)]
    Replay(DeadLetterTarget),
    /// Cancel dead tasks: they shall not be replayed
    #[command(
        after_help = FILTER_HELP,
        override_usage = "runtimectl dead-letter discard <--filter <FILTER>|--all> --reason <TEXT>",
    )]
    #[command(mut_arg("reason", needed))]
    Discard(DeadLetterTarget),
}

/// Which dead tasks to change, and how sure one is.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(in crate::cli) struct DeadLetterTarget {
    /// These, such as: scope=store=42
    #[arg(long, group = "which", value_name = "FILTER")]
    pub(in crate::cli) filter: Option<String>,
    /// All that are dead
    #[arg(long, group = "which")]
    pub(in crate::cli) all: bool,
    #[command(flatten)]
    pub(in crate::cli) many: Many,
}
