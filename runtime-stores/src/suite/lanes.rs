//! Lanes of a queue: fair shares, limits, rates.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use runtime_core::flow::{FlowLimits, RateLimit};
use runtime_core::store::{LaneBy, LeaseAsk, QueuePolicy};
use runtime_core::task::{LeasedTask, NewTask, TaskId, TaskState};

use super::world::{LEASE, World, done, instance, queue, retry_after, task};

fn of(tenant: &str, number: u32) -> NewTask {
    let mut task = task(number);
    task.tenant = Some(tenant.parse().expect("a test's tenant is valid"));
    task
}

async fn put(w: &World, tenant: &str, tasks: u32) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for number in 0..tasks {
        ids.push(w.put_new(of(tenant, number)).await);
    }
    ids
}

async fn by_tenant(w: &World, limits: FlowLimits) {
    let policy = QueuePolicy { lanes: Some(LaneBy::Tenant), limits, ..QueuePolicy::default() };
    w.store.set_queue_policy(queue("work"), policy).await.unwrap();
}

fn at_once(most: u32) -> FlowLimits {
    FlowLimits { concurrency_per_key: NonZeroU32::new(most), ..FlowLimits::default() }
}

fn two_a_second() -> FlowLimits {
    let two = NonZeroU32::MIN.saturating_add(1);
    let rate = RateLimit::new(two, Duration::from_secs(1), two).expect("a test's rate is valid");
    FlowLimits { rate_per_key: Some(rate), ..FlowLimits::default() }
}

fn tenants(leased: &[LeasedTask]) -> Vec<String> {
    let tenant = |leased: &LeasedTask| leased.task.tenant.as_ref().map_or("-".into(), ToString::to_string);
    leased.iter().map(tenant).collect()
}

/// How many of each tenant.
fn shares(leased: &[LeasedTask]) -> Vec<(String, usize)> {
    let mut shares = BTreeMap::new();
    tenants(leased).into_iter().for_each(|tenant| *shares.entry(tenant).or_default() += 1);
    shares.into_iter().collect()
}

fn share(tenant: &str, tasks: usize) -> (String, usize) {
    (tenant.into(), tasks)
}

pub(super) async fn lanes_share_the_leases_whatever_waits_in_them(w: World) {
    by_tenant(&w, FlowLimits::default()).await;
    put(&w, "a", 20).await;
    put(&w, "b", 3).await;
    put(&w, "c", 1).await;
    w.put_new(task(9)).await;
    let leased = w.lease(8).await;
    assert_eq!(shares(&leased), [share("-", 1), share("a", 3), share("b", 3), share("c", 1)]);
    assert_eq!(tenants(&leased)[..4], ["-", "a", "b", "c"], "who works off the answer in order is fair too");
    put(&w, "c", 5).await;
    assert_eq!(shares(&w.lease(2).await), [share("c", 2)], "whoever has the fewest gets the next");
    for leased in leased {
        w.settle(leased.lease, done()).await;
    }
    assert_eq!(w.lease(100).await.len(), 20 + 3 + 1 + 1 + 5 - 8 - 2, "nothing is left over");
}

pub(super) async fn lanes_take_turns_when_there_is_one_lease_at_a_time(w: World) {
    by_tenant(&w, FlowLimits::default()).await;
    for tenant in ["c", "b", "a"] {
        put(&w, tenant, 3).await;
    }
    let mut served = Vec::new();
    for _ in 0..9 {
        let leased = w.lease(1).await;
        served.extend(tenants(&leased));
        w.settle(leased[0].lease, done()).await;
    }
    assert_eq!(served, ["a", "b", "c", "a", "b", "c", "a", "b", "c"]);
}

pub(super) async fn no_lane_has_more_under_way_than_its_limit(w: World) {
    by_tenant(&w, at_once(2)).await;
    let of_a = put(&w, "a", 5).await;
    put(&w, "b", 1).await;
    let leased = w.lease(10).await;
    assert_eq!(shares(&leased), [share("a", 2), share("b", 1)]);
    assert_eq!(w.lease(10).await, []);
    let named = LeaseAsk {
        queue: queue("work"),
        instance: instance("two"),
        up_to: 1,
        lease_for: LEASE,
        task: Some(of_a[4]),
    };
    assert_eq!(w.store.lease(named.clone()).await.unwrap(), [], "nor by its id");
    let bell = w.store.wake(&queue("work"));
    tokio::select! { biased; () = bell.notified() => {} () = std::future::ready(()) => {} }
    w.settle(leased[0].lease, retry_after(Duration::from_secs(99))).await;
    bell.notified().await;
    assert_eq!(w.store.lease(named).await.unwrap().len(), 1);
    assert_eq!(w.lease(10).await, [], "it counts like any other");
    // A lease that runs out is room again.
    w.advance(LEASE);
    w.store.sweep().await.unwrap();
    assert_eq!(shares(&w.lease(10).await), [share("a", 2), share("b", 1)]);
}

pub(super) async fn a_rate_lets_tasks_start_as_tokens_come_back(w: World) {
    by_tenant(&w, two_a_second()).await;
    let of_a = put(&w, "a", 5).await;
    put(&w, "b", 1).await;
    let leased = w.lease(10).await;
    assert_eq!(shares(&leased), [share("a", 2), share("b", 1)]);
    let soon = w.later(Duration::from_millis(500));
    assert_eq!(w.store.sweep().await.unwrap().next_due, Some(soon), "whoever sweeps knows when");
    assert_eq!(
        w.store.queue_stats().await.unwrap()[0].limited_until,
        Some(soon),
        "and so does whoever looks"
    );
    w.settle(leased[0].lease, done()).await;
    assert_eq!(w.lease(10).await, [], "an end gives no token back");
    w.advance(Duration::from_millis(499));
    assert_eq!(w.lease(10).await, []);
    let bell = w.store.wake(&queue("work"));
    tokio::select! { biased; () = bell.notified() => {} () = std::future::ready(()) => {} }
    w.advance(Duration::from_millis(1));
    w.store.sweep().await.unwrap();
    bell.notified().await;
    let named = LeaseAsk {
        queue: queue("work"),
        instance: instance("one"),
        up_to: 1,
        lease_for: LEASE,
        task: Some(of_a[4]),
    };
    assert_eq!(w.store.lease(named).await.unwrap().len(), 1, "a task that is named takes a token as well");
    assert_eq!(w.lease(10).await, []);
    w.advance(Duration::from_secs(5));
    assert_eq!(w.lease(10).await.len(), 2, "a pause fills the bucket and no more");
}

pub(super) async fn a_crash_gives_no_token_twice(w: World) {
    by_tenant(&w, two_a_second()).await;
    put(&w, "a", 5).await;
    assert_eq!(w.lease(10).await.len(), 2);
    let w = w.crash_into("two").await;
    assert_eq!(w.lease(10).await, []);
    w.advance(Duration::from_millis(500));
    assert_eq!(w.lease(10).await.len(), 1);
}

pub(super) async fn a_new_policy_concerns_those_who_wait_and_those_who_run(w: World) {
    put(&w, "a", 3).await;
    put(&w, "b", 3).await;
    assert_eq!(shares(&w.lease(2).await), [share("a", 2)], "without lanes the oldest go first");
    by_tenant(&w, at_once(2)).await;
    assert_eq!(shares(&w.lease(10).await), [share("b", 2)], "what runs is counted in its lane");
    let policy = QueuePolicy {
        lanes: Some(LaneBy::Payload("/n".into())),
        limits: at_once(1),
        ..QueuePolicy::default()
    };
    w.store.set_queue_policy(queue("work"), policy.clone()).await.unwrap();
    assert_eq!(w.store.look_at_queue(queue("work"), 100).await.unwrap().policy, policy);
    assert_eq!(shares(&w.lease(10).await), [share("a", 1)], "of the lanes 0, 1 and 2 only the last is free");
    w.store.set_queue_policy(queue("work"), QueuePolicy::default()).await.unwrap();
    assert_eq!(shares(&w.lease(10).await), [share("b", 1)]);
}

pub(super) async fn a_suspect_keeps_to_the_limits_of_its_lane(w: World) {
    let two = NonZeroU32::MIN.saturating_add(1);
    let rate = RateLimit::new(two, Duration::from_secs(200), two).expect("a test's rate is valid");
    by_tenant(&w, FlowLimits { rate_per_key: Some(rate), ..FlowLimits::default() }).await;
    let suspect = put(&w, "a", 1).await[0];
    for _ in 0..2 {
        assert_eq!(w.lease(10).await[0].lease.task, suspect);
        w.advance(LEASE);
        w.store.sweep().await.unwrap();
    }
    put(&w, "b", 1).await;
    let leased = w.lease(10).await;
    assert_eq!(shares(&leased), [share("b", 1)], "both tokens are gone: others go on meanwhile");
    let back = w.later(Duration::from_secs(40));
    w.settle(leased[0].lease, done()).await;
    assert_eq!(w.store.sweep().await.unwrap().next_due, Some(back));
    w.advance(Duration::from_secs(40));
    assert_eq!(w.lease(10).await[0].lease.task, suspect);
}

pub(super) async fn without_fairness_the_first_go_first_within_their_limit(w: World) {
    by_tenant(&w, FlowLimits { fair: false, ..at_once(3) }).await;
    put(&w, "a", 5).await;
    put(&w, "b", 5).await;
    assert_eq!(shares(&w.lease(4).await), [share("a", 3), share("b", 1)]);
}

pub(super) async fn lanes_keep_order_pauses_and_replays(w: World) {
    by_tenant(&w, FlowLimits::default()).await;
    let ordered = |number: u32| NewTask { ordering_key: Some("k".parse().unwrap()), ..of("a", number) };
    let first = w.put_new(ordered(1)).await;
    let second = w.put_new(ordered(2)).await;
    let leased = w.lease(10).await;
    assert_eq!(leased.iter().map(|leased| leased.lease.task).collect::<Vec<_>>(), [first]);
    w.settle(leased[0].lease, runtime_core::outcome::Outcome::Cancel { reason: "no".into() }).await;
    assert_eq!(w.lease(10).await[0].lease.task, second);
    let again = vec![(first, runtime_core::store::TaskCommand::Retry)];
    assert_eq!(w.store.steer(again).await.unwrap(), [Ok(TaskState::Ready)]);
    assert_eq!(w.lease(10).await, []);
    let lease = runtime_core::task::Lease { task: second, epoch: w.get(second).await.epoch };
    w.settle(lease, done()).await;
    assert_eq!(w.lease(10).await[0].lease.task, first, "a replayed task has a lane again");
}

/// Ticks from enqueuing to lease, of each tenant but the first, with four slots and attempts of one tick.
async fn waits(w: &World, all: &[(String, u32)]) -> BTreeMap<String, Vec<u64>> {
    for (tenant, tasks) in all {
        put(w, tenant, *tasks).await;
    }
    let mut waits: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for tick in 1.. {
        let leased = w.lease(4).await;
        if leased.is_empty() {
            break;
        }
        for (leased, tenant) in leased.iter().zip(tenants(&leased)) {
            waits.entry(tenant).or_default().push(tick);
            w.settle(leased.lease, done()).await;
        }
        w.advance(Duration::from_secs(1));
    }
    waits
}

pub(super) async fn a_tenant_with_a_hundred_times_the_load_does_not_keep_others_waiting(w: World) {
    let others: Vec<(String, u32)> = (1..10).map(|number| (format!("small-{number}"), 2)).collect();
    let with_big: Vec<(String, u32)> = [("big".to_owned(), 200)].into_iter().chain(others.clone()).collect();
    by_tenant(&w, FlowLimits::default()).await;
    let alone = waits(&w, &others).await;
    let beside = waits(&w, &with_big).await;
    by_tenant(&w, FlowLimits { fair: false, ..FlowLimits::default() }).await;
    let unfair = waits(&w, &with_big).await;
    let longest = |waits: &BTreeMap<String, Vec<u64>>| {
        others.iter().flat_map(|(tenant, _)| &waits[tenant]).copied().max().unwrap_or(0)
    };
    assert_eq!(beside["big"].len(), 200, "and it is worked off as well");
    assert!(
        longest(&beside) <= 2 * longest(&alone),
        "{} beside, {} alone",
        longest(&beside),
        longest(&alone)
    );
    for (tenant, _) in &others {
        for (beside, alone) in beside[tenant].iter().zip(&alone[tenant]) {
            assert!(*beside <= 2 * alone, "{tenant} waited {beside}, alone {alone}");
        }
    }
    assert!(longest(&unfair) > 2 * longest(&alone), "the control: first come, first served");
}
