//! Idempotency keys.

use std::time::Duration;

use runtime_core::name::IdempotencyKey;
use runtime_core::store::{EnqueueError, Enqueued};
use runtime_core::task::{NewTask, TaskState};

use super::world::{World, done, keyed, task, task_to};

pub(super) async fn the_same_key_is_the_same_task(w: World) {
    let id = w.put_new(keyed(1, "a")).await;
    assert_eq!(w.put(keyed(1, "a")).await, Ok(Enqueued::Duplicate { id, state: TaskState::Ready }));
    let together = w.store.enqueue(vec![keyed(2, "b"), keyed(2, "b")]).await.unwrap();
    let first = together[0].as_ref().unwrap().id();
    assert_eq!(together[1], Ok(Enqueued::Duplicate { id: first, state: TaskState::Ready }));

    let lease = w.lease_one().await.lease;
    assert_eq!(w.put(keyed(1, "a")).await, Ok(Enqueued::Duplicate { id, state: TaskState::Leased }));
    w.settle(lease, done()).await;
    assert_eq!(w.put(keyed(1, "a")).await, Ok(Enqueued::Duplicate { id, state: TaskState::Done }));
    assert_eq!(w.get(id).await.idempotency_key, Some(IdempotencyKey::new("a").unwrap()));
}

pub(super) async fn the_same_key_with_other_content_is_an_error(w: World) {
    let existing = w.put_new(keyed(1, "a")).await;
    let conflict = Err(EnqueueError::IdempotencyConflict { existing });
    assert_eq!(w.put(keyed(2, "a")).await, conflict);
    let change = |change: fn(&mut NewTask)| {
        let mut task = keyed(1, "a");
        change(&mut task);
        task
    };
    assert_eq!(w.put(change(|task| task.tenant = Some("t".parse().unwrap()))).await, conflict);
    assert_eq!(w.put(change(|task| task.scope = Some("store=1".parse().unwrap()))).await, conflict);
    assert_eq!(w.put(change(|task| task.schema_version = 2)).await, conflict);
    let same_work = change(|task| task.priority.0 = 9);
    assert!(matches!(w.put(same_work).await, Ok(Enqueued::Duplicate { .. })), "when and how is no content");
    assert_eq!(w.count("work", TaskState::Ready).await, 1);
}

pub(super) async fn a_key_belongs_to_its_queue(w: World) {
    let key = IdempotencyKey::new("a").unwrap();
    let here = w.put_new(task(1).keyed(key.clone())).await;
    let there = w.put_new(task_to("other", 1).keyed(key)).await;
    assert_ne!(here, there);
}

pub(super) async fn a_key_outlives_its_task_and_its_history(w: World) {
    let id = w.put_new(keyed(1, "a")).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, done()).await;
    w.advance(w.setup.retention.keep_finished_for);
    assert_eq!(w.store.sweep().await.unwrap().forgotten, 1);
    assert_eq!(w.find(id).await, None, "history has forgotten it");
    assert_eq!(w.put(keyed(1, "a")).await, Ok(Enqueued::Duplicate { id, state: TaskState::Done }));
    assert_eq!(w.put(keyed(2, "a")).await, Err(EnqueueError::IdempotencyConflict { existing: id }));
}

pub(super) async fn a_key_is_forgotten_when_its_time_is_over(w: World) {
    let id = w.put_new(keyed(1, "a")).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, done()).await;
    let keep = w.setup.retention.keep_keys_for;
    w.advance(keep - Duration::from_millis(1));
    w.store.sweep().await.unwrap();
    assert!(matches!(w.put(keyed(1, "a")).await, Ok(Enqueued::Duplicate { .. })));
    w.advance(Duration::from_millis(1));
    let anew = w.put_new(keyed(1, "a")).await;
    assert_ne!(anew, id);
    w.store.sweep().await.unwrap();
    assert!(matches!(w.put(keyed(1, "a")).await, Ok(Enqueued::Duplicate { id, .. }) if id == anew));
}

pub(super) async fn a_known_key_is_no_new_task_for_a_full_queue(w: World) {
    let id = w.put_new(keyed(1, "a")).await;
    for number in 1..u32::try_from(w.setup.limits.queue_capacity).unwrap() {
        w.put_new(task(number)).await;
    }
    assert!(matches!(w.put(task(0)).await, Err(EnqueueError::QueueFull { .. })));
    assert_eq!(w.put(keyed(1, "a")).await, Ok(Enqueued::Duplicate { id, state: TaskState::Ready }));
}

pub(super) async fn a_call_that_fails_whole_leaves_no_key(w: World) {
    w.put_new(keyed(1, "taken")).await;
    let refused = w.store.enqueue_whole(vec![keyed(2, "new"), keyed(3, "taken")], vec![]).await;
    assert!(matches!(refused, Err(EnqueueError::IdempotencyConflict { .. })));
    assert_eq!(w.count("work", TaskState::Ready).await, 1);
    w.put_new(keyed(4, "new")).await;
}
