//! Limits, each with a clear error.

use std::sync::Arc;

use runtime_core::error::ErrorCode;
use runtime_core::outcome::{Outcome, SettleWith, Settled, Settlement};
use runtime_core::store::{EnqueueError, StoreError};
use runtime_core::task::{NewTask, TaskState};

use super::world::{LEASE, World, applied, done, queue, task};

async fn fill(w: &World) {
    for number in 0..u32::try_from(w.setup.limits.queue_capacity).unwrap() {
        w.put_new(task(number)).await;
    }
}

pub(super) async fn a_full_queue_refuses_from_outside_and_takes_follow_ups(w: World) {
    let capacity = w.setup.limits.queue_capacity;
    fill(&w).await;
    let full = EnqueueError::QueueFull { queue: queue("work"), capacity };
    assert_eq!(w.put(task(1)).await, Err(full.clone()));
    assert_eq!(w.store.enqueue_whole(vec![task(1)], vec![]).await, Err(full.clone()));
    let lease = w.lease_one().await.lease;
    assert_eq!(w.put(task(1)).await, Err(full), "a leased task is live");

    let follow_ups = vec![task(1), task(2), task(3)];
    let with = Some(Box::new(SettleWith { follow_ups, ..SettleWith::default() }));
    let settled = w.settle_all(vec![Settlement { with, ..w.settlement(lease, done()) }]).await.remove(0);
    assert!(matches!(settled, Settled::Applied { follow_ups, .. } if follow_ups.len() == 3));
    assert_eq!(w.count("work", TaskState::Ready).await, capacity + 2);
}

pub(super) async fn a_full_queue_takes_again_what_fits(w: World) {
    fill(&w).await;
    let lease = w.lease_one().await.lease;
    assert_eq!(w.settle(lease, done()).await, applied(TaskState::Done));
    let answers = w.store.enqueue(vec![task(1), task(2)]).await.unwrap();
    assert!(answers[0].is_ok());
    assert!(matches!(answers[1], Err(EnqueueError::QueueFull { .. })), "each item on its own");
}

pub(super) async fn an_oversize_payload_is_refused_alone(w: World) {
    let limit = w.setup.limits.max_payload_bytes;
    let sized = |bytes: usize| NewTask::new(task(1).route, vec![b'1'; bytes]);
    let answers = w.store.enqueue(vec![sized(limit), sized(limit + 1), sized(1)]).await.unwrap();
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(answers[1], Err(EnqueueError::PayloadTooLarge { bytes: limit + 1, limit }));
    let whole = w.store.enqueue_whole(vec![sized(1), sized(limit + 1)], vec![]).await;
    assert!(matches!(whole, Err(EnqueueError::PayloadTooLarge { .. })));
    assert_eq!(w.count("work", TaskState::Ready).await, 2);
}

pub(super) async fn an_oversize_output_or_checkpoint_is_refused(w: World) {
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    let limit = w.setup.limits.max_payload_bytes;
    let settled = w.settle(lease, Outcome::Done { output: vec![b'1'; limit + 1] }).await;
    assert!(matches!(settled, Settled::Undone { error } if error.code == ErrorCode::TooLarge));
    let refused = w.store.checkpoint(lease, Some(vec![0; limit + 1]), None).await;
    assert_eq!(refused, Err(StoreError::TooLarge { bytes: limit + 1, limit }));
    assert_eq!(w.settle(lease, done()).await, applied(TaskState::Done), "the lease is still held");
}

pub(super) async fn an_oversize_batch_is_refused_whole(w: World) {
    let limit = w.setup.limits.max_batch;
    let too_large = StoreError::BatchTooLarge { items: limit + 1, limit };
    let tasks = vec![task(1); limit + 1];
    assert_eq!(w.store.enqueue(tasks.clone()).await, Err(too_large.clone()));
    assert_eq!(w.store.enqueue_whole(tasks, vec![]).await, Err(too_large.clone().into()));
    assert_eq!(w.count("work", TaskState::Ready).await, 0);
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    assert_eq!(w.store.extend(vec![lease; limit + 1], LEASE).await, Err(too_large.clone()));
    let settlements = (0..=limit).map(|_| w.settlement(lease, done())).collect();
    assert_eq!(w.store.settle(Arc::new(settlements)).await, Err(too_large.clone()));
    assert_eq!(w.store.get(vec![lease.task; limit + 1]).await, Err(too_large));
    assert_eq!(w.state(lease.task).await, TaskState::Leased);
}
