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
mod profiles;
mod queues;
mod schedules;
mod system;
mod tasks;
mod workers;

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use runtime_core::node::NodePath;
use serde::{Deserialize, Serialize};

use names::{at_least_one, node_path};

pub(super) use access::{AuditVerb, May, PrincipalVerb, TokenVerb};
pub(super) use change::Change;
pub(super) use config::{ConfigVerb, LogFilterVerb};
pub(super) use dead_letters::{DeadLetterTarget, DeadLetterVerb};
pub(super) use enqueue::{ConflictPolicy, EnqueueArgs};
pub(super) use events::EventsArgs;
pub(super) use nodes::NodeVerb;
pub(super) use operations::{Many, OperationVerb, TaskOrMany};
pub(super) use profiles::ProfileVerb;
pub(super) use queues::{Fairness, QueuePurge, QueueUpdate, QueueVerb, Said};
pub(super) use schedules::{Part, ScheduleParts, ScheduleVerb};
pub(super) use system::SystemVerb;
pub(super) use tasks::TaskVerb;
pub(super) use workers::{WorkerRun, WorkerVerb};

/// See and steer a running tree.
#[derive(Debug, Parser)]
#[command(name = "runtimectl", version, after_help = AFTER_HELP, term_width = WIDTH)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) what: What,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Common {
    /// Admin server [default: http://127.0.0.1:7070]
    #[arg(long, global = true, value_name = "URL", help_heading = COMMON)]
    pub(super) endpoint: Option<String>,
    /// Server by its name in the file of profiles
    #[arg(long, global = true, value_name = "NAME", help_heading = COMMON)]
    pub(super) profile: Option<String>,
    /// File of profiles [env: RUNTIMECTL_CONFIG]
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub(super) config: Option<PathBuf>,
    /// File with a token [env: RUNTIMECTL_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub(super) token_file: Option<PathBuf>,
    /// Authorities, a PEM file [default: the machine's]
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub(super) ca: Option<PathBuf>,
    /// Certificate to show, a PEM file
    #[arg(long, global = true, value_name = "FILE", requires = "client_key", help_heading = COMMON)]
    pub(super) client_cert: Option<PathBuf>,
    /// Its private key, a PEM file
    #[arg(long, global = true, value_name = "FILE", requires = "client_cert", help_heading = COMMON)]
    pub(super) client_key: Option<PathBuf>,
    /// table (default), wide, json, jsonl, yaml, name
    #[arg(short, long, global = true, value_enum, value_name = "FORM", hide_possible_values = true, help_heading = COMMON)]
    pub(super) output: Option<Format>,
    /// Show it again whenever it is another: lists, get, tree
    #[arg(short, long, global = true, help_heading = COMMON)]
    pub(super) watch: bool,
    /// How long to wait for an answer [default: 30]
    #[arg(value_parser = at_least_one::<NonZeroU32>, long, global = true, value_name = "SECONDS", help_heading = COMMON)]
    pub(super) timeout_secs: Option<NonZeroU32>,
}

/// What is wanted.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum What {
    /// Something of a server.
    #[command(flatten)]
    Asked(Noun),
    /// Something that the program knows by itself.
    #[command(flatten)]
    Known(Known),
}

/// What needs no server.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Known {
    /// Servers by name, in a file
    Profile {
        #[command(subcommand)]
        verb: ProfileVerb,
    },
    /// List error codes, or explain one
    Errors {
        /// A code or its name, such as RT0028, 28 or shutting_down
        code: Option<String>,
    },
    /// Print the script that completes commands and names in a shell
    #[cfg(feature = "shell")]
    #[command(after_help = COMPLETION_HELP)]
    Completion {
        /// The shell
        #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
        shell: String,
    },
    /// Print the manual page, or write those of all commands
    #[cfg(feature = "shell")]
    Man {
        /// Folder for the pages of all commands
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

/// Columns that help keeps to.
const WIDTH: usize = 80;

#[cfg(feature = "shell")]
const COMPLETION_HELP: &str = "\
Names of queues, nodes, workers, schedules, operations and principals come from
the server that the line is for, when it answers within 300 ms.

bash:  source <(runtimectl completion bash)     in ~/.bashrc
zsh:   source <(runtimectl completion zsh)      in ~/.zshrc
fish:  runtimectl completion fish | source      in ~/.config/fish/config.fish";

const COMMON: &str = "Common options";

const AFTER_HELP: &str = "\
Exit codes: 0 ok, 1 unexpected, 2 usage, 3 not found, 4 conflict or
precondition, 5 not permitted, 6 cannot connect, 7 deadline, 8 partial,
9 check failed, 130 interrupted.

Environment: RUNTIMECTL_ENDPOINT names the admin server when --endpoint does
not, RUNTIMECTL_PROFILE the profile; RUNTIMECTL_CA, RUNTIMECTL_CLIENT_CERT and
RUNTIMECTL_CLIENT_KEY name the files for TLS; RUNTIMECTL_TOKEN_FILE names a
file with a token, RUNTIMECTL_TOKEN holds one; RUNTIMECTL_CONFIG names the file
of profiles; NO_COLOR turns colours off.

Profiles stand in $XDG_CONFIG_HOME/runtimectl/config.toml. The one called
default is for looking: what changes something has to say where.";

/// Form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// One YAML document.
    Yaml,
    /// Resource names alone.
    Name,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// What a server is asked about.
#[derive(Debug, Clone, Subcommand)]
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
