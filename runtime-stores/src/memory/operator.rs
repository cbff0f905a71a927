//! Operators' commands and the ledger of effects.

use runtime_core::error::ErrorCode;
use runtime_core::etag::Terms;
use runtime_core::lifecycle::{Transition, transition};
use runtime_core::name::StepName;
use runtime_core::store::{ContentHash, EffectBegun, EffectClass, SteerError, Steered, TaskCommand};
use runtime_core::task::{Lease, Task, TaskId, TaskState};

use super::state::{State, view};
use crate::content;

impl State {
    pub(super) fn steer(&mut self, id: TaskId, command: TaskCommand) -> Result<TaskState, SteerError> {
        content::check_command(&command, &self.limits)?;
        let mut task = self.find(id).cloned().ok_or(SteerError::NotFound(id))?;
        let unknown_effect = waits_for_effect(&task);
        let next = transition(view(&task), content::event_of(&command, unknown_effect, self.now))?;
        if matches!(command, TaskCommand::Delete { .. }) {
            return Ok(self.delete(task, next));
        }
        let cancelled = next.state.is_finished();
        let row = id.row();
        match (&command, unknown_effect) {
            (TaskCommand::Approve, true) => {
                let unknown = self.effects.iter_mut().filter(|((owner, _), _)| *owner == row);
                unknown
                    .filter(|(_, (_, result))| result.is_none())
                    .for_each(|(_, (_, result))| *result = Some(b"null".to_vec()));
            }
            (TaskCommand::Reject, true) => {
                self.effects.retain(|(owner, _), (_, result)| *owner != row || result.is_some());
            }
            (TaskCommand::Approve, false) => task.approved = true,
            (TaskCommand::Replay { payload: Some(payload), .. }, _) => {
                task.payload.clone_from(payload);
                task.edited = true;
                (task.checkpoint, task.progress) = (None, None);
            }
            _ => {}
        }
        if task.state == TaskState::Scheduled && !cancelled {
            task.run_at = self.now;
        }
        if task.state.is_finished() && !cancelled {
            let run_at = content::replay_at(&command, self.now);
            task.finished_at = None;
            task.approved = false;
            task.deadline = task.deadline.filter(|deadline| *deadline > run_at);
            task.run_at = run_at;
        }
        Ok(self.place(task, next))
    }

    /// What waits ends first; what blocks its ordering key no longer does.
    fn delete(&mut self, task: Task, next: Transition) -> TaskState {
        let (row, state) = (task.id.row(), next.state);
        if task.state.is_finished() {
            self.unblock(&task);
        } else {
            self.place(task, next);
        }
        let finished_at = self.finished.get(&row).and_then(|task| task.finished_at).unwrap_or(self.now);
        self.forget(row, finished_at.as_millisecond());
        state
    }

    /// The same on terms.
    pub(super) fn steer_on(
        &mut self,
        id: TaskId,
        command: TaskCommand,
        terms: &Terms,
    ) -> Result<Steered, SteerError> {
        let task = self.find(id).ok_or(SteerError::NotFound(id))?;
        let was = task.etag();
        if !terms.fit(&was) {
            return Err(SteerError::Changed(id));
        }
        if terms.validate_only {
            content::check_command(&command, &self.limits)?;
            let next = transition(view(task), content::event_of(&command, waits_for_effect(task), self.now))?;
            return Ok(Steered { state: next.state, etag: was });
        }
        let state = self.steer(id, command)?;
        Ok(Steered { state, etag: self.find(id).map_or(was, Task::etag) })
    }

    pub(super) fn begin_effect(
        &mut self,
        lease: Lease,
        step: StepName,
        class: EffectClass,
        content: ContentHash,
    ) -> EffectBegun {
        if self.leased(lease).is_none() {
            return EffectBegun::Stale;
        }
        let key = (lease.task.row(), step);
        match self.effects.get(&key) {
            Some((known, _)) if *known != content => EffectBegun::Conflict,
            Some((_, Some(result))) => EffectBegun::Known { result: result.clone() },
            Some((_, None)) => EffectBegun::Unknown,
            None => {
                if class == EffectClass::Unkeyed {
                    self.effects.insert(key, (content, None));
                }
                EffectBegun::Fresh
            }
        }
    }

    pub(super) fn record_effect(
        &mut self,
        lease: Lease,
        step: StepName,
        content: ContentHash,
        result: Vec<u8>,
    ) -> bool {
        if self.leased(lease).is_none() {
            return false;
        }
        self.effects.insert((lease.task.row(), step), (content, Some(result)));
        true
    }

    pub(super) fn withdraw_effect(&mut self, lease: Lease, step: &StepName) -> bool {
        if self.leased(lease).is_none() {
            return false;
        }
        let key = (lease.task.row(), step.clone());
        if self.effects.get(&key).is_some_and(|(_, result)| result.is_none()) {
            self.effects.remove(&key);
        }
        true
    }
}

fn waits_for_effect(task: &Task) -> bool {
    task.state == TaskState::Parked
        && task.last_error.as_ref().is_some_and(|error| error.code == ErrorCode::EffectUnknown)
}
