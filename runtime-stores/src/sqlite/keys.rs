//! Keys: what stands under one, and what a task that comes under it does.

use jiff::Timestamp;
use runtime_core::lifecycle::{LifecycleEvent, transition};
use runtime_core::name::{FlowKey, IdempotencyKey, QueueName};
use runtime_core::store::{EnqueueError, Enqueued};
use runtime_core::task::{Epoch, KeyVerdict, KnownTask, NewTask, TaskId, TaskState};
use rusqlite::OptionalExtension;

use super::books::millis;
use super::columns::{self, moment, state};
use super::fault::Fault;
use super::writer::{Standing, Writer, row_of};
use crate::content;

/// A key, and the task it was given to.
pub(super) struct Known {
    content: content::Hash,
    id: TaskId,
    accepted_at: i64,
    keep_until: Option<i64>,
    state: TaskState,
    /// While it is live.
    standing: Option<Standing>,
}

/// Whether a task was taken, or the answer to whoever asked.
type Answer = Result<Enqueued, EnqueueError>;

impl Writer<'_> {
    /// What is remembered under a key.
    pub(super) fn known(&mut self, hash: &content::Hash) -> Result<Option<Known>, Fault> {
        let found = self
            .sql
            .find_key
            .query_row([hash], |row| {
                Ok((
                    row.get::<_, content::Hash>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, Option<u8>>(3)?,
                    row.get::<_, Option<i64>>(4)?,
                    row.get::<_, Option<i64>>(5)?,
                ))
            })
            .optional()?;
        let Some((content, row, accepted_at, last_state, expires_at, keep_until)) = found else {
            return Ok(None);
        };
        if expires_at.is_some_and(|at| at <= self.now) {
            return Ok(None);
        }
        let id = self.id(row, accepted_at)?;
        let standing = self.standing(id)?;
        let state = match (&standing, last_state) {
            (Some(standing), _) => standing.view.state,
            (None, Some(number)) => state(number)?,
            (None, None) => match self.finished_standing(id)? {
                Some(finished) => finished.view.state,
                None => {
                    return Err(Fault::corrupt(format!("the key of task {id} outlived it without a state")));
                }
            },
        };
        Ok(Some(Known { content, id, accepted_at, keep_until, state, standing }))
    }

    /// A task meets the one its key was given to. `None` when it is a new one all the same.
    pub(super) fn meet(
        &mut self,
        new: &NewTask,
        hash: &content::Hash,
        content: &content::Hash,
        known: &Known,
    ) -> Result<Option<Answer>, Fault> {
        let (id, state, accepted_at) = (known.id, known.state, moment(known.accepted_at)?);
        let epoch = Epoch(known.standing.as_ref().map_or(0, |standing| standing.epoch.unsigned_abs()));
        let same_content = known.content == *content;
        let seen = KnownTask { same_content, state, epoch, accepted_at };
        let answer = match new.unique.verdict(seen, self.timestamp()?) {
            KeyVerdict::New => return Ok(None),
            KeyVerdict::Conflict => {
                return Ok(Some(Err(EnqueueError::IdempotencyConflict { existing: id })));
            }
            KeyVerdict::Known => Enqueued::Duplicate { id, state },
            KeyVerdict::Replace => match self.replace(new, known, None)? {
                Ok(_) => Enqueued::Replaced { id },
                Err(refused) => return Ok(Some(Err(refused))),
            },
            KeyVerdict::Debounce { latest } => match self.replace(new, known, Some(latest))? {
                Ok(run_at) => Enqueued::Debounced { id, run_at },
                Err(refused) => return Ok(Some(Err(refused))),
            },
        };
        if !matches!(answer, Enqueued::Duplicate { .. }) {
            self.sql.replace_key_content.execute((hash, content))?;
        }
        // Whoever asks for a longer memory gets it.
        let keep_until = new.unique.keep_until(accepted_at).map(millis);
        if keep_until > known.keep_until {
            self.sql.keep_key.execute((hash, keep_until))?;
        }
        Ok(Some(Ok(answer)))
    }

    /// A task that waits takes what the new one says. Returns when it is due.
    fn replace(
        &mut self,
        new: &NewTask,
        known: &Known,
        latest: Option<Timestamp>,
    ) -> Result<Result<Timestamp, EnqueueError>, Fault> {
        let conflict = || EnqueueError::IdempotencyConflict { existing: known.id };
        let Some(standing) = &known.standing else { return Ok(Err(conflict())) };
        let row = row_of(known.id);
        let names = self.shared.names();
        let task = {
            let mut rows = self.sql.whole_task.query([row])?;
            let Some(row) = rows.next()? else {
                return Err(Fault::corrupt(format!("task {} is gone", known.id)));
            };
            columns::task(row, &names, self.salt)?
        };
        if !content::is_same_work(new, &task) {
            return Ok(Err(conflict()));
        }
        let run_at = content::due(new, latest).map(millis).filter(|run_at| *run_at > self.now);
        let event = LifecycleEvent::Replaced { due: run_at.is_none() };
        let Ok(next) = transition(standing.view, event) else { return Ok(Err(conflict())) };
        let run_at = run_at.unwrap_or(self.now);
        let lane = self.lane_of(standing.queue, new);
        self.sql.replace.execute((
            row,
            next.state.number(),
            new.priority.0,
            run_at,
            new.schema_version,
            &new.payload,
            new.deadline.map(content::millis_up),
            content::rank(run_at, new.priority, self.priority_step),
            lane.as_ref().map(FlowKey::as_str),
            new.weight.get(),
        ))?;
        self.books.leave(standing.queue, standing.view.state);
        self.books.enter(standing.queue, next.state);
        self.books.due_changed |= next.state == TaskState::Scheduled;
        Ok(Ok(moment(run_at)?))
    }

    /// The hash under which a task's key is kept.
    pub(super) fn key_hash_of(&self, queue: i64, key: &str) -> Result<content::Hash, Fault> {
        let names = self.shared.names();
        let queue: &QueueName = names.queue(queue)?;
        let key = IdempotencyKey::new(key).map_err(|error| Fault::corrupt(error.to_string()))?;
        Ok(content::key_hash(queue, &key))
    }
}
