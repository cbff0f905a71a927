//! `runtimectl profile …`.

use clap::Subcommand;

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum ProfileVerb {
    /// List the profiles there are
    List,
    /// Show what is in force for a command, and who said it
    Show {
        /// As if --profile named it
        #[arg(value_name = "PROFILE")]
        name: Option<String>,
    },
}
