//! Load shedding: bursts against standing delays, before a witness that remembers every look.

use std::num::NonZeroU64;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use runtime_core::flow::{FlowError, Load, LoadChange, ShedCause, ShedPolicy};
use runtime_core::task::Priority;
use serde_json::json;

use crate::at;

const SECOND: i64 = 1_000_000;
const BULK: Priority = Priority(1);

/// Sheds when the oldest is 10 s late for 5 s.
fn late() -> ShedPolicy {
    let secs = Duration::from_secs;
    ShedPolicy { delay: Some(secs(10)), interval: secs(5), retry_after: secs(2), ..ShedPolicy::default() }
}

fn deep(depth: u64) -> ShedPolicy {
    ShedPolicy { depth: NonZeroU64::new(depth), delay: None, ..late() }
}

#[test]
fn a_burst_that_is_gone_within_an_interval_sheds_nothing() {
    let (policy, mut load) = (late(), Load::default());
    for (now, due) in [(0, 0), (12, 0), (14, 0), (15, 6), (18, 6), (20, 6)] {
        assert_eq!(load.see_oldest(&policy, at(now * SECOND), Some(at(due * SECOND))), None, "at {now}");
    }
    let began = load.see_oldest(&policy, at(21 * SECOND), Some(at(6 * SECOND)));
    assert!(matches!(began, Some(LoadChange::Began(began)) if began.cause == ShedCause::Delay), "{began:?}");
    let ended = load.see_oldest(&policy, at(22 * SECOND), Some(at(20 * SECOND)));
    assert!(matches!(ended, Some(LoadChange::Ended(over)) if over.since == at(21 * SECOND)), "{ended:?}");
}

#[test]
fn a_queue_that_stands_still_is_found_out_at_the_first_look() {
    let (policy, mut load) = (late(), Load::default());
    assert_eq!(load.see_oldest(&policy, at(15 * SECOND - 1), Some(at(0))), None);
    let mut load_after_a_start = Load::default();
    assert!(load_after_a_start.see_oldest(&policy, at(15 * SECOND), Some(at(0))).is_some());
}

#[test]
fn nobody_looking_for_longer_than_an_interval_proves_nothing() {
    let (policy, mut load) = (late(), Load::default());
    for now in [0, 100, 200, 300] {
        let now = at(now * SECOND);
        assert_eq!(load.see_oldest(&policy, now, now.checked_sub(Duration::from_secs(12)).ok()), None);
    }
}

#[test]
fn nothing_is_late_while_it_is_paused_and_afterwards_only_since_then() {
    let policy = ShedPolicy { depth: NonZeroU64::new(3), ..late() };
    let mut load = Load::default();
    assert!(load.see_oldest(&policy, at(20 * SECOND), Some(at(0))).is_some(), "it sheds");
    load.pause(at(20 * SECOND), true);
    let ended = load.see_oldest(&policy, at(20 * SECOND), Some(at(0)));
    assert!(matches!(ended, Some(LoadChange::Ended(_))), "{ended:?}");
    assert!(load.admits_lane(&policy, at(900 * SECOND), Some(at(0))));
    load.see_depth(&policy, at(900 * SECOND), 3);
    assert!(load.admit(&policy, BULK).is_err(), "too many are too many");
    load.see_depth(&policy, at(900 * SECOND), 1);

    load.pause(at(1_000 * SECOND), false);
    let mut same_load_anew = load.anew();
    for load in [&mut load, &mut same_load_anew] {
        load.pause(at(1_005 * SECOND), false);
        assert_eq!(load.see_oldest(&policy, at(1_015 * SECOND - 1), Some(at(0))), None);
        assert!(load.see_oldest(&policy, at(1_015 * SECOND), Some(at(0))).is_some());
        assert_eq!(load.admit(&policy, BULK), Err(Duration::from_secs(5)), "as late as it is since then");
    }
    assert!(
        Load::default().see_oldest(&policy, at(1_015 * SECOND - 1), Some(at(0))).is_some(),
        "the control"
    );
}

#[test]
fn depth_sheds_at_once_and_ends_when_a_quarter_is_gone() {
    let (policy, mut load) = (deep(100), Load::default());
    let sheds = |load: &Load| load.admit(&policy, BULK).is_err();
    for (ready, shed) in [(99, false), (100, true), (99, true), (76, true), (75, false), (99, false)] {
        load.see_depth(&policy, at(0), ready);
        assert_eq!(sheds(&load), shed, "{ready} ready");
    }
}

#[test]
fn whoever_is_refused_waits_as_long_as_the_oldest_is_too_late_within_bounds() {
    let (policy, mut load) = (late(), Load::default());
    for (age, wait) in [(15, 5), (11, 2), (40, 30), (3_600, 60)] {
        load.see_oldest(&policy, at(7_200 * SECOND), Some(at((7_200 - age) * SECOND)));
        assert_eq!(load.admit(&policy, BULK), Err(Duration::from_secs(wait)), "{age} s old");
    }
}

#[test]
fn a_lane_in_time_is_taken_unless_there_are_too_many_in_all() {
    let policy = ShedPolicy { depth: NonZeroU64::new(2), ..late() };
    let (mut load, now) = (Load::default(), at(60 * SECOND));
    load.see_oldest(&policy, now, Some(at(0)));
    assert!(load.admit(&policy, BULK).is_err() && load.admits_lane(&policy, now, None));
    assert!(load.admits_lane(&policy, now, Some(at(50 * SECOND))));
    assert!(!load.admits_lane(&policy, now, Some(at(49 * SECOND))));
    load.see_depth(&policy, now, 2);
    assert!(!load.admits_lane(&policy, now, None));
}

#[test]
fn a_deadline_is_hopeless_only_while_the_queue_sheds() {
    let policy = ShedPolicy { hopeless: Some(Duration::from_secs(3)), ..deep(1) };
    let mut load = Load::default();
    assert!(!load.is_hopeless(&policy, at(0), at(SECOND)));
    load.see_depth(&policy, at(0), 1);
    assert!(
        load.is_hopeless(&policy, at(0), at(3 * SECOND))
            && !load.is_hopeless(&policy, at(0), at(3 * SECOND + 1))
    );
    let load_of_another = ShedPolicy { hopeless: None, ..policy };
    assert!(!load.is_hopeless(&load_of_another, at(0), at(SECOND)));
}

#[test]
fn a_policy_that_means_nothing_is_refused_and_the_rest_reads_back() {
    let nothing = ShedPolicy { delay: None, ..ShedPolicy::default() };
    assert_eq!(nothing.check(), Err(FlowError::ShedByNothing));
    let at_once = ShedPolicy { retry_after: Duration::ZERO, ..ShedPolicy::default() };
    assert_eq!(at_once.check(), Err(FlowError::ShedWithoutWait));
    assert_eq!(ShedPolicy::default().check(), Ok(()));
    for policy in [nothing, deep(7), late()] {
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<ShedPolicy>(&text).unwrap(), policy, "{text}");
    }
    let read: ShedPolicy =
        serde_json::from_value(json!({ "depth": 5, "delay_ms": null, "keeps": -1 })).unwrap();
    assert_eq!((read.delay, read.keeps, read.interval), (None, Priority(-1), Duration::from_secs(10)));
    assert!(serde_json::from_value::<ShedPolicy>(json!({ "dept": 5 })).is_err());
    assert_eq!(
        ShedPolicy { delay: Some(Duration::from_secs(30)), ..deep(9) }.to_string(),
        "sheds priorities above 0 from 9 ready tasks or when 30 s late for 5 s"
    );
}

/// One look: when, and how long the oldest has been due; all in milliseconds.
type Look = (i64, Option<i64>);

const DELAY: i64 = 10_000;
const INTERVAL: i64 = 5_000;

fn late_since((at, age): Look) -> Option<i64> {
    age.filter(|age| *age > DELAY).map(|age| at - (age - DELAY))
}

/// The rule as one would write it down with all looks at hand: how long has every look, none further from the next than an interval,
/// found the oldest late?
fn stands_since(looks: &[Look]) -> Option<i64> {
    let mut since = late_since(*looks.last()?)?;
    for pair in looks.windows(2).rev() {
        let Some(before) = late_since(pair[0]).filter(|_| pair[1].0 - pair[0].0 <= INTERVAL) else { break };
        since = since.min(before);
    }
    Some(since)
}

fn lives() -> impl Strategy<Value = Vec<(i64, Option<i64>)>> {
    prop::collection::vec((1..8_000_i64, prop::option::weighted(0.9, 0..30_000_i64)), 1..60)
}

/// Lets a life pass; says after each look whether it sheds.
fn sheds(policy: &ShedPolicy, life: &[(i64, Option<i64>)]) -> (Vec<Look>, Vec<bool>) {
    let (mut load, mut now, mut looks, mut said) = (Load::default(), 0, Vec::new(), Vec::new());
    for (step, age) in life {
        now += step;
        let due = age.map(|age| at((now - age) * 1_000));
        load.see_oldest(policy, at(now * 1_000), due);
        looks.push((now, *age));
        said.push(load.admit(policy, BULK).is_err());
    }
    (looks, said)
}

/// Whether what was said is what the witness says.
fn is_right(looks: &[Look], said: &[bool]) -> bool {
    let mut before = false;
    (0..looks.len()).all(|last| {
        let stands = stands_since(&looks[..=last]);
        let sheds = stands.is_some_and(|since| before || looks[last].0 - since >= INTERVAL);
        before = sheds;
        said[last] == sheds
    })
}

proptest! {
    #[test]
    fn it_sheds_exactly_while_a_delay_stands(life in lives()) {
        let (looks, said) = sheds(&late(), &life);
        prop_assert!(is_right(&looks, &said), "{looks:?} {said:?}");
    }

    #[test]
    fn what_is_kept_is_always_taken_and_every_wait_is_within_bounds(
        life in lives(),
        ready in prop::collection::vec(0..40_u64, 60),
        priority in any::<i16>(),
        keeps in any::<i16>(),
    ) {
        let policy = ShedPolicy { depth: NonZeroU64::new(20), keeps: Priority(keeps), ..late() };
        let (mut load, mut now) = (Load::default(), Timestamp::UNIX_EPOCH);
        for ((step, age), ready) in life.into_iter().zip(ready) {
            now += jiff::SignedDuration::from_millis(step);
            load.see_depth(&policy, now, ready);
            if ready > 0 {
                load.see_oldest(&policy, now, age.map(|age| now - jiff::SignedDuration::from_millis(age)));
            }
            match load.admit(&policy, Priority(priority)) {
                Ok(()) => prop_assert!(priority <= keeps || load.shedding().is_none()),
                Err(wait) => {
                    prop_assert!(priority > keeps && load.shedding().is_some() && ready > 0);
                    prop_assert!((policy.retry_after..=ShedPolicy::MAX_WAIT).contains(&wait));
                }
            }
            prop_assert!(ready < 20 || load.shedding().is_some(), "too many are never taken for few");
        }
    }

    #[test]
    fn a_clock_that_jumps_breaks_nothing(jumps in prop::collection::vec((any::<i32>(), any::<i32>()), 1..40)) {
        let (policy, mut load) = (late(), Load::default());
        for (now, due) in jumps {
            let (now, due) = (at(i64::from(now) * 1_000), at(i64::from(due) * 1_000));
            let looked = load.wants_look(&policy, now);
            load.see_oldest(&policy, now, Some(due));
            prop_assert!(looked || !load.wants_look(&policy, now));
            prop_assert!(due < now || load.shedding().is_none(), "nothing is late before its time");
        }
    }
}

#[test]
fn a_rule_that_takes_every_delay_for_a_standing_one_is_found_out() {
    let hasty = ShedPolicy { interval: Duration::ZERO, ..late() };
    let life = [(1_000, Some(0)), (12_000, Some(11_000)), (1_000, Some(500))];
    let (looks, said) = sheds(&hasty, &life);
    assert!(!is_right(&looks, &said), "{said:?}");
}
