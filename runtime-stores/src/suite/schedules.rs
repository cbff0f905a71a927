//! Schedules and the tasks of their ticks.

use std::time::Duration;

use jiff::Timestamp;
use runtime_core::schedule::{DeclaredBy, ScheduleSpec, ScheduleState, Timing};
use runtime_core::store::{EnqueueError, Enqueued, Fired, Firing, PutSchedule, Revision, StoredSchedule};
use runtime_core::task::{NewTask, TaskState};

use super::world::{World, route_to, task};

fn hourly(name: &str) -> ScheduleSpec {
    let timing = Timing::every(Duration::from_secs(3_600)).expect("an interval");
    let route = route_to("work").as_ref().clone();
    ScheduleSpec::new(name.parse().expect("a name"), route, serde_json::json!({"store": 42}), timing)
}

async fn stored(w: &World) -> StoredSchedule {
    let mut all = w.store.schedules().await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// One schedule, just made.
async fn made(w: &World) -> StoredSchedule {
    let (spec, state) = (hourly("nightly"), ScheduleState::new(DeclaredBy::App, w.now()));
    let put = w.store.put_schedule(spec, state, None).await.unwrap();
    assert_eq!(put, PutSchedule::Written(Revision::FIRST));
    stored(w).await
}

fn tick(number: i64) -> Timestamp {
    Timestamp::from_second(1_790_002_800 + 3_600 * number).expect("a moment")
}

/// The decision that these ticks make their tasks.
fn firing(on: &StoredSchedule, ticks: &[i64]) -> Firing {
    let mut state = on.state.clone();
    state.last_tick = ticks.last().map(|number| tick(*number));
    let tasks =
        ticks.iter().map(|number| on.spec.task(&on.spec.tick(tick(*number)), Ok).expect("a task")).collect();
    Firing { name: on.spec.name.clone(), revision: on.revision, state, tasks }
}

async fn fire(w: &World, firing: Firing) -> (Revision, Vec<Enqueued>) {
    match w.store.fire(firing).await.expect("the store takes it") {
        Fired::Done { revision, tasks } => (revision, tasks),
        Fired::Conflict => panic!("nobody else wrote it"),
    }
}

pub(super) async fn a_schedule_is_made_once_and_replaced_by_whoever_read_it(w: World) {
    let first = made(&w).await;
    let again = ScheduleState::new(DeclaredBy::RunTime, w.now());
    let put = w.store.put_schedule(hourly("nightly"), again.clone(), None).await.unwrap();
    assert_eq!(put, PutSchedule::Conflict, "there is one of this name");
    assert_eq!(stored(&w).await, first);

    let changed = ScheduleSpec { jitter_secs: 9, ..hourly("nightly") };
    let put = w.store.put_schedule(changed.clone(), again.clone(), Some(first.revision)).await.unwrap();
    assert_eq!(put, PutSchedule::Written(Revision(2)));
    let put = w.store.put_schedule(hourly("nightly"), again.clone(), Some(first.revision)).await.unwrap();
    assert_eq!(put, PutSchedule::Conflict, "it was read before it was changed");
    assert_eq!(
        stored(&w).await,
        StoredSchedule { spec: changed, state: again.clone(), revision: Revision(2) }
    );

    let put = w.store.put_schedule(hourly("other"), again, Some(Revision(1))).await.unwrap();
    assert_eq!(put, PutSchedule::Conflict, "there is none to replace");
    assert!(!w.store.delete_schedule(first.spec.name.clone(), first.revision).await.unwrap());
    assert!(w.store.delete_schedule(first.spec.name, Revision(2)).await.unwrap());
    assert_eq!(w.store.schedules().await.unwrap(), []);
}

pub(super) async fn a_decision_is_written_with_its_tasks(w: World) {
    let before = made(&w).await;
    let (revision, tasks) = fire(&w, firing(&before, &[0, 1])).await;
    let ids: Vec<_> = tasks.iter().map(Enqueued::id).collect();
    assert!(tasks.iter().all(|task| matches!(task, Enqueued::Accepted { .. })));
    let after = stored(&w).await;
    assert_eq!((after.revision, revision), (Revision(2), Revision(2)));
    assert_eq!((after.state.last_tick, after.state.last_task), (Some(tick(1)), Some(ids[1])));
    let task = w.get(ids[0]).await;
    assert_eq!((task.run_at, task.payload), (tick(0), br#"{"store":42}"#.to_vec()));

    let (_, none) = fire(&w, firing(&after, &[])).await;
    assert_eq!(none, []);
    assert_eq!(stored(&w).await.state.last_task, Some(ids[1]), "no task, no other last task");
}

pub(super) async fn of_two_who_decided_on_one_state_one_alone_fires(w: World) {
    let before = made(&w).await;
    let decided = firing(&before, &[0]);
    fire(&w, decided.clone()).await;
    assert_eq!(w.store.fire(decided).await, Ok(Fired::Conflict));
    let elsewhere = Firing { name: "other".parse().unwrap(), ..firing(&before, &[1]) };
    assert_eq!(w.store.fire(elsewhere).await, Ok(Fired::Conflict), "there is no such schedule");
    assert_eq!(w.count("work", TaskState::Scheduled).await, 1);
}

pub(super) async fn a_tick_that_is_fired_twice_makes_one_task(w: World) {
    let before = made(&w).await;
    let (_, first) = fire(&w, firing(&before, &[0])).await;
    let mut known = stored(&w).await;
    // The schedule was made anew with other input, or its state is that of an older backup: the tick's key is known.
    known.spec.input = serde_json::json!({"store": 43});
    let (_, second) = fire(&w, firing(&known, &[0, 1])).await;
    assert_eq!(second[0], Enqueued::Duplicate { id: first[0].id(), state: TaskState::Scheduled });
    assert!(matches!(second[1], Enqueued::Accepted { .. }));
    assert_eq!(w.count("work", TaskState::Scheduled).await, 2);
}

pub(super) async fn a_refused_task_leaves_the_schedule_undecided(w: World) {
    let before = made(&w).await;
    for number in 0..u32::try_from(w.setup.limits.queue_capacity).unwrap() - 1 {
        w.put_new(task(number)).await;
    }
    let refused = w.store.fire(firing(&before, &[0, 1])).await;
    assert!(matches!(refused, Err(EnqueueError::QueueFull { .. })), "{refused:?}");
    assert_eq!(stored(&w).await, before);
    assert_eq!(w.count("work", TaskState::Scheduled).await, 0);
    let large = NewTask { payload: vec![b' '; w.setup.limits.max_payload_bytes + 1], ..task(1) };
    let refused = w.store.fire(Firing { tasks: vec![large], ..firing(&before, &[]) }).await;
    assert!(matches!(refused, Err(EnqueueError::PayloadTooLarge { .. })), "{refused:?}");
    assert_eq!(stored(&w).await, before);
    fire(&w, firing(&before, &[0])).await;
}

pub(super) async fn a_decision_and_its_tasks_survive_together(w: World) {
    let before = made(&w).await;
    // Decided, and the process dies before it fires: nothing is decided.
    let lost = firing(&before, &[0]);
    let w = w.crash_into("two").await;
    assert_eq!(stored(&w).await, before);
    fire(&w, lost.clone()).await;
    let after = stored(&w).await;
    // Fired, and the process dies before it hears so: it is decided, and the old decision is void.
    let w = w.crash_into("three").await;
    assert_eq!(stored(&w).await, after);
    assert_eq!(after.state.last_tick, Some(tick(0)));
    assert_eq!(w.store.fire(lost).await, Ok(Fired::Conflict));
    assert_eq!(w.count("work", TaskState::Scheduled).await, 1);
}
