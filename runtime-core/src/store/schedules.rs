//! The port of schedules: what was declared, where each stands, and the one way in which a tick becomes a task.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{EnqueueError, Enqueued, StoreError};
use crate::etag::Etag;
use crate::name::ScheduleName;
use crate::schedule::{ScheduleSpec, ScheduleState};
use crate::task::NewTask;

/// How often a stored schedule was written. Whoever writes shows the revision it read, so that nobody undoes what another one wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// That of a schedule that was just made.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A schedule as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSchedule {
    /// What was declared.
    pub spec: ScheduleSpec,
    /// Where it stands.
    pub state: ScheduleState,
    /// How often it was written.
    pub revision: Revision,
}

impl StoredSchedule {
    /// What operators can change of it: what was declared, and whether it is paused. Its ticks leave that as it is.
    pub fn etag(&self) -> Etag {
        let ScheduleState { declared_by, orphaned, paused, since, .. } = &self.state;
        Etag::of_content(&(&self.spec, declared_by, orphaned, paused, since))
    }
}

/// What became of a write of one schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutSchedule {
    /// It is written, and has this revision now.
    Written(Revision),
    /// The stored schedule has another revision, is there although none was expected, or is gone. Nothing was written.
    Conflict,
}

/// A decision to be carried out: the state it leads to, and its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// Which schedule.
    pub name: ScheduleName,
    /// The revision the decision was made on.
    pub revision: Revision,
    /// The state afterwards. Where there are tasks, the store itself sets [`ScheduleState::last_task`] to the last of them.
    pub state: ScheduleState,
    /// The tasks, oldest tick first.
    pub tasks: Vec<NewTask>,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fired {
    /// State and tasks are written.
    Done {
        /// The schedule's revision now.
        revision: Revision,
        /// One answer a task, in the order asked. A duplicate was made by the same tick before.
        tasks: Vec<Enqueued>,
    },
    /// Somebody else has written the schedule since, or it is gone. Nothing was written.
    Conflict,
}

/// Schedules, as documents beside the tasks they make.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// All of them, by name.
    async fn schedules(&self) -> Result<Vec<StoredSchedule>, StoreError>;

    /// Makes a schedule (`expected` is `None`: there must be none of its name) or replaces the one of this revision.
    async fn put_schedule(
        &self,
        spec: ScheduleSpec,
        state: ScheduleState,
        expected: Option<Revision>,
    ) -> Result<PutSchedule, StoreError>;

    /// Forgets the schedule of this revision; tasks it made stay. `false` when it has another revision or is gone.
    async fn delete_schedule(&self, name: ScheduleName, expected: Revision) -> Result<bool, StoreError>;

    /// Writes a decision: the state and all its tasks in one transaction, or neither. Conditional on the revision, so that of two who
    /// decided on the same state one alone makes tasks, and a crash leaves a tick either decided with its task or not decided.
    ///
    /// # Errors
    /// When a task is refused, as by a full queue, or the store fails: nothing was written.
    async fn fire(&self, firing: Firing) -> Result<Fired, EnqueueError>;
}
