//! `runtimectl schedule …`.

use std::num::NonZeroU32;

use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use runtime_core::name::{ScheduleName, Scope, WorkerName};
use runtime_proto::v1;

use super::{schedule, worker};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ScheduleVerb {
    /// List schedules
    List,
    /// Show one schedule
    Get {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
    },
    /// Show its next ticks
    Preview {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
        /// Strictly after this [default: now]
        #[arg(long, value_name = "TIME")]
        after: Option<Timestamp>,
        /// How many
        #[arg(long, default_value = "10", value_name = "COUNT")]
        count: NonZeroU32,
    },
    /// Make nothing until it is resumed
    Pause {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
        /// Why, for whoever finds it paused
        #[arg(long)]
        reason: String,
    },
    /// Go on with its next tick
    Resume {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
    },
    /// Make a task now, besides its ticks
    Trigger {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
    },
    /// Make the tasks of a past period's ticks, each at most once
    Backfill {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
        /// The first moment of the period
        #[arg(long, value_name = "TIME")]
        from: Timestamp,
        /// The first moment after it
        #[arg(long, value_name = "TIME")]
        until: Timestamp,
    },
    /// Make a schedule at run time
    Create(Box<ScheduleCreate>),
    /// Forget one that was made at run time, or that is orphaned
    Delete {
        /// The schedule
        #[arg(value_parser = schedule)]
        schedule: ScheduleName,
    },
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("timing").required(true))]
pub(in crate::cli) struct ScheduleCreate {
    /// Its name
    #[arg(value_parser = schedule)]
    pub(in crate::cli) schedule: ScheduleName,
    /// The worker whose tasks it makes
    #[arg(long, value_parser = worker)]
    pub(in crate::cli) worker: WorkerName,
    /// Input of each task, a JSON document
    #[arg(long, value_name = "JSON")]
    pub(in crate::cli) payload: String,
    /// Wall times, five fields from the minute on or six from the second on
    #[arg(long, group = "timing", value_name = "EXPRESSION")]
    pub(in crate::cli) cron: Option<String>,
    /// Zone of the wall times
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    pub(in crate::cli) zone: String,
    /// A fixed interval
    #[arg(long, group = "timing", value_name = "SECONDS")]
    pub(in crate::cli) every_secs: Option<NonZeroU32>,
    /// When a task has not finished: skip, buffer-one, allow-all, cancel-running
    #[arg(long, value_enum, default_value_t, value_name = "POLICY", hide_possible_values = true)]
    pub(in crate::cli) overlap: Overlap,
    /// What becomes of missed ticks: none, last
    #[arg(long, value_enum, default_value_t, value_name = "POLICY", hide_possible_values = true)]
    pub(in crate::cli) catch_up: CatchUp,
    /// The part of the world its tasks concern
    #[arg(long)]
    pub(in crate::cli) scope: Option<Scope>,
}

/// What a tick does when a task has not finished.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(in crate::cli) enum Overlap {
    /// Nothing.
    #[default]
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
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(in crate::cli) enum CatchUp {
    /// They are skipped.
    #[default]
    None,
    /// The latest makes its task.
    Last,
}

impl CatchUp {
    /// For the wire.
    pub(in crate::cli) fn wire(self) -> v1::CatchUpPolicy {
        match self {
            Self::None => v1::CatchUpPolicy::None,
            Self::Last => v1::CatchUpPolicy::Last,
        }
    }
}
