//! The end: who stops when, what is waited for, what is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runtime_core::control::{Command, ask};
use runtime_core::error::ErrorCode;
use runtime_core::event::NewEvent;
use runtime_core::store::StoreError;
use runtime_core::task::TaskState;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::kit::{Facts, Outside, StoreCall, Worlds, done, from_fn, once_told, worker};
use super::sabotage::{How, Point};
use crate::runtime::StopReport;

const GREET: &str = "/engine/apps/shop/workers/greet";

#[tokio::test(start_paused = true)]
async fn attempts_finish_within_the_grace_and_their_outcomes_and_facts_get_out() {
    let facts = Facts::new();
    let handler = from_fn(async |ctx| {
        tokio::time::sleep(Duration::from_secs(4)).await;
        ctx.emit(NewEvent { kind: "greeted".into(), body: b"null".to_vec() });
        done()
    });
    let mut worlds = Worlds::new().worker(worker("greet", 3, handler));
    worlds.app.subscribers.push(facts.clone());
    let store = worlds.store.clone();
    let world = worlds.start().await;
    let ids = world.enqueue("greet", 5).await;
    world.until(GREET, |view| view.slots == Some((3, 3))).await;
    let began = Instant::now();
    assert_eq!(world.stop().await, StopReport::Clean);
    assert!(began.elapsed() < Duration::from_secs(5), "as long as the attempts took: {:?}", began.elapsed());
    assert_eq!(facts.heard().len(), 3);
    assert_eq!(store.count(StoreCall::Close), 1);
    let closed = store.inner().get(vec![ids[0]]).await.unwrap_err();
    assert_eq!(closed, StoreError::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_within_the_grace_is_released_and_not_counted() {
    let cancelled = Arc::new(AtomicUsize::new(0));
    let seen = cancelled.clone();
    let handler = from_fn(move |ctx| {
        let seen = seen.clone();
        async move {
            ctx.cancelled().cancelled().await;
            seen.fetch_add(1, Ordering::Relaxed);
            std::future::pending().await
        }
    });
    let mut patient = worker("greet", 3, handler);
    Arc::get_mut(&mut patient.descriptor).unwrap().timeout = Duration::from_hours(1);
    let world = Worlds::new().worker(patient).start().await;
    let ids = world.enqueue("greet", 5).await;
    world.until(GREET, |view| view.slots == Some((3, 3))).await;
    let store = world.store.inner();
    let (app, began) = (world.entry("/engine/apps/shop"), Instant::now());
    // The app alone is stopped, so that the store can still be looked at.
    world.steer("/engine/apps/shop", runtime_core::control::NodeCommand::Stop).await.unwrap();
    let took = began.elapsed();
    assert!(
        (Duration::from_secs(5)..Duration::from_secs(6)).contains(&took),
        "the grace, and no more: {took:?}"
    );
    assert_eq!(cancelled.load(Ordering::Relaxed), 3, "each was asked first");
    assert_eq!(app.view().restarts, 0);
    // The executor ended when all was settled, so nothing is left under a lease.
    for task in store.get(ids).await.unwrap() {
        let task = task.unwrap();
        assert_eq!((task.state, task.attempt, task.crash_count), (TaskState::Ready, 0, 0));
    }
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn many_workers_share_one_grace() {
    let mut worlds = Worlds::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        worlds = worlds.worker(worker(name, 1, from_fn(async |_| std::future::pending().await)));
    }
    let world = worlds.start().await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        world.enqueue(name, 1).await;
        world.until(&format!("/engine/apps/shop/workers/{name}"), |view| view.slots == Some((1, 1))).await;
    }
    let began = Instant::now();
    assert_eq!(world.stop().await, StopReport::Clean);
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn commands_are_refused_from_the_first_moment_of_the_stop() {
    let go = Arc::new(Notify::new());
    let world = Worlds::new().worker(worker("greet", 1, once_told(&go))).start().await;
    world.enqueue("greet", 1).await;
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    let control = world.control.clone();
    let waiting = {
        let control = control.clone();
        tokio::spawn(async move { ask(&*control, |reply| Command::AwaitIdle { reply }).await })
    };
    tokio::task::yield_now().await;
    let stop = tokio::spawn(world.stop());
    tokio::task::yield_now().await;
    let refused = ask(&*control, |reply| Command::GetInfo { reply }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ShuttingDown);
    assert_eq!(waiting.await.unwrap().unwrap_err().code, ErrorCode::ShuttingDown, "nobody waits for ever");
    go.notify_one();
    assert_eq!(stop.await.unwrap(), StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn no_task_begins_from_the_first_moment_of_the_stop() {
    let go = Arc::new(Notify::new());
    let world = Worlds::new().worker(worker("greet", 1, once_told(&go))).start().await;
    let ids = world.enqueue("greet", 3).await;
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    // The worker has not been told yet: sources stop before it. What it has leased ahead stays, too.
    world.core.begin_stop(None);
    go.notify_one();
    world.until(GREET, |view| view.slots == Some((0, 1)) && view.queued == 0).await;
    let store = world.store.inner();
    let states: Vec<_> = store.get(ids).await.unwrap().into_iter().map(|task| task.unwrap().state).collect();
    assert_eq!(states, [TaskState::Done, TaskState::Ready, TaskState::Ready]);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_second_stop_changes_nothing_about_the_first() {
    let handler = from_fn(async |_| std::future::pending().await);
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    world.enqueue("greet", 1).await;
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    let (root, worker) = (world.entry("/"), world.entry(GREET));
    let stop = tokio::spawn(world.stop());
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The same wish again, to the root and to a node that is at it already: it is not begun anew, and its grace is not either.
    let began = Instant::now();
    assert!(root.control(crate::node::ControlMsg::Stop));
    assert!(worker.control(crate::node::ControlMsg::Stop));
    assert_eq!(stop.await.unwrap(), StopReport::Clean);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_store_that_fails_and_gives_up_in_the_end() {
    let world = Worlds::new().worker(worker("greet", 1, from_fn(async |_| done()))).start().await;
    let store = world.store.clone();
    store.fail(StoreCall::Settle);
    world.enqueue("greet", 1).await;
    store.called(StoreCall::Settle, 2).await;
    let stop = tokio::spawn(world.stop());
    tokio::time::sleep(Duration::from_secs(8)).await;
    store.set(StoreCall::Settle, super::kit::Gate::Open);
    assert_eq!(stop.await.unwrap(), StopReport::Clean);
    assert_eq!(store.count(StoreCall::Close), 1);

    // One that never comes back: every deadline passes, and the process can end all the same.
    let world = Worlds::new().worker(worker("greet", 1, from_fn(async |_| done()))).start().await;
    world.store.fail(StoreCall::Settle);
    world.enqueue("greet", 1).await;
    world.store.called(StoreCall::Settle, 2).await;
    let began = Instant::now();
    let report = world.stop().await;
    let late = vec!["/engine/completion".parse().unwrap()];
    assert_eq!(report, StopReport::Abandoned(late), "it could not write what it had");
    assert!(
        began.elapsed() < crate::runtime::stop_within(super::kit::timing().grace),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_whose_queue_is_full_or_whose_outside_hangs_stops_in_order() {
    let outside = Outside::new();
    let mut worlds =
        Worlds::new().worker(worker("greet", 1, from_fn(async |_| std::future::pending().await)));
    worlds.app.sources.push(outside.source("door", "greet"));
    let limits = runtime_core::limits::StoreLimits { queue_capacity: 3, ..Default::default() };
    let small = runtime_stores::MemoryStore::new(worlds.clock.clone(), limits);
    worlds.store = super::kit::FaultyStore::new(Arc::new(small));
    let world = worlds.start().await;
    outside.put((0..10).map(|number| format!("thing-{number}")));
    let view = world
        .until("/engine/apps/shop/sources/door", |view| {
            matches!(view.health, runtime_core::node::Health::Degraded(_))
        })
        .await;
    assert!(format!("{:?}", view.health).contains("full"));
    let source = world.entry("/engine/apps/shop/sources/door");
    let began = Instant::now();
    assert_eq!(world.stop().await, StopReport::Clean);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert!(source.view().last_fault.is_none(), "it was not killed: {:?}", source.view().last_fault);
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_broke_says_so_and_closes_the_store() {
    let world = Worlds::new().worker(worker("greet", 1, from_fn(async |_| done()))).start().await;
    let store = world.store.clone();
    let mut broken = world.core.broken();
    for run in 1..=6 {
        world
            .until("/engine", |view| {
                view.incarnation >= run && view.state == runtime_core::node::NodeState::Running
            })
            .await;
        world.entry("/engine").sabotage.plant(Point::Handle, How::Panic);
        let (reply, _) = runtime_core::control::Reply::channel();
        world.entry("/engine").control(crate::node::ControlMsg::Snapshot(reply));
    }
    broken.wait_for(Option::is_some).await.unwrap();
    let StopReport::Broken(fault) = world.stop().await else { panic!("it broke") };
    assert!(fault.contains("/engine: panic: planted"), "{fault}");
    assert_eq!(store.count(StoreCall::Close), 1);
}
