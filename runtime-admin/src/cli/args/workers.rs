//! `runtimectl worker …`.

use clap::Subcommand;
use jiff::Timestamp;
use runtime_core::name::{CorrelationId, Scope, WorkerName};
use runtime_core::task::TaskId;

use super::names::{moment, task, worker};
use super::{Change, Many};

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum WorkerVerb {
    /// List workers
    List,
    /// Show one worker with its five duties
    Get {
        /// The worker
        #[arg(value_parser = worker)]
        worker: WorkerName,
    },
    /// Hold a worker's tasks, and wait until none is under way
    Drain {
        /// The worker; others that take from its queue are held too
        #[arg(value_parser = worker)]
        worker: WorkerName,
        /// Only this scope; without it the worker is paused
        #[arg(long, value_name = "KEY=VALUE")]
        scope: Option<Scope>,
        #[command(flatten)]
        change: Change,
    },
    /// Have a worker's tasks that wait for their time go now
    Retry {
        /// The worker
        #[arg(value_parser = worker)]
        worker: WorkerName,
        /// Only this scope
        #[arg(long, value_name = "KEY=VALUE")]
        scope: Option<Scope>,
        #[command(flatten)]
        many: Many,
    },
    /// Run one worker for one scope, or one task, whatever else is paused
    Run(WorkerRun),
}

/// What to run.
#[derive(Debug, Clone, clap::Args)]
#[command(
    group = clap::ArgGroup::new("selection").required(true),
    override_usage = "runtimectl worker run <WORKER> <--task <ID>|--scope <KEY=VALUE>>",
)]
pub(in crate::cli) struct WorkerRun {
    /// The worker; it may be paused
    #[arg(value_parser = worker)]
    pub(in crate::cli) worker: WorkerName,
    /// This task
    #[arg(long, group = "selection", value_parser = task, value_name = "ID")]
    pub(in crate::cli) task: Option<TaskId>,
    /// Every ready task of this scope, oldest first
    #[arg(long, group = "selection", value_name = "KEY=VALUE")]
    pub(in crate::cli) scope: Option<Scope>,
    /// Only what was made at this time or later
    #[arg(value_parser = moment, long, value_name = "TIME", conflicts_with = "task")]
    pub(in crate::cli) since: Option<Timestamp>,
    /// Only what was made before this time
    #[arg(value_parser = moment, long, value_name = "TIME", conflicts_with = "task")]
    pub(in crate::cli) until: Option<Timestamp>,
    /// Discard what the worker made for the scope, and make it again from truth
    #[arg(long, conflicts_with = "task")]
    pub(in crate::cli) rebuild: bool,
    /// Each task at most once: what fails waits for its retry
    #[arg(long)]
    pub(in crate::cli) once: bool,
    /// What the run is to be found under
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) correlation: Option<CorrelationId>,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}
