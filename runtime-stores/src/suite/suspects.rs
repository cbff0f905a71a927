//! Poison by suspicion: who dies with its process is watched, who dies alone is poison, and nobody else is blamed.

use std::time::Duration;

use runtime_core::error::ErrorCode;
use runtime_core::task::{LeasedTask, TaskId, TaskState};

use super::world::{LEASE, World, applied, done, retry_after, task, task_to};

fn ids(leased: &[LeasedTask]) -> Vec<TaskId> {
    leased.iter().map(|leased| leased.lease.task).collect()
}

/// The holder dies: whatever it held comes back.
async fn die(w: &World) {
    w.advance(LEASE);
    w.store.sweep().await.unwrap();
}

pub(super) async fn a_task_that_dies_three_times_with_its_process_is_poison(w: World) {
    let id = w.put_new(task(1)).await;
    for death in 1..=3 {
        assert_eq!(ids(&w.lease(10).await), [id]);
        die(&w).await;
        assert_eq!(w.get(id).await.crash_count, death);
    }
    let poison = w.get(id).await;
    assert_eq!((poison.state, poison.attempt), (TaskState::Dead, 0));
    assert_eq!(poison.last_error.unwrap().code, ErrorCode::Poison);
    assert_eq!(w.store.attempts(id).await.unwrap().len(), 3);
    assert_eq!(w.lease(10).await, []);
}

pub(super) async fn an_innocent_beside_a_killer_is_never_blamed(w: World) {
    let killer = w.put_new(task(1)).await;
    let mut innocents = Vec::new();
    for number in 2..=9 {
        innocents.push(w.put_new(task(number)).await);
    }
    // Every process that runs the killer dies; every process that does not, settles what it leased.
    for _ in 0..40 {
        let leased = w.lease(4).await;
        if leased.iter().any(|leased| leased.lease.task == killer) {
            die(&w).await;
        } else {
            for leased in leased {
                w.settle(leased.lease, done()).await;
            }
        }
    }
    assert_eq!(w.get(killer).await.last_error.unwrap().code, ErrorCode::Poison);
    for innocent in innocents {
        assert_eq!(w.state(innocent).await, TaskState::Done);
    }
}

async fn a_suspect_of_two_deaths(w: &World) -> TaskId {
    let suspect = w.put_new(task(1)).await;
    for _ in 0..2 {
        assert_eq!(ids(&w.lease(10).await), [suspect]);
        die(w).await;
    }
    suspect
}

pub(super) async fn nothing_is_leased_beside_a_lone_suspect(w: World) {
    let suspect = a_suspect_of_two_deaths(&w).await;
    w.put_new(task(2)).await;
    w.put_new(task_to("other", 3)).await;
    let alone = w.lease(10).await;
    assert_eq!(ids(&alone), [suspect], "suspects go first, and alone");
    assert_eq!(w.lease(10).await, []);
    assert_eq!(w.lease_as("one", "other", 10).await, [], "of no queue");
    assert_eq!(w.lease_as("two", "other", 10).await.len(), 1, "another instance is not beside it");
    assert_eq!(w.settle(alone[0].lease, done()).await, applied(TaskState::Done));
    assert_eq!(w.lease(10).await.len(), 1);
}

pub(super) async fn a_suspect_comes_to_run_and_others_are_not_stalled_for_ever(w: World) {
    for number in 10..20 {
        w.put_new(task_to("other", number)).await;
    }
    let suspect = a_suspect_of_two_deaths(&w).await;
    let busy = w.lease_as("one", "other", 1).await.remove(0);

    assert_eq!(w.lease(1).await, [], "others are held: the suspect waits");
    assert_eq!(w.lease_as("one", "other", 1).await, [], "and so does everybody, to make room");
    // The one that is held never ends; it is extended for ever.
    w.advance(Duration::from_secs(20));
    w.store.extend(vec![busy.lease], LEASE).await.unwrap();
    w.advance(Duration::from_secs(10));
    w.store.sweep().await.unwrap();
    assert_eq!(w.lease_as("one", "other", 1).await.len(), 1, "after one lease duration others go on");
    assert_eq!(w.lease(1).await, []);
    assert_eq!(w.lease_as("one", "other", 1).await.len(), 1, "and keep going on");

    // Once nothing is held, the suspect runs.
    w.advance(LEASE);
    w.store.sweep().await.unwrap();
    assert_eq!(ids(&w.lease(1).await), [suspect]);
}

pub(super) async fn whoever_survives_an_attempt_is_no_longer_suspect(w: World) {
    let suspect = a_suspect_of_two_deaths(&w).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, retry_after(Duration::ZERO)).await;
    assert_eq!(w.get(suspect).await.crash_count, 0);
    w.put_new(task(2)).await;
    assert_eq!(w.lease(10).await.len(), 2, "it runs beside others again");
}
