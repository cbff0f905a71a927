//! Dead letters, many at a time: in steps, each once, stopped by whoever leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runtime_core::control::{
    Command, DeadLetterAction, DeadLetterAsk, DeadLetterCommand, DeadLetterProgress, Reply, ask,
};
use runtime_core::error::ErrorCode;
use runtime_core::handler::NotDone;
use runtime_core::store::TaskFilter;
use runtime_core::task::TaskState;
use tokio::sync::watch;

use crate::runtime::StopReport;
use crate::tests::kit::{Gate, StoreCall, World, Worlds, from_fn, worker};

/// More than two steps.
const MANY: usize = 1_200;

/// A world where everything dies, and how many attempts there were.
async fn deadly() -> (World, Arc<AtomicU64>) {
    let attempts = Arc::new(AtomicU64::new(0));
    let count = attempts.clone();
    let handler = from_fn(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Err(NotDone::reject("no")) }
    });
    let world = Worlds::new().worker(worker("greet", 50, handler)).start().await;
    world.enqueue("greet", MANY).await;
    world.idle().await;
    assert_eq!(world.count(TaskState::Dead).await, MANY as u64);
    // What died in this very moment did not die before it.
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    (world, attempts)
}

fn all(action: DeadLetterAction) -> DeadLetterAsk {
    DeadLetterAsk { filter: TaskFilter::default(), action, dry_run: false }
}

const REPLAY: DeadLetterAction = DeadLetterAction::Replay { rate: None };

async fn act(
    world: &World,
    asked: DeadLetterAsk,
) -> Result<DeadLetterProgress, runtime_core::control::CommandError> {
    let (progress, _listens) = watch::channel(DeadLetterProgress::default());
    ask(&*world.control, |reply| Command::DeadLetters(DeadLetterCommand::Act { ask: asked, progress, reply }))
        .await
}

#[tokio::test(start_paused = true)]
async fn what_dies_again_while_many_are_replayed_is_not_replayed_twice() {
    let (world, attempts) = deadly().await;
    let preview = act(&world, DeadLetterAsk { dry_run: true, ..all(REPLAY) }).await.unwrap();
    assert_eq!((preview.matched, preview.acted, preview.sample.len()), (MANY as u64, 0, 5));
    let end = act(&world, all(REPLAY)).await.unwrap();
    assert_eq!((end.matched, end.acted), (MANY as u64, MANY as u64));
    world.idle().await;
    assert_eq!(attempts.load(Ordering::Relaxed), 2 * MANY as u64, "each once more");
    assert_eq!(world.count(TaskState::Dead).await, MANY as u64);
    let live = TaskFilter { states: vec![TaskState::Ready], ..TaskFilter::default() };
    let refused = act(&world, DeadLetterAsk { filter: live, ..all(REPLAY) }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_stops_it_after_the_step_and_the_next_call_goes_on_with_the_rest() {
    let (world, _) = deadly().await;
    world.store.set(StoreCall::Steer, Gate::Shut);
    let (progress, listens) = watch::channel(DeadLetterProgress::default());
    let (reply, end) = Reply::channel();
    let discard = || all(DeadLetterAction::Discard { reason: "too late".into() });
    let command = DeadLetterCommand::Act { ask: discard(), progress, reply };
    world.control.send_command(Command::DeadLetters(command)).unwrap();
    world.store.called(StoreCall::Steer, 1).await;
    drop(listens);
    world.store.set(StoreCall::Steer, Gate::Open);
    let end = end.await.unwrap().unwrap();
    assert_eq!((end.matched, end.acted), (MANY as u64, 500), "the step under way ended");
    assert_eq!(world.count(TaskState::Cancelled).await, 500);
    let rest = act(&world, discard()).await.unwrap();
    assert_eq!((rest.matched, rest.acted), (700, 700));
    assert_eq!((world.count(TaskState::Dead).await, world.count(TaskState::Cancelled).await), (0, 1_200));
    assert_eq!(world.stop().await, StopReport::Clean);
}
