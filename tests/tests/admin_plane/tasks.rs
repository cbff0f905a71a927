//! Tasks that cannot go on by themselves are looked at and decided.

use runtime_admin::ClientError;
use runtime_core::error::ErrorCode;
use runtime_core::store::TaskCommand;
use runtime_proto::v1::{self, TaskState};
use runtime_tests::ground::{GroundFolder, Job};
use tonic::Code;

use crate::world::{World, id_of, request, times_done};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_task_is_found_looked_at_and_run_again() {
    let world = World::start().await;
    let good = world.enqueue(&Job::plain(1)).await;
    let bad = world.enqueue(&Job { n: 2, rejects: true, ..Job::default() }).await;
    world.until(good, TaskState::Done).await;
    world.until(bad, TaskState::Dead).await;

    let dead = world.client.tasks("state=dead AND queue=job AND code=RT0002", 10).await.expect("a list");
    assert_eq!(dead.iter().map(|task| id_of(&task.name)).collect::<Vec<_>>(), [bad]);
    let detail = world.client.task(bad).await.expect("a task");
    let error = detail.task.expect("a task").last_error.expect("why it is dead");
    assert_eq!((error.code.as_str(), error.message.as_str()), ("RT0002", "the folder is not repaired"));
    assert_eq!(outcomes(&detail.attempts), ["reject"]);

    // The cause is still there: it dies again, with one attempt more.
    let state = world.client.steer_task(bad, TaskCommand::Retry).await.expect("it may be retried");
    assert_eq!(state, TaskState::Ready);
    world.until(bad, TaskState::Dead).await;
    let attempts = world.client.task(bad).await.expect("a task").attempts;
    assert_eq!(outcomes(&attempts), ["reject", "reject"]);

    world.folder().raise(GroundFolder::REPAIRED).expect("a flag");
    world.client.steer_task(bad, TaskCommand::Retry).await.expect("it may be retried");
    world.until(bad, TaskState::Done).await;
    assert_eq!(times_done(&world.rows().await, "job"), [(1, 1), (2, 1)].into());

    let again = world.client.steer_task(bad, TaskCommand::Retry).await;
    assert!(is_refused(&again, Code::FailedPrecondition, ErrorCode::FailedPrecondition), "{again:?}");
    let unknown = "0190c0de-0000-7000-8000-000000000001".parse().expect("an id");
    let unknown = world.client.steer_task(unknown, TaskCommand::Retry).await;
    assert!(is_refused(&unknown, Code::NotFound, ErrorCode::NotFound), "{unknown:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_fail_are_kept_and_the_last_one_is_done() {
    let world = World::start().await;
    let id = world.enqueue(&Job { n: 1, fails: 3, ..Job::default() }).await;
    let task = world.until(id, TaskState::Done).await;
    assert_eq!((task.attempt, task.epoch), (4, 4));
    let attempts = world.client.task(id).await.expect("a task").attempts;
    assert_eq!(outcomes(&attempts)[..3], ["retry", "retry", "retry"]);
    assert_eq!(attempts[0].error.as_ref().expect("an error").code, "RT0001");

    let hopeless = world.enqueue(&Job { n: 2, fails: 99, ..Job::default() }).await;
    let task = world.until(hopeless, TaskState::Dead).await;
    assert_eq!((task.attempt, task.max_attempts), (5, 0), "as many as its worker's policy says");
    assert_eq!(times_done(&world.rows().await, "job"), [(1, 1)].into());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides_over_a_parked_task() {
    let world = World::start().await;
    let asks = |n| Job { n, asks: true, ..Job::default() };
    let (approved, rejected) = (world.enqueue(&asks(1)).await, world.enqueue(&asks(2)).await);
    for id in [approved, rejected] {
        let task = world.until(id, TaskState::Parked).await;
        assert_eq!(task.last_error.expect("the question").code, ErrorCode::NeedsDecision.as_str());
    }
    let state = world.client.steer_task(approved, TaskCommand::Approve).await.expect("it may be resolved");
    assert_eq!(state, TaskState::Ready);
    world.client.steer_task(rejected, TaskCommand::Reject).await.expect("it may be resolved");
    world.until(approved, TaskState::Done).await;
    world.until(rejected, TaskState::Cancelled).await;
    assert_eq!(times_done(&world.rows().await, "job"), [(1, 1)].into());

    let late = world.client.steer_task(approved, TaskCommand::Approve).await;
    assert!(is_refused(&late, Code::FailedPrecondition, ErrorCode::FailedPrecondition), "{late:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_whose_answer_was_lost_is_never_repeated_blindly() {
    let world = World::start().await;
    let lost = |n| Job { n, unkeyed: true, loses_answer: true, ..Job::default() };
    let (happened, again) = (world.enqueue(&lost(1)).await, world.enqueue(&lost(2)).await);
    for id in [happened, again] {
        let task = world.until(id, TaskState::Parked).await;
        assert_eq!(task.last_error.expect("why").code, ErrorCode::EffectUnknown.as_str());
    }
    // A person says of one that it happened, of the other that it did not: that one is sent again, and its answer is lost again.
    world.client.steer_task(happened, TaskCommand::Approve).await.expect("resolved");
    world.until(happened, TaskState::Done).await;
    world.client.steer_task(again, TaskCommand::Reject).await.expect("resolved");
    let parked_again =
        async || world.folder().sent().expect("a log").iter().filter(|n| **n == 2).count() == 2;
    runtime_tests::eventually_async("it is sent again", async || parked_again().await.then_some(())).await;
    world.until(again, TaskState::Parked).await;
    world.client.steer_task(again, TaskCommand::Approve).await.expect("resolved");
    world.until(again, TaskState::Done).await;

    let mut sent = world.folder().sent().expect("a log");
    sent.sort_unstable();
    assert_eq!(sent, [1, 2, 2]);
    assert_eq!(times_done(&world.rows().await, "job"), [(1, 1), (2, 1)].into());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_task_and_other_content_is_a_conflict() {
    let world = World::start().await;
    let first = world.client.enqueue(request(&Job::plain(1))).await.expect("taken");
    let second = world.client.enqueue(request(&Job::plain(1))).await.expect("known");
    assert_eq!((second.name.as_str(), second.duplicate), (first.name.as_str(), true));
    let other = request(&Job { n: 1, keyed: true, ..Job::default() });
    let conflict = world.client.enqueue(other).await;
    assert!(is_refused(&conflict, Code::AlreadyExists, ErrorCode::IdempotencyConflict), "{conflict:?}");

    // What does not fit the worker's schema becomes no task, and says where.
    let unfit = v1::EnqueueTaskRequest { payload: br#"{"n":"one"}"#.to_vec(), ..request(&Job::plain(3)) };
    let refused = world.client.enqueue(unfit).await;
    assert!(is_refused(&refused, Code::InvalidArgument, ErrorCode::InvalidInput), "{refused:?}");
    world.until_idle().await;
    assert_eq!(times_done(&world.rows().await, "job"), [(1, 1)].into());
    world.stop().await;
}

fn outcomes(attempts: &[v1::Attempt]) -> Vec<&str> {
    attempts.iter().map(|attempt| attempt.outcome.as_str()).collect()
}

fn is_refused<T>(answer: &Result<T, ClientError>, canonical: Code, code: ErrorCode) -> bool {
    matches!(answer, Err(ClientError::Refused(refusal)) if refusal.canonical == canonical && refusal.code == Some(code))
}
