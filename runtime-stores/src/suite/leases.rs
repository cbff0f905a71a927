//! Leases: one holder at a time, and the epoch as its proof.

use std::collections::HashSet;
use std::time::Duration;

use runtime_core::error::ErrorCode;
use runtime_core::outcome::{Outcome, ReleaseReason, Settled};
use runtime_core::store::{EffectBegun, EffectClass, LeaseAsk};
use runtime_core::task::{Epoch, Lease, Priority, Progress, TaskState};

use super::world::{LEASE, World, applied, done, instance, queue, retry_after, task};

pub(super) async fn a_lease_raises_the_epoch_and_counts_the_attempt(w: World) {
    let id = w.put_new(task(1)).await;
    let first = w.lease_one().await;
    assert_eq!((first.lease, first.task.epoch), (Lease { task: id, epoch: Epoch(1) }, Epoch(1)));
    assert_eq!((first.task.attempt, first.task.state), (1, TaskState::Leased));
    assert_eq!(first.task.holder, Some((instance("one"), w.later(LEASE))));
    assert_eq!(w.get(id).await, *first.task, "the answer is what is stored");

    w.advance(LEASE);
    w.store.sweep().await.unwrap();
    let second = w.lease_one().await;
    assert_eq!(second.lease.epoch, Epoch(2));
}

pub(super) async fn two_asks_never_get_the_same_task(w: World) {
    for number in 0..100 {
        w.put_new(task(number)).await;
    }
    let (a, b, c) =
        tokio::join!(w.lease_as("a", "work", 60), w.lease_as("b", "work", 60), w.lease_as("c", "work", 60));
    let all: Vec<_> = [a, b, c].concat();
    let ids: HashSet<_> = all.iter().map(|leased| leased.lease.task).collect();
    assert_eq!((all.len(), ids.len()), (100, 100));
}

pub(super) async fn a_late_write_of_a_lost_lease_changes_nothing_and_says_so(w: World) {
    let id = w.put_new(task(1)).await;
    let lost = w.lease_one().await.lease;
    w.advance(LEASE);
    w.store.sweep().await.unwrap();
    let live = w.lease_as("two", "work", 1).await.remove(0);
    let before = w.get(id).await;

    assert_eq!(w.settle(lost, done()).await, Settled::Stale);
    assert_eq!(w.store.extend(vec![lost], LEASE).await.unwrap(), [lost]);
    let progress = Some(Progress { fraction: 0.5, note: "half".into() });
    assert!(!w.store.checkpoint(lost, Some(b"late".to_vec()), progress).await.unwrap());
    let step = "send".parse().unwrap();
    let begun = w.store.begin_effect(lost, step, EffectClass::Unkeyed, [1; 32]).await.unwrap();
    assert_eq!(begun, EffectBegun::Stale);

    assert_eq!(w.get(id).await, before, "nothing changed");
    assert_eq!(w.settle(live.lease, done()).await, applied(TaskState::Done));
}

pub(super) async fn an_unknown_lease_is_stale(w: World) {
    let id = w.put_new(task(1)).await;
    let never_granted = Lease { task: id, epoch: Epoch(1) };
    assert_eq!(w.settle(never_granted, done()).await, Settled::Stale);
    let leased = w.lease_one().await.lease;
    let future = Lease { epoch: Epoch(2), ..leased };
    assert_eq!(w.settle(future, done()).await, Settled::Stale);
    assert_eq!(w.state(id).await, TaskState::Leased);
}

pub(super) async fn an_extended_lease_outlives_its_first_term(w: World) {
    let id = w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    w.advance(Duration::from_secs(20));
    assert_eq!(w.store.extend(vec![lease], LEASE).await.unwrap(), []);
    w.advance(Duration::from_secs(20));
    assert_eq!(w.store.sweep().await.unwrap().expired_leases, 0);
    assert_eq!(w.get(id).await.holder.unwrap().1, w.later(Duration::from_secs(10)));
    w.advance(Duration::from_secs(10));
    assert_eq!(w.store.sweep().await.unwrap().expired_leases, 1);
    assert_eq!(w.state(id).await, TaskState::Ready);
}

pub(super) async fn a_lease_that_ran_out_is_swept_and_not_counted_as_an_attempt(w: World) {
    let id = w.put_new(task(1)).await;
    w.lease_one().await;
    w.advance(LEASE - Duration::from_millis(1));
    assert_eq!(w.store.sweep().await.unwrap().expired_leases, 0, "not a moment too early");
    w.advance(Duration::from_millis(1));
    assert_eq!(w.store.sweep().await.unwrap().expired_leases, 1);
    let task = w.get(id).await;
    assert_eq!((task.state, task.attempt, task.crash_count, task.holder), (TaskState::Ready, 0, 1, None));
    assert_eq!(task.last_error.unwrap().code, ErrorCode::LeaseLost);
    let attempts = w.store.attempts(id).await.unwrap();
    assert_eq!(attempts.iter().map(|attempt| attempt.outcome.as_str()).collect::<Vec<_>>(), ["lease_lost"]);
}

pub(super) async fn claims_go_by_priority_and_then_by_age(w: World) {
    for (number, priority) in [(1, 0), (2, 5), (3, -3), (4, 0), (5, -3)] {
        let mut task = task(number);
        task.priority = Priority(priority);
        w.put_new(task).await;
    }
    let mut order = Vec::new();
    for up_to in [2, 10] {
        order.extend(w.lease(up_to).await.into_iter().map(|leased| leased.task.payload));
    }
    let expected: Vec<_> = [3, 5, 1, 4, 2].iter().map(|number| task(*number).payload).collect();
    assert_eq!(order, expected);
}

pub(super) async fn a_wait_makes_up_for_a_worse_priority(w: World) {
    let with = |number: u32, priority: i16| {
        let mut task = task(number);
        task.priority = Priority(priority);
        task
    };
    let patient = w.put_new(with(1, 1)).await;
    w.advance(crate::PRIORITY_STEP - Duration::from_millis(1));
    let in_time = w.put_new(with(2, 0)).await;
    w.advance(Duration::from_millis(2));
    let late = w.put_new(with(3, 0)).await;
    let mut later = with(4, 0);
    later.run_at = Some(w.later(Duration::from_secs(1)));
    let later = w.put_new(later).await;
    let urgent = w.put_new(with(5, -1)).await;
    w.advance(Duration::from_secs(1));
    w.store.sweep().await.unwrap();
    let order: Vec<_> = w.lease(10).await.into_iter().map(|leased| leased.lease.task).collect();
    assert_eq!(order, [urgent, in_time, patient, late, later], "what waited a step longer overtakes");
}

pub(super) async fn a_task_that_comes_back_unfinished_keeps_its_place(w: World) {
    let first = w.put_new(task(1)).await;
    w.advance(Duration::from_secs(1));
    let second = w.put_new(task(2)).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Released { reason: ReleaseReason::Shutdown }).await;
    assert_eq!(w.lease_one().await.lease.task, first, "a release is no new due time");
    w.advance(LEASE);
    w.store.sweep().await.unwrap();
    let lease = w.lease_one().await.lease;
    assert_eq!(lease.task, first, "nor is a lost lease");
    w.settle(lease, retry_after(Duration::ZERO)).await;
    assert_eq!(w.lease_one().await.lease.task, second, "a retry is");
}

pub(super) async fn one_named_task_can_be_leased(w: World) {
    w.put_new(task(1)).await;
    let wanted = w.put_new(task(2)).await;
    let ask = LeaseAsk {
        queue: queue("work"),
        instance: instance("one"),
        up_to: 10,
        lease_for: LEASE,
        task: Some(wanted),
    };
    let elsewhere = LeaseAsk { queue: queue("other"), ..ask.clone() };
    assert_eq!(w.store.lease(elsewhere).await.unwrap(), [], "only from its own queue");
    let leased = w.store.lease(ask.clone()).await.unwrap();
    assert_eq!(leased.iter().map(|leased| leased.lease.task).collect::<Vec<_>>(), [wanted]);
    assert_eq!(w.store.lease(ask).await.unwrap(), [], "once");
}

pub(super) async fn a_checkpoint_stays_for_the_next_attempt(w: World) {
    let id = w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    let progress = Progress { fraction: 0.25, note: "a quarter".into() };
    assert!(w.store.checkpoint(lease, Some(b"line 7".to_vec()), Some(progress.clone())).await.unwrap());
    assert!(w.store.checkpoint(lease, None, None).await.unwrap(), "nothing given, nothing taken");
    let stored = w.get(id).await;
    assert_eq!((stored.checkpoint.as_deref(), stored.progress), (Some(b"line 7".as_slice()), Some(progress)));
    w.advance(LEASE);
    w.store.sweep().await.unwrap();
    assert_eq!(w.lease_one().await.task.checkpoint.as_deref(), Some(b"line 7".as_slice()));
}

pub(super) async fn a_task_past_its_deadline_is_not_leased_but_dies(w: World) {
    let mut late = task(1);
    late.deadline = Some(w.later(Duration::from_secs(5)));
    let late = w.put_new(late).await;
    let other = w.put_new(task(2)).await;
    w.advance(Duration::from_secs(5));
    let leased: Vec<_> = w.lease(10).await.into_iter().map(|leased| leased.lease.task).collect();
    assert_eq!(leased, [other]);
    let dead = w.get(late).await;
    assert_eq!((dead.state, dead.last_error.unwrap().code), (TaskState::Dead, ErrorCode::DeadlineExceeded));
}
