//! Windows of keys, and what a second task under a key does.

use std::time::Duration;

use runtime_core::name::{HandlerName, IdempotencyKey};
use runtime_core::outcome::{SettleWith, Settled, Settlement};
use runtime_core::store::{EnqueueError, Enqueued, TaskCommand};
use runtime_core::task::{NewTask, OnConflict, Priority, TaskId, TaskState, UniqueWithin};

use super::world::{World, done, keyed, queue, retry_after, route_to, task};

const MINUTE: Duration = Duration::from_secs(60);

fn within(number: u32, window: UniqueWithin) -> NewTask {
    keyed(number, "a").unique_within(window)
}

fn replacing(number: u32) -> NewTask {
    keyed(number, "a").on_conflict(OnConflict::Replace)
}

fn duplicate(id: TaskId, state: TaskState) -> Result<Enqueued, EnqueueError> {
    Ok(Enqueued::Duplicate { id, state })
}

fn with_follow_ups(w: &World, lease: runtime_core::task::Lease, follow_ups: Vec<NewTask>) -> Settlement {
    let with = SettleWith { follow_ups, ..SettleWith::default() };
    Settlement { with: Some(Box::new(with)), ..w.settlement(lease, done()) }
}

pub(super) async fn a_key_stands_for_its_task_as_long_as_its_window(w: World) {
    let waiting = || within(1, UniqueWithin::WhileWaiting);
    let first = w.put_new(waiting()).await;
    assert_eq!(w.put(waiting()).await, duplicate(first, TaskState::Ready));
    let lease = w.lease_one().await.lease;
    let second = w.put_new(waiting()).await;
    assert_ne!(second, first, "the first no longer waits");
    w.settle(lease, retry_after(MINUTE)).await;
    assert_eq!(w.put(waiting()).await, duplicate(second, TaskState::Ready), "the key is the second's now");

    let live = || within(1, UniqueWithin::WhileLive);
    assert_eq!(w.put(live()).await, duplicate(second, TaskState::Ready));
    let lease = w.lease_one().await.lease;
    assert_eq!(w.put(live()).await, duplicate(second, TaskState::Leased));
    w.settle(lease, done()).await;
    let third = w.put_new(live()).await;
    assert_eq!(w.put(keyed(1, "a")).await, duplicate(third, TaskState::Ready));

    let minute = || within(1, UniqueWithin::For(MINUTE));
    let lease = w.lease_one().await.lease;
    w.settle(lease, done()).await;
    w.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(w.put(minute()).await, duplicate(third, TaskState::Done), "finished or not");
    w.advance(Duration::from_millis(1));
    let fourth = w.put_new(minute()).await;
    assert_eq!(w.put(minute()).await, duplicate(fourth, TaskState::Ready), "a minute from the fourth on");
    assert_eq!(w.state(third).await, TaskState::Done, "the others stay what they are");
}

pub(super) async fn a_key_is_remembered_as_long_as_its_window(w: World) {
    let keep = w.setup.retention.keep_keys_for;
    let long =
        |key: &str| keyed(1, key).unique_within(UniqueWithin::For(keep * 3)).on_conflict(OnConflict::Ignore);
    let forever =
        |key: &str| keyed(1, key).unique_within(UniqueWithin::Forever).on_conflict(OnConflict::Ignore);
    let with_window = w.put_new(long("long")).await;
    let for_ever = w.put_new(forever("ever")).await;
    let asked_later = w.put_new(keyed(1, "later")).await;
    w.put_new(keyed(1, "plain")).await;
    for leased in w.lease(4).await {
        w.settle(leased.lease, done()).await;
    }
    assert_eq!(w.put(forever("later")).await, duplicate(asked_later, TaskState::Done));
    w.advance(keep);
    assert_eq!(w.store.sweep().await.unwrap().forgotten, 4, "history forgets as ever");
    w.put_new(keyed(1, "plain")).await;
    assert_eq!(w.put(long("long")).await, duplicate(with_window, TaskState::Done));

    w.advance(keep * 2);
    w.store.sweep().await.unwrap();
    w.put_new(long("long")).await;
    w.advance(Duration::from_hours(24 * 365 * 20));
    w.store.sweep().await.unwrap();
    assert_eq!(w.put(forever("ever")).await, duplicate(for_ever, TaskState::Done));
    assert_eq!(w.put(forever("later")).await, duplicate(asked_later, TaskState::Done));
}

pub(super) async fn an_ignored_task_changes_nothing(w: World) {
    let id = w.put_new(keyed(1, "a")).await;
    let ignored = |number| keyed(number, "a").on_conflict(OnConflict::Ignore);
    let before = w.get(id).await;
    let other = NewTask { priority: Priority(-3), tenant: Some("t".parse().unwrap()), ..ignored(2) };
    assert_eq!(w.put(other).await, duplicate(id, TaskState::Ready));
    assert_eq!(w.get(id).await, before);
    assert_eq!(w.put(keyed(1, "a")).await, duplicate(id, TaskState::Ready), "its content is the first one's");
    assert_eq!(w.put(keyed(2, "a")).await, Err(EnqueueError::IdempotencyConflict { existing: id }));
}

pub(super) async fn a_waiting_task_takes_what_replaces_it(w: World) {
    let id = w.put_new(replacing(1)).await;
    let other = w.put_new(task(9)).await;
    let created_at = w.now();
    w.advance(Duration::from_secs(5));
    let later = w.later(MINUTE);
    let put_off = NewTask {
        run_at: Some(later),
        deadline: Some(w.later(2 * MINUTE)),
        schema_version: 2,
        ..replacing(2)
    };
    assert_eq!(w.put(put_off.clone()).await, Ok(Enqueued::Replaced { id }));
    let task = w.get(id).await;
    assert_eq!((task.state, task.run_at, task.created_at), (TaskState::Scheduled, later, created_at));
    assert_eq!((task.payload, task.schema_version, task.deadline), (put_off.payload, 2, put_off.deadline));
    assert_eq!(
        (w.count("work", TaskState::Ready).await, w.count("work", TaskState::Scheduled).await),
        (1, 1)
    );
    assert_eq!(w.store.sweep().await.unwrap().next_due, Some(later));
    let leased = w.lease(10).await;
    assert_eq!(leased.iter().map(|leased| leased.lease.task).collect::<Vec<_>>(), [other]);
    w.settle(leased[0].lease, done()).await;

    let bell = w.store.wake(&queue("work"));
    let at_once = NewTask { priority: Priority(-1), ..replacing(3) };
    assert_eq!(w.put(at_once.clone()).await, Ok(Enqueued::Replaced { id }));
    bell.notified().await;
    w.put_new(NewTask { priority: Priority(0), ..task_before() }).await;
    let leased = w.lease_one().await;
    assert_eq!((leased.lease.task, &leased.task.payload), (id, &at_once.payload), "by its new priority");
    assert_eq!((leased.task.run_at, leased.task.deadline), (w.now(), None));
    assert_eq!(w.count("work", TaskState::Scheduled).await, 0);
    w.settle(leased.lease, done()).await;
    assert_eq!(w.put(keyed(3, "a")).await, duplicate(id, TaskState::Done), "the key knows the new content");
    assert_eq!(w.put(keyed(1, "a")).await, Err(EnqueueError::IdempotencyConflict { existing: id }));
}

fn task_before() -> NewTask {
    task(8)
}

pub(super) async fn nothing_replaces_a_task_that_was_leased(w: World) {
    let id = w.put_new(replacing(1)).await;
    let lease = w.lease_one().await.lease;
    let before = w.get(id).await;
    assert_eq!(w.put(replacing(2)).await, duplicate(id, TaskState::Leased));
    assert_eq!(w.get(id).await, before);
    w.settle(lease, retry_after(MINUTE)).await;
    let put_off = replacing(2).on_conflict(OnConflict::Debounce { at_most: 9 * MINUTE });
    assert_eq!(w.put(put_off).await, duplicate(id, TaskState::Scheduled), "its handler has seen the payload");
    w.store.steer(vec![(id, TaskCommand::Retry)]).await.unwrap();
    assert_eq!(w.put(replacing(2)).await, duplicate(id, TaskState::Ready));
    let leased = w.lease_one().await;
    assert_eq!(leased.task.payload, replacing(1).payload);
    w.settle(leased.lease, done()).await;
    assert_eq!(w.put(replacing(2)).await, duplicate(id, TaskState::Done));
}

pub(super) async fn a_debounced_task_is_put_off_but_not_for_ever(w: World) {
    let key = || IdempotencyKey::new("a").unwrap();
    let last = w.later(3 * MINUTE);
    let put = async |number: u32| w.put(task(number).debounced(key(), w.later(2 * MINUTE), 3 * MINUTE)).await;
    let Ok(Enqueued::Accepted { id }) = put(1).await else { panic!("the first is new") };
    assert_eq!(w.get(id).await.run_at, w.later(2 * MINUTE));
    w.advance(MINUTE / 2);
    assert_eq!(put(2).await, Ok(Enqueued::Debounced { id, run_at: w.later(2 * MINUTE) }));
    w.advance(MINUTE);
    assert_eq!(put(3).await, Ok(Enqueued::Debounced { id, run_at: last }), "no later than that");
    w.advance(MINUTE);
    w.store.sweep().await.unwrap();
    assert_eq!(w.state(id).await, TaskState::Scheduled);
    w.advance(MINUTE);
    assert_eq!(put(4).await, Ok(Enqueued::Debounced { id, run_at: w.now() }), "its time has come");
    let leased = w.lease_one().await;
    assert_eq!((leased.lease.task, leased.task.payload.clone()), (id, task(4).payload));
    let Ok(Enqueued::Accepted { id: next }) = put(5).await else { panic!("what comes late is not lost") };
    assert_ne!(next, id);
    assert_eq!(w.get(next).await.run_at, w.later(2 * MINUTE));
    let capped = w.put_new(task(6).debounced(key_b(), w.later(9 * MINUTE), MINUTE)).await;
    assert_eq!(w.get(capped).await.run_at, w.later(MINUTE), "the first as well");
}

fn key_b() -> IdempotencyKey {
    IdempotencyKey::new("b").unwrap()
}

pub(super) async fn only_the_same_work_replaces_a_task(w: World) {
    let id = w.put_new(replacing(1)).await;
    let before = w.get(id).await;
    let conflict = Err(EnqueueError::IdempotencyConflict { existing: id });
    let mut route = (*route_to("work")).clone();
    route.handler = HandlerName::new("second").unwrap();
    assert_eq!(w.put(NewTask { route: route.into(), ..replacing(2) }).await, conflict);
    assert_eq!(w.put(NewTask { tenant: Some("t".parse().unwrap()), ..replacing(2) }).await, conflict);
    assert_eq!(w.put(NewTask { scope: Some("store=1".parse().unwrap()), ..replacing(2) }).await, conflict);
    assert_eq!(w.get(id).await, before);
    assert_eq!(w.put(keyed(1, "a")).await, duplicate(id, TaskState::Ready));
}

pub(super) async fn follow_ups_obey_the_policies_of_their_keys(w: World) {
    let live = |number| within(number, UniqueWithin::WhileLive);
    let first = w.put_new(live(1)).await;
    let lease = w.lease_one().await.lease;
    let settled = w.settle_all(vec![with_follow_ups(&w, lease, vec![live(2)])]).await.remove(0);
    let Settled::Applied { follow_ups, .. } = settled else { panic!("{settled:?}") };
    assert_ne!(follow_ups, [first], "the task that is done with its settlement holds its key no more");

    w.put_new(task(5)).await;
    let lease = w.lease(2).await.remove(1).lease;
    w.put_new(keyed(1, "b")).await;
    let waiting = w.put(replacing(3)).await.unwrap().id();
    assert_eq!(waiting, follow_ups[0]);
    let refused = keyed(2, "b");
    let later = NewTask { run_at: Some(w.later(MINUTE)), ..live(4).on_conflict(OnConflict::Replace) };
    let both = vec![later.clone(), refused];
    let settled = w.settle_all(vec![with_follow_ups(&w, lease, both)]).await.remove(0);
    assert!(matches!(settled, Settled::Undone { .. }), "{settled:?}");
    let settled = w.settle_all(vec![with_follow_ups(&w, lease, vec![later])]).await.remove(0);
    assert_eq!(settled, Settled::Applied { state: TaskState::Done, follow_ups: vec![waiting] });
}

pub(super) async fn a_call_that_fails_whole_takes_its_replacements_back(w: World) {
    let id = w.put_new(replacing(1)).await;
    let taken = w.put_new(keyed(1, "taken")).await;
    let before = w.get(id).await;
    let calls = vec![
        NewTask { run_at: Some(w.later(MINUTE)), priority: Priority(4), ..replacing(2) },
        NewTask { priority: Priority(5), ..replacing(3) },
        keyed(1, "taken").unique_within(UniqueWithin::For(Duration::ZERO)),
        keyed(2, "taken"),
    ];
    let refused = w.store.enqueue_whole(calls, vec![]).await;
    assert!(matches!(refused, Err(EnqueueError::IdempotencyConflict { existing }) if existing != taken));
    assert_eq!(w.get(id).await, before);
    assert_eq!(
        (w.count("work", TaskState::Ready).await, w.count("work", TaskState::Scheduled).await),
        (2, 0)
    );
    assert_eq!(w.put(keyed(1, "a")).await, duplicate(id, TaskState::Ready), "the key is as it was");
    assert_eq!(w.put(keyed(1, "taken")).await, duplicate(taken, TaskState::Ready));
    let order: Vec<_> = w.lease(10).await.into_iter().map(|leased| leased.lease.task).collect();
    assert_eq!(order, [id, taken]);
}

pub(super) async fn windows_and_replacements_survive(w: World) {
    let keep = w.setup.retention.keep_keys_for;
    let forever = || keyed(1, "ever").unique_within(UniqueWithin::Forever);
    let for_ever = w.put_new(forever()).await;
    let id = w.put_new(replacing(1)).await;
    w.put(NewTask { run_at: Some(w.later(MINUTE)), ..replacing(2) }).await.unwrap();
    let w = w.crash_into("two").await;
    let task = w.get(id).await;
    assert_eq!((task.state, task.payload), (TaskState::Scheduled, replacing(2).payload));
    assert_eq!(w.put(replacing(3)).await, Ok(Enqueued::Replaced { id }));
    for leased in w.lease(2).await {
        w.settle(leased.lease, done()).await;
    }
    w.advance(keep * 2);
    w.store.sweep().await.unwrap();
    let w = w.crash_into("three").await;
    assert_eq!(w.put(forever()).await, duplicate(for_ever, TaskState::Done));
    assert_ne!(w.put_new(replacing(1)).await, id);
}
