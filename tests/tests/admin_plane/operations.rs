//! Many tasks at once over a real tree: cancelled, sent on and forgotten by operations; a scope drained.

use runtime_core::control::NodeCommand;
use runtime_core::store::TaskCommand;
use runtime_core::task::TaskId;
use runtime_proto::v1::{self, OperationState, TaskState};
use runtime_tests::eventually;
use runtime_tests::ground::{Gate, Job};

use crate::runtimectl::runtimectl;
use crate::world::{World, id_of, request};

async fn in_scope(world: &World, scope: &str, job: Job) -> TaskId {
    let request = v1::EnqueueTaskRequest { scope: scope.into(), ..request(&job) };
    id_of(&world.client.enqueue(request).await.expect("taken").name)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_cancelled_by_scope_and_forgotten_by_queue() {
    let world = World::start().await;
    let client = &world.client;
    let job = "/engine/apps/ground/workers/job".parse().expect("a path");
    client.steer_node(&job, NodeCommand::Pause).await.expect("paused");
    let mut mine = Vec::new();
    for n in 1..=5 {
        mine.push(in_scope(&world, "store=1", Job::plain(n)).await);
    }
    let other = in_scope(&world, "store=2", Job::plain(6)).await;
    let counted = client.count_tasks("scope=store=1").await.expect("a count");
    assert_eq!((counted.total, counted.at_least), (5, false));

    let request = v1::CancelTasksRequest {
        filter: "scope=store=1".into(),
        reason: "the shop has closed".into(),
        ..Default::default()
    };
    let begun = client.cancel_tasks(request).await.expect("begun").operation.expect("an operation");
    let end = client.watch_operation(&begun.name, |_| ()).await.expect("it ends");
    assert_eq!((end.state(), end.matched, end.done), (OperationState::Done, 5, 5));
    for id in &mine {
        world.until(*id, TaskState::Cancelled).await;
    }
    world.until(other, TaskState::Ready).await;

    let endpoint = world.endpoint();
    let purge = ["queue", "purge", "job", "--reason", "a test"];
    let (code, _, stderr) = runtimectl(&endpoint, &purge).await;
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("forget 5 tasks") && stderr.contains("--confirm"), "{stderr}");
    let confirmed = [&purge[..], &["--confirm", "job"]].concat();
    let (code, stdout, stderr) = runtimectl(&endpoint, &confirmed).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("Done:    5 of 5"), "{stdout}");
    let left: Vec<String> =
        client.tasks("", 10).await.expect("a list").into_iter().map(|task| task.name).collect();
    assert_eq!(left, [format!("tasks/{other}")]);
    let listed = client.operations(10).await.expect("a list");
    assert_eq!(
        listed.iter().map(v1::Operation::kind).collect::<Vec<_>>(),
        [v1::OperationKind::Purge, v1::OperationKind::Cancel]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_s_waiting_tasks_go_now_by_scope() {
    let world = World::start().await;
    let job = "/engine/apps/ground/workers/job".parse().expect("a path");
    world.client.steer_node(&job, NodeCommand::Pause).await.expect("paused");
    let at = jiff::Timestamp::from_second(4_000_000_000).expect("a moment");
    let mut ids = Vec::new();
    for (n, scope) in [(1, "store=1"), (2, "store=1"), (3, "store=2")] {
        let id = in_scope(&world, scope, Job::plain(n)).await;
        let state = world.client.steer_task(id, TaskCommand::Reschedule { at }).await.expect("rescheduled");
        assert_eq!(state, TaskState::Scheduled);
        ids.push(id);
    }
    world.client.steer_node(&job, NodeCommand::Resume).await.expect("resumed");
    let retry = ["worker", "retry", "job", "--scope", "store=1", "--yes"];
    let (code, stdout, stderr) = runtimectl(&world.endpoint(), &retry).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("Done:    2 of 2"), "{stdout}");
    world.until(ids[0], TaskState::Done).await;
    world.until(ids[1], TaskState::Done).await;
    world.until(ids[2], TaskState::Scheduled).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_is_drained_while_another_goes_on() {
    let world = World::start().await;
    let waits = |n| Job { n, waits: true, ..Job::default() };
    let running = in_scope(&world, "store=1", waits(1)).await;
    eventually("it has begun", || world.folder().has_reached(Gate::Begin, 1, 1).then_some(())).await;
    let endpoint = world.endpoint();
    let drain = tokio::spawn(async move {
        let drain = ["worker", "drain", "job", "--scope", "store=1", "--reason", "stocktaking"];
        runtimectl(&endpoint, &drain).await
    });
    let job = "job".parse().expect("a queue");
    runtime_tests::eventually_async("its scope is paused", async || {
        let queue = world.client.queue(&job).await.expect("a queue");
        (queue.paused_scopes.first()?.reason == "stocktaking").then_some(())
    })
    .await;
    let held = in_scope(&world, "store=1", Job::plain(2)).await;
    let goes = in_scope(&world, "store=2", Job::plain(3)).await;
    world.until(goes, TaskState::Done).await;
    assert!(!drain.is_finished(), "one is under way");
    world.folder().open(Gate::Begin, 1, 1).expect("a gate");
    let (code, stdout, stderr) = drain.await.expect("it ends");
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("store=1") && stdout.contains("stocktaking"), "{stdout}");
    world.until(running, TaskState::Done).await;
    assert!(world.until(held, TaskState::Ready).await.held.expect("it is held").scope_paused);
    world.stop().await;
}
