//! One worker for one task or one scope, through its own node, whatever else is paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::{Command, NodeCommand, Reply, RunAsk, RunProgress, RunSelection};
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::handler::NotDone;
use runtime_core::name::{CorrelationId, IdempotencyKey};
use runtime_core::node::NodeState;
use runtime_core::rebuild::{Rebuild, RebuildAsk, RebuildPlan};
use runtime_core::task::{NewTask, TaskState};
use tokio::sync::{Notify, watch};

use super::{DOOR, GREET, WAVE};
use crate::runtime::StopReport;
use crate::tests::kit::{Outside, World, Worlds, done, from_fn, route, worker};

fn run_of(selection: RunSelection) -> RunAsk {
    RunAsk {
        worker: "greet".parse().unwrap(),
        selection,
        correlation: CorrelationId::new("look").unwrap(),
        once: false,
        rebuild: false,
        dry_run: false,
    }
}

fn of_scope(scope: &str) -> RunAsk {
    run_of(RunSelection::Scope { scope: scope.parse().unwrap(), since: None, until: None })
}

async fn enqueue(world: &World, scope: &str, count: usize) -> Vec<runtime_core::task::TaskId> {
    let scoped = |task| NewTask { scope: Some(scope.parse().unwrap()), ..task };
    world.enqueue_with("greet", count, scoped).await
}

fn quick() -> Worlds {
    Worlds::new().worker(worker("greet", 2, from_fn(async |_| done()))).worker(worker(
        "wave",
        2,
        from_fn(async |_| done()),
    ))
}

#[tokio::test(start_paused = true)]
async fn one_scope_runs_while_the_rest_stays_paused() {
    let world = quick().start().await;
    for paused in [GREET, WAVE] {
        world.steer(paused, NodeCommand::Pause).await.unwrap();
    }
    let (mine, other) = (enqueue(&world, "store=42", 5).await, enqueue(&world, "store=43", 5).await);
    let elsewhere = world.enqueue("wave", 3).await;

    let dry = world.run(RunAsk { dry_run: true, ..of_scope("store=42") }).await.unwrap();
    assert_eq!((dry.selected, dry.counts.live() + dry.counts.of(TaskState::Done)), (5, 0));
    assert_eq!(world.count(TaskState::Ready).await, 13, "a dry run changes nothing");

    let run = world.run(of_scope("store=42")).await.unwrap();
    assert_eq!((run.selected, run.counts.of(TaskState::Done), run.refused), (5, 5, 0));
    for id in mine {
        assert_eq!(world.task(id).await.state, TaskState::Done);
        let attempts = world.store.inner().attempts(id).await.unwrap();
        assert_eq!(attempts.len(), 1, "through the production path, once");
    }
    for id in other.into_iter().chain(elsewhere) {
        assert_eq!(world.task(id).await.state, TaskState::Ready);
    }
    assert_eq!(world.entry(GREET).state(), NodeState::Paused, "it is as it was");
    let again = world.run(of_scope("store=42")).await.unwrap();
    assert_eq!(again, RunProgress::default(), "nothing is left to run");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn in_a_quiet_tree_only_what_is_asked_for_moves_and_no_wish_is_stored() {
    let outside = Outside::new();
    let mut worlds = quick();
    worlds.app.sources.push(outside.source("door", "greet"));
    worlds.quiet = true;
    outside.put(["thing".to_owned()]);
    let world = worlds.start().await;
    for node in [GREET, WAVE, DOOR, "/control/schedules", "/control/operations"] {
        assert_eq!(world.entry(node).state(), NodeState::Paused, "{node}");
    }
    let (mine, other) = (enqueue(&world, "store=42", 2).await, enqueue(&world, "store=43", 1).await);
    let run = world.run(of_scope("store=42")).await.unwrap();
    assert_eq!(run.counts.of(TaskState::Done), 2);
    assert_eq!(world.task(mine[0]).await.state, TaskState::Done);
    assert_eq!(world.task(other[0]).await.state, TaskState::Ready);
    assert_eq!(world.count(TaskState::Ready).await, 1, "and the thing outside was not taken in");
    assert!(world.store.inner().desired().await.unwrap().is_empty());
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn once_leaves_what_failed_to_its_retry_and_without_it_the_run_goes_on_until_nothing_is_ready() {
    let attempts = Arc::new(AtomicU64::new(0));
    let count = attempts.clone();
    let handler = from_fn(move |_| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { Err(NotDone::Snooze { wait: Duration::ZERO }) } else { done() } }
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    let id = enqueue(&world, "store=1", 1).await[0];
    let once = world.run(RunAsk { once: true, ..of_scope("store=1") }).await.unwrap();
    assert_eq!((once.selected, once.counts.of(TaskState::Done)), (1, 0));
    world.until_task(id, TaskState::Ready).await;
    let rest = world.run(of_scope("store=1")).await.unwrap();
    assert_eq!((rest.selected, rest.counts.of(TaskState::Done)), (1, 1));
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_a_slot_and_goes_before_the_queue() {
    let (go, order) = (Arc::new(Notify::new()), Arc::new(std::sync::Mutex::new(Vec::new())));
    let (gate, began) = (go.clone(), order.clone());
    let handler = from_fn(move |ctx| {
        began.lock().unwrap().push(ctx.task().id);
        let gate = gate.clone();
        async move {
            gate.notified().await;
            done()
        }
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let ids = world.enqueue("greet", 3).await;
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    let mut run = Box::pin(world.run(run_of(RunSelection::Task(ids[2]))));
    for _ in 0..3 {
        tokio::select! {
            biased;
            _ = &mut run => break,
            () = tokio::time::sleep(Duration::from_millis(100)) => go.notify_one(),
        }
    }
    drop(run);
    go.notify_one();
    world.idle().await;
    assert_eq!(*order.lock().unwrap(), [ids[0], ids[2], ids[1]]);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_is_refused_with_the_reason() {
    let world = quick().start().await;
    let code = async |run| world.run(run).await.unwrap_err().code;
    let finished = world.enqueue("greet", 1).await[0];
    world.idle().await;
    assert_eq!(code(run_of(RunSelection::Task(finished))).await, ErrorCode::FailedPrecondition, "it is done");
    world.steer(WAVE, NodeCommand::Pause).await.unwrap();
    let foreign = world.enqueue("wave", 1).await[0];
    assert_eq!(code(run_of(RunSelection::Task(foreign))).await, ErrorCode::FailedPrecondition);
    let nobody = RunAsk { worker: "nobody".parse().unwrap(), ..of_scope("store=1") };
    assert_eq!(code(nobody).await, ErrorCode::NotFound);
    world.steer(GREET, NodeCommand::Stop).await.unwrap();
    assert_eq!(code(of_scope("store=1")).await, ErrorCode::FailedPrecondition, "its node is stopped");
    assert_eq!(world.stop().await, StopReport::Clean);
}

/// Makes one task for each of the numbers from `since` on.
struct Again;

#[async_trait]
impl Rebuild for Again {
    async fn plan(&self, ask: RebuildAsk) -> Result<RebuildPlan, TaskError> {
        let of = |number: u8| NewTask {
            scope: Some(ask.scope.clone()),
            idempotency_key: Some(IdempotencyKey::new(number.to_string()).unwrap()),
            ..NewTask::new(route("greet"), vec![b'0' + number])
        };
        let tasks = (1..=3).map(of).collect();
        Ok(RebuildPlan { discard: Vec::new(), tasks })
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_makes_its_tasks_once_a_run_and_runs_them_alone() {
    let mut plan = worker("greet", 2, from_fn(async |_| done()));
    plan.rebuild = Some(Arc::new(Again));
    let world = Worlds::new().worker(plan).worker(worker("wave", 1, from_fn(async |_| done()))).start().await;
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    let other = enqueue(&world, "store=42", 1).await[0];
    let rebuild = |run: &str| RunAsk {
        rebuild: true,
        correlation: CorrelationId::new(run).unwrap(),
        ..of_scope("store=42")
    };
    let dry = world.run(RunAsk { dry_run: true, ..rebuild("first") }).await.unwrap();
    assert_eq!((dry.selected, dry.made, world.count(TaskState::Ready).await), (3, 3, 1));
    let first = world.run(rebuild("first")).await.unwrap();
    assert_eq!((first.made, first.selected, first.counts.of(TaskState::Done)), (3, 3, 3));
    assert_eq!(world.task(other).await.state, TaskState::Ready, "what waits besides is not the rebuild's");
    let same = world.run(rebuild("first")).await.unwrap();
    assert_eq!((same.made, same.counts.of(TaskState::Done)), (0, 3), "the same run, asked for again");
    assert_eq!(world.count(TaskState::Done).await, 3);
    let second = world.run(rebuild("second")).await.unwrap();
    assert_eq!((second.made, second.counts.of(TaskState::Done)), (3, 3), "another run makes it again");
    let none = RunAsk { worker: "wave".parse().unwrap(), ..rebuild("third") };
    assert_eq!(world.run(none).await.unwrap_err().code, ErrorCode::FailedPrecondition);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_ends_with_its_last_task_also_when_the_worker_takes_them_by_itself() {
    let slow = from_fn(async |_| {
        tokio::time::sleep(Duration::from_millis(300)).await;
        done()
    });
    let mut plan = worker("greet", 1, slow);
    plan.rebuild = Some(Arc::new(Again));
    let world = Worlds::new().worker(plan).start().await;
    let run = world.run(RunAsk { rebuild: true, ..of_scope("store=42") }).await.unwrap();
    assert_eq!((run.made, run.counts.of(TaskState::Done), run.refused), (3, 3, 0));
    assert_eq!(world.count(TaskState::Done).await, 3);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_asker_has_gone_starts_nothing_more() {
    let (go, began) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
    let (gate, count) = (go.clone(), began.clone());
    let handler = from_fn(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        let gate = gate.clone();
        async move {
            gate.notified().await;
            done()
        }
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    enqueue(&world, "store=1", 4).await;
    let (progress, listens) = watch::channel(RunProgress::default());
    let (reply, mut run) = Reply::channel();
    world.control.send_command(Command::RunWorker { ask: of_scope("store=1"), progress, reply }).unwrap();
    tokio::select! {
        _ = &mut run => panic!("nothing lets the first one end"),
        _ = world.until(GREET, |view| view.slots == Some((1, 1))) => drop(listens),
    }
    go.notify_one();
    let end = run.await.unwrap().unwrap();
    assert_eq!(end.counts.of(TaskState::Done), 1);
    assert_eq!((began.load(Ordering::Relaxed), world.count(TaskState::Ready).await), (1, 3));
    assert_eq!(world.stop().await, StopReport::Clean);
}
