//! Where a kind of node has state of its own, what a fault does to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::{Command, NodeCommand, ask};
use runtime_core::health::HealthCheck;
use runtime_core::node::{Health, NodeState};
use runtime_core::task::{TaskId, TaskState};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::kit::{Gate, Outside, StoreCall, Trouble, Worlds, done, from_fn, reporter, worker};
use crate::runtime::StopReport;
use crate::server::Serving;

const GREET: &str = "/engine/apps/shop/workers/greet";
const DOOR: &str = "/engine/apps/shop/sources/door";

#[tokio::test(start_paused = true)]
async fn a_killed_executor_gives_its_leases_back_and_its_tasks_run_exactly_once_more() {
    let begun: Arc<Mutex<BTreeMap<TaskId, usize>>> = Arc::default();
    let begins = begun.clone();
    let handler = from_fn(move |ctx| {
        let first = {
            let mut begins = begins.lock().unwrap();
            let count = begins.entry(ctx.task().id).or_default();
            *count += 1;
            *count == 1
        };
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            done()
        }
    });
    let world = Worlds::new().worker(worker("greet", 4, handler)).start().await;
    let ids = world.enqueue("greet", 4).await;
    while begun.lock().unwrap().len() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let began = Instant::now();
    assert!(world.entry(GREET).kill());
    for id in &ids {
        let task = world.until_task(*id, TaskState::Done).await;
        assert_eq!((task.attempt, task.crash_count, task.epoch.0), (1, 0, 2));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(begun.lock().unwrap().values().all(|count| *count == 2), "{begun:?}");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_killed_completion_node_loses_none_of_the_outcomes_it_had_in_hand() {
    let runs = Arc::new(AtomicUsize::new(0));
    let ran = runs.clone();
    let handler = from_fn(move |_| {
        ran.fetch_add(1, Ordering::Relaxed);
        async { done() }
    });
    let mut worlds = Worlds::new().worker(worker("greet", 6, handler));
    let outside = Outside::new();
    worlds.app.sources.push(outside.source("door", "greet"));
    let world = worlds.start().await;
    // Before the store has the batch, and after it has it and before its answer came.
    for gate in [StoreCall::Settle, StoreCall::SettleAnswer] {
        let (calls, count) = (world.store.count(gate), outside.marks().len());
        let incarnation = world.entry("/engine/completion").incarnation();
        world.store.set(gate, Gate::Shut);
        outside.put((count..count + 6).map(|number| format!("thing-{number}")));
        world.store.called(gate, calls + 1).await;
        assert!(world.entry("/engine/completion").kill());
        world.store.set(gate, Gate::Open);
        world
            .until("/engine/completion", |view| {
                view.incarnation > incarnation && view.state == NodeState::Running
            })
            .await;
        outside.marked(count + 6).await;
        world.idle().await;
        assert_eq!(runs.load(Ordering::Relaxed), count + 6, "nothing that was done was done again: {gate:?}");
    }
    assert_eq!(world.count(TaskState::Done).await, 12);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn the_store_node_comes_back_to_an_open_store_and_goes_on_extending() {
    let handler = from_fn(async |_| {
        tokio::time::sleep(Duration::from_mins(2)).await;
        done()
    });
    let mut patient = worker("greet", 1, handler);
    Arc::get_mut(&mut patient.descriptor).unwrap().timeout = Duration::from_mins(5);
    let world = Worlds::new().worker(patient).start().await;
    for how in ["killed", "restarted"] {
        let incarnation = world.entry(GREET).incarnation();
        if how == "killed" {
            assert!(world.entry("/engine/store").kill());
        } else {
            world.steer("/engine/store", NodeCommand::Restart).await.unwrap();
        }
        // All that start after it depend on it, and come back with it.
        world.until(GREET, |view| view.incarnation > incarnation && view.state == NodeState::Running).await;
        let id = world.enqueue("greet", 1).await[0];
        let extended = world.store.count(StoreCall::Extend);
        let task = world.until_task(id, TaskState::Done).await;
        assert_eq!((task.attempt, task.crash_count, task.epoch.0), (1, 0, 1), "{how}");
        assert!(world.store.count(StoreCall::Extend) >= extended + 10, "{how}");
    }
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_starts_again_and_finds_its_things_again() {
    let runs = Arc::new(AtomicUsize::new(0));
    let ran = runs.clone();
    let handler = from_fn(move |_| {
        ran.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            done()
        }
    });
    let outside = Outside::new();
    let mut worlds = Worlds::new().worker(worker("greet", 10, handler));
    worlds.app.sources.push(outside.source("door", "greet"));
    let world = worlds.start().await;
    outside.put((0..10).map(|number| format!("thing-{number}")));
    world.until(GREET, |view| view.slots == Some((10, 10))).await;
    // It panics while all of it is under way: what was found before is found again, and known.
    outside.trouble.lock().unwrap().push(Trouble::Panic);
    outside.put(["last".to_owned()]);
    world.until(DOOR, |view| view.incarnation == 2 && view.state == NodeState::Running).await;
    outside.marked(11).await;
    assert!(outside.marks().values().all(|states| states == &[TaskState::Done]), "{:?}", outside.marks());
    assert_eq!(runs.load(Ordering::Relaxed), 11);
    let fault = world.entry(DOOR).view().last_fault.unwrap();
    assert!(fault.contains("panic"), "{fault}");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_opened_again_and_marks_what_it_could_not_mark() {
    let outside = Outside::new();
    let mut worlds = Worlds::new().worker(worker("greet", 1, from_fn(async |_| done())));
    worlds.app.sources.push(outside.source("door", "greet"));
    *outside.trouble.lock().unwrap() =
        vec![Trouble::Open, Trouble::Open, Trouble::Mark, Trouble::Mark, Trouble::Next];
    let world = worlds.start().await;
    let view = world.until(DOOR, |view| matches!(view.health, Health::Unhealthy(_))).await;
    assert_eq!(view.state, NodeState::Running, "that the outside is away is no fault of the node");
    outside.put(["thing".to_owned()]);
    outside.marked(1).await;
    assert_eq!(outside.marks()["thing"], [TaskState::Done]);
    assert!(outside.opened.load(Ordering::Relaxed) >= 3);
    let view = world.until(DOOR, |view| view.health == Health::Healthy).await;
    assert_eq!((view.incarnation, view.restarts), (1, 0));
    assert_eq!(world.count(TaskState::Done).await, 1);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_source_marks_what_finished_without_it() {
    // Dead by its deadline, which no attempt reports, and cancelled by an operator: the source hears of both.
    let outside = Outside::new();
    let mut worlds =
        Worlds::new().worker(worker("greet", 1, from_fn(async |_| std::future::pending().await)));
    worlds.app.sources.push(outside.source("door", "greet"));
    let world = worlds.start().await;
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    outside.put(["one".to_owned()]);
    while world.count(TaskState::Ready).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let filter = runtime_core::store::TaskFilter::default();
    let page = ask(&*world.control, |reply| Command::ListTasks { filter, after: None, page_size: 10, reply });
    let id = page.await.unwrap().tasks[0].id;
    world.decide(id, runtime_core::store::TaskCommand::Cancel).await.unwrap();
    outside.marked(1).await;
    assert_eq!(outside.marks()["one"], [TaskState::Cancelled]);
    // Cancelled past the platform's back, as a sweep would end it: found at the next look.
    outside.put(["two".to_owned()]);
    while world.count(TaskState::Ready).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let filter = runtime_core::store::TaskFilter { states: vec![TaskState::Ready], ..Default::default() };
    let page = ask(&*world.control, |reply| Command::ListTasks { filter, after: None, page_size: 10, reply });
    let id = page.await.unwrap().tasks[0].id;
    let cancel = (id, runtime_core::store::TaskCommand::Cancel);
    world.store.inner().steer(vec![cancel]).await.unwrap().pop().unwrap().unwrap();
    outside.marked(2).await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

/// A look that hangs, and says how many are under way.
struct Hanging {
    looks: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
    let_go: Arc<Notify>,
}

struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl HealthCheck for Hanging {
    async fn check(&self) -> Health {
        let beside = self.under_way.fetch_add(1, Ordering::SeqCst);
        let _under_way = UnderWay(self.under_way.clone());
        assert_eq!(beside, 0, "a look beside another");
        match self.looks.fetch_add(1, Ordering::SeqCst) {
            0 => Health::Healthy,
            1 => panic!("the check panics"),
            2 => std::future::pending().await,
            _ => {
                self.let_go.notified().await;
                Health::Degraded("slow".into())
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_panics_or_hangs_reads_as_unhealthy_and_the_next_one_comes() {
    let (looks, let_go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let check = Hanging { looks: looks.clone(), under_way: Arc::default(), let_go: let_go.clone() };
    let mut worlds = Worlds::new();
    worlds.app.health.push(reporter("mood", check));
    let world = worlds.start().await;
    let mood = "/engine/apps/shop/health/mood";
    let view = world
        .until(mood, |view| matches!(&view.health, Health::Unhealthy(why) if why.contains("broke")))
        .await;
    assert_eq!((view.state, view.restarts), (NodeState::Running, 0));
    world
        .until(mood, |view| matches!(&view.health, Health::Unhealthy(why) if why.contains("did not answer")))
        .await;
    let_go.notify_one();
    world.until(mood, |view| view.health == Health::Degraded("slow".into())).await;
    let overview = ask(&*world.control, |reply| Command::GetOverview { reply }).await.unwrap();
    assert_eq!(overview.apps[0].1, Health::Degraded("slow".into()), "an app is as well as its reporters say");
    // Paused, nobody looks.
    world.steer(mood, NodeCommand::Pause).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = looks.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(looks.load(Ordering::SeqCst), before);
    world.steer(mood, NodeCommand::Resume).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(looks.load(Ordering::SeqCst) > before);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_is_started_again_and_one_that_cannot_listen_keeps_the_tree_from_coming_up()
 {
    let (serves, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (served, ending) = (serves.clone(), end.clone());
    let mut worlds = Worlds::new();
    worlds.admin = Some(Box::new(move |_| {
        Arc::new(move |mut serving: Serving| {
            let (run, ending) = (served.fetch_add(1, Ordering::Relaxed), ending.clone());
            Box::pin(async move {
                serving.listening();
                tokio::select! {
                    () = serving.stop.cancelled() => Ok(()),
                    () = ending.notified() => if run == 0 { Ok(()) } else { Err("the wire broke".to_owned()) },
                }
            })
        })
    }));
    let world = worlds.start().await;
    for (run, why) in [(1, "nobody asked"), (2, "the wire broke")] {
        end.notify_one();
        let view = world
            .until("/control/admin", |view| view.incarnation == run + 1 && view.state == NodeState::Running)
            .await;
        assert!(view.last_fault.as_ref().unwrap().contains(why), "{view:?}");
    }
    assert_eq!(world.stop().await, StopReport::Clean);
    assert_eq!(serves.load(Ordering::Relaxed), 3);

    let mut worlds = Worlds::new();
    worlds.admin =
        Some(Box::new(|_| Arc::new(|_| Box::pin(async { Err("the address is in use".to_owned()) }))));
    let refused = worlds.try_start().await.err().expect("no tree without its server");
    assert!(refused.message.contains("the address is in use"), "{refused}");
}
