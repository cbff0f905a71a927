//! `runtimectl system …`.

use std::num::NonZeroU32;

use clap::Subcommand;

use super::Change;
use super::change::needed;

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum SystemVerb {
    /// Show what the instance can do; wide, what each method needs
    Capabilities,
    /// Take no new work, and finish what there is; lasts as long as the process
    #[command(mut_arg("reason", needed))]
    Drain {
        #[command(flatten)]
        change: Change,
        /// Wait until nothing is under way any more
        #[arg(long)]
        wait: bool,
        /// Only say how many tasks are under way
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Take work again; what operators paused or stopped stays so
    Undrain {
        #[command(flatten)]
        change: Change,
    },
    /// End the process in order, as SIGTERM does
    #[command(mut_arg("reason", needed))]
    Shutdown {
        #[command(flatten)]
        change: Change,
        /// How long what runs may take to end [default: as configured]
        #[arg(long, value_name = "SECONDS")]
        grace_secs: Option<NonZeroU32>,
        /// Only say how long what runs may take to end
        #[arg(long)]
        dry_run: bool,
        /// Do not ask: the instance's name
        #[arg(long, value_name = "INSTANCE")]
        confirm: Option<String>,
    },
}
