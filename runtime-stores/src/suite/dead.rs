//! Dead letters: replayed, discarded, grouped, forgotten.

use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::name::HandlerName;
use runtime_core::outcome::{Outcome, Settlement};
use runtime_core::store::{DeadGroup, SteerError, TaskCommand, TaskFilter};
use runtime_core::task::{NewTask, TaskId, TaskState};

use super::world::{World, done, keyed, queue, retry_after, route_to, task, task_to};

const MINUTE: Duration = Duration::from_secs(60);
const REPLAY: TaskCommand = TaskCommand::Replay { at: None, payload: None };

async fn steer(w: &World, id: TaskId, command: TaskCommand) -> Result<TaskState, SteerError> {
    w.store.steer(vec![(id, command)]).await.unwrap().remove(0)
}

/// Makes a task and has it die of this.
async fn die(w: &World, task: NewTask, code: ErrorCode) -> TaskId {
    let queue = task.route.queue.clone();
    let id = w.put_new(task).await;
    let lease = w.lease_as("one", queue.as_str(), 1).await.remove(0).lease;
    assert_eq!(lease.task, id, "nothing else is ready");
    w.settle(lease, Outcome::Reject { error: TaskError::new(code, "no") }).await;
    id
}

async fn dead(w: &World) -> TaskId {
    die(w, task(1), ErrorCode::HandlerRejected).await
}

pub(super) async fn a_replay_makes_one_run_however_often_it_is_asked(w: World) {
    let id = dead(&w).await;
    let epoch = w.get(id).await.epoch;
    let twice = w.store.steer(vec![(id, REPLAY), (id, REPLAY)]).await.unwrap();
    assert_eq!(twice[0], Ok(TaskState::Ready));
    assert!(matches!(twice[1], Err(SteerError::NotAllowed(_))), "it is no longer dead");
    let leased = w.lease(10).await;
    assert_eq!(leased.len(), 1);
    assert_eq!((leased[0].lease.task, leased[0].task.attempt), (id, 1), "its attempts begin anew");
    assert!(leased[0].lease.epoch > epoch, "its epochs do not");
    assert!(!leased[0].task.edited);
    w.settle(leased[0].lease, done()).await;
    assert!(matches!(steer(&w, id, REPLAY).await, Err(SteerError::NotAllowed(_))));
    assert_eq!((w.count("work", TaskState::Dead).await, w.count("work", TaskState::Done).await), (0, 1));

    let cancelled = w.put_new(task(2)).await;
    assert!(matches!(steer(&w, cancelled, REPLAY).await, Err(SteerError::NotAllowed(_))), "it waits anyway");
    steer(&w, cancelled, TaskCommand::Cancel).await.unwrap();
    assert_eq!(steer(&w, cancelled, REPLAY).await, Ok(TaskState::Ready));
}

pub(super) async fn a_replay_may_wait_for_its_time(w: World) {
    let id =
        die(&w, NewTask { deadline: Some(w.later(MINUTE)), ..task(1) }, ErrorCode::HandlerRejected).await;
    let at = w.later(MINUTE);
    let due_changed = w.store.due_changed();
    let replay = TaskCommand::Replay { at: Some(at), payload: None };
    assert_eq!(steer(&w, id, replay).await, Ok(TaskState::Scheduled));
    due_changed.notified().await;
    assert!(matches!(steer(&w, id, REPLAY).await, Err(SteerError::NotAllowed(_))));
    let task = w.get(id).await;
    assert_eq!(
        (task.run_at, task.deadline, task.finished_at),
        (at, None, None),
        "a deadline it cannot keep is gone"
    );
    assert_eq!(w.lease(10).await, []);
    w.advance(MINUTE);
    assert_eq!(w.store.sweep().await.unwrap().promoted, 1);
    assert_eq!(w.lease_one().await.lease.task, id);

    let past = w.now();
    let id = die(&w, super::world::task(2), ErrorCode::HandlerRejected).await;
    w.advance(MINUTE);
    let replay = TaskCommand::Replay { at: Some(past), payload: None };
    assert_eq!(steer(&w, id, replay).await, Ok(TaskState::Ready));
    assert_eq!(w.get(id).await.run_at, w.now());
}

pub(super) async fn an_edited_payload_is_checked_and_marked_as_edited(w: World) {
    let original = keyed(1, "a");
    let id = w.put_new(original.clone()).await;
    let lease = w.lease_one().await.lease;
    assert!(w.store.checkpoint(lease, Some(b"[7]".to_vec()), None).await.unwrap());
    w.settle(lease, Outcome::Reject { error: TaskError::permanent("no") }).await;
    let replay = |bytes: &[u8]| TaskCommand::Replay { at: None, payload: Some(bytes.to_vec()) };
    let limit = w.setup.limits.max_payload_bytes;
    let refused = steer(&w, id, replay(&vec![b'1'; limit + 1])).await;
    assert_eq!(refused, Err(SteerError::PayloadTooLarge { bytes: limit + 1, limit }));
    let before = w.get(id).await;
    assert_eq!((before.state, before.edited), (TaskState::Dead, false));

    assert_eq!(steer(&w, id, replay(b"{\"n\":2}")).await, Ok(TaskState::Ready));
    assert_eq!(
        steer(&w, id, replay(b"{\"n\":3}")).await.unwrap_err().to_string(),
        "a ready task cannot be replayed"
    );
    let leased = w.lease_one().await;
    assert_eq!((leased.task.payload.as_slice(), leased.task.edited), (&b"{\"n\":2}"[..], true));
    assert_eq!(leased.task.checkpoint, None, "the checkpoint was of the other payload");
    w.settle(leased.lease, done()).await;
    let finished = w.get(id).await;
    assert_eq!((finished.payload.as_slice(), finished.edited), (&b"{\"n\":2}"[..], true));
    let known = w.put(original).await.unwrap();
    assert_eq!(known.id(), id, "to its producer it is the same task");
}

pub(super) async fn a_discarded_task_is_cancelled_and_says_why(w: World) {
    let discard = || TaskCommand::Discard { reason: "the shop closed".into() };
    let id = dead(&w).await;
    w.advance(MINUTE);
    assert_eq!(steer(&w, id, discard()).await, Ok(TaskState::Cancelled));
    let task = w.get(id).await;
    let error = task.last_error.unwrap();
    assert_eq!(
        (task.state, error.code, task.finished_at),
        (TaskState::Cancelled, ErrorCode::Cancelled, Some(w.now()))
    );
    assert!(error.message.contains("the shop closed"), "{error}");
    let attempts = w.store.attempts(id).await.unwrap();
    assert_eq!(attempts[0].error.as_ref().unwrap().code, ErrorCode::HandlerRejected, "what it died of stays");
    assert_eq!((w.count("work", TaskState::Dead).await, w.count("work", TaskState::Cancelled).await), (0, 1));
    assert!(matches!(steer(&w, id, discard()).await, Err(SteerError::NotAllowed(_))));
    let live = w.put_new(super::world::task(2)).await;
    assert!(matches!(steer(&w, live, discard()).await, Err(SteerError::NotAllowed(_))));
}

pub(super) async fn an_attempt_names_the_node_that_ran_it(w: World) {
    let node = |name: &str| Some(format!("/engine/apps/shop/workers/{name}").parse().unwrap());
    let id = w.put_new(task(1)).await;
    let settle = async |name: &str, outcome: Outcome| {
        let lease = w.lease_one().await.lease;
        w.settle_all(vec![Settlement { node: node(name), ..w.settlement(lease, outcome) }]).await;
    };
    settle("first", retry_after(Duration::ZERO)).await;
    w.lease_one().await;
    w.advance(super::world::LEASE);
    w.store.sweep().await.unwrap();
    settle("second", done()).await;
    let nodes: Vec<_> = w.store.attempts(id).await.unwrap().into_iter().map(|attempt| attempt.node).collect();
    assert_eq!(nodes, [node("first"), None, node("second")], "of a lost lease nobody knows");
}

pub(super) async fn dead_tasks_are_grouped_by_what_they_died_of(w: World) {
    let mut second = (*route_to("work")).clone();
    second.handler = HandlerName::new("second").unwrap();
    let began = w.now();
    die(&w, task(1), ErrorCode::HandlerRejected).await;
    w.advance(MINUTE);
    let last =
        die(&w, NewTask { scope: "store=1".parse().ok(), ..task(2) }, ErrorCode::HandlerRejected).await;
    let poison = die(&w, task(3), ErrorCode::Poison).await;
    let other = die(&w, NewTask::new(second.into(), b"4".to_vec()), ErrorCode::Poison).await;
    let elsewhere = die(&w, task_to("other", 5), ErrorCode::InvalidInput).await;
    w.settle(
        {
            w.put_new(task(6)).await;
            w.lease_one().await.lease
        },
        done(),
    )
    .await;

    let group = |to: &str, handler: &str, code, count, oldest, example| DeadGroup {
        app: "shop".parse().unwrap(),
        queue: queue(to),
        handler: handler.parse().unwrap(),
        code,
        count,
        whole: true,
        oldest,
        newest: w.now(),
        example,
    };
    let all = [
        group("other", "handle", ErrorCode::InvalidInput, 1, w.now(), elsewhere),
        group("work", "handle", ErrorCode::HandlerRejected, 2, began, last),
        group("work", "handle", ErrorCode::Poison, 1, w.now(), poison),
        group("work", "second", ErrorCode::Poison, 1, w.now(), other),
    ];
    let any = TaskFilter::default;
    let groups = async |filter| {
        let found = w.store.dead_groups(filter, u64::MAX).await.unwrap();
        assert!(found.whole);
        found.groups
    };
    assert_eq!(groups(any()).await, all);
    assert_eq!(groups(TaskFilter { queue: Some(queue("work")), ..any() }).await, all[1..]);
    assert_eq!(groups(TaskFilter { code: Some(ErrorCode::Poison), ..any() }).await, all[2..]);
    let mut in_scope = all[1].clone();
    (in_scope.count, in_scope.oldest) = (1, w.now());
    assert_eq!(groups(TaskFilter { scope: "store=1".parse().ok(), ..any() }).await, [in_scope]);
    assert_eq!(groups(TaskFilter { states: vec![TaskState::Done], ..any() }).await, []);
    assert_eq!(groups(TaskFilter { queue: Some(queue("none")), ..any() }).await, []);
}

pub(super) async fn dead_tasks_are_kept_by_a_rule_of_their_own(w: World) {
    let retention = w.setup.retention;
    let most = u32::try_from(retention.keep_dead_at_most).unwrap();
    let mut dead = Vec::new();
    for number in 0..most + 3 {
        dead.push(die(&w, task(number), ErrorCode::Poison).await);
    }
    let discarded = dead.remove(1);
    steer(&w, discarded, TaskCommand::Discard { reason: "no".into() }).await.unwrap();
    let mut others = Vec::new();
    for number in 0..u32::try_from(retention.keep_finished_at_most).unwrap() {
        others.push(w.put_new(task(number)).await);
        let lease = w.lease_one().await.lease;
        w.settle(lease, done()).await;
    }
    assert_eq!(w.store.sweep().await.unwrap().forgotten, 3, "each by its own number");
    assert_eq!((w.find(dead[1]).await, w.find(discarded).await), (None, None), "the oldest of each");
    assert_eq!((w.state(dead[2]).await, w.state(others[0]).await), (TaskState::Dead, TaskState::Done));

    w.advance(retention.keep_finished_for);
    assert_eq!(w.store.sweep().await.unwrap().forgotten, others.len(), "the dead are kept longer");
    assert_eq!(w.count("work", TaskState::Dead).await, u64::from(most));
    assert_eq!(w.store.sweep().await.unwrap().forgotten, 0);
    let late = dead[5];
    steer(&w, late, TaskCommand::Discard { reason: "no".into() }).await.unwrap();
    w.advance(retention.keep_finished_for);
    assert_eq!(w.store.sweep().await.unwrap().forgotten, 1 + usize::try_from(most).unwrap() - 1);
    assert_eq!(w.find(late).await, None, "also one that lies among the dead");
    assert_eq!(w.count("work", TaskState::Dead).await, 0);
}
