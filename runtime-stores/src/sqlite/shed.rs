//! Whether a new task from outside is taken: the capacity, and what the queue's policy sheds before that is reached.
//!
//! How many tasks are ready is in the books. When the oldest became due is one step in the index of ready tasks, taken now and then and not
//! for each task. In a queue with lanes a task is refused for the delay of its own lane alone: one step more, while the queue sheds.

use std::collections::HashMap;

use jiff::Timestamp;
use runtime_core::flow::ShedPolicy;
use runtime_core::name::{FlowKey, QueueName};
use runtime_core::store::{EnqueueError, ShedView};
use runtime_core::task::{NewTask, TaskState};
use rusqlite::OptionalExtension;

use super::columns::moment;
use super::fault::Fault;
use super::reader::OLDEST_READY;
use super::writer::Writer;
use crate::load::QueueLoad;

/// The loads of queues that shed, by queue number.
#[derive(Debug, Default)]
pub(super) struct Loads {
    by_queue: HashMap<i64, QueueLoad>,
    /// Since the last commit, or the last time it was undone.
    changed: bool,
}

impl Loads {
    fn of(&mut self, queue: i64) -> &mut QueueLoad {
        self.changed = true;
        self.by_queue.entry(queue).or_default()
    }

    /// What was seen under another policy says nothing.
    pub(super) fn begin_anew(&mut self, queue: i64) {
        self.of(queue).begin_anew();
    }

    /// What was done stays. Returns what is to be shown.
    pub(super) fn commit(&mut self) -> Vec<(i64, ShedView)> {
        if !std::mem::take(&mut self.changed) {
            return Vec::new();
        }
        self.by_queue.iter_mut().map(|(queue, load)| (*queue, load.commit())).collect()
    }

    /// Whoever was refused since the last commit asks again.
    pub(super) fn roll_back(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.by_queue.values_mut().for_each(QueueLoad::roll_back);
        }
    }
}

impl Writer<'_> {
    /// Why a new task from outside is not taken, if it is not.
    pub(super) fn refuse(&mut self, task: &NewTask, queue: i64) -> Result<Option<EnqueueError>, Fault> {
        let capacity = self.limits.queue_capacity;
        if self.books.counts(queue).live() >= capacity {
            let queue = task.route.queue.clone();
            return Ok(Some(EnqueueError::QueueFull { queue, capacity }));
        }
        let Some(policy) = self.policies.of(queue).shed.filter(|_| !task.asked_by_name) else {
            return Ok(None);
        };
        self.see_load(&task.route.queue, queue, &policy, false)?;
        if !self.loads.of(queue).refuses(&policy, task.priority) {
            return Ok(None);
        }
        if let Some(lane) = self.lane_of(queue, task) {
            let (now, due) = (self.timestamp()?, self.oldest_of_lane(queue, &lane)?);
            if self.loads.of(queue).admits_lane(&policy, now, due) {
                return Ok(None);
            }
        }
        Ok(self.loads.of(queue).refuse(&task.route.queue, &policy, task.priority).err())
    }

    fn oldest_of_lane(&mut self, queue: i64, lane: &FlowKey) -> Result<Option<Timestamp>, Fault> {
        let sql = "SELECT coalesce(run_at, created_at) FROM rt_task INDEXED BY rt_ready \
            WHERE queue = ?1 AND lane = ?2 AND state = 1 AND held = 0 ORDER BY rank, row LIMIT 1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let due: Option<i64> = statement.query_row((queue, lane.as_str()), |row| row.get(0)).optional()?;
        due.map(moment).transpose()
    }

    /// Looks at a queue from which leases were granted.
    pub(super) fn watch_load(&mut self, name: &QueueName, queue: i64) -> Result<(), Fault> {
        match self.policies.of(queue).shed {
            Some(policy) => self.see_load(name, queue, &policy, false),
            None => Ok(()),
        }
    }

    /// Looks at every queue that sheds.
    pub(super) fn watch_loads(&mut self) -> Result<(), Fault> {
        let names = self.shared.names();
        for (queue, policy) in self.policies.that_shed() {
            self.see_load(names.queue(queue)?, queue, &policy, true)?;
        }
        Ok(())
    }

    /// Nobody may take tasks from the queue, or somebody may again.
    pub(super) fn pause_delay(&mut self, (name, paused): &(QueueName, bool)) -> Result<(), Fault> {
        let (queue, now) = (self.queue(name)?, self.timestamp()?);
        self.loads.of(queue).pause(now, *paused);
        match self.policies.of(queue).shed {
            Some(policy) => self.see_load(name, queue, &policy, true),
            None => Ok(()),
        }
    }

    /// Whether a task that would begin now is ended instead.
    pub(super) fn is_hopeless(&mut self, queue: i64, deadline: Timestamp) -> Result<bool, Fault> {
        let Some(policy) = self.policies.of(queue).shed else { return Ok(false) };
        let now = self.timestamp()?;
        Ok(self.loads.of(queue).is_hopeless(&policy, now, deadline))
    }

    fn see_load(
        &mut self,
        name: &QueueName,
        queue: i64,
        policy: &ShedPolicy,
        at_once: bool,
    ) -> Result<(), Fault> {
        let (now, ready) = (self.timestamp()?, self.books.counts(queue).of(TaskState::Ready));
        let load = self.loads.of(queue);
        load.see_depth(name, policy, now, ready);
        if ready > 0 && policy.delay.is_some() && (at_once || load.wants_look(policy, now)) {
            let mut statement = self.conn.prepare_cached(OLDEST_READY)?;
            let due: Option<i64> = statement.query_row([queue], |row| row.get(0))?;
            let due = due.map(moment).transpose()?;
            self.loads.of(queue).see_oldest(name, policy, now, (due, ready));
        }
        Ok(())
    }
}
