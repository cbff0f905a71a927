//! What a paused clock cannot show: threads that spin, a real disk, a mailbox behind which nobody waits.
//!
//! Times are measured and printed; what is asserted is generous, so that a slow machine fails nothing.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::clock::Clock;
use runtime_core::control::{Command, NodeCommand, ask};
use runtime_core::error::ErrorCode;
use runtime_core::node::{Health, NodeKind, NodePath, NodeState};
use runtime_core::store::Store;
use runtime_core::supervision::{ChildSpec, Fault, RestartBudget, Strategy, SupervisorSpec};
use runtime_core::task::TaskState;
use runtime_stores::{SqliteOptions, SqliteStore, SystemClock};
use tokio::time::Instant;

use super::kit::{FaultyStore, Outside, World, Worlds, done, from_fn, path, worker};
use crate::node::{NodeActor, NodeContext};
use crate::runtime::StopReport;
use crate::supervisor::{ChildPlan, Root, StopOrder, Supervisor};
use crate::table::{NodeAddress, NodeTable};
use crate::work_pool::WorkPool;

/// App `shop` on SQLite in a folder of its own, with handlers on threads of their own.
fn on_disk(folder: &tempfile::TempDir, threads: usize) -> Worlds {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let instance = "test-1".parse().unwrap();
    let options = SqliteOptions::new(folder.path().join("store.db"), instance, clock.clone());
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).expect("a store"));
    let mut worlds = Worlds::on(FaultyStore::new(store), clock);
    worlds.pool = Some(WorkPool::start(NonZeroUsize::new(threads).unwrap()).expect("threads"));
    worlds.timing.stuck_after = Duration::from_millis(500);
    worlds
}

/// Lets every handler that spins come to an end, also when the test fails.
#[derive(Default)]
struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How long the tree takes to answer, over so many questions.
async fn answer_times(world: &World, questions: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(questions);
    for _ in 0..questions {
        let began = Instant::now();
        ask(&*world.control, |reply| Command::GetTree { root: NodePath::root(), reply })
            .await
            .expect("a tree");
        ask(&*world.control, |reply| Command::GetOverview { reply }).await.expect("an overview");
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_answers_while_every_handler_thread_spins_and_a_hundred_thousand_tasks_wait() {
    const THREADS: usize = 2;
    let folder = tempfile::tempdir().unwrap();
    let release = Release::default();
    let spun = Arc::new(AtomicUsize::new(0));
    let spinning = {
        let (release, spun) = (release.0.clone(), spun.clone());
        from_fn(move |_| {
            let (release, spun) = (release.clone(), spun.clone());
            async move {
                spun.fetch_add(1, Ordering::Relaxed);
                while !release.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                    std::thread::yield_now();
                }
                done()
            }
        })
    };
    let mut spinner = worker("spin", THREADS, spinning);
    let descriptor = Arc::get_mut(&mut spinner.descriptor).unwrap();
    descriptor.timeout = Duration::from_millis(500);
    descriptor.retry.max_attempts = std::num::NonZeroU32::MIN;
    let mut sleeper = worker(
        "sleep",
        1,
        from_fn(async |_| {
            tokio::time::sleep(Duration::from_hours(1)).await;
            done()
        }),
    );
    Arc::get_mut(&mut sleeper.descriptor).unwrap().timeout = Duration::from_hours(2);
    let outside = Outside::new();
    let mut worlds = on_disk(&folder, THREADS);
    worlds.app.sources.push(outside.source("door", "sleep"));
    let world = worlds
        .worker(spinner)
        .worker(sleeper)
        .worker(worker("greet", 4, from_fn(async |_| done())))
        .start()
        .await;
    // A hundred thousand wait, on disk, while their worker is paused.
    world.steer("/engine/apps/shop/workers/greet", NodeCommand::Pause).await.unwrap();
    for _ in 0..20 {
        world.enqueue("greet", 5_000).await;
    }
    let hour = world.enqueue("sleep", 1).await[0];
    world.until("/engine/apps/shop/workers/sleep", |view| view.slots == Some((1, 1))).await;
    let calm = answer_times(&world, 20).await;

    let spinning = world.enqueue("spin", THREADS).await;
    while spun.load(Ordering::Relaxed) < THREADS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let times = answer_times(&world, 200).await;
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "status with {THREADS} of {THREADS} handler threads spinning and 100,000 tasks waiting: p50 {:?}, p99 {:?}, max {:?}; calm: p50 {:?}",
        at(50),
        at(99),
        at(100),
        calm[calm.len() / 2]
    );
    assert!(at(50) < Duration::from_secs(1), "{:?}", at(50));

    // The spinning attempts are shown stuck and fenced off, and the instance says that it is degraded.
    let view = world.until("/engine/apps/shop/workers/spin", |view| view.stuck == THREADS as u64).await;
    assert_eq!(view.state, NodeState::Running);
    for id in &spinning {
        let task = world.until_task(*id, TaskState::Dead).await;
        assert_eq!(task.last_error.unwrap().code, ErrorCode::AttemptTimedOut, "ended without its handler");
    }
    while !world.platform().pool.is_degraded() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let overview = ask(&*world.control, |reply| Command::GetOverview { reply }).await.unwrap();
    assert_ne!(overview.health, Health::Healthy);
    assert!(format!("{:?}", overview.apps[0].1).contains("stuck"), "{overview:?}");

    // So does the source: what lies outside is found and taken in, although its first pump sits on a held thread.
    let door = world.until("/engine/apps/shop/sources/door", |view| view.incarnation == 2).await;
    assert!(door.last_fault.unwrap().contains("hold the threads"));
    outside.put(["thing".to_owned()]);
    world.until("/engine/apps/shop/sources/door", |view| view.handled == 1).await;

    // Other workers go on, on a thread that takes the place of those that spin.
    world.steer("/engine/apps/shop/workers/greet", NodeCommand::Resume).await.unwrap();
    world.until("/engine/apps/shop/workers/greet", |view| view.handled >= 500).await;
    assert!(world.platform().pool.replacements() >= 1);
    world.steer("/engine/apps/shop/workers/greet", NodeCommand::Pause).await.unwrap();

    // Once they yield, their threads get the work back and nothing is stuck any more; what they bring is too late.
    drop(release);
    world.until("/engine/apps/shop/workers/spin", |view| view.stuck == 0 && view.slots == Some((0, 2))).await;
    while world.platform().pool.is_degraded() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for id in spinning {
        assert_eq!(world.task(id).await.state, TaskState::Dead, "a late outcome is refused");
    }
    // The sleeper is cancelled by the stop of its worker: asked, then ended after the grace, and not counted.
    let inner = world.store.inner();
    world.steer("/engine/apps/shop/workers/sleep", NodeCommand::Stop).await.unwrap();
    loop {
        let task = inner.get(vec![hour]).await.unwrap().pop().flatten().unwrap();
        if task.state == TaskState::Ready {
            break assert_eq!((task.attempt, task.crash_count), (0, 0));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_handler_spins_is_stopped_and_its_task_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let release = Release::default();
    let (spun, flag) = (Arc::new(AtomicUsize::new(0)), release.0.clone());
    let spins = spun.clone();
    let handler = from_fn(move |_| {
        let (first, flag) = (spins.fetch_add(1, Ordering::SeqCst) == 0, flag.clone());
        async move {
            while first && !flag.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            done()
        }
    });
    let mut worlds = on_disk(&folder, 2).worker(worker("greet", 1, handler));
    worlds.timing.grace = Duration::from_millis(200);
    let world = worlds.start().await;
    let id = world.enqueue("greet", 1).await[0];
    while spun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Its handler never yields: after the grace and one second more its lease is given back all the same.
    world.steer("/engine/apps/shop/workers/greet", NodeCommand::Stop).await.unwrap();
    let task = world.until_task(id, TaskState::Ready).await;
    assert_eq!((task.attempt, task.crash_count), (0, 0));
    world.steer("/engine/apps/shop/workers/greet", NodeCommand::Start).await.unwrap();
    let task = world.until_task(id, TaskState::Done).await;
    assert_eq!((task.attempt, task.epoch.0), (1, 2));
    // The same when its executor is killed.
    assert!(world.platform().leases.all().is_empty());
    drop(release);
    assert_eq!(world.stop().await, StopReport::Clean);
}

/// A node that spins in its mailbox until it is let go.
struct Spinner {
    release: Arc<AtomicBool>,
    spinning: Arc<AtomicUsize>,
}

#[async_trait]
impl NodeActor for Spinner {
    type Msg = ();

    async fn handle(&mut self, _: &NodeContext<()>, (): ()) -> Result<(), Fault> {
        self.spinning.fetch_add(1, Ordering::SeqCst);
        while !self.release.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_node_that_spins_is_asked_then_killed_then_abandoned_and_its_late_end_changes_nothing() {
    let release = Release::default();
    let spinning = Arc::new(AtomicUsize::new(0));
    let table = Arc::new(NodeTable::new(Arc::new(SystemClock), Arc::default()));
    let root = table.declare(NodePath::root(), NodeKind::Supervisor);
    let spinner = table.declare(path("/spinner"), NodeKind::Executor);
    let spec = ChildSpec {
        stop_within: Duration::from_millis(100),
        kill_within: Duration::from_millis(100),
        ..ChildSpec::new("spinner")
    };
    let (entry, flag, count) = (spinner.clone(), release.0.clone(), spinning.clone());
    let plan = ChildPlan::new(ChildSpec::new("root"), root.clone(), move || {
        let (flag, count) = (flag.clone(), count.clone());
        let child = ChildPlan::new(spec.clone(), entry.clone(), move || Spinner {
            release: flag.clone(),
            spinning: count.clone(),
        });
        let spec = SupervisorSpec {
            path: "/".into(),
            strategy: Strategy::OneForOne,
            budget: RestartBudget::default(),
            children: Vec::new(),
        };
        Supervisor::new(spec, StopOrder::RightToLeft, vec![child])
    });
    let mut tree = Root::start(plan).await.unwrap();
    let message = NodeAddress::<()>::of(spinner.clone());
    assert!(message.send(()).is_ok());
    while spinning.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(spinner.view().busy_since.is_some());
    let root = NodeAddress::<crate::supervisor::SupervisorMsg>::of(root);
    let wish = async |make: fn(_, _) -> _| {
        let (reply, answer) = runtime_core::control::Reply::channel();
        assert!(root.send(make("spinner".into(), reply)).is_ok());
        answer.await.expect("the supervisor answers")
    };
    assert_eq!(wish(crate::supervisor::SupervisorMsg::StopChild).await, Ok(()));
    assert_eq!(spinner.state(), NodeState::Abandoned);
    assert_eq!(wish(crate::supervisor::SupervisorMsg::StartChild).await, Ok(()));
    assert_eq!((spinner.state(), spinner.incarnation()), (NodeState::Running, 2));
    // The first run comes to its end now: the second one is not touched by it.
    drop(release);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(200) {
        assert_eq!((spinner.state(), spinner.incarnation()), (NodeState::Running, 2));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(message.send(()).is_ok(), "its door is open");
    assert_eq!(tree.stop().await, Ok(()));
    assert_eq!(spinner.state(), NodeState::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_disk_when_every_node_of_the_engine_is_killed_over_and_over() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let ran = runs.clone();
    let handler = from_fn(move |_| {
        ran.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            done()
        }
    });
    let world = on_disk(&folder, 2).worker(worker("greet", 8, handler)).start().await;
    world.enqueue("greet", 3_000).await;
    for node in [
        "/engine/apps/shop/workers/greet",
        "/engine/completion",
        "/engine/apps/shop/workers",
        "/engine/events",
        "/engine/store",
        "/engine/apps",
        "/engine",
    ] {
        let handled = world.entry("/engine/apps/shop/workers/greet").view().handled;
        world.until("/engine/apps/shop/workers/greet", |view| view.handled > handled + 50).await;
        assert!(world.entry(node).kill(), "{node}");
        world.until(node, |view| view.state != NodeState::Running).await;
        for entry in world.platform().table.under(&NodePath::root()) {
            world.until(entry.path().as_str(), |view| view.state == NodeState::Running).await;
        }
    }
    world.idle().await;
    assert_eq!(world.count(TaskState::Done).await, 3_000);
    assert!(world.platform().leases.all().is_empty());
    println!("3,000 tasks over 7 kills took {} runs", runs.load(Ordering::Relaxed));
    assert_eq!(world.stop().await, StopReport::Clean);
}
