//! How often watchers are told, so that all of them together cost the work little, however many they are and however much happens.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a watcher that has read everything rests at least.
const REST: Duration = Duration::from_millis(100);

/// How long it rests for each who watches: all of them together get about five hundred messages a second at most.
const REST_FOR_EACH: Duration = Duration::from_millis(2);

/// How long all of them together rest for each single task that one of them was told: they are told a hundred thousand a second at most.
const REST_FOR_A_TASK: Duration = Duration::from_micros(10);

/// What all watchers share.
pub(crate) struct Pace {
    /// When what was told of single tasks has been rested for.
    rested_at: Mutex<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rested_at: Mutex::new(Instant::now()) }
    }
}

impl Pace {
    /// When somebody who has read everything reads again, one of so many.
    pub(super) fn after_all(watchers: usize) -> Instant {
        let watchers = u32::try_from(watchers).unwrap_or(u32::MAX);
        Instant::now() + REST.max(REST_FOR_EACH.saturating_mul(watchers))
    }

    /// When somebody who was told of so many single tasks reads again: later, the more others were told.
    pub(super) fn after_tasks(&self, tasks: usize) -> Instant {
        let rest = REST_FOR_A_TASK.saturating_mul(u32::try_from(tasks).unwrap_or(u32::MAX));
        let mut rested_at = self.rested_at.lock().unwrap_or_else(PoisonError::into_inner);
        *rested_at = (*rested_at).max(Instant::now()) + rest;
        *rested_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_together_are_told_no_more_the_more_they_are() {
        let now = Instant::now();
        let rests = [1, 50, 200].map(|watchers| Pace::after_all(watchers) - now);
        assert_eq!(rests.map(|rest| rest.as_millis()), [100, 100, 400]);
        let pace = Pace::default();
        let rests = [500, 500, 0, 1_000].map(|tasks| pace.after_tasks(tasks) - now);
        assert_eq!(rests.map(|rest| rest.as_millis()), [5, 10, 10, 20]);
        // What was not used is not saved up.
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(pace.after_tasks(500) - Instant::now(), Duration::from_millis(5));
    }
}
