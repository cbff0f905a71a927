//! Settling: one transaction for everything that an attempt leaves behind.

use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::event::NewEvent;
use runtime_core::outcome::{Outcome, ParkReason, ReleaseReason, SettleWith, Settled, Settlement};
use runtime_core::task::{Lease, NewTask, TaskState};
use runtime_core::trace::TraceContext;

use super::world::{World, applied, attempts, done, keyed, retry_after, task, task_to};

fn with(w: &World, lease: Lease, with: SettleWith) -> Settlement {
    Settlement { with: Some(Box::new(with)), ..w.settlement(lease, done()) }
}

fn event(kind: &str) -> NewEvent {
    NewEvent { kind: kind.into(), body: b"{}".to_vec() }
}

pub(super) async fn each_outcome_leads_where_the_lifecycle_says(w: World) {
    let error = TaskError::permanent("no").at("/lines/3");
    let question = ParkReason::NeedsDecision { question: "which?".into() };
    let second = Duration::from_secs(1);
    let ends = [
        (done(), TaskState::Done, 1, None),
        (retry_after(second), TaskState::Scheduled, 1, Some(ErrorCode::HandlerFailed)),
        (Outcome::Reject { error }, TaskState::Dead, 1, Some(ErrorCode::HandlerRejected)),
        (Outcome::Snooze { wait: second }, TaskState::Scheduled, 0, None),
        (Outcome::Park { reason: question }, TaskState::Parked, 1, Some(ErrorCode::NeedsDecision)),
        (Outcome::Cancel { reason: "moot".into() }, TaskState::Cancelled, 1, Some(ErrorCode::Cancelled)),
        (Outcome::Released { reason: ReleaseReason::Shutdown }, TaskState::Ready, 0, None),
    ];
    for (outcome, state, attempt, code) in ends {
        let id = w.put_new(task_to("ends", 1)).await;
        let lease = w.lease_as("one", "ends", 1).await.remove(0).lease;
        assert_eq!(w.settle(lease, outcome.clone()).await, applied(state), "{outcome:?}");
        let task = w.get(id).await;
        assert_eq!((task.state, task.attempt), (state, attempt), "{outcome:?}");
        assert_eq!(task.last_error.map(|error| error.code), code, "{outcome:?}");
        assert_eq!(task.finished_at, state.is_finished().then(|| w.now()), "{outcome:?}");
        assert_eq!(task.output.is_some(), state == TaskState::Done, "{outcome:?}");
        assert_eq!(task.holder, None, "{outcome:?}");
        if state == TaskState::Scheduled {
            assert_eq!(task.run_at, w.later(second), "{outcome:?}");
        }
        if state == TaskState::Ready {
            w.lease_as("one", "ends", 1).await;
        }
    }

    let mut short = task(1);
    short.max_attempts = attempts(1);
    let id = w.put_new(short).await;
    let lease = w.lease_one().await.lease;
    assert_eq!(w.settle(lease, retry_after(second)).await, applied(TaskState::Dead), "attempts used up");
    assert_eq!(w.state(id).await, TaskState::Dead);
}

pub(super) async fn what_rides_along_commits_with_the_outcome(w: World) {
    let id = w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    let mut follow_up = task_to("next", 2);
    follow_up.causation_id = Some(id);
    let riding = SettleWith {
        follow_ups: vec![follow_up, task_to("next", 3)],
        events: vec![event("order_created"), event("order_priced")],
        app_writes: vec![],
    };
    let settled = w.settle_all(vec![with(&w, lease, riding)]).await.remove(0);
    let Settled::Applied { state: TaskState::Done, follow_ups } = settled else { panic!("{settled:?}") };
    assert_eq!(w.get(follow_ups[0]).await.causation_id, Some(id));
    assert_eq!(w.lease_as("one", "next", 10).await.len(), 2);
    let facts = w.store.unrelayed(10).await.unwrap();
    let kinds: Vec<_> = facts.iter().map(|fact| (fact.event.kind.as_str(), fact.task)).collect();
    assert_eq!(kinds, [("order_created", id), ("order_priced", id)]);
}

pub(super) async fn a_refused_follow_up_undoes_its_member_alone(w: World) {
    w.put_new(keyed(1, "taken")).await;
    for number in 2..=4 {
        w.put_new(task_to("batch", number)).await;
    }
    let leased = w.lease_as("one", "batch", 3).await;
    let other_content: NewTask = keyed(99, "taken");
    let bad = SettleWith {
        follow_ups: vec![task_to("next", 5), other_content],
        events: vec![event("never_stated")],
        app_writes: vec![],
    };
    let good = SettleWith {
        follow_ups: vec![task_to("next", 6)],
        events: vec![event("stated")],
        app_writes: vec![],
    };
    let settled = w
        .settle_all(vec![
            w.settlement(leased[0].lease, done()),
            with(&w, leased[1].lease, bad),
            with(&w, leased[2].lease, good),
        ])
        .await;
    assert_eq!(settled[0], applied(TaskState::Done));
    let Settled::Undone { error } = &settled[1] else { panic!("{:?}", settled[1]) };
    assert_eq!(error.code, ErrorCode::IdempotencyConflict);
    assert!(matches!(settled[2], Settled::Applied { state: TaskState::Done, .. }));

    let undone = w.get(leased[1].lease.task).await;
    assert_eq!(
        (undone.state, undone.epoch),
        (TaskState::Leased, leased[1].lease.epoch),
        "the lease is still held"
    );
    assert_eq!(w.lease_as("one", "next", 10).await.len(), 1, "only the good member's follow-up");
    let facts = w.store.unrelayed(10).await.unwrap();
    assert_eq!(facts.iter().map(|fact| fact.event.kind.as_str()).collect::<Vec<_>>(), ["stated"]);
    assert_eq!(w.count("next", TaskState::Leased).await, 1);
    assert_eq!(w.settle(leased[1].lease, done()).await, applied(TaskState::Done), "and can be settled still");
}

pub(super) async fn what_rides_along_is_ignored_unless_done(w: World) {
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    let riding =
        SettleWith { follow_ups: vec![task_to("next", 2)], events: vec![event("no")], app_writes: vec![] };
    let mut settlement = with(&w, lease, riding);
    settlement.outcome = retry_after(Duration::from_secs(1));
    assert_eq!(w.settle_all(vec![settlement]).await, [applied(TaskState::Scheduled)]);
    assert_eq!(w.lease_as("one", "next", 10).await.len(), 0);
    assert_eq!(w.store.unrelayed(10).await.unwrap(), []);
}

pub(super) async fn a_failed_attempt_is_remembered(w: World) {
    let id = w.put_new(task(1)).await;
    let first = w.lease_one().await.lease;
    let trace = TraceContext { traceparent: "00-aa-bb-01".into(), tracestate: Some("v=1".into()) };
    let mut settlement = w.settlement(first, retry_after(Duration::ZERO));
    settlement.trace = Some(trace.clone());
    w.settle_all(vec![settlement]).await;
    let second = w.lease_one().await.lease;
    w.settle(second, Outcome::Snooze { wait: Duration::ZERO }).await;
    let third = w.lease_one().await.lease;
    let started_at = w.now();
    w.settle(third, done()).await;

    let attempts = w.store.attempts(id).await.unwrap();
    let seen: Vec<_> = attempts.iter().map(|a| (a.attempt, a.epoch, a.outcome.as_str())).collect();
    assert_eq!(seen, [(1, first.epoch, "retry"), (2, third.epoch, "done")], "a snooze is no attempt");
    assert_eq!(attempts[0].error.as_ref().unwrap().code, ErrorCode::HandlerFailed);
    assert_eq!(attempts[0].trace, Some(trace));
    assert_eq!((attempts[1].took, attempts[1].started_at), (Duration::from_millis(7), started_at));
    assert_eq!(attempts[1].instance, w.setup.instance);
}

pub(super) async fn settling_twice_is_stale(w: World) {
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    let twice = vec![w.settlement(lease, done()), w.settlement(lease, done())];
    assert_eq!(w.settle_all(twice).await, [applied(TaskState::Done), Settled::Stale]);
    assert_eq!(w.settle(lease, done()).await, Settled::Stale);
    assert_eq!(w.count("work", TaskState::Done).await, 1);
}

pub(super) async fn a_retry_without_a_wait_is_ready_at_once(w: World) {
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    assert_eq!(w.settle(lease, retry_after(Duration::ZERO)).await, applied(TaskState::Ready));
    assert_eq!(w.lease_one().await.task.attempt, 2);
}

/// Stores write many rows in one statement: none may get what belongs to another.
pub(super) async fn each_of_many_keeps_what_is_its_own(w: World) {
    let number = |index: usize| u32::try_from(index).unwrap();
    let is_retried = |index: usize| index % 10 == 3;
    let tasks: Vec<NewTask> = (0..150)
        .map(|index| if index % 7 == 0 { keyed(index, &format!("key-{index}")) } else { task(index) })
        .collect();
    let ids: Vec<_> =
        w.store.enqueue(tasks).await.unwrap().into_iter().map(|answer| answer.unwrap().id()).collect();

    let leased = w.lease(150).await;
    assert_eq!(leased.iter().map(|leased| leased.lease.task).collect::<Vec<_>>(), ids, "in their order");
    let settlements = leased.iter().enumerate().map(|(index, leased)| {
        assert_eq!(leased.task.payload, task(number(index)).payload, "{index}");
        let outcome = if is_retried(index) {
            retry_after(Duration::from_secs(1))
        } else {
            Outcome::Done { output: index.to_string().into_bytes() }
        };
        Settlement {
            took: Duration::from_micros(u64::from(number(index))),
            ..w.settlement(leased.lease, outcome)
        }
    });
    let settled = w.settle_all(settlements.collect()).await;

    for (index, (id, settled)) in ids.iter().zip(settled).enumerate() {
        let state = if is_retried(index) { TaskState::Scheduled } else { TaskState::Done };
        assert_eq!(settled, applied(state), "{index}");
        let found = w.get(*id).await;
        assert_eq!((found.state, found.attempt, found.epoch.0), (state, 1, 1), "{index}");
        assert_eq!(found.payload, task(number(index)).payload, "{index}");
        assert_eq!(found.output, (!is_retried(index)).then(|| index.to_string().into_bytes()), "{index}");
        let took: Vec<_> = w.store.attempts(*id).await.unwrap().iter().map(|attempt| attempt.took).collect();
        assert_eq!(took, [Duration::from_micros(u64::from(number(index)))], "{index}");
    }
    assert_eq!(
        (w.count("work", TaskState::Done).await, w.count("work", TaskState::Scheduled).await),
        (135, 15)
    );
    assert_eq!(w.count("work", TaskState::Leased).await, 0);
}
