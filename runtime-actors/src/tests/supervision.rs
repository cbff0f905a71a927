//! What a supervisor does when a child breaks: each fault at each point of a child's life, under each strategy.

use std::time::Duration;

use runtime_core::node::NodeState;
use runtime_core::supervision::Strategy;
use tokio::time::{Instant, timeout};

use super::kit::{BUDGET, Grown};
use super::sabotage::{How, Point};
use crate::supervisor::{StopOrder, SupervisorMsg};

const STRATEGIES: [Strategy; 3] = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];

/// How often `a`, `b` and `c` have been started when `b` broke once while all were up.
fn after_a_fault(strategy: Strategy) -> [u64; 3] {
    match strategy {
        Strategy::OneForOne => [1, 2, 1],
        Strategy::OneForAll => [2, 2, 2],
        Strategy::RestForOne => [1, 2, 2],
    }
}

/// The same when `b` broke before it was up for the first time: `c` was not there yet.
fn after_a_broken_start(strategy: Strategy) -> [u64; 3] {
    match strategy {
        Strategy::OneForOne | Strategy::RestForOne => [1, 2, 1],
        Strategy::OneForAll => [2, 2, 1],
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_breaks_at_work_is_restarted_with_those_its_strategy_names() {
    for strategy in STRATEGIES {
        for how in ["error", "panic", "kill", "a normal end", "kill while it hangs"] {
            let mut grove = Grown::new(strategy).start().await.unwrap();
            let b = grove.entry("/s/b");
            grove.log.take();
            match how {
                "error" => b.sabotage.plant(Point::Handle, How::Error),
                "panic" => b.sabotage.plant(Point::Handle, How::Panic),
                "kill while it hangs" => b.sabotage.plant(Point::Handle, How::Hang),
                _ => {}
            }
            if how == "kill" {
                assert!(b.kill())
            } else {
                grove.end("/s/b")
            }
            if how == "kill while it hangs" {
                grove.until("/s/b", |view| view.busy_since.is_some()).await;
                assert!(b.kill());
            }
            grove.until("/s/b", |view| view.incarnation == 2).await;
            grove.settled().await;
            assert_eq!(grove.incarnations(), after_a_fault(strategy), "{strategy:?}, {how}");
            let view = b.view();
            assert_eq!((view.restarts, view.busy_since), (1, None), "{strategy:?}, {how}");
            assert!(view.last_fault.unwrap().starts_with("/s/b"), "{strategy:?}, {how}");
            let log = grove.log.take();
            let order = match strategy {
                Strategy::OneForOne => vec!["b gone", "b up"],
                Strategy::OneForAll => {
                    vec!["b gone", "c stop", "c gone", "a stop", "a gone", "a up", "b up", "c up"]
                }
                Strategy::RestForOne => vec!["b gone", "c stop", "c gone", "b up", "c up"],
            };
            assert_eq!(log, order, "{strategy:?}, {how}");
            assert_eq!(grove.root.stop().await, Ok(()), "{strategy:?}, {how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_breaks_before_it_reported_up_is_started_again() {
    let faults = [
        (Point::Build, How::Error),
        (Point::Build, How::Panic),
        (Point::Build, How::Hang),
        (Point::Init, How::Error),
        (Point::Init, How::Panic),
        (Point::Init, How::Hang),
    ];
    for strategy in STRATEGIES {
        for (point, how) in faults {
            let mut grown = Grown::new(strategy);
            grown.planted.push(("/s/b", point, how));
            let began = Instant::now();
            let mut grove = grown.start().await.unwrap();
            assert_eq!(
                grove.incarnations(),
                after_a_broken_start(strategy),
                "{strategy:?} {point:?} {how:?}"
            );
            assert_eq!(grove.entry("/s/b").view().restarts, 1);
            let waited = began.elapsed() >= Duration::from_secs(30);
            assert_eq!(waited, how == How::Hang, "what hangs is killed at its deadline: {point:?}");
            assert_eq!(grove.root.stop().await, Ok(()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_child_is_waited_for_and_its_younger_siblings_wait_too() {
    let mut grown = Grown::new(Strategy::RestForOne);
    grown.planted.push(("/s/a", Point::Init, How::Slow(Duration::from_secs(29))));
    let mut grove = grown.start().await.unwrap();
    assert_eq!(grove.incarnations(), [1, 1, 1]);
    assert_eq!(grove.log.take(), ["a up", "b up", "c up"]);
    grove.entry("/s/c").sabotage.plant(Point::Stop, How::Slow(Duration::from_secs(9)));
    assert_eq!(grove.root.stop().await, Ok(()));
    assert_eq!(grove.log.take(), ["c stop", "c gone", "b stop", "b gone", "a stop", "a gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_stops_badly_does_not_keep_its_siblings_from_stopping() {
    for how in [How::Error, How::Panic, How::Hang] {
        let mut grove = Grown::new(Strategy::RestForOne).start().await.unwrap();
        grove.log.take();
        grove.entry("/s/b").sabotage.plant(Point::Stop, how);
        let began = Instant::now();
        assert_eq!(grove.root.stop().await, Ok(()), "{how:?}");
        assert_eq!(grove.log.take(), ["c stop", "c gone", "b gone", "a stop", "a gone"], "{how:?}");
        assert_eq!(began.elapsed() >= Duration::from_secs(10), how == How::Hang, "killed at its deadline");
        assert_eq!(grove.entry("/s/b").state(), NodeState::Stopped);
        assert_eq!(grove.incarnations(), [1, 1, 1], "nobody is restarted during a stop");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_stops_badly_while_its_supervisor_goes_on_comes_back_when_asked() {
    for how in [How::Error, How::Panic, How::Hang] {
        let mut grove = Grown::new(Strategy::OneForOne).start().await.unwrap();
        grove.entry("/s/b").sabotage.plant(Point::Stop, how);
        assert_eq!(grove.ask("b", SupervisorMsg::StopChild).await, Ok(()), "{how:?}");
        assert_eq!(grove.entry("/s/b").state(), NodeState::Stopped, "{how:?}");
        assert_eq!(grove.ask("b", SupervisorMsg::StartChild).await, Ok(()), "{how:?}");
        grove.settled().await;
        assert_eq!(grove.incarnations(), [1, 2, 1], "{how:?}");
        assert_eq!(grove.root.stop().await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_whose_budget_is_used_up_escalates_with_the_first_fault() {
    let mut grown = Grown::new(Strategy::OneForOne);
    grown.broken = &["b"];
    let fault = grown.start().await.err().expect("it cannot come up");
    assert!(fault.contains("gave_up") && fault.contains("/s/b: error: broken at run 1"), "{fault}");
    // Each level bears its budget: the supervisor its restarts of b, the root its restarts of the supervisor.
    assert_eq!(BUDGET.max_restarts, 3);
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_gives_up_stops_what_still_runs_first_and_says_why() {
    let mut grove = Grown::new(Strategy::OneForOne).start().await.unwrap();
    grove.log.take();
    let mut broken = grove.root.broken();
    assert!(broken.borrow().is_none());
    // The supervisor itself is killed more often than the root bears.
    for run in 1..=4 {
        grove.until("/s/c", |view| view.incarnation == run && view.state == NodeState::Running).await;
        grove.until("/s", |view| view.state == NodeState::Running).await;
        assert!(grove.entry("/s").kill());
    }
    let fault = broken.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(fault.contains("gave_up") && fault.contains("/s: killed"), "{fault}");
    assert_eq!(grove.root.stop().await, Err(fault));
    for leaf in ["/s/a", "/s/b", "/s/c"] {
        assert_eq!(grove.entry(leaf).state(), NodeState::Stopped);
        assert!(!grove.entry(leaf).kill(), "nobody is behind the door");
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_gave_up_leaves_no_sibling_in_back_off() {
    let mut grove = Grown::new(Strategy::OneForOne).start().await.unwrap();
    assert!(grove.entry("/s/a").kill());
    grove.until("/s/a", |view| view.state == NodeState::BackingOff).await;
    assert!(grove.entry("/s").kill());
    grove.until("/s", |view| view.state == NodeState::BackingOff).await;
    assert_eq!(
        grove.entry("/s/a").state(),
        NodeState::Stopped,
        "its supervisor is gone: it waits for nothing"
    );
    grove.settled().await;
    assert_eq!(grove.incarnations(), [2, 2, 2]);
    assert_eq!(grove.root.stop().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_back_off_ends_it_at_once() {
    let mut grove = Grown::new(Strategy::RestForOne).start().await.unwrap();
    assert!(grove.entry("/s/b").kill());
    grove.until("/s/b", |view| view.state == NodeState::BackingOff).await;
    assert_eq!(timeout(Duration::from_secs(1), grove.root.stop()).await, Ok(Ok(())));
    assert_eq!(grove.entry("/s/b").state(), NodeState::Stopped);
    assert_eq!(grove.incarnations(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_stops_and_starts_a_child_during_its_back_off() {
    let mut grove = Grown::new(Strategy::OneForOne).start().await.unwrap();
    for (wish, state) in [
        (SupervisorMsg::StopChild as fn(_, _) -> _, NodeState::Stopped),
        (SupervisorMsg::StartChild, NodeState::Running),
        (SupervisorMsg::RestartChild, NodeState::Running),
    ] {
        assert!(grove.entry("/s/b").kill());
        grove.until("/s/b", |view| view.state == NodeState::BackingOff).await;
        let began = Instant::now();
        assert_eq!(grove.ask("b", wish).await, Ok(()));
        assert!(began.elapsed() < Duration::from_millis(50), "it did not wait for the back-off");
        assert_eq!(grove.entry("/s/b").state(), state);
        assert_eq!(grove.ask("b", SupervisorMsg::StartChild).await, Ok(()));
    }
    assert_eq!(grove.root.stop().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_operator_hears_why_a_child_does_not_come_up() {
    let mut grove = Grown::new(Strategy::OneForOne).start().await.unwrap();
    grove.entry("/s/b").sabotage.plant(Point::Init, How::Error);
    let refused = grove.ask("b", SupervisorMsg::RestartChild).await.unwrap_err();
    assert!(refused.message.contains("backing_off") && refused.message.contains("planted"), "{refused}");
    grove.settled().await;
    let unknown = grove.ask("x", SupervisorMsg::StopChild).await.unwrap_err();
    assert_eq!(unknown.code, runtime_core::error::ErrorCode::NotFound);
    assert_eq!(grove.root.stop().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_last_run_of_a_node_does_not_shut_the_door_of_the_next() {
    // A supervisor is killed while its child hangs: the child's end comes late, when its successor is up.
    let mut grove = Grown::new(Strategy::OneForOne).start().await.unwrap();
    let first = grove.entry("/s/a").incarnation();
    assert!(grove.entry("/s").kill());
    grove.until("/s/a", |view| view.incarnation == first + 1 && view.state == NodeState::Running).await;
    grove.entry("/s/a").end(first);
    assert_eq!(grove.entry("/s/a").state(), NodeState::Running);
    grove.end("/s/a");
    grove.until("/s/a", |view| view.incarnation == first + 2).await;
    assert_eq!(grove.root.stop().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn children_that_do_not_need_each_other_stop_together() {
    let mut grown = Grown::new(Strategy::OneForOne);
    grown.order = StopOrder::Together;
    let mut grove = grown.start().await.unwrap();
    for leaf in ["/s/a", "/s/b", "/s/c"] {
        grove.entry(leaf).sabotage.plant(Point::Stop, How::Slow(Duration::from_secs(8)));
    }
    let began = Instant::now();
    assert_eq!(grove.root.stop().await, Ok(()));
    let took = began.elapsed();
    assert!((Duration::from_secs(8)..Duration::from_secs(9)).contains(&took), "{took:?}");
    assert_eq!(grove.log.take().iter().filter(|line| line.ends_with("stop")).count(), 3);
}
