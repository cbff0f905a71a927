//! Schedules in lives that chance has made: clocks that jump, tasks that take long, processes that die, operators who pause.
//! Each tick is decided once; and the judge is worth something, since a decision that forgets is found out.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::sample::select;
use runtime_core::schedule::{
    CatchUpPolicy, Decision, DeclaredBy, OverlapPolicy, Paused, ScheduleSpec, ScheduleState, Timing, decide,
};

use crate::at;
use crate::decisions::spec;

/// What happens between two decisions, and what is found at the second.
#[derive(Debug, Clone)]
struct Step {
    /// How far the clock went; it also goes back.
    seconds: i64,
    running: bool,
    /// The state of this decision is lost: the process died before it was stored.
    dies: bool,
    pause: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seconds = prop_oneof![
        4 => 0_i64..900,
        2 => 0_i64..20_000,
        1 => 50_000_i64..200_000,
        1 => Just(-3_600),
        1 => -100_000_i64..0,
    ];
    let step = (seconds, any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let step = step.prop_map(|(seconds, running, dies, pause)| Step { seconds, running, dies, pause });
    prop::collection::vec(step, 1..40)
}

fn specs() -> impl Strategy<Value = ScheduleSpec> {
    let timing =
        select(vec!["*/10 * * * *", "0 * * * *", "30 2 * * *", "15 */3 29 3 *", "*/30 30 1-3 * * *"]);
    let timing = timing.prop_map(|text| Timing::cron(text, "Europe/Berlin").expect(text));
    let every = Timing::every(std::time::Duration::from_secs(1_234)).expect("an interval");
    let timing = prop_oneof![4 => timing, 1 => Just(every)];
    let overlap = select(vec![
        OverlapPolicy::Skip,
        OverlapPolicy::BufferOne,
        OverlapPolicy::AllowAll,
        OverlapPolicy::CancelRunning,
    ]);
    let window = (0_u32..100_000).prop_map(|window_secs| CatchUpPolicy::All { window_secs });
    let catch_up = prop_oneof![Just(CatchUpPolicy::None), Just(CatchUpPolicy::Last), window];
    (timing, overlap, catch_up).prop_map(|(timing, overlap, catch_up)| ScheduleSpec {
        timing,
        overlap,
        catch_up,
        ..spec("* * * * *")
    })
}

/// Lives through the steps and says what was wrong. Tasks are kept as a store does: one for each key.
fn live_through(
    spec: &ScheduleSpec,
    steps: &[Step],
    decide: impl Fn(&ScheduleState, Timestamp, bool) -> Decision,
) -> Result<(), String> {
    let since = at("2026-03-28T12:00:00Z");
    let (mut now, mut state) = (since, ScheduleState::new(DeclaredBy::App, since));
    let mut latest = now;
    let (mut fired, mut skipped, mut was_paused) = (BTreeMap::<Timestamp, u32>::new(), Vec::new(), false);
    for step in steps {
        now += step.seconds.seconds();
        latest = latest.max(now);
        if step.pause && state.paused.is_none() {
            state.pause(Paused { reason: "chance".into(), by: "chance".into(), at: now });
            was_paused = true;
        } else if step.pause {
            state.resume(now);
        }
        let decision = decide(&state, now, step.running);
        if decision.state.last_tick < state.last_tick {
            return Err(format!("the last tick fell to {:?}", decision.state.last_tick));
        }
        if decision.cancel_running && (!step.running || decision.fire.len() != 1) {
            return Err(format!("cancelled without a cause or a successor at {now}"));
        }
        if decision.next_wake.is_some_and(|wake| wake < now) {
            return Err(format!("asked to be woken before {now}"));
        }
        if let Some(tick) = decision.fire.iter().find(|tick| tick.at > latest) {
            return Err(format!("{} fired early, at {latest}", tick.at));
        }
        if step.dies {
            continue;
        }
        decision.fire.iter().for_each(|tick| *fired.entry(tick.at).or_default() += 1);
        skipped.extend(decision.skipped);
        state = decision.state;
    }
    let Some(last) = state.last_tick else { return Ok(()) };
    let mut outside = fired.clone();
    for tick in spec.timing.period(since, last + 1.second(), &spec.window()) {
        let skips = skipped.iter().filter(|run| (run.first..=run.last).contains(&tick)).count();
        let waits = u32::from(state.buffered == Some(tick));
        let decided = outside.remove(&tick).unwrap_or(0) + u32::try_from(skips).unwrap_or(u32::MAX) + waits;
        if decided > 1 || (decided == 0 && !was_paused) {
            return Err(format!("{tick} was decided {decided} times"));
        }
    }
    if outside.is_empty() { Ok(()) } else { Err(format!("fired what are no ticks: {outside:?}")) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_the_clock_does_each_tick_is_decided_once(spec in specs(), steps in steps()) {
        let lived = live_through(&spec, &steps, |state, now, running| decide(&spec, state, now, running));
        prop_assert_eq!(lived, Ok(()));
    }
}

/// The control: a decision that forgets what it decided fires twice when the clock jumps back.
#[test]
fn a_decision_that_forgets_its_last_tick_is_found_out() {
    let spec = ScheduleSpec { catch_up: CatchUpPolicy::All { window_secs: 7_200 }, ..spec("*/10 * * * *") };
    let step = |seconds| Step { seconds, running: false, dies: false, pause: false };
    let steps = [step(3_600), step(-3_600), step(3_600)];
    let sound = |state: &ScheduleState, now: Timestamp, running: bool| decide(&spec, state, now, running);
    assert_eq!(live_through(&spec, &steps, sound), Ok(()));
    let forgetful = |state: &ScheduleState, now: Timestamp, running: bool| {
        let clocks = state.last_tick.map(|tick| tick.min(now));
        decide(&spec, &ScheduleState { last_tick: clocks, ..state.clone() }, now, running)
    };
    assert!(live_through(&spec, &steps, forgetful).is_err());
}
