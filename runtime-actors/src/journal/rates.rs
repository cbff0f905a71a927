//! How fast queues go: what is told of their tasks, counted by the time at which it was told.
//!
//! A queue has as many buckets as there are slices of time in a minute; a bucket is begun anew when its slice comes round again. The clock is
//! that of the timers: whoever sets the wall clock changes no rate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use runtime_core::control::QueueRates;
use runtime_core::journal::{Cause, Entry, EventType};
use runtime_core::name::QueueName;
use tokio::time::Instant;

/// A slice of time.
const SLICE: Duration = Duration::from_secs(5);

/// As many slices are counted over, the present one included.
const SLICES: u64 = 12;

/// A rate over less than this says nothing.
const AT_LEAST: Duration = Duration::from_secs(1);

/// What happened to tasks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    accepted: u64,
    settled: u64,
    failed: u64,
}

impl Counts {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut counts = Self::default();
        for entry in entries {
            match (entry.kind, &entry.cause) {
                (EventType::TaskAccepted, _) => counts.accepted += 1,
                (EventType::TaskSettled, cause) => {
                    counts.settled += 1;
                    counts.failed += u64::from(matches!(cause, Cause::Outcome(_, Some(_))));
                }
                _ => {}
            }
        }
        counts
    }

    fn add(&mut self, more: Self) {
        self.accepted += more.accepted;
        self.settled += more.settled;
        self.failed += more.failed;
    }
}

/// A slice of time, by its number, and what happened in it.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    slice: u64,
    counts: Counts,
}

/// Every queue of which something was told.
#[derive(Debug)]
pub(super) struct Rates {
    began: Instant,
    queues: Mutex<HashMap<QueueName, [Bucket; SLICES as usize]>>,
}

impl Rates {
    /// Nothing was told yet.
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), queues: Mutex::default() }
    }

    /// So much happened to tasks of this queue.
    pub(super) fn note(&self, queue: &QueueName, counts: Counts) {
        let slice = self.slice();
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(slice % SLICES).unwrap_or(0);
        let bucket = match queues.get_mut(queue) {
            Some(buckets) => &mut buckets[place],
            None => &mut queues.entry(queue.clone()).or_default()[place],
        };
        if bucket.slice != slice {
            *bucket = Bucket { slice, counts: Counts::default() };
        }
        bucket.counts.add(counts);
    }

    /// How fast a queue went; `None` while that says nothing.
    pub(super) fn of(&self, queue: &QueueName) -> Option<QueueRates> {
        let (slice, elapsed) = (self.slice(), self.began.elapsed());
        let oldest = (slice + 1).saturating_sub(SLICES);
        let over = elapsed.saturating_sub(SLICE * u32::try_from(oldest).unwrap_or(u32::MAX));
        if over < AT_LEAST {
            return None;
        }
        let mut counts = Counts::default();
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = queues.get(queue).into_iter().flatten();
        buckets.filter(|bucket| bucket.slice >= oldest).for_each(|bucket| counts.add(bucket.counts));
        let a_second = |count: u64| count as f64 / over.as_secs_f64();
        let Counts { accepted, settled, failed } = counts;
        Some(QueueRates {
            accepted: a_second(accepted),
            settled: a_second(settled),
            failed: a_second(failed),
            over,
        })
    }

    fn slice(&self) -> u64 {
        self.began.elapsed().as_secs() / SLICE.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(accepted: u64, settled: u64, failed: u64) -> Counts {
        Counts { accepted, settled, failed }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_over_the_last_minute_and_over_less_when_less_was_seen() {
        let rates = Rates::new();
        let (mail, other): (QueueName, QueueName) = ("mail".parse().unwrap(), "other".parse().unwrap());
        rates.note(&mail, counts(30, 10, 5));
        assert_eq!(rates.of(&mail), None, "nothing can be said of a moment");
        tokio::time::advance(Duration::from_secs(10)).await;
        let of = |queue: &QueueName| rates.of(queue).expect("a rate");
        let young = QueueRates { accepted: 3.0, settled: 1.0, failed: 0.5, over: Duration::from_secs(10) };
        assert_eq!(of(&mail), young);
        assert_eq!(of(&other).accepted, 0.0, "one of which nothing was told stands still");
        tokio::time::advance(Duration::from_secs(44)).await;
        rates.note(&mail, counts(24, 0, 0));
        assert_eq!((of(&mail).accepted, of(&mail).over), (1.0, Duration::from_secs(54)));
        tokio::time::advance(Duration::from_secs(10)).await;
        let later = of(&mail);
        assert_eq!((later.settled, later.over), (0.0, Duration::from_secs(59)), "what is older is past");
        assert!((later.accepted - 24.0 / 59.0).abs() < 1e-9);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(of(&mail).accepted, 0.0);
        rates.note(&mail, counts(6, 0, 0));
        assert!(of(&mail).accepted > 0.0, "buckets are begun anew");
    }
}
