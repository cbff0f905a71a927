//! Fair shares: the promises as judges, and shares that are broken on purpose before the same judges.

use std::num::NonZeroUsize;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use runtime_core::flow::{Bucket, FlowLimits, Grant, LaneLimits, LaneView, RateLimit, RetryAt, Share, share};
use runtime_core::name::FlowKey;
use serde_json::json;

use crate::{at, count};

fn key(number: usize) -> FlowKey {
    FlowKey::new(format!("tenant={number:04}")).expect("a key")
}

fn lane(number: usize, ready: usize, leased: usize) -> LaneView {
    let limits = LaneLimits::default();
    LaneView { key: key(number), limits, ready: vec![count(1); ready], leased, bucket: Bucket::FULL }
}

fn limited(lanes: &[LaneView], limits: LaneLimits) -> Vec<LaneView> {
    lanes.iter().cloned().map(|lane| LaneView { limits, ..lane }).collect()
}

fn rate(tokens: u32, per_ms: u64, burst: u32) -> RateLimit {
    RateLimit::new(count(tokens), Duration::from_millis(per_ms), count(burst)).expect("a rate")
}

/// What each lane was granted.
fn granted(lanes: &[LaneView], share: &Share) -> Vec<usize> {
    let mut granted = vec![0; lanes.len()];
    share.grants.iter().for_each(|grant| granted[grant.lane] += grant.count.get());
    granted
}

fn counts(lanes: &[LaneView], up_to: usize, after: Option<&FlowKey>) -> Vec<usize> {
    granted(lanes, &share(lanes, up_to, after, at(0)))
}

#[test]
fn shares_follow_the_table() {
    let open = LaneLimits::default();
    let two_each = LaneLimits { concurrency: Some(count(2)), ..open };
    let three_now = LaneLimits { rate: Some(rate(1, 1_000, 3)), ..open };
    let lanes = |views: &[(usize, usize)]| -> Vec<_> {
        views.iter().enumerate().map(|(number, &(ready, leased))| lane(number, ready, leased)).collect()
    };
    let (k0, k1) = (key(0), key(1));
    for (what, views, limits, up_to, after, expected) in [
        ("nobody", vec![], open, 5, None, vec![]),
        ("one lane takes all", vec![(9, 0)], open, 5, None, vec![5]),
        ("equal lanes share equally", vec![(9, 0), (9, 0), (9, 0)], open, 6, None, vec![2, 2, 2]),
        ("a tie goes to the first", vec![(9, 0), (9, 0)], open, 1, None, vec![1, 0]),
        ("or to the one after the last served", vec![(9, 0), (9, 0)], open, 1, Some(&k0), vec![0, 1]),
        ("and round", vec![(9, 0), (9, 0)], open, 1, Some(&k1), vec![1, 0]),
        ("who has more under way waits", vec![(9, 3), (9, 0)], open, 3, None, vec![0, 3]),
        ("until the other has as many", vec![(9, 3), (9, 0)], open, 5, None, vec![1, 4]),
        ("what one cannot use the others get", vec![(1, 0), (9, 0)], open, 6, None, vec![1, 5]),
        ("an empty lane gets nothing", vec![(0, 0), (9, 0)], open, 2, None, vec![0, 2]),
        ("concurrency holds", vec![(9, 0), (9, 1)], two_each, 9, None, vec![2, 1]),
        ("also where it was exceeded before", vec![(9, 5), (9, 0)], two_each, 9, None, vec![0, 2]),
        ("the rate holds", vec![(9, 0), (2, 0)], three_now, 9, None, vec![3, 2]),
    ] {
        assert_eq!(counts(&limited(&lanes(&views), limits), up_to, after), expected, "{what}");
    }
}

#[test]
fn a_million_tasks_of_one_lane_do_not_hold_up_the_ten_of_the_others() {
    let mut lanes: Vec<_> = (0..10).map(|number| lane(number, 10, 0)).collect();
    lanes[0].ready = vec![count(1); 1_000_000];
    assert_eq!(counts(&lanes, 100, None), vec![10; 10]);
    let mut expected = vec![10; 10];
    expected[0] = 910;
    assert_eq!(counts(&lanes, 1_000, None), expected);
}

#[test]
fn a_lane_that_only_its_rate_holds_back_says_when_it_goes_on() {
    let limits = LaneLimits { rate: Some(rate(1, 1_000, 2)), concurrency: None };
    let next_at = |lanes: &[LaneView], limits: &LaneLimits, up_to| {
        share(&limited(lanes, *limits), up_to, None, at(0)).next_at
    };
    assert_eq!(next_at(&[lane(0, 5, 0)], &limits, 9), Some(at(1_000_000)));
    assert_eq!(next_at(&[lane(0, 2, 0)], &limits, 9), None, "nothing is left to wait for");
    assert_eq!(next_at(&[lane(0, 5, 0)], &limits, 1), None, "it waits for a slot, not for its rate");
    let two_each = LaneLimits { concurrency: Some(count(2)), ..limits };
    assert_eq!(next_at(&[lane(0, 5, 0)], &two_each, 9), None, "it waits for a task to end");
    let heavy = LaneView { ready: vec![count(2); 5], ..lane(1, 0, 0) };
    assert_eq!(next_at(std::slice::from_ref(&heavy), &limits, 9), Some(at(2_000_000)));
    assert_eq!(next_at(&[lane(0, 5, 0), heavy], &limits, 9), Some(at(1_000_000)), "the earliest counts");
}

#[test]
fn a_lane_is_charged_what_each_of_its_tasks_weighs() {
    let five_now = rate(1, 1_000, 5);
    let limits = LaneLimits { rate: Some(five_now), concurrency: None };
    let weighing = |weights: &[u32]| LaneView {
        limits,
        ready: weights.iter().copied().map(count).collect(),
        ..lane(0, 0, 0)
    };
    for (what, weights, expected, left) in [
        ("all that fit", &[1, 3, 1, 1][..], 3, 0),
        ("what is left stays", &[2, 1, 9], 2, 2),
        ("who is light does not pass who is heavy", &[3, 4, 1], 1, 2),
        ("heavier than the burst takes the burst", &[9, 1], 1, 0),
        ("and waits for all of it", &[1, 9], 1, 4),
    ] {
        let view = weighing(weights);
        let share = share(std::slice::from_ref(&view), 9, None, at(0));
        assert_eq!(granted(std::slice::from_ref(&view), &share), [expected], "{what}");
        assert_eq!(five_now.available(share.buckets[0].1, at(0)), left, "{what}");
    }
    let next_at = |weights| share(&[weighing(weights)], 9, None, at(0)).next_at;
    assert_eq!(next_at(&[3, 4, 1]), Some(at(2_000_000)), "it is the heavy one that is waited for");
    assert_eq!(next_at(&[1, 9]), Some(at(1_000_000)));
}

#[test]
fn each_lane_has_its_own_limits() {
    let one = LaneLimits { concurrency: Some(count(1)), rate: None };
    let slow = LaneLimits { concurrency: None, rate: Some(rate(1, 1_000, 2)) };
    let mut lanes = vec![lane(0, 9, 0), lane(1, 9, 0), lane(2, 9, 0)];
    (lanes[0].limits, lanes[1].limits) = (one, slow);
    assert_eq!(counts(&lanes, 12, None), [1, 2, 9]);
}

#[test]
fn after_a_clock_jumped_back_a_lane_goes_on_at_its_rate() {
    let limits = LaneLimits { rate: Some(rate(1, 1_000, 2)), concurrency: None };
    let mut lanes = limited(&[lane(0, 100, 0)], limits);
    let mut given_in_ten_looks = |mut now: i64| {
        let mut given = 0;
        for _ in 0..10 {
            let share = share(&lanes, 9, None, at(now));
            given += share.grants.iter().map(|grant| grant.count.get()).sum::<usize>();
            share.buckets.iter().for_each(|&(lane, bucket)| lanes[lane].bucket = bucket);
            now = share.next_at.map_or(now, |next| next.as_microsecond() - at(0).as_microsecond());
        }
        given
    };
    assert_eq!(given_in_ten_looks(3_600_000_000), 11, "the burst, then one at each time it is told");
    assert_eq!(given_in_ten_looks(0), 9, "an hour earlier: nothing, then one at each time it is told");
}

#[test]
fn limits_are_written_as_they_are_read() {
    let read = |written| serde_json::from_value::<FlowLimits>(written);
    assert_eq!(read(json!({})).expect("limits"), FlowLimits::default());
    let written = json!({
        "concurrency_per_key": 2, "rate_per_key": { "tokens": 1, "per_ms": 5, "burst": 3 }, "fair": false,
    });
    let limits =
        FlowLimits { concurrency_per_key: Some(count(2)), rate_per_key: Some(rate(1, 5, 3)), fair: false };
    assert_eq!(serde_json::to_value(limits).expect("json"), written);
    assert_eq!(read(written).expect("limits"), limits);
    for refused in [json!({ "concurrency_per_key": 0 }), json!({ "concurrency": 1 })] {
        assert!(read(refused.clone()).is_err(), "{refused}");
    }
}

/// A question to [`share`].
#[derive(Debug, Clone)]
struct Ask {
    lanes: Vec<LaneView>,
    up_to: usize,
    after: Option<FlowKey>,
}

fn asks() -> impl Strategy<Value = Ask> {
    let rates =
        (1_u32..50, 1_u64..2_000, 1_u32..30).prop_map(|(tokens, per, burst)| rate(tokens, per, burst));
    let concurrencies = (1_u32..12).prop_map(count);
    let limits = (proptest::option::of(concurrencies), proptest::option::of(rates))
        .prop_map(|(concurrency, rate)| LaneLimits { concurrency, rate });
    let ready = proptest::collection::vec((1_u32..40).prop_map(count), 0..20);
    let many = Just(vec![count(1); 1_000]);
    let buckets = prop_oneof![
        Just(Bucket::FULL),
        (-3_000_000_i64..3_000_000)
            .prop_map(|micros| Bucket::from_nanos(at(micros).as_microsecond() * 1_000)),
    ];
    let ready = prop_oneof![9 => ready, 1 => many];
    let views = proptest::collection::btree_map(0..40_usize, (limits, ready, 0..12_usize, buckets), 0..20);
    (views, 0..120_usize, proptest::option::of(0..40_usize)).prop_map(|(views, up_to, after)| {
        let view = |(number, (limits, ready, leased, bucket))| LaneView {
            key: key(number),
            limits,
            ready,
            leased,
            bucket,
        };
        Ask { lanes: views.into_iter().map(view).collect(), up_to, after: after.map(key) }
    })
}

impl Ask {
    fn answer(&self) -> Share {
        share(&self.lanes, self.up_to, self.after.as_ref(), at(0))
    }

    /// The lane after the grants, its bucket emptied task by task.
    fn left(&self, lane: usize, given: usize) -> Result<LaneView, RetryAt> {
        let mut view = self.lanes[lane].clone();
        view.bucket = view.limits.rate.map_or(view.bucket, |rate| rate.anchored(view.bucket, at(0)));
        for weight in view.ready.drain(..given) {
            if let Some(rate) = view.limits.rate {
                view.bucket = rate.take(view.bucket, at(0), weight)?;
            }
        }
        view.leased += given;
        Ok(view)
    }

    /// The rule of the promise that an answer breaks.
    fn judge(&self, answer: &Share) -> Result<(), &'static str> {
        let given = granted(&self.lanes, answer);
        let mut left = Vec::new();
        for (lane, &given) in given.iter().enumerate() {
            if given > self.lanes[lane].ready.len() {
                return Err("more than is ready");
            }
            let view = self.left(lane, given).map_err(|_| "more than the rate")?;
            if given > 0 && view.limits.concurrency.is_some_and(|most| view.leased > most.get() as usize) {
                return Err("more than the concurrency");
            }
            left.push(view);
        }
        let total: usize = given.iter().sum();
        if total > self.up_to {
            return Err("more than was asked");
        }
        let with_room: Vec<_> = left.iter().filter(|view| view.room(at(0)) > 0).collect();
        if total < self.up_to && !with_room.is_empty() {
            return Err("not work-conserving");
        }
        for (view, _) in left.iter().zip(&given).filter(|(_, given)| **given > 0) {
            if with_room.iter().any(|other| view.leased > other.leased + 1) {
                return Err("not fair");
            }
        }
        let charged = |(lane, view): (usize, &LaneView)| {
            (view.bucket != self.lanes[lane].bucket).then_some((lane, view.bucket))
        };
        if answer.buckets != left.iter().enumerate().filter_map(charged).collect::<Vec<_>>() {
            return Err("not charged");
        }
        Ok(())
    }

    /// The earliest time at which a lane that has no room has room again, all else as it is.
    fn goes_on_at(&self, answer: &Share) -> Option<Timestamp> {
        let given = granted(&self.lanes, answer);
        let waits = |lane: usize| {
            let view = self.left(lane, given[lane]).expect("within the rate");
            let unlimited = LaneView { limits: LaneLimits { rate: None, ..view.limits }, ..view.clone() };
            let by_rate = view.room(at(0)) == 0 && unlimited.room(at(0)) > 0;
            // The first microsecond with room, by bisection: room only grows while nobody takes.
            by_rate.then(|| {
                let (mut no, mut yes) = (0, 1_000_000_000_i64);
                while yes - no > 1 {
                    let middle = no + (yes - no) / 2;
                    *(if view.room(at(middle)) > 0 { &mut yes } else { &mut no }) = middle;
                }
                at(yes)
            })
        };
        (0..self.lanes.len()).filter_map(waits).min()
    }
}

/// Serves lanes one by one, each as far as it goes.
fn greedy(ask: &Ask, most: impl Fn(&LaneView) -> usize) -> Share {
    let (mut left, mut share) = (ask.up_to, Share::default());
    for (lane, view) in ask.lanes.iter().enumerate() {
        let given = most(view).min(left);
        left -= given;
        share.grants.extend(NonZeroUsize::new(given).map(|count| Grant { lane, count }));
    }
    share
}

#[test]
fn a_share_that_is_broken_on_purpose_is_found_out() {
    let limits = LaneLimits { concurrency: Some(count(4)), rate: Some(rate(1, 1_000, 3)) };
    let lanes = limited(&[lane(0, 9, 2), lane(1, 9, 0), lane(2, 1, 0)], limits);
    let ask = Ask { lanes, up_to: 3, after: None };
    let wide = Ask { up_to: 100, ..ask.clone() };
    assert_eq!(ask.judge(&ask.answer()), Ok(()));
    assert_eq!(ask.judge(&greedy(&ask, |view| view.room(at(0)))), Err("not fair"));
    assert_eq!(ask.judge(&Share::default()), Err("not work-conserving"));
    assert_eq!(wide.judge(&greedy(&wide, |view| view.ready.len())), Err("more than the rate"));
    assert_eq!(wide.judge(&greedy(&wide, |_| 3)), Err("more than the concurrency"));
    assert_eq!(wide.judge(&greedy(&wide, |_| 2)), Err("more than is ready"));
    assert_eq!(ask.judge(&greedy(&wide, |view| view.room(at(0)))), Err("more than was asked"));
    let mut uncharged = ask.answer();
    uncharged.buckets.clear();
    assert_eq!(ask.judge(&uncharged), Err("not charged"));
}

proptest! {
    #[test]
    fn every_share_keeps_the_limits_conserves_work_and_is_fair(ask in asks()) {
        prop_assert_eq!(ask.judge(&ask.answer()), Ok(()));
    }

    #[test]
    fn the_next_time_is_the_first_at_which_a_held_lane_has_room(ask in asks()) {
        let answer = ask.answer();
        prop_assert_eq!(answer.next_at, ask.goes_on_at(&answer));
    }

    #[test]
    fn a_share_asked_for_at_once_or_one_by_one_is_the_same(ask in asks()) {
        let (mut one, mut sum) = (ask.clone(), vec![0; ask.lanes.len()]);
        one.up_to = 1;
        for _ in 0..ask.up_to {
            let answer = one.answer();
            let Some(last) = answer.last else { break };
            one.lanes[last] = one.left(last, 1).expect("within the rate");
            one.after = Some(one.lanes[last].key.clone());
            sum[last] += 1;
        }
        // Round-robin goes on where it stopped, so single lanes may differ by the one that a tie decides, sums by nothing.
        let whole = granted(&ask.lanes, &ask.answer());
        prop_assert_eq!(sum.iter().sum::<usize>(), whole.iter().sum::<usize>());
        for (lane, (one, whole)) in sum.iter().zip(&whole).enumerate() {
            prop_assert!(one.abs_diff(*whole) <= 1, "lane {lane}: {one} and {whole}");
        }
    }

    #[test]
    fn with_one_slot_every_lane_is_served_in_each_round(
        ready in proptest::collection::vec(prop_oneof![1..5_usize, Just(1_000)], 1..30),
        start in 0..40_usize,
    ) {
        let mut lanes: Vec<_> = ready.iter().enumerate().map(|(number, &ready)| lane(number, ready, 0)).collect();
        let (mut after, mut waited) = (Some(key(start)), vec![0; lanes.len()]);
        for _ in 0..lanes.len() * 6 {
            let Some(last) = share(&lanes, 1, after.as_ref(), at(0)).last else { break };
            lanes[last].ready.pop();
            after = Some(lanes[last].key.clone());
            for (lane, view) in lanes.iter().enumerate() {
                waited[lane] = if lane == last || view.ready.is_empty() { 0 } else { waited[lane] + 1 };
            }
            prop_assert!(waited.iter().all(|waited| *waited < lanes.len()), "{waited:?}");
        }
    }
}
