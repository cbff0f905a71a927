//! Leases of a queue that has lanes.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use jiff::Timestamp;
use runtime_core::flow::Bucket;
use runtime_core::name::{FlowKey, QueueName};
use runtime_core::store::{LaneBy, LeaseAsk};
use runtime_core::task::{LeasedTask, Task};

use super::state::State;
use crate::lanes::{self, InLine, Lane};

impl State {
    /// What makes the lanes of the queue that is asked, if anything does.
    pub(super) fn lanes(&self, ask: &LeaseAsk) -> Option<LaneBy> {
        self.policy(&ask.queue).lanes.clone()
    }

    /// `rows`: ready tasks that may run beside others, in claim order.
    pub(super) fn lease_lanes(
        &mut self,
        rows: Vec<u64>,
        by: &LaneBy,
        ask: &LeaseAsk,
        up_to: usize,
    ) -> Vec<LeasedTask> {
        let mut ready: BTreeMap<FlowKey, Vec<InLine>> = BTreeMap::new();
        for row in rows {
            if let Some(task) = self.live.get(&row) {
                let (rank, row) = (self.rank(task), i64::try_from(row).unwrap_or(i64::MAX));
                let task_in_line = InLine { rank, row, weight: task.weight };
                ready.entry(lane_of(by, task)).or_default().push(task_in_line);
            }
        }
        let (now, fair) = (self.now, self.policy(&ask.queue).limits.fair);
        let after = self.turns.entry(ask.queue.clone()).or_default().after.clone();
        let mut all = Vec::with_capacity(ready.len());
        for (key, first) in ready {
            all.push(self.look_at_lane(by, ask, key, first, up_to));
        }
        let (counts, last) = lanes::decide(fair, &all, up_to, after.as_ref(), now);
        let mut granted = Vec::new();
        let mut next_at = None;
        for (lane, count) in all.iter().zip(counts) {
            let first = lane.first.iter().take(count);
            let tasks: Vec<LeasedTask> =
                first.filter_map(|task| self.grant(task.row.unsigned_abs(), ask)).collect();
            next_at = next_at.into_iter().chain(self.charge(lane, ask, count, &tasks)).min();
            granted.push(tasks);
        }
        let turn = self.turns.entry(ask.queue.clone()).or_default();
        turn.after = last.map(|last| all[last].key.clone()).or(after);
        self.come_at(&ask.queue, next_at);
        lanes::interleave(granted)
    }

    /// Limits hold tasks back until then: those who ask are woken, and whoever looks is told.
    fn come_at(&mut self, queue: &QueueName, at: Option<Timestamp>) {
        let turn = self.turns.entry(queue.clone()).or_default();
        self.due_changed |= at.is_some_and(|at| turn.come_at(at));
    }

    /// One task that does not wait for the turn of its lane, but counts there. `None` when the
    /// lane is at a limit.
    pub(super) fn grant_past_others(&mut self, row: u64, ask: &LeaseAsk) -> Option<Vec<LeasedTask>> {
        let lane = self.lanes(ask).zip(self.live.get(&row));
        let lane = lane.map(|(by, task)| (lane_of(&by, task), by, task.weight));
        let Some((key, by, weight)) = lane else {
            return Some(self.grant(row, ask).into_iter().collect());
        };
        let lane = self.look_at_lane(&by, ask, key, Vec::new(), 1);
        let (room, next_at) = lanes::room_for(&lane, weight, self.now);
        self.come_at(&ask.queue, next_at);
        if !room {
            return None;
        }
        let granted: Vec<LeasedTask> = self.grant(row, ask).into_iter().collect();
        self.charge(&lane, ask, 1, &granted);
        Some(granted)
    }

    fn look_at_lane(
        &mut self,
        by: &LaneBy,
        ask: &LeaseAsk,
        key: FlowKey,
        mut first: Vec<InLine>,
        up_to: usize,
    ) -> Lane {
        let (now, limits) = (self.now, self.policy(&ask.queue).limits_of(&key));
        let under_way = self.held.iter().filter_map(|row| self.live.get(row));
        let leased =
            under_way.filter(|task| task.route.queue == ask.queue && lane_of(by, task) == key).count();
        let place = (ask.queue.clone(), key.clone());
        let bucket = match limits.rate {
            Some(rate) => {
                let kept = self.buckets.get(&place).copied().unwrap_or(Bucket::FULL);
                let anchored = rate.anchored(kept, now);
                self.buckets.insert(place, anchored);
                anchored
            }
            None => Bucket::FULL,
        };
        first.truncate(lanes::most_useful(&limits, leased, bucket, up_to, now));
        Lane { key, limits, first, leased, bucket }
    }

    fn charge(
        &mut self,
        lane: &Lane,
        ask: &LeaseAsk,
        tried: usize,
        granted: &[LeasedTask],
    ) -> Option<Timestamp> {
        let weights: Vec<NonZeroU32> = granted.iter().map(|leased| leased.task.weight).collect();
        let (bucket, next_at) = lanes::charge(lane, tried, &weights, self.now);
        if lane.limits.rate.is_some() {
            self.buckets.insert((ask.queue.clone(), lane.key.clone()), bucket);
        }
        next_at
    }

    /// Wakes queues whose lanes were told to come again, and forgets full buckets. Returns when the next is due.
    pub(super) fn wake_lanes(&mut self) -> Option<Timestamp> {
        let now = self.now;
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
        for (queue, turn) in &mut self.turns {
            if turn.is_due(now) {
                self.woken.insert(queue.clone());
            }
        }
        self.turns.values().filter_map(|turn| turn.next_at).min().map(crate::content::whole_millis)
    }
}

pub(super) fn lane_of(by: &LaneBy, task: &Task) -> FlowKey {
    by.lane(task.tenant.as_ref(), task.scope.as_ref(), &task.payload)
}
