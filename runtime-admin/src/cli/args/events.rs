//! `runtimectl events …`.

use std::num::NonZeroU32;

use clap::Args;

use super::names::at_least_one;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct EventsArgs {
    /// Which: field=value or field:prefix, joined by AND
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(in crate::cli) filter: String,
    /// With --watch: first how the resources are
    #[arg(long, requires = "watch")]
    pub(in crate::cli) state: bool,
    /// With --watch: several events of one resource as one
    #[arg(long, requires = "watch")]
    pub(in crate::cli) coalesce: bool,
    /// With --watch: of single tasks how many, queue by queue, instead of which
    #[arg(long, requires = "watch")]
    pub(in crate::cli) count: bool,
    /// Most events to list: the latest
    #[arg(value_parser = at_least_one::<NonZeroU32>, long, default_value = "50", value_name = "COUNT", conflicts_with = "watch")]
    pub(in crate::cli) limit: NonZeroU32,
}
