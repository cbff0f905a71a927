//! What a schedule does, in scenes: its policies, its ends, its tasks.

use jiff::{SignedDuration, Timestamp};
use runtime_core::name::{AppName, HandlerName, QueueName, Route, ScheduleName, Scope, Tenant};
use runtime_core::schedule::{
    CatchUpPolicy, Decision, DeclaredBy, MAX_TICKS_PER_DECISION, OverlapPolicy, Paused, ScheduleSpec,
    ScheduleState, SkipReason, Skipped, Timing, decide, tick_name,
};
use runtime_core::task::Priority;
use serde_json::json;

use crate::at;

pub(crate) fn spec(expression: &str) -> ScheduleSpec {
    let route = Route {
        app: AppName::new("shop").expect("a name"),
        queue: QueueName::new("settle").expect("a name"),
        handler: HandlerName::new("settle").expect("a name"),
    };
    let name = ScheduleName::new("settlement").expect("a name");
    ScheduleSpec::new(name, route, json!({ "store": 42 }), Timing::cron(expression, "UTC").expect(expression))
}

fn state() -> ScheduleState {
    ScheduleState::new(DeclaredBy::App, at("2026-01-01T00:00:00Z"))
}

/// The state after a decision that took every tick up to a moment.
fn decided_until(last_tick: &str) -> ScheduleState {
    ScheduleState { last_tick: Some(at(last_tick)), ..state() }
}

fn times(decision: &Decision) -> Vec<String> {
    decision.fire.iter().map(|tick| tick.at.strftime("%dT%H:%M").to_string()).collect()
}

fn skipped(first: &str, last: &str, reason: SkipReason) -> Skipped {
    Skipped { first: at(first), last: at(last), reason }
}

#[test]
fn a_tick_fires_at_its_time_and_not_again() {
    let spec = spec("0 * * * *");
    let first = decide(&spec, &state(), at("2026-01-01T00:00:00Z"), false);
    assert_eq!(times(&first), ["01T00:00"], "the moment it was made is its own");
    assert_eq!(first.next_wake, Some(at("2026-01-01T01:00:00Z")));
    let again = decide(&spec, &first.state, at("2026-01-01T00:00:30Z"), false);
    assert_eq!((again.fire.len(), &again.state), (0, &first.state));
    let back = decide(&spec, &first.state, at("2025-12-31T22:59:00Z"), false);
    assert_eq!(times(&back), [""; 0], "the clock jumped back an hour");
    assert_eq!(back.next_wake, Some(at("2026-01-01T01:00:00Z")));
}

#[test]
fn a_restart_shorter_than_a_minute_misses_nothing() {
    let decision = decide(
        &spec("*/20 * * * * *"),
        &decided_until("2026-01-01T00:00:00Z"),
        at("2026-01-01T00:01:00Z"),
        false,
    );
    assert_eq!(
        decision.skipped,
        [skipped("2026-01-01T00:00:40Z", "2026-01-01T00:01:00Z", SkipReason::Running)]
    );
    assert_eq!(decision.fire.len(), 1);
}

#[test]
fn missed_ticks_follow_the_catch_up_policy() {
    let now = at("2026-01-01T05:30:00Z");
    let all = |window_secs| CatchUpPolicy::All { window_secs };
    let missed = |last: &str| vec![skipped("2026-01-01T01:00:00Z", last, SkipReason::Missed)];
    for (catch_up, fired, skipped) in [
        (CatchUpPolicy::None, &[][..], missed("2026-01-01T05:00:00Z")),
        (CatchUpPolicy::Last, &["01T05:00"], missed("2026-01-01T04:00:00Z")),
        (all(2 * 3_600 + 1_800), &["01T03:00", "01T04:00", "01T05:00"], missed("2026-01-01T02:00:00Z")),
        (all(60), &[], missed("2026-01-01T05:00:00Z")),
        (all(u32::MAX), &["01T01:00", "01T02:00", "01T03:00", "01T04:00", "01T05:00"], vec![]),
    ] {
        let spec = ScheduleSpec { catch_up, overlap: OverlapPolicy::AllowAll, ..spec("0 * * * *") };
        let decision = decide(&spec, &decided_until("2026-01-01T00:00:00Z"), now, true);
        assert_eq!(times(&decision), fired, "{catch_up:?}");
        assert_eq!(decision.skipped, skipped, "{catch_up:?}");
        assert_eq!(decision.state.last_tick, Some(at("2026-01-01T05:00:00Z")), "{catch_up:?}");
        assert_eq!(decision.next_wake, Some(at("2026-01-01T06:00:00Z")), "{catch_up:?}");
    }
}

#[test]
fn the_last_missed_tick_gives_way_to_one_that_is_on_time() {
    let spec = ScheduleSpec { catch_up: CatchUpPolicy::Last, ..spec("0 * * * *") };
    let decision = decide(&spec, &decided_until("2026-01-01T00:00:00Z"), at("2026-01-01T03:00:05Z"), false);
    assert_eq!(times(&decision), ["01T03:00"]);
    let missed = skipped("2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", SkipReason::Missed);
    assert_eq!(decision.skipped, [missed]);
}

#[test]
fn a_tick_beside_an_unfinished_task_follows_the_overlap_policy() {
    // Three ticks at once: 00:01, 00:02, 00:03.
    let now = at("2026-01-01T00:03:00Z");
    let (first, second) = ("2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z");
    let third = "2026-01-01T00:03:00Z";
    let run = |first, last, reason| vec![skipped(first, last, reason)];
    for (overlap, running, fired, skipped, buffered, cancel) in [
        (OverlapPolicy::Skip, true, &[][..], run(first, third, SkipReason::Running), None, false),
        (OverlapPolicy::Skip, false, &["01T00:01"], run(second, third, SkipReason::Running), None, false),
        (OverlapPolicy::BufferOne, true, &[], run(second, third, SkipReason::Running), Some(first), false),
        (
            OverlapPolicy::BufferOne,
            false,
            &["01T00:01"],
            run(third, third, SkipReason::Running),
            Some(second),
            false,
        ),
        (OverlapPolicy::AllowAll, true, &["01T00:01", "01T00:02", "01T00:03"], vec![], None, false),
        (
            OverlapPolicy::CancelRunning,
            true,
            &["01T00:03"],
            run(first, second, SkipReason::Superseded),
            None,
            true,
        ),
        (
            OverlapPolicy::CancelRunning,
            false,
            &["01T00:03"],
            run(first, second, SkipReason::Superseded),
            None,
            false,
        ),
    ] {
        let catch_up = CatchUpPolicy::All { window_secs: 3_600 };
        let spec = ScheduleSpec { overlap, catch_up, ..spec("* * * * *") };
        let decision = decide(&spec, &decided_until("2026-01-01T00:00:00Z"), now, running);
        let what = format!("{overlap:?}, running: {running}");
        assert_eq!(times(&decision), fired, "{what}");
        assert_eq!(decision.skipped, skipped, "{what}");
        assert_eq!(decision.state.buffered, buffered.map(at), "{what}");
        assert_eq!(decision.cancel_running, cancel, "{what}");
    }
}

#[test]
fn a_tick_that_waits_fires_when_the_task_has_finished() {
    let spec = ScheduleSpec { overlap: OverlapPolicy::BufferOne, ..spec("0 * * * *") };
    let waiting = decide(&spec, &decided_until("2026-01-01T00:00:00Z"), at("2026-01-01T01:00:00Z"), true);
    assert_eq!(waiting.state.buffered, Some(at("2026-01-01T01:00:00Z")));
    let still = decide(&spec, &waiting.state, at("2026-01-01T01:20:00Z"), true);
    assert_eq!((still.fire.len(), &still.state), (0, &waiting.state));
    let free = decide(&spec, &still.state, at("2026-01-01T01:40:00Z"), false);
    assert_eq!(times(&free), ["01T01:00"]);
    assert_eq!(free.state.buffered, None);
    // At the moment it fires, the next tick is due too, and waits in its place.
    let late = decide(&spec, &still.state, at("2026-01-01T02:00:00Z"), false);
    assert_eq!(times(&late), ["01T01:00"]);
    assert_eq!(late.state.buffered, Some(at("2026-01-01T02:00:00Z")));
    // By another policy, that was chosen meanwhile, only the latest of the two fires.
    let spec = ScheduleSpec { overlap: OverlapPolicy::CancelRunning, ..spec };
    let other = decide(&spec, &still.state, at("2026-01-01T02:00:00Z"), false);
    assert_eq!((times(&other), other.state.buffered), (vec!["01T02:00".to_owned()], None));
    assert_eq!(
        other.skipped,
        [skipped("2026-01-01T01:00:00Z", "2026-01-01T01:00:00Z", SkipReason::Superseded)]
    );
}

#[test]
fn one_decision_is_bounded_and_the_rest_is_due_at_once() {
    let catch_up = CatchUpPolicy::All { window_secs: u32::MAX };
    for overlap in [OverlapPolicy::AllowAll, OverlapPolicy::Skip, OverlapPolicy::CancelRunning] {
        let spec = ScheduleSpec { catch_up, overlap, ..spec("* * * * *") };
        let now = at("2026-01-01T04:10:00Z");
        let (mut state, mut calls, mut fired) = (decided_until("2026-01-01T00:00:00Z"), 0, 0);
        loop {
            let decision = decide(&spec, &state, now, false);
            assert!(decision.fire.len() <= MAX_TICKS_PER_DECISION);
            (state, calls, fired) = (decision.state, calls + 1, fired + decision.fire.len());
            if decision.next_wake != Some(now) {
                assert_eq!(decision.next_wake, Some(at("2026-01-01T04:11:00Z")));
                break;
            }
        }
        let expected = match overlap {
            OverlapPolicy::AllowAll => 250,
            OverlapPolicy::CancelRunning => 1,
            _ => 3,
        };
        assert_eq!((calls, fired), (3, expected), "{overlap:?}");
    }
}

#[test]
fn years_of_missed_ticks_are_skipped_in_one_decision() {
    let spec = spec("* * * * * *");
    let decision = decide(&spec, &decided_until("1996-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"), true);
    let missed = skipped("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", SkipReason::Running);
    assert_eq!(decision.skipped, [missed], "what lies before the schedule is not its own");
    let old = ScheduleState { since: at("1996-01-01T00:00:00Z"), ..state() };
    let decision = decide(&spec, &old, at("2026-01-01T00:00:00Z"), true);
    let missed = skipped("1996-01-01T00:00:00Z", "2025-12-31T23:58:59Z", SkipReason::Missed);
    assert_eq!(decision.skipped[0], missed);
}

#[test]
fn a_paused_schedule_makes_nothing_and_goes_on_where_it_is_resumed() {
    let spec = ScheduleSpec { catch_up: CatchUpPolicy::All { window_secs: u32::MAX }, ..spec("0 * * * *") };
    let mut state = decided_until("2026-01-01T00:00:00Z");
    state.pause(Paused { reason: "stock take".into(), by: "ops".into(), at: at("2026-01-01T00:30:00Z") });
    let paused = decide(&spec, &state, at("2026-01-01T02:30:00Z"), false);
    assert_eq!((paused.fire.len(), paused.next_wake), (0, None));
    assert_eq!(paused.skipped, [skipped("2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", SkipReason::Paused)]);
    // Resumed with nobody asking in between: what came meanwhile is lost all the same.
    state.resume(at("2026-01-01T05:00:00Z"));
    let resumed = decide(&spec, &state, at("2026-01-01T05:00:00Z"), false);
    assert_eq!(times(&resumed), ["01T05:00"]);
    assert_eq!(resumed.skipped, []);
}

#[test]
fn an_orphaned_schedule_makes_nothing_until_it_is_adopted() {
    let spec = ScheduleSpec { overlap: OverlapPolicy::BufferOne, ..spec("0 * * * *") };
    let mut state =
        ScheduleState { buffered: Some(at("2026-01-01T00:00:00Z")), ..decided_until("2026-01-01T00:00:00Z") };
    state.orphan();
    let orphaned = decide(&spec, &state, at("2026-01-01T01:00:00Z"), false);
    assert_eq!((orphaned.fire.len(), orphaned.next_wake, orphaned.state.orphaned), (0, None, true));
    assert_eq!(
        orphaned.skipped,
        [skipped("2026-01-01T01:00:00Z", "2026-01-01T01:00:00Z", SkipReason::Orphaned)]
    );
    state.adopt(at("2026-01-01T01:30:00Z"));
    let adopted = decide(&spec, &state, at("2026-01-01T01:30:00Z"), false);
    assert_eq!(times(&adopted), ["01T00:00"], "the tick that waited waits on");
    assert_eq!(adopted.next_wake, Some(at("2026-01-01T02:00:00Z")));
}

#[test]
fn a_schedule_has_ticks_from_its_start_to_its_end() {
    let (start, end) = (at("2026-01-02T00:00:00Z"), at("2026-01-02T01:00:00Z"));
    let spec = ScheduleSpec { start: Some(start), end: Some(end), ..spec("*/30 * * * *") };
    let early = decide(&spec, &state(), at("2026-01-01T12:00:00Z"), false);
    assert_eq!((early.fire.len(), early.next_wake), (0, Some(start)));
    let last = decide(&spec, &early.state, at("2026-01-02T00:30:00Z"), false);
    assert_eq!((times(&last), last.next_wake), (vec!["02T00:30".to_owned()], None));
    assert!(spec.check().is_ok());
    assert!(ScheduleSpec { end: Some(start), ..spec }.check().is_err());
}

#[test]
fn the_task_of_a_tick_has_its_key_and_its_jitter() {
    let spec = ScheduleSpec {
        jitter_secs: 600,
        tenant: Some(Tenant::new("acme").expect("a tenant")),
        scope: Some(Scope::new("store=42").expect("a scope")),
        priority: Priority(-3),
        ..spec("0 * * * *")
    };
    let hours: Vec<Timestamp> = spec.timing.preview(at("2026-01-01T00:00:00Z"), &spec.window(), 1_000);
    let jitters: Vec<SignedDuration> =
        hours.iter().map(|hour| spec.tick(*hour).run_at.duration_since(*hour)).collect();
    let ten_minutes = SignedDuration::from_mins(10);
    assert!(jitters.iter().all(|jitter| (SignedDuration::ZERO..=ten_minutes).contains(jitter)));
    let late = jitters.iter().filter(|jitter| **jitter > ten_minutes / 2).count();
    assert!((400..600).contains(&late), "half of a thousand, or about: {late}");
    let tick = spec.tick(hours[0]);
    assert_eq!(tick, spec.clone().tick(hours[0]));
    let task = spec.task(&tick, Ok).expect("a plain input");
    assert_eq!(task.payload, br#"{"store":42}"#);
    assert_eq!((task.run_at, task.priority), (Some(tick.run_at), Priority(-3)));
    assert_eq!((&task.tenant, &task.scope), (&spec.tenant, &spec.scope));
    assert_eq!(task.idempotency_key, tick_name(&spec.name, hours[0]).parse().ok());
    assert_eq!(task.correlation_id, tick_name(&spec.name, hours[0]).parse().ok());
    let besides = spec.task_besides(hours[0], Ok).expect("a plain input");
    assert_eq!((besides.run_at, besides.idempotency_key, besides.correlation_id), (None, None, None));
    assert_eq!(tick_name(&spec.name, hours[0]), "schedule:settlement@2026-01-01T01:00:00Z");
}

#[test]
fn a_spec_and_its_state_are_read_as_they_were_written() {
    let spec = ScheduleSpec { catch_up: CatchUpPolicy::All { window_secs: 60 }, ..spec("0 0 L * *") };
    let json = serde_json::to_string(&spec).expect("JSON");
    assert_eq!(serde_json::from_str::<ScheduleSpec>(&json).expect("a spec"), spec);
    let mut state = decided_until("2026-01-01T00:00:00Z");
    state.pause(Paused { reason: "stock take".into(), by: "ops".into(), at: at("2026-01-01T00:30:00Z") });
    let json = serde_json::to_string(&state).expect("JSON");
    assert_eq!(serde_json::from_str::<ScheduleState>(&json).expect("a state"), state);
    assert!(serde_json::from_str::<ScheduleSpec>(r#"{"name":"x","typo":1}"#).is_err());
}

#[test]
fn a_year_of_minutes_makes_each_task_once() {
    let timing = Timing::cron("* * * * *", "Europe/Berlin").expect("a timing");
    let spec = ScheduleSpec { timing, ..spec("* * * * *") };
    let (mut now, mut state, mut fired) = (at("2026-01-01T00:00:00Z"), state(), 0);
    let end = at("2027-01-01T00:00:00Z");
    while now < end {
        let decision = decide(&spec, &state, now, false);
        assert_eq!((decision.fire.len(), decision.fire[0].at), (1, now));
        (state, fired, now) = (decision.state, fired + 1, decision.next_wake.expect("a next minute"));
    }
    assert_eq!(fired, 365 * 24 * 60);
}
