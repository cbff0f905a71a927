//! The eight known faults of the design that this platform takes over, each as a test that its structure would fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runtime_core::control::{Command, NodeCommand, ask};
use runtime_core::error::ErrorCode;
use runtime_core::event::NewEvent;
use runtime_core::node::{Health, NodePath, NodeState};
use runtime_core::store::StoreError;
use runtime_core::task::TaskState;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::kit::{Facts, Gate, Outside, Refusal, StoreCall, World, Worlds, done, from_fn, once_told, worker};
use super::sabotage::{How, Point};
use crate::runtime::StopReport;

const GREET: &str = "/engine/apps/shop/workers/greet";

async fn tree(world: &World) -> Vec<runtime_core::node::NodeView> {
    let asked = ask(&*world.control, |reply| Command::GetTree { root: NodePath::root(), reply });
    timeout(Duration::from_millis(50), asked).await.expect("status answers").expect("a tree")
}

#[tokio::test(start_paused = true)]
async fn a_slow_claim_does_not_block_status() {
    let world = Worlds::new().worker(worker("greet", 1, from_fn(async |_| done()))).start().await;
    world.store.set(StoreCall::Lease, Gate::Shut);
    let id = world.enqueue("greet", 1).await[0];
    world.store.called(StoreCall::Lease, 2).await;
    assert!(tree(&world).await.iter().any(|view| view.path.as_str() == GREET));
    let paused = timeout(Duration::from_millis(50), world.steer(GREET, NodeCommand::Pause)).await;
    assert_eq!(paused.expect("the executor answers too").unwrap().state, NodeState::Paused);
    world.store.set(StoreCall::Lease, Gate::Open);
    // What came too late is given back, and not counted.
    let task = world.until_task(id, TaskState::Ready).await;
    assert_eq!(task.attempt, 0);
    world.steer(GREET, NodeCommand::Resume).await.unwrap();
    assert_eq!(world.until_task(id, TaskState::Done).await.attempt, 1);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn stop_hooks_always_run() {
    let outside = Outside::new();
    let mut worlds = Worlds::new().worker(worker("greet", 2, from_fn(async |_| done())));
    worlds.app.sources.push(outside.source("door", "greet"));
    let world = worlds.start().await;
    let entries = world.platform().table.under(&NodePath::root());
    // A fault planted at the stop of each node strikes if, and only if, the node's own stop comes to be carried out.
    for entry in &entries {
        entry.sabotage.plant(Point::Stop, How::Slow(Duration::from_millis(1)));
    }
    assert_eq!(world.stop().await, StopReport::Clean);
    for entry in entries {
        assert!(entry.sabotage.is_over(), "{} was not asked to stop", entry.path());
        assert_eq!(entry.state(), NodeState::Stopped, "{}", entry.path());
    }
}

#[tokio::test(start_paused = true)]
async fn work_is_not_acknowledged_before_it_ran() {
    let (go, outside) = (Arc::new(Notify::new()), Outside::new());
    let mut worlds = Worlds::new().worker(worker("greet", 1, once_told(&go)));
    worlds.app.sources.push(outside.source("door", "greet"));
    let world = worlds.start().await;
    outside.put(["letter".to_owned()]);
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    assert!(outside.marks().is_empty(), "its handler runs: nothing is marked");
    world.store.set(StoreCall::Settle, Gate::Shut);
    go.notify_one();
    world.store.called(StoreCall::Settle, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(outside.marks().is_empty(), "its handler has ended, and the outcome is not on disk");
    world.store.set(StoreCall::Settle, Gate::Open);
    outside.marked(1).await;
    assert_eq!(outside.marks()["letter"], [TaskState::Done]);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_before_there_is_a_permit() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (running.clone(), most.clone());
    let handler = from_fn(move |_| {
        let (now, peak) = (now.clone(), peak.clone());
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(2)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            done()
        }
    });
    let world = Worlds::new().worker(worker("greet", 3, handler)).start().await;
    world.enqueue("greet", 30).await;
    for _ in 0..40 {
        assert!(
            world.count(TaskState::Leased).await <= 3,
            "more leases than slots, for tasks that take seconds"
        );
        tokio::time::sleep(Duration::from_millis(450)).await;
    }
    world.idle().await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(
        world.store.largest_ask.load(Ordering::Relaxed),
        3,
        "it never asked for more than it had slots"
    );
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_claimed_task_is_not_lost_on_its_way() {
    let world = Worlds::new().worker(worker("greet", 4, from_fn(async |_| done()))).start().await;
    world.store.called(StoreCall::Lease, 1).await;
    // The store grants leases while the executor hangs, so that they lie in its mailbox; then it is killed with them in it.
    let executor = world.entry(GREET);
    let asked = world.store.count(StoreCall::Lease);
    world.store.set(StoreCall::Lease, Gate::Shut);
    let ids = world.enqueue("greet", 4).await;
    world.store.called(StoreCall::Lease, asked + 1).await;
    executor.sabotage.plant(Point::Handle, How::Hang);
    world.until(GREET, |view| view.busy_since.is_some() && executor.sabotage.is_over()).await;
    world.store.set(StoreCall::Lease, Gate::Open);
    while world.count(TaskState::Leased).await < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(executor.kill());
    let began = Instant::now();
    world.idle().await;
    assert!(
        began.elapsed() < world.platform().timing.lease,
        "given back at once, not when the lease ran out"
    );
    for id in ids {
        let task = world.task(id).await;
        assert_eq!((task.state, task.attempt, task.crash_count), (TaskState::Done, 1, 0));
    }
    assert!(world.platform().leases.all().is_empty(), "no lease is extended for ever");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn no_completion_is_dropped_while_the_store_fails() {
    let runs = Arc::new(AtomicUsize::new(0));
    let ran = runs.clone();
    let handler = from_fn(move |_| {
        ran.fetch_add(1, Ordering::Relaxed);
        async { done() }
    });
    let world = Worlds::new().worker(worker("greet", 8, handler)).start().await;
    world.store.fail(StoreCall::Settle);
    let ids = world.enqueue("greet", 20).await;
    let node = world.until("/engine/completion", |view| matches!(view.health, Health::Unhealthy(_))).await;
    assert_eq!(node.state, NodeState::Running, "a failing store is no fault of the node");
    world.until(GREET, |view| view.slots == Some((8, 8))).await;
    // Longer than a lease: the leases are extended, so the outcomes stay good.
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(runs.load(Ordering::Relaxed), 8, "slots are taken until outcomes are settled");
    world.store.set(StoreCall::Settle, Gate::Open);
    world.idle().await;
    for id in ids {
        assert_eq!(world.task(id).await.attempt, 1);
    }
    assert_eq!(runs.load(Ordering::Relaxed), 20, "no work was done twice");
    assert_eq!(world.entry("/engine/completion").view().health, Health::Healthy);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn events_leave_whatever_subscribers_do() {
    let facts = Facts::new();
    let handler = from_fn(async |ctx| {
        ctx.emit(NewEvent { kind: "greeted".into(), body: b"null".to_vec() });
        done()
    });
    let mut worlds = Worlds::new().worker(worker("greet", 1, handler));
    worlds.app.subscribers.push(facts.clone());
    let world = worlds.start().await;
    *facts.trouble.lock().unwrap() = vec![Refusal::Hang, Refusal::Panic, Refusal::Error];
    world.enqueue("greet", 3).await;
    let view = world.until("/engine/events", |view| matches!(view.health, Health::Degraded(_))).await;
    assert_eq!((view.state, view.restarts), (NodeState::Running, 0));
    let status = ask(&*world.control, |reply| Command::GetEventStatus { reply }).await.unwrap();
    assert!(!status.integrated, "and status says that they do not get out");
    facts.until(3).await;
    world.until("/engine/events", |view| view.health == Health::Healthy).await;
    let positions: Vec<u64> = facts.heard().iter().map(|fact| fact.position).collect();
    assert!(positions.is_sorted() && positions.len() == 3, "{positions:?}");
    let status = ask(&*world.control, |reply| Command::GetEventStatus { reply }).await.unwrap();
    assert!(status.integrated);
    assert_eq!(status.relayed, 3);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_panic_does_not_end_the_command_loop() {
    let world = Worlds::new().worker(worker("greet", 1, from_fn(async |_| done()))).start().await;
    let commands = world.entry("/control/commands");
    commands.sabotage.plant(Point::Handle, How::Panic);
    let lost = ask(&*world.control, |reply| Command::GetInfo { reply }).await.unwrap_err();
    assert_eq!(lost.code, ErrorCode::NoAnswer, "the command that it broke over says so");
    world.until_state("/control/commands", NodeState::Running).await;
    assert_eq!(commands.view().restarts, 1);
    ask(&*world.control, |reply| Command::GetInfo { reply }).await.expect("the next one is answered");
    assert_eq!(world.entry(GREET).incarnation(), 1, "the engine never noticed");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_was_taken_is_answered_though_the_door_is_killed() {
    let world = Worlds::new().worker(worker("greet", 1, from_fn(async |_| done()))).start().await;
    world.store.set(StoreCall::Stats, Gate::Shut);
    let control = world.control.clone();
    let asked = tokio::spawn(async move { ask(&*control, |reply| Command::ListQueues { reply }).await });
    world.store.called(StoreCall::Stats, 1).await;
    assert!(world.entry("/control/commands").kill());
    world.until("/control/commands", |view| view.incarnation == 2 && view.state == NodeState::Running).await;
    world.store.set(StoreCall::Stats, Gate::Fails(StoreError::Unavailable { detail: "away".into() }));
    assert_eq!(asked.await.unwrap().unwrap_err().code, ErrorCode::StoreUnavailable);
    world.store.set(StoreCall::Stats, Gate::Open);
    assert_eq!(world.stop().await, StopReport::Clean);
}
