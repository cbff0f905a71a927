//! Tasks come in: new ones, known ones, and those that replace what waits.

use jiff::Timestamp;
use runtime_core::lifecycle::{LifecycleEvent, transition};
use runtime_core::store::{EnqueueError, Enqueued};
use runtime_core::task::{Epoch, KeyVerdict, KnownTask, NewTask, Task, TaskId, TaskState};

use super::state::{State, view};
use crate::content;

/// What a key is remembered with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    content: content::Hash,
    pub(super) id: TaskId,
    accepted_at: Timestamp,
    /// Not forgotten before this, whatever retention says.
    keep_until: Option<Timestamp>,
    /// Once history forgot the task: its last state, and until when the key is kept.
    outlived: Option<(TaskState, Timestamp)>,
}

impl Known {
    /// History forgot the task, and keys are kept until then.
    pub(super) fn outlive(&mut self, state: TaskState, until: Timestamp) {
        self.outlived = Some((state, self.keep_until.map_or(until, |keep| keep.max(until))));
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.outlived.is_some_and(|(_, until)| until <= now)
    }

    /// Whoever asks for a longer memory gets it.
    fn remember_until(&mut self, keep: Option<Timestamp>) {
        self.keep_until = self.keep_until.max(keep);
        if let (Some((_, until)), Some(keep)) = (&mut self.outlived, keep) {
            *until = keep.max(*until);
        }
    }
}

/// Who makes a task.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// Somebody outside: bounded.
    Outside,
    /// The settlement of this task, which is done with it: always taken.
    FollowUp(TaskId),
}

/// How what one task did is taken back.
struct Undo {
    /// The key, and what was known under it before.
    key: Option<(content::Hash, Option<Known>)>,
    /// The task that was made or changed.
    row: u64,
    /// As it was before; `None` when it was made.
    before: Option<Task>,
}

impl State {
    /// One task: new, known, or refused.
    pub(super) fn take_in(&mut self, new: NewTask, origin: Origin) -> Result<Enqueued, EnqueueError> {
        self.admit(new, origin, &mut Vec::new())
    }

    /// All of them, or none.
    pub(super) fn take_in_whole(
        &mut self,
        tasks: Vec<NewTask>,
        origin: Origin,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        let mut done = Vec::new();
        let taken: Result<Vec<_>, _> =
            tasks.into_iter().map(|task| self.admit(task, origin, &mut done)).collect();
        if taken.is_err() {
            done.into_iter().rev().for_each(|undo| self.take_back(undo));
        }
        taken
    }

    fn take_back(&mut self, undo: Undo) {
        let after = self.remove(undo.row);
        match (undo.before, after) {
            (Some(task), _) => self.add(task),
            // The last one is taken back first: nobody came to stand behind it.
            (None, Some(made)) => self.leave_line(&made, TaskState::Cancelled),
            (None, None) => {}
        }
        match undo.key {
            Some((hash, Some(known))) => drop(self.keys.insert(hash, known)),
            Some((hash, None)) => drop(self.keys.remove(&hash)),
            None => {}
        }
    }

    fn admit(
        &mut self,
        new: NewTask,
        origin: Origin,
        done: &mut Vec<Undo>,
    ) -> Result<Enqueued, EnqueueError> {
        content::check(&new, &self.limits)?;
        let queue = new.route.queue.clone();
        if let (Origin::Outside, Some(rules)) = (origin, self.lines.rules.get(&queue)) {
            rules.check(&new)?;
        }
        let key =
            new.idempotency_key.as_ref().map(|key| (content::key_hash(&queue, key), content::hash(&new)));
        let known = key.and_then(|(hash, _)| self.known(&hash));
        if let (Some((hash, content)), Some(known)) = (key, known)
            && let Some(answer) = self.meet(&new, origin, hash, content, known, done)?
        {
            return Ok(answer);
        }
        if matches!(origin, Origin::Outside) {
            self.refuse(&new)?;
        }
        let unique = new.unique;
        let id = self.insert(new);
        if let Some((hash, content)) = key {
            let accepted_at = self.now;
            let keep_until = unique.keep_until(accepted_at);
            self.keys.insert(hash, Known { content, id, accepted_at, keep_until, outlived: None });
        }
        done.push(Undo { key: key.map(|(hash, _)| (hash, known)), row: id.row(), before: None });
        Ok(Enqueued::Accepted { id })
    }

    fn known(&self, hash: &content::Hash) -> Option<Known> {
        self.keys.get(hash).copied().filter(|known| !known.is_over(self.now))
    }

    /// A task meets the one its key was given to. `None` when it is a new one all the same.
    fn meet(
        &mut self,
        new: &NewTask,
        origin: Origin,
        hash: content::Hash,
        content: content::Hash,
        known: Known,
        done: &mut Vec<Undo>,
    ) -> Result<Option<Enqueued>, EnqueueError> {
        let id = known.id;
        let (state, epoch) = match (self.find(id), known.outlived) {
            // Its settlement comes with this task: it is done.
            _ if matches!(origin, Origin::FollowUp(settled) if settled == id) => (TaskState::Done, Epoch(1)),
            (Some(task), _) => (task.state, task.epoch),
            (None, Some((state, _))) => (state, Epoch(0)),
            (None, None) => (TaskState::Done, Epoch(0)),
        };
        let same_content = known.content == content;
        let seen = KnownTask { same_content, state, epoch, accepted_at: known.accepted_at };
        let answer = match new.unique.verdict(seen, self.now) {
            KeyVerdict::New => return Ok(None),
            KeyVerdict::Conflict => return Err(EnqueueError::IdempotencyConflict { existing: id }),
            KeyVerdict::Known => Enqueued::Duplicate { id, state },
            KeyVerdict::Replace => {
                self.replace(new, hash, known, None, done)?;
                Enqueued::Replaced { id }
            }
            KeyVerdict::Debounce { latest } => {
                let run_at = self.replace(new, hash, known, Some(latest), done)?;
                Enqueued::Debounced { id, run_at }
            }
        };
        let replaced = !matches!(answer, Enqueued::Duplicate { .. });
        if let Some(known) = self.keys.get_mut(&hash) {
            known.remember_until(new.unique.keep_until(known.accepted_at));
            if replaced {
                known.content = content;
            }
        }
        Ok(Some(answer))
    }

    /// A task that waits takes what the new one says. Returns when it is due.
    fn replace(
        &mut self,
        new: &NewTask,
        hash: content::Hash,
        known: Known,
        latest: Option<Timestamp>,
        done: &mut Vec<Undo>,
    ) -> Result<Timestamp, EnqueueError> {
        let conflict = EnqueueError::IdempotencyConflict { existing: known.id };
        let Some(task) = self.find(known.id).filter(|task| content::is_same_work(new, task)).cloned() else {
            return Err(conflict);
        };
        let run_at = content::due(new, latest).filter(|run_at| *run_at > self.now);
        let Ok(next) = transition(view(&task), LifecycleEvent::Replaced { due: run_at.is_none() }) else {
            return Err(conflict);
        };
        done.push(Undo { key: Some((hash, Some(known))), row: task.id.row(), before: Some(task.clone()) });
        self.remove(task.id.row());
        let run_at = run_at.unwrap_or(self.now);
        self.add(Task {
            state: next.state,
            payload: new.payload.clone(),
            schema_version: new.schema_version,
            priority: new.priority,
            weight: new.weight,
            deadline: new.deadline.map(content::whole_millis),
            run_at,
            ..task
        });
        Ok(run_at)
    }
}
