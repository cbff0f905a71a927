//! Schedules: ticks become tasks, once each, whatever breaks, jumps or is in the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime_core::clock::Clock;
use runtime_core::control::{
    Backfilled, Command, CommandError, NodeCommand, Reply, ScheduleCommand, ScheduleView, ask,
};
use runtime_core::error::ErrorCode;
use runtime_core::limits::StoreLimits;
use runtime_core::name::ScheduleName;
use runtime_core::node::{Health, NodeState};
use runtime_core::schedule::{
    CatchUpPolicy, DeclaredBy, OverlapPolicy, ScheduleSpec, SkipReason, Timing, tick_name,
};
use runtime_core::store::{Store, TaskCommand, TaskFilter};
use runtime_core::task::{Task, TaskState};
use runtime_stores::MemoryStore;

use super::kit::{FaultyStore, Gate, PausedClock, StoreCall, World, Worlds, done, from_fn, route, worker};
use crate::runtime::StopReport;

const HOUR: Duration = Duration::from_secs(3_600);
const NODE: &str = "/control/schedules";

fn name(text: &str) -> ScheduleName {
    text.parse().expect("a name")
}

/// Makes a task of worker `settle` each hour.
fn hourly() -> ScheduleSpec {
    every(HOUR)
}

fn every(interval: Duration) -> ScheduleSpec {
    let timing = Timing::every(interval).expect("an interval");
    let route = route("settle").as_ref().clone();
    let mut spec = ScheduleSpec::new(name("settlement"), route, serde_json::json!({"store": 42}), timing);
    // The first tick comes one interval after the tests' time begins.
    spec.start = Timestamp::from_second(1_800_000_000).ok().map(|began| began + interval);
    spec
}

fn at_once() -> crate::registry::WorkerPlan {
    worker("settle", 4, from_fn(async |_| done()))
}

impl World {
    async fn schedule<T>(&self, make: impl FnOnce(Reply<T>) -> ScheduleCommand) -> Result<T, CommandError> {
        ask(&*self.control, |reply| Command::Schedules(make(reply))).await
    }

    async fn settlement(&self) -> ScheduleView {
        let name = name("settlement");
        self.schedule(|reply| ScheduleCommand::Get { name, reply }).await.expect("the schedule is there")
    }

    async fn pause(&self) -> ScheduleView {
        let (name, reason, by) = (name("settlement"), "audit".to_owned(), "ada".to_owned());
        self.schedule(|reply| ScheduleCommand::Pause { name, reason, by, terms: Default::default(), reply })
            .await
            .expect("paused")
    }

    async fn resume(&self) -> ScheduleView {
        let name = name("settlement");
        self.schedule(|reply| ScheduleCommand::Resume { name, terms: Default::default(), reply })
            .await
            .expect("resumed")
    }

    async fn backfill(&self, from: Timestamp, until: Timestamp) -> Result<Backfilled, CommandError> {
        let name = name("settlement");
        self.schedule(|reply| ScheduleCommand::Backfill { name, from, until, reply }).await
    }

    /// All tasks, oldest first.
    async fn tasks(&self) -> Vec<Task> {
        tasks(&*self.store.inner()).await
    }

    /// Waits until so many tasks were made in all.
    async fn until_tasks(&self, count: usize) -> Vec<Task> {
        loop {
            let tasks = self.tasks().await;
            if tasks.len() >= count {
                assert_eq!(tasks.len(), count);
                return tasks;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The tick that made a task.
fn tick(task: &Task) -> Timestamp {
    let key = task.idempotency_key.as_ref().expect("a tick's task has its key");
    let (_, at) = key.as_str().split_once('@').expect("the key has the time");
    at.parse().expect("a time")
}

async fn tasks(store: &dyn Store) -> Vec<Task> {
    let (mut tasks, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(TaskFilter::default(), after, 500).await.expect("the store answers");
        tasks.extend(page.tasks);
        after = page.next;
        if after.is_none() {
            tasks.reverse();
            return tasks;
        }
    }
}

/// Wall time that a test moves, beside the paused clock.
struct MovedClock {
    steady: Arc<PausedClock>,
    moved_secs: AtomicI64,
}

impl MovedClock {
    fn new() -> Arc<Self> {
        Arc::new(Self { steady: PausedClock::new(), moved_secs: AtomicI64::new(0) })
    }

    fn shift(&self, secs: i64) {
        self.moved_secs.fetch_add(secs, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        self.steady.now() + SignedDuration::from_secs(self.moved_secs.load(Ordering::SeqCst))
    }
}

fn worlds_on(clock: Arc<dyn Clock>) -> Worlds {
    let store = MemoryStore::new(clock.clone(), StoreLimits::default());
    Worlds::on(FaultyStore::new(Arc::new(store)), clock)
}

/// A world whose store outlives it: the process that runs it dies when it is dropped, without a word.
fn next_process(of: &World) -> Worlds {
    Worlds::on(FaultyStore::new(of.store.inner()), of.clock.clone())
}

#[tokio::test(start_paused = true)]
async fn an_hourly_schedule_makes_exactly_its_tasks_in_a_year() {
    let mut worlds = Worlds::new().schedule(ScheduleSpec { overlap: OverlapPolicy::AllowAll, ..hourly() });
    // Nobody else has to look at the store in this year.
    worlds.timing.sweep_every = HOUR * 24;
    worlds.timing.extend_every = HOUR * 24;
    let world = worlds.start().await;
    let mut expected = world.now();
    tokio::time::sleep(HOUR * 24 * 365 + HOUR / 2).await;
    let tasks = world.tasks().await;
    assert_eq!(tasks.len(), 24 * 365);
    for task in &tasks {
        expected += HOUR;
        assert_eq!(tick(task), expected);
    }
    let view = world.settlement().await;
    assert_eq!(view.next_tick, Some(expected + HOUR));
    assert!(view.lag.unwrap() < Duration::from_secs(1), "{:?}", view.lag);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tick_runs_its_worker_with_the_declared_input() {
    let world = Worlds::new().worker(at_once()).schedule(hourly()).start().await;
    let task = world.until_tasks(1).await.remove(0);
    let task = world.until_task(task.id, TaskState::Done).await;
    assert_eq!((task.payload.as_slice(), task.route.as_ref()), (&br#"{"store":42}"#[..], &*route("settle")));
    let at = world.settlement().await.stored.state.last_tick.unwrap();
    assert_eq!(task.idempotency_key, tick_name(&name("settlement"), at).parse().ok());
    let view = world.settlement().await;
    assert_eq!(view.stored.state.last_task, Some(task.id));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_between_decision_and_firing_loses_no_tick_and_makes_none_twice() {
    for (call, written) in [(StoreCall::Fire, 0), (StoreCall::FireAnswer, 1)] {
        let world = Worlds::new().schedule(hourly()).start().await;
        world.store.set(call, Gate::Shut);
        world.store.called(call, 1).await;
        assert_eq!(world.tasks().await.len(), written, "{call:?}");
        // The first process hangs there for ever; the second one finds what it left.
        let next = next_process(&world).schedule(hourly()).start().await;
        let tasks = next.until_tasks(1).await;
        tokio::time::sleep(HOUR / 2).await;
        assert_eq!(next.tasks().await.len(), 1, "{call:?}");
        // The first one goes on: what it decided is void, or was written before.
        world.store.set(call, Gate::Open);
        tokio::time::sleep(HOUR / 4).await;
        assert_eq!(next.tasks().await, tasks, "{call:?}");
        world.store.set(StoreCall::Close, Gate::Shut);
        next.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_processes_on_one_store_make_each_task_once() {
    let spec = || ScheduleSpec { overlap: OverlapPolicy::AllowAll, ..every(Duration::from_secs(60)) };
    let one = Worlds::new().schedule(spec()).start().await;
    let two = next_process(&one).schedule(spec()).start().await;
    tokio::time::sleep(HOUR + Duration::from_secs(1)).await;
    let ran_at: Vec<Timestamp> = one.tasks().await.iter().map(tick).collect();
    assert_eq!(ran_at.len(), 60);
    assert!(ran_at.is_sorted_by(|one, next| *next == *one + Duration::from_secs(60)), "{ran_at:?}");
    assert!(one.store.count(StoreCall::Fire) > 1 && two.store.count(StoreCall::Fire) > 1, "both are at it");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_back_an_hour_makes_no_tick_twice() {
    let clock = MovedClock::new();
    let spec = ScheduleSpec { overlap: OverlapPolicy::AllowAll, ..every(Duration::from_secs(600)) };
    let world = worlds_on(clock.clone()).schedule(spec).start().await;
    world.until_tasks(6).await;
    clock.shift(-3_600);
    tokio::time::sleep(HOUR - Duration::from_secs(1)).await;
    assert_eq!(world.tasks().await.len(), 6, "the hour was decided before");
    let ran_at: Vec<Timestamp> = world.until_tasks(12).await.iter().map(tick).collect();
    assert!(ran_at.is_sorted_by(|one, next| *next == *one + Duration::from_secs(600)), "{ran_at:?}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_is_noticed_in_time() {
    let clock = MovedClock::new();
    let world = worlds_on(clock.clone()).schedule(hourly()).start().await;
    let next = world.settlement().await.next_tick.unwrap();
    clock.shift(next.as_second() - world.now().as_second());
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(world.tasks().await.len(), 1, "on time, although nobody slept until then");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_schedule_says_who_to_ask_and_goes_on_without_what_it_missed() {
    let world = Worlds::new().worker(at_once()).schedule(hourly()).start().await;
    world.until_tasks(1).await;
    let paused = world.pause().await;
    let why = paused.stored.state.paused.unwrap();
    assert_eq!((why.reason.as_str(), why.by.as_str(), why.at), ("audit", "ada", world.now()));
    assert_eq!(paused.next_tick, None);
    tokio::time::sleep(HOUR * 5).await;
    assert_eq!(world.tasks().await.len(), 1);
    let resumed = world.resume().await;
    assert_eq!(resumed.stored.state.paused, None);
    assert!(resumed.next_tick.unwrap() > world.now());
    let tasks = world.until_tasks(2).await;
    assert_eq!(Some(tick(&tasks[1])), resumed.next_tick, "what came while it was paused is lost");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_survives_the_process() {
    let world = Worlds::new().schedule(hourly()).start().await;
    world.pause().await;
    let next = next_process(&world).schedule(ScheduleSpec { jitter_secs: 9, ..hourly() }).start().await;
    let view = next.settlement().await;
    assert_eq!((view.stored.spec.jitter_secs, view.stored.state.paused.is_some()), (9, true));
    next.stop().await;
}

/// A worker that takes two and a half hours, and how it is told to end.
fn slow() -> crate::registry::WorkerPlan {
    let mut plan = worker(
        "settle",
        4,
        from_fn(async |ctx| {
            tokio::select! {
                () = tokio::time::sleep(HOUR * 5 / 2) => done(),
                () = ctx.cancelled().cancelled() => Err(runtime_core::error::TaskError::retryable("cut off").into()),
            }
        }),
    );
    let descriptor = Arc::make_mut(&mut plan.descriptor);
    descriptor.timeout = HOUR * 24;
    plan
}

async fn with_slow_worker(overlap: OverlapPolicy) -> World {
    let world = Worlds::new().worker(slow()).schedule(ScheduleSpec { overlap, ..hourly() }).start().await;
    world.until_tasks(1).await;
    world
}

/// The hours of these tasks, from the first on.
fn hours(tasks: &[Task]) -> Vec<i64> {
    tasks.iter().map(|task| (tick(task).as_second() - tick(&tasks[0]).as_second()) / 3_600).collect()
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_meets_an_unfinished_task_is_skipped() {
    let world = with_slow_worker(OverlapPolicy::Skip).await;
    tokio::time::sleep(HOUR * 2 + HOUR / 4).await;
    let skipped = world.settlement().await.skipped.unwrap();
    assert_eq!((skipped.reason, world.tasks().await.len()), (SkipReason::Running, 1));
    assert_eq!(hours(&world.until_tasks(2).await), [0, 3]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_tick_waits_for_an_unfinished_task_and_goes_as_soon_as_it_has_finished() {
    let world = with_slow_worker(OverlapPolicy::BufferOne).await;
    let first = world.now();
    tokio::time::sleep(HOUR * 2 + HOUR / 4).await;
    let view = world.settlement().await;
    assert!(view.stored.state.buffered.is_some());
    let tasks = world.until_tasks(2).await;
    assert_eq!(hours(&tasks), [0, 1], "the first that came waited");
    let waited = world.now().duration_since(first);
    assert!(waited < SignedDuration::from_secs(9_000 + 5), "{waited:?}: the task ends after 2.5 hours");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_may_overlap_makes_its_task() {
    let world = with_slow_worker(OverlapPolicy::AllowAll).await;
    assert_eq!(hours(&world.until_tasks(3).await), [0, 1, 2]);
    assert_eq!(world.count(TaskState::Leased).await, 3);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tick_cancels_the_task_that_runs() {
    let world = with_slow_worker(OverlapPolicy::CancelRunning).await;
    let tasks = world.until_tasks(3).await;
    let first = world.until_task(tasks[0].id, TaskState::Cancelled).await;
    assert_eq!(first.attempt, 1, "its handler's own end counts for nothing");
    world.until_task(tasks[1].id, TaskState::Cancelled).await;
    world.until_task(tasks[2].id, TaskState::Leased).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_listen_is_cut_off_when_it_is_cancelled() {
    let mut deaf = worker(
        "settle",
        1,
        from_fn(async |_| {
            tokio::time::sleep(HOUR * 20).await;
            done()
        }),
    );
    Arc::make_mut(&mut deaf.descriptor).timeout = HOUR * 24;
    let world = Worlds::new().worker(deaf).start().await;
    let running = world.enqueue("settle", 2).await;
    world.until_task(running[0], TaskState::Leased).await;
    assert_eq!(
        world.decide(running[0], TaskCommand::Cancel).await,
        Ok(TaskState::Leased),
        "it is asked to end"
    );
    let asked = world.now();
    world.until_task(running[0], TaskState::Cancelled).await;
    assert!(world.now().duration_since(asked) < SignedDuration::from_secs(6), "the grace is 5 s");
    world.until_task(running[1], TaskState::Leased).await;
    world.until("/engine/apps/shop/workers/settle", |view| view.slots == Some((1, 1))).await;
    world.stop().await;
}

async fn after_downtime(catch_up: CatchUpPolicy) -> Vec<i64> {
    let clock = MovedClock::new();
    let spec = ScheduleSpec { catch_up, overlap: OverlapPolicy::AllowAll, ..hourly() };
    let world = worlds_on(clock.clone()).schedule(spec.clone()).start().await;
    world.until_tasks(1).await;
    let next = next_process(&world);
    world.store.set(StoreCall::Close, Gate::Fails(runtime_core::store::StoreError::Closed));
    world.stop().await;
    clock.shift(3_600 * 10 + 600);
    let world = next.schedule(spec).start().await;
    tokio::time::sleep(HOUR).await;
    let hours = hours(&world.tasks().await);
    world.stop().await;
    hours
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_while_nobody_was_there_goes_by_the_catch_up_policy() {
    assert_eq!(after_downtime(CatchUpPolicy::None).await, [0, 11]);
    assert_eq!(after_downtime(CatchUpPolicy::Last).await, [0, 10, 11]);
    let window = CatchUpPolicy::All { window_secs: 3 * 3_600 };
    assert_eq!(after_downtime(window).await, [0, 8, 9, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_nobody_declares_is_shown_and_makes_nothing() {
    let world = Worlds::new().worker(at_once()).schedule(hourly()).start().await;
    world.until_tasks(1).await;
    let without = next_process(&world).worker(at_once()).start().await;
    drop(world);
    let view = without.settlement().await;
    assert!(view.stored.state.orphaned && view.next_tick.is_none());
    tokio::time::sleep(HOUR * 3).await;
    assert_eq!(without.tasks().await.len(), 1);
    let refused =
        without.schedule(|reply| ScheduleCommand::Trigger { name: name("settlement"), reply }).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::FailedPrecondition);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_declared_again_goes_on_from_then() {
    let world = Worlds::new().worker(at_once()).schedule(hourly()).start().await;
    world.until_tasks(1).await;
    let without = next_process(&world).worker(at_once()).start().await;
    drop(world);
    tokio::time::sleep(HOUR * 3).await;
    let again = next_process(&without).worker(at_once()).schedule(hourly()).start().await;
    drop(without);
    let view = again.settlement().await;
    assert!(!view.stored.state.orphaned && view.next_tick.unwrap() > again.now());
    assert_eq!(hours(&again.until_tasks(2).await), [0, 4]);
    again.stop().await;
}

#[tokio::test(start_paused = true)]
async fn other_times_begin_with_the_release_that_declares_them() {
    let world = Worlds::new().worker(at_once()).schedule(hourly()).start().await;
    let last = world.until_tasks(1).await.remove(0);
    let all = CatchUpPolicy::All { window_secs: 86_400 };
    let spec =
        ScheduleSpec { catch_up: all, overlap: OverlapPolicy::AllowAll, ..every(Duration::from_secs(600)) };
    tokio::time::sleep(HOUR / 2 + Duration::from_secs(60)).await;
    let next = next_process(&world).worker(at_once()).schedule(spec).start().await;
    drop(world);
    let view = next.settlement().await;
    assert_eq!(view.stored.state.last_task, Some(last.id), "it is the same schedule");
    assert_eq!(next.tasks().await.len(), 1, "the half hour before was never that of the new times");
    assert_eq!(tick(&next.until_tasks(2).await[1]), tick(&last) + Duration::from_secs(2_400));
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_ticks_wait_and_the_node_says_why() {
    let world = Worlds::new().worker(at_once()).schedule(hourly()).start().await;
    world.store.fail(StoreCall::Fire);
    let view = world.until(NODE, |view| view.health != Health::Healthy).await;
    let Health::Unhealthy(why) = &view.health else { panic!("{:?}", view.health) };
    assert!(why.contains("schedule settlement") && why.contains("told to fail"), "{why}");
    assert_eq!(view.queued, 1, "one schedule is held up");
    assert!(world.settlement().await.problem.is_some());
    let overview = ask(&*world.control, |reply| Command::GetOverview { reply }).await.unwrap();
    assert!(matches!(overview.health, Health::Unhealthy(_)));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.tasks().await.len(), 0);
    assert!(world.store.count(StoreCall::Fire) > 4, "it keeps trying");
    world.store.set(StoreCall::Fire, Gate::Open);
    world.until(NODE, |view| view.health == Health::Healthy && view.queued == 0).await;
    assert_eq!(world.tasks().await.len(), 1, "within the minute it is on time");
    let view = world.settlement().await;
    assert!(view.lag.unwrap() > Duration::from_secs(20) && view.problem.is_none());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_stops_neither_the_mailbox_nor_what_is_shown() {
    let world = Worlds::new().schedule(hourly()).start().await;
    world.store.set(StoreCall::Fire, Gate::Shut);
    world.store.called(StoreCall::Fire, 1).await;
    assert_eq!(world.settlement().await.stored.state.last_tick, None, "shown as it was before");
    world.steer(NODE, NodeCommand::Pause).await.unwrap();
    assert_eq!(world.entry(NODE).state(), NodeState::Paused);
    world.store.set(StoreCall::Close, Gate::Fails(runtime_core::store::StoreError::Closed));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_schedules_node_that_cannot_read_the_store_comes_up_and_tries_again() {
    let worlds = Worlds::new().worker(at_once()).schedule(hourly());
    worlds.store.fail(StoreCall::Schedules);
    let store = worlds.store.clone();
    let world = worlds.start().await;
    assert!(matches!(world.entry(NODE).view().health, Health::Unhealthy(_)));
    let refused = world.schedule(|reply| ScheduleCommand::List { reply }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::StoreUnavailable);
    store.set(StoreCall::Schedules, Gate::Open);
    world.until(NODE, |view| view.health == Health::Healthy).await;
    world.until_tasks(1).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_one_schedule_up_and_no_other() {
    let clock = PausedClock::new();
    let limits = StoreLimits { queue_capacity: 1, ..StoreLimits::default() };
    let store = FaultyStore::new(Arc::new(MemoryStore::new(clock.clone(), limits)));
    let full = ScheduleSpec { overlap: OverlapPolicy::AllowAll, ..hourly() };
    let mut other = ScheduleSpec { name: name("zz-other"), ..full.clone() };
    other.route = route("other").as_ref().clone();
    let world = Worlds::on(store, clock).schedule(full).schedule(other).start().await;
    world.enqueue("settle", 1).await;
    world.until(NODE, |view| view.health != Health::Healthy).await;
    let tasks = world.until_tasks(2).await;
    assert_eq!(tasks[1].route, route("other"));
    assert!(world.settlement().await.problem.unwrap().contains("is full"));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_node_decides_nothing_and_answers() {
    let world = Worlds::new().worker(at_once()).schedule(hourly()).start().await;
    world.steer(NODE, NodeCommand::Pause).await.unwrap();
    tokio::time::sleep(HOUR * 3).await;
    world.resume().await;
    assert_eq!(world.tasks().await.len(), 0);
    world.steer(NODE, NodeCommand::Resume).await.unwrap();
    assert_eq!(world.until_tasks(1).await.len(), 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_goes_on_where_it_was() {
    let world = Worlds::new().worker(at_once()).schedule(hourly()).start().await;
    world.until_tasks(1).await;
    assert!(world.entry(NODE).kill());
    world.until(NODE, |view| view.incarnation == 2 && view.state == NodeState::Running).await;
    assert_eq!(hours(&world.until_tasks(3).await), [0, 1, 2]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_triggered_task_comes_besides_the_ticks() {
    let world = Worlds::new().worker(at_once()).schedule(hourly()).start().await;
    world.pause().await;
    let trigger = || world.schedule(|reply| ScheduleCommand::Trigger { name: name("settlement"), reply });
    let (one, two) = (trigger().await.unwrap().id(), trigger().await.unwrap().id());
    assert_ne!(one, two);
    let task = world.until_task(one, TaskState::Done).await;
    assert_eq!((task.idempotency_key, task.payload.as_slice()), (None, &br#"{"store":42}"#[..]));
    assert_eq!(world.settlement().await.stored.state.last_tick, None);
    let none = world.schedule(|reply| ScheduleCommand::Trigger { name: name("other"), reply }).await;
    assert_eq!(none.unwrap_err().code, ErrorCode::NotFound);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backfill_makes_the_tasks_of_a_period_once() {
    let spec =
        ScheduleSpec { start: None, overlap: OverlapPolicy::AllowAll, ..every(Duration::from_secs(60)) };
    let world = Worlds::new().schedule(spec).start().await;
    let own = world.until_tasks(2).await;
    world.pause().await;
    let (from, until) = (tick(&own[0]) - HOUR * 10, tick(&own[1]) + Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let first = world.backfill(from, until).await.unwrap();
    assert_eq!((first.made.len(), first.known), (500, 0));
    assert_eq!(first.next_from, Some(from + Duration::from_secs(60 * 500)));
    let rest = world.backfill(first.next_from.unwrap(), until).await.unwrap();
    assert_eq!(
        (rest.made.len(), rest.known, rest.next_from),
        (100, 2, None),
        "two made their task by themselves"
    );
    let again = world.backfill(from, until).await.unwrap();
    assert_eq!((again.made.len(), again.known), (0, 500));
    assert_eq!(world.tasks().await.len(), 602);
    assert_eq!(
        world.task(first.made[0]).await.idempotency_key,
        tick_name(&name("settlement"), from).parse().ok()
    );
    for (from, until) in [(until, from), (from, world.now() + HOUR)] {
        assert_eq!(world.backfill(from, until).await.unwrap_err().code, ErrorCode::InvalidArgument);
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_preview_shows_the_ticks_with_their_jitter() {
    let spec = ScheduleSpec { jitter_secs: 300, ..hourly() };
    let world = Worlds::new().schedule(spec.clone()).start().await;
    let next = world.settlement().await.next_tick.unwrap();
    world.pause().await;
    let preview = |after, count| {
        world.schedule(move |reply| ScheduleCommand::Preview {
            name: name("settlement"),
            after,
            count,
            reply,
        })
    };
    let ticks = preview(None, 3).await.unwrap();
    assert!(ticks.iter().all(|one| one.input == spec.input), "a plain input stays as it is");
    assert_eq!(
        ticks.iter().map(|one| one.tick).collect::<Vec<_>>(),
        [0, 1, 2].map(|hour| spec.tick(next + HOUR * hour))
    );
    assert_eq!(preview(Some(next), 1).await.unwrap(), ticks[1..2]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_made_at_run_time_lives_until_it_is_deleted() {
    let world = Worlds::new().worker(at_once()).start().await;
    let create = |spec: ScheduleSpec| {
        world.schedule(|reply| ScheduleCommand::Create { spec: Box::new(spec), validate_only: false, reply })
    };
    let made = create(hourly()).await.unwrap();
    assert_eq!(made.stored.state.declared_by, DeclaredBy::RunTime);
    assert!(made.next_tick.is_some());
    assert_eq!(create(hourly()).await.unwrap_err().code, ErrorCode::FailedPrecondition);
    let mut lost = ScheduleSpec { name: name("lost"), ..hourly() };
    lost.route = route("nobody").as_ref().clone();
    assert_eq!(create(lost).await.unwrap_err().code, ErrorCode::NotFound);
    world.until_tasks(1).await;

    // It outlives the process, and its worker only as an orphan.
    let without = next_process(&world).start().await;
    assert!(without.settlement().await.stored.state.orphaned);
    drop(world);
    let world = next_process(&without).worker(at_once()).start().await;
    drop(without);
    assert!(!world.settlement().await.stored.state.orphaned);
    world.until_tasks(2).await;
    world
        .schedule(|reply| ScheduleCommand::Delete {
            name: name("settlement"),
            terms: Default::default(),
            reply,
        })
        .await
        .unwrap();
    tokio::time::sleep(HOUR * 3).await;
    assert_eq!(world.tasks().await.len(), 2);
    assert_eq!(world.schedule(|reply| ScheduleCommand::List { reply }).await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_declared_schedule_is_not_deleted_but_an_orphan_is() {
    let world = Worlds::new().schedule(hourly()).start().await;
    let delete =
        |reply| ScheduleCommand::Delete { name: name("settlement"), terms: Default::default(), reply };
    assert_eq!(world.schedule(delete).await.unwrap_err().code, ErrorCode::FailedPrecondition);
    let without = next_process(&world).start().await;
    assert_eq!(without.schedule(delete).await, Ok(()));
    assert_eq!(without.schedule(|reply| ScheduleCommand::List { reply }).await, Ok(Vec::new()));
    without.stop().await;
}
