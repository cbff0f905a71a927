//! What operators do to nodes by path, while work goes on.

mod drain;
mod etags;
mod operations;
mod restarts;
mod runs;
mod settings;
mod wishes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use runtime_core::control::{Command, NodeCommand, ask};
use runtime_core::error::ErrorCode;
use runtime_core::node::{DesiredState, Health, NodePath, NodeState};
use runtime_core::task::TaskState;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::kit::{Outside, Well, World, Worlds, done, from_fn, listening, reporter, worker};
use super::sabotage::{How, Point};
use crate::registry::WorkerPlan;
use crate::runtime::StopReport;

const APP: &str = "/engine/apps/shop";
const GREET: &str = "/engine/apps/shop/workers/greet";
const WAVE: &str = "/engine/apps/shop/workers/wave";
const DOOR: &str = "/engine/apps/shop/sources/door";

/// Every node that operators may stop.
const STEERABLE: [&str; 8] = [
    APP,
    "/engine/apps/shop/health",
    "/engine/apps/shop/health/well",
    "/engine/apps/shop/workers",
    GREET,
    WAVE,
    "/engine/apps/shop/sources",
    DOOR,
];

fn slow(name: &str) -> WorkerPlan {
    let handler = from_fn(async |_| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        done()
    });
    worker(name, 2, handler)
}

fn shop(outside: &Arc<Outside>) -> Worlds {
    let mut worlds = Worlds::new().worker(slow("greet")).worker(slow("wave"));
    worlds.app.sources.push(outside.source("door", "greet"));
    worlds.app.health.push(reporter("well", Well));
    worlds.admin = Some(listening());
    worlds
}

/// Puts one thing outside and one task into the other worker's queue, over and over, until told to end.
async fn keep_working(world: &World, outside: &Outside, over: &AtomicBool) -> u64 {
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        outside.put([format!("thing-{count}")]);
        world.enqueue("wave", 1).await;
        count += 1;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    count
}

#[tokio::test(start_paused = true)]
async fn every_node_under_apps_is_steered_while_work_goes_on_and_nothing_is_lost() {
    let outside = Outside::new();
    let world = shop(&outside).start().await;
    let over = AtomicBool::new(false);
    let steering = async {
        for node in STEERABLE {
            for (command, state) in [
                (NodeCommand::Stop, NodeState::Stopped),
                (NodeCommand::Start, NodeState::Running),
                (NodeCommand::Restart, NodeState::Running),
                (NodeCommand::Drain, NodeState::Stopped),
                (NodeCommand::Start, NodeState::Running),
            ] {
                tokio::time::sleep(Duration::from_millis(130)).await;
                let view = world
                    .steer(node, command)
                    .await
                    .unwrap_or_else(|error| panic!("{node} {command:?}: {error}"));
                assert_eq!((view.path.as_str(), view.state), (node, state), "{command:?}");
            }
            tokio::time::sleep(Duration::from_millis(130)).await;
            world.steer(node, NodeCommand::Pause).await.unwrap();
            for entry in leaves(&world, node) {
                assert_eq!(
                    (entry.state(), entry.desired()),
                    (NodeState::Paused, DesiredState::Paused),
                    "{node}"
                );
            }
            tokio::time::sleep(Duration::from_millis(130)).await;
            world.steer(node, NodeCommand::Resume).await.unwrap();
            for entry in leaves(&world, node) {
                assert_eq!(
                    (entry.state(), entry.desired()),
                    (NodeState::Running, DesiredState::Running),
                    "{node}"
                );
            }
        }
        over.store(true, Ordering::Relaxed);
    };
    let (count, ()) = tokio::join!(keep_working(&world, &outside, &over), steering);
    outside.marked(usize::try_from(count).unwrap()).await;
    world.idle().await;
    assert_eq!(world.count(TaskState::Done).await, 2 * count, "{count} things and as many tasks, each once");
    for entry in world.platform().table.under(&NodePath::root()) {
        assert_eq!(entry.state(), NodeState::Running, "{}", entry.path());
        assert_eq!(entry.view().restarts, 0, "an operator's wish is no fault: {}", entry.path());
    }
    assert_eq!(world.stop().await, StopReport::Clean);
}

fn leaves(world: &World, node: &str) -> Vec<Arc<crate::table::NodeEntry>> {
    let mut entries = world.platform().table.under(&node.parse().unwrap());
    entries.retain(|entry| entry.kind() != runtime_core::node::NodeKind::Supervisor);
    entries
}

#[tokio::test(start_paused = true)]
async fn a_paused_worker_answers_and_takes_nothing_until_it_is_resumed() {
    let world = Worlds::new().worker(slow("greet")).start().await;
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    let ids = world.enqueue("greet", 5).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    for id in &ids {
        assert_eq!(world.task(*id).await.state, TaskState::Ready);
    }
    let resized = world.steer(GREET, NodeCommand::Resize { slots: 4.try_into().unwrap() }).await.unwrap();
    assert_eq!((resized.state, resized.slots), (NodeState::Paused, Some((0, 4))));
    world.steer(GREET, NodeCommand::Resume).await.unwrap();
    world.idle().await;
    assert_eq!(world.count(TaskState::Done).await, 5);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn what_was_leased_ahead_is_given_back_at_a_pause_and_not_counted() {
    let world = Worlds::new()
        .worker(worker(
            "greet",
            2,
            from_fn(async |_| {
                tokio::time::sleep(Duration::from_micros(500)).await;
                done()
            }),
        ))
        .start()
        .await;
    let ids = world.enqueue("greet", 2_000).await;
    world.until(GREET, |view| view.queued > 10).await;
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    world.until(GREET, |view| view.slots == Some((0, 2))).await;
    while world.count(TaskState::Leased).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.count(TaskState::Ready).await > 0);
    world.steer(GREET, NodeCommand::Resume).await.unwrap();
    world.idle().await;
    for id in ids {
        let task = world.task(id).await;
        assert_eq!((task.state, task.attempt), (TaskState::Done, 1));
    }
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn platform_nodes_can_be_restarted_and_nothing_else() {
    let world = shop(&Outside::new()).start().await;
    let slots = 2.try_into().unwrap();
    for node in [
        "/engine",
        "/engine/store",
        "/engine/completion",
        "/engine/templates",
        "/engine/events",
        "/engine/apps",
        "/control",
        "/control/status",
        "/control/commands",
        "/control/admin",
    ] {
        for command in [
            NodeCommand::Start,
            NodeCommand::Stop,
            NodeCommand::Pause,
            NodeCommand::Resume,
            NodeCommand::Drain,
            NodeCommand::Resize { slots },
        ] {
            let refused = world.steer(node, command).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::FailedPrecondition, "{node} {command:?}");
        }
        let before = world.entry(node).incarnation();
        world.steer(node, NodeCommand::Restart).await.unwrap_or_else(|error| panic!("{node}: {error}"));
        assert_eq!(world.entry(node).incarnation(), before + 1, "{node}");
        for entry in world.platform().table.under(&NodePath::root()) {
            let path = entry.path().to_string();
            world.until_state(&path, NodeState::Running).await;
        }
    }
    let root = world.steer("/", NodeCommand::Restart).await.unwrap_err();
    assert_eq!(root.code, ErrorCode::FailedPrecondition);
    assert_eq!(world.steer("/nowhere", NodeCommand::Stop).await.unwrap_err().code, ErrorCode::NotFound);
    world.enqueue("greet", 3).await;
    world.idle().await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn an_app_stops_its_sources_before_its_workers() {
    let outside = Outside::new();
    let world = shop(&outside).start().await;
    let changed = world.platform().table.changed();
    let watched = ["sources/door", "sources", "workers/greet", "workers", "health/well"]
        .map(|name| (name, world.entry(&format!("{APP}/{name}"))));
    let order = tokio::spawn(async move {
        let mut stopped: Vec<&str> = Vec::new();
        while stopped.len() < watched.len() {
            let change = changed.notified();
            tokio::pin!(change);
            change.as_mut().enable();
            for (name, entry) in &watched {
                if entry.state() == NodeState::Stopped && !stopped.contains(name) {
                    stopped.push(name);
                }
            }
            if stopped.len() < watched.len() {
                change.await;
            }
        }
        stopped
    });
    tokio::task::yield_now().await;
    world.steer(APP, NodeCommand::Stop).await.unwrap();
    let order = order.await.unwrap();
    assert_eq!(order, ["sources/door", "sources", "workers/greet", "workers", "health/well"]);
    assert_eq!(world.entry(APP).state(), NodeState::Stopped);
    let refused = world.steer(GREET, NodeCommand::Start).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition, "its supervisor is stopped");
    world.steer(APP, NodeCommand::Start).await.unwrap();
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_runs_and_takes_nothing_new() {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let ends = Arc::new(AtomicU64::new(0));
    let ended = ends.clone();
    let handler = from_fn(move |ctx| {
        let (gate, ended) = (gate.clone(), ended.clone());
        async move {
            gate.notified().await;
            assert!(!ctx.cancelled().is_cancelled(), "a drain asks nobody to hurry");
            ended.fetch_add(1, Ordering::Relaxed);
            done()
        }
    });
    let mut patient = worker("greet", 1, handler);
    Arc::get_mut(&mut patient.descriptor).unwrap().timeout = Duration::from_hours(1);
    let world = Worlds::new().worker(patient).start().await;
    let ids = world.enqueue("greet", 2).await;
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    let drain = world.steering(GREET, NodeCommand::Drain);
    world.until_state(GREET, NodeState::Draining).await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(world.entry(GREET).state(), NodeState::Draining);
    go.notify_one();
    assert_eq!(drain.await.unwrap().unwrap().state, NodeState::Stopped);
    assert_eq!(world.task(ids[0]).await.state, TaskState::Done);
    assert_eq!(world.task(ids[1]).await.state, TaskState::Ready);
    assert_eq!(ends.load(Ordering::Relaxed), 1);

    // A drain that is called off: whoever asked for it hears so, and the worker goes on.
    world.steer(GREET, NodeCommand::Start).await.unwrap();
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    let drain = world.steering(GREET, NodeCommand::Drain);
    world.until_state(GREET, NodeState::Draining).await;
    world.steer(GREET, NodeCommand::Resume).await.unwrap();
    assert_eq!(drain.await.unwrap().unwrap_err().code, ErrorCode::FailedPrecondition);
    go.notify_one();
    world.until_task(ids[1], TaskState::Done).await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_stopping_is_not_turned_round() {
    let handler = from_fn(async |_| std::future::pending().await);
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    world.enqueue("greet", 1).await;
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    let stop = world.steering(GREET, NodeCommand::Stop);
    world.until_state(GREET, NodeState::Stopping).await;
    let refused = world.steer(GREET, NodeCommand::Resize { slots: 2.try_into().unwrap() }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    assert!(world.steer(GREET, NodeCommand::Resume).await.is_err());
    assert_eq!(world.entry(GREET).state(), NodeState::Stopping);
    stop.await.unwrap().unwrap();
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_resize_survives_a_restart_of_the_node_and_more_slots_mean_more_at_once() {
    let handler = from_fn(async |_| std::future::pending().await);
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    world.enqueue("greet", 8).await;
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    world.steer(GREET, NodeCommand::Resize { slots: 5.try_into().unwrap() }).await.unwrap();
    world.until(GREET, |view| view.slots == Some((5, 5))).await;
    assert!(world.entry(GREET).kill());
    world.until(GREET, |view| view.incarnation == 2 && view.slots == Some((5, 5))).await;
    // Also of one that is paused.
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    assert!(world.entry(GREET).kill());
    world.until(GREET, |view| view.incarnation == 3 && view.state == NodeState::Paused).await;
    assert_eq!(world.entry(GREET).view().slots, Some((0, 5)));
    world.steer(GREET, NodeCommand::Resume).await.unwrap();
    world.until(GREET, |view| view.slots == Some((5, 5))).await;
    // Fewer slots: what runs goes on, and nothing new starts until it has room.
    let view = world.steer(GREET, NodeCommand::Resize { slots: 2.try_into().unwrap() }).await.unwrap();
    assert_eq!(view.slots, Some((5, 2)));
    let refused = world.steer(APP, NodeCommand::Resize { slots: 2.try_into().unwrap() }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn status_answers_while_handlers_block_and_says_what_is_wrong() {
    let handler = from_fn(async |_| std::future::pending().await);
    let mut patient = worker("greet", 1, handler);
    Arc::get_mut(&mut patient.descriptor).unwrap().timeout = Duration::from_hours(1);
    let world = Worlds::new().worker(patient).start().await;
    world.enqueue("greet", 10).await;
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    let overview = async || {
        let asked = ask(&*world.control, |reply| Command::GetOverview { reply });
        timeout(Duration::from_millis(50), asked).await.expect("it answers").unwrap()
    };
    assert_eq!(overview().await.health, Health::Healthy);
    tokio::time::sleep(Duration::from_mins(2)).await;
    let late = overview().await;
    assert!(matches!(&late.apps[0].1, Health::Degraded(why) if why.contains("9 tasks wait")), "{late:?}");
    // The store hangs: status says so instead of hanging with it.
    world.store.set(super::kit::StoreCall::Stats, super::kit::Gate::Shut);
    let asked = ask(&*world.control, |reply| Command::GetOverview { reply });
    let hung = timeout(Duration::from_secs(2), asked).await.expect("it answers").unwrap();
    assert!(matches!(&hung.health, Health::Unhealthy(why) if why.contains("store")), "{hung:?}");
    world.store.set(super::kit::StoreCall::Stats, super::kit::Gate::Open);
    // A node hangs at a message: it is shown, after a while.
    let events = world.entry("/engine/events");
    events.sabotage.plant(Point::Handle, How::Hang);
    let (reply, _) = runtime_core::control::Reply::channel();
    events.control(crate::node::ControlMsg::Snapshot(reply));
    tokio::time::sleep(Duration::from_secs(61)).await;
    let asked = ask(&*world.control, |reply| Command::GetOverview { reply }).await.unwrap();
    assert!(matches!(asked.health, Health::Unhealthy(_)));
    let late = vec!["/engine/events".parse().unwrap()];
    assert_eq!(world.stop().await, StopReport::Abandoned(late), "it had to be killed");
}
