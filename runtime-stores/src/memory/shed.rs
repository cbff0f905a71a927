//! Whether a new task from outside is taken: the capacity, and what the queue's policy sheds before that is reached.

use std::collections::BTreeMap;

use jiff::Timestamp;
use runtime_core::flow::ShedPolicy;
use runtime_core::name::{FlowKey, QueueName};
use runtime_core::store::{EnqueueError, StateCounts};
use runtime_core::task::{NewTask, TaskState};

use super::lanes::lane_of;
use super::state::State;

impl State {
    /// Why a new task from outside is not taken, if it is not.
    pub(super) fn refuse(&mut self, new: &NewTask) -> Result<(), EnqueueError> {
        let (queue, capacity) = (&new.route.queue, self.limits.queue_capacity);
        if self.counts.get(queue).map_or(0, StateCounts::live) >= capacity {
            return Err(EnqueueError::QueueFull { queue: queue.clone(), capacity });
        }
        let Some(policy) = self.policy(queue).shed.filter(|_| !new.asked_by_name) else { return Ok(()) };
        self.see_load(queue, &policy, false);
        let lane = self
            .policy(queue)
            .lanes
            .as_ref()
            .map(|by| by.lane(new.tenant.as_ref(), new.scope.as_ref(), &new.payload));
        let in_time = lane.map(|lane| self.oldest(queue, Some(&lane)));
        let (now, load) = (self.now, self.loads.entry(queue.clone()).or_default());
        if in_time.is_some_and(|due| load.admits_lane(&policy, now, due)) {
            return Ok(());
        }
        load.refuse(queue, &policy, new.priority)
    }

    /// Looks at a queue from which leases were granted.
    pub(super) fn watch_load(&mut self, queue: &QueueName) {
        if let Some(policy) = self.policy(queue).shed {
            self.see_load(queue, &policy, false);
        }
    }

    /// Looks at every queue that sheds.
    pub(super) fn watch_loads(&mut self) {
        let policies = self.lines.rules.iter();
        let shedding: Vec<_> =
            policies.filter_map(|(queue, rules)| Some((queue.clone(), rules.policy().shed?))).collect();
        for (queue, policy) in shedding {
            self.see_load(&queue, &policy, true);
        }
    }

    /// Nobody may take tasks from the queue, or somebody may again.
    pub(super) fn pause_delay(&mut self, queue: QueueName, paused: bool) {
        self.loads.entry(queue.clone()).or_default().pause(self.now, paused);
        if let Some(policy) = self.policy(&queue).shed {
            self.see_load(&queue, &policy, true);
        }
    }

    /// Whether a task that would begin now is ended instead.
    pub(super) fn is_hopeless(&self, queue: &QueueName, deadline: Timestamp) -> bool {
        let (load, policy) = (self.loads.get(queue), self.policy(queue).shed);
        load.zip(policy).is_some_and(|(load, policy)| load.is_hopeless(&policy, self.now, deadline))
    }

    fn see_load(&mut self, queue: &QueueName, policy: &ShedPolicy, at_once: bool) {
        let (now, ready) = (self.now, self.counts.get(queue).map_or(0, |counts| counts.of(TaskState::Ready)));
        let load = self.loads.entry(queue.clone()).or_default();
        load.see_depth(queue, policy, now, ready);
        if ready > 0 && policy.delay.is_some() && (at_once || load.wants_look(policy, now)) {
            let due = self.oldest(queue, None);
            self.loads.entry(queue.clone()).or_default().see_oldest(queue, policy, now, (due, ready));
        }
    }

    /// When the oldest that may go became due, of a lane or of all.
    fn oldest(&self, queue: &QueueName, lane: Option<&FlowKey>) -> Option<Timestamp> {
        let by = &self.policy(queue).lanes;
        let rows = self.ready.get(queue).into_iter().flatten().filter(|(_, row)| self.is_free(*row));
        let mut first: BTreeMap<Option<FlowKey>, Timestamp> = BTreeMap::new();
        for task in rows.filter_map(|(_, row)| self.live.get(row)) {
            first.entry(by.as_ref().map(|by| lane_of(by, task))).or_insert(task.run_at);
        }
        first.into_iter().filter(|(of, _)| lane.is_none() || of.as_ref() == lane).map(|(_, due)| due).min()
    }
}
