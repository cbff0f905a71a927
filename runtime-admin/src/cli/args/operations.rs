//! `runtimectl operation …`, and what every command on many tasks takes.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::Subcommand;
use runtime_core::operation::OperationId;
use runtime_core::task::TaskId;

use super::Change;
use super::change::needed;
use super::names::{at_least_one, task};

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum OperationVerb {
    /// List operations, newest first
    List {
        /// Most operations to list
        #[arg(value_parser = at_least_one::<NonZeroUsize>, long, default_value = "50", value_name = "COUNT")]
        limit: NonZeroUsize,
    },
    /// Show one operation
    Get(OperationTarget),
    /// End an operation; what it changed stays so
    #[command(mut_arg("reason", needed))]
    Cancel {
        #[command(flatten)]
        target: OperationTarget,
        #[command(flatten)]
        change: Change,
    },
    /// Wait for the end of an operation, and show how it goes
    Watch(OperationTarget),
}

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct OperationTarget {
    /// The operation's number
    #[arg(value_parser = operation, value_name = "OPERATION")]
    pub(in crate::cli) id: OperationId,
}

/// One task, or many.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
#[command(mut_arg("rate", |rate| rate.conflicts_with("id")))]
pub(in crate::cli) struct TaskOrMany {
    /// The task
    #[arg(value_parser = task, group = "which")]
    pub(in crate::cli) id: Option<TaskId>,
    /// These, such as: queue=mail AND scope=store=42
    #[arg(long, group = "which", value_name = "FILTER")]
    pub(in crate::cli) filter: Option<String>,
    /// All of them
    #[arg(long, group = "which")]
    pub(in crate::cli) all: bool,
    #[command(flatten)]
    pub(in crate::cli) many: Many,
}

/// How many are changed, and how sure one is.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Many {
    /// At most so many in any second
    #[arg(value_parser = at_least_one::<NonZeroU32>, long, value_name = "COUNT")]
    pub(in crate::cli) rate: Option<NonZeroU32>,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
    /// Do not ask
    #[arg(long)]
    pub(in crate::cli) yes: bool,
}

fn operation(text: &str) -> Result<OperationId, String> {
    let id = text.strip_prefix("operations/").unwrap_or(text);
    id.parse().map_err(|error: runtime_core::operation::InvalidOperationId| error.to_string())
}
