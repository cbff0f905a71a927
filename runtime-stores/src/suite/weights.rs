//! Weights of tasks, and limits that differ from lane to lane: declared by the code, or said by operators.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use runtime_core::error::ErrorCode;
use runtime_core::flow::{FlowLimits, RateLimit};
use runtime_core::name::FlowKey;
use runtime_core::outcome::{Outcome, SettleWith, Settled};
use runtime_core::store::{
    Change, EnqueueError, Enqueued, LaneBy, LeaseAsk, Limit, LimitOverride, QueueChange, QueuePolicy,
    TaskCommand,
};
use runtime_core::task::{LeasedTask, NewTask, TaskId, TaskState};

use super::world::{LEASE, World, done, instance, queue, task};

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a test says no zero")
}

/// So many tokens a second, and so many at once.
fn rate(tokens: u32, burst: u32) -> RateLimit {
    RateLimit::new(number(tokens), Duration::from_secs(1), number(burst)).expect("a test's rate is valid")
}

fn lane(name: &str) -> FlowKey {
    FlowKey::new(name).expect("a test's lane is valid")
}

fn heavy(tenant: &str, weight: u32) -> NewTask {
    let mut task = task(weight).weighing(number(weight));
    task.tenant = Some(tenant.parse().expect("a test's tenant is valid"));
    task
}

async fn put(w: &World, tenant: &str, weights: &[u32]) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for weight in weights {
        ids.push(w.put_new(heavy(tenant, *weight)).await);
    }
    ids
}

fn policy(rate: RateLimit) -> QueuePolicy {
    let limits = FlowLimits { rate_per_key: Some(rate), ..FlowLimits::default() };
    QueuePolicy { lanes: Some(LaneBy::Tenant), limits, ..QueuePolicy::default() }
}

async fn set(w: &World, policy: QueuePolicy) {
    w.store.set_queue_policy(queue("work"), policy).await.unwrap();
}

async fn say(w: &World, change: QueueChange) {
    w.store.override_queue(queue("work"), change, "why".into()).await.unwrap();
}

fn concurrency(lane: Option<FlowKey>, most: Change<Limit<NonZeroU32>>) -> QueueChange {
    QueueChange { lane, concurrency: most, ..QueueChange::default() }
}

/// Tenants with the weights of what was leased, in the order of the answer within each tenant.
fn weights(leased: &[LeasedTask]) -> BTreeMap<String, Vec<u32>> {
    let mut weights: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for leased in leased {
        let tenant = leased.task.tenant.as_ref().map_or("-".into(), ToString::to_string);
        weights.entry(tenant).or_default().push(leased.task.weight.get());
    }
    weights
}

fn of<const N: usize>(tenants: [(&str, &[u32]); N]) -> BTreeMap<String, Vec<u32>> {
    tenants.into_iter().map(|(tenant, weights)| (tenant.to_owned(), weights.to_vec())).collect()
}

pub(super) async fn a_task_takes_as_many_tokens_as_it_weighs(w: World) {
    set(&w, policy(rate(2, 10))).await;
    put(&w, "a", &[1, 6, 3, 5, 1]).await;
    put(&w, "b", &[4, 4, 4]).await;
    assert_eq!(weights(&w.lease(100).await), of([("a", &[1, 6, 3]), ("b", &[4, 4])]));
    let soon = w.later(Duration::from_secs(1));
    assert_eq!(w.store.sweep().await.unwrap().next_due, Some(soon), "b lacks 2 tokens, a 5");
    w.advance(Duration::from_secs(1));
    assert_eq!(weights(&w.lease(100).await), of([("b", &[4])]));
    w.advance(Duration::from_millis(1_499));
    assert_eq!(w.lease(100).await, [], "who is light does not pass who is heavy");
    w.advance(Duration::from_millis(1));
    assert_eq!(weights(&w.lease(100).await), of([("a", &[5])]));
    w.advance(Duration::from_millis(500));
    assert_eq!(weights(&w.lease(100).await), of([("a", &[1])]));
}

pub(super) async fn a_named_task_takes_what_it_weighs(w: World) {
    set(&w, policy(rate(1, 10))).await;
    let ids = put(&w, "a", &[7, 4, 3]).await;
    let named = |id: TaskId| LeaseAsk {
        queue: queue("work"),
        instance: instance("one"),
        up_to: 1,
        lease_for: LEASE,
        task: Some(id),
    };
    assert_eq!(w.store.lease(named(ids[1])).await.unwrap().len(), 1);
    assert_eq!(w.store.lease(named(ids[0])).await.unwrap(), [], "6 are left");
    assert_eq!(w.store.lease(named(ids[2])).await.unwrap().len(), 1);
    w.advance(Duration::from_secs(4));
    assert_eq!(w.store.lease(named(ids[0])).await.unwrap().len(), 1);
}

pub(super) async fn a_weight_stays_with_its_task(w: World) {
    set(&w, policy(rate(1, 10))).await;
    let id = put(&w, "a", &[9]).await[0];
    let leased = w.lease_one().await;
    w.settle(leased.lease, Outcome::Cancel { reason: "no".into() }).await;
    assert_eq!((w.state(id).await, w.get(id).await.weight), (TaskState::Cancelled, number(9)));
    let w = w.close_into("two").await;
    w.store.steer(vec![(id, TaskCommand::Retry)]).await.unwrap().remove(0).unwrap();
    assert_eq!(w.get(id).await.weight, number(9), "also when it is replayed");
    assert_eq!(w.lease(1).await, [], "a replayed task takes its tokens again");
    w.advance(Duration::from_secs(8));
    assert_eq!(weights(&w.lease(1).await), of([("a", &[9])]));
}

pub(super) async fn a_task_that_replaces_another_brings_its_weight(w: World) {
    use runtime_core::task::{OnConflict, UniqueWithin};
    let keyed = |weight| {
        let task = heavy("a", weight).keyed("k".parse().expect("a key"));
        task.unique_within(UniqueWithin::WhileWaiting).on_conflict(OnConflict::Replace)
    };
    let id = w.put_new(keyed(2)).await;
    assert_eq!(w.put(keyed(7)).await, Ok(Enqueued::Replaced { id }));
    assert_eq!(w.get(id).await.weight, number(7));
}

pub(super) async fn a_task_heavier_than_its_lane_ever_takes_is_refused(w: World) {
    let mut declared = policy(rate(1, 10));
    let large = LimitOverride { rate: Some(Limit::To(rate(1, 50))), ..LimitOverride::default() };
    declared.overrides.insert(lane("large"), large);
    let free = LimitOverride { rate: Some(Limit::Unlimited), ..LimitOverride::default() };
    declared.overrides.insert(lane("free"), free);
    set(&w, declared).await;
    put(&w, "a", &[10]).await;
    put(&w, "large", &[50]).await;
    put(&w, "free", &[u32::MAX]).await;
    let refused = |weight, name: &str, burst| {
        Err(EnqueueError::WeightAboveBurst { queue: queue("work"), lane: lane(name), weight, burst })
    };
    assert_eq!(w.put(heavy("a", 11)).await, refused(11, "a", 10));
    assert_eq!(w.put(heavy("large", 51)).await, refused(51, "large", 50));
    assert_eq!(w.put(heavy("a", 11)).await.unwrap_err().code(), ErrorCode::TooHeavy);
    let whole = w.store.enqueue_whole(vec![heavy("b", 1), heavy("b", 11)], vec![]).await;
    assert!(matches!(whole, Err(EnqueueError::WeightAboveBurst { .. })));
    assert_eq!(w.count("work", TaskState::Ready).await, 3, "all or nothing");

    // A follow-up is always taken, or settling could fail; it takes the whole burst.
    let leased = w.lease(100).await;
    assert_eq!(leased.len(), 3);
    let with = SettleWith { follow_ups: vec![heavy("c", 99), heavy("c", 1)], ..SettleWith::default() };
    let mut settlement = w.settlement(leased[0].lease, done());
    settlement.with = Some(Box::new(with));
    assert!(matches!(w.settle_all(vec![settlement]).await[0], Settled::Applied { .. }));
    assert_eq!(weights(&w.lease(100).await), of([("c", &[99])]));
    w.advance(Duration::from_secs(1));
    assert_eq!(weights(&w.lease(100).await), of([("c", &[1])]));
}

pub(super) async fn who_lowers_a_limit_for_a_while_turns_no_producer_away(w: World) {
    set(&w, policy(rate(1, 10))).await;
    let rate_of = |to| QueueChange { rate: Change::Say(Limit::To(to)), ..QueueChange::default() };
    say(&w, rate_of(rate(1, 4))).await;
    put(&w, "a", &[10, 1]).await;
    assert_eq!(weights(&w.lease(100).await), of([("a", &[10])]), "it takes the whole burst");
    w.advance(Duration::from_millis(999));
    assert_eq!(w.lease(100).await, []);
    w.advance(Duration::from_millis(1));
    assert_eq!(w.lease(100).await.len(), 1);
    say(&w, rate_of(rate(1, 20))).await;
    put(&w, "b", &[20]).await;
    assert!(matches!(w.put(heavy("b", 21)).await, Err(EnqueueError::WeightAboveBurst { burst: 20, .. })));
}

pub(super) async fn each_lane_keeps_to_limits_of_its_own(w: World) {
    let mut declared = policy(rate(1, 2));
    let both = LimitOverride { concurrency: Some(Limit::To(number(3))), rate: Some(Limit::Unlimited) };
    declared.overrides.insert(lane("vip"), both);
    let slow = LimitOverride { rate: Some(Limit::To(rate(1, 1))), ..LimitOverride::default() };
    declared.overrides.insert(lane("slow"), slow);
    set(&w, declared.clone()).await;
    assert_eq!(w.store.look_at_queue(queue("work"), 100).await.unwrap().policy, declared);
    for tenant in ["a", "slow", "vip"] {
        put(&w, tenant, &[1; 5]).await;
    }
    let w = w.crash_into("two").await;
    assert_eq!(weights(&w.lease(100).await), of([("a", &[1, 1]), ("slow", &[1]), ("vip", &[1, 1, 1])]));
    declared.limits.fair = false;
    set(&w, declared).await;
    assert_eq!(w.lease(100).await, [], "also where lanes are not served fairly");
}

pub(super) async fn operators_say_other_limits_which_the_code_does_not_wipe(w: World) {
    let declared = QueuePolicy {
        limits: FlowLimits { concurrency_per_key: Some(number(1)), ..FlowLimits::default() },
        ..policy(rate(9, 9))
    };
    set(&w, declared.clone()).await;
    put(&w, "a", &[1; 8]).await;
    put(&w, "b", &[1; 8]).await;
    assert_eq!(w.lease(100).await.len(), 2);
    let bell = w.store.wake(&queue("work"));
    tokio::select! { biased; () = bell.notified() => {} () = std::future::ready(()) => {} }
    let change = concurrency(None, Change::Say(Limit::To(number(2))));
    let said = w.store.override_queue(queue("work"), change, "a busy day".into()).await.unwrap().unwrap();
    assert_eq!((said.reason.as_str(), said.since), ("a busy day", w.now()));
    bell.notified().await;
    say(&w, concurrency(Some(lane("b")), Change::Say(Limit::To(number(4))))).await;
    assert_eq!(weights(&w.lease(100).await), of([("a", &[1]), ("b", &[1, 1, 1])]));

    // The app starts again and declares what it always declared.
    let w = w.close_into("two").await;
    set(&w, QueuePolicy::default()).await;
    set(&w, declared.clone()).await;
    let seen = w.store.look_at_queue(queue("work"), 100).await.unwrap();
    assert_eq!(seen.policy, declared, "as declared");
    let known = w.store.overridden_queues().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(seen.overridden.as_ref(), known.first());
    assert_eq!(known[0].says.every_lane.concurrency, Some(Limit::To(number(2))));
    assert_eq!(known[0].says.lanes[&lane("b")].concurrency, Some(Limit::To(number(4))));
    let leased = w.lease(100).await;
    assert_eq!(weights(&leased), of([("a", &[1, 1]), ("b", &[1, 1, 1, 1])]));

    let clear = QueueChange { clear_all: true, ..QueueChange::default() };
    assert_eq!(w.store.override_queue(queue("work"), clear, String::new()).await.unwrap(), None);
    assert_eq!(w.store.overridden_queues().await.unwrap(), []);
    for leased in leased {
        w.settle(leased.lease, done()).await;
    }
    assert_eq!(w.lease(100).await.len(), 2, "what the code declares holds again");
    let w = w.crash_into("three").await;
    assert_eq!(w.store.overridden_queues().await.unwrap(), []);
}

pub(super) async fn operators_may_say_something_before_a_queue_has_a_task_or_a_policy(w: World) {
    say(&w, concurrency(None, Change::Say(Limit::To(number(1))))).await;
    put(&w, "a", &[1; 3]).await;
    assert_eq!(w.lease(2).await.len(), 2, "without lanes there are no limits");
    set(&w, QueuePolicy { lanes: Some(LaneBy::Tenant), ..QueuePolicy::default() }).await;
    put(&w, "b", &[1; 3]).await;
    assert_eq!(weights(&w.lease(100).await), of([("b", &[1])]));
}

/// A lane, its rate, and what was started in it: when, in milliseconds, and how heavy.
struct Witness {
    lane: &'static str,
    rate: RateLimit,
    waiting: u32,
    starts: Vec<(i64, u32)>,
}

impl Witness {
    fn new(lane: &'static str, rate: RateLimit) -> Self {
        Self { lane, rate, waiting: 0, starts: Vec::new() }
    }

    /// Whether over any time the lane got no more than a full bucket and what came back meanwhile.
    fn judge(&self) -> Result<(), String> {
        for (first, (from, _)) in self.starts.iter().enumerate() {
            let mut taken = 0.0;
            for (until, weight) in &self.starts[first..] {
                taken += f64::from(*weight);
                let most = f64::from(self.rate.burst().get()) + self.came_back(*from, *until);
                if taken > most + 1e-3 {
                    return Err(format!("{}: {taken} tokens in {} ms", self.lane, until - from));
                }
            }
        }
        Ok(())
    }

    fn came_back(&self, from: i64, until: i64) -> f64 {
        (until - from) as f64 / 1_000.0 * f64::from(self.rate.tokens().get())
    }
}

/// Lanes in which there is always work of any weight, asked for now and then. Where nobody says what tasks weigh, their payload does.
async fn work_off(w: &World, witnesses: &mut [Witness], weighed: bool) {
    let mut random = numbers_by_chance(7);
    for _ in 0..80 {
        for witness in &mut *witnesses {
            while witness.waiting < 20 {
                let task = heavy(witness.lane, random(9) + 1);
                w.put_new(if weighed { task } else { task.weighing(NonZeroU32::MIN) }).await;
                witness.waiting += 1;
            }
        }
        for leased in w.lease(random(12) as usize + 1).await {
            let tenant = leased.task.tenant.as_ref().map(ToString::to_string).unwrap_or_default();
            let payload: serde_json::Value = serde_json::from_slice(&leased.task.payload).expect("JSON");
            let weight = payload["n"].as_u64().and_then(|weight| u32::try_from(weight).ok());
            let start = (w.now().as_millisecond(), weight.expect("a weight"));
            if let Some(witness) = witnesses.iter_mut().find(|witness| witness.lane == tenant) {
                witness.starts.push(start);
                witness.waiting -= 1;
            }
            w.settle(leased.lease, done()).await;
        }
        w.advance(Duration::from_millis(u64::from(random(700))));
    }
}

pub(super) async fn no_lane_gets_more_tokens_than_its_rate_in_any_time(w: World) {
    let lanes = [("a", rate(3, 10)), ("b", rate(7, 12)), ("c", rate(1, 9))];
    let mut declared = policy(lanes[0].1);
    for (name, own) in lanes {
        let own = LimitOverride { rate: Some(Limit::To(own)), ..LimitOverride::default() };
        declared.overrides.insert(lane(name), own);
    }
    set(&w, declared).await;
    let mut weighed = lanes.map(|(lane, rate)| Witness::new(lane, rate));
    work_off(&w, &mut weighed, true).await;
    for witness in &weighed {
        assert_eq!(witness.judge(), Ok(()));
        let (taken, starts) = (witness.starts.iter().map(|(_, weight)| weight).sum::<u32>(), &witness.starts);
        let came_back = witness.came_back(starts[0].0, starts[starts.len() - 1].0);
        // What comes back to a full bucket between two asks is lost.
        assert!(f64::from(taken) > 0.8 * came_back, "{}: {taken} of {came_back}", witness.lane);
    }
    // The control: the same work, of which the store is not told what it weighs, in lanes that have the first rate.
    let mut untold = ["x", "y", "z"].map(|lane| Witness::new(lane, lanes[0].1));
    work_off(&w, &mut untold, false).await;
    assert!(untold.iter().all(|witness| witness.judge().is_err()));
}

/// Small numbers by chance, the same in every run.
fn numbers_by_chance(mut state: u64) -> impl FnMut(u32) -> u32 {
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((state >> 33) % u64::from(below)).unwrap_or(0)
    }
}
