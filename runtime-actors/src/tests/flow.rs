//! Lanes, limits and order through the whole tree: who runs beside whom, and who waits for whom.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime_core::control::{Command, CommandError, QueueCommand, QueueDetail, ask};
use runtime_core::error::ErrorCode;
use runtime_core::etag::Terms;
use runtime_core::flow::{FlowLimits, RateLimit};
use runtime_core::handler::NotDone;
use runtime_core::store::{Change, LaneBy, Limit, QueueChange, QueuePolicy};
use runtime_core::task::{NewTask, TaskState};
use tokio::time::Instant;

use super::kit::{FaultyStore, World, Worlds, done, from_fn, worker};
use crate::registry::WorkerPlan;
use crate::runtime::StopReport;

/// What ran: whose it was, and when it began, in order.
type Ran = Arc<Mutex<Vec<(String, Instant)>>>;

/// Every attempt takes `takes`; nothing of one tenant is to run beside more than `most` of it.
fn by_tenant(slots: usize, takes: Duration, limits: FlowLimits) -> (WorkerPlan, Ran, Arc<Mutex<usize>>) {
    let (ran, most) = (Ran::default(), Arc::new(Mutex::new(0)));
    let (began, highest) = (ran.clone(), most.clone());
    let running = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let handler = from_fn(move |ctx| {
        let tenant = ctx.task().tenant.as_ref().map(ToString::to_string).unwrap_or_default();
        began.lock().unwrap().push((tenant.clone(), Instant::now()));
        let now = {
            let mut running = running.lock().unwrap();
            *running.entry(tenant.clone()).and_modify(|count| *count += 1).or_insert(1)
        };
        let highest = highest.clone();
        let running = running.clone();
        async move {
            tokio::time::sleep(takes).await;
            let mut highest = highest.lock().unwrap();
            *highest = now.max(*highest);
            *running.lock().unwrap().get_mut(&tenant).unwrap() -= 1;
            done()
        }
    });
    let mut plan = worker("greet", slots, handler);
    Arc::make_mut(&mut plan.descriptor).flow =
        QueuePolicy { lanes: Some(LaneBy::Tenant), limits, ..QueuePolicy::default() };
    (plan, ran, most)
}

async fn enqueue(world: &World, tenant: &str, count: usize) {
    let of = |task| NewTask { tenant: Some(tenant.parse().unwrap()), ..task };
    world.enqueue_with("greet", count, of).await;
}

/// How long the last of a tenant's tasks waited until it began.
fn last_wait(ran: &Ran, tenant: &str, since: Instant) -> Duration {
    let ran = ran.lock().unwrap();
    ran.iter().filter(|(whose, _)| whose == tenant).map(|(_, at)| *at - since).max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn ten_tenants_share_the_slots_although_one_has_a_hundred_times_the_load() {
    let takes = Duration::from_millis(100);
    let mut waits = Vec::new();
    for heavy in [0, 1_000] {
        let (plan, ran, _) = by_tenant(10, takes, FlowLimits::default());
        let world = Worlds::new().worker(plan).start().await;
        let since = Instant::now();
        enqueue(&world, "heavy", heavy).await;
        for tenant in 1..10 {
            enqueue(&world, &format!("light-{tenant}"), 10).await;
        }
        world.idle().await;
        waits.push((1..10).map(|tenant| last_wait(&ran, &format!("light-{tenant}"), since)).max().unwrap());
        assert_eq!(ran.lock().unwrap().len(), heavy + 90);
        assert_eq!(world.stop().await, StopReport::Clean);
    }
    let [alone, beside] = waits[..] else { unreachable!() };
    assert!(beside <= alone * 2, "{beside:?} beside the heavy one, {alone:?} alone");
}

#[tokio::test(start_paused = true)]
async fn without_lanes_the_light_wait_for_the_heavy() {
    // The control of the test above: the same load in one line.
    let (mut plan, ran, _) = by_tenant(10, Duration::from_millis(100), FlowLimits::default());
    Arc::make_mut(&mut plan.descriptor).flow = QueuePolicy::default();
    let world = Worlds::new().worker(plan).start().await;
    let since = Instant::now();
    enqueue(&world, "heavy", 1_000).await;
    enqueue(&world, "light-1", 10).await;
    world.idle().await;
    assert!(last_wait(&ran, "light-1", since) >= Duration::from_secs(9));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn no_tenant_runs_more_at_once_than_its_limit_and_its_rest_is_not_forgotten() {
    let limits = FlowLimits { concurrency_per_key: NonZeroU32::new(2), ..FlowLimits::default() };
    let (plan, ran, most) = by_tenant(10, Duration::from_millis(100), limits);
    let world = Worlds::new().worker(plan).start().await;
    enqueue(&world, "a", 20).await;
    enqueue(&world, "b", 20).await;
    world.idle().await;
    assert_eq!((*most.lock().unwrap(), ran.lock().unwrap().len()), (2, 40));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_rate_holds_a_tenant_back_and_lets_it_go_when_its_time_comes() {
    let rate = RateLimit::new(NonZeroU32::MIN, Duration::from_secs(1), NonZeroU32::new(3).unwrap()).unwrap();
    let limits = FlowLimits { rate_per_key: Some(rate), ..FlowLimits::default() };
    let (plan, ran, _) = by_tenant(10, Duration::from_millis(1), limits);
    let world = Worlds::new().worker(plan).start().await;
    let since = Instant::now();
    enqueue(&world, "a", 10).await;
    enqueue(&world, "b", 1).await;
    world.idle().await;
    let starts: Vec<Duration> =
        ran.lock().unwrap().iter().filter(|(whose, _)| whose == "a").map(|(_, at)| *at - since).collect();
    assert_eq!(starts.iter().filter(|at| **at < Duration::from_millis(900)).count(), 3, "its burst");
    for (index, at) in starts.iter().enumerate().skip(3) {
        let due = Duration::from_secs(u64::try_from(index).unwrap() - 2);
        assert!(*at >= due && *at < due + Duration::from_millis(500), "{index} at {at:?}, due {due:?}");
    }
    assert!(last_wait(&ran, "b", since) < Duration::from_millis(500), "another tenant's tokens are its own");
    assert_eq!(world.stop().await, StopReport::Clean);
}

async fn update(
    world: &World,
    change: QueueChange,
    validate_only: bool,
) -> Result<QueueDetail, CommandError> {
    ask(&*world.control, |reply| {
        let (queue, reason) = ("greet".parse().unwrap(), "a slow day".to_owned());
        let terms = Terms { expected: None, validate_only };
        Command::Queues(QueueCommand::Update { queue, change, reason, terms, reply })
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn what_operators_say_of_limits_holds_over_what_the_app_declares_when_it_starts() {
    let limits = FlowLimits { concurrency_per_key: NonZeroU32::new(4), ..FlowLimits::default() };
    let one = QueueChange { concurrency: Change::Say(Limit::To(NonZeroU32::MIN)), ..QueueChange::default() };
    let takes = Duration::from_millis(100);
    let (plan, _, _) = by_tenant(10, takes, limits);
    let world = Worlds::new().worker(plan).start().await;
    let preview = update(&world, one.clone(), true).await.unwrap();
    assert!(preview.overridden.is_some());
    assert!(world.store.inner().overridden_queues().await.unwrap().is_empty(), "only looked at");
    let said = update(&world, one.clone(), false).await.unwrap().overridden.unwrap();
    assert_eq!(said.reason, "a slow day");
    let (store, clock) = (world.store.clone(), world.clock.clone());
    let kept = store.inner().overridden_queues().await.unwrap();
    assert_eq!(kept, [said]);
    assert!(world.entry("/").kill());
    drop(world);

    // The app declares its limits again, as at every start.
    let (plan, ran, most) = by_tenant(10, takes, limits);
    let again = Worlds::on(FaultyStore::new(store.inner()), clock).worker(plan).start().await;
    enqueue(&again, "a", 5).await;
    again.idle().await;
    assert_eq!((*most.lock().unwrap(), ran.lock().unwrap().len()), (1, 5));
    let clear = QueueChange { clear_all: true, ..QueueChange::default() };
    assert_eq!(update(&again, clear, false).await.unwrap().overridden, None);
    enqueue(&again, "a", 8).await;
    again.idle().await;
    assert_eq!((*most.lock().unwrap(), ran.lock().unwrap().len()), (4, 13), "what is declared holds again");
    assert_eq!(again.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn limits_of_a_queue_without_lanes_are_refused() {
    let (mut plan, _, _) = by_tenant(1, Duration::ZERO, FlowLimits::default());
    Arc::make_mut(&mut plan.descriptor).flow = QueuePolicy::default();
    let world = Worlds::new().worker(plan).start().await;
    let one = QueueChange { concurrency: Change::Say(Limit::Unlimited), ..QueueChange::default() };
    assert_eq!(update(&world, one, false).await.unwrap_err().code, ErrorCode::FailedPrecondition);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn tasks_of_one_ordering_key_run_one_at_a_time_in_order_also_over_retries() {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let began = ran.clone();
    let handler = from_fn(move |ctx| {
        began.lock().unwrap().push((ctx.task().id, ctx.attempt()));
        let fails = ctx.attempt() == 1;
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if fails { Err(NotDone::retry("not yet")) } else { done() }
        }
    });
    let world = Worlds::new().worker(worker("greet", 8, handler)).start().await;
    let of = |task| NewTask { ordering_key: Some("member-1".parse().unwrap()), ..task };
    let ids = world.enqueue_with("greet", 5, of).await;
    world.idle().await;
    let expected: Vec<_> = ids.iter().flat_map(|id| [(*id, 1), (*id, 2)]).collect();
    assert_eq!(*ran.lock().unwrap(), expected);
    assert_eq!(world.count(TaskState::Done).await, 5);
    assert_eq!(world.stop().await, StopReport::Clean);
}
