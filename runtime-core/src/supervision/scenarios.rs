//! Each rule as a short script: what happened on the left, what the supervisor does about it on the right.
//!
//! Children are written with their marks: `a` permanent, `a?` transient, `a~` temporary, `a!` significant besides.
//! `a#2` is the second incarnation of `a`, `@5s` moves the time. The budget bears 2 restarts in 10 s, the back-off is
//! 100 ms, 200 ms, … without chance. Deadlines are armed with every spawn, stop and kill; that is checked at each step
//! and left out of the scripts.

mod script;

use std::time::Duration;

use self::script::{event_of, said, spec};
use super::*;

struct Scenario {
    rule: &'static str,
    strategy: Strategy,
    children: &'static str,
    script: &'static str,
}

const fn scenario(
    rule: &'static str,
    strategy: Strategy,
    children: &'static str,
    script: &'static str,
) -> Scenario {
    Scenario { rule, strategy, children, script }
}

use Strategy::{OneForAll, OneForOne, RestForOne};

const SCENARIOS: &[Scenario] = &[
    scenario(
        "children start left to right, each when the one before is ready",
        OneForOne,
        "a b c",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, spawn c#1
         ready c#1 => c ready, all ready",
    ),
    scenario(
        "a supervisor without children is ready at once",
        OneForOne,
        "",
        "start => all ready
         stop  => finish stopped",
    ),
    scenario(
        "all ready is said once",
        OneForOne,
        "a",
        "start     => spawn a#1
         ready a#1 => a ready, all ready
         fault a#1 => a backing_off for 100ms
         backoff a#1 => spawn a#2
         ready a#2 => a ready",
    ),
    scenario(
        "a child that ends before it was ready is restarted, and its younger siblings go on waiting",
        OneForOne,
        "a b",
        "start       => spawn a#1
         fault a#1   => a backing_off for 100ms
         backoff a#1 => spawn a#2
         ready a#2   => a ready, spawn b#1",
    ),
    scenario(
        "ready after the end changes nothing",
        OneForOne,
        "a b",
        "start     => spawn a#1
         fault a#1 => a backing_off for 100ms
         ready a#1 =>",
    ),
    scenario(
        "a missed init deadline kills, and is a fault whatever the child says at its end",
        OneForOne,
        "a?",
        "start       => spawn a#1
         init a#1    => kill a#1
         ready a#1   =>
         end a#1     => a backing_off for 100ms
         backoff a#1 => spawn a#2",
    ),
    scenario(
        "a child that hangs in init and will not die is abandoned and spawned anew, once",
        OneForOne,
        "a",
        "start       => spawn a#1
         init a#1    => kill a#1
         kill a#1    => abandon a#1, a backing_off for 100ms
         end a#1     =>
         backoff a#1 => spawn a#2
         fault a#1   =>
         ready a#1   =>
         ready a#2   => a ready, all ready",
    ),
    scenario(
        "a transient child is not restarted after a normal end, and the next one starts",
        OneForOne,
        "a? b",
        "start     => spawn a#1
         end a#1   => a stopped, spawn b#1
         ready b#1 => b ready, all ready",
    ),
    scenario(
        "a permanent child is restarted after a normal end",
        OneForOne,
        "a",
        "start     => spawn a#1
         ready a#1 => a ready, all ready
         end a#1   => a backing_off for 100ms",
    ),
    scenario(
        "a temporary child is never restarted",
        OneForAll,
        "a~ b",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, all ready
         fault a#1 => a stopped",
    ),
    scenario(
        "the end of a significant child ends the supervisor in order",
        OneForOne,
        "a b?! c",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, spawn c#1
         ready c#1 => c ready, all ready
         end b#1   => b stopped, ask c#1
         end c#1   => c stopped, ask a#1
         end a#1   => a stopped, finish significant b",
    ),
    scenario(
        "a fault of a significant child that is restarted does not end the supervisor",
        OneForOne,
        "a?!",
        "start     => spawn a#1
         ready a#1 => a ready, all ready
         fault a#1 => a backing_off for 100ms",
    ),
    scenario(
        "an operator's stop of a significant child does not end the supervisor",
        OneForOne,
        "a?!",
        "start     => spawn a#1
         ready a#1 => a ready, all ready
         stop a    => ask a#1
         end a#1   => a stopped",
    ),
    scenario(
        "children stop right to left, one after the other",
        OneForOne,
        "a b c",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, spawn c#1
         ready c#1 => c ready, all ready
         stop      => ask c#1
         end c#1   => c stopped, ask b#1
         fault b#1 => b stopped, ask a#1
         end a#1   => a stopped, finish stopped",
    ),
    scenario(
        "a child that will not stop is killed, then abandoned, and the others go on stopping",
        OneForOne,
        "a b",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, all ready
         stop      => ask b#1
         stop b#1  => kill b#1
         stop b#1  =>
         kill b#1  => abandon b#1, b abandoned, ask a#1
         end b#1   =>
         end a#1   => a stopped, finish stopped
         end b#1   =>",
    ),
    scenario(
        "a sibling that ends by itself during the ordered stop is not asked",
        OneForOne,
        "a b",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, all ready
         stop      => ask b#1
         fault a#1 => a stopped
         end b#1   => b stopped, finish stopped",
    ),
    scenario(
        "a stop during the start stops what is there and starts nothing more",
        OneForOne,
        "a b c",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         stop      => c stopped, ask b#1
         ready b#1 =>
         init b#1  =>
         end b#1   => b stopped, ask a#1
         end a#1   => a stopped, finish stopped",
    ),
    scenario(
        "a stop before the start finishes at once",
        OneForOne,
        "a b",
        "stop  => a stopped, b stopped, finish stopped
         start =>",
    ),
    scenario(
        "a stop during a back-off works at once",
        RestForOne,
        "a b",
        "start       => spawn a#1
         ready a#1   => a ready, spawn b#1
         ready b#1   => b ready, all ready
         fault b#1   => b backing_off for 100ms
         stop        => b stopped, ask a#1
         backoff b#1 =>
         end a#1     => a stopped, finish stopped",
    ),
    scenario(
        "a stop while siblings stop for a restart turns it into a stop for good",
        OneForAll,
        "a b c",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, spawn c#1
         ready c#1 => c ready, all ready
         fault b#1 => b backing_off for 100ms, ask c#1
         stop      => b stopped
         end c#1   => c stopped, ask a#1
         end a#1   => a stopped, finish stopped",
    ),
    scenario(
        "the back-off grows with each restart in a row",
        OneForOne,
        "a",
        "start       => spawn a#1
         fault a#1   => a backing_off for 100ms
         backoff a#1 => spawn a#2
         fault a#2   => a backing_off for 200ms
         backoff a#2 => spawn a#3
         @10s ready a#3 => a ready, all ready
         @11s fault a#3 => a backing_off for 400ms
         backoff a#3 => spawn a#4
         ready a#4   => a ready
         @21s fault a#4 => a backing_off for 100ms",
    ),
    scenario(
        "a restart too many gives up with the first fault, after an ordered stop",
        OneForOne,
        "a b c",
        "start         => spawn a#1
         ready a#1     => a ready, spawn b#1
         ready b#1     => b ready, spawn c#1
         ready c#1     => c ready, all ready
         fault b#1 one => b backing_off for 100ms
         backoff b#1   => spawn b#2
         fault b#2 two => b backing_off for 200ms
         backoff b#2   => spawn b#3
         fault b#3 three => b stopped, ask c#1
         backoff b#2   =>
         end c#1       => c stopped, ask a#1
         stop          =>
         fault a#1 four => a stopped, finish gave up: one .. three",
    ),
    scenario(
        "the end of the window belongs to it",
        OneForOne,
        "a",
        "start         => spawn a#1
         fault a#1 one => a backing_off for 100ms
         backoff a#1   => spawn a#2
         fault a#2 two => a backing_off for 200ms
         backoff a#2   => spawn a#3
         @10s fault a#3 three => a stopped, finish gave up: one .. three",
    ),
    scenario(
        "restarts that are further apart than the window are borne for ever",
        OneForOne,
        "a",
        "start       => spawn a#1
         ready a#1   => a ready, all ready
         fault a#1   => a backing_off for 100ms
         backoff a#1 => spawn a#2
         @5s fault a#2  => a backing_off for 200ms
         backoff a#2 => spawn a#3
         @11s fault a#3 => a backing_off for 400ms
         backoff a#3 => spawn a#4
         @16s fault a#4 => a backing_off for 800ms
         backoff a#4 => spawn a#5
         @16s fault a#5 three => a stopped, finish gave up: fault of a#3 .. three",
    ),
    scenario(
        "one for one leaves the siblings alone and starts them in any order",
        OneForOne,
        "a b",
        "start       => spawn a#1
         ready a#1   => a ready, spawn b#1
         ready b#1   => b ready, all ready
         fault a#1   => a backing_off for 100ms
         fault b#1   => b backing_off for 100ms
         backoff b#1 => spawn b#2",
    ),
    scenario(
        "one for one waits in the first start for nobody who was ready once",
        OneForOne,
        "a b c",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         fault a#1 => a backing_off for 100ms
         ready b#1 => b ready, spawn c#1
         ready c#1 => c ready
         backoff a#1 => spawn a#2
         ready a#2 => a ready, all ready",
    ),
    scenario(
        "rest for one stops the younger siblings right to left and starts them again left to right",
        RestForOne,
        "a b c d",
        "start       => spawn a#1
         ready a#1   => a ready, spawn b#1
         ready b#1   => b ready, spawn c#1
         ready c#1   => c ready, spawn d#1
         ready d#1   => d ready, all ready
         fault b#1   => b backing_off for 100ms, ask d#1
         backoff b#1 =>
         end d#1     => ask c#1
         end c#1     => spawn b#2
         ready b#2   => b ready, spawn c#2
         ready c#2   => c ready, spawn d#2
         ready d#2   => d ready",
    ),
    scenario(
        "one for all stops all siblings right to left and starts them again left to right, after the back-off",
        OneForAll,
        "a b c",
        "start       => spawn a#1
         ready a#1   => a ready, spawn b#1
         ready b#1   => b ready, spawn c#1
         ready c#1   => c ready, all ready
         fault b#1   => b backing_off for 100ms, ask c#1
         end c#1     => ask a#1
         end a#1     =>
         backoff b#1 => spawn a#2
         ready a#2   => a ready, spawn b#2
         ready b#2   => b ready, spawn c#2",
    ),
    scenario(
        "siblings that were stopped, by an operator or because they are temporary, are not started again",
        OneForAll,
        "a b c~ d?",
        "start       => spawn a#1
         ready a#1   => a ready, spawn b#1
         ready b#1   => b ready, spawn c#1
         ready c#1   => c ready, spawn d#1
         end d#1     => d stopped, all ready
         stop a      => ask a#1
         end a#1     => a stopped
         fault b#1   => b backing_off for 100ms, ask c#1
         end c#1     => c stopped
         backoff b#1 => spawn b#2
         ready b#2   => b ready",
    ),
    scenario(
        "an abandoned sibling is started again with the others, and its late end is ignored",
        RestForOne,
        "a b",
        "start       => spawn a#1
         ready a#1   => a ready, spawn b#1
         ready b#1   => b ready, all ready
         fault a#1   => a backing_off for 100ms, ask b#1
         stop b#1    => kill b#1
         backoff a#1 =>
         kill b#1    => abandon b#1, spawn a#2
         end b#1     =>
         ready a#2   => a ready, spawn b#2
         end b#1     =>
         ready b#2   => b ready",
    ),
    scenario(
        "a child that an operator stopped stays stopped until an operator starts it",
        OneForOne,
        "a b",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, all ready
         stop a    => ask a#1
         fault a#1 => a stopped
         stop a    => a stopped
         start a   => spawn a#2
         start a   =>
         ready a#2 => a ready
         start a   => a ready",
    ),
    scenario(
        "an operator's stop during a back-off works at once, and so does the start after it",
        OneForOne,
        "a",
        "start       => spawn a#1
         fault a#1   => a backing_off for 100ms
         stop a      => a stopped, all ready
         backoff a#1 =>
         start a     => spawn a#2
         backoff a#1 =>
         ready a#2   => a ready",
    ),
    scenario(
        "an operator's start ends a back-off",
        OneForOne,
        "a",
        "start       => spawn a#1
         fault a#1   => a backing_off for 100ms
         start a     => spawn a#2
         backoff a#1 =>",
    ),
    scenario(
        "an operator's start makes the next restart a first one",
        OneForOne,
        "a",
        "start       => spawn a#1
         fault a#1   => a backing_off for 100ms
         backoff a#1 => spawn a#2
         fault a#2   => a backing_off for 200ms
         start a     => spawn a#3
         @20s fault a#3 => a backing_off for 100ms",
    ),
    scenario(
        "a child can be stopped before its turn has come",
        OneForOne,
        "a b c",
        "stop b    => b stopped
         start     => spawn a#1
         ready a#1 => a ready, spawn c#1
         ready c#1 => c ready, all ready",
    ),
    scenario(
        "an operator's restart costs no budget",
        OneForOne,
        "a",
        "start     => spawn a#1
         ready a#1 => a ready, all ready
         restart a => ask a#1
         end a#1   => spawn a#2
         ready a#2 => a ready
         restart a => ask a#2
         end a#2   => spawn a#3
         ready a#3 => a ready
         restart a => ask a#3
         fault a#3 => spawn a#4
         ready a#4 => a ready
         fault a#4 => a backing_off for 100ms
         backoff a#4 => spawn a#5
         fault a#5 => a backing_off for 200ms",
    ),
    scenario(
        "an operator's restart takes the siblings along that the strategy binds to the child",
        RestForOne,
        "a b c",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, spawn c#1
         ready c#1 => c ready, all ready
         restart b => ask c#1
         end c#1   => ask b#1
         end b#1   => spawn b#2
         ready b#2 => b ready, spawn c#2",
    ),
    scenario(
        "of several wishes the last one counts",
        OneForOne,
        "a",
        "start     => spawn a#1
         ready a#1 => a ready, all ready
         stop a    => ask a#1
         start a   =>
         restart a =>
         stop a    =>
         start a   =>
         end a#1   => spawn a#2
         restart a => ask a#2
         stop a    =>
         end a#2   => a stopped",
    ),
    scenario(
        "an operator's stop of a child that is being killed for its init deadline is no fault",
        OneForOne,
        "a",
        "start    => spawn a#1
         init a#1 => kill a#1
         stop a   =>
         end a#1  => a stopped, all ready",
    ),
    scenario(
        "an abandoned child can be started by an operator",
        OneForOne,
        "a",
        "start     => spawn a#1
         ready a#1 => a ready, all ready
         stop a    => ask a#1
         stop a#1  => kill a#1
         kill a#1  => abandon a#1, a abandoned
         stop a    => a abandoned
         start a   => spawn a#2
         end a#1   =>",
    ),
    scenario(
        "a child that is added starts as the last one",
        RestForOne,
        "a",
        "start     => spawn a#1
         add b     =>
         add a     =>
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, all ready
         add c     => spawn c#1",
    ),
    scenario(
        "under one for one a child that is added after the first start waits for nobody",
        OneForOne,
        "a",
        "start     => spawn a#1
         ready a#1 => a ready, all ready
         add b     => spawn b#1
         add c     => spawn c#1",
    ),
    scenario(
        "a removal cannot be taken back, and holds when the supervisor ends",
        OneForOne,
        "a b c",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, spawn c#1
         ready c#1 => c ready, all ready
         remove b  => ask b#1
         stop b    =>
         end b#1   => b stopped
         stop b    =>
         remove a  => ask a#1
         stop      => ask c#1
         end a#1   => a stopped
         stop a    =>
         end c#1   => c stopped, finish stopped",
    ),
    scenario(
        "a child that is removed is stopped and forgotten, and its successor cannot be taken for it",
        OneForOne,
        "a b",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, all ready
         remove a  => ask a#1
         start a   =>
         stop a#1  => kill a#1
         kill a#1  => abandon a#1, a abandoned
         start a   =>
         add a     => spawn a#2
         end a#1   =>
         ready a#2 => a ready
         fault a#2 => a backing_off for 100ms
         remove a  => a stopped
         backoff a#2 =>",
    ),
    scenario(
        "nothing is added or started while the supervisor ends",
        OneForOne,
        "a b",
        "start     => spawn a#1
         ready a#1 => a ready, spawn b#1
         ready b#1 => b ready, all ready
         stop b    => ask b#1
         end b#1   => b stopped
         stop      => ask a#1
         add c     =>
         stop c    =>
         start b   => b stopped
         restart a =>
         start a   =>
         remove a  =>
         end a#1   => a stopped, finish stopped
         start a   =>",
    ),
    scenario(
        "facts about unknown children, other incarnations and old timers change nothing",
        OneForAll,
        "a b",
        "start       => spawn a#1
         ready x#1   =>
         end x#1     =>
         init x#1    =>
         stop x      =>
         restart x   =>
         remove x    =>
         ready a#2   =>
         fault a#0   =>
         stop a#1    =>
         kill a#1    =>
         backoff a#1 =>
         ready a#1   => a ready, spawn b#1
         init a#1    =>
         ready a#1   =>
         start       =>",
    ),
];

#[test]
fn every_rule_holds_in_its_scenario() {
    let mut broken = Vec::new();
    for scenario in SCENARIOS {
        let mut core = SupervisorCore::new(spec(scenario.strategy, scenario.children));
        let mut now = Duration::ZERO;
        for line in scenario.script.lines() {
            let (event, expected) = line.split_once("=>").expect("an arrow in each line");
            let event = event_of(event.trim(), &mut now);
            let actions = said(&core.step(now, event));
            if actions != expected.trim() {
                broken.push(format!("{}\n  {}\n  got: {actions}", scenario.rule, line.trim()));
                break;
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn time_that_seems_to_go_back_stands_still() {
    let mut core = SupervisorCore::new(spec(OneForOne, "a"));
    let mut now = Duration::ZERO;
    for (secs, event) in [(100, "start"), (100, "ready a#1"), (50, "stop x"), (105, "fault a#1")] {
        core.step(Duration::from_secs(secs), event_of(event, &mut now));
    }
    // Ready at 100 s: had the clock gone back, the window of 10 s would have seemed to be over.
    core.step(Duration::from_secs(20), event_of("backoff a#1", &mut now));
    core.step(Duration::from_secs(20), event_of("ready a#2", &mut now));
    let actions = core.step(Duration::from_secs(109), event_of("fault a#2", &mut now));
    assert_eq!(said(&actions), "a backing_off for 200ms");
}

#[test]
fn a_child_tells_its_incarnation_its_restarts_and_its_last_fault() {
    let mut core = SupervisorCore::new(spec(RestForOne, "a b"));
    let mut now = Duration::ZERO;
    for event in
        ["start", "ready a#1", "ready b#1", "end a#1", "end b#1", "backoff a#1", "ready a#2", "ready b#2"]
    {
        core.step(now, event_of(event, &mut now));
    }
    let told: Vec<_> = core
        .children()
        .map(|child| {
            let fault = child.last_fault().map(ToString::to_string);
            (child.id().as_str(), child.phase(), child.incarnation(), child.restarts(), fault)
        })
        .collect();
    let fault = "/a: ended: ended normally although it is permanent".to_owned();
    assert_eq!(
        told,
        [
            ("a", ChildPhase::Ready, Incarnation(2), 1, Some(fault)),
            ("b", ChildPhase::Ready, Incarnation(2), 0, None)
        ]
    );
}

#[test]
fn faults_name_the_whole_path_and_the_first_of_all_faults() {
    let mut core = SupervisorCore::new(SupervisorSpec {
        path: "/engine/apps".into(),
        budget: RestartBudget { max_restarts: 0, within: Duration::from_secs(1) },
        ..spec(OneForOne, "mail")
    });
    let mut now = Duration::ZERO;
    for event in ["start", "init mail#1"] {
        core.step(now, event_of(event, &mut now));
    }
    let actions = core.step(now, event_of("end mail#1", &mut now));
    let Some(SupervisionAction::Finish(SupervisorEnd::GaveUp { first_fault, last_fault })) = actions.last()
    else {
        panic!("gave up expected: {actions:?}");
    };
    assert_eq!(first_fault, last_fault);
    assert_eq!(first_fault.to_string(), "/engine/apps/mail: init_timeout: not ready in time");
    assert_eq!(core.child(&"mail".into()).and_then(SupervisedChild::last_fault), Some(first_fault));

    let above = Fault::gave_up("/engine", Fault::gave_up("/engine/apps", first_fault.clone()));
    assert_eq!(above.root(), first_fault);
    assert!(above.to_string().contains("/engine/apps/mail: init_timeout"), "{above}");
}

#[test]
fn a_backoff_lies_between_its_whole_and_what_chance_may_take_away() {
    let backoff =
        Backoff { first: Duration::from_millis(100), factor: 2, cap: Duration::from_secs(1), jitter: 0.5 };
    let millis = |restart, random| backoff.delay(restart, random).as_millis();
    assert_eq!((millis(1, 0.0), millis(1, 0.5), millis(1, 1.0)), (100, 75, 50));
    assert_eq!(
        (millis(2, 0.0), millis(4, 0.0), millis(5, 0.0), millis(u32::MAX, 0.0)),
        (200, 800, 1000, 1000)
    );
    assert_eq!((millis(0, 0.0), millis(1, f64::NAN), millis(1, -1.0), millis(1, 7.0)), (100, 50, 100, 50));
}
