//! What is stored beside a schedule.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::timing::just_before;
use crate::task::TaskId;

/// Where a schedule stands.
///
/// It is stored with the tasks of a [`super::Decision`], in one transaction or after them: the other order could lose a tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleState {
    /// Where it was declared.
    pub declared_by: DeclaredBy,
    /// Whether its app no longer declares it. It is shown, and makes nothing.
    #[serde(default)]
    pub orphaned: bool,
    /// Who paused it, when it is paused. It makes nothing.
    #[serde(default)]
    pub paused: Option<Paused>,
    /// Ticks before this moment are not its own: when it was made, last resumed or last adopted.
    pub since: Timestamp,
    /// The latest tick that was decided. It only grows: what lies before it is never decided again.
    #[serde(default)]
    pub last_tick: Option<Timestamp>,
    /// A tick that waits for the unfinished task ([`super::OverlapPolicy::BufferOne`]).
    #[serde(default)]
    pub buffered: Option<Timestamp>,
    /// The task it made last; whether it has finished is what `running` means in [`super::decide`].
    #[serde(default)]
    pub last_task: Option<TaskId>,
}

/// Where a schedule was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclaredBy {
    /// In the code of an app. It is orphaned when the app no longer does so.
    App,
    /// At run time, by an operator or a handler.
    RunTime,
}

/// That a schedule is paused, and who is to be asked about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

impl ScheduleState {
    /// The state of a schedule that was declared just now. Its first tick is not before `since`.
    pub fn new(declared_by: DeclaredBy, since: Timestamp) -> Self {
        Self {
            declared_by,
            orphaned: false,
            paused: None,
            since,
            last_tick: None,
            buffered: None,
            last_task: None,
        }
    }

    /// The schedule makes nothing until it is resumed.
    pub fn pause(&mut self, paused: Paused) {
        self.paused = Some(paused);
    }

    /// The schedule goes on with its first tick that is not before `at`. Ticks that came while it was paused are lost; a tick
    /// that waited before waits on.
    pub fn resume(&mut self, at: Timestamp) {
        if self.paused.take().is_some() {
            self.since = self.since.max(at);
        }
    }

    /// The schedule's app no longer declares it: it makes nothing until it is adopted.
    pub fn orphan(&mut self) {
        self.orphaned = true;
    }

    /// The schedule's app declares it again: it goes on with its first tick that is not before `at`.
    pub fn adopt(&mut self, at: Timestamp) {
        if std::mem::take(&mut self.orphaned) {
            self.since = self.since.max(at);
        }
    }

    /// Ticks up to this instant are decided, or were never its own.
    pub(super) fn decided_until(&self) -> Timestamp {
        let before = just_before(self.since);
        self.last_tick.map_or(before, |tick| tick.max(before))
    }
}
