//! Token buckets: what they give over any window, after a pause, and under clocks that jump.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use runtime_core::flow::{Bucket, FlowError, RateLimit, RetryAt};
use serde_json::json;

use crate::{at, count};

fn limit(tokens: u32, per_ms: u64, burst: u32) -> RateLimit {
    RateLimit::new(count(tokens), Duration::from_millis(per_ms), count(burst)).expect("a rate")
}

/// Takes single tokens until none is left: how many there were.
fn drain(limit: &RateLimit, bucket: &mut Bucket, now: Timestamp) -> u32 {
    let mut taken = 0;
    while let Ok(next) = limit.take(*bucket, now, count(1)) {
        (*bucket, taken) = (next, taken + 1);
    }
    taken
}

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let (limit, mut bucket) = (limit(2, 1_000, 3), Bucket::FULL);
    assert_eq!(drain(&limit, &mut bucket, at(0)), 3);
    assert_eq!(limit.take(bucket, at(0), count(1)), Err(RetryAt(at(500_000))));
    assert_eq!(limit.take(bucket, at(0), count(2)), Err(RetryAt(at(1_000_000))));
    assert_eq!(limit.available(bucket, at(499_999)), 0);
    assert_eq!(limit.available(bucket, at(500_000)), 1);
    bucket = limit.take(bucket, at(1_000_000), count(2)).expect("two tokens are back");
    assert_eq!(limit.take(bucket, at(1_000_000), count(1)), Err(RetryAt(at(1_500_000))));
    assert!(!bucket.is_full(at(2_499_999)) && bucket.is_full(at(2_500_000)));
    assert_eq!(drain(&limit, &mut bucket, at(60_000_000)), 3, "a pause gives the burst, no more");
}

#[test]
fn a_weight_above_the_burst_is_named_at_registration_and_costs_the_burst_later() {
    let limit = limit(1, 1_000, 2);
    assert_eq!(limit.accepts(count(2)), Ok(()));
    let refused = limit.accepts(count(3)).expect_err("too heavy");
    assert_eq!(refused.to_string(), "a task that takes 3 tokens never fits a burst of 2");
    let bucket = limit.take(Bucket::FULL, at(0), count(3)).expect("a full bucket is enough");
    assert_eq!(limit.take(bucket, at(0), count(3)), Err(RetryAt(at(2_000_000))));
}

#[test]
fn a_bucket_of_a_clock_that_ran_ahead_or_of_a_larger_limit_is_at_worst_empty() {
    let (wide, narrow) = (limit(1, 1_000, 1_000), limit(1, 1_000, 2));
    let ahead = wide.take(Bucket::FULL, at(3_600_000_000), count(1_000)).expect("a full bucket");
    assert_eq!(narrow.take(ahead, at(0), count(1)), Err(RetryAt(at(1_000_000))));
    assert_eq!(narrow.available(ahead, at(0)), 0);
}

#[test]
fn a_rate_that_cannot_be_kept_is_refused() {
    let refuse = |tokens, per, burst| RateLimit::new(count(tokens), per, count(burst)).expect_err("no rate");
    for per in [Duration::ZERO, Duration::from_micros(1_500)] {
        assert_eq!(refuse(1, per, 1), FlowError::RatePeriod { per });
    }
    let per = Duration::from_secs(1);
    assert_eq!(refuse(1_000_001, per, 1), FlowError::RateTooFast { tokens: 1_000_001, per });
    assert_eq!(refuse(1, Duration::from_hours(24), 3_651), FlowError::RateTooSlow { burst: 3_651 });
    assert_eq!(refuse(1, Duration::from_millis(u64::MAX), 1), FlowError::RateTooSlow { burst: 1 });
}

#[test]
fn a_limit_is_written_with_the_unit_in_its_key() {
    let written = json!({ "tokens": 100, "per_ms": 60_000, "burst": 20 });
    assert_eq!(serde_json::to_value(limit(100, 60_000, 20)).expect("json"), written);
    let read = |written| serde_json::from_value::<RateLimit>(written);
    assert_eq!(read(written).expect("a rate"), limit(100, 60_000, 20));
    assert_eq!(read(json!({ "tokens": 7, "per_ms": 1 })).expect("a rate"), limit(7, 1, 7));
    for refused in [
        json!({ "tokens": 0, "per_ms": 1 }),
        json!({ "tokens": 1, "per_ms": 0 }),
        json!({ "tokens": 1, "per_secs": 1 }),
        json!({ "tokens": 1_001, "per_ms": 1 }),
        json!({ "tokens": 1, "per_ms": 1, "burst": 0 }),
    ] {
        assert!(read(refused.clone()).is_err(), "{refused}");
    }
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    let slow = limit(1, 24 * 3_600_000, 3_650);
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        for bucket in [Bucket::FULL, Bucket::from_nanos(0), Bucket::from_nanos(i64::MAX)] {
            let available = slow.available(bucket, now);
            assert_eq!(slow.take(bucket, now, count(3_650)).is_ok(), available == 3_650);
        }
    }
}

fn limits() -> impl Strategy<Value = RateLimit> {
    (1_u32..2_000, prop_oneof![2_u64..5_000, Just(60_000), Just(3_600_000)], 1_u32..200)
        .prop_map(|(tokens, per_ms, burst)| limit(tokens, per_ms, burst))
}

/// A life of one bucket: the clock moves by so many microseconds, then somebody asks for so many tokens.
fn lives(back: bool) -> impl Strategy<Value = Vec<(i64, u32)>> {
    let moves = prop_oneof![4 => 0_i64..20_000, 2 => 0_i64..2_000_000, 1 => 0_i64..100_000_000];
    let moves = (moves, 0_u32..10).prop_map(move |(by, dice)| if back && dice == 0 { -by } else { by });
    proptest::collection::vec((moves, prop_oneof![3 => Just(1_u32), 1 => 1_u32..250]), 1..150)
}

/// What was given, with the clock's forward way until then. `take` is handed the bucket, the time and the weight.
fn live(
    limit: &RateLimit,
    life: &[(i64, u32)],
    take: impl Fn(Bucket, Timestamp, u32) -> Option<Bucket>,
) -> Vec<(i64, u32)> {
    let (mut bucket, mut clock, mut way, mut given) = (Bucket::FULL, 0, 0, Vec::new());
    for &(by, weight) in life {
        (clock, way) = (clock + by, way + by.max(0));
        if let Some(next) = take(bucket, at(clock), weight) {
            given.push((way, weight.min(limit.burst().get())));
            bucket = next;
        }
    }
    given
}

/// Over each window the tokens given are no more than the burst and what came back in the window.
fn within_the_rate(limit: &RateLimit, given: &[(i64, u32)]) -> Result<(), String> {
    for from in 0..given.len() {
        let mut sum = 0;
        for &(to, weight) in &given[from..] {
            sum += i128::from(weight);
            let window = i128::from(to - given[from].0);
            // sum <= burst + window × tokens / per, without a division
            let per = i128::try_from(limit.per().as_micros()).expect("a period");
            if (sum - i128::from(limit.burst().get())) * per > window * i128::from(limit.tokens().get()) {
                return Err(format!("{sum} tokens in {window} µs of {limit:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn a_bucket_that_is_broken_on_purpose_breaks_the_rate() {
    let limit = limit(3, 1_000, 5);
    let life: Vec<_> = (0..200).map(|_| (50_000, 1)).collect();
    let honest = live(&limit, &life, |bucket, now, weight| limit.take(bucket, now, count(weight)).ok());
    assert_eq!(within_the_rate(&limit, &honest), Ok(()));
    let forgetful = live(&limit, &life, |_, now, weight| limit.take(Bucket::FULL, now, count(weight)).ok());
    assert!(within_the_rate(&limit, &forgetful).is_err());
    let light = live(&limit, &[(0, 3); 3], |bucket, now, _| limit.take(bucket, now, count(1)).ok());
    assert!(within_the_rate(&limit, &light).is_err());
}

proptest! {
    #[test]
    fn no_window_holds_more_than_the_burst_and_the_rate(limit in limits(), life in lives(false)) {
        let given = live(&limit, &life, |bucket, now, weight| limit.take(bucket, now, count(weight)).ok());
        prop_assert_eq!(within_the_rate(&limit, &given), Ok(()));
    }

    #[test]
    fn a_clock_that_jumps_back_gives_nothing_anew(limit in limits(), life in lives(true)) {
        let given = live(&limit, &life, |bucket, now, weight| limit.take(bucket, now, count(weight)).ok());
        prop_assert_eq!(within_the_rate(&limit, &given), Ok(()));
    }

    #[test]
    fn after_a_pause_the_bucket_gives_exactly_its_burst(limit in limits(), life in lives(true)) {
        let (mut bucket, mut clock) = (Bucket::FULL, 0);
        for (by, weight) in life {
            clock += by;
            bucket = limit.take(bucket, at(clock), count(weight)).unwrap_or(bucket);
        }
        let fill = i64::try_from(limit.per().as_micros()).expect("micros") * i64::from(limit.burst().get());
        let rested = at(clock + fill / i64::from(limit.tokens().get()) + 1_000_000_000);
        prop_assert_eq!(limit.available(bucket, rested), limit.burst().get());
        prop_assert_eq!(drain(&limit, &mut bucket, rested), limit.burst().get());
    }

    #[test]
    fn what_is_available_can_be_taken_and_no_more(limit in limits(), life in lives(true)) {
        let (mut bucket, mut clock) = (Bucket::FULL, 0);
        for (by, weight) in life {
            clock += by;
            let available = limit.available(bucket, at(clock));
            prop_assert_eq!(limit.take(bucket, at(clock), count(weight)).is_ok(), weight.min(limit.burst().get()) <= available);
            prop_assert_eq!(drain(&limit, &mut bucket.clone(), at(clock)), available);
            bucket = limit.take(bucket, at(clock), count(weight)).unwrap_or(bucket);
        }
    }

    #[test]
    fn who_comes_at_the_time_it_was_told_is_served_and_not_before(limit in limits(), life in lives(true)) {
        let (mut bucket, mut clock) = (Bucket::FULL, 0);
        for (by, weight) in life {
            clock += by;
            bucket = limit.anchored(bucket, at(clock));
            match limit.take(bucket, at(clock), count(weight)) {
                Ok(next) => bucket = next,
                Err(RetryAt(then)) => {
                    prop_assert!(then > at(clock));
                    prop_assert!(limit.take(bucket, then, count(weight)).is_ok());
                    let before = Timestamp::from_microsecond(then.as_microsecond() - 1).expect("a time");
                    prop_assert!(limit.take(bucket, before, count(weight)).is_err());
                }
            }
        }
    }
}
