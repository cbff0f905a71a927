//! Tasks that stand in line: behind the head of their ordering key, or in a paused scope.

use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::outcome::{Outcome, ParkReason, SettleWith, Settlement};
use runtime_core::store::{LeaseAsk, OrderingHead, QueuePolicy, SteerError, TaskCommand};
use runtime_core::task::{Held, LeasedTask, NewTask, TaskId, TaskState};

use super::world::{LEASE, World, applied, done, instance, queue, retry_after, task, task_to};

fn ordered(number: u32, key: &str) -> NewTask {
    let mut task = task(number);
    task.ordering_key = Some(key.parse().expect("a test's key is valid"));
    task
}

fn scoped(number: u32, scope: &str) -> NewTask {
    let mut task = task(number);
    task.scope = Some(scope.parse().expect("a test's scope is valid"));
    task
}

fn ids(leased: &[LeasedTask]) -> Vec<TaskId> {
    leased.iter().map(|leased| leased.lease.task).collect()
}

fn rejected() -> Outcome {
    Outcome::Reject { error: TaskError::new(ErrorCode::HandlerFailed, "no") }
}

async fn steer(w: &World, id: TaskId, command: TaskCommand) -> Result<TaskState, SteerError> {
    w.store.steer(vec![(id, command)]).await.unwrap().remove(0)
}

/// Whether it was paused before.
async fn pause(w: &World, scope: &str, paused: bool) -> bool {
    w.store.pause_scope(queue("work"), scope.parse().unwrap(), paused, "stocktaking".into()).await.unwrap()
}

async fn heads(w: &World) -> Vec<OrderingHead> {
    let found = w.store.look_at_queue(queue("work"), 100).await.unwrap().heads;
    assert!(found.whole);
    found.heads
}

async fn dead_heads_block(w: &World, dead_head_blocks: bool) {
    let policy = QueuePolicy { dead_head_blocks, ..QueuePolicy::default() };
    w.store.set_queue_policy(queue("work"), policy).await.unwrap();
}

/// Three of one key, in order.
async fn three(w: &World) -> [TaskId; 3] {
    let first = w.put_new(ordered(1, "a")).await;
    let second = w.put_new(ordered(2, "a")).await;
    [first, second, w.put_new(ordered(3, "a")).await]
}

pub(super) async fn tasks_of_one_ordering_key_run_one_at_a_time_in_order(w: World) {
    let [first, second, third] = three(&w).await;
    let other = w.put_new(ordered(4, "b")).await;
    let plain = w.put_new(task(5)).await;
    let mut elsewhere = task_to("other", 6);
    elsewhere.ordering_key = Some("a".parse().unwrap());
    w.put_new(elsewhere).await;

    let leased = w.lease(10).await;
    assert_eq!(ids(&leased), [first, other, plain], "another key, and none, wait for nobody");
    assert_eq!(w.lease_as("one", "other", 10).await.len(), 1, "a key belongs to its queue");
    assert_eq!(w.get(first).await.held, None);
    for behind in [second, third] {
        let task = w.get(behind).await;
        assert_eq!(task.held, Some(Held { behind: Some(first), scope_paused: false }));
        assert_eq!((task.state, task.ordering_key), (TaskState::Ready, Some("a".parse().unwrap())));
    }
    assert_eq!(heads(&w).await, [], "a head that runs is no trouble");

    w.settle(leased[0].lease, done()).await;
    assert_eq!(w.get(second).await.held, None);
    let leased = w.lease(10).await;
    assert_eq!(ids(&leased), [second]);
    w.settle(leased[0].lease, done()).await;
    let leased = w.lease(10).await;
    assert_eq!(ids(&leased), [third]);
    w.settle(leased[0].lease, done()).await;
    let again = w.put_new(ordered(7, "a")).await;
    assert_eq!(ids(&w.lease(10).await), [again], "an empty line lets the next one in");
}

pub(super) async fn a_task_behind_another_is_not_leased_by_its_id_either(w: World) {
    let [_, second, _] = three(&w).await;
    let ask = LeaseAsk {
        queue: queue("work"),
        instance: instance("one"),
        up_to: 1,
        lease_for: LEASE,
        task: Some(second),
    };
    assert_eq!(w.store.lease(ask).await.unwrap(), []);
}

pub(super) async fn a_head_that_waits_or_is_parked_blocks_its_key_and_is_shown(w: World) {
    let [first, second, _] = three(&w).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, retry_after(Duration::from_secs(60))).await;
    let blocking = |state| [OrderingHead { key: "a".parse().unwrap(), task: first, state, waiting: 2 }];
    assert_eq!(heads(&w).await, blocking(TaskState::Scheduled));
    assert_eq!(w.lease(10).await, []);
    w.advance(Duration::from_secs(60));
    w.store.sweep().await.unwrap();
    let lease = w.lease_one().await.lease;
    assert_eq!((lease.task, heads(&w).await), (first, vec![]));

    let question = ParkReason::NeedsDecision { question: "?".into() };
    w.settle(lease, Outcome::Park { reason: question }).await;
    assert_eq!(heads(&w).await, blocking(TaskState::Parked));
    assert_eq!(w.lease(10).await, []);
    assert_eq!(steer(&w, first, TaskCommand::Approve).await, Ok(TaskState::Ready));
    let lease = w.lease_one().await.lease;
    assert_eq!(lease.task, first);
    w.settle(lease, done()).await;
    assert_eq!(w.lease_one().await.lease.task, second);
}

pub(super) async fn a_head_that_is_not_due_yet_blocks_those_enqueued_after_it(w: World) {
    let mut later = ordered(1, "a");
    later.run_at = Some(w.later(Duration::from_secs(9)));
    let later = w.put_new(later).await;
    let next = w.put_new(ordered(2, "a")).await;
    assert_eq!(w.lease(10).await, []);
    w.advance(Duration::from_secs(9));
    w.store.sweep().await.unwrap();
    assert_eq!(ids(&w.lease(10).await), [later]);
    assert_eq!(w.get(next).await.held.and_then(|held| held.behind), Some(later));
}

pub(super) async fn a_dead_or_cancelled_head_lets_the_next_go(w: World) {
    // Rejected by its handler, cancelled by it, cancelled by an operator, past its deadline when asked for and when swept.
    let mut tasks: Vec<NewTask> = (1..=6).map(|number| ordered(number, "a")).collect();
    tasks[3].deadline = Some(w.later(Duration::from_secs(5)));
    tasks[4].deadline = Some(w.later(Duration::from_secs(5)));
    let mut line = Vec::new();
    for task in tasks {
        line.push(w.put_new(task).await);
    }
    let leased = w.lease_one().await;
    assert_eq!(leased.lease.task, line[0]);
    w.settle(leased.lease, rejected()).await;
    let leased = w.lease_one().await;
    assert_eq!(leased.lease.task, line[1]);
    w.settle(leased.lease, Outcome::Cancel { reason: "no".into() }).await;
    assert_eq!(steer(&w, line[2], TaskCommand::Cancel).await, Ok(TaskState::Cancelled));
    w.advance(Duration::from_secs(5));
    assert_eq!(w.lease(1).await, [], "it died when it was asked for");
    assert_eq!(w.state(line[3]).await, TaskState::Dead);
    assert_eq!(w.store.sweep().await.unwrap().past_deadline, 1);
    assert_eq!(w.lease_one().await.lease.task, line[5]);
}

pub(super) async fn whoever_ends_behind_the_head_lets_nobody_pass(w: World) {
    let [first, second, third] = three(&w).await;
    assert_eq!(steer(&w, second, TaskCommand::Cancel).await, Ok(TaskState::Cancelled));
    assert_eq!(ids(&w.lease(10).await), [first]);
    assert_eq!(w.get(third).await.held, Some(Held { behind: Some(first), scope_paused: false }));
}

pub(super) async fn a_discarded_head_blocks_nobody(w: World) {
    dead_heads_block(&w, true).await;
    let [first, second, _] = three(&w).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, rejected()).await;
    assert_eq!(w.lease(10).await, []);
    let discard = TaskCommand::Discard { reason: "no longer wanted".into() };
    assert_eq!(steer(&w, first, discard).await, Ok(TaskState::Cancelled));
    assert_eq!(ids(&w.lease(10).await), [second]);
    assert_eq!(heads(&w).await, []);
}

pub(super) async fn a_dead_head_blocks_where_the_policy_says_so(w: World) {
    dead_heads_block(&w, true).await;
    let [first, second, third] = three(&w).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, rejected()).await;
    let fourth = w.put_new(ordered(4, "a")).await;
    assert_eq!(w.lease(10).await, [], "neither those who waited nor newcomers go on");
    let head = OrderingHead { key: "a".parse().unwrap(), task: first, state: TaskState::Dead, waiting: 3 };
    assert_eq!(heads(&w).await, [head]);
    assert_eq!(w.get(fourth).await.held, Some(Held { behind: Some(first), scope_paused: false }));
    w.advance(w.setup.retention.keep_finished_for * 2);
    w.store.sweep().await.unwrap();
    assert_eq!(w.state(first).await, TaskState::Dead, "history keeps it as long as it blocks");

    assert_eq!(steer(&w, first, TaskCommand::Retry).await, Ok(TaskState::Ready));
    let lease = w.lease_one().await.lease;
    assert_eq!((lease.task, w.lease(10).await), (first, vec![]));
    w.settle(lease, done()).await;
    let lease = w.lease_one().await.lease;
    assert_eq!(lease.task, second);
    w.settle(lease, rejected()).await;
    assert_eq!(w.lease(10).await, []);
    dead_heads_block(&w, false).await;
    assert_eq!(ids(&w.lease(10).await), [third], "what blocks no longer lets go");
    assert_eq!(w.store.look_at_queue(queue("work"), 100).await.unwrap().policy, QueuePolicy::default());
}

pub(super) async fn a_replayed_task_never_runs_beside_another_of_its_key(w: World) {
    let [first, second, third] = three(&w).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, rejected()).await;
    let running = w.lease_one().await.lease;
    assert_eq!(running.task, second);
    assert_eq!(steer(&w, first, TaskCommand::Retry).await, Ok(TaskState::Ready));
    assert_eq!(w.lease(10).await, []);
    assert_eq!(w.get(first).await.held, Some(Held { behind: Some(second), scope_paused: false }));
    w.settle(running, done()).await;
    let lease = w.lease_one().await.lease;
    assert_eq!((lease.task, w.lease(10).await), (first, vec![]), "then it is the first again");
    w.settle(lease, done()).await;
    assert_eq!(ids(&w.lease(10).await), [third]);
}

pub(super) async fn a_poisoned_head_lets_the_next_go(w: World) {
    let [first, second, _] = three(&w).await;
    for _ in 0..3 {
        assert_eq!(ids(&w.lease(10).await), [first]);
        w.advance(LEASE);
        w.store.sweep().await.unwrap();
    }
    assert_eq!(w.state(first).await, TaskState::Dead);
    assert_eq!(ids(&w.lease(10).await), [second]);
}

pub(super) async fn a_follow_up_stands_behind_those_who_wait(w: World) {
    let [_, second, third] = three(&w).await;
    let lease = w.lease_one().await.lease;
    let with = SettleWith { follow_ups: vec![ordered(4, "a")], ..SettleWith::default() };
    let settlement = Settlement { with: Some(Box::new(with)), ..w.settlement(lease, done()) };
    w.settle_all(vec![settlement]).await;
    for expected in [second, third] {
        let leased = w.lease(10).await;
        assert_eq!(ids(&leased), [expected]);
        w.settle(leased[0].lease, done()).await;
    }
    assert_eq!(w.lease_one().await.task.payload, task(4).payload);
}

pub(super) async fn what_fails_whole_leaves_no_head(w: World) {
    let unfit = NewTask { payload: vec![b'x'; w.setup.limits.max_payload_bytes + 1], ..ordered(3, "a") };
    let refused = w.store.enqueue_whole(vec![ordered(1, "a"), ordered(2, "a"), unfit], vec![]).await;
    assert!(refused.is_err());
    let id = w.put_new(ordered(4, "a")).await;
    assert_eq!(ids(&w.lease(10).await), [id]);
}

pub(super) async fn whoever_waits_for_a_queue_is_woken_when_the_next_may_go(w: World) {
    three(&w).await;
    let lease = w.lease_one().await.lease;
    w.put_new(scoped(9, "store=1")).await;
    pause(&w, "store=1", true).await;
    let bell = w.store.wake(&queue("work"));
    for _ in 0..2 {
        // What rang before is heard, so that only what comes now counts.
        tokio::select! { biased; () = bell.notified() => {} () = std::future::ready(()) => {} }
    }
    w.settle(lease, done()).await;
    bell.notified().await;
    pause(&w, "store=1", false).await;
    bell.notified().await;
}

pub(super) async fn the_order_of_a_key_holds_across_a_crash(w: World) {
    let [first, second, third] = three(&w).await;
    dead_heads_block(&w, true).await;
    assert_eq!(ids(&w.lease(10).await), [first]);
    let w = w.crash_into("two").await;
    assert_eq!(w.count("work", TaskState::Ready).await, 3, "held ones are counted");
    let lease = w.lease_one().await.lease;
    assert_eq!((lease.task, w.lease(10).await), (first, vec![]));
    w.settle(lease, rejected()).await;
    let w = w.close_into("three").await;
    assert_eq!(w.lease(10).await, [], "a dead head goes on blocking, by a policy that was stored");
    assert_eq!(w.get(second).await.held, Some(Held { behind: Some(first), scope_paused: false }));
    dead_heads_block(&w, false).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, done()).await;
    assert_eq!((lease.task, ids(&w.lease(10).await)), (second, vec![third]));
}

pub(super) async fn a_paused_scope_holds_its_tasks_present_and_future(w: World) {
    let running = w.put_new(scoped(1, "store=1")).await;
    let lease = w.lease_one().await.lease;
    let waiting = w.put_new(scoped(2, "store=1")).await;
    assert!(!pause(&w, "store=1", false).await);
    assert!(!pause(&w, "store=1", true).await);
    let newcomer = w.put_new(scoped(3, "store=1")).await;
    let other = w.put_new(scoped(4, "store=2")).await;
    let plain = w.put_new(task(5)).await;
    assert_eq!(ids(&w.lease(10).await), [other, plain]);
    assert!(pause(&w, "store=1", true).await, "pausing what is paused changes nothing but the reason");
    for held in [waiting, newcomer] {
        assert_eq!(w.get(held).await.held, Some(Held { behind: None, scope_paused: true }));
    }
    let listed = w.store.paused_scopes().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(w.store.look_at_queue(queue("work"), 100).await.unwrap().paused_scopes, listed);
    assert_eq!((&listed[0].queue, listed[0].scope.as_str()), (&queue("work"), "store=1"));
    assert_eq!((listed[0].reason.as_str(), listed[0].since), ("stocktaking", w.now()));

    assert_eq!(w.settle(lease, retry_after(Duration::ZERO)).await, applied(TaskState::Ready));
    assert_eq!(w.lease(10).await, [], "an attempt under way ended as it would, and stays");
    w.advance(Duration::from_secs(1));
    assert!(pause(&w, "store=1", false).await);
    assert_eq!(ids(&w.lease(10).await), [running, waiting, newcomer]);
    assert_eq!(w.store.paused_scopes().await.unwrap(), []);
}

pub(super) async fn of_many_heads_the_first_are_shown_by_key(w: World) {
    // Leased in between: a head that does its part is passed by, however many wait behind it.
    for key in ["d", "b", "running", "a", "c", "single"] {
        w.put_new(ordered(1, key)).await;
    }
    for key in ["d", "b", "running", "a", "c", "running"] {
        w.put_new(ordered(2, key)).await;
    }
    for leased in w.lease(10).await {
        if leased.task.ordering_key.as_ref().is_some_and(|key| key.as_str() != "running") {
            let reason = ParkReason::NeedsDecision { question: "?".into() };
            w.settle(leased.lease, Outcome::Park { reason }).await;
        }
    }
    let keys = async |at_most| {
        let found = w.store.look_at_queue(queue("work"), at_most).await.unwrap().heads;
        let keys: Vec<String> = found.heads.iter().map(|head| head.key.to_string()).collect();
        (keys.join(" "), found.whole)
    };
    assert_eq!(keys(100).await, ("a b c d".into(), true));
    assert_eq!(keys(4).await, ("a b c d".into(), true), "nothing is left out");
    assert_eq!(keys(3).await, ("a b c".into(), false));
    assert_eq!(keys(0).await, (String::new(), false));
}

pub(super) async fn a_head_in_a_paused_scope_blocks_and_is_shown(w: World) {
    let head = NewTask { scope: Some("store=1".parse().unwrap()), ..ordered(1, "a") };
    let head = w.put_new(head).await;
    let next = w.put_new(ordered(2, "a")).await;
    pause(&w, "store=1", true).await;
    assert_eq!(w.lease(10).await, []);
    let shown = OrderingHead { key: "a".parse().unwrap(), task: head, state: TaskState::Ready, waiting: 1 };
    assert_eq!(heads(&w).await, [shown]);
    assert_eq!(w.get(next).await.held, Some(Held { behind: Some(head), scope_paused: false }));
    pause(&w, "store=1", false).await;
    assert_eq!(ids(&w.lease(10).await), [head]);
}

pub(super) async fn a_suspect_of_a_paused_scope_keeps_nobody_from_working(w: World) {
    let suspect = w.put_new(scoped(1, "store=1")).await;
    for _ in 0..2 {
        assert_eq!(ids(&w.lease(10).await), [suspect]);
        w.advance(LEASE);
        w.store.sweep().await.unwrap();
    }
    pause(&w, "store=1", true).await;
    for number in 2..4 {
        w.put_new(task(number)).await;
    }
    let leased = w.lease(10).await;
    assert_eq!(leased.len(), 2);
    pause(&w, "store=1", false).await;
    assert_eq!(w.lease(10).await, [], "it may run only alone");
    for leased in leased {
        w.settle(leased.lease, done()).await;
    }
    assert_eq!(ids(&w.lease(10).await), [suspect]);
}

pub(super) async fn a_paused_scope_stays_paused_after_a_restart(w: World) {
    w.put_new(scoped(1, "store=1")).await;
    pause(&w, "store=1", true).await;
    let w = w.crash_into("two").await;
    w.put_new(scoped(2, "store=1")).await;
    assert_eq!((w.lease(10).await, w.count("work", TaskState::Ready).await), (vec![], 2));
    pause(&w, "store=1", false).await;
    assert_eq!(w.lease(10).await.len(), 2);
}
