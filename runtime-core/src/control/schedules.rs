//! What can be asked of the schedules.

use std::time::Duration;

use jiff::Timestamp;

use super::Reply;
use crate::etag::{Etag, Terms};
use crate::name::ScheduleName;
use crate::schedule::{ScheduleSpec, Skipped, Tick};
use crate::store::{Enqueued, StoredSchedule};
use crate::task::TaskId;

/// Most ticks of one call of [`ScheduleCommand::Backfill`].
pub const MAX_BACKFILL: usize = 500;

/// A schedule, as its node sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleView {
    /// What is stored.
    pub stored: StoredSchedule,
    /// The next tick; `None` when it makes nothing.
    pub next_tick: Option<Timestamp>,
    /// How late the latest task was made, from its tick on.
    pub lag: Option<Duration>,
    /// The latest ticks that made no task.
    pub skipped: Option<Skipped>,
    /// Why it cannot do what is due.
    pub problem: Option<String>,
    /// Its input does not fit its worker, as after a release that changed the schema. It makes nothing until it is changed; `problem` says
    /// what does not fit.
    pub unfit: bool,
    /// What it is, for whoever changes it later; in a preview what it is before the change.
    pub etag: Etag,
}

/// A tick to come, and what its task would be told.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviewedTick {
    /// The tick.
    pub tick: Tick,
    /// The rendered input.
    pub input: serde_json::Value,
}

/// What one call of [`ScheduleCommand::Backfill`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfilled {
    /// Tasks that were made.
    pub made: Vec<TaskId>,
    /// Ticks whose task was there already.
    pub known: usize,
    /// Where the next call has to go on, when the period has more ticks than one call takes.
    pub next_from: Option<Timestamp>,
}

/// A command about schedules.
#[derive(Debug)]
pub enum ScheduleCommand {
    /// All of them, by name.
    List {
        /// The answer.
        reply: Reply<Vec<ScheduleView>>,
    },
    /// One.
    Get {
        /// Which.
        name: ScheduleName,
        /// The answer.
        reply: Reply<ScheduleView>,
    },
    /// Its next ticks, paused or not.
    Preview {
        /// Which.
        name: ScheduleName,
        /// Strictly after this; from now on when absent.
        after: Option<Timestamp>,
        /// How many.
        count: usize,
        /// The answer, in order.
        reply: Reply<Vec<PreviewedTick>>,
    },
    /// It makes nothing until it is resumed.
    Pause {
        /// Which.
        name: ScheduleName,
        /// Why.
        reason: String,
        /// By whom.
        by: String,
        /// On which terms.
        terms: Terms,
        /// The schedule afterwards.
        reply: Reply<ScheduleView>,
    },
    /// It goes on with its next tick.
    Resume {
        /// Which.
        name: ScheduleName,
        /// On which terms.
        terms: Terms,
        /// The schedule afterwards.
        reply: Reply<ScheduleView>,
    },
    /// Makes a task now, besides its ticks and with the input of a tick at this second, whatever its state and its policies say.
    Trigger {
        /// Which.
        name: ScheduleName,
        /// The task: a new one, or the one that its input's key stands for.
        reply: Reply<Enqueued>,
    },
    /// Makes the tasks of a period's ticks, whatever its state and its policies say; those that were made before are not made again.
    Backfill {
        /// Which.
        name: ScheduleName,
        /// The first moment of the period.
        from: Timestamp,
        /// The first moment after it; not in the future.
        until: Timestamp,
        /// At most [`MAX_BACKFILL`] ticks at once: says where to go on.
        reply: Reply<Backfilled>,
    },
    /// Makes one at run time.
    Create {
        /// What it is.
        spec: Box<ScheduleSpec>,
        /// Only answer how it would be.
        validate_only: bool,
        /// The schedule.
        reply: Reply<ScheduleView>,
    },
    /// Changes one that was made at run time. Its state stays; other times begin now.
    Update {
        /// What it is from now on; the name says which.
        spec: Box<ScheduleSpec>,
        /// On which terms.
        terms: Terms,
        /// The schedule.
        reply: Reply<ScheduleView>,
    },
    /// Forgets one that was made at run time, or that no app declares any more.
    Delete {
        /// Which.
        name: ScheduleName,
        /// On which terms.
        terms: Terms,
        /// Answered when it is gone.
        reply: Reply<()>,
    },
}
