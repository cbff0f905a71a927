//! What a worker declared is what its handler may do: effects by step and class, and how long its tasks may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::handler::{Context, Handler, HandlerResult, NotDone};
use runtime_core::name::StepName;
use runtime_core::store::{AppWrite, EffectClass};
use runtime_core::task::{Task, TaskState};
use runtime_core::worker::WorkerDescriptor;

use super::kit::{Worlds, done, from_fn, worker};
use crate::registry::WorkerPlan;
use crate::runtime::StopReport;

fn step() -> StepName {
    StepName::new("send").unwrap()
}

/// The worker `greet` with a change to what it declares.
fn declared(handler: impl Handler, change: impl FnOnce(&mut WorkerDescriptor)) -> WorkerPlan {
    let plan = worker("greet", 1, handler);
    let mut descriptor = (*plan.descriptor).clone();
    change(&mut descriptor);
    WorkerPlan { descriptor: Arc::new(descriptor), ..plan }
}

async fn run(plan: WorkerPlan) -> Task {
    let world = Worlds::new().worker(plan).start().await;
    let id = world.enqueue("greet", 1).await[0];
    world.idle().await;
    let task = world.task(id).await;
    assert_eq!(world.stop().await, StopReport::Clean);
    task
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_not_declared_as_it_is_used_is_refused_before_its_call() {
    let cases = [
        ("as declared", vec![(step(), EffectClass::Keyed)], true),
        ("under another class", vec![(step(), EffectClass::Unkeyed)], false),
        ("under another name", vec![(StepName::new("mail").unwrap(), EffectClass::Keyed)], false),
        ("not at all", Vec::new(), false),
    ];
    for (what, effects, taken) in cases {
        let called = Arc::new(AtomicBool::new(false));
        let note = called.clone();
        let handler = from_fn(move |ctx: Context| {
            let note = note.clone();
            async move {
                let call = async |_key: String| {
                    note.store(true, Ordering::Relaxed);
                    Ok::<_, TaskError>(())
                };
                ctx.keyed(step(), &1, call).await?;
                done()
            }
        });
        let task = run(declared(handler, |known| known.effects = effects)).await;
        let code = task.last_error.as_ref().map(|error| error.code);
        let expected = if taken {
            (TaskState::Done, None)
        } else {
            (TaskState::Dead, Some(ErrorCode::UndeclaredEffect))
        };
        assert_eq!((task.state, code), expected, "{what}");
        assert_eq!((called.load(Ordering::Relaxed), task.attempt), (taken, 1), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_without_a_transactional_effect_are_refused_and_not_written() {
    let write = async |ctx: Context| -> HandlerResult<Vec<u8>> {
        ctx.write(AppWrite::new(|_| panic!("is not run")));
        done()
    };
    let task = run(declared(from_fn(write), |known| known.effects.clear())).await;
    assert_eq!((task.state, task.last_error.unwrap().code), (TaskState::Dead, ErrorCode::UndeclaredEffect));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_dead_when_its_workers_deadline_has_passed_since_it_was_accepted() {
    let runs = Arc::new(AtomicUsize::new(0));
    let ran = runs.clone();
    let failing = from_fn(move |_| {
        ran.fetch_add(1, Ordering::Relaxed);
        async { Err(NotDone::retry("no")) }
    });
    // The policy would try a second later; by then the deadline has passed, and the handler is not asked again.
    let after = Duration::from_millis(500);
    let task = run(declared(failing, |known| known.deadline = Some(after))).await;
    assert_eq!((task.state, task.last_error.unwrap().code), (TaskState::Dead, ErrorCode::DeadlineExceeded));
    assert_eq!(runs.load(Ordering::Relaxed), 1);

    let endless = from_fn(async |_| std::future::pending().await);
    let task = run(declared(endless, |known| known.deadline = Some(after))).await;
    assert_eq!((task.state, task.last_error.unwrap().code), (TaskState::Dead, ErrorCode::DeadlineExceeded));
    let took = task.finished_at.unwrap().duration_since(task.created_at);
    assert!(took < Duration::from_secs(2).try_into().unwrap(), "the attempt's own timeout is longer: {took}");
}
