//! The arithmetic of retries, as a table and as properties over every number there is.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use runtime_core::retry::{RetryDelay, RetryPolicy};
use serde_json::json;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn policy(max_attempts: u32, delay: RetryDelay) -> RetryPolicy {
    let max_attempts = NonZeroU32::new(max_attempts).expect("at least one attempt");
    RetryPolicy { max_attempts, delay, asked_after_cap: MS(60_000) }
}

fn exponential() -> RetryDelay {
    RetryDelay::Exponential { first: MS(100), factor: 3, cap: MS(5_000) }
}

#[test]
fn the_delay_follows_the_table() {
    let fixed = RetryDelay::Fixed { delay: MS(250) };
    for (what, delay, attempt, asked, random, expected) in [
        ("a fixed delay is fixed", &fixed, 1, None, 0.3, MS(250)),
        ("also later", &fixed, 1_000_000, None, 0.9, MS(250)),
        ("the peer asks for more", &fixed, 1, Some(MS(400)), 0.3, MS(400)),
        ("the peer asks for less", &fixed, 1, Some(MS(100)), 0.3, MS(250)),
        ("the peer asks for too much", &fixed, 1, Some(Duration::MAX), 0.3, MS(60_000)),
        ("the first ceiling", &exponential(), 1, None, 1.0, MS(100)),
        ("the second", &exponential(), 2, None, 1.0, MS(300)),
        ("the fourth", &exponential(), 4, None, 1.0, MS(2_700)),
        ("the cap", &exponential(), 5, None, 1.0, MS(5_000)),
        ("the cap for ever", &exponential(), u32::MAX, None, 1.0, MS(5_000)),
        ("no attempt counts as the first", &exponential(), 0, None, 1.0, MS(100)),
        ("full jitter reaches down to nothing", &exponential(), 4, None, 0.0, MS(0)),
        ("half", &exponential(), 2, None, 0.5, MS(150)),
        ("never below what was asked", &exponential(), 2, Some(MS(200)), 0.5, MS(200)),
        ("never above the computed for less", &exponential(), 2, Some(MS(100)), 0.5, MS(150)),
        ("not a number is all of it", &exponential(), 2, None, f64::NAN, MS(300)),
        ("below nothing is nothing", &exponential(), 2, None, -1.0, MS(0)),
        ("above all is all", &exponential(), 2, None, f64::INFINITY, MS(300)),
    ] {
        assert_eq!(policy(5, delay.clone()).delay(attempt, asked, random), expected, "{what}");
    }
}

#[test]
fn attempts_are_counted_with_the_first_one_included() {
    let policy = policy(3, exponential());
    for (made, left) in [(0, 3), (1, 2), (2, 1), (3, 0), (4, 0), (u32::MAX, 0)] {
        assert_eq!(policy.attempts_left(made), left, "after {made}");
    }
}

#[test]
fn a_policy_is_written_with_units_in_its_keys() {
    let written = json!({
        "max_attempts": 3,
        "delay": { "kind": "exponential", "first_ms": 100, "factor": 3, "cap_secs": 5 },
        "asked_after_cap_secs": 60,
    });
    let policy = policy(3, exponential());
    assert_eq!(serde_json::to_value(&policy).expect("json"), written);
    assert_eq!(serde_json::from_value::<RetryPolicy>(written).expect("a policy"), policy);

    let fixed: RetryPolicy =
        serde_json::from_value(json!({ "delay": { "kind": "fixed", "delay_ms": 7 } })).expect("a policy");
    assert_eq!(fixed, RetryPolicy { delay: RetryDelay::Fixed { delay: MS(7) }, ..RetryPolicy::default() });
}

#[test]
fn a_policy_that_makes_no_sense_is_refused() {
    for refused in [
        json!({ "max_attempts": 0 }),
        json!({ "max_attempt": 3 }),
        json!({ "delay": { "kind": "fixed", "delay_secs": 7 } }),
        json!({ "delay": { "kind": "fixed", "delay_ms": -7 } }),
        json!({ "delay": { "kind": "random", "delay_ms": 7 } }),
        json!({ "delay": { "kind": "exponential", "first_ms": 1, "factor": 2 } }),
        json!({ "delay": { "kind": "exponential", "first_ms": 1, "factor": 2, "cap_secs": 1, "jitter": 1 } }),
    ] {
        let policy = serde_json::from_value::<RetryPolicy>(refused.clone());
        assert!(policy.is_err(), "{refused} became {policy:?}");
    }
}

#[test]
fn what_is_finer_than_its_unit_is_rounded_up_never_down() {
    let delay = RetryDelay::Exponential { first: Duration::from_nanos(1), factor: 2, cap: MS(1_001) };
    let written = serde_json::to_value(policy(1, delay)).expect("json");
    assert_eq!(written["delay"], json!({ "kind": "exponential", "first_ms": 1, "factor": 2, "cap_secs": 2 }));
}

/// Any duration: half of them everyday ones, the others anything up to the largest.
fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0_u64..10_000_000).prop_map(Duration::from_millis),
        (any::<u64>(), 0_u32..1_000_000_000).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
    ]
}

fn delays() -> impl Strategy<Value = RetryDelay> {
    prop_oneof![
        durations().prop_map(|delay| RetryDelay::Fixed { delay }),
        (durations(), prop_oneof![0_u32..5, any::<u32>()], durations())
            .prop_map(|(first, factor, cap)| RetryDelay::Exponential { first, factor, cap }),
    ]
}

fn policies() -> impl Strategy<Value = RetryPolicy> {
    (1_u32.., delays(), durations()).prop_map(|(max_attempts, delay, asked_after_cap)| RetryPolicy {
        asked_after_cap,
        ..policy(max_attempts, delay)
    })
}

fn attempts() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..100, any::<u32>()]
}

proptest! {
    #[test]
    fn every_delay_lies_between_what_was_asked_and_the_larger_of_that_and_the_ceiling(
        policy in policies(),
        attempt in attempts(),
        asked in proptest::option::of(durations()),
        random in prop_oneof![0.0..1.0, any::<f64>()],
    ) {
        let delay = policy.delay(attempt, asked, random);
        let asked = asked.unwrap_or_default().min(policy.asked_after_cap);
        prop_assert!(asked <= delay);
        prop_assert!(delay <= policy.delay.ceiling(attempt).max(asked));
    }

    #[test]
    fn the_ceiling_never_shrinks_and_never_passes_the_cap(delay in delays(), attempt in attempts()) {
        let ceiling = delay.ceiling(attempt);
        prop_assert!(ceiling <= delay.ceiling(attempt.saturating_add(1)));
        match delay {
            RetryDelay::Fixed { delay } => prop_assert_eq!(ceiling, delay),
            RetryDelay::Exponential { first, cap, .. } => {
                prop_assert!(ceiling <= cap);
                prop_assert!(ceiling >= first.min(cap));
            }
        }
    }

    #[test]
    fn more_chance_is_never_a_shorter_wait(
        policy in policies(),
        attempt in attempts(),
        (low, high) in (0.0..1.0, 0.0..1.0).prop_map(|(a, b): (f64, f64)| (a.min(b), a.max(b))),
    ) {
        prop_assert!(policy.delay(attempt, None, low) <= policy.delay(attempt, None, high));
    }

    #[test]
    fn attempts_made_and_left_add_up(policy in policies(), made in any::<u32>()) {
        let max = policy.max_attempts.get();
        prop_assert_eq!(policy.attempts_left(made), max - made.min(max));
    }

    #[test]
    fn what_is_written_is_read_back_the_same(
        max_attempts in 1_u32..,
        (first_ms, factor, cap_secs, asked_secs) in any::<(u64, u32, u64, u64)>(),
    ) {
        let delay = RetryDelay::Exponential {
            first: Duration::from_millis(first_ms),
            factor,
            cap: Duration::from_secs(cap_secs),
        };
        let asked_after_cap = Duration::from_secs(asked_secs);
        let policy = RetryPolicy { asked_after_cap, ..policy(max_attempts, delay) };
        let text = serde_json::to_string(&policy).expect("json");
        prop_assert_eq!(serde_json::from_str::<RetryPolicy>(&text).expect("a policy"), policy);
    }
}

#[test]
fn the_horizon_is_every_wait_at_its_longest_and_every_attempt() {
    let patient = |max_attempts, delay| RetryPolicy { asked_after_cap: MS(0), ..policy(max_attempts, delay) };
    let fixed = RetryDelay::Fixed { delay: MS(250) };
    for (what, policy, expected) in [
        ("one attempt waits for nothing", patient(1, exponential()), MS(10)),
        ("fixed waits", patient(3, fixed.clone()), MS(2 * 250 + 30)),
        ("growing waits", patient(4, exponential()), MS(100 + 300 + 900 + 40)),
        ("at the cap", patient(7, exponential()), MS(100 + 300 + 900 + 2_700 + 5_000 + 5_000 + 70)),
        ("a peer may ask for more", policy(3, fixed), MS(2 * 60_000 + 30)),
        (
            "a million attempts are counted as quickly",
            patient(1_000_000, exponential()),
            MS(100 + 300 + 900 + 2_700 + 999_995 * 5_000 + 10_000_000),
        ),
        (
            "no factor never grows",
            patient(100, RetryDelay::Exponential { first: MS(7), factor: 0, cap: MS(5_000) }),
            MS(99 * 7 + 1_000),
        ),
    ] {
        assert_eq!(policy.horizon(MS(10)), expected, "{what}");
    }
    assert_eq!(policy(u32::MAX, exponential()).horizon(Duration::MAX), Duration::MAX);
}
