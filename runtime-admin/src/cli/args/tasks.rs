//! `runtimectl task …`, but making one.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use runtime_core::task::TaskId;

use super::change::{Change, needed};
use super::names::{FILTER_HELP, at_least_one, moment, task};
use super::{EnqueueArgs, TaskOrMany};

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum TaskVerb {
    /// List tasks, newest first
    #[command(after_help = FILTER_HELP)]
    List {
        /// Only these, such as: state=parked AND scope:store=
        #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
        filter: String,
        /// Most tasks to list
        #[arg(value_parser = at_least_one::<NonZeroUsize>, long, default_value = "50", value_name = "COUNT")]
        limit: NonZeroUsize,
    },
    /// Show one task with its attempts
    Get(TaskTarget),
    /// Make a task
    Enqueue(Box<EnqueueArgs>),
    /// Show how many tasks there are, by state
    #[command(after_help = FILTER_HELP)]
    Count {
        /// Only these, such as: queue=mail AND scope=store=42
        #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
        filter: String,
    },
    /// Write the input of a task to the standard output, or its output
    Payload {
        #[command(flatten)]
        target: TaskTarget,
        /// What it gave, instead of what it was given
        #[arg(long)]
        result: bool,
    },
    /// Run a dead, cancelled or waiting task again, or now; or many that wait
    #[command(after_help = FILTER_HELP)]
    Retry(TaskOrMany),
    /// Give a task that waits another time
    Reschedule {
        #[command(flatten)]
        target: TaskTarget,
        /// When, such as 2030-01-31T08:00:00Z
        #[arg(value_parser = moment, long, value_name = "TIME")]
        at: Timestamp,
        #[command(flatten)]
        change: Change,
    },
    /// Decide over a parked task
    #[command(group = clap::ArgGroup::new("decision").required(true))]
    Resolve {
        #[command(flatten)]
        target: TaskTarget,
        /// It may go on; an unknown effect did happen
        #[arg(long, group = "decision")]
        approve: bool,
        /// It may not go on; an unknown effect did not happen, run it again
        #[arg(long, group = "decision")]
        reject: bool,
        #[command(flatten)]
        change: Change,
    },
    /// End a task, or many that are not finished
    #[command(after_help = FILTER_HELP)]
    #[command(override_usage = "runtimectl task cancel <ID|--filter <FILTER>|--all> --reason <TEXT>")]
    #[command(mut_arg("reason", needed))]
    Cancel(TaskOrMany),
    /// Forget a task that is not under way, with its attempts and effects
    #[command(mut_arg("reason", needed))]
    Delete {
        #[command(flatten)]
        target: TaskTarget,
        #[command(flatten)]
        change: Change,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Run a dead or cancelled task again, under its name
    Replay {
        #[command(flatten)]
        target: TaskTarget,
        /// File with another input; - is the standard input
        #[arg(long, value_name = "FILE")]
        payload: Option<PathBuf>,
        /// When, such as 2030-01-31T08:00:00Z [default: now]
        #[arg(value_parser = moment, long, value_name = "TIME")]
        at: Option<Timestamp>,
        #[command(flatten)]
        change: Change,
    },
    /// Say that a dead task shall not be replayed
    #[command(mut_arg("reason", needed))]
    Discard {
        #[command(flatten)]
        target: TaskTarget,
        #[command(flatten)]
        change: Change,
    },
}

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct TaskTarget {
    /// The task
    #[arg(value_parser = task)]
    pub(in crate::cli) id: TaskId,
}
