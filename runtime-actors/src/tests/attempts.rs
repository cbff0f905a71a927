//! One attempt and what follows it, through the whole tree: every way to end, leases, deadlines.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use runtime_core::control::{Command, ask};
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::handler::NotDone;
use runtime_core::node::NodeState;
use runtime_core::outcome::ParkReason;
use runtime_core::store::{StoreError, TaskCommand};
use runtime_core::task::{NewTask, TaskState};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::kit::{Gate, StoreCall, Worlds, done, from_fn, route, worker};
use crate::runtime::StopReport;

const GREET: &str = "/engine/apps/shop/workers/greet";

#[tokio::test(start_paused = true)]
async fn the_smaller_of_the_worker_s_attempts_and_the_task_s_counts() {
    let mut plan = worker("greet", 1, from_fn(async |_| Err(NotDone::retry("no"))));
    Arc::make_mut(&mut plan.descriptor).retry.max_attempts = 8.try_into().unwrap();
    let world = Worlds::new().worker(plan).start().await;
    for (own, attempts) in [(None, 8), (Some(2), 2), (Some(20), 8)] {
        let of = |task: NewTask| match own {
            None => task,
            Some(own) => NewTask { max_attempts: NonZeroU32::new(own).unwrap(), ..task },
        };
        let id = world.enqueue_with("greet", 1, of).await[0];
        assert_eq!(world.until_task(id, TaskState::Dead).await.attempt, attempts, "{own:?}");
    }
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_retried_after_its_wait_until_attempts_are_used_up() {
    let (began, mut begins) = mpsc::unbounded_channel();
    let handler = from_fn(move |ctx| {
        began.send((ctx.attempt(), Instant::now())).unwrap();
        async { Err(NotDone::retry("no")) }
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let id = world.enqueue("greet", 1).await[0];
    let task = world.until_task(id, TaskState::Dead).await;
    assert_eq!((task.attempt, task.last_error.unwrap().code), (3, ErrorCode::HandlerFailed));
    let mut times = Vec::new();
    for number in 1..=3 {
        let (attempt, at) = begins.recv().await.unwrap();
        assert_eq!(attempt, number);
        times.push(at);
    }
    for pair in times.windows(2) {
        let wait = pair[1] - pair[0];
        assert!(
            (Duration::from_secs(1)..Duration::from_millis(1_100)).contains(&wait),
            "the policy says a second: {wait:?}"
        );
    }
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_timeout_are_failures_of_the_attempt_alone() {
    let handler = from_fn(async |ctx| match ctx.attempt() {
        1 => panic!("boom"),
        2 => std::future::pending().await,
        _ => done(),
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let id = world.enqueue("greet", 1).await[0];
    let task = world.until_task(id, TaskState::Done).await;
    assert_eq!(task.attempt, 3);
    let detail = ask(&*world.control, |reply| Command::GetTask { id, reply }).await.unwrap();
    let codes: Vec<_> =
        detail.attempts.iter().map(|attempt| attempt.error.as_ref().map(|error| error.code)).collect();
    assert_eq!(codes, [Some(ErrorCode::HandlerPanicked), Some(ErrorCode::AttemptTimedOut), None]);
    let view = world.entry(GREET).view();
    assert_eq!((view.incarnation, view.restarts, view.handled, view.errors), (1, 0, 3, 2));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_task_past_its_deadline_is_dead_and_its_handler_is_ended() {
    let handler = from_fn(async |_| std::future::pending().await);
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let deadline = world.clock.now().checked_add(Duration::from_secs(3)).unwrap();
    let began = Instant::now();
    let ids = world
        .enqueue_with("greet", 2, |mut task| {
            task.deadline = Some(deadline);
            task
        })
        .await;
    for id in ids {
        let task = world.until_task(id, TaskState::Dead).await;
        assert_eq!(task.last_error.unwrap().code, ErrorCode::DeadlineExceeded);
    }
    assert!(began.elapsed() < Duration::from_secs(9), "neither waited for the timeout of the worker");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_snooze_comes_again_and_is_not_counted() {
    let snoozes = AtomicU32::new(0);
    let handler = from_fn(move |ctx| {
        let snoozed = snoozes.fetch_add(1, Ordering::Relaxed);
        async move {
            assert_eq!(ctx.attempt(), 1);
            if snoozed < 5 { Err(NotDone::Snooze { wait: Duration::from_mins(10) }) } else { done() }
        }
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let began = Instant::now();
    let id = world.enqueue("greet", 1).await[0];
    let task = world.until_task(id, TaskState::Done).await;
    assert_eq!((task.attempt, task.epoch.0), (1, 6));
    assert!(began.elapsed() >= Duration::from_mins(50));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_parked_task_waits_for_a_person_and_frees_its_slot() {
    let handler = from_fn(async |ctx| {
        if ctx.approved() {
            return done();
        }
        Err(NotDone::Park { reason: ParkReason::NeedsDecision { question: "really?".into() } })
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let ids = world.enqueue("greet", 2).await;
    for id in &ids {
        world.until_task(*id, TaskState::Parked).await;
    }
    world.idle().await;
    assert_eq!(world.decide(ids[0], TaskCommand::Approve).await, Ok(TaskState::Ready));
    assert_eq!(world.decide(ids[1], TaskCommand::Cancel).await, Ok(TaskState::Cancelled));
    assert_eq!(world.until_task(ids[0], TaskState::Done).await.attempt, 1);
    let again = world.decide(ids[0], TaskCommand::Approve).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::FailedPrecondition);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_and_a_cancellation_are_final() {
    let handler = from_fn(async |ctx| match ctx.task().payload.as_slice() {
        b"1" => Err(NotDone::reject("never")),
        b"2" => Err(NotDone::Cancel { reason: "not wanted".into() }),
        _ => done(),
    });
    let world = Worlds::new().worker(worker("greet", 4, handler)).start().await;
    let number = AtomicUsize::new(0);
    let ids = world
        .enqueue_with("greet", 3, |mut task| {
            task.payload = number.fetch_add(1, Ordering::Relaxed).to_string().into_bytes();
            task
        })
        .await;
    world.idle().await;
    let mut states = Vec::new();
    for id in ids {
        states.push(world.task(id).await.state);
    }
    assert_eq!(states, [TaskState::Done, TaskState::Dead, TaskState::Cancelled]);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_task_for_another_handler_is_verified_and_dead_lettered_before_any_code_runs() {
    let runs = Arc::new(AtomicUsize::new(0));
    let ran = runs.clone();
    let handler = from_fn(move |_| {
        ran.fetch_add(1, Ordering::Relaxed);
        async { done() }
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let mut astray = (*route("greet")).clone();
    astray.handler = "other".parse().unwrap();
    let astray = Arc::new(astray);
    let id = world
        .enqueue_with("greet", 1, |mut task| {
            task.route = astray.clone();
            task
        })
        .await[0];
    let task = world.until_task(id, TaskState::Dead).await;
    assert_eq!(task.last_error.unwrap().code, ErrorCode::UnknownHandler);
    assert_eq!(runs.load(Ordering::Relaxed), 0);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_long_attempt_keeps_its_lease_as_long_as_it_runs() {
    let handler = from_fn(async |_| {
        tokio::time::sleep(Duration::from_mins(30)).await;
        done()
    });
    let mut long = worker("greet", 1, handler);
    Arc::get_mut(&mut long.descriptor).unwrap().timeout = Duration::from_hours(1);
    let world = Worlds::new().worker(long).start().await;
    let id = world.enqueue("greet", 1).await[0];
    let task = world.until_task(id, TaskState::Done).await;
    assert_eq!((task.attempt, task.epoch.0, task.crash_count), (1, 1, 0));
    assert!(world.store.count(StoreCall::Extend) >= 170, "every 10 s of half an hour");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_ends_its_attempt_and_its_late_outcome_is_refused() {
    let runs = AtomicUsize::new(0);
    let (ended, mut ends) = mpsc::unbounded_channel();
    let handler = from_fn(move |ctx| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        let ended = ended.clone();
        async move {
            let dropped = OnDrop(ended, ctx.lease().epoch.0);
            if run == 0 {
                std::future::pending::<()>().await;
            }
            drop(dropped);
            done()
        }
    });
    let mut slow = worker("greet", 1, handler);
    Arc::get_mut(&mut slow.descriptor).unwrap().timeout = Duration::from_hours(1);
    let world = Worlds::new().worker(slow).start().await;
    let id = world.enqueue("greet", 1).await[0];
    world.until(GREET, |view| view.slots == Some((1, 1))).await;
    // For longer than a lease nobody reaches the store to extend; then the sweep finds the lease run out.
    world.store.set(StoreCall::Extend, Gate::Fails(StoreError::Unavailable { detail: "away".into() }));
    tokio::time::sleep(Duration::from_secs(45)).await;
    world.store.set(StoreCall::Extend, Gate::Open);
    let task = world.until_task(id, TaskState::Done).await;
    assert_eq!((task.attempt, task.epoch.0, task.crash_count), (1, 2, 0), "one lost, one done");
    assert_eq!(ends.recv().await, Some(1), "the first attempt was ended");
    assert_eq!(ends.recv().await, Some(2));
    world.until(GREET, |view| view.slots == Some((0, 1)) && view.state == NodeState::Running).await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

/// Says when the future that holds it is gone.
struct OnDrop(mpsc::UnboundedSender<u64>, u64);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_meets_its_lost_lease_frees_its_slot_at_once() {
    let runs = Arc::new(AtomicUsize::new(0));
    let ran = runs.clone();
    let handler = from_fn(move |_| {
        let run = ran.fetch_add(1, Ordering::Relaxed);
        async move { if run == 0 { Err(NotDone::LeaseLost) } else { done() } }
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let began = Instant::now();
    let id = world.enqueue("greet", 1).await[0];
    // The lease was not lost after all: the handler's word counts as a failure, so that it cannot spin for ever.
    assert_eq!(world.until_task(id, TaskState::Done).await.attempt, 2);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_refused_make_the_outcome_a_failed_attempt() {
    let handler = from_fn(async |ctx| {
        if ctx.attempt() == 1 {
            ctx.write(runtime_core::store::AppWrite::new(|_| Err(TaskError::retryable("refused"))));
        }
        done()
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let id = world.enqueue("greet", 1).await[0];
    world.idle().await;
    let task = world.task(id).await;
    // The memory store takes no rows of an app at all; what it says is permanent, and the task says it.
    assert_eq!((task.state, task.attempt), (TaskState::Dead, 1));
    assert_eq!(task.last_error.unwrap().code, ErrorCode::CapabilityMissing);
    assert_eq!(world.stop().await, StopReport::Clean);
}
