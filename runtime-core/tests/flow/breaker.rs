//! The breaker: its picture as scenarios, and its promises in worlds that chance has made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use runtime_core::flow::{
    Breaker, BreakerPolicy, BreakerState, FlowError, Permit, Recorded, RetryAt, Verdict,
};
use serde_json::json;

use crate::{at, count};

const SECOND: i64 = 1_000_000;

fn policy(failures: u32, probes: u32) -> BreakerPolicy {
    BreakerPolicy {
        failures: count(failures),
        open_for: Duration::from_secs(1),
        factor: 2,
        cap: Duration::from_secs(3),
        probes: count(probes),
        probe_within: Duration::from_secs(10),
    }
}

fn call(breaker: &mut Breaker, now: i64, verdict: Verdict) -> Recorded {
    let permit = breaker.allow(at(now)).expect("a call goes through");
    breaker.record(permit, at(now), verdict)
}

/// Open since 0, until second 1.
fn opened(probes: u32) -> Breaker {
    let mut breaker = Breaker::new(policy(1, probes), at(0));
    assert_eq!(call(&mut breaker, 0, Verdict::Failed), Recorded::Opened { until: at(SECOND) });
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_a_success_in_between_does_not() {
    let mut breaker = Breaker::new(policy(3, 1), at(0));
    for verdict in [Verdict::Failed, Verdict::Failed, Verdict::Ok, Verdict::Failed, Verdict::Failed] {
        assert_eq!(call(&mut breaker, 0, verdict), Recorded::Counted);
    }
    assert_eq!(breaker.view().state, BreakerState::Closed);
    assert_eq!(call(&mut breaker, 5, Verdict::Failed), Recorded::Opened { until: at(SECOND + 5) });
    assert_eq!(breaker.allow(at(6)), Err(RetryAt(at(SECOND + 5))));
    let view = serde_json::to_value(breaker.view()).expect("json");
    assert_eq!(view["state"], "open");
    assert_eq!((view["failures"].clone(), view["probing"].clone()), (json!(3), json!(0)));
    assert_eq!((breaker.view().since, breaker.view().until), (at(5), Some(at(SECOND + 5))));
}

#[test]
fn it_closes_when_as_many_probes_as_it_wants_went_well() {
    let mut breaker = opened(2);
    let first = breaker.allow(at(SECOND)).expect("a probe");
    let second = breaker.allow(at(SECOND)).expect("another");
    assert_eq!(breaker.view().state, BreakerState::HalfOpen);
    assert_eq!(breaker.allow(at(SECOND)), Err(RetryAt(at(11 * SECOND))), "no third");
    assert_eq!(breaker.record(first, at(SECOND), Verdict::Ok), Recorded::Counted);
    assert!(breaker.allow(at(SECOND)).is_err(), "one went well and one is out: that is all it wants");
    assert_eq!(breaker.record(second, at(SECOND), Verdict::Ok), Recorded::Closed);
    assert_eq!((breaker.view().state, breaker.view().failures), (BreakerState::Closed, 0));
}

#[test]
fn a_failed_probe_opens_it_for_longer_up_to_the_cap_until_it_was_closed() {
    let (mut breaker, mut now) = (opened(1), SECOND);
    for seconds in [2, 3, 3] {
        let until = now + seconds * SECOND;
        assert_eq!(call(&mut breaker, now, Verdict::Failed), Recorded::Opened { until: at(until) });
        now = until;
    }
    assert_eq!(call(&mut breaker, now, Verdict::Ok), Recorded::Closed);
    assert_eq!(call(&mut breaker, now, Verdict::Failed), Recorded::Opened { until: at(now + SECOND) });
}

#[test]
fn what_began_before_it_opened_neither_closes_it_nor_opens_it_again() {
    let mut breaker = Breaker::new(policy(1, 1), at(0));
    let [old, older, oldest] = [(); 3].map(|()| breaker.allow(at(0)).expect("closed"));
    assert_eq!(call(&mut breaker, 0, Verdict::Failed), Recorded::Opened { until: at(SECOND) });
    assert_eq!(breaker.record(old, at(1), Verdict::Ok), Recorded::Late);
    let probe = breaker.allow(at(SECOND)).expect("half-open");
    assert_eq!(breaker.record(older, at(SECOND), Verdict::Ok), Recorded::Late);
    assert_eq!(breaker.record(probe, at(SECOND), Verdict::Ok), Recorded::Closed);
    assert_eq!(breaker.record(oldest, at(SECOND), Verdict::Failed), Recorded::Late);
    assert_eq!(breaker.view().state, BreakerState::Closed);
}

#[test]
fn a_probe_that_never_reports_is_given_up_and_its_report_is_late() {
    let mut breaker = opened(1);
    let lost = breaker.allow(at(SECOND)).expect("a probe");
    assert!(breaker.allow(at(11 * SECOND - 1)).is_err());
    let next = breaker.allow(at(11 * SECOND)).expect("the place is free");
    assert_eq!(breaker.record(lost, at(11 * SECOND), Verdict::Ok), Recorded::Late);
    assert_eq!(breaker.record(next, at(12 * SECOND), Verdict::Ok), Recorded::Closed);
}

#[test]
fn a_permit_given_back_makes_room_for_another() {
    let mut breaker = opened(1);
    let unused = breaker.allow(at(SECOND)).expect("a probe");
    breaker.give_back(unused, at(SECOND));
    assert_eq!(breaker.view().probing, 0);
    assert_eq!(call(&mut breaker, SECOND, Verdict::Ok), Recorded::Closed);
}

#[test]
fn a_clock_that_jumps_back_costs_one_opening_not_the_jump() {
    let mut breaker = opened(1);
    let back = -3_600 * SECOND;
    assert_eq!(breaker.allow(at(back)), Err(RetryAt(at(back + SECOND))));
    let _lost = breaker.allow(at(back + SECOND)).expect("half-open");
    let back = 2 * back;
    assert_eq!(breaker.allow(at(back)), Err(RetryAt(at(back + 10 * SECOND))));
}

#[test]
fn a_policy_is_written_with_units_and_one_without_sense_is_named() {
    let written = json!({
        "failures": 3, "open_for_ms": 1_000, "factor": 2, "cap_ms": 3_000, "probes": 2, "probe_within_ms": 10_000,
    });
    assert_eq!(serde_json::to_value(policy(3, 2)).expect("json"), written);
    assert_eq!(serde_json::from_value::<BreakerPolicy>(written).expect("a policy"), policy(3, 2));
    assert!(serde_json::from_value::<BreakerPolicy>(json!({ "open_for_secs": 1 })).is_err());
    assert_eq!(BreakerPolicy::default().check(), Ok(()));
    let (sound, zero) = (policy(1, 1), Duration::ZERO);
    let above = FlowError::OpenAboveCap { open_for: sound.open_for, cap: zero };
    assert_eq!(BreakerPolicy { open_for: zero, ..sound }.check(), Err(FlowError::OpenForNothing));
    assert_eq!(BreakerPolicy { cap: zero, ..sound }.check(), Err(above));
    assert_eq!(BreakerPolicy { probe_within: zero, ..sound }.check(), Err(FlowError::ProbeWithoutTime));
}

/// What happens to a breaker next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Pass { micros: i64 },
    Ask,
    Report { which: prop::sample::Index, verdict: Verdict },
    GiveBack { which: prop::sample::Index },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => prop_oneof![0..SECOND / 2, 0..4 * SECOND, Just(10 * SECOND)].prop_map(|micros| Step::Pass { micros }),
        5 => Just(Step::Ask),
        4 => (any::<prop::sample::Index>(), prop_oneof![Just(Verdict::Ok), Just(Verdict::Failed)])
            .prop_map(|(which, verdict)| Step::Report { which, verdict }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::GiveBack { which }),
    ];
    proptest::collection::vec(step, 1..250)
}

/// A permit that is out, and what the witness knows about it.
struct Out {
    permit: Permit,
    /// How often the breaker had moved when it was given.
    moves: usize,
    /// Half-open, when it is given up.
    give_up_at: Option<i64>,
}

/// Follows a breaker by the picture alone: counts what it saw, knows nothing of how the breaker keeps it.
struct Witness {
    policy: BreakerPolicy,
    breaker: Breaker,
    now: i64,
    moves: usize,
    state: BreakerState,
    until: i64,
    openings: u32,
    failures: u32,
    passed: u32,
    out: Vec<Out>,
    closings: usize,
    late: usize,
}

impl Witness {
    /// Of a breaker that should keep this policy.
    fn new(policy: BreakerPolicy, breaker: Breaker) -> Self {
        let (state, out) = (BreakerState::Closed, Vec::new());
        let (now, moves, until, openings, failures, passed, closings, late) = (0, 0, 0, 0, 0, 0, 0, 0);
        Self { policy, breaker, now, moves, state, until, openings, failures, passed, out, closings, late }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass { micros } => self.now += micros,
            Step::Ask => self.ask(),
            Step::Report { which, verdict } if !self.out.is_empty() => {
                let out = self.out.swap_remove(which.index(self.out.len()));
                self.report(out, verdict);
            }
            Step::GiveBack { which } if !self.out.is_empty() => {
                let out = self.out.swap_remove(which.index(self.out.len()));
                self.breaker.give_back(out.permit, at(self.now));
            }
            Step::Report { .. } | Step::GiveBack { .. } => {}
        }
        assert_eq!((self.breaker.view().state, self.breaker.view().failures), (self.state, self.failures));
    }

    fn counts(&self, out: &Out) -> bool {
        out.moves == self.moves && out.give_up_at.is_none_or(|give_up_at| self.now < give_up_at)
    }

    fn moved(&mut self, state: BreakerState) {
        (self.state, self.moves, self.passed) = (state, self.moves + 1, 0);
    }

    fn ask(&mut self) {
        if self.state == BreakerState::Open && self.now >= self.until {
            self.moved(BreakerState::HalfOpen);
        }
        let probing = self.out.iter().filter(|out| self.counts(out)).count();
        let half_open = self.state == BreakerState::HalfOpen;
        let expected = match self.state {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => probing + (self.passed as usize) < self.policy.probes.get() as usize,
        };
        match self.breaker.allow(at(self.now)) {
            Ok(permit) => {
                assert!(expected, "a call went through");
                let within = i64::try_from(self.policy.probe_within.as_micros()).expect("micros");
                let give_up_at = half_open.then_some(self.now + within);
                self.out.push(Out { permit, moves: self.moves, give_up_at });
            }
            Err(RetryAt(then)) => {
                assert!(!expected, "a call was held back");
                let first =
                    self.out.iter().filter(|out| self.counts(out)).filter_map(|out| out.give_up_at).min();
                assert_eq!(then, at(first.unwrap_or(self.until)));
            }
        }
    }

    fn report(&mut self, out: Out, verdict: Verdict) {
        let counts = self.counts(&out);
        let recorded = self.breaker.record(out.permit, at(self.now), verdict);
        if !counts {
            self.late += 1;
            return assert_eq!(recorded, Recorded::Late);
        }
        let half_open = self.state == BreakerState::HalfOpen;
        match verdict {
            Verdict::Ok if half_open => self.passed += 1,
            Verdict::Ok => self.failures = 0,
            Verdict::Failed => self.failures += 1,
        }
        if verdict == Verdict::Failed && (half_open || self.failures == self.policy.failures.get()) {
            let seconds = [1, 2, 3][self.openings.min(2) as usize];
            (self.openings, self.until) = (self.openings + 1, self.now + seconds * SECOND);
            self.moved(BreakerState::Open);
            assert_eq!(recorded, Recorded::Opened { until: at(self.until) });
        } else if self.passed == self.policy.probes.get() {
            (self.openings, self.failures, self.closings) = (0, 0, self.closings + 1);
            self.moved(BreakerState::Closed);
            assert_eq!(recorded, Recorded::Closed);
        } else {
            assert_eq!(recorded, Recorded::Counted);
        }
    }
}

fn live(policy: BreakerPolicy, steps: Vec<Step>) -> Witness {
    let mut witness = Witness::new(policy, Breaker::new(policy, at(0)));
    steps.into_iter().for_each(|step| witness.step(step));
    witness
}

proptest! {
    #[test]
    fn the_breaker_does_what_the_picture_says(failures in 1_u32..5, probes in 1_u32..4, steps in steps()) {
        live(policy(failures, probes), steps);
    }

    /// Whatever happened to it, it closes again when the dependency answers.
    #[test]
    fn no_breaker_stays_open_for_ever(failures in 1_u32..5, probes in 1_u32..4, steps in steps()) {
        let mut witness = live(policy(failures, probes), steps);
        witness.now += 20 * SECOND;
        for _ in 0..probes {
            call(&mut witness.breaker, witness.now, Verdict::Ok);
        }
        prop_assert_eq!(witness.breaker.view().state, BreakerState::Closed);
    }
}

/// The same worlds at each run.
fn worlds() -> impl Iterator<Item = Vec<Step>> {
    let mut runner = TestRunner::deterministic();
    (0..200).map(move |_| steps().new_tree(&mut runner).expect("steps").current())
}

#[test]
fn the_simulated_worlds_reach_every_corner() {
    let (mut closings, mut late, mut openings) = (0, 0, 0);
    for steps in worlds() {
        let witness = live(policy(2, 2), steps);
        (closings, late) = (closings + witness.closings, late + witness.late);
        openings = openings.max(witness.openings);
    }
    assert!(closings > 100 && late > 100 && openings > 3, "{closings} {late} {openings}");
}

#[test]
fn a_breaker_that_does_otherwise_is_found_out() {
    let stated = policy(2, 2);
    for (what, kept) in [
        ("opens late", BreakerPolicy { failures: count(3), ..stated }),
        ("lets more probes through", BreakerPolicy { probes: count(3), ..stated }),
        ("closes early", BreakerPolicy { probes: count(1), ..stated }),
        ("does not back off", BreakerPolicy { factor: 1, ..stated }),
        ("knows no cap", BreakerPolicy { cap: Duration::MAX, ..stated }),
        ("never gives a probe up", BreakerPolicy { probe_within: Duration::MAX, ..stated }),
    ] {
        let found = worlds().any(|steps| {
            let mut witness = Witness::new(stated, Breaker::new(kept, at(0)));
            catch_unwind(AssertUnwindSafe(|| steps.into_iter().for_each(|step| witness.step(step)))).is_err()
        });
        assert!(found, "a breaker that {what} went unnoticed");
    }
}
