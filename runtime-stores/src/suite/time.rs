//! What happens at its time, and who hears of it.

use std::sync::Arc;
use std::time::Duration;

use runtime_core::error::ErrorCode;
use runtime_core::outcome::{Outcome, ReleaseReason};
use runtime_core::store::StoreError;
use runtime_core::task::{NewTask, TaskState};
use tokio::sync::Notify;

use super::world::{LEASE, World, done, queue, retry_after, task};

/// Far beyond what any machine needs: only a bell that never rings waits so long.
const NEVER: Duration = Duration::from_secs(60);

async fn rings(bell: &Arc<Notify>) {
    tokio::time::timeout(NEVER, bell.notified()).await.expect("the bell rings");
}

pub(super) async fn a_scheduled_task_waits_for_its_time(w: World) {
    let id = w.put_new(NewTask { run_at: Some(w.later(Duration::from_secs(5))), ..task(1) }).await;
    let now = w.put_new(NewTask { run_at: Some(w.now()), ..task(2) }).await;
    assert_eq!(w.lease_one().await.lease.task, now, "what is due is ready");
    w.advance(Duration::from_millis(4_999));
    w.store.sweep().await.unwrap();
    assert_eq!(w.lease(10).await, []);
    w.advance(Duration::from_millis(1));
    assert_eq!(w.store.sweep().await.unwrap().promoted, 1);
    assert_eq!(w.lease_one().await.lease.task, id);
}

pub(super) async fn a_sweep_says_what_is_due_next(w: World) {
    assert_eq!(w.store.sweep().await.unwrap().next_due, None);
    let (near, far) = (w.later(Duration::from_secs(5)), w.later(Duration::from_secs(50)));
    w.put_new(NewTask { run_at: Some(far), ..task(1) }).await;
    w.put_new(NewTask { run_at: Some(near), ..task(2) }).await;
    assert_eq!(w.store.sweep().await.unwrap().next_due, Some(near));
    w.advance(Duration::from_secs(5));
    assert_eq!(w.store.sweep().await.unwrap().next_due, Some(far));
}

pub(super) async fn a_deadline_ends_what_waits(w: World) {
    let deadline = Some(w.later(Duration::from_secs(5)));
    let ready = w.put_new(NewTask { deadline, ..task(1) }).await;
    let scheduled = w.put_new(NewTask { deadline, run_at: Some(w.later(LEASE)), ..task(2) }).await;
    w.advance(Duration::from_secs(5));
    assert_eq!(w.store.sweep().await.unwrap().past_deadline, 2);
    for id in [ready, scheduled] {
        let dead = w.get(id).await;
        assert_eq!(
            (dead.state, dead.last_error.unwrap().code),
            (TaskState::Dead, ErrorCode::DeadlineExceeded)
        );
    }
}

pub(super) async fn waiters_are_woken_when_a_task_becomes_ready(w: World) {
    let bell = w.store.wake(&queue("work"));
    w.put_new(task(1)).await;
    rings(&bell).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, retry_after(Duration::ZERO)).await;
    rings(&bell).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Released { reason: ReleaseReason::NotStarted }).await;
    rings(&bell).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, retry_after(Duration::from_secs(5))).await;
    w.advance(Duration::from_secs(5));
    w.store.sweep().await.unwrap();
    rings(&bell).await;
    w.lease_one().await;
    w.advance(LEASE);
    w.store.sweep().await.unwrap();
    rings(&bell).await;
}

pub(super) async fn a_nearer_due_time_is_announced(w: World) {
    let bell = w.store.due_changed();
    w.put_new(NewTask { run_at: Some(w.later(LEASE)), ..task(1) }).await;
    rings(&bell).await;
    w.put_new(task(2)).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Snooze { wait: Duration::from_secs(1) }).await;
    rings(&bell).await;
}

pub(super) async fn a_closed_store_says_so(w: World) {
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    w.store.close().await.unwrap();
    assert_eq!(w.store.enqueue(vec![task(2)]).await, Err(StoreError::Closed));
    assert_eq!(w.store.settle(Arc::new(vec![w.settlement(lease, done())])).await, Err(StoreError::Closed));
    assert_eq!(w.store.get(vec![lease.task]).await, Err(StoreError::Closed));
    assert_eq!(w.store.sweep().await, Err(StoreError::Closed));
}
