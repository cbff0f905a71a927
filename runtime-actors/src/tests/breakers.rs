//! Breakers around what workers depend on: tasks wait while it is down, and what was done is settled whatever they say.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use runtime_core::control::{Command, NodeCommand, RunAsk, RunSelection, ask};
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::flow::{BreakerPolicy, BreakerState};
use runtime_core::handler::{Context, Handler};
use runtime_core::name::{CorrelationId, DependencyName};
use runtime_core::node::Health;
use runtime_core::outcome::Outcome;
use runtime_core::task::TaskState;
use tokio::sync::Notify;

use super::kit::{PausedClock, World, Worlds, done, from_fn, worker};
use crate::registry::{AppPlan, WorkerPlan};
use crate::runtime::StopReport;
use crate::services::breakers::Breakers;
use crate::table::NodeAddress;

const GREET: &str = "/engine/apps/shop/workers/greet";

fn smtp() -> DependencyName {
    DependencyName::new("smtp").unwrap()
}

/// Opens after three failures for ten seconds, then for twenty.
fn policy() -> BreakerPolicy {
    BreakerPolicy {
        failures: const { NonZeroU32::new(3).expect("not zero") },
        open_for: Duration::from_secs(10),
        ..BreakerPolicy::default()
    }
}

fn needing(plan: WorkerPlan, needs: &[DependencyName]) -> WorkerPlan {
    let mut descriptor = (*plan.descriptor).clone();
    descriptor.dependencies = needs.to_vec();
    WorkerPlan { descriptor: Arc::new(descriptor), ..plan }
}

/// An outside that is down until it is up, and counts who called.
#[derive(Clone, Default)]
struct Server {
    up: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Server {
    fn handler(&self) -> impl Handler + use<> {
        let server = self.clone();
        from_fn(move |_| {
            server.calls.fetch_add(1, Ordering::Relaxed);
            let up = server.up.load(Ordering::Relaxed);
            async move { if up { done() } else { Err(TaskError::retryable("down").of_dependency(smtp()).into()) } }
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn start(plan: WorkerPlan) -> World {
    let mut worlds = Worlds::new().worker(plan);
    worlds.app.dependencies.insert(smtp(), policy());
    worlds.start().await
}

async fn until_held(world: &World) -> String {
    let view = world.until(GREET, |view| matches!(view.health, Health::Degraded(_))).await;
    let Health::Degraded(text) = view.health else { unreachable!("it was just looked at") };
    text
}

#[tokio::test(start_paused = true)]
async fn tasks_wait_while_a_dependency_is_down_and_go_on_when_a_probe_went_well() {
    let server = Server::default();
    let world = start(needing(worker("greet", 1, server.handler()), &[smtp()])).await;
    let ids = world.enqueue("greet", 20).await;
    let text = until_held(&world).await;
    assert!(text.starts_with("waits for dependency smtp until "), "{text}");
    assert_eq!(server.calls(), 3, "three failures open it");

    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(server.calls(), 3, "nobody calls while it is open");
    assert_eq!(world.count(TaskState::Ready).await, 20, "tasks are delayed, not failed");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.calls(), 4, "one probe, by itself, and it opens again");
    tokio::time::sleep(Duration::from_secs(17)).await;
    assert_eq!(server.calls(), 4, "for longer");

    server.up.store(true, Ordering::Relaxed);
    world.idle().await;
    assert_eq!(server.calls(), 4 + 20);
    for id in ids {
        assert_eq!(world.task(id).await.state, TaskState::Done);
    }
    assert_eq!(world.entry(GREET).view().health, Health::Healthy);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn operators_see_where_a_breaker_stands_and_a_run_names_it_or_is_the_probe() {
    let server = Server::default();
    let world = start(needing(worker("greet", 1, server.handler()), &[smtp()])).await;
    let seen = async || {
        let overview = ask(&*world.control, |reply| Command::GetOverview { reply }).await.unwrap();
        let [seen] = <[_; 1]>::try_from(overview.dependencies).unwrap();
        assert_eq!((&seen.name, seen.workers[0].as_str()), (&smtp(), "greet"));
        seen.breaker
    };
    assert_eq!(seen().await.state, BreakerState::Closed);
    let ids = world.enqueue("greet", 4).await;
    until_held(&world).await;
    let open = seen().await;
    assert_eq!((open.state, open.failures), (BreakerState::Open, 3));

    let run = |task| RunAsk {
        worker: "greet".parse().unwrap(),
        selection: RunSelection::Task(task),
        correlation: CorrelationId::new("look").unwrap(),
        once: true,
        rebuild: false,
        dry_run: false,
    };
    let ready = async || {
        let tasks = world.store.inner().get(ids.clone()).await.unwrap().into_iter().flatten();
        tasks.filter(|task| task.state == TaskState::Ready).map(|task| task.id).last().unwrap()
    };
    let refused = world.run(run(ready().await)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::DependencyDown);
    let until = format!("{:.0}", open.until.unwrap());
    assert!(refused.message.contains("smtp") && refused.message.contains(&until), "{refused}");
    assert!(refused.retry_after.is_some_and(|wait| wait <= Duration::from_secs(10)), "{refused:?}");
    assert_eq!(server.calls(), 3, "nobody called");

    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    server.up.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let probe = ready().await;
    assert_eq!(world.run(run(probe)).await.unwrap().counts.of(TaskState::Done), 1, "it is the probe");
    assert_eq!(seen().await.state, BreakerState::Closed);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn without_a_breaker_every_task_dies_of_the_outage() {
    let server = Server::default();
    let world = start(worker("greet", 1, server.handler())).await;
    world.enqueue("greet", 20).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!((server.calls(), world.count(TaskState::Dead).await), (60, 20), "the control");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_settled_while_the_breaker_is_open() {
    let (go, server) = (Arc::new(Notify::new()), Server::default());
    let (gate, failing) = (go.clone(), Arc::new(server.handler()));
    let first = Arc::new(AtomicBool::new(true));
    let handler = from_fn(move |ctx: Context| {
        let (gate, failing) = (gate.clone(), failing.clone());
        let waits = first.swap(false, Ordering::Relaxed);
        async move {
            if !waits {
                return failing.run(ctx, b"null").await;
            }
            gate.notified().await;
            done()
        }
    });
    let world = start(needing(worker("greet", 2, handler), &[smtp()])).await;
    let ids = world.enqueue("greet", 10).await;
    until_held(&world).await;
    assert_eq!(world.task(ids[0]).await.state, TaskState::Leased);
    let run = world.run(RunAsk {
        worker: "greet".parse().unwrap(),
        selection: RunSelection::Task(ids[9]),
        correlation: CorrelationId::new("look").unwrap(),
        once: true,
        rebuild: false,
        dry_run: false,
    });
    let refused = run.await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::DependencyDown, "an operator's run is not let through either");
    assert_eq!(world.task(ids[9]).await.state, TaskState::Ready);

    go.notify_one();
    world.until_task(ids[0], TaskState::Done).await;
    assert_eq!(server.calls(), 3);
    until_held(&world).await;
    server.up.store(true, Ordering::Relaxed);
    world.idle().await;
    assert_eq!(world.count(TaskState::Done).await, 10);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_blames_nobody_opens_nothing() {
    let handler = from_fn(async |_| Err(TaskError::retryable("a bug of our own").into()));
    let world = start(needing(worker("greet", 1, handler), &[smtp()])).await;
    world.enqueue("greet", 5).await;
    world.idle().await;
    assert_eq!(world.count(TaskState::Dead).await, 5);
    assert_eq!(world.entry(GREET).view().health, Health::Healthy);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn permits_are_of_all_dependencies_or_of_none_and_a_probe_that_said_nothing_gives_its_place_back() {
    let (bank, both) = (DependencyName::new("bank").unwrap(), [DependencyName::new("bank").unwrap(), smtp()]);
    let worlds = Worlds::new();
    let mut app: AppPlan = worlds.app;
    app.workers = vec![needing(worker("greet", 1, from_fn(async |_| done())), &both)];
    app.dependencies.insert(smtp(), policy());
    let platform = super::kit::platform(worlds.store, PausedClock::new());
    let entry = platform.table.declare(super::kit::path("/greet"), runtime_core::node::NodeKind::Executor);
    let breakers = Breakers::of(&app, platform.clock.clone(), platform.journal.clone(), |_| {
        NodeAddress::of(entry.clone())
    });
    let down = Outcome::Retry {
        error: TaskError::retryable("down").of_dependency(smtp()),
        after: Duration::from_secs(1),
    };
    for _ in 0..3 {
        let permits = breakers.allow(&both).unwrap();
        assert_eq!(permits.len(), 2);
        breakers.report(permits, &down);
    }
    assert_eq!(breakers.allow(&both).unwrap_err().dependency, smtp());
    assert!(breakers.room(&[bank]).is_ok(), "the other one is not blamed");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(breakers.room(&both), Ok(1));
    let probe = breakers.allow(&both).unwrap();
    assert_eq!(breakers.room(&both).unwrap_err().until, None, "one probe at a time");
    breakers.report(probe, &Outcome::Snooze { wait: Duration::from_secs(1) });
    let probe = breakers.allow(&both).unwrap();
    breakers.report(probe, &Outcome::Done { output: b"null".to_vec() });
    assert_eq!(breakers.room(&both), Ok(usize::MAX));
}

#[tokio::test(start_paused = true)]
async fn the_table_lists_workers_in_start_order_whichever_of_them_depends_on_something() {
    let idle = || from_fn(|_| async { done() });
    let mut worlds = Worlds::new()
        .worker(worker("free", 1, idle()))
        .worker(needing(worker("bound", 1, idle()), &[smtp()]))
        .worker(worker("last", 1, idle()));
    worlds.app.dependencies.insert(smtp(), policy());
    let world = worlds.start().await;
    let app = "/engine/apps/shop".parse().unwrap();
    let tree = ask(&*world.control, |reply| Command::GetTree { root: app, reply }).await.unwrap();
    let names: Vec<&str> = tree.iter().map(|node| node.path.name()).collect();
    assert_eq!(names, ["shop", "workers", "free", "bound", "last"]);
    assert_eq!(world.stop().await, StopReport::Clean);
}
