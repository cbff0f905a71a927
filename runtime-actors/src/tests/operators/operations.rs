//! Operations: many tasks at once, each once, at a rate, whoever leaves and whatever breaks.

use std::num::NonZeroU32;
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use runtime_core::control::{
    CommandError, OperationAsk, OperationCommand, OperationPreview, QueueCommand, Reply,
};
use runtime_core::handler::NotDone;
use runtime_core::operation::{Operation, OperationCounts, OperationId, OperationKind, OperationState};
use runtime_core::store::{StoreError, TaskFilter};
use runtime_core::task::TaskId;
use tokio::sync::{oneshot, watch};

use super::*;
use crate::tests::kit::{Gate, StoreCall, once_told};

const NODE: &str = "/control/operations";

/// More than two batches.
const MANY: usize = 1_200;

impl World {
    async fn operation<T>(&self, make: impl FnOnce(Reply<T>) -> OperationCommand) -> Result<T, CommandError> {
        ask(&*self.control, |reply| Command::Operations(make(reply))).await
    }

    async fn start(&self, asked: OperationAsk) -> Operation {
        self.operation(|reply| OperationCommand::Start { ask: asked.into(), reply }).await.expect("it begins")
    }

    async fn cancel(&self, id: OperationId) -> Result<Operation, CommandError> {
        let by = "ann".parse().ok();
        self.operation(|reply| OperationCommand::Cancel {
            id,
            by,
            reason: "enough".into(),
            terms: Default::default(),
            reply,
        })
        .await
    }

    async fn look(&self, id: OperationId) -> Operation {
        self.operation(|reply| OperationCommand::Get { id, reply }).await.expect("it is there")
    }

    fn follow(
        &self,
        operation: Operation,
    ) -> (watch::Receiver<Operation>, oneshot::Receiver<Result<Operation, CommandError>>) {
        let id = operation.id;
        let (progress, listens) = watch::channel(operation);
        let (reply, end) = Reply::channel();
        let command = OperationCommand::Follow { id, progress, reply };
        self.control.send_command(Command::Operations(command)).expect("taken");
        (listens, end)
    }

    /// Waits for the end.
    async fn end(&self, operation: Operation) -> Operation {
        let (_listens, end) = self.follow(operation);
        end.await.expect("an answer").expect("it ends")
    }
}

fn all(kind: OperationKind) -> OperationAsk {
    OperationAsk {
        kind,
        filter: TaskFilter::default(),
        asked: "all".into(),
        rate: None,
        reason: "tests".into(),
        by: None,
    }
}

fn done_with(done: u64) -> OperationCounts {
    OperationCounts { done, ..OperationCounts::default() }
}

/// A worker whose every attempt dies, and when attempts began.
fn deadly() -> (Worlds, Arc<Mutex<Vec<Timestamp>>>) {
    let worlds = Worlds::new();
    let (began, clock) = (Arc::new(Mutex::new(Vec::new())), worlds.clock.clone());
    let note = began.clone();
    let handler = from_fn(move |_| {
        note.lock().unwrap().push(clock.now());
        async { Err(NotDone::reject("no")) }
    });
    (worlds.worker(worker("greet", 50, handler)), began)
}

async fn dead(tasks: usize) -> (World, Arc<Mutex<Vec<Timestamp>>>) {
    let (worlds, began) = deadly();
    let world = worlds.start().await;
    world.enqueue("greet", tasks).await;
    world.idle().await;
    assert_eq!(world.count(TaskState::Dead).await, tasks as u64);
    (world, began)
}

#[tokio::test(start_paused = true)]
async fn what_dies_again_while_many_are_replayed_is_not_replayed_twice() {
    let (world, began) = dead(MANY).await;
    let preview: OperationPreview = world
        .operation(|reply| OperationCommand::Preview {
            kind: OperationKind::Replay,
            filter: Box::default(),
            at_most: u64::MAX,
            reply,
        })
        .await
        .unwrap();
    assert_eq!((preview.count.total(), preview.count.whole, preview.sample.len()), (MANY as u64, true, 5));
    let bounded: OperationPreview = world
        .operation(|reply| OperationCommand::Preview {
            kind: OperationKind::Replay,
            filter: Box::default(),
            at_most: 100,
            reply,
        })
        .await
        .unwrap();
    assert_eq!((bounded.count.total(), bounded.count.whole, bounded.sample.len()), (100, false, 5));
    let begun = world.start(all(OperationKind::Replay)).await;
    assert_eq!((begun.spec.matched, begun.state), (MANY as u64, OperationState::Running));
    let end = world.end(begun).await;
    assert_eq!((end.state, end.counts), (OperationState::Done, done_with(MANY as u64)));
    assert_eq!(world.look(end.id).await, end);
    world.idle().await;
    assert_eq!(began.lock().unwrap().len(), 2 * MANY, "each once more");
    assert_eq!(world.count(TaskState::Dead).await, MANY as u64);
    let live = TaskFilter { states: vec![TaskState::Ready], ..TaskFilter::default() };
    let asked = OperationAsk { filter: live, ..all(OperationKind::Replay) };
    let refused =
        world.operation(|reply| OperationCommand::Start { ask: asked.into(), reply }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_operation_ends_after_its_batch_and_of_two_who_cancel_both_are_told() {
    let (world, _) = dead(MANY).await;
    world.store.set(StoreCall::StepOperation, Gate::Shut);
    let begun = world.start(all(OperationKind::Discard)).await;
    let (listens, end) = world.follow(begun.clone());
    world.store.called(StoreCall::StepOperation, 1).await;
    drop(listens);
    let cancels = async {
        let both = tokio::join!(world.cancel(begun.id), world.cancel(begun.id));
        (both.0.unwrap(), both.1.unwrap())
    };
    let open = async {
        // The clock moves on once both wait for their answers.
        tokio::time::sleep(Duration::from_millis(1)).await;
        world.store.set(StoreCall::StepOperation, Gate::Open);
    };
    let ((one, other), ()) = tokio::join!(cancels, open);
    assert_eq!(one, other);
    assert_eq!(
        (one.state, one.counts),
        (OperationState::Cancelled, done_with(500)),
        "the batch under way ended"
    );
    let why = one.error.as_ref().unwrap();
    assert_eq!((why.code, why.message.as_str()), (ErrorCode::Cancelled, "by ann: enough"));
    assert!(end.await.is_err(), "who does not listen is not told");
    assert_eq!(world.count(TaskState::Cancelled).await, 500);

    let rest = world.start(all(OperationKind::Discard)).await;
    assert_eq!(rest.spec.matched, 700, "what was changed stays so");
    let rest = world.end(rest).await;
    assert_eq!((rest.state, rest.counts), (OperationState::Done, done_with(700)));
    let late = world.cancel(rest.id).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::FailedPrecondition);
    assert_eq!(world.cancel(OperationId(99)).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(world.count(TaskState::Cancelled).await, MANY as u64);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_in_every_second_and_keeps_nobody_else_waiting() {
    const RATE: u32 = 20;
    let (world, began) = dead(110).await;
    began.lock().unwrap().clear();
    let begun = world.start(OperationAsk { rate: NonZeroU32::new(RATE), ..all(OperationKind::Replay) }).await;
    let parked = TaskFilter { queue: "other".parse().ok(), ..TaskFilter::default() };
    let other = world.start(OperationAsk { filter: parked, ..all(OperationKind::Cancel) }).await;
    assert_eq!(world.end(other).await.state, OperationState::Done);
    assert!(world.look(begun.id).await.is_running(), "the slow one goes on");
    let end = world.end(begun).await;
    assert_eq!((end.state, end.counts.done), (OperationState::Done, 110));
    world.idle().await;
    let began = began.lock().unwrap().clone();
    assert_eq!(began.len(), 110);
    for (index, at) in began.iter().enumerate() {
        let within = began[index..]
            .iter()
            .take_while(|later| later.duration_since(*at) < SignedDuration::from_secs(1));
        assert!(within.count() <= RATE as usize, "from the attempt {index} on");
    }
    let took = began[109].duration_since(began[0]);
    assert!(took >= SignedDuration::from_secs(5) && took < SignedDuration::from_secs(6), "{took}");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_loses_answers_costs_time_alone() {
    let (world, began) = dead(MANY).await;
    world.store.fail(StoreCall::StepAnswer);
    let begun = world.start(all(OperationKind::Replay)).await;
    world.until(NODE, |view| matches!(view.health, Health::Unhealthy(_))).await;
    world.store.set(StoreCall::StepAnswer, Gate::Open);
    world.store.fail(StoreCall::Walk);
    world.until(NODE, |view| view.queued == 1).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    world.store.set(StoreCall::Walk, Gate::Open);
    let end = world.end(begun).await;
    assert_eq!((end.state, end.counts), (OperationState::Done, done_with(MANY as u64)));
    world.until(NODE, |view| view.health == Health::Healthy && view.queued == 0).await;
    world.idle().await;
    assert_eq!(began.lock().unwrap().len(), 2 * MANY, "each once more");

    let broken = StoreError::Corrupt { detail: "a page is gone".into() };
    world.store.set(StoreCall::Walk, Gate::Fails(broken));
    let failed = world.start(all(OperationKind::Replay)).await;
    let failed = world.end(failed).await;
    assert_eq!((failed.state, failed.error.unwrap().code), (OperationState::Failed, ErrorCode::StoreCorrupt));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn an_operation_goes_on_after_its_node_broke() {
    let (world, began) = dead(MANY).await;
    let asked = OperationAsk { rate: NonZeroU32::new(1_000), ..all(OperationKind::Replay) };
    let begun = world.start(asked).await;
    world.store.called(StoreCall::StepOperation, 2).await;
    assert!(world.entry(NODE).kill());
    world.until(NODE, |view| view.incarnation == 2 && view.state == NodeState::Running).await;
    world.store.called(StoreCall::StepOperation, 4).await;
    let on_the_way = world.look(begun.id).await.counts.done;
    assert!(on_the_way > 0 && on_the_way < MANY as u64);
    let end = world.end(world.look(begun.id).await).await;
    assert_eq!((end.state, end.counts), (OperationState::Done, done_with(MANY as u64)));
    world.idle().await;
    assert_eq!(began.lock().unwrap().len(), 2 * MANY, "each once more");
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_asked_to_end_and_the_operation_waits_for_it() {
    let handler = from_fn(async |ctx| {
        ctx.cancelled().cancelled().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        done()
    });
    let world = Worlds::new().worker(worker("greet", 2, handler)).start().await;
    let ids = world.enqueue("greet", 5).await;
    world.until(GREET, |view| view.slots == Some((2, 2))).await;
    let begun = world.start(all(OperationKind::Cancel)).await;
    assert_eq!(begun.spec.matched, 5);
    let end = world.end(begun).await;
    assert_eq!((end.state, end.counts.failed), (OperationState::Done, 0));
    for id in ids {
        assert!(world.task(id).await.state.is_finished());
    }
    assert!(world.count(TaskState::Cancelled).await >= 3);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_source_hears_of_its_tasks_that_an_operation_ended() {
    for kind in [OperationKind::Cancel, OperationKind::Purge] {
        let outside = Outside::new();
        let world = shop(&outside).start().await;
        world.steer(GREET, NodeCommand::Pause).await.unwrap();
        outside.put((0..3).map(|n| format!("thing-{n}")));
        while world.count(TaskState::Ready).await < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let begun = world.start(all(kind)).await;
        assert_eq!(world.end(begun).await.counts.done, 3, "{kind}");
        outside.marked(3).await;
        assert_eq!(world.stop().await, StopReport::Clean);
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_node_takes_operations_and_carries_none_out() {
    let (world, _) = dead(3).await;
    world.steer(NODE, NodeCommand::Pause).await.unwrap();
    let begun = world.start(all(OperationKind::Purge)).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(world.look(begun.id).await.counts, done_with(0));
    assert_eq!(world.count(TaskState::Dead).await, 3);
    world.steer(NODE, NodeCommand::Resume).await.unwrap();
    assert_eq!(world.end(begun).await.counts, done_with(3));
    assert_eq!(world.count(TaskState::Dead).await, 0);
    let listed =
        world.operation(|reply| OperationCommand::List { before: None, page_size: 10, reply }).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_time_goes_now_by_scope() {
    let world = Worlds::new().worker(worker("greet", 2, from_fn(async |_| done()))).start().await;
    let at = world.clock.now() + SignedDuration::from_hours(9);
    let of = |scope: &str| {
        let scope = scope.parse().ok();
        move |task| runtime_core::task::NewTask { run_at: Some(at), scope: scope.clone(), ..task }
    };
    let mine: Vec<TaskId> = world.enqueue_with("greet", 3, of("store=42")).await;
    world.enqueue_with("greet", 2, of("store=43")).await;
    let filter = TaskFilter { scope: "store=42".parse().ok(), ..TaskFilter::default() };
    let begun = world.start(OperationAsk { filter, ..all(OperationKind::Retry) }).await;
    assert_eq!(world.end(begun).await.counts, done_with(3));
    for id in mine {
        world.until_task(id, TaskState::Done).await;
    }
    assert_eq!(world.count(TaskState::Scheduled).await, 2);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_drained_scope_holds_what_comes_and_answers_when_nothing_of_it_is_under_way() {
    let go = Arc::new(Notify::new());
    let mut patient = worker("greet", 4, once_told(&go));
    Arc::get_mut(&mut patient.descriptor).unwrap().timeout = Duration::from_hours(1);
    let world = Worlds::new().worker(patient).start().await;
    let in_scope = |scope: &str| {
        let scope = scope.parse().ok();
        move |task| runtime_core::task::NewTask { scope: scope.clone(), ..task }
    };
    let running = world.enqueue_with("greet", 2, in_scope("store=1")).await;
    world.enqueue_with("greet", 1, in_scope("store=2")).await;
    world.until(GREET, |view| view.slots == Some((3, 4))).await;

    let drain = |scope: Option<&str>| {
        let (leased, listens) = watch::channel(0);
        let (reply, end) = Reply::channel();
        let (queue, scope) = ("greet".parse().unwrap(), scope.map(|scope| scope.parse().unwrap()));
        let command = QueueCommand::Drain {
            queue,
            scope,
            reason: "stocktaking".into(),
            terms: Default::default(),
            leased,
            reply,
        };
        world.control.send_command(Command::Queues(command)).unwrap();
        (listens, end)
    };
    let (mut listens, mut end) = drain(Some("store=1"));
    assert_eq!(*listens.wait_for(|leased| *leased > 0).await.unwrap(), 2, "of its scope alone");
    let held = world.enqueue_with("greet", 1, in_scope("store=1")).await;
    go.notify_one();
    assert_eq!(*listens.wait_for(|leased| *leased < 2).await.unwrap(), 1);
    assert!(end.try_recv().is_err(), "one is under way");
    go.notify_one();
    assert_eq!(end.await.unwrap(), Ok(0));
    for id in &running {
        assert_eq!(world.task(*id).await.state, TaskState::Done);
    }
    assert!(world.task(held[0]).await.held.is_some_and(|held| held.scope_paused));
    assert_eq!(world.count(TaskState::Leased).await, 1, "the other scope goes on");

    // The queue as a whole; whoever leaves waits no longer, and what is held stays so.
    let (mut listens, end) = drain(None);
    assert_eq!(*listens.wait_for(|leased| *leased > 0).await.unwrap(), 1);
    drop(listens);
    assert_eq!(end.await.unwrap(), Ok(1));
    assert_eq!(world.entry(GREET).desired(), DesiredState::Paused);
    go.notify_one();
    assert_eq!(world.stop().await, StopReport::Clean);
}
