//! Who gets the next leases: max-min fair over lanes.
//!
//! Each task belongs to a **lane**, by its flow key. The next lease goes to the lane that has the fewest tasks under way, ties go
//! round; so a tenant with a million tasks waiting has no more slots than one with ten, until the ten are done. What a lane cannot
//! use, because it is empty or at a limit, goes to the others: slots are idle only if no lane may take one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::num::{NonZeroU32, NonZeroUsize};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Bucket, RateLimit, RetryAt};
use crate::name::FlowKey;

/// The limits of every lane of a worker.
///
/// ```toml
/// concurrency_per_key = 2
/// rate_per_key = { tokens = 100, per_ms = 60000, burst = 20 }
/// fair = true
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowLimits {
    /// Most tasks of one lane under way at once.
    pub concurrency_per_key: Option<NonZeroU32>,
    /// How many tokens the tasks of one lane may take in a time. A task takes as many as it weighs.
    pub rate_per_key: Option<RateLimit>,
    /// Whether the lanes share the slots fairly ([`share`]). Else the ready task of the lowest rank goes first, whatever its lane,
    /// and the asker holds each lane to its [`LaneView::room`] and charges its bucket itself.
    pub fair: bool,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self { concurrency_per_key: None, rate_per_key: None, fair: true }
    }
}

impl FlowLimits {
    /// The limits of a lane of which nothing else is said.
    pub fn of_each(&self) -> LaneLimits {
        LaneLimits { concurrency: self.concurrency_per_key, rate: self.rate_per_key }
    }
}

/// The limits of one lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneLimits {
    /// Most of its tasks under way at once.
    pub concurrency: Option<NonZeroU32>,
    /// How many tokens its tasks may take in a time.
    pub rate: Option<RateLimit>,
}

impl LaneLimits {
    /// How many more tasks its concurrency lets start while so many are under way.
    pub fn free(&self, leased: usize) -> usize {
        self.concurrency.map_or(usize::MAX, |most| (most.get() as usize).saturating_sub(leased))
    }
}

/// What a lane wants and has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// Its key.
    pub key: FlowKey,
    /// Its limits.
    pub limits: LaneLimits,
    /// The weights of its tasks that could start now, in the order in which they will: none of them goes before a heavier one that is due
    /// earlier. The asker may leave out those beyond the number of leases it can use.
    pub ready: Vec<NonZeroU32>,
    /// Tasks under way, on all instances.
    pub leased: usize,
    /// Its bucket, [`Bucket::FULL`] when none is kept.
    pub bucket: Bucket,
}

/// What the lanes get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// Lanes that get something, in the order of the lanes.
    pub grants: Vec<Grant>,
    /// Buckets to keep from now on, by the index of their lane: of those that were charged, and of those that a clock had left
    /// behind when it jumped back.
    pub buckets: Vec<(usize, Bucket)>,
    /// The index of the lane served last: its key is the `after` of the next call. `None` when nobody was served; then the old one stays.
    pub last: Option<usize>,
    /// The earliest time at which a lane that only its rate holds back has the tokens for a task.
    pub next_at: Option<Timestamp>,
}

/// Leases for one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The index of the lane in what was handed in.
    pub lane: usize,
    /// How many of its tasks to lease.
    pub count: NonZeroUsize,
}

impl LaneView {
    /// How many of its ready tasks it may start now.
    pub fn room(&self, now: Timestamp) -> usize {
        let wanted = self.wanted();
        let Some(rate) = self.limits.rate else { return wanted };
        let mut left = rate.available(self.bucket, now);
        let mut fits = |weight: &NonZeroU32| {
            let rest = left.checked_sub(rate.charge(*weight).get());
            left = rest.unwrap_or(0);
            rest.is_some()
        };
        self.ready.iter().take(wanted).take_while(|weight| fits(weight)).count()
    }

    /// How many it may start as far as its rate is not concerned.
    fn wanted(&self) -> usize {
        self.ready.len().min(self.limits.free(self.leased))
    }

    /// Its bucket after the first `count` of its tasks, at most its room, have started.
    fn charged(&self, count: usize, now: Timestamp) -> Bucket {
        let Some(rate) = self.limits.rate else { return self.bucket };
        rate.take_all(rate.anchored(self.bucket, now), now, self.ready.iter().take(count).copied())
    }

    /// When the rate lets the task behind the first `count` start, if it is the rate that holds it back.
    fn held_until(&self, count: usize, bucket: Bucket, now: Timestamp) -> Option<Timestamp> {
        self.limits.rate?.take(bucket, now, *self.ready.get(count)?).err().map(|RetryAt(at)| at)
    }
}

/// Shares up to `up_to` leases among `lanes`, which are sorted by key, each key once. `after` is the key of the lane that was
/// served last, `None` at the first call.
///
/// - No lane gets more than its [`LaneView::room`].
/// - While a lane has room, leases are left only if all `up_to` are given.
/// - A lane that gets one has at most one more under way than any lane that is left with room.
/// - The same input gives the same answer; ties go to the next key after the last one served.
///
/// Takes `n log n + up_to log n` steps, and one for each ready task.
pub fn share(lanes: &[LaneView], up_to: usize, after: Option<&FlowKey>, now: Timestamp) -> Share {
    debug_assert!(lanes.is_sorted_by(|a, b| a.key < b.key), "lanes are sorted by key, each key once");
    let first = after.map_or(0, |after| lanes.partition_point(|lane| lane.key <= *after));
    let turn_of = |lane: usize| if lane < first { lane + lanes.len() } else { lane };
    let candidate = |(lane, view): (usize, &LaneView)| {
        let room = view.room(now);
        (room > 0).then(|| Reverse(Candidate { load: view.leased, turn: turn_of(lane), lane, room }))
    };
    let mut candidates: BinaryHeap<_> = lanes.iter().enumerate().filter_map(candidate).collect();

    let mut granted = vec![0; lanes.len()];
    let mut last = None;
    for _ in 0..up_to {
        let Some(mut next) = candidates.peek_mut() else { break };
        granted[next.0.lane] += 1;
        last = Some(next.0.lane);
        if next.0.room == 1 {
            PeekMut::pop(next);
        } else {
            next.0.room -= 1;
            next.0.load = next.0.load.saturating_add(1);
        }
    }

    let mut share = Share { last, ..Share::default() };
    for (lane, (view, &count)) in lanes.iter().zip(&granted).enumerate() {
        let bucket = view.charged(count, now);
        if let Some(count) = NonZeroUsize::new(count) {
            share.grants.push(Grant { lane, count });
        }
        if bucket != view.bucket {
            share.buckets.push((lane, bucket));
        }
        if view.wanted() > count {
            let held_until = view.held_until(count, bucket, now);
            share.next_at = share.next_at.into_iter().chain(held_until).min();
        }
    }
    share
}

/// A lane with room. The order of the fields is the order in which lanes are served.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    load: usize,
    turn: usize,
    lane: usize,
    room: usize,
}
