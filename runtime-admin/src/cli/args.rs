//! The command line.

mod access;
mod change;
mod config;
mod dead_letters;
mod enqueue;
mod events;
mod names;
mod nodes;
mod operations;
mod queues;
mod schedules;
mod system;
mod tasks;
mod workers;

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use runtime_core::node::NodePath;

use names::node_path;

pub(super) use access::{AuditVerb, May, PrincipalVerb, TokenVerb};
pub(super) use change::Change;
pub(super) use config::{ConfigVerb, LogFilterVerb};
pub(super) use dead_letters::{DeadLetterTarget, DeadLetterVerb};
pub(super) use enqueue::{ConflictPolicy, EnqueueArgs};
pub(super) use events::EventsArgs;
pub(super) use nodes::NodeVerb;
pub(super) use operations::{Many, OperationVerb, TaskOrMany};
pub(super) use queues::{Fairness, QueuePurge, QueueUpdate, QueueVerb, Said};
pub(super) use schedules::{Part, ScheduleParts, ScheduleVerb};
pub(super) use system::SystemVerb;
pub(super) use tasks::TaskVerb;
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
    /// What happens in the tree
    Events(EventsArgs),
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
    /// What the instance can do; drain it, and end it
    System {
        #[command(subcommand)]
        verb: SystemVerb,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }
}
