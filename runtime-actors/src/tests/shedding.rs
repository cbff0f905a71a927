//! A queue that sheds load, as a tree meets it: who is asked to wait does, who was asked for by name is taken, and a pause is no delay.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::{
    Command, NodeCommand, Overview, RunAsk, RunSelection, ScheduleCommand, ScheduleView, ask,
};
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::flow::ShedPolicy;
use runtime_core::name::{CorrelationId, ScheduleName};
use runtime_core::node::Health;
use runtime_core::rebuild::{Rebuild, RebuildAsk, RebuildPlan};
use runtime_core::schedule::{CatchUpPolicy, ScheduleSpec, SkipReason, Timing, tick_name};
use runtime_core::store::{QueuePolicy, ShedView, StoreError};
use runtime_core::task::{NewTask, Priority, TaskState};

use super::kit::{Gate, Outside, StoreCall, World, Worlds, done, from_fn, route, worker};
use crate::registry::WorkerPlan;
use crate::runtime::StopReport;

const GREET: &str = "/engine/apps/shop/workers/greet";
const INBOX: &str = "/engine/apps/shop/sources/inbox";
const SCHEDULES: &str = "/control/schedules";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// What a full queue keeps taking.
const URGENT: Priority = Priority(-1);

/// Sheds ordinary tasks from two that are ready.
fn deep() -> ShedPolicy {
    ShedPolicy { depth: NonZeroU64::new(2), delay: None, keeps: URGENT, ..ShedPolicy::default() }
}

/// Sheds ordinary tasks when the oldest is 10 s late for 5 s.
fn late() -> ShedPolicy {
    ShedPolicy { delay: Some(10 * SECOND), interval: 5 * SECOND, keeps: URGENT, ..ShedPolicy::default() }
}

fn greeting(shed: ShedPolicy) -> WorkerPlan {
    let plan = worker("greet", 1, from_fn(async |_| done()));
    let mut descriptor = (*plan.descriptor).clone();
    descriptor.flow = QueuePolicy { shed: Some(shed), ..QueuePolicy::default() };
    WorkerPlan { descriptor: Arc::new(descriptor), ..plan }
}

fn away() -> StoreError {
    StoreError::Unavailable { detail: "away".into() }
}

/// A tick an hour after the tests' time began, and then each hour.
fn hourly(name: &str, worker: &str, later: Duration) -> ScheduleSpec {
    let timing = Timing::every(HOUR).unwrap();
    let mut spec = ScheduleSpec::new(
        name.parse().unwrap(),
        route(worker).as_ref().clone(),
        serde_json::json!(1),
        timing,
    );
    spec.start = jiff::Timestamp::from_second(1_800_000_000).ok().map(|began| began + HOUR + later);
    spec
}

impl World {
    async fn overview(&self) -> Overview {
        ask(&*self.control, |reply| Command::GetOverview { reply }).await.unwrap()
    }

    async fn shed(&self) -> ShedView {
        let stats = self.overview().await.queues;
        stats
            .into_iter()
            .find(|stats| stats.queue.as_str() == "greet")
            .map(|stats| stats.shed)
            .unwrap_or_default()
    }

    /// Pauses the worker and fills its queue, so that it sheds by depth.
    async fn overload(&self) {
        self.steer(GREET, NodeCommand::Pause).await.unwrap();
        self.enqueue_with("greet", 2, |task| NewTask { priority: URGENT, ..task }).await;
        assert_eq!(self.offer().await.unwrap_err(), ErrorCode::LoadShed);
    }

    async fn work_off(&self) {
        self.steer(GREET, NodeCommand::Resume).await.unwrap();
        self.idle().await;
    }

    /// Offers one ordinary task.
    async fn offer(&self) -> Result<(), ErrorCode> {
        let tasks = vec![NewTask::new(route("greet"), b"null".to_vec())];
        let answer =
            ask(&*self.control, |reply| Command::EnqueueTasks { tasks, reply }).await.unwrap().remove(0);
        answer.map(drop).map_err(|error| error.code)
    }

    async fn scheduled(&self, name: &str) -> ScheduleView {
        let name: ScheduleName = name.parse().unwrap();
        ask(&*self.control, |reply| Command::Schedules(ScheduleCommand::Get { name, reply })).await.unwrap()
    }
}

async fn source_beside_a_full_queue(retry_after: Duration) -> (World, Arc<Outside>) {
    let outside = Outside::new();
    let mut worlds = Worlds::new().worker(greeting(ShedPolicy { retry_after, ..deep() }));
    worlds.app.sources.push(outside.source("inbox", "greet"));
    let world = worlds.start().await;
    world.overload().await;
    outside.put(["a".to_owned()]);
    world
        .until(INBOX, |view| matches!(&view.health, Health::Degraded(why) if why.contains("sheds load")))
        .await;
    (world, outside)
}

#[tokio::test(start_paused = true)]
async fn a_source_waits_as_long_as_it_is_asked_to_and_loses_nothing() {
    let (world, outside) = source_beside_a_full_queue(50 * SECOND).await;
    assert_eq!(world.shed().await.refused, 2, "what was offered in the beginning, and the source's");
    world.work_off().await;
    tokio::time::sleep(45 * SECOND).await;
    assert!(outside.marks().is_empty(), "there is room, and it was asked to wait for longer");
    outside.marked(1).await;
    assert_eq!(world.shed().await.refused, 2, "it asked once more, and was taken");
    world.until(INBOX, |view| view.health == Health::Healthy).await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn the_control_a_source_that_is_asked_for_a_short_wait_asks_again_soon() {
    let (world, outside) = source_beside_a_full_queue(Duration::from_millis(1)).await;
    tokio::time::sleep(45 * SECOND).await;
    assert!(world.shed().await.refused > 3, "{:?}", world.shed().await);
    world.work_off().await;
    outside.marked(1).await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn an_app_is_degraded_while_a_queue_of_it_sheds_and_healthy_after() {
    let world = Worlds::new().worker(greeting(deep())).start().await;
    assert_eq!(world.overview().await.health, Health::Healthy);
    world.overload().await;
    let seen = world.overview().await;
    let Health::Degraded(why) = &seen.apps[0].1 else { panic!("{seen:?}") };
    assert!(why.starts_with("queue greet sheds load since ") && why.ends_with("(depth)"), "{why}");
    assert!(matches!(seen.health, Health::Degraded(_)), "{seen:?}");
    world.work_off().await;
    let seen = world.overview().await;
    assert_eq!((&seen.health, &seen.apps[0].1), (&Health::Healthy, &Health::Healthy));
    assert_eq!(world.offer().await, Ok(()));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_is_shed_waits_and_keeps_no_other_from_its_time() {
    let worlds = Worlds::new().worker(greeting(deep())).worker(worker("wave", 1, from_fn(async |_| done())));
    let world = worlds
        .schedule(hourly("greetings", "greet", Duration::ZERO))
        .schedule(hourly("waves", "wave", 10 * SECOND))
        .start()
        .await;
    world.overload().await;
    tokio::time::sleep(HOUR + SECOND).await;
    let view = world.until(SCHEDULES, |view| view.health != Health::Healthy).await;
    assert!(matches!(&view.health, Health::Degraded(why) if why.contains("greetings")), "{:?}", view.health);
    let waits = world.scheduled("greetings").await;
    assert!(waits.problem.is_some_and(|why| why.contains("sheds load")));
    assert_eq!((waits.stored.state.last_task, waits.skipped), (None, None), "it is not decided");

    tokio::time::sleep(19 * SECOND).await;
    let other = world.scheduled("waves").await;
    assert!(other.lag.is_some_and(|lag| lag < SECOND / 10), "{:?}", other.lag);
    assert!(world.shed().await.refused > 3, "it is tried again");

    world.work_off().await;
    world.until(SCHEDULES, |view| view.health == Health::Healthy).await;
    let fired = world.scheduled("greetings").await;
    let made = world.task(fired.stored.state.last_task.expect("its task")).await;
    let tick = fired.stored.spec.start.expect("a start");
    assert_eq!(made.correlation_id.expect("a tick's").as_str(), tick_name(&fired.stored.spec.name, tick));
    assert_eq!((fired.problem, fired.skipped), (None, None));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_is_shed_for_too_long_is_missed_and_says_so() {
    let spec = ScheduleSpec { catch_up: CatchUpPolicy::None, ..hourly("greetings", "greet", Duration::ZERO) };
    let world = Worlds::new().worker(greeting(deep())).schedule(spec).start().await;
    world.overload().await;
    tokio::time::sleep(HOUR + 120 * SECOND).await;
    let missed = world.scheduled("greetings").await;
    assert_eq!(missed.skipped.map(|skipped| skipped.reason), Some(SkipReason::Missed));
    assert_eq!((missed.problem, missed.stored.state.last_task), (None, None));
    world.until(SCHEDULES, |view| view.health == Health::Healthy).await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

/// Makes two tasks.
struct Again;

#[async_trait]
impl Rebuild for Again {
    async fn plan(&self, ask: RebuildAsk) -> Result<RebuildPlan, TaskError> {
        let of = |number: u8| NewTask {
            scope: Some(ask.scope.clone()),
            ..NewTask::new(route("greet"), vec![b'0' + number])
        };
        Ok(RebuildPlan { discard: Vec::new(), tasks: vec![of(1), of(2)] })
    }
}

#[tokio::test(start_paused = true)]
async fn what_operators_ask_for_by_name_is_taken_by_a_queue_that_sheds() {
    let plan = WorkerPlan { rebuild: Some(Arc::new(Again)), ..greeting(deep()) };
    let world = Worlds::new().worker(plan).schedule(hourly("greetings", "greet", HOUR)).start().await;
    tokio::time::sleep(HOUR).await;
    world.overload().await;
    let rebuilt = world.run(RunAsk {
        worker: "greet".parse().unwrap(),
        selection: RunSelection::Scope { scope: "store=42".parse().unwrap(), since: None, until: None },
        correlation: CorrelationId::new("again").unwrap(),
        once: false,
        rebuild: true,
        dry_run: false,
    });
    assert_eq!(rebuilt.await.unwrap().counts.of(TaskState::Done), 2);

    let name: ScheduleName = "greetings".parse().unwrap();
    let trigger = |reply| Command::Schedules(ScheduleCommand::Trigger { name, reply });
    ask(&*world.control, trigger).await.expect("it was asked for");
    assert_eq!(
        world.offer().await,
        Err(ErrorCode::LoadShed),
        "the control: ordinary tasks are refused all the while"
    );
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_a_pause_makes_late_do_not_make_their_queue_shed() {
    let world = Worlds::new().worker(greeting(late())).start().await;
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    for _ in 0..20 {
        assert_eq!(world.offer().await, Ok(()));
        tokio::time::sleep(5 * SECOND).await;
    }
    assert_eq!(world.shed().await, ShedView::default());

    // The store hears of it in its own time, but hears of it.
    world.store.set(StoreCall::Lease, Gate::Fails(away()));
    world.steer(GREET, NodeCommand::Resume).await.unwrap();
    for seconds in 0..14 {
        assert_eq!(world.offer().await, Ok(()), "{seconds} s after");
        tokio::time::sleep(SECOND).await;
    }
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(world.offer().await, Err(ErrorCode::LoadShed), "what is late since it may go on is late");
    world.store.set(StoreCall::Lease, Gate::Open);
    world.idle().await;
    assert_eq!(world.offer().await, Ok(()));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn the_control_tasks_that_nobody_takes_although_they_may_make_their_queue_shed() {
    let world = Worlds::new().worker(greeting(late())).start().await;
    world.store.set(StoreCall::Lease, Gate::Fails(away()));
    assert_eq!(world.offer().await, Ok(()));
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(world.offer().await, Err(ErrorCode::LoadShed));
    world.store.set(StoreCall::Lease, Gate::Open);
    world.idle().await;
    assert_eq!(world.stop().await, StopReport::Clean);
}
