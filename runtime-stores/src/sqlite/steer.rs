//! Operators move single tasks.

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::etag::{Etag, Terms};
use runtime_core::lifecycle::transition;
use runtime_core::store::{SteerError, Steered, TaskCommand};
use runtime_core::task::{Epoch, TaskId, TaskState};

use super::books::millis;
use super::columns::{json, moment};
use super::fault::Fault;
use super::writer::{Standing, Writer, row_of};
use crate::content::{check_command, event_of, replay_at};

impl Writer<'_> {
    pub(super) fn steer(
        &mut self,
        commands: &[(TaskId, TaskCommand)],
    ) -> Result<Vec<Result<TaskState, SteerError>>, Fault> {
        commands.iter().map(|(id, command)| self.steer_one(*id, command)).collect()
    }

    /// The look at the task, the command and the look afterwards are one transaction.
    pub(super) fn steer_on(
        &mut self,
        id: TaskId,
        command: &TaskCommand,
        terms: &Terms,
    ) -> Result<Result<Steered, SteerError>, Fault> {
        let Some(was) = self.etag(id)? else { return Ok(Err(SteerError::NotFound(id))) };
        if !terms.fit(&was) {
            return Ok(Err(SteerError::Changed(id)));
        }
        if terms.validate_only {
            return Ok(self.would_come_to(id, command)?.map(|state| Steered { state, etag: was }));
        }
        match self.steer_one(id, command)? {
            Ok(state) => Ok(Ok(Steered { state, etag: self.etag(id)?.unwrap_or(was) })),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Where a command would lead.
    fn would_come_to(
        &mut self,
        id: TaskId,
        command: &TaskCommand,
    ) -> Result<Result<TaskState, SteerError>, Fault> {
        if let Err(refused) = check_command(command, &self.limits) {
            return Ok(Err(refused));
        }
        let standing = match self.standing(id)? {
            Some(live) => Some((waits_for_effect(&live)?, live)),
            None => self.finished_standing(id)?.map(|finished| (false, finished)),
        };
        let Some((unknown_effect, standing)) = standing else { return Ok(Err(SteerError::NotFound(id))) };
        let event = event_of(command, unknown_effect, self.timestamp()?);
        Ok(transition(standing.view, event).map(|next| next.state).map_err(SteerError::from))
    }

    /// What a task is, live or finished.
    fn etag(&mut self, id: TaskId) -> Result<Option<Etag>, Fault> {
        let row = row_of(id);
        let standing = match self.standing(id)? {
            Some(live) => Some(live),
            None => self.finished_standing(id)?,
        };
        let Some(standing) = standing else { return Ok(None) };
        let run_at = moment(self.sql.run_at.query_row([row], |found| found.get(0))?)?;
        let epoch = Epoch(standing.epoch.unsigned_abs());
        Ok(Some(Etag::of_task(standing.view.state, epoch, standing.view.attempt, run_at)))
    }

    pub(super) fn steer_one(
        &mut self,
        id: TaskId,
        command: &TaskCommand,
    ) -> Result<Result<TaskState, SteerError>, Fault> {
        if let Err(refused) = check_command(command, &self.limits) {
            return Ok(Err(refused));
        }
        if let Some(standing) = self.standing(id)? {
            return self.steer_live(row_of(id), &standing, command);
        }
        match self.finished_standing(id)? {
            Some(standing) => self.steer_finished(row_of(id), &standing, command),
            None => Ok(Err(SteerError::NotFound(id))),
        }
    }

    fn steer_live(
        &mut self,
        row: i64,
        standing: &Standing,
        command: &TaskCommand,
    ) -> Result<Result<TaskState, SteerError>, Fault> {
        let unknown_effect = waits_for_effect(standing)?;
        let event = event_of(command, unknown_effect, self.timestamp()?);
        let next = match transition(standing.view, event) {
            Ok(next) => next,
            Err(not_allowed) => return Ok(Err(not_allowed.into())),
        };
        match (command, unknown_effect) {
            (TaskCommand::Delete { .. }, _) => {
                let state = self.place(row, standing, next)?;
                self.delete_finished(row, standing.queue, state)?;
                return Ok(Ok(state));
            }
            (TaskCommand::Approve, true) => drop(self.sql.assume_effects.execute((row, b"null".as_slice()))?),
            (TaskCommand::Reject, true) => drop(self.sql.withdraw_effects.execute([row])?),
            (TaskCommand::Approve, false) => drop(self.sql.approve.execute([row])?),
            _ => {}
        }
        self.place(row, standing, next).map(Ok)
    }

    /// A replayed task goes back to the live ones under the same id. What ended it stays in its attempts. A discarded one stays.
    fn steer_finished(
        &mut self,
        row: i64,
        standing: &Standing,
        command: &TaskCommand,
    ) -> Result<Result<TaskState, SteerError>, Fault> {
        let now = self.timestamp()?;
        let next = match transition(standing.view, event_of(command, false, now)) {
            Ok(next) => next,
            Err(not_allowed) => return Ok(Err(not_allowed.into())),
        };
        if matches!(command, TaskCommand::Delete { .. }) {
            self.unblock(row, standing.queue)?;
            self.delete_finished(row, standing.queue, next.state)?;
            return Ok(Ok(next.state));
        }
        if next.state.is_finished() {
            let error = next.error.as_ref().map(json).transpose()?;
            self.sql.discard.execute((row, next.state.number(), self.now, error))?;
            self.trim_floor = self.trim_floor.min(row - 1);
            self.unblock(row, standing.queue)?;
        } else {
            let at = millis(replay_at(command, now));
            let held = self.held_on_return(row, standing.queue)?;
            self.sql.revive.execute((
                row,
                next.state.number(),
                at,
                next.attempt,
                next.crash_count,
                held,
                self.priority_step,
            ))?;
            self.sql.delete_finished.execute([row])?;
            if let TaskCommand::Replay { payload: Some(payload), .. } = command {
                self.sql.edit.execute((row, payload))?;
            }
            self.find_lane(row, standing.queue)?;
            self.books.due_changed |= next.state == TaskState::Scheduled;
        }
        self.books.leave(standing.queue, standing.view.state);
        self.books.enter(standing.queue, next.state);
        Ok(Ok(next.state))
    }
}

fn waits_for_effect(standing: &Standing) -> Result<bool, Fault> {
    if standing.view.state != TaskState::Parked {
        return Ok(false);
    }
    let Some(json) = &standing.error else { return Ok(false) };
    let error: TaskError = serde_json::from_str(json).map_err(|error| Fault::corrupt(error.to_string()))?;
    Ok(error.code == ErrorCode::EffectUnknown)
}
