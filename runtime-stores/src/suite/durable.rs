//! What a process leaves behind.

use std::time::Duration;

use runtime_core::event::NewEvent;
use runtime_core::node::DesiredState;
use runtime_core::outcome::{Outcome, ParkReason, SettleWith, Settled, Settlement};
use runtime_core::store::{EffectBegun, EffectClass, Enqueued};
use runtime_core::task::TaskState;

use super::world::{World, applied, done, instance, keyed, retry_after, task};

pub(super) async fn what_was_acknowledged_is_there_after_a_crash(w: World) {
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(w.put_new(task(number)).await);
    }
    let leased = w.lease(3).await;
    w.settle(leased[0].lease, done()).await;
    w.settle(leased[1].lease, retry_after(Duration::from_secs(60))).await;
    let reason = ParkReason::NeedsDecision { question: "?".into() };
    w.settle(leased[2].lease, Outcome::Park { reason }).await;
    let mut before = Vec::new();
    for id in &ids {
        before.push(w.get(*id).await);
    }
    let w = w.crash_into("two").await;
    for (id, before) in ids.iter().zip(before) {
        assert_eq!(w.get(*id).await, before);
    }
}

pub(super) async fn the_next_owner_releases_leases_at_once(w: World) {
    let id = w.put_new(task(1)).await;
    w.lease_one().await;
    let w = w.crash_into("two").await;
    let task = w.get(id).await;
    assert_eq!((task.state, task.attempt, task.crash_count), (TaskState::Ready, 0, 1));
    let again = w.lease_one().await;
    assert_eq!(again.task.holder.unwrap().0, instance("two"));
    let attempts = w.store.attempts(id).await.unwrap();
    assert_eq!((attempts[0].outcome.as_str(), &attempts[0].instance), ("lease_lost", &instance("one")));
}

pub(super) async fn a_lease_of_a_dead_owner_is_stale(w: World) {
    let id = w.put_new(task(1)).await;
    let lost = w.lease_one().await.lease;
    let w = w.crash_into("two").await;
    assert_eq!(w.settle(lost, done()).await, Settled::Stale);
    let live = w.lease_one().await.lease;
    assert_eq!(w.settle(lost, done()).await, Settled::Stale);
    assert_eq!(w.store.extend(vec![lost, live], super::world::LEASE).await.unwrap(), [lost]);
    assert_eq!(w.state(id).await, TaskState::Leased);
    assert_eq!(w.settle(live, done()).await, applied(TaskState::Done));
}

pub(super) async fn row_numbers_are_never_given_twice(mut w: World) {
    let mut last = 0;
    for round in 0..4 {
        let id = w.put_new(task(round)).await;
        assert!(id.row() > last, "row {} after {last}", id.row());
        last = id.row();
        let lease = w.lease_one().await.lease;
        w.settle(lease, done()).await;
        w.advance(w.setup.retention.keep_finished_for);
        assert_eq!(w.store.sweep().await.unwrap().forgotten, 1, "nothing in the store remembers the row");
        w = if round % 2 == 0 { w.crash_into("next").await } else { w.close_into("next").await };
    }
}

pub(super) async fn counts_are_right_after_a_restart(w: World) {
    for number in 0..7 {
        w.put_new(task(number)).await;
    }
    let leased = w.lease(4).await;
    w.settle(leased[0].lease, done()).await;
    w.settle(leased[1].lease, Outcome::Cancel { reason: "no".into() }).await;
    w.settle(leased[2].lease, retry_after(Duration::from_secs(60))).await;
    let w = w.crash_into("two").await;
    let stats = w.store.queue_stats().await.unwrap().remove(0);
    let counts: Vec<u64> = TaskState::ALL.into_iter().map(|state| stats.counts.of(state)).collect();
    assert_eq!(counts, [1, 4, 0, 0, 1, 0, 1]);
    let w = w.close_into("three").await;
    assert_eq!(w.store.queue_stats().await.unwrap().remove(0).counts, stats.counts);
}

pub(super) async fn keys_effects_facts_and_wishes_survive(w: World) {
    let known = w.put_new(keyed(1, "a")).await;
    let lease = w.lease_one().await.lease;
    let step: runtime_core::name::StepName = "pay".parse().unwrap();
    w.store.begin_effect(lease, step.clone(), EffectClass::Keyed, [1; 32]).await.unwrap();
    w.store.record_effect(lease, step.clone(), [1; 32], b"1".to_vec()).await.unwrap();
    w.put_new(task(2)).await;
    let other = w.lease_one().await.lease;
    let events = vec![NewEvent { kind: "stated".into(), body: b"{}".to_vec() }];
    let with = Some(Box::new(SettleWith { events, ..SettleWith::default() }));
    w.settle_all(vec![Settlement { with, ..w.settlement(other, done()) }]).await;
    let path: runtime_core::node::NodePath = "/engine/apps/a".parse().unwrap();
    w.store.set_desired(vec![path.clone()], DesiredState::Paused).await.unwrap();
    w.store.set_slots(path.clone(), std::num::NonZeroUsize::new(3)).await.unwrap();
    let resized = w.store.resized().await.unwrap();

    let w = w.crash_into("two").await;
    assert_eq!(w.put(keyed(1, "a")).await, Ok(Enqueued::Duplicate { id: known, state: TaskState::Ready }));
    let lease = w.lease_one().await.lease;
    let begun = w.store.begin_effect(lease, step, EffectClass::Keyed, [1; 32]).await.unwrap();
    assert_eq!(begun, EffectBegun::Known { result: b"1".to_vec() });
    assert_eq!(w.store.unrelayed(10).await.unwrap().len(), 1);
    assert_eq!(w.store.desired().await.unwrap(), [(path, DesiredState::Paused)]);
    assert_eq!((w.store.resized().await.unwrap(), resized.len()), (resized, 1));
}
