//! Operators' commands.

use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::outcome::{Outcome, ParkReason};
use runtime_core::store::{EffectBegun, EffectClass, SteerError, TaskCommand};
use runtime_core::task::{TaskId, TaskState};

use super::world::{World, done, retry_after, task};

async fn steer(w: &World, id: TaskId, command: TaskCommand) -> Result<TaskState, SteerError> {
    w.store.steer(vec![(id, command)]).await.unwrap().remove(0)
}

async fn park(w: &World) -> TaskId {
    let id = w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    let reason = ParkReason::NeedsDecision { question: "which customer?".into() };
    w.settle(lease, Outcome::Park { reason }).await;
    id
}

pub(super) async fn a_dead_task_is_replayed_under_its_id(w: World) {
    let id = w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Reject { error: TaskError::permanent("no") }).await;
    w.advance(Duration::from_secs(60));
    assert_eq!(steer(&w, id, TaskCommand::Retry).await, Ok(TaskState::Ready));
    let again = w.lease_one().await;
    assert_eq!((again.lease.task, again.task.attempt), (id, 1), "its attempts begin anew");
    assert!(again.lease.epoch > lease.epoch, "its epochs do not");
    w.settle(again.lease, done()).await;
    let outcomes: Vec<_> =
        w.store.attempts(id).await.unwrap().into_iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, ["reject", "done"], "what happened stays");
    assert_eq!((w.count("work", TaskState::Dead).await, w.count("work", TaskState::Done).await), (0, 1));
}

pub(super) async fn a_parked_task_goes_on_when_approved_and_ends_when_rejected(w: World) {
    let id = park(&w).await;
    assert_eq!(w.lease(10).await, []);
    assert_eq!(steer(&w, id, TaskCommand::Approve).await, Ok(TaskState::Ready));
    let leased = w.lease_one().await;
    assert!(leased.task.approved);
    assert_eq!(leased.task.attempt, 1, "asking a person is no attempt");
    let reason = ParkReason::NeedsDecision { question: "and which address?".into() };
    w.settle(leased.lease, Outcome::Park { reason }).await;
    assert!(!w.get(id).await.approved, "asked anew");
    assert_eq!(steer(&w, id, TaskCommand::Reject).await, Ok(TaskState::Cancelled));
    assert_eq!(w.get(id).await.last_error.unwrap().code, ErrorCode::Cancelled);
}

pub(super) async fn an_unknown_effect_is_resolved_by_a_person(w: World) {
    let step: runtime_core::name::StepName = "send".parse().unwrap();
    for (command, expected) in [
        (TaskCommand::Approve, EffectBegun::Known { result: b"null".to_vec() }),
        (TaskCommand::Reject, EffectBegun::Fresh),
    ] {
        let id = w.put_new(task(1)).await;
        let lease = w.lease_one().await.lease;
        let begin = |lease| w.store.begin_effect(lease, step.clone(), EffectClass::Unkeyed, [7; 32]);
        assert_eq!(begin(lease).await, Ok(EffectBegun::Fresh));
        w.settle(lease, Outcome::Park { reason: ParkReason::EffectUnknown { step: step.clone() } }).await;
        let name = command.name();
        assert_eq!(steer(&w, id, command).await, Ok(TaskState::Ready));
        let lease = w.lease_one().await.lease;
        assert_eq!(begin(lease).await, Ok(expected), "{name}");
        w.settle(lease, done()).await;
    }
}

pub(super) async fn commands_that_do_not_fit_are_refused(w: World) {
    let id = w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    for command in [TaskCommand::Retry, TaskCommand::Approve, TaskCommand::Reject, TaskCommand::Cancel] {
        let name = command.name();
        assert!(matches!(steer(&w, id, command).await, Err(SteerError::NotAllowed(_))), "{name}");
    }
    w.settle(lease, done()).await;
    assert!(matches!(steer(&w, id, TaskCommand::Retry).await, Err(SteerError::NotAllowed(_))));
    let both =
        w.store.steer(vec![(id, TaskCommand::Retry), (w.put_new(task(2)).await, TaskCommand::Cancel)]).await;
    assert_eq!(both.unwrap()[1], Ok(TaskState::Cancelled), "each command on its own");
    let unknown = TaskId::new(w.now(), id.salt(), 999_999);
    assert_eq!(steer(&w, unknown, TaskCommand::Retry).await, Err(SteerError::NotFound(unknown)));
}

pub(super) async fn a_cancelled_task_is_not_leased(w: World) {
    let ready = w.put_new(task(1)).await;
    assert_eq!(steer(&w, ready, TaskCommand::Cancel).await, Ok(TaskState::Cancelled));
    assert_eq!(w.lease(10).await, []);
    let waits = w.put_new(task(2)).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, retry_after(Duration::from_secs(60))).await;
    assert_eq!(steer(&w, waits, TaskCommand::Retry).await, Ok(TaskState::Ready), "now, not in a minute");
    assert_eq!(w.get(waits).await.run_at, w.now());
    assert_eq!(w.lease_one().await.lease.task, waits);
}
