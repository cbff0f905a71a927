//! `runtimectl system …`.

use std::num::NonZeroU32;

use clap::Subcommand;

use super::Change;
use super::change::needed;
use super::names::at_least_one;

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
        #[arg(value_parser = at_least_one::<NonZeroU32>, long, value_name = "SECONDS")]
        grace_secs: Option<NonZeroU32>,
        /// Do not ask: the instance's name
        #[arg(long, value_name = "INSTANCE")]
        confirm: Option<String>,
    },
}
