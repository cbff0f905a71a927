//! Operators' commands.

use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::etag::{Etag, Terms};
use runtime_core::outcome::{Outcome, ParkReason};
use runtime_core::store::{EffectBegun, EffectClass, SteerError, Steered, TaskCommand};
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

async fn steer_on(w: &World, id: TaskId, command: TaskCommand, terms: Terms) -> Result<Steered, SteerError> {
    w.store.steer_on(id, command, terms).await.unwrap()
}

async fn etag(w: &World, id: TaskId) -> Etag {
    w.store.get(vec![id]).await.unwrap().remove(0).expect("the task is there").etag()
}

pub(super) async fn of_two_who_steer_from_one_state_one_alone_does(w: World) {
    let id = w.put_new(task(1)).await;
    let read = etag(&w, id).await;
    let from = |etag: &Etag| Terms { expected: Some(etag.clone()), validate_only: false };
    let at = |seconds| TaskCommand::Reschedule { at: w.now() + Duration::from_secs(seconds) };
    let first = steer_on(&w, id, at(60), from(&read)).await.unwrap();
    assert_eq!((first.state, &first.etag), (TaskState::Scheduled, &etag(&w, id).await));
    assert_ne!(first.etag, read);
    assert_eq!(steer_on(&w, id, at(90), from(&read)).await, Err(SteerError::Changed(id)));
    assert_eq!(etag(&w, id).await, first.etag, "who was refused changed nothing");

    let second = steer_on(&w, id, at(90), from(&first.etag)).await.unwrap();
    assert_ne!(second.etag, first.etag, "the same state at another time is another state");
    assert_eq!(steer_on(&w, id, TaskCommand::Cancel, from(&first.etag)).await, Err(SteerError::Changed(id)));
    let cancelled = steer_on(&w, id, TaskCommand::Cancel, from(&second.etag)).await.unwrap();
    assert_eq!((cancelled.state, &cancelled.etag), (TaskState::Cancelled, &etag(&w, id).await));
    let gone = TaskCommand::Delete { reason: "a test".into() };
    assert_eq!(steer_on(&w, id, gone.clone(), from(&second.etag)).await, Err(SteerError::Changed(id)));
    steer_on(&w, id, gone.clone(), from(&cancelled.etag)).await.unwrap();
    assert_eq!(steer_on(&w, id, gone, from(&cancelled.etag)).await, Err(SteerError::NotFound(id)));
}

pub(super) async fn a_task_that_moves_by_itself_is_another_one_to_its_operators(w: World) {
    let id = w.put_new(task(1)).await;
    let read = etag(&w, id).await;
    let leased = w.lease_one().await;
    let terms = Terms { expected: Some(read.clone()), validate_only: false };
    assert_eq!(steer_on(&w, id, TaskCommand::Cancel, terms.clone()).await, Err(SteerError::Changed(id)));
    w.settle(leased.lease, done()).await;
    assert_eq!(steer_on(&w, id, TaskCommand::Cancel, terms).await, Err(SteerError::Changed(id)));
    assert_ne!(etag(&w, id).await, read);
}

pub(super) async fn a_look_says_where_a_command_would_lead_and_changes_nothing(w: World) {
    let id = w.put_new(task(1)).await;
    let before = w.store.get(vec![id]).await.unwrap();
    let look = |expected| Terms { expected, validate_only: true };
    let would = steer_on(&w, id, TaskCommand::Cancel, look(None)).await.unwrap();
    assert_eq!((would.state, &would.etag), (TaskState::Cancelled, &etag(&w, id).await));
    let approve = steer_on(&w, id, TaskCommand::Approve, look(None)).await;
    assert!(matches!(approve, Err(SteerError::NotAllowed(_))), "{approve:?}");
    let other = Some(Etag::given("another").expect("a text"));
    let other = steer_on(&w, id, TaskCommand::Cancel, look(other)).await;
    assert_eq!(other, Err(SteerError::Changed(id)));
    let deleted = TaskCommand::Delete { reason: "a test".into() };
    assert_eq!(steer_on(&w, id, deleted, look(None)).await.unwrap().state, TaskState::Cancelled);
    assert_eq!(w.store.get(vec![id]).await.unwrap(), before);
}
