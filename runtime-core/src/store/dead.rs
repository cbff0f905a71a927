//! Dead letters: tasks that will not be retried by themselves, looked at in groups and replayed many at a time.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::error::ErrorCode;
use crate::name::{AppName, HandlerName, QueueName};
use crate::store::{StoreError, TaskCommand, TaskFilter, TaskReader, TaskStore};
use crate::task::{TaskId, TaskState};

/// Dead tasks of one route that died of the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadGroup {
    /// The app.
    pub app: AppName,
    /// The queue.
    pub queue: QueueName,
    /// The handler.
    pub handler: HandlerName,
    /// What they died of.
    pub code: ErrorCode,
    /// How many there are.
    pub count: u64,
    /// When the first of them died.
    pub oldest: Timestamp,
    /// When the last of them died.
    pub newest: Timestamp,
    /// The one of them that was created last.
    pub example: TaskId,
}

/// How many are replayed, and how fast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkReplay {
    /// Most tasks of this call; the store's largest batch bounds it as well.
    pub limit: usize,
    /// At most so many become due in a second; all at once when absent.
    pub rate: Option<NonZeroU32>,
    /// When the first is due: now, or where the call before said that the next would be.
    pub from: Timestamp,
}

/// What one step of a bulk replay did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Tasks that were replayed.
    pub count: usize,
    /// Whether more fit the filter.
    pub more: bool,
    /// When the next would be due, for the next call.
    pub next: Timestamp,
}

/// Looks at dead letters together, and replays them together.
#[async_trait]
pub trait DeadLetters: TaskStore + TaskReader {
    /// Dead tasks that fit the filter by app, queue, handler and code, in this order. Never looks at tasks that are not dead.
    async fn dead_groups(&self, filter: TaskFilter) -> Result<Vec<DeadGroup>, StoreError>;

    /// Replays dead tasks that fit the filter, newest first: one bounded step, to be called again as long as there are more.
    ///
    /// Each task is replayed on its own, as by [`TaskCommand::Replay`]; one that somebody else replayed meanwhile is passed over. A task that
    /// dies again fits again: whoever wants each of them once says in the filter that it was finished before the first call.
    async fn replay_where(&self, filter: TaskFilter, replay: BulkReplay) -> Result<Replayed, StoreError> {
        let none = Replayed { count: 0, more: false, next: replay.from };
        let Some(filter) = filter.of_the_dead() else { return Ok(none) };
        let limit = replay.limit.min(self.limits().max_batch);
        let page = self.list(filter, None, limit).await?;
        let ids: Vec<TaskId> = page.tasks.iter().map(|task| task.id).collect();
        let times = spread(&ids, replay.rate, replay.from);
        let next = after(replay.from, ids.len(), replay.rate);
        let commands =
            times.into_iter().map(|(id, at)| (id, TaskCommand::Replay { at: Some(at), payload: None }));
        let answers = self.steer(commands.collect()).await?;
        let count = answers.iter().filter(|answer| answer.is_ok()).count();
        Ok(Replayed { count, more: page.next.is_some(), next })
    }
}

impl TaskFilter {
    /// The same filter for dead tasks alone; `None` when it asks for others.
    #[must_use]
    pub fn of_the_dead(mut self) -> Option<Self> {
        if !self.states.is_empty() && !self.states.contains(&TaskState::Dead) {
            return None;
        }
        self.states = vec![TaskState::Dead];
        Some(self)
    }
}

/// When each of these is due, so that no more than `per_second` become due in a second; all at `from` without a rate.
pub fn spread(ids: &[TaskId], per_second: Option<NonZeroU32>, from: Timestamp) -> Vec<(TaskId, Timestamp)> {
    ids.iter().enumerate().map(|(index, id)| (*id, after(from, index, per_second))).collect()
}

/// When the one after so many others is due. Rounded up to whole milliseconds.
fn after(from: Timestamp, others: usize, per_second: Option<NonZeroU32>) -> Timestamp {
    let Some(rate) = per_second else { return from };
    let millis = u64::try_from(others).unwrap_or(u64::MAX).saturating_mul(1_000).div_ceil(rate.get().into());
    let wait = SignedDuration::try_from(Duration::from_millis(millis)).unwrap_or(SignedDuration::MAX);
    from.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_rate_become_due_in_a_second() {
        let from = Timestamp::from_second(1_790_000_000).unwrap();
        let ids: Vec<TaskId> = (1..=1_000).map(|row| TaskId::new(from, 0, row)).collect();
        for rate in [1, 3, 7, 10, 999, 1_000, 5_000] {
            let per_second = NonZeroU32::new(rate);
            let times: Vec<i64> =
                spread(&ids, per_second, from).iter().map(|(_, at)| at.as_millisecond()).collect();
            assert!(times.is_sorted());
            for (index, at) in times.iter().enumerate() {
                let in_a_second = times[index..].iter().take_while(|other| **other < at + 1_000).count();
                assert!(in_a_second <= usize::try_from(rate).unwrap(), "{rate} a second, from {index}");
            }
            let next = after(from, ids.len(), per_second).as_millisecond();
            assert!(next >= *times.last().unwrap(), "the next step goes on where this one ended");
        }
        assert!(spread(&ids, None, from).iter().all(|(_, at)| *at == from));
    }
}
