//! Queues that shed load: what can wait is refused early, what was taken stays.

use std::num::NonZeroU64;
use std::time::Duration;

use runtime_core::error::ErrorCode;
use runtime_core::flow::{ShedCause, ShedPolicy};
use runtime_core::name::Tenant;
use runtime_core::outcome::{Outcome, ReleaseReason, SettleWith, Settled, Settlement};
use runtime_core::store::{EnqueueError, LaneBy, QueuePolicy, ShedView};
use runtime_core::task::{NewTask, Priority, TaskState};

use super::world::{World, done, keyed, queue, task};

const SECOND: Duration = Duration::from_secs(1);

/// Sheds when the oldest is 10 s late for 5 s.
fn late() -> ShedPolicy {
    ShedPolicy {
        delay: Some(10 * SECOND),
        interval: 5 * SECOND,
        retry_after: 2 * SECOND,
        ..ShedPolicy::default()
    }
}

fn deep(depth: u64) -> ShedPolicy {
    ShedPolicy { depth: NonZeroU64::new(depth), delay: None, ..late() }
}

async fn set(w: &World, shed: Option<ShedPolicy>) {
    let policy = QueuePolicy { shed, ..QueuePolicy::default() };
    w.store.set_queue_policy(queue("work"), policy).await.unwrap();
}

fn bulk(number: u32) -> NewTask {
    NewTask { priority: Priority(1), ..task(number) }
}

async fn shed(w: &World) -> ShedView {
    let stats = w.store.queue_stats().await.unwrap();
    stats.into_iter().find(|stats| stats.queue == queue("work")).expect("the queue has figures").shed
}

fn retry_after<T: std::fmt::Debug>(answer: Result<T, EnqueueError>) -> Duration {
    match answer {
        Err(error @ EnqueueError::Shed { retry_after, .. }) => {
            assert_eq!((error.code(), error.retry_after()), (ErrorCode::LoadShed, Some(retry_after)));
            retry_after
        }
        other => panic!("expected to be refused, got {other:?}"),
    }
}

pub(super) async fn a_deep_queue_refuses_what_can_wait_and_takes_the_rest_up_to_capacity(w: World) {
    set(&w, Some(deep(4))).await;
    for number in 0..4 {
        w.put_new(bulk(number)).await;
    }
    assert_eq!(retry_after(w.put(bulk(4)).await), 2 * SECOND);
    retry_after(w.store.enqueue_whole(vec![task(5), bulk(6)], vec![]).await);
    assert_eq!(w.count("work", TaskState::Ready).await, 4, "a whole call is refused whole");
    let seen = shed(&w).await;
    assert_eq!((seen.shedding.map(|shedding| shedding.cause), seen.refused), (Some(ShedCause::Depth), 2));

    for number in 0..u32::try_from(w.setup.limits.queue_capacity).unwrap() - 4 {
        w.put_new(task(100 + number)).await;
    }
    assert!(matches!(w.put(task(7)).await, Err(EnqueueError::QueueFull { .. })), "and no further");
}

pub(super) async fn shedding_by_depth_ends_when_a_quarter_is_gone(w: World) {
    set(&w, Some(deep(4))).await;
    for number in 0..5 {
        w.put_new(task(number)).await;
    }
    for left in [4, 3] {
        retry_after(w.put(bulk(9)).await);
        let lease = w.lease_one().await.lease;
        w.settle(lease, done()).await;
        assert_eq!(w.count("work", TaskState::Ready).await, left);
    }
    w.put_new(bulk(9)).await;
    assert_eq!(shed(&w).await.refused, 2);
}

pub(super) async fn a_standing_delay_sheds_and_a_short_one_does_not(w: World) {
    set(&w, Some(late())).await;
    w.put_new(bulk(0)).await;
    w.advance(14 * SECOND);
    w.put_new(bulk(1)).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, done()).await;
    w.advance(8 * SECOND);
    w.put_new(bulk(2)).await;
    assert_eq!(shed(&w).await, ShedView::default(), "the oldest was late, and went before it counted");

    w.advance(8 * SECOND);
    assert_eq!(retry_after(w.put(bulk(3)).await), 6 * SECOND, "as long as the oldest is too late");
    w.put_new(task(4)).await;
    let shedding = shed(&w).await.shedding.expect("it sheds");
    assert_eq!((shedding.cause, shedding.since), (ShedCause::Delay, w.now()));
    w.advance(5 * 60 * SECOND);
    assert_eq!(retry_after(w.put(bulk(5)).await), ShedPolicy::MAX_WAIT);

    for lease in w.lease(10).await {
        w.settle(lease.lease, done()).await;
    }
    assert_eq!(shed(&w).await.shedding, None, "known as soon as nothing is ready");
    w.put_new(bulk(6)).await;
}

pub(super) async fn what_was_taken_is_never_dropped(w: World) {
    set(&w, Some(deep(2))).await;
    let known = NewTask { priority: Priority(1), ..keyed(0, "k") };
    let ids = [w.put_new(known.clone()).await, w.put_new(bulk(1)).await];
    assert!(w.put(known).await.is_ok_and(|taken| taken.id() == ids[0]), "who asks again is told");
    retry_after(w.put(bulk(2)).await);
    let lease = w.lease_one().await.lease;
    w.put_new(task(3)).await;
    let with = Some(Box::new(SettleWith { follow_ups: vec![bulk(4), bulk(5)], ..SettleWith::default() }));
    let settled = w.settle_all(vec![Settlement { with, ..w.settlement(lease, done()) }]).await.remove(0);
    assert!(
        matches!(settled, Settled::Applied { follow_ups, .. } if follow_ups.len() == 2),
        "follow-ups are taken"
    );
    w.advance(3600 * SECOND);
    w.store.sweep().await.unwrap();
    assert_eq!(w.count("work", TaskState::Ready).await, 4);
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Released { reason: ReleaseReason::Shutdown }).await;
    assert_eq!(w.count("work", TaskState::Ready).await, 4, "what comes back comes back");
}

pub(super) async fn without_a_policy_nothing_is_shed_and_a_new_one_begins_anew(w: World) {
    for number in 0..4 {
        w.put_new(bulk(number)).await;
    }
    w.advance(3600 * SECOND);
    w.put_new(bulk(4)).await;
    set(&w, Some(late())).await;
    retry_after(w.put(bulk(5)).await);
    set(&w, Some(deep(100))).await;
    w.put_new(bulk(6)).await;
    set(&w, Some(late())).await;
    retry_after(w.put(bulk(7)).await);
    set(&w, None).await;
    w.put_new(bulk(8)).await;
    assert_eq!(shed(&w).await, ShedView { shedding: None, refused: 2 });
}

pub(super) async fn a_sweep_sees_a_delay_that_nobody_else_looks_at(w: World) {
    set(&w, Some(late())).await;
    w.put_new(task(1)).await;
    w.advance(15 * SECOND);
    w.store.sweep().await.unwrap();
    assert!(shed(&w).await.shedding.is_some());
}

pub(super) async fn a_lane_that_waits_keeps_nothing_out_of_the_others(w: World) {
    let lanes = Some(LaneBy::Tenant);
    let policy = QueuePolicy { lanes, shed: Some(late()), ..QueuePolicy::default() };
    w.store.set_queue_policy(queue("work"), policy).await.unwrap();
    let of = |tenant: &str| NewTask { tenant: Some(Tenant::new(tenant).unwrap()), ..bulk(1) };
    w.put_new(of("flooding")).await;
    w.advance(3600 * SECOND);
    retry_after(w.put(of("flooding")).await);
    w.put_new(of("innocent")).await;
    w.advance(9 * SECOND);
    w.put_new(of("innocent")).await;
    w.advance(2 * SECOND);
    retry_after(w.put(of("innocent")).await);
    assert_eq!(shed(&w).await.refused, 2);
}

pub(super) async fn a_hopeless_task_is_ended_while_the_queue_sheds(w: World) {
    let hopeless = ShedPolicy { hopeless: Some(3 * SECOND), ..deep(2) };
    set(&w, Some(hopeless)).await;
    let soon = |w: &World| NewTask { deadline: Some(w.later(2 * SECOND)), ..task(1) };
    let begun = w.put_new(soon(&w)).await;
    assert_eq!(w.lease_one().await.lease.task, begun, "it has time while there is little to do");
    let ended = w.put_new(soon(&w)).await;
    let later = w.put_new(NewTask { deadline: Some(w.later(4 * SECOND)), ..task(2) }).await;
    retry_after(w.put(bulk(3)).await);
    let leased = w.lease(2).await;
    assert_eq!(leased.iter().map(|leased| leased.lease.task).collect::<Vec<_>>(), [later]);
    let ended = w.store.get(vec![ended]).await.unwrap().remove(0).unwrap();
    assert_eq!(ended.state, TaskState::Dead);
    assert_eq!(ended.last_error.unwrap().code, ErrorCode::DeadlineExceeded);
}

pub(super) async fn nothing_is_late_in_a_paused_queue_and_afterwards_only_since_then(w: World) {
    set(&w, Some(late())).await;
    w.put_new(bulk(0)).await;
    w.advance(60 * SECOND);
    retry_after(w.put(bulk(1)).await);
    w.store.pause_delay(queue("work"), true).await.unwrap();
    assert_eq!(shed(&w).await.shedding, None, "known at once");
    w.put_new(bulk(1)).await;
    w.advance(3600 * SECOND);
    w.store.sweep().await.unwrap();
    w.put_new(bulk(2)).await;

    set(&w, Some(deep(3))).await;
    retry_after(w.put(bulk(3)).await);
    set(&w, Some(late())).await;
    w.put_new(bulk(3)).await;
    w.store.pause_delay(queue("work"), false).await.unwrap();
    w.advance(14 * SECOND);
    w.put_new(bulk(4)).await;
    w.advance(SECOND);
    assert_eq!(retry_after(w.put(bulk(5)).await), 5 * SECOND, "late since it may go on");
}

pub(super) async fn what_is_asked_for_by_name_is_taken_up_to_capacity(w: World) {
    set(&w, Some(deep(1))).await;
    w.put_new(bulk(0)).await;
    retry_after(w.put(bulk(1)).await);
    let named = |number| NewTask { asked_by_name: true, ..bulk(number) };
    for number in 1..u32::try_from(w.setup.limits.queue_capacity).unwrap() {
        w.put_new(named(number)).await;
    }
    assert!(matches!(w.put(named(1_000)).await, Err(EnqueueError::QueueFull { .. })));
    assert_eq!(shed(&w).await.refused, 1);
}
