//! `runtimectl config …` and `runtimectl log-filter …`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Subcommand;

use super::Change;
use super::change::needed;
use super::names::at_least_one;

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum ConfigVerb {
    /// Show the configuration in force
    Show {
        /// With where each value comes from
        #[arg(long)]
        origins: bool,
    },
    /// Print the JSON schema of the configuration
    Schema,
    /// Say what is wrong with the configuration; nothing is changed
    Validate {
        /// File to look at in place of the instance's own; - is the standard input
        file: Option<PathBuf>,
    },
    /// Put in force what can change without a restart, all of it or nothing
    Reload {
        #[command(flatten)]
        change: Change,
    },
    /// List what operators said in place of the configuration
    Overrides,
    /// Take back what operators said of one thing
    #[command(mut_arg("reason", needed))]
    Clear {
        /// Its resource name, such as nodes/engine/apps/shop/workers/settle
        name: String,
        #[command(flatten)]
        change: Change,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum LogFilterVerb {
    /// Show which log lines are written
    Get,
    /// Write other log lines for a while
    Set {
        /// Directives, such as: info,runtime_stores=debug
        filter: String,
        /// For how long
        #[arg(value_parser = at_least_one::<NonZeroU32>, long = "for", value_name = "SECONDS", default_value = "600")]
        seconds: NonZeroU32,
        #[command(flatten)]
        change: Change,
    },
    /// Bring the configured filter back at once
    Reset {
        #[command(flatten)]
        change: Change,
    },
}
