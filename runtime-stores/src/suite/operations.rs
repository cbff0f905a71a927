//! Operations: a batch and how far it is are one write; deleting and rescheduling, which they and operators use.

use std::num::NonZeroU32;
use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::name::{OrderingKey, Scope};
use runtime_core::operation::{
    Operation, OperationCounts, OperationId, OperationKind, OperationSpec, OperationState,
};
use runtime_core::outcome::Outcome;
use runtime_core::store::{
    Enqueued, KEPT_OPERATIONS, OperationStep, Revision, SteerError, Stepped, TaskCommand, TaskFilter,
};
use runtime_core::task::{NewTask, TaskId, TaskState};

use super::world::{World, done, keyed, queue, retry_after, task, task_to};

const MINUTE: Duration = Duration::from_secs(60);

fn spec(w: &World, kind: OperationKind, filter: TaskFilter) -> OperationSpec {
    OperationSpec {
        kind,
        filter: kind.select(filter, w.now()).expect("something can fit"),
        asked: "queue=work".into(),
        rate: NonZeroU32::new(7),
        reason: "tests".into(),
        by: "ann".parse().ok(),
        matched: 3,
    }
}

async fn start(w: &World, kind: OperationKind) -> Operation {
    w.store.start_operation(spec(w, kind, TaskFilter::default())).await.expect("the store answers")
}

/// The next batch of so many.
async fn batch(w: &World, operation: &Operation, up_to: usize) -> OperationStep {
    let tasks =
        w.store.walk(operation.spec.filter.clone(), operation.cursor, up_to).await.expect("an answer");
    OperationStep {
        id: operation.id,
        revision: operation.revision,
        cursor: tasks.last().copied(),
        tasks,
        wait: Duration::ZERO,
        state: OperationState::Running,
        error: None,
    }
}

async fn step(w: &World, step: OperationStep) -> Stepped {
    w.store.step_operation(step).await.expect("the store answers")
}

/// One batch, written.
async fn go_on(w: &World, operation: &Operation, up_to: usize) -> (Operation, Vec<TaskId>) {
    match step(w, batch(w, operation, up_to).await).await {
        Stepped::Done { operation, under_way } => (*operation, under_way),
        Stepped::Conflict => panic!("nobody else writes it"),
    }
}

fn delete() -> TaskCommand {
    TaskCommand::Delete { reason: "no longer wanted".into() }
}

async fn steer(w: &World, id: TaskId, command: TaskCommand) -> Result<TaskState, SteerError> {
    w.store.steer(vec![(id, command)]).await.unwrap().remove(0)
}

async fn die(w: &World, task: NewTask) -> TaskId {
    let id = w.put_new(task).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Reject { error: TaskError::permanent("no") }).await;
    id
}

fn ordered(number: u32) -> NewTask {
    NewTask { ordering_key: OrderingKey::new("k").ok(), ..task(number) }
}

pub(super) async fn a_batch_and_how_far_it_is_are_one_write(w: World) {
    let mut dead = Vec::new();
    for number in 0..5 {
        dead.push(die(&w, task(number)).await);
    }
    let begun = start(&w, OperationKind::Replay).await;
    assert_eq!((begun.state, begun.revision, begun.cursor), (OperationState::Running, Revision::FIRST, None));
    assert_eq!(w.store.operation(begun.id).await.unwrap().unwrap(), begun);

    let first = OperationStep { wait: MINUTE, ..batch(&w, &begun, 2).await };
    assert_eq!(first.tasks, dead[..2], "oldest first");
    let Stepped::Done { operation, under_way } = step(&w, first.clone()).await else { panic!("a conflict") };
    assert_eq!(under_way, []);
    assert_eq!(operation.counts, OperationCounts { done: 2, ..OperationCounts::default() });
    assert_eq!((operation.cursor, operation.next_at), (Some(dead[1]), w.later(MINUTE)));
    assert_eq!(w.store.operation(begun.id).await.unwrap().unwrap(), *operation);
    assert_eq!(w.count("work", TaskState::Ready).await, 2);

    assert_eq!(step(&w, first).await, Stepped::Conflict, "it was decided on what is past");
    assert_eq!(w.count("work", TaskState::Ready).await, 2);

    let (operation, _) = go_on(&w, &operation, 100).await;
    assert_eq!((operation.counts.done, operation.cursor), (5, Some(dead[4])));
    assert_eq!(batch(&w, &operation, 100).await.tasks, []);
    w.advance(MINUTE);
    let end = operation.end(OperationState::Done, None);
    let Stepped::Done { operation, .. } = step(&w, end).await else { panic!("a conflict") };
    assert_eq!((operation.state, operation.finished_at), (OperationState::Done, Some(w.now())));
    let again = operation.end(OperationState::Cancelled, None);
    assert_eq!(step(&w, again).await, Stepped::Conflict, "what has ended is not ended again");
    assert_eq!(w.store.running_operations().await.unwrap(), []);
    let unknown = OperationStep { id: OperationId(99), ..begun.end(OperationState::Done, None) };
    assert_eq!(step(&w, unknown).await, Stepped::Conflict);
}

pub(super) async fn of_two_who_step_on_one_revision_one_alone_acts(w: World) {
    let id = die(&w, task(1)).await;
    let begun = start(&w, OperationKind::Discard).await;
    let both = batch(&w, &begun, 10).await;
    let cancel = begun.end(OperationState::Cancelled, Some(TaskError::new(ErrorCode::Cancelled, "by ann")));
    let (one, other, ended) = tokio::join!(
        w.store.step_operation(both.clone()),
        w.store.step_operation(both),
        w.store.step_operation(cancel)
    );
    let answers = [one.unwrap(), other.unwrap(), ended.unwrap()];
    assert_eq!(answers.iter().filter(|answer| **answer == Stepped::Conflict).count(), 2);
    let operation = w.store.operation(begun.id).await.unwrap().unwrap();
    let acted = w.state(id).await == TaskState::Cancelled;
    assert_eq!(operation.counts.done, u64::from(acted));
    assert_eq!(operation.error.is_some(), !acted);
}

pub(super) async fn what_no_longer_fits_is_passed_over(w: World) {
    let again = die(&w, task(1)).await;
    let replayed = die(&w, task(2)).await;
    let there = die(&w, task(3)).await;
    let begun = start(&w, OperationKind::Replay).await;
    let decided = batch(&w, &begun, 10).await;
    w.advance(MINUTE);
    for id in [again, replayed] {
        steer(&w, id, TaskCommand::Replay { at: None, payload: None }).await.unwrap();
    }
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Reject { error: TaskError::permanent("again") }).await;
    assert_eq!(w.state(again).await, TaskState::Dead, "died again since");
    assert_eq!(w.lease_one().await.lease.task, replayed);
    let late = die(&w, task(4)).await;
    let Stepped::Done { operation, .. } = step(&w, decided).await else { panic!("a conflict") };
    assert_eq!(operation.counts, OperationCounts { done: 1, skipped: 2, failed: 0 });
    assert_eq!(batch(&w, &operation, 10).await.tasks, []);
    assert_eq!(batch(&w, &begun, 10).await.tasks, [], "what died later is not meant");
    let states = [w.state(again).await, w.state(there).await, w.state(late).await];
    assert_eq!(states, [TaskState::Dead, TaskState::Ready, TaskState::Dead]);
}

pub(super) async fn each_kind_does_what_it_says(w: World) {
    let waits = w.put_new(NewTask { run_at: Some(w.later(MINUTE)), ..task(1) }).await;
    let (operation, _) = go_on(&w, &start(&w, OperationKind::Retry).await, 10).await;
    assert_eq!((operation.counts.done, w.state(waits).await), (1, TaskState::Ready));

    let leased = w.lease_one().await.lease;
    let ready = w.put_new(task(2)).await;
    let (operation, under_way) = go_on(&w, &start(&w, OperationKind::Cancel).await, 10).await;
    assert_eq!(under_way, [leased.task]);
    assert_eq!(operation.counts, OperationCounts { done: 1, ..OperationCounts::default() });
    assert_eq!([w.state(ready).await, w.state(waits).await], [TaskState::Cancelled, TaskState::Leased]);
    w.settle(leased, done()).await;

    let dead = die(&w, task(3)).await;
    go_on(&w, &start(&w, OperationKind::Discard).await, 10).await;
    let error = w.get(dead).await.last_error.unwrap();
    assert_eq!((w.state(dead).await, error.code), (TaskState::Cancelled, ErrorCode::Cancelled));
    assert!(error.message.contains("tests"), "{error}");

    let kept = w.put_new(task_to("other", 4)).await;
    let live = w.put_new(task(5)).await;
    let of_work = || TaskFilter { queue: Some(queue("work")), ..TaskFilter::default() };
    let finished = vec![TaskState::Done, TaskState::Dead, TaskState::Cancelled];
    let purge = spec(&w, OperationKind::Purge, TaskFilter { states: finished, ..of_work() });
    let (operation, _) = go_on(&w, &w.store.start_operation(purge).await.unwrap(), 10).await;
    assert_eq!(operation.counts, OperationCounts { done: 3, ..OperationCounts::default() });
    assert_eq!((w.find(dead).await, w.find(waits).await), (None, None));
    let purge = spec(&w, OperationKind::Purge, of_work());
    let (operation, _) = go_on(&w, &w.store.start_operation(purge).await.unwrap(), 10).await;
    assert_eq!((operation.counts.done, w.find(live).await), (1, None));
    assert_eq!(w.state(kept).await, TaskState::Ready);
    for state in TaskState::ALL {
        assert_eq!(w.count("work", state).await, 0, "{state}");
    }
}

pub(super) async fn operations_are_listed_newest_first(w: World) {
    let in_scope = TaskFilter { scope: "store=1".parse().ok(), ..TaskFilter::default() };
    let asked = spec(&w, OperationKind::Retry, in_scope);
    let first = w.store.start_operation(asked.clone()).await.unwrap();
    assert_eq!(first.spec, asked);
    let second = start(&w, OperationKind::Cancel).await;
    let third = start(&w, OperationKind::Purge).await;
    assert!(first.id < second.id && second.id < third.id);
    let Stepped::Done { operation: second, .. } = step(&w, second.end(OperationState::Failed, None)).await
    else {
        panic!("a conflict")
    };
    assert_eq!(w.store.operations(None, 2).await.unwrap(), [third.clone(), *second.clone()]);
    assert_eq!(w.store.operations(Some(second.id), 2).await.unwrap(), vec![first.clone()]);
    assert_eq!(w.store.running_operations().await.unwrap(), [first, third]);
    assert_eq!(w.store.operation(OperationId(77)).await.unwrap(), None);
}

pub(super) async fn old_operations_are_forgotten_and_running_ones_never(w: World) {
    let first = start(&w, OperationKind::Cancel).await;
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..KEPT_OPERATIONS + 2 {
        let (store, spec) = (w.store.clone(), spec(&w, OperationKind::Retry, TaskFilter::default()));
        many.spawn(async move {
            let begun = store.start_operation(spec).await.unwrap();
            store.step_operation(begun.end(OperationState::Done, None)).await.unwrap();
            begun.id
        });
    }
    let latest = many.join_all().await.into_iter().max();
    let last = start(&w, OperationKind::Purge).await;
    assert!(Some(last.id) > latest, "no number is given twice");
    let mut finished = 0;
    let mut before = None;
    loop {
        let page = w.store.operations(before, 400).await.unwrap();
        finished += page.iter().filter(|operation| !operation.is_running()).count();
        before = page.last().map(|operation| operation.id);
        if before.is_none() {
            break;
        }
    }
    assert_eq!(finished, usize::from(KEPT_OPERATIONS));
    assert_eq!(w.store.running_operations().await.unwrap(), [first, last]);
}

pub(super) async fn an_operation_goes_on_where_a_crash_left_it(w: World) {
    let mut dead = Vec::new();
    for number in 0..6 {
        dead.push(die(&w, task(number)).await);
    }
    let begun = start(&w, OperationKind::Replay).await;
    let lost = batch(&w, &begun, 2).await;
    // Decided, and the process dies before it writes.
    let w = w.crash_into("two").await;
    assert_eq!(w.store.running_operations().await.unwrap(), [begun]);
    step(&w, lost.clone()).await;
    // Written, and the process dies before it hears so.
    let w = w.crash_into("three").await;
    let mut operation = w.store.running_operations().await.unwrap().remove(0);
    assert_eq!(operation.counts.done, 2);
    assert_eq!(step(&w, lost).await, Stepped::Conflict);
    while let (next, _) = go_on(&w, &operation, 3).await
        && next.cursor.is_some()
    {
        operation = next;
    }
    assert_eq!(operation.counts, OperationCounts { done: 6, ..OperationCounts::default() });
    let leased: Vec<TaskId> = w.lease(100).await.into_iter().map(|leased| leased.lease.task).collect();
    assert_eq!(leased, dead, "each once");
}

pub(super) async fn a_deleted_task_is_gone_and_its_key_stays_known(w: World) {
    let id = w.put_new(keyed(1, "a")).await;
    assert_eq!(steer(&w, id, delete()).await, Ok(TaskState::Cancelled));
    assert_eq!(w.find(id).await, None);
    assert_eq!(steer(&w, id, delete()).await, Err(SteerError::NotFound(id)));
    assert_eq!(w.lease(10).await, []);
    assert_eq!(w.put(keyed(1, "a")).await, Ok(Enqueued::Duplicate { id, state: TaskState::Cancelled }));
    w.advance(w.setup.retention.keep_keys_for);
    w.store.sweep().await.unwrap();
    let anew = w.put_new(keyed(1, "a")).await;
    let lease = w.lease_one().await.lease;
    assert!(matches!(steer(&w, anew, delete()).await, Err(SteerError::NotAllowed(_))), "it is under way");
    w.settle(lease, done()).await;
    assert_eq!(steer(&w, anew, delete()).await, Ok(TaskState::Done));
    assert_eq!((w.find(anew).await, w.store.attempts(anew).await.unwrap()), (None, vec![]));
    assert_eq!(w.count("work", TaskState::Done).await, 0);
}

pub(super) async fn a_deleted_head_lets_the_next_go(w: World) {
    let head = w.put_new(ordered(1)).await;
    let next = w.put_new(ordered(2)).await;
    steer(&w, head, delete()).await.unwrap();
    let leased = w.lease(10).await;
    assert_eq!(leased.iter().map(|leased| leased.lease.task).collect::<Vec<_>>(), [next]);
    let policy = runtime_core::store::QueuePolicy { dead_head_blocks: true, ..Default::default() };
    w.store.set_queue_policy(queue("work"), policy).await.unwrap();
    let after = w.put_new(ordered(3)).await;
    w.settle(leased[0].lease, Outcome::Reject { error: TaskError::permanent("no") }).await;
    assert_eq!(w.lease(10).await, [], "a dead head blocks");
    steer(&w, next, delete()).await.unwrap();
    assert_eq!(w.lease_one().await.lease.task, after);
}

pub(super) async fn a_task_is_rescheduled_while_it_waits(w: World) {
    let id = w.put_new(task(1)).await;
    let at = w.later(MINUTE);
    assert_eq!(steer(&w, id, TaskCommand::Reschedule { at }).await, Ok(TaskState::Scheduled));
    assert_eq!((w.get(id).await.run_at, w.lease(10).await.len()), (at, 0));
    assert_eq!(
        steer(&w, id, TaskCommand::Reschedule { at: w.later(2 * MINUTE) }).await,
        Ok(TaskState::Scheduled)
    );
    w.advance(MINUTE);
    assert_eq!(w.store.sweep().await.unwrap().promoted, 0);
    assert_eq!(steer(&w, id, TaskCommand::Reschedule { at: w.now() }).await, Ok(TaskState::Ready));
    assert_eq!(w.get(id).await.run_at, w.now());
    let leased = w.lease_one().await;
    assert_eq!((leased.lease.task, leased.task.attempt), (id, 1));
    let refused = steer(&w, id, TaskCommand::Reschedule { at }).await;
    assert!(matches!(refused, Err(SteerError::NotAllowed(_))), "it is under way");
    w.settle(leased.lease, retry_after(MINUTE)).await;
    steer(&w, id, TaskCommand::Reschedule { at: w.now() }).await.unwrap();
    assert_eq!(w.lease_one().await.task.attempt, 2, "its attempts go on");
}

pub(super) async fn walks_and_counts_fit_the_filter(w: World) {
    let scope: Scope = "store=1".parse().unwrap();
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(
            w.put_new(NewTask { scope: (number % 2 == 0).then(|| scope.clone()), ..task(number) }).await,
        );
    }
    let first = w.lease_one().await.lease;
    w.settle(first, done()).await;
    let second = w.lease_one().await.lease;
    w.settle(second, Outcome::Reject { error: TaskError::permanent("no") }).await;
    let any = TaskFilter::default;
    let walk = async |filter, after, up_to| w.store.walk(filter, after, up_to).await.unwrap();
    assert_eq!(walk(any(), None, 100).await, ids, "live and finished, oldest first");
    assert_eq!(walk(any(), Some(ids[0]), 3).await, ids[1..4]);
    let in_scope = || TaskFilter { scope: Some(scope.clone()), ..any() };
    assert_eq!(walk(in_scope(), None, 100).await, [ids[0], ids[2], ids[4]]);
    assert_eq!(walk(TaskFilter { states: vec![TaskState::Dead], ..any() }, None, 9).await, [ids[1]]);
    assert_eq!(walk(TaskFilter { queue: Some(queue("none")), ..any() }, None, 9).await, []);

    let count = async |filter, at_most| w.store.count(filter, at_most).await.unwrap();
    let all = count(any(), 100).await;
    assert_eq!((all.total(), all.whole), (6, true));
    assert_eq!((all.counts.of(TaskState::Ready), all.counts.of(TaskState::Dead)), (4, 1));
    for look_at_most in 0..8 {
        // Whether everything can be counted within so many looks is the back end's matter; what it says of it is not.
        let some = count(any(), look_at_most).await;
        assert!(some.total() <= 6 && (!some.whole || some.total() == 6), "{look_at_most}: {some:?}");
        let some = count(in_scope(), look_at_most).await;
        assert!(some.total() <= 3 && (!some.whole || some.total() == 3), "{look_at_most}: {some:?}");
    }
    assert_eq!((count(in_scope(), 100).await.total(), count(in_scope(), 100).await.whole), (3, true));
    assert_eq!(count(TaskFilter { queue: Some(queue("none")), ..any() }, 9).await.total(), 0);
}
