//! `runtimectl schedule …`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use runtime_core::name::{ScheduleName, Scope, Tenant, WorkerName};
use runtime_proto::v1;

use super::change::{Change, needed, unseen};
use super::enqueue::time;
use super::names::{at_least_one, moment, schedule, worker};

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum ScheduleVerb {
    /// List schedules
    List,
    /// Show one schedule
    Get {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
    },
    /// Show its next ticks and the inputs of their tasks
    Preview {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
        /// Strictly after this [default: now]
        #[arg(value_parser = moment, long, value_name = "TIME")]
        after: Option<Timestamp>,
        /// How many
        #[arg(value_parser = at_least_one::<NonZeroU32>, long, default_value = "10", value_name = "COUNT")]
        count: NonZeroU32,
    },
    /// Make nothing until it is resumed
    #[command(mut_arg("reason", needed))]
    Pause {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
        #[command(flatten)]
        change: Change,
    },
    /// Go on with its next tick
    Resume {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
        #[command(flatten)]
        change: Change,
    },
    /// Make a task now, besides its ticks
    #[command(mut_arg("dry_run", unseen))]
    Trigger {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
        #[command(flatten)]
        change: Change,
    },
    /// Make the tasks of a past period's ticks, but those whose key is known
    #[command(mut_arg("dry_run", unseen))]
    #[command(override_usage = "runtimectl schedule backfill <SCHEDULE> --from <TIME> --until <TIME>")]
    Backfill {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
        /// The first moment of the period
        #[arg(value_parser = moment, long, value_name = "TIME")]
        from: Timestamp,
        /// The first moment after it
        #[arg(value_parser = moment, long, value_name = "TIME")]
        until: Timestamp,
        #[command(flatten)]
        change: Change,
    },
    /// Make a schedule at run time
    Create(Box<ScheduleCreate>),
    /// Change one that was made at run time; what is not said stays
    Update(Box<ScheduleUpdate>),
    /// Forget one that was made at run time, or that is orphaned
    #[command(mut_arg("reason", needed))]
    Delete {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
        #[command(flatten)]
        change: Change,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Clone, clap::Args)]
#[command(
    group = clap::ArgGroup::new("timing").required(true),
    override_usage = "runtimectl schedule create <SCHEDULE> --worker <WORKER> --payload <JSON>\n       \
                      <--cron <EXPRESSION>|--every-secs <SECONDS>> [OPTIONS]",
)]
pub(in crate::cli) struct ScheduleCreate {
    /// Its name
    #[arg(value_parser = schedule)]
    pub(in crate::cli) schedule: ScheduleName,
    /// The worker whose tasks it makes
    #[arg(long, value_parser = worker)]
    pub(in crate::cli) worker: WorkerName,
    /// Input of each task, a JSON document; {"$tick": "date", "minus": "P1D"} in it is the day before
    #[arg(long, value_name = "JSON")]
    pub(in crate::cli) payload: String,
    #[command(flatten)]
    pub(in crate::cli) parts: ScheduleParts,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct ScheduleUpdate {
    /// The schedule
    #[arg(value_parser = schedule)]
    pub(in crate::cli) schedule: ScheduleName,
    /// The worker whose tasks it makes
    #[arg(long, value_parser = worker)]
    pub(in crate::cli) worker: Option<WorkerName>,
    /// Input of each task, a JSON document; {"$tick": "date", "minus": "P1D"} in it is the day before
    #[arg(long, value_name = "JSON")]
    pub(in crate::cli) payload: Option<String>,
    /// Take back what was said: start, end, jitter, tenant, scope
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',', hide_possible_values = true)]
    pub(in crate::cli) clear: Vec<Part>,
    #[command(flatten)]
    pub(in crate::cli) parts: ScheduleParts,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}

/// What may be said of a schedule beside whose tasks it makes.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct ScheduleParts {
    /// Wall times, five fields from the minute on or six from the second on
    #[arg(long, group = "timing", value_name = "EXPRESSION")]
    pub(in crate::cli) cron: Option<String>,
    /// Zone of the wall times [default: UTC]
    #[arg(long, value_name = "ZONE", conflicts_with = "every_secs")]
    pub(in crate::cli) zone: Option<String>,
    /// A fixed interval
    #[arg(value_parser = at_least_one::<NonZeroU32>, long, group = "timing", value_name = "SECONDS")]
    pub(in crate::cli) every_secs: Option<NonZeroU32>,
    /// No tick before this, such as 2030-01-31T08:00:00Z
    #[arg(value_parser = moment, long, value_name = "TIME")]
    pub(in crate::cli) start: Option<Timestamp>,
    /// No tick at this time or later
    #[arg(value_parser = moment, long, value_name = "TIME")]
    pub(in crate::cli) end: Option<Timestamp>,
    /// A task may start up to so much after its tick, such as 90s
    #[arg(long, value_parser = time, value_name = "TIME")]
    pub(in crate::cli) jitter: Option<Duration>,
    /// When a task has not finished: skip, buffer-one, allow-all, cancel-running
    #[arg(long, value_enum, value_name = "POLICY", hide_possible_values = true)]
    pub(in crate::cli) overlap: Option<Overlap>,
    /// What becomes of missed ticks: none, last, all
    #[arg(long, value_enum, value_name = "POLICY", hide_possible_values = true)]
    pub(in crate::cli) catch_up: Option<CatchUp>,
    /// With --catch-up all: so far back, such as 24h
    #[arg(long, value_parser = time, value_name = "TIME", required_if_eq("catch_up", "all"), requires = "catch_up")]
    pub(in crate::cli) catch_up_window: Option<Duration>,
    /// Whose work its tasks are
    #[arg(long)]
    pub(in crate::cli) tenant: Option<Tenant>,
    /// The part of the world its tasks concern
    #[arg(long)]
    pub(in crate::cli) scope: Option<Scope>,
    /// Lower goes first
    #[arg(long, allow_negative_numbers = true)]
    pub(in crate::cli) priority: Option<i16>,
}

/// What can be taken back.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Part {
    /// It has no first tick.
    Start,
    /// It goes on for ever.
    End,
    /// Its tasks start at their ticks.
    Jitter,
    /// Nobody's in particular.
    Tenant,
    /// No part of the world.
    Scope,
}

/// What a tick does when a task has not finished.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Overlap {
    /// Nothing.
    Skip,
    /// It waits.
    BufferOne,
    /// It makes its task.
    AllowAll,
    /// It makes its task, and the unfinished one is cancelled.
    CancelRunning,
}

impl Overlap {
    /// For the wire.
    pub(in crate::cli) fn wire(self) -> v1::OverlapPolicy {
        match self {
            Self::Skip => v1::OverlapPolicy::Skip,
            Self::BufferOne => v1::OverlapPolicy::BufferOne,
            Self::AllowAll => v1::OverlapPolicy::AllowAll,
            Self::CancelRunning => v1::OverlapPolicy::CancelRunning,
        }
    }
}

/// What becomes of missed ticks.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum CatchUp {
    /// They are skipped.
    None,
    /// The latest makes its task.
    Last,
    /// All within a window make theirs.
    All,
}

impl CatchUp {
    /// For the wire.
    pub(in crate::cli) fn wire(self) -> v1::CatchUpPolicy {
        match self {
            Self::None => v1::CatchUpPolicy::None,
            Self::Last => v1::CatchUpPolicy::Last,
            Self::All => v1::CatchUpPolicy::All,
        }
    }
}
