//! Leases, and the ends of the attempts that run under them.

use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::event::StoredEvent;
use runtime_core::lifecycle::{LifecycleEvent, Transition, runs_alone, transition};
use runtime_core::name::InstanceName;
use runtime_core::outcome::{Outcome, SettleWith, Settled, Settlement};
use runtime_core::store::{Capability, EnqueueError, Enqueued, LeaseAsk};
use runtime_core::task::{AttemptRecord, Epoch, Lease, LeasedTask, Task, TaskId, TaskState};

use super::enqueue::Origin;
use super::state::{State, after, is_ready_suspect, view};
use crate::content;
use crate::hold_back::HoldBack;

impl State {
    pub(super) fn lease(&mut self, ask: &LeaseAsk) -> Vec<LeasedTask> {
        if ask.up_to == 0 || self.holds(&ask.instance, |task| runs_alone(task.crash_count)) {
            return Vec::new();
        }
        let holds_any = self.holds(&ask.instance, |_| true);
        if let Some(id) = ask.task {
            let Some(task) = self.live.get(&id.row()).filter(|task| task.id == id) else { return Vec::new() };
            let fits =
                task.state == TaskState::Ready && task.route.queue == ask.queue && self.is_free(id.row());
            if !fits || (runs_alone(task.crash_count) && holds_any) {
                return Vec::new();
            }
            return self.grant_past_others(id.row(), ask).unwrap_or_default();
        }
        let rows: Vec<u64> = self
            .ready
            .get(&ask.queue)
            .map(|ready| ready.iter().map(|(_, row)| *row).filter(|row| self.is_free(*row)).collect())
            .unwrap_or_default();
        let (suspects, others): (Vec<u64>, Vec<u64>) =
            rows.into_iter().partition(|row| self.live.get(row).is_some_and(is_ready_suspect));
        if let Some(suspect) = suspects.into_iter().min() {
            if !holds_any {
                self.hold_back = HoldBack::default();
                // Where its lane is at a limit, others go on meanwhile.
                if let Some(granted) = self.grant_past_others(suspect, ask) {
                    return granted;
                }
            } else {
                let lease_for = i64::try_from(ask.lease_for.as_millis()).unwrap_or(i64::MAX);
                self.hold_back.begin(self.now.as_millisecond(), lease_for);
            }
        }
        if self.hold_back.is_on(self.now.as_millisecond()) {
            return Vec::new();
        }
        let up_to = ask.up_to.min(self.limits.max_batch);
        let granted = match self.lanes(ask) {
            Some(by) => self.lease_lanes(others, &by, ask, up_to),
            None => others.into_iter().take(up_to).filter_map(|row| self.grant(row, ask)).collect(),
        };
        self.watch_load(&ask.queue);
        granted
    }

    fn holds(&self, instance: &InstanceName, fits: impl Fn(&Task) -> bool) -> bool {
        let now = self.now;
        self.held.iter().filter_map(|row| self.live.get(row)).any(|task| {
            let live = task.holder.as_ref().is_some_and(|(holder, until)| holder == instance && *until > now);
            live && fits(task)
        })
    }

    /// One lease. `None` when the task's deadline has passed, or is too near for a queue that sheds load: it is dead now.
    pub(super) fn grant(&mut self, row: u64, ask: &LeaseAsk) -> Option<LeasedTask> {
        let task = self.live.get(&row)?.clone();
        let queue = &task.route.queue;
        let is_late = |deadline| deadline <= self.now || self.is_hopeless(queue, deadline);
        if task.deadline.is_some_and(is_late) {
            let next = transition(view(&task), LifecycleEvent::Expired).ok()?;
            self.place(task, next);
            return None;
        }
        let next = transition(view(&task), LifecycleEvent::Leased).ok()?;
        let mut task = self.remove(row)?;
        task.state = next.state;
        task.attempt = next.attempt;
        task.epoch = Epoch(task.epoch.0 + 1);
        task.holder = Some((ask.instance.clone(), after(self.now, ask.lease_for)));
        self.add(task.clone());
        Some(LeasedTask { lease: Lease { task: task.id, epoch: task.epoch }, task: Box::new(task) })
    }

    pub(super) fn extend(&mut self, leases: Vec<Lease>, lease_for: Duration) -> Vec<Lease> {
        let until = after(self.now, lease_for);
        let mut lost = Vec::new();
        for lease in leases {
            match self.leased(lease).and_then(|task| task.holder.as_mut()) {
                Some((_, valid_until)) => *valid_until = until,
                None => lost.push(lease),
            }
        }
        lost
    }

    // ---- outcomes

    pub(super) fn settle(&mut self, settlement: &Settlement) -> Settled {
        let Some(task) = self.leased(settlement.lease).cloned() else { return Settled::Stale };
        let Ok(next) = transition(view(&task), LifecycleEvent::Ended(&settlement.outcome)) else {
            return Settled::Stale;
        };
        if let Some(error) = content::too_large(&settlement.outcome, &self.limits) {
            return Settled::Undone { error };
        }
        let follow_ups = match (&settlement.outcome, &settlement.with) {
            (Outcome::Done { .. }, Some(with)) => match self.write_with(task.id, with) {
                Ok(follow_ups) => follow_ups,
                Err(error) => return Settled::Undone { error },
            },
            _ => Vec::new(),
        };
        let state = self.end(task, next, settlement);
        Settled::Applied { state, follow_ups }
    }

    fn end(&mut self, mut task: Task, next: Transition, settlement: &Settlement) -> TaskState {
        if let Some((instance, _)) = &task.holder
            && content::is_kept(&settlement.outcome)
        {
            let record = AttemptRecord {
                attempt: task.attempt,
                epoch: task.epoch,
                instance: instance.clone(),
                node: settlement.node.clone(),
                started_at: settlement.started_at,
                took: settlement.took,
                outcome: settlement.outcome.name().to_owned(),
                error: next.error.clone(),
                trace: settlement.trace.clone(),
            };
            self.ended.entry(task.id.row()).or_default().push(record);
        }
        if let Outcome::Done { output } = &settlement.outcome {
            task.output = Some(output.clone());
        }
        self.place(task, next)
    }

    fn write_with(&mut self, id: TaskId, with: &SettleWith) -> Result<Vec<TaskId>, TaskError> {
        if !with.app_writes.is_empty() {
            return Err(EnqueueError::CapabilityMissing(Capability::AppWrites).into());
        }
        let follow_ups = self.take_in_whole(with.follow_ups.clone(), Origin::FollowUp(id))?;
        for event in &with.events {
            self.last_position += 1;
            let (position, at) = (self.last_position, self.now);
            self.outbox.push(StoredEvent { position, task: id, at, event: event.clone() });
        }
        Ok(follow_ups.iter().map(Enqueued::id).collect())
    }

    /// The instance that held this task died, or let its lease run out.
    pub(super) fn lose_lease(&mut self, task: Task) {
        let Ok(next) = transition(view(&task), LifecycleEvent::LeaseLost) else { return };
        if let Some((instance, _)) = &task.holder {
            let record = AttemptRecord {
                attempt: task.attempt,
                epoch: task.epoch,
                instance: instance.clone(),
                node: None,
                started_at: self.now,
                took: Duration::ZERO,
                outcome: ErrorCode::LeaseLost.name().to_owned(),
                error: next.error.clone(),
                trace: None,
            };
            self.ended.entry(task.id.row()).or_default().push(record);
        }
        self.place(task, next);
    }
}
