//! `runtimectl principal …`, `runtimectl token …` and `runtimectl audit …`.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::Subcommand;
use runtime_core::access::{Grant, TokenId};
use runtime_core::name::{PrincipalName, TokenName};

use super::change::{Change, needed, unseen};
use super::names::at_least_one;

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum PrincipalVerb {
    /// List who may call
    List,
    /// Show one: what it may do
    Get {
        /// The principal
        #[arg(value_parser = principal)]
        principal: PrincipalName,
    },
    /// Let somebody in; a token comes apart
    Create {
        /// Its name
        #[arg(value_parser = principal)]
        principal: PrincipalName,
        /// It is a program, not a person
        #[arg(long)]
        service: bool,
        #[command(flatten)]
        may: May,
        #[command(flatten)]
        change: Change,
    },
    /// Change what somebody may do; what is not named stays
    Update {
        /// The principal
        #[arg(value_parser = principal)]
        principal: PrincipalName,
        #[command(flatten)]
        may: May,
        /// It may read payloads no more
        #[arg(long, conflicts_with = "read_payloads")]
        no_read_payloads: bool,
        /// Let nobody in by this name
        #[arg(long)]
        disable: bool,
        /// Let it in again
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
        #[command(flatten)]
        change: Change,
    },
    /// Forget somebody, with all tokens
    #[command(mut_arg("reason", needed))]
    Delete {
        /// The principal
        #[arg(value_parser = principal)]
        principal: PrincipalName,
        #[command(flatten)]
        change: Change,
        /// Do not ask: the principal's name once more
        #[arg(long, value_parser = principal, value_name = "NAME")]
        confirm: Option<PrincipalName>,
    },
}

/// What a principal may do.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct May {
    /// viewer, operator or admin; for a part: operator:apps/shop
    #[arg(long = "grant", value_name = "ROLE[:PREFIX]")]
    pub(in crate::cli) grants: Vec<Grant>,
    /// It may read payloads of what it may look at
    #[arg(long)]
    pub(in crate::cli) read_payloads: bool,
    /// A certificate it shows: CN=deploy or dns:deploy.example
    #[arg(long = "certificate", value_name = "NAME")]
    pub(in crate::cli) certificates: Vec<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum TokenVerb {
    /// List tokens, without their secrets
    List {
        /// Only of this one
        #[arg(long, value_parser = principal, value_name = "NAME")]
        principal: Option<PrincipalName>,
    },
    /// Make a token, and print it this once
    #[command(mut_arg("dry_run", unseen))]
    Create {
        /// Whose
        #[arg(value_parser = principal)]
        principal: PrincipalName,
        /// What it is for
        #[arg(long, value_name = "LABEL")]
        name: TokenName,
        /// How long it is good
        #[arg(value_parser = at_least_one::<NonZeroU32>, long, default_value = "90", value_name = "DAYS")]
        expires_days: NonZeroU32,
        /// It is good for ever
        #[arg(long, conflicts_with = "expires_days")]
        never_expires: bool,
        #[command(flatten)]
        change: Change,
    },
    /// Take a token back: it opens nothing any more
    #[command(mut_arg("reason", needed), mut_arg("dry_run", unseen))]
    Revoke {
        /// The token, by the id that lists and the audit log show
        #[arg(value_parser = token)]
        id: TokenId,
        #[command(flatten)]
        change: Change,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum AuditVerb {
    /// List what was done and what was refused, newest first
    #[command(after_help = AUDIT_FILTER_HELP)]
    List {
        /// Only these, such as: kind=denial AND principal=alice
        #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
        filter: String,
        /// Most entries to list
        #[arg(value_parser = at_least_one::<NonZeroUsize>, long, default_value = "50", value_name = "COUNT")]
        limit: NonZeroUsize,
    },
}

const AUDIT_FILTER_HELP: &str = "\
A filter joins comparisons by AND, OR and NOT; AND binds closer than OR, and
parentheses say otherwise. kind, principal, request_id and outcome are compared
by = and !=, method and resource also by : (a prefix), the time at by <, <=, >
and >=, such as: method:QueueService/ AND NOT principal=deploy.";

fn principal(text: &str) -> Result<PrincipalName, String> {
    PrincipalName::new(text.strip_prefix("principals/").unwrap_or(text)).map_err(|error| error.to_string())
}

/// The text of a whole token is refused, and not repeated: a command line can be read by everybody on the machine.
fn token(text: &str) -> Result<TokenId, String> {
    let id = text.strip_prefix("tokens/").unwrap_or(text);
    id.parse().map_err(|_| "expected the 16 digits of its id, never the token itself".to_owned())
}
