//! Which lanes of a queue get the next leases: what back ends have in common beside [`runtime_core::flow::share`].

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::flow::{Bucket, FlowLimits, LaneView, RetryAt, share};
use runtime_core::name::FlowKey;

/// Most lanes that one ask looks at. Where there are more, the next ask begins where this one ended, so that every lane has its turn.
pub(crate) const LANES_PER_ASK: usize = 1_000;

/// When those who ask shall come again if some lanes were not looked at and leases are left over.
pub(crate) const NEXT_LOOK: Duration = Duration::from_millis(10);

/// A lane with ready tasks.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) key: FlowKey,
    /// Rank and row of its first ready tasks, in claim order: as many as it could use, see [`most_useful`].
    pub(crate) first: Vec<(i64, i64)>,
    /// Tasks under way.
    pub(crate) leased: usize,
    pub(crate) bucket: Bucket,
}

/// Where the lanes of a queue stand in the memory of whoever grants. Lost with it, which costs one lane its turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn {
    /// The lane after which the next ask begins.
    pub(crate) after: Option<FlowKey>,
    /// When those who ask shall come again, because nothing else would tell them.
    pub(crate) next_at: Option<Timestamp>,
}

impl Turn {
    /// Whether whoever waits for this must be told, because it is earlier than before.
    pub(crate) fn come_at(&mut self, at: Option<Timestamp>) -> bool {
        let earlier = at.is_some_and(|at| self.next_at.is_none_or(|known| at < known));
        if earlier {
            self.next_at = at;
        }
        earlier
    }

    /// Whether the time to come again is over; told once.
    pub(crate) fn is_due(&mut self, now: Timestamp) -> bool {
        self.next_at.take_if(|at| *at <= now).is_some()
    }
}

/// How many tasks of a lane make a difference to an ask for `up_to`: one more than its rate lets start, so that the rest is seen to wait.
pub(crate) fn most_useful(
    limits: &FlowLimits,
    leased: usize,
    bucket: Bucket,
    up_to: usize,
    now: Timestamp,
) -> usize {
    let by_rate = limits.rate_per_key.map_or(usize::MAX, |rate| rate.available(bucket, now) as usize + 1);
    up_to.min(by_concurrency(limits, leased)).min(by_rate)
}

fn by_concurrency(limits: &FlowLimits, leased: usize) -> usize {
    limits.concurrency_per_key.map_or(usize::MAX, |most| (most.get() as usize).saturating_sub(leased))
}

/// Whether one more task of a lane may start, and if only its rate says no, when it may.
pub(crate) fn room_for_one(limits: &FlowLimits, lane: &Lane, now: Timestamp) -> (bool, Option<Timestamp>) {
    if by_concurrency(limits, lane.leased) == 0 {
        return (false, None);
    }
    match limits.rate_per_key.map(|rate| rate.take(lane.bucket, now, NonZeroU32::MIN)) {
        Some(Err(RetryAt(at))) => (false, Some(at)),
        Some(Ok(_)) | None => (true, None),
    }
}

/// How many tasks of each lane get a lease, and the lane served last. The lanes are sorted by key.
pub(crate) fn decide(
    limits: &FlowLimits,
    lanes: &[Lane],
    up_to: usize,
    after: Option<&FlowKey>,
    now: Timestamp,
) -> (Vec<usize>, Option<usize>) {
    let views: Vec<LaneView> = lanes
        .iter()
        .map(|lane| LaneView {
            key: lane.key.clone(),
            ready: lane.first.len(),
            leased: lane.leased,
            weight: NonZeroU32::MIN,
            bucket: lane.bucket,
        })
        .collect();
    let mut counts = vec![0; lanes.len()];
    if limits.fair {
        let share = share(&views, limits, up_to, after, now);
        share.grants.iter().for_each(|grant| counts[grant.lane] = grant.count.get());
        return (counts, share.last);
    }
    let mut candidates: Vec<((i64, i64), usize)> = Vec::new();
    for (index, (lane, view)) in lanes.iter().zip(&views).enumerate() {
        let room = limits.room(view, now);
        candidates.extend(lane.first.iter().take(room).map(|first| (*first, index)));
    }
    candidates.sort_unstable();
    candidates.iter().take(up_to).for_each(|(_, lane)| counts[*lane] += 1);
    (counts, None)
}

/// A lane after `granted` of its tasks got a lease: its bucket, and when its rate lets the next start if nothing else keeps it.
pub(crate) fn charge(
    limits: &FlowLimits,
    lane: &Lane,
    granted: usize,
    now: Timestamp,
) -> (Bucket, Option<Timestamp>) {
    let Some(rate) = limits.rate_per_key else { return (lane.bucket, None) };
    let weight = NonZeroU32::new(u32::try_from(granted).unwrap_or(u32::MAX));
    let bucket = weight.and_then(|weight| rate.take(lane.bucket, now, weight).ok()).unwrap_or(lane.bucket);
    let more = lane.first.len() > granted && by_concurrency(limits, lane.leased) > granted;
    let next_at = match rate.take(bucket, now, NonZeroU32::MIN) {
        Err(RetryAt(at)) if more => Some(at),
        _ => None,
    };
    (bucket, next_at)
}

/// One of each lane, then the second of each, and so on: whoever works off the answer in order is as fair as the answer.
pub(crate) fn interleave<T>(lanes: Vec<Vec<T>>) -> Vec<T> {
    let mut lanes: Vec<_> = lanes.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(lanes.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(key: &str, ranks: &[i64], leased: usize) -> Lane {
        let first = ranks.iter().map(|rank| (*rank, *rank)).collect();
        Lane { key: FlowKey::new(key).unwrap(), first, leased, bucket: Bucket::FULL }
    }

    #[test]
    fn without_fairness_the_lowest_rank_goes_first_within_the_room_of_its_lane() {
        let lanes = [lane("a", &[1, 2, 3], 1), lane("b", &[4, 5], 0)];
        let limits =
            FlowLimits { concurrency_per_key: NonZeroU32::new(3), fair: false, ..FlowLimits::default() };
        let counts = |up_to| decide(&limits, &lanes, up_to, None, Timestamp::UNIX_EPOCH).0;
        assert_eq!((counts(1), counts(3), counts(9)), (vec![1, 0], vec![2, 1], vec![2, 2]));
        let fair = FlowLimits { fair: true, ..limits };
        assert_eq!(decide(&fair, &lanes, 1, None, Timestamp::UNIX_EPOCH).0, [0, 1]);
    }

    #[test]
    fn an_answer_takes_turns() {
        assert_eq!(interleave(vec![vec![1, 4, 6], vec![2], vec![], vec![3, 5]]), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_turn_tells_of_an_earlier_time_and_is_due_once() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut turn = Turn::default();
        assert!(turn.come_at(Some(at(5))) && !turn.come_at(Some(at(6))) && !turn.come_at(None));
        assert!(turn.come_at(Some(at(4))));
        assert!(!turn.is_due(at(3)) && turn.is_due(at(4)) && !turn.is_due(at(4)));
    }
}
