//! Documents become tasks of their workers, whichever door they come through, and one that does not fit becomes none.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::{Command, CommandError, Reply, ScheduleCommand, ScheduleView, ask};
use runtime_core::error::ErrorCode;
use runtime_core::etag::{Etag, Terms};
use runtime_core::handler::{Context, Handler, HandlerResult};
use runtime_core::input::{Derived, Misfits};
use runtime_core::node::Health;
use runtime_core::schedule::{OverlapPolicy, ScheduleSpec, Timing, tick_name};
use runtime_core::store::{Enqueued, StoreError};
use runtime_core::task::{NewTask, Task, TaskState, Unique};
use serde_json::{Value, json};

use super::kit::{FaultyStore, Gate, StoreCall, World, Worlds, done, route, worker};

const HOUR: Duration = Duration::from_secs(3_600);
const NODE: &str = "/control/schedules";

/// Settles one store's hour: an input with a field of this name.
struct Settles(&'static str);

#[async_trait]
impl Handler for Settles {
    async fn run(&self, _ctx: Context, _payload: &[u8]) -> HandlerResult<Vec<u8>> {
        done()
    }

    fn complete(&self, task: NewTask) -> Result<NewTask, Misfits> {
        let input: Value = serde_json::from_slice(&task.payload).expect("a document");
        let Some(hour) = input[self.0].as_str() else {
            return Err(Misfits::one(format!("input/{}", self.0), "is missing"));
        };
        let derived = Derived {
            schema_version: 2,
            idempotency_key: format!("{}/{hour}", input["store"]).parse().expect("a key"),
            unique: Unique::default(),
            scope: format!("store={}", input["store"]).parse().ok(),
            tenant: None,
            ordering_key: format!("store {}", input["store"]).parse().ok(),
            weight: NonZeroU32::MIN,
        };
        derived.onto(task)
    }

    fn input_schema(&self) -> Value {
        json!(true)
    }

    fn output_schema(&self) -> Value {
        json!(true)
    }
}

fn hourly(field: &str) -> ScheduleSpec {
    let input = json!({ "store": 42, field: { "$tick": "hour", "minus": "PT1H", "zone": "Asia/Kolkata" } });
    let timing = Timing::every(HOUR).expect("an interval");
    let name = "settlement".parse().expect("a name");
    let spec = ScheduleSpec::new(name, route("settle").as_ref().clone(), input, timing);
    ScheduleSpec { overlap: OverlapPolicy::AllowAll, ..spec }
}

async fn with_settling_worker() -> World {
    Worlds::new().worker(worker("settle", 4, Settles("hour"))).start().await
}

/// The next release on the same store, whose worker reads a field of this name.
async fn next_release(of: World, field: &'static str) -> World {
    let worlds = Worlds::on(FaultyStore::new(of.store.inner()), of.clock.clone());
    of.store.set(StoreCall::Close, Gate::Fails(StoreError::Closed));
    of.stop().await;
    worlds.worker(worker("settle", 4, Settles(field))).start().await
}

impl World {
    async fn of_schedule<T>(
        &self,
        make: impl FnOnce(Reply<T>) -> ScheduleCommand,
    ) -> Result<T, CommandError> {
        ask(&*self.control, |reply| Command::Schedules(make(reply))).await
    }

    async fn created(&self, spec: ScheduleSpec) -> Result<ScheduleView, CommandError> {
        self.of_schedule(|reply| ScheduleCommand::Create {
            spec: Box::new(spec),
            validate_only: false,
            reply,
        })
        .await
    }

    async fn updated(
        &self,
        spec: ScheduleSpec,
        expected: Option<Etag>,
    ) -> Result<ScheduleView, CommandError> {
        let terms = Terms { expected, validate_only: false };
        self.of_schedule(|reply| ScheduleCommand::Update { spec: Box::new(spec), terms, reply }).await
    }

    async fn shown(&self) -> ScheduleView {
        let name = "settlement".parse().expect("a name");
        self.of_schedule(|reply| ScheduleCommand::Get { name, reply }).await.expect("it is there")
    }

    async fn asked(&self, task: NewTask) -> Result<Enqueued, CommandError> {
        let answers = ask(&*self.control, |reply| Command::EnqueueTasks { tasks: vec![task], reply }).await;
        answers.expect("answers").remove(0)
    }

    /// The task that the schedule made last, once it has made one more than `after`.
    async fn next_task(&self, after: Option<&Task>) -> Task {
        loop {
            let last = self.shown().await.stored.state.last_task;
            if let Some(last) = last.filter(|last| after.is_none_or(|task| task.id != *last)) {
                return self.task(last).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn settle(document: Value) -> NewTask {
    NewTask::new(route("settle"), document.to_string().into_bytes())
}

fn fields(error: &CommandError) -> Vec<&str> {
    assert_eq!(error.code, ErrorCode::InvalidInput, "{error}");
    error.misfits.iter().map(|misfit| misfit.field.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_task_of_a_tick_is_what_its_input_says() {
    let world = with_settling_worker().await;
    world.created(hourly("hour")).await.unwrap();
    let first = world.next_task(None).await;
    let second = world.next_task(Some(&first)).await;
    for task in [&first, &second] {
        let tick = task.run_at;
        let hour = tick.to_zoned(jiff::tz::TimeZone::get("Asia/Kolkata").unwrap()) - HOUR;
        let hour = hour.strftime("%Y-%m-%dT%H").to_string();
        let input: Value = serde_json::from_slice(&task.payload).unwrap();
        assert_eq!(input, json!({ "store": 42, "hour": hour }));
        assert_eq!(task.idempotency_key, format!("42/{hour}").parse().ok());
        assert_eq!((task.scope.as_ref(), task.schema_version), ("store=42".parse().ok().as_ref(), 2));
        assert_eq!(task.ordering_key, "store 42".parse().ok());
        assert_eq!(task.correlation_id, tick_name(&"settlement".parse().unwrap(), tick).parse().ok());
    }
    assert_ne!(first.idempotency_key, second.idempotency_key);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_door_makes_one_task_of_one_input() {
    let world = with_settling_worker().await;
    world.created(hourly("hour")).await.unwrap();
    let made = world.next_task(None).await;
    world.until_task(made.id, TaskState::Done).await;
    let asked = world.asked(settle(serde_json::from_slice(&made.payload).unwrap())).await;
    assert!(matches!(asked, Ok(Enqueued::Duplicate { id, .. }) if id == made.id), "{asked:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (from, until) = (made.run_at, made.run_at + Duration::from_secs(1));
    let name = || "settlement".parse().unwrap();
    let filled = world
        .of_schedule(|reply| ScheduleCommand::Backfill { name: name(), from, until, reply })
        .await
        .unwrap();
    assert_eq!((filled.made.len(), filled.known), (0, 1));
    let triggered =
        world.of_schedule(|reply| ScheduleCommand::Trigger { name: name(), reply }).await.unwrap();
    assert!(
        matches!(triggered, Enqueued::Duplicate { id, .. } if id == made.id),
        "the same hour: {triggered:?}"
    );
    let after = Some(from - Duration::from_secs(1));
    let preview = world
        .of_schedule(|reply| ScheduleCommand::Preview { name: name(), after, count: 1, reply })
        .await
        .unwrap();
    assert_eq!(preview[0].input, serde_json::from_slice::<Value>(&made.payload).unwrap());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_document_that_does_not_fit_becomes_no_task() {
    let world = with_settling_worker().await;
    let refused = world.asked(settle(json!({ "store": 42 }))).await.unwrap_err();
    assert_eq!(fields(&refused), ["input/hour"]);
    let sound = || settle(json!({ "store": 42, "hour": "2027-01-15T09" }));
    let other = NewTask { scope: "store=7".parse().ok(), ..sound().keyed("mine".parse().unwrap()) };
    assert_eq!(fields(&world.asked(other).await.unwrap_err()), ["idempotency_key", "scope"]);
    let confirmed = NewTask { scope: "store=42".parse().ok(), tenant: "north".parse().ok(), ..sound() };
    let made = world.asked(confirmed).await.unwrap();
    let task = world.until_task(made.id(), TaskState::Done).await;
    assert_eq!((task.idempotency_key, task.tenant), ("42/2027-01-15T09".parse().ok(), "north".parse().ok()));
    let elsewhere = NewTask::new(route("elsewhere"), b"{}".to_vec());
    assert!(world.asked(elsewhere).await.is_ok(), "no worker here knows it; it waits for one that does");

    assert_eq!(fields(&world.created(hourly("day")).await.unwrap_err()), ["input/hour"]);
    let contradicts = ScheduleSpec { scope: "store=7".parse().ok(), ..hourly("hour") };
    assert_eq!(fields(&world.created(contradicts).await.unwrap_err()), ["scope"]);
    let always_the_same = ScheduleSpec { input: json!({ "store": 42, "hour": "noon" }), ..hourly("hour") };
    assert_eq!(fields(&world.created(always_the_same).await.unwrap_err()), ["input"]);
    assert_eq!(world.of_schedule(|reply| ScheduleCommand::List { reply }).await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_no_longer_fits_is_shown_and_makes_nothing_until_it_is_changed() {
    let old = with_settling_worker().await;
    old.created(hourly("hour")).await.unwrap();
    let last = old.next_task(None).await;
    old.until_task(last.id, TaskState::Done).await;
    let world = next_release(old, "time").await;
    let view = world.shown().await;
    assert!(view.unfit && view.next_tick.is_none());
    assert_eq!(view.problem.as_deref(), Some("its input does not fit worker settle: input/time: is missing"));
    let node = world.entry(NODE).view();
    assert!(matches!(&node.health, Health::Unhealthy(why) if why.contains("input/time")), "{node:?}");
    assert_eq!(node.queued, 1);
    tokio::time::sleep(HOUR * 5).await;
    assert_eq!(world.shown().await.stored.state.last_task, Some(last.id), "nothing was fired");
    let name = || "settlement".parse().unwrap();
    let refused = world.of_schedule(|reply| ScheduleCommand::Trigger { name: name(), reply }).await;
    assert_eq!(fields(&refused.unwrap_err()), ["input/time"]);

    // Paused it is nobody's trouble; resumed it is again.
    let (reason, by) = ("audit".to_owned(), "ada".to_owned());
    let paused =
        |reply| ScheduleCommand::Pause { name: name(), reason, by, terms: Default::default(), reply };
    assert!(world.of_schedule(paused).await.unwrap().unfit);
    world.until(NODE, |view| view.health == Health::Healthy && view.queued == 0).await;
    world
        .of_schedule(|reply| ScheduleCommand::Resume { name: name(), terms: Default::default(), reply })
        .await
        .unwrap();
    world.until(NODE, |view| view.health != Health::Healthy).await;

    let mended = world.updated(hourly("time"), Some(world.shown().await.etag)).await.unwrap();
    assert!(!mended.unfit && mended.next_tick.is_some() && mended.problem.is_none());
    world.until(NODE, |view| view.health == Health::Healthy).await;
    let next = world.next_task(Some(&last)).await;
    world.until_task(next.id, TaskState::Done).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_changed_by_whoever_read_it() {
    let world = with_settling_worker().await;
    let made = world.created(hourly("hour")).await.unwrap();
    let read = made.etag;
    let later = ScheduleSpec { jitter_secs: 60, ..hourly("hour") };
    let changed = world.updated(later.clone(), Some(read.clone())).await.unwrap();
    assert_eq!((changed.stored.spec.jitter_secs, changed.etag != read), (60, true));
    let refused = world.updated(hourly("hour"), Some(read)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ChangedMeanwhile, "it was changed since it was read");
    tokio::time::sleep(2 * HOUR).await;
    let ticked = world.shown().await;
    assert_eq!((ticked.etag.clone(), ticked.stored.revision > changed.stored.revision), (changed.etag, true));
    world.updated(later.clone(), Some(ticked.etag)).await.expect("a tick is no change of it");
    assert_eq!(fields(&world.updated(hourly("day"), None).await.unwrap_err()), ["input/hour"]);
    assert_eq!(world.shown().await.stored.spec, later);

    // Other times begin now; a change of anything else leaves what is undecided as it is.
    tokio::time::sleep(HOUR / 2).await;
    let timing = Timing::every(Duration::from_secs(600)).expect("an interval");
    let often = world.updated(ScheduleSpec { timing, ..hourly("hour") }, None).await.unwrap();
    assert!(often.stored.state.since >= world.clock.now() - Duration::from_secs(1));
    let other = ScheduleSpec { name: "other".parse().unwrap(), ..hourly("hour") };
    assert_eq!(world.updated(other, None).await.unwrap_err().code, ErrorCode::NotFound);
    world.stop().await;

    let declared = Worlds::new().worker(worker("settle", 4, Settles("hour"))).schedule(hourly("hour"));
    let world = declared.start().await;
    let refused = world.updated(hourly("hour"), None).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition, "its app says what it is");
    world.stop().await;
}
