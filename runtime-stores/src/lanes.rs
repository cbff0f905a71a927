//! Which lanes of a queue get the next leases: what back ends have in common beside [`runtime_core::flow::share`].

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::flow::{Bucket, LaneLimits, LaneView, RetryAt, share};
use runtime_core::name::FlowKey;

/// Most lanes that one ask looks at. Where there are more, the next ask begins where this one ended, so that every lane has its turn.
pub(crate) const LANES_PER_ASK: usize = 1_000;

/// When those who ask shall come again if some lanes were not looked at and leases are left over.
pub(crate) const NEXT_LOOK: Duration = Duration::from_millis(10);

/// A lane with ready tasks.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) key: FlowKey,
    pub(crate) limits: LaneLimits,
    /// Its first ready tasks, in claim order: as many as it could use, see [`most_useful`].
    pub(crate) first: Vec<InLine>,
    /// Tasks under way.
    pub(crate) leased: usize,
    pub(crate) bucket: Bucket,
}

/// A ready task of a lane. The order is the claim order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InLine {
    pub(crate) rank: i64,
    pub(crate) row: i64,
    /// Not looked up where the lane has no rate.
    pub(crate) weight: NonZeroU32,
}

/// Where the lanes of a queue stand in the memory of whoever grants. Lost with it, which costs one lane its turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn {
    /// The lane after which the next ask begins.
    pub(crate) after: Option<FlowKey>,
    /// When those who ask shall come again, because nothing else would tell them.
    pub(crate) next_at: Option<Timestamp>,
    /// Until when limits held tasks back, as was told last. It may be past.
    pub(crate) limited_until: Option<Timestamp>,
}

impl Turn {
    /// Whether whoever waits for this must be told, because it is earlier than before.
    pub(crate) fn come_at(&mut self, at: Timestamp) -> bool {
        self.limited_until = Some(at);
        let earlier = self.next_at.is_none_or(|known| at < known);
        if earlier {
            self.next_at = Some(at);
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
    limits: &LaneLimits,
    leased: usize,
    bucket: Bucket,
    up_to: usize,
    now: Timestamp,
) -> usize {
    let by_rate = limits.rate.map_or(usize::MAX, |rate| rate.available(bucket, now) as usize + 1);
    up_to.min(limits.free(leased)).min(by_rate)
}

/// Whether a task of this weight may start, whoever of its lane it passes, and if only the rate says no, when it may.
pub(crate) fn room_for(lane: &Lane, weight: NonZeroU32, now: Timestamp) -> (bool, Option<Timestamp>) {
    if lane.limits.free(lane.leased) == 0 {
        return (false, None);
    }
    match lane.limits.rate.map(|rate| rate.take(lane.bucket, now, weight)) {
        Some(Err(RetryAt(at))) => (false, Some(at)),
        Some(Ok(_)) | None => (true, None),
    }
}

/// How many tasks of each lane get a lease, and the lane served last. The lanes are sorted by key.
pub(crate) fn decide(
    fair: bool,
    lanes: &[Lane],
    up_to: usize,
    after: Option<&FlowKey>,
    now: Timestamp,
) -> (Vec<usize>, Option<usize>) {
    let views: Vec<LaneView> = lanes
        .iter()
        .map(|lane| LaneView {
            key: lane.key.clone(),
            limits: lane.limits,
            ready: lane.first.iter().map(|task| task.weight).collect(),
            leased: lane.leased,
            bucket: lane.bucket,
        })
        .collect();
    let mut counts = vec![0; lanes.len()];
    if fair {
        let share = share(&views, up_to, after, now);
        share.grants.iter().for_each(|grant| counts[grant.lane] = grant.count.get());
        return (counts, share.last);
    }
    let mut candidates: Vec<(InLine, usize)> = Vec::new();
    for (index, (lane, view)) in lanes.iter().zip(&views).enumerate() {
        candidates.extend(lane.first.iter().take(view.room(now)).map(|first| (*first, index)));
    }
    candidates.sort_unstable();
    candidates.iter().take(up_to).for_each(|(_, lane)| counts[*lane] += 1);
    (counts, None)
}

/// A lane of which the first `tried` were to get a lease, and tasks of these weights got one: its bucket, and when its rate lets the next
/// start if nothing else keeps it.
pub(crate) fn charge(
    lane: &Lane,
    tried: usize,
    granted: &[NonZeroU32],
    now: Timestamp,
) -> (Bucket, Option<Timestamp>) {
    let Some(rate) = lane.limits.rate else { return (lane.bucket, None) };
    let bucket = rate.take_all(lane.bucket, now, granted.iter().copied());
    let more = lane.limits.free(lane.leased) > granted.len();
    let next = lane.first.get(tried).filter(|_| more);
    let next_at = next.and_then(|next| rate.take(bucket, now, next.weight).err());
    (bucket, next_at.map(|RetryAt(at)| at))
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
    use runtime_core::flow::RateLimit;

    use super::*;

    fn lane(key: &str, ranks: &[i64], leased: usize) -> Lane {
        let first = ranks.iter().map(|rank| InLine { rank: *rank, row: *rank, weight: NonZeroU32::MIN });
        let limits = LaneLimits { concurrency: NonZeroU32::new(3), rate: None };
        Lane { key: FlowKey::new(key).unwrap(), limits, first: first.collect(), leased, bucket: Bucket::FULL }
    }

    #[test]
    fn without_fairness_the_lowest_rank_goes_first_within_the_room_of_its_lane() {
        let lanes = [lane("a", &[1, 2, 3], 1), lane("b", &[4, 5], 0)];
        let counts = |up_to| decide(false, &lanes, up_to, None, Timestamp::UNIX_EPOCH).0;
        assert_eq!((counts(1), counts(3), counts(9)), (vec![1, 0], vec![2, 1], vec![2, 2]));
        assert_eq!(decide(true, &lanes, 1, None, Timestamp::UNIX_EPOCH).0, [0, 1]);
    }

    #[test]
    fn what_was_granted_is_charged_by_weight_and_the_next_is_waited_for() {
        let of = |number| NonZeroU32::new(number).unwrap();
        let rate = RateLimit::new(of(1), Duration::from_secs(1), of(10)).unwrap();
        let mut lane = lane("a", &[1, 2, 3], 0);
        lane.limits = LaneLimits { concurrency: None, rate: Some(rate) };
        (lane.first[1].weight, lane.first[2].weight) = (of(6), of(8));
        let now = Timestamp::UNIX_EPOCH;
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let (bucket, next_at) = charge(&lane, 2, &[of(1), of(6)], now);
        assert_eq!((rate.available(bucket, now), next_at), (3, at(5)));
        let (bucket, next_at) = charge(&lane, 2, &[of(6)], now);
        assert_eq!((rate.available(bucket, now), next_at), (4, at(4)), "the first was past its deadline");
        lane.bucket = bucket;
        assert_eq!(room_for(&lane, of(4), now), (true, None));
        assert_eq!(room_for(&lane, of(5), now), (false, at(1)));
        assert_eq!(room_for(&lane, of(99), now), (false, at(6)), "as much as there can be");
    }

    #[test]
    fn an_answer_takes_turns() {
        assert_eq!(interleave(vec![vec![1, 4, 6], vec![2], vec![], vec![3, 5]]), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_turn_tells_of_an_earlier_time_and_is_due_once() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut turn = Turn::default();
        assert!(turn.come_at(at(5)) && !turn.come_at(at(6)) && turn.come_at(at(4)));
        assert!(!turn.is_due(at(3)) && turn.is_due(at(4)) && !turn.is_due(at(4)));
        assert_eq!(turn.limited_until, Some(at(4)), "it is remembered, past as it is");
    }
}
