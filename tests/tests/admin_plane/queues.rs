//! Queues are paused, whole or by scope, and say what keeps their tasks waiting.

use runtime_core::store::TaskCommand;
use runtime_core::task::TaskId;
use runtime_proto::v1::{self, NodeState, TaskState};
use runtime_tests::ground::Job;

use crate::world::{World, id_of, request, times_done};

async fn enqueue(world: &World, change: impl Fn(&mut v1::EnqueueTaskRequest), job: Job) -> TaskId {
    let mut request = request(&job);
    change(&mut request);
    id_of(&world.client.enqueue(request).await.expect("taken").name)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_scope_of_a_queue_waits_while_another_goes_on() {
    let world = World::start().await;
    let (client, job, scope) =
        (&world.client, "job".parse().expect("a queue"), "store=1".parse().expect("a scope"));
    let in_scope =
        async |n, scope: &str| enqueue(&world, |request| request.scope = scope.into(), Job::plain(n)).await;
    let paused = client.pause_queue(&job, Some(&scope), "the printer burns").await.expect("paused");
    assert_eq!(paused.paused_scopes[0].reason, "the printer burns");
    let (held, goes) = (in_scope(1, "store=1").await, in_scope(2, "store=2").await);
    world.until(goes, TaskState::Done).await;
    let waits = world.until(held, TaskState::Ready).await;
    assert!(waits.held.expect("it is held").scope_paused);
    assert_eq!(times_done(&world.rows().await, "job"), [(2, 1)].into());

    let resumed = client.resume_queue(&job, Some(&scope)).await.expect("resumed");
    assert!(resumed.paused_scopes.is_empty());
    world.until(held, TaskState::Done).await;

    let paused = client.pause_queue(&job, None, "stocktaking").await.expect("paused");
    assert_eq!(paused.workers[0].state(), NodeState::Paused);
    let waits = in_scope(3, "store=2").await;
    assert_eq!(world.until(waits, TaskState::Ready).await.held, None, "its worker is paused, it is not held");
    let resumed = client.resume_queue(&job, None).await.expect("resumed");
    assert_eq!(resumed.workers[0].state(), NodeState::Running);
    world.until(waits, TaskState::Done).await;
    assert_eq!(times_done(&world.rows().await, "job"), [(1, 1), (2, 1), (3, 1)].into());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_blocks_its_ordering_key_is_shown_until_it_is_decided() {
    let world = World::start().await;
    let job = "job".parse().expect("a queue");
    let in_order = async |job| enqueue(&world, |request| request.ordering_key = "desk-1".into(), job).await;
    let head = in_order(Job { n: 1, asks: true, ..Job::default() }).await;
    let next = in_order(Job::plain(2)).await;
    world.until(head, TaskState::Parked).await;
    let queue = world.client.queue(&job).await.expect("a queue");
    assert_eq!(queue.policy, "in order");
    let blocking = v1::OrderingHead {
        ordering_key: "desk-1".into(),
        task: format!("tasks/{head}"),
        state: TaskState::Parked.into(),
        waiting: 1,
    };
    assert_eq!(queue.heads, [blocking]);
    let held = world.until(next, TaskState::Ready).await.held.expect("it is held");
    assert_eq!((held.behind, held.scope_paused), (format!("tasks/{head}"), false));

    world.client.steer_task(head, TaskCommand::Approve).await.expect("resolved");
    world.until(next, TaskState::Done).await;
    assert!(world.client.queue(&job).await.expect("a queue").heads.is_empty());
    world.stop().await;
}
