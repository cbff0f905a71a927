//! The load of one queue that sheds: what both back ends keep of it, and what they say of it.
//!
//! The rule is [`runtime_core::flow::Load`]. Here is when it is asked: the number of ready tasks is in the books and seen by every
//! new task; the oldest ready task takes a look, which is due now and then ([`Load::wants_look`]), and at every sweep.

use jiff::Timestamp;
use runtime_core::flow::{Load, LoadChange, ShedPolicy};
use runtime_core::name::QueueName;
use runtime_core::store::{EnqueueError, ShedView};
use runtime_core::task::Priority;

/// The load of one queue.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueueLoad {
    load: Load,
    refused: u64,
    /// Of these, those that nothing takes back.
    committed: u64,
}

impl QueueLoad {
    pub(crate) fn wants_look(&self, policy: &ShedPolicy, now: Timestamp) -> bool {
        self.load.wants_look(policy, now)
    }

    pub(crate) fn see_depth(&mut self, queue: &QueueName, policy: &ShedPolicy, now: Timestamp, ready: u64) {
        let change = self.load.see_depth(policy, now, ready);
        self.tell(queue, change, ready);
    }

    pub(crate) fn see_oldest(
        &mut self,
        queue: &QueueName,
        policy: &ShedPolicy,
        now: Timestamp,
        (due, ready): (Option<Timestamp>, u64),
    ) {
        let change = self.load.see_oldest(policy, now, due);
        self.tell(queue, change, ready);
    }

    /// Whether a task of this priority can wait, and has to.
    pub(crate) fn refuses(&self, policy: &ShedPolicy, priority: Priority) -> bool {
        self.load.admit(policy, priority).is_err()
    }

    /// Whether it is taken after all, because its lane is served in time.
    pub(crate) fn admits_lane(&self, policy: &ShedPolicy, now: Timestamp, due: Option<Timestamp>) -> bool {
        self.load.admits_lane(policy, now, due)
    }

    /// Refuses what can wait, and counts it.
    pub(crate) fn refuse(
        &mut self,
        queue: &QueueName,
        policy: &ShedPolicy,
        priority: Priority,
    ) -> Result<(), EnqueueError> {
        let (Err(retry_after), Some(shedding)) = (self.load.admit(policy, priority), self.load.shedding())
        else {
            return Ok(());
        };
        self.refused += 1;
        Err(EnqueueError::Shed { queue: queue.clone(), cause: shedding.cause, retry_after })
    }

    pub(crate) fn is_hopeless(&self, policy: &ShedPolicy, now: Timestamp, deadline: Timestamp) -> bool {
        self.load.is_hopeless(policy, now, deadline)
    }

    /// Under a new policy nothing is known yet.
    pub(crate) fn begin_anew(&mut self) {
        self.load = self.load.anew();
    }

    /// Nobody may take tasks, or somebody may again.
    pub(crate) fn pause(&mut self, now: Timestamp, paused: bool) {
        self.load.pause(now, paused);
    }

    /// What was refused stays so. Returns what status shows.
    pub(crate) fn commit(&mut self) -> ShedView {
        self.committed = self.refused;
        self.view()
    }

    /// What status shows.
    pub(crate) fn view(&self) -> ShedView {
        ShedView { shedding: self.load.shedding(), refused: self.refused }
    }

    /// Whoever was refused since the last commit was not told so. What was seen was so all the same.
    pub(crate) fn roll_back(&mut self) {
        self.refused = self.committed;
    }

    fn tell(&self, queue: &QueueName, change: Option<LoadChange>, ready: u64) {
        match change {
            None => {}
            Some(LoadChange::Began(shedding)) => {
                tracing::warn!(%queue, cause = %shedding.cause, ready, error_code = "RT0036", "the queue sheds load: tasks that can wait are refused");
            }
            Some(LoadChange::Ended(shedding)) => {
                let refused = self.refused;
                tracing::info!(%queue, since = %shedding.since, ready, refused, "the queue takes every task again");
            }
        }
    }
}
