//! The command line.

mod access;
mod config;
mod dead_letters;
mod enqueue;
mod operations;
mod queues;
mod schedules;
mod workers;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use runtime_core::name::{QueueName, ScheduleName, Scope, WorkerName};
use runtime_core::node::NodePath;
use runtime_core::task::TaskId;

pub(super) use access::{AuditVerb, May, PrincipalVerb, TokenVerb};
pub(super) use config::{ConfigVerb, LogFilterVerb};
pub(super) use dead_letters::{DeadLetterTarget, DeadLetterVerb};
pub(super) use enqueue::{ConflictPolicy, EnqueueArgs};
pub(super) use operations::{Many, OperationVerb, TaskOrMany};
pub(super) use queues::{Fairness, QueuePurge, QueueUpdate, Said};
pub(super) use schedules::{Part, ScheduleParts, ScheduleVerb};
pub(super) use workers::{WorkerRun, WorkerVerb};

/// See and steer a running tree.
#[derive(Debug, Parser)]
#[command(name = "runtimectl", version, after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Admin server [default: http://127.0.0.1:7070]
    #[arg(long, global = true, value_name = "URL", help_heading = COMMON)]
    pub(super) endpoint: Option<String>,
    /// File with a token [env: RUNTIMECTL_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub(super) token_file: Option<PathBuf>,
    /// Authorities to trust instead of the machine's, a PEM file
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub(super) ca: Option<PathBuf>,
    /// Certificate to show, a PEM file
    #[arg(long, global = true, value_name = "FILE", requires = "client_key", help_heading = COMMON)]
    pub(super) client_cert: Option<PathBuf>,
    /// Its private key, a PEM file
    #[arg(long, global = true, value_name = "FILE", requires = "client_cert", help_heading = COMMON)]
    pub(super) client_key: Option<PathBuf>,
    /// Form: table (default), wide, json, jsonl, name
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM",
        hide_possible_values = true,
        hide_default_value = true,
        help_heading = COMMON
    )]
    pub(super) output: Format,
    /// How long to wait for an answer
    #[arg(long, global = true, default_value = "30", value_name = "SECONDS", help_heading = COMMON)]
    pub(super) timeout_secs: NonZeroU32,
    #[command(subcommand)]
    pub(super) noun: Noun,
}

const COMMON: &str = "Common options";

const AFTER_HELP: &str = "\
Exit codes: 0 ok, 1 unexpected, 2 usage, 3 not found, 4 conflict or
precondition, 5 not permitted, 6 cannot connect, 7 deadline, 8 partial,
9 check failed, 130 interrupted.

Environment: RUNTIMECTL_ENDPOINT names the admin server when --endpoint does
not; RUNTIMECTL_CA, RUNTIMECTL_CLIENT_CERT and RUNTIMECTL_CLIENT_KEY name the
files for TLS when no flag does; RUNTIMECTL_TOKEN_FILE names a file with a
token, RUNTIMECTL_TOKEN holds one; NO_COLOR turns colours off.";

const FILTER_HELP: &str = "\
A filter joins comparisons by AND. field=value is equality, field:value a
prefix; a value with spaces goes in double quotes. Fields: state, app, queue,
handler, tenant, scope, code, class. The times created and finished are
compared by <, <=, > and >=, such as: finished>=2030-01-31T08:00:00Z.";

/// Form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For people, within 80 columns.
    #[default]
    Table,
    /// For people, every column.
    Wide,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// Resource names alone.
    Name,
}

#[derive(Debug, Subcommand)]
pub(super) enum Noun {
    /// Show the live tree
    Tree {
        /// Topmost node to show
        #[arg(default_value = "/", value_parser = node_path)]
        path: NodePath,
    },
    /// Look at nodes and steer them
    Node {
        #[command(subcommand)]
        verb: NodeVerb,
    },
    /// Look at queues and pause them
    Queue {
        #[command(subcommand)]
        verb: QueueVerb,
    },
    /// Look at schedules and steer them
    Schedule {
        #[command(subcommand)]
        verb: ScheduleVerb,
    },
    /// Look at tasks and steer them
    Task {
        #[command(subcommand)]
        verb: TaskVerb,
    },
    /// Look at dead tasks together, replay and discard them
    DeadLetter {
        #[command(subcommand)]
        verb: DeadLetterVerb,
    },
    /// Look at what changes many tasks at once, and end it
    Operation {
        #[command(subcommand)]
        verb: OperationVerb,
    },
    /// Look at workers and run one now
    Worker {
        #[command(subcommand)]
        verb: WorkerVerb,
    },
    /// Who may call the admin API, and what they may do
    Principal {
        #[command(subcommand)]
        verb: PrincipalVerb,
    },
    /// Tokens of those who may call
    Token {
        #[command(subcommand)]
        verb: TokenVerb,
    },
    /// What was done and what was refused
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// Look at the configuration, and reload it
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Look at which log lines are written, and write others for a while
    LogFilter {
        #[command(subcommand)]
        verb: LogFilterVerb,
    },
    /// Print all that can be known of the tree, as JSON
    Dump,
    /// Who is this?
    Info,
    /// How is it?
    Overview {
        /// Exit with 9 when the whole is unhealthy
        #[arg(long)]
        check: bool,
    },
}

/// A node: an absolute path, or short for its path under /engine/apps.
#[derive(Debug, clap::Args)]
pub(super) struct NodeTarget {
    /// Absolute, or short for one under /engine/apps: shop/workers/settle
    #[arg(value_parser = node_path)]
    pub(super) path: NodePath,
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeVerb {
    /// List nodes
    List {
        /// Only this one and those under it
        #[arg(default_value = "/", value_parser = node_path)]
        path: NodePath,
    },
    /// Show one node
    Get(NodeTarget),
    /// Bring a node up, and want it running
    Start(NodeTarget),
    /// Stop a node in order, and want it stopped
    Stop(NodeTarget),
    /// Stop a node in order and start it again
    Restart(NodeTarget),
    /// Take no new work, and want the node paused
    Pause(NodeTarget),
    /// Go on, and want the node running
    Resume(NodeTarget),
    /// Finish what the node has, then stop it
    Drain(NodeTarget),
    /// Change the number of slots of a worker
    Resize {
        #[command(flatten)]
        target: NodeTarget,
        /// Slots from now on
        slots: NonZeroUsize,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum QueueVerb {
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
        /// Why
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Let the tasks of a queue go again
    Resume {
        /// The queue
        #[arg(value_parser = queue)]
        queue: QueueName,
        /// Only this scope; without it its workers are resumed
        #[arg(long, value_name = "KEY=VALUE")]
        scope: Option<Scope>,
    },
    /// Hold the tasks of a queue, and wait until none is under way
    Drain {
        /// The queue
        #[arg(value_parser = queue)]
        queue: QueueName,
        /// Only this scope; without it its workers are paused
        #[arg(long, value_name = "KEY=VALUE")]
        scope: Option<Scope>,
        /// Why
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
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

#[derive(Debug, Subcommand)]
pub(super) enum TaskVerb {
    /// List tasks, newest first
    #[command(after_help = FILTER_HELP)]
    List {
        /// Only these, such as: state=parked AND scope:store=
        #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
        filter: String,
        /// Most tasks to list
        #[arg(long, default_value = "50", value_name = "COUNT")]
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
        #[arg(long, value_name = "TIME")]
        at: Timestamp,
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
    },
    /// End a task, or many that are not finished
    #[command(after_help = FILTER_HELP)]
    Cancel(TaskOrMany),
    /// Forget a task that is not under way, with its attempts and effects
    Delete {
        #[command(flatten)]
        target: TaskTarget,
        /// Why
        #[arg(long)]
        reason: String,
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
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
    },
    /// Say that a dead task shall not be replayed
    Discard {
        #[command(flatten)]
        target: TaskTarget,
        /// Why; it becomes part of the task's error
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct TaskTarget {
    /// The task
    #[arg(value_parser = task)]
    pub(super) id: TaskId,
}

/// A path, a resource name, or short for a path under /engine/apps.
fn node_path(text: &str) -> Result<NodePath, String> {
    let path = match text.strip_prefix("nodes/") {
        Some(rest) => format!("/{rest}"),
        None if text.starts_with('/') => text.to_owned(),
        None => format!("/engine/apps/{text}"),
    };
    path.parse().map_err(|error: runtime_core::node::InvalidNodePath| error.to_string())
}

fn queue(text: &str) -> Result<QueueName, String> {
    QueueName::new(text.strip_prefix("queues/").unwrap_or(text)).map_err(|error| error.to_string())
}

fn schedule(text: &str) -> Result<ScheduleName, String> {
    ScheduleName::new(text.strip_prefix("schedules/").unwrap_or(text)).map_err(|error| error.to_string())
}

fn worker(text: &str) -> Result<WorkerName, String> {
    WorkerName::new(text.strip_prefix("workers/").unwrap_or(text)).map_err(|error| error.to_string())
}

fn task(text: &str) -> Result<TaskId, String> {
    let id = text.strip_prefix("tasks/").unwrap_or(text);
    id.parse().map_err(|error: runtime_core::task::InvalidTaskId| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_node_goes_by_its_path_its_name_or_short() {
        for text in [
            "shop/workers/settle",
            "/engine/apps/shop/workers/settle",
            "nodes/engine/apps/shop/workers/settle",
        ] {
            assert_eq!(node_path(text).unwrap().as_str(), "/engine/apps/shop/workers/settle");
        }
        assert!(node_path("nodes/").unwrap().is_root());
        assert!(node_path("a//b").is_err());
        assert!(node_path("").is_err());
    }
}
