//! What happens by itself: due times, leases that run out, deadlines, forgetting.

use runtime_core::lifecycle::{LifecycleEvent, transition};
use runtime_core::store::Swept;
use runtime_core::task::{Task, TaskState};

use super::state::{State, view};
use crate::retention::Kept;

impl State {
    pub(super) fn sweep(&mut self) -> Swept {
        let now = self.now;
        let due = self.live_that(|task| task.state == TaskState::Scheduled && task.run_at <= now);
        let promoted = due.len();
        due.into_iter().for_each(|task| self.happen(task, LifecycleEvent::Due));

        let expired = self.live_that(|task| task.holder.as_ref().is_some_and(|(_, until)| *until <= now));
        let expired_leases = expired.len();
        expired.into_iter().for_each(|task| self.lose_lease(task));

        let late = self.live_that(|task| {
            matches!(task.state, TaskState::Scheduled | TaskState::Ready)
                && task.deadline.is_some_and(|deadline| deadline <= now)
        });
        let past_deadline = late.len();
        late.into_iter().for_each(|task| self.happen(task, LifecycleEvent::Expired));

        let forgotten = self.trim();
        self.trim_audit();
        if self.hold_back.ran_out(now.as_millisecond()) {
            self.wake_everybody();
        }
        self.watch_loads();
        let next_due = self
            .live
            .values()
            .filter(|task| task.state == TaskState::Scheduled)
            .map(|task| task.run_at)
            .min();
        let next_due = next_due.into_iter().chain(self.wake_lanes()).min();
        Swept { promoted, expired_leases, past_deadline, forgotten, next_due }
    }

    fn live_that(&self, fits: impl Fn(&Task) -> bool) -> Vec<Task> {
        self.live.values().filter(|task| fits(task)).cloned().collect()
    }

    fn happen(&mut self, task: Task, event: LifecycleEvent<'_>) {
        if let Ok(next) = transition(view(&task), event) {
            self.place(task, next);
        }
    }

    /// Forgets what history need not keep. Those created first go first.
    fn trim(&mut self) -> usize {
        let mut old = self.old(Kept::Finished);
        old.extend(self.old(Kept::Dead));
        for (row, finished_at) in &old {
            self.forget(*row, *finished_at);
        }
        let now = self.now;
        self.keys.retain(|_, known| !known.is_over(now));
        old.len()
    }

    /// Forgets a finished task; its key is known for a while yet.
    pub(super) fn forget(&mut self, row: u64, finished_at: i64) {
        let Some(task) = self.remove(row) else { return };
        self.ended.remove(&row);
        self.effects.retain(|(owner, _), _| *owner != row);
        let until = finished_at.saturating_add(self.retention.keeps_keys());
        let until = jiff::Timestamp::from_millisecond(until).unwrap_or(jiff::Timestamp::MAX);
        if let Some(known) = self.keys.values_mut().find(|known| known.id == task.id) {
            known.outlive(task.state, until);
        }
    }

    /// What this rule no longer keeps: rows, and when they finished.
    fn old(&self, kept: Kept) -> Vec<(u64, i64)> {
        let (keep_for, at_most) = self.retention.keeps(kept);
        let cutoff = self.now.as_millisecond().saturating_sub(keep_for);
        let mine: Vec<_> = self.finished.iter().filter(|(_, task)| Kept::of(task.state) == kept).collect();
        let mut surplus = u64::try_from(mine.len()).unwrap_or(u64::MAX).saturating_sub(at_most);
        let mut old = Vec::new();
        for (row, task) in mine {
            let finished_at = task.finished_at.map_or(0, |at| at.as_millisecond());
            if (surplus > 0 || finished_at <= cutoff) && !self.blocks(task) {
                surplus = surplus.saturating_sub(1);
                old.push((*row, finished_at));
            }
        }
        old
    }
}
