//! Leases are granted, extended and used.

use runtime_core::lifecycle::{LifecycleEvent, LifecycleView, runs_alone, transition};
use runtime_core::name::FlowKey;
use runtime_core::store::LeaseAsk;
use runtime_core::task::{Epoch, Lease, LeasedTask, Progress, Task, TaskState};

use super::books::Held;
use super::columns::{self, json};
use super::fault::Fault;
use super::settle::Finish;
use super::writer::{Writer, epoch_of, row_of};
use crate::hold_back::HoldBack;

impl Writer<'_> {
    pub(super) fn lease(&mut self, ask: &LeaseAsk) -> Result<Vec<LeasedTask>, Fault> {
        let instance = self.instance(&ask.instance)?;
        let queue = self.queue(&ask.queue)?;
        if ask.up_to == 0 || self.books.runs_alone(instance, self.now) {
            return Ok(Vec::new());
        }
        let lease_for = i64::try_from(ask.lease_for.as_millis()).unwrap_or(i64::MAX);
        let terms = Terms { instance, queue, until: self.now.saturating_add(lease_for), alone: false };

        if let Some(id) = ask.task {
            return self.lease_one(id, terms);
        }
        let suspect = self.books.suspects(queue).next();
        if let Some(suspect) = suspect {
            if self.books.holds(instance, self.now) == 0 {
                self.hold_back = HoldBack::default();
                match self.read_ready(suspect, queue)? {
                    Some((task, lane)) if self.has_room(queue, lane.as_ref(), task.weight)? => {
                        return self.grant_past_others(task, lane, Terms { alone: true, ..terms });
                    }
                    // Its lane is at a limit: others go on meanwhile.
                    Some(_) => {}
                    // Another process was faster.
                    None => self.books.drop_suspect(queue, suspect),
                }
            } else {
                self.hold_back.begin(self.now, lease_for);
            }
        }
        if self.hold_back.is_on(self.now) {
            return Ok(Vec::new());
        }
        let up_to = ask.up_to.min(self.limits.max_batch);
        let granted = if self.policies.of(queue).lanes.is_some() {
            self.lease_lanes(up_to, terms)
        } else {
            self.lease_many(up_to, terms)
        }?;
        self.watch_load(&ask.queue, queue)?;
        Ok(granted)
    }

    fn lease_many(&mut self, up_to: usize, terms: Terms) -> Result<Vec<LeasedTask>, Fault> {
        let skip = self.books.suspects(terms.queue).count();
        let limit = i64::try_from(up_to.saturating_add(skip)).unwrap_or(i64::MAX);
        let mut ready = Vec::with_capacity(up_to.min(1024));
        {
            let names = self.shared.names();
            let mut rows = self.sql.claimable.query((terms.queue, limit))?;
            while let Some(row) = rows.next()? {
                let task = columns::task(row, &names, self.salt)?;
                if ready.len() < up_to && !runs_alone(task.crash_count) {
                    ready.push(task);
                }
            }
        }
        let mut granted = Vec::with_capacity(ready.len());
        for task in ready {
            granted.extend(self.admit(task, None, terms)?);
        }
        let rows: Vec<i64> = granted.iter().map(|leased: &LeasedTask| row_of(leased.lease.task)).collect();
        self.write_grants(&rows, terms)?;
        Ok(granted)
    }

    fn lease_one(&mut self, id: runtime_core::task::TaskId, terms: Terms) -> Result<Vec<LeasedTask>, Fault> {
        let Some((task, lane)) = self.read_ready(row_of(id), terms.queue)?.filter(|(task, _)| task.id == id)
        else {
            return Ok(Vec::new());
        };
        let alone = runs_alone(task.crash_count);
        if alone && self.books.holds(terms.instance, self.now) > 0 {
            return Ok(Vec::new());
        }
        if !self.has_room(terms.queue, lane.as_ref(), task.weight)? {
            return Ok(Vec::new());
        }
        self.grant_past_others(task, lane, Terms { alone, ..terms })
    }

    /// One task that does not wait for the turn of its lane. It counts there all the same.
    fn grant_past_others(
        &mut self,
        task: Task,
        lane: Option<FlowKey>,
        terms: Terms,
    ) -> Result<Vec<LeasedTask>, Fault> {
        let weight = task.weight;
        let granted = self.grant(task, lane.as_ref(), terms)?;
        if let (Some(lane), true) = (&lane, granted.is_some()) {
            self.charge_one(terms.queue, lane, weight)?;
        }
        Ok(granted.into_iter().collect())
    }

    /// A ready task of this queue that nothing holds, and its lane.
    pub(super) fn read_ready(
        &mut self,
        row: i64,
        queue: i64,
    ) -> Result<Option<(Task, Option<FlowKey>)>, Fault> {
        let names = self.shared.names();
        let mut rows = self.sql.whole_task.query([row])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let free = row.get::<_, i64>(2)? == queue && row.get::<_, u8>(columns::HELD)? == 0;
        let task = columns::task(row, &names, self.salt)?;
        let lane = columns::name::<FlowKey>(row, columns::LANE)?;
        Ok((free && task.state == TaskState::Ready).then_some((task, lane)))
    }

    /// One lease. `None` when the task's deadline has passed, or is too near for a queue that sheds load: it is dead now.
    pub(super) fn grant(
        &mut self,
        task: Task,
        lane: Option<&FlowKey>,
        terms: Terms,
    ) -> Result<Option<LeasedTask>, Fault> {
        let row = row_of(task.id);
        let granted = self.admit(task, lane, terms)?;
        if granted.is_some() {
            self.write_grants(&[row], terms)?;
        }
        Ok(granted)
    }

    /// One lease of a ready task of this transaction, all but the row, which the caller writes.
    fn admit(
        &mut self,
        mut task: Task,
        lane: Option<&FlowKey>,
        terms: Terms,
    ) -> Result<Option<LeasedTask>, Fault> {
        let row = row_of(task.id);
        let view = LifecycleView {
            state: task.state,
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            crash_count: task.crash_count,
        };
        let allowed =
            |not_allowed: runtime_core::lifecycle::NotAllowed| Fault::corrupt(not_allowed.to_string());
        if let Some(deadline) = task.deadline
            && (deadline.as_millisecond() <= self.now || self.is_hopeless(terms.queue, deadline)?)
        {
            let next = transition(view, LifecycleEvent::Expired).map_err(allowed)?;
            self.finish(row, terms.queue, view.state, task.ordering_key.is_some(), &next, Finish::default())?;
            return Ok(None);
        }
        let next = transition(view, LifecycleEvent::Leased).map_err(allowed)?;
        self.books.leave(terms.queue, view.state);
        self.books.enter(terms.queue, next.state);
        if runs_alone(view.crash_count) {
            self.books.drop_suspect(terms.queue, row);
        }
        let held = Held {
            instance: terms.instance,
            alone: terms.alone,
            until: terms.until,
            queue: terms.queue,
            epoch: i64::try_from(task.epoch.0).unwrap_or(i64::MAX).saturating_add(1),
            created_at: task.created_at.as_millisecond(),
            ordered: task.ordering_key.is_some(),
            view: LifecycleView { state: next.state, attempt: next.attempt, ..view },
        };
        self.books.hold(row, held);
        if let Some(lane) = lane {
            self.books.run_in_lane(row, Some((terms.queue, lane.clone())));
        }

        let names = self.shared.names();
        task.holder = Some((names.instance(terms.instance)?.clone(), columns::moment(terms.until)?));
        task.state = next.state;
        task.attempt = next.attempt;
        task.epoch = Epoch(task.epoch.0 + 1);
        Ok(Some(LeasedTask { lease: Lease { task: task.id, epoch: task.epoch }, task: Box::new(task) }))
    }

    pub(super) fn extend(
        &mut self,
        (leases, lease_for): &(Vec<Lease>, std::time::Duration),
    ) -> Result<Vec<Lease>, Fault> {
        let until = self.now.saturating_add(i64::try_from(lease_for.as_millis()).unwrap_or(i64::MAX));
        let mut lost = Vec::new();
        for lease in leases {
            let row = row_of(lease.task);
            let known = lease.task.salt() == self.salt;
            if known && self.sql.extend.execute((row, epoch_of(*lease), until))? == 1 {
                self.books.extend(row, until);
            } else {
                lost.push(*lease);
            }
        }
        Ok(lost)
    }

    pub(super) fn checkpoint(
        &mut self,
        (lease, checkpoint, progress): &(Lease, Option<Vec<u8>>, Option<Progress>),
    ) -> Result<bool, Fault> {
        if self.leased(*lease)?.is_none() {
            return Ok(false);
        }
        let progress = progress.as_ref().map(json).transpose()?;
        let changed = self.sql.checkpoint.execute((
            row_of(lease.task),
            epoch_of(*lease),
            checkpoint.as_deref(),
            progress,
        ))?;
        Ok(changed == 1)
    }
}

/// On what terms leases are granted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) instance: i64,
    pub(super) queue: i64,
    pub(super) until: i64,
    alone: bool,
}
