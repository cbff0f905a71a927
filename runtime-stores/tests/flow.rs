//! Order, limits and pauses under everything that happens to a store: calls made by chance, crashes in between. What must hold is
//! checked at every lease; in the end everything finishes.

#[path = "chance/cases.rs"]
mod chance;

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use runtime_core::clock::Clock;
use runtime_core::error::TaskError;
use runtime_core::flow::{FlowLimits, RateLimit, ShedPolicy};
use runtime_core::limits::StoreLimits;
use runtime_core::name::{AppName, FlowKey, HandlerName, InstanceName, QueueName, Route, Scope, Tenant};
use runtime_core::outcome::{Outcome, ParkReason, ReleaseReason, Settled, Settlement};
use runtime_core::store::{
    EnqueueError, LaneBy, LeaseAsk, Limit, LimitOverride, QueuePolicy, Store, TaskCommand,
};
use runtime_core::task::{Lease, LeasedTask, NewTask, Priority, Task, TaskId, TaskState};
use runtime_stores::suite::ManualClock;
use runtime_stores::{MemoryStore, SqliteOptions, SqliteStore, Synchronous};

const LEASE: Duration = Duration::from_secs(30);
const AT_ONCE: u32 = 2;
const TOKENS: u32 = 3;
const PERIOD: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
struct New {
    key: Option<u8>,
    tenant: u8,
    weight: u32,
    scope: Option<u8>,
    delay: u8,
    deadline: Option<u8>,
    priority: i16,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Done,
    Retry,
    Reject,
    Park,
    Release,
}

#[derive(Debug, Clone)]
enum Call {
    Enqueue(Vec<New>),
    Lease(usize),
    LeaseNamed(usize),
    End(usize, End),
    Steer(usize, u8),
    Pause(u8, bool),
    Lanes(bool),
    Shed(Option<ShedPolicy>),
    PauseDelay(bool),
    Sweep,
    Advance(u8),
    Crash,
}

fn call() -> impl Strategy<Value = Call> {
    let new = (
        option::of(0..3_u8),
        (0..3_u8, 1..=TOKENS),
        option::weighted(0.3, 0..2_u8),
        0..6_u8,
        (option::weighted(0.1, 1..40_u8), 0..2_i16),
    )
        .prop_map(|(key, (tenant, weight), scope, delay, (deadline, priority))| New {
            key,
            tenant,
            weight,
            scope,
            delay,
            deadline,
            priority,
        });
    let shed = (option::of(1..6_u64), 1..20_u64, 0..6_u64, option::of(1..10_u64)).prop_map(
        |(depth, delay, interval, hopeless)| ShedPolicy {
            depth: depth.and_then(NonZeroU64::new),
            delay: Some(Duration::from_secs(delay)),
            interval: Duration::from_secs(interval),
            hopeless: hopeless.map(Duration::from_secs),
            ..ShedPolicy::default()
        },
    );
    let end = prop_oneof![
        5 => Just(End::Done), 2 => Just(End::Retry), 1 => Just(End::Reject), 1 => Just(End::Park), 1 => Just(End::Release),
    ];
    prop_oneof![
        6 => vec(new, 1..4).prop_map(Call::Enqueue),
        8 => (1..6_usize).prop_map(Call::Lease),
        1 => (0..40_usize).prop_map(Call::LeaseNamed),
        8 => (0..8_usize, end).prop_map(|(lease, end)| Call::End(lease, end)),
        2 => (0..40_usize, 0..3_u8).prop_map(|(task, command)| Call::Steer(task, command)),
        1 => (0..2_u8, any::<bool>()).prop_map(|(scope, paused)| Call::Pause(scope, paused)),
        1 => any::<bool>().prop_map(Call::Lanes),
        2 => option::weighted(0.7, shed).prop_map(Call::Shed),
        1 => any::<bool>().prop_map(Call::PauseDelay),
        4 => Just(Call::Sweep),
        4 => (1..8_u8).prop_map(Call::Advance),
        1 => Just(Call::Crash),
    ]
}

fn queue() -> QueueName {
    QueueName::new("work").unwrap()
}

fn rate() -> RateLimit {
    let tokens = NonZeroU32::new(TOKENS).unwrap();
    RateLimit::new(tokens, PERIOD, tokens).unwrap()
}

fn policy(lanes: bool, shed: Option<ShedPolicy>) -> QueuePolicy {
    let limits = FlowLimits {
        concurrency_per_key: NonZeroU32::new(AT_ONCE),
        rate_per_key: Some(rate()),
        ..FlowLimits::default()
    };
    let own =
        LimitOverride { concurrency: Some(Limit::To(NonZeroU32::MIN)), rate: Some(Limit::To(own_rate())) };
    QueuePolicy {
        lanes: lanes.then_some(LaneBy::Tenant),
        limits,
        overrides: BTreeMap::from([(FlowKey::new(OWN_LIMITS).unwrap(), own)]),
        shed,
        ..QueuePolicy::default()
    }
}

/// The tenant whose limits are its own, and its rate: slower, with more at a time.
const OWN_LIMITS: &str = "tenant-2";

fn own_rate() -> RateLimit {
    RateLimit::new(NonZeroU32::MIN, Duration::from_secs(4), NonZeroU32::new(TOKENS + 2).unwrap()).unwrap()
}

/// A store, and what is known of its tasks from outside.
struct World {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    tasks: Vec<TaskId>,
    /// Tasks that an operator ran again: they have lost their place.
    replayed: BTreeSet<TaskId>,
    leased: Vec<LeasedTask>,
    /// When tasks of each tenant started, and what they weigh, since the lanes came.
    starts: BTreeMap<String, Vec<(Timestamp, u32)>>,
    lanes: bool,
    shed: Option<ShedPolicy>,
}

impl World {
    async fn act(&mut self, call: &Call) {
        match call {
            Call::Enqueue(new) => {
                let tasks = new.iter().map(|new| self.build(new)).collect();
                for (new, answer) in new.iter().zip(self.store.enqueue(tasks).await.unwrap()) {
                    match answer {
                        Ok(taken) => self.tasks.push(taken.id()),
                        Err(refused) => self.check_refusal(new, &refused).await,
                    }
                }
            }
            Call::Lease(up_to) => self.lease(*up_to, None).await,
            Call::LeaseNamed(index) => {
                if let Some(id) = self.tasks.get(*index).copied() {
                    self.lease(1, Some(id)).await;
                }
            }
            Call::End(index, end) => {
                if *index < self.leased.len() {
                    let lease = self.leased.remove(*index).lease;
                    self.settle(lease, *end).await;
                }
            }
            Call::Steer(index, command) => {
                let Some(id) = self.tasks.get(*index).copied() else { return };
                let command = [TaskCommand::Retry, TaskCommand::Approve, TaskCommand::Cancel]
                    [usize::from(*command)]
                .clone();
                let before = self.task(id).await.state;
                let answer = self.store.steer(vec![(id, command)]).await.unwrap().remove(0);
                if before.is_finished() && answer.is_ok() {
                    self.replayed.insert(id);
                }
            }
            Call::Pause(number, paused) => {
                self.store.pause_scope(queue(), scope(*number), *paused, "why".into()).await.unwrap();
            }
            Call::Lanes(lanes) => {
                self.lanes = *lanes;
                self.starts.clear();
                self.store.set_queue_policy(queue(), policy(*lanes, self.shed)).await.unwrap();
            }
            Call::Shed(shed) => {
                self.shed = *shed;
                self.store.set_queue_policy(queue(), policy(self.lanes, *shed)).await.unwrap();
            }
            Call::PauseDelay(paused) => self.store.pause_delay(queue(), *paused).await.unwrap(),
            Call::Sweep => self.sweep().await,
            Call::Advance(seconds) => self.clock.advance(Duration::from_secs(u64::from(*seconds))),
            Call::Crash => {}
        }
    }

    fn build(&self, new: &New) -> NewTask {
        let later = |seconds: u8| self.clock.now() + jiff::SignedDuration::from_secs(i64::from(seconds));
        let route = Route {
            app: AppName::new("app").unwrap(),
            queue: queue(),
            handler: HandlerName::new("handler").unwrap(),
        };
        NewTask {
            ordering_key: new.key.map(|key| format!("key-{key}").parse().unwrap()),
            tenant: Some(Tenant::new(format!("tenant-{}", new.tenant)).unwrap()),
            scope: new.scope.map(scope),
            weight: NonZeroU32::new(new.weight).unwrap(),
            priority: Priority(new.priority),
            run_at: (new.delay > 3).then(|| later(new.delay)),
            deadline: new.deadline.map(later),
            max_attempts: NonZeroU32::new(3).unwrap(),
            ..NewTask::new(Arc::new(route), b"{}".to_vec())
        }
    }

    async fn task(&self, id: TaskId) -> Task {
        self.store.get(vec![id]).await.unwrap().remove(0).expect("history keeps everything here")
    }

    async fn sweep(&mut self) {
        self.store.sweep().await.unwrap();
        let mut live = Vec::new();
        for leased in std::mem::take(&mut self.leased) {
            if self.task(leased.lease.task).await.epoch == leased.lease.epoch
                && self.task(leased.lease.task).await.state == TaskState::Leased
            {
                live.push(leased);
            }
        }
        self.leased = live;
    }

    async fn settle(&mut self, lease: Lease, end: End) {
        let error = TaskError::retryable("no");
        let outcome = match end {
            End::Done => Outcome::Done { output: b"{}".to_vec() },
            End::Retry => Outcome::Retry { error, after: Duration::from_secs(4) },
            End::Reject => Outcome::Reject { error },
            End::Park => Outcome::Park { reason: ParkReason::NeedsDecision { question: "?".into() } },
            End::Release => Outcome::Released { reason: ReleaseReason::Shutdown },
        };
        let settlement = Settlement {
            lease,
            outcome,
            with: None,
            node: None,
            started_at: self.clock.now(),
            took: Duration::ZERO,
            trace: None,
        };
        let settled = self.store.settle(Arc::new(vec![settlement])).await.unwrap().remove(0);
        assert!(matches!(settled, Settled::Applied { .. }), "{settled:?}");
    }

    /// Leases, and checks what must hold of what was given.
    async fn lease(&mut self, up_to: usize, task: Option<TaskId>) {
        // What ran out is nobody's any longer: others may have it.
        self.sweep().await;
        let instance = InstanceName::new("one").unwrap();
        let ask = LeaseAsk { queue: queue(), instance, up_to, lease_for: LEASE, task };
        let paused: BTreeSet<Scope> =
            self.store.paused_scopes().await.unwrap().into_iter().map(|paused| paused.scope).collect();
        let given = self.store.lease(ask).await.unwrap();
        assert!(given.len() <= up_to);
        let now = self.clock.now();
        for leased in given {
            let (id, task) = (leased.lease.task, &leased.task);
            assert!(
                task.scope.as_ref().is_none_or(|scope| !paused.contains(scope)),
                "{id}: its scope is paused"
            );
            if task.ordering_key.is_some() {
                self.check_order(task).await;
            }
            if self.lanes {
                let tenant = task.tenant.as_ref().unwrap().to_string();
                let beside = self.leased.iter().filter(|other| other.task.tenant == task.tenant).count();
                let own = tenant == OWN_LIMITS;
                let at_once = if own { 1 } else { AT_ONCE as usize };
                assert!(beside < at_once, "{tenant}: {beside} beside {id}");
                let starts = self.starts.entry(tenant).or_default();
                starts.push((now, task.weight.get()));
                check_rate(starts, if own { own_rate() } else { rate() });
            }
            self.leased.push(leased);
        }
    }

    /// Only what can wait is refused, only where something waits already, and for a time within bounds.
    async fn check_refusal(&self, new: &New, refused: &EnqueueError) {
        let EnqueueError::Shed { retry_after, .. } = refused else { panic!("{refused}") };
        let policy = self.shed.expect("a queue without the policy sheds nothing");
        assert!(Priority(new.priority) > policy.keeps, "{new:?}");
        assert!((policy.retry_after..=ShedPolicy::MAX_WAIT).contains(retry_after), "{retry_after:?}");
        let stats = self.store.queue_stats().await.unwrap();
        let [stats] = &stats[..] else { panic!("{stats:?}") };
        assert!(stats.counts.of(TaskState::Ready) > 0 && stats.shed.refused > 0, "{stats:?}");
    }

    async fn check_order(&self, task: &Task) {
        let same = |other: &Task| other.ordering_key == task.ordering_key;
        assert!(!self.leased.iter().any(|other| same(&other.task)), "two of one key: {}", task.id);
        if self.replayed.contains(&task.id) {
            return;
        }
        for other in &self.tasks {
            let other = self.task(*other).await;
            let earlier = other.id.row() < task.id.row() && same(&other) && !other.state.is_finished();
            assert!(!earlier || self.replayed.contains(&other.id), "{} went before {}", task.id, other.id);
        }
    }

    /// Whoever stands in the way steps aside: then everything finishes.
    async fn finish_everything(&mut self) {
        for number in 0..2 {
            self.store.pause_scope(queue(), scope(number), false, String::new()).await.unwrap();
        }
        for _ in 0..400 {
            for leased in std::mem::take(&mut self.leased) {
                self.settle(leased.lease, End::Done).await;
            }
            let mut live = 0;
            for id in self.tasks.clone() {
                let task = self.task(id).await;
                live += usize::from(!task.state.is_finished());
                if task.state == TaskState::Parked {
                    self.store.steer(vec![(id, TaskCommand::Approve)]).await.unwrap().remove(0).unwrap();
                }
            }
            if live == 0 {
                return;
            }
            self.clock.advance(Duration::from_secs(4));
            self.lease(10, None).await;
        }
        panic!("something is stuck: {:?}", self.store.queue_stats().await.unwrap());
    }
}

/// Between any two starts no more than a full bucket, and what came back meanwhile.
fn check_rate(starts: &[(Timestamp, u32)], rate: RateLimit) {
    let (last, _) = *starts.last().expect("one has just started");
    let mut taken = 0.0;
    for (first, weight) in starts.iter().rev() {
        taken += f64::from(*weight);
        let came_back = last.duration_since(*first).as_secs_f64() * f64::from(rate.tokens().get());
        let most = f64::from(rate.burst().get()) + came_back / rate.per().as_secs_f64();
        assert!(taken <= most + 1e-6, "{taken} tokens in {}", last - *first);
    }
}

fn scope(number: u8) -> Scope {
    Scope::new(format!("store={number}")).unwrap()
}

const LIMITS: StoreLimits = StoreLimits { max_payload_bytes: 64, max_batch: 100, queue_capacity: 10_000 };

async fn live_through(calls: &[Call], mut open: impl FnMut(&Arc<ManualClock>) -> Option<Arc<dyn Store>>) {
    let clock = Arc::new(ManualClock::new());
    let store = open(&clock).expect("the first store opens");
    let mut world = World {
        store,
        clock: clock.clone(),
        tasks: Vec::new(),
        replayed: BTreeSet::new(),
        leased: Vec::new(),
        starts: BTreeMap::new(),
        lanes: true,
        shed: None,
    };
    world.act(&Call::Lanes(true)).await;
    for call in calls {
        if matches!(call, Call::Crash) {
            // The file is given up before the next process takes it.
            world.store = Arc::new(MemoryStore::new(clock.clone(), LIMITS));
            let Some(store) = open(&clock) else { return };
            (world.store, world.leased) = (store, Vec::new());
        } else {
            world.act(call).await;
        }
    }
    world.finish_everything().await;
}

proptest! {
    #![proptest_config(chance::cases(48))]

    #[test]
    fn order_limits_and_pauses_hold_whatever_happens_and_everything_finishes(calls in vec(call(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(live_through(&calls, |clock| {
            let instance = InstanceName::new("one").unwrap();
            let mut options = SqliteOptions::new(folder.path().join("store.db"), instance, clock.clone());
            (options.limits, options.synchronous) = (LIMITS, Synchronous::Off);
            Some(Arc::new(SqliteStore::open(options).unwrap()))
        }));
        let no_crash: Vec<Call> = calls.into_iter().filter(|call| !matches!(call, Call::Crash)).collect();
        runtime.block_on(live_through(&no_crash, |clock| Some(Arc::new(MemoryStore::new(clock.clone(), LIMITS)))));
    }
}

#[tokio::test]
async fn more_lanes_than_one_ask_looks_at_all_have_their_turn() {
    let clock = Arc::new(ManualClock::new());
    let folder = tempfile::tempdir().unwrap();
    let instance = InstanceName::new("one").unwrap();
    let mut options = SqliteOptions::new(folder.path().join("store.db"), instance.clone(), clock.clone());
    options.synchronous = Synchronous::Off;
    let store = SqliteStore::open(options).unwrap();
    use runtime_core::store::{QueueFlow, TaskStore};
    let limits = FlowLimits { concurrency_per_key: Some(NonZeroU32::MIN), ..FlowLimits::default() };
    let policy = QueuePolicy { lanes: Some(LaneBy::Tenant), limits, ..QueuePolicy::default() };
    store.set_queue_policy(queue(), policy).await.unwrap();
    let route = Arc::new(Route {
        app: AppName::new("app").unwrap(),
        queue: queue(),
        handler: HandlerName::new("handler").unwrap(),
    });
    let tasks = (0..5_000).map(|number| NewTask {
        tenant: Some(Tenant::new(format!("tenant-{}", number % 2_500)).unwrap()),
        ..NewTask::new(Arc::clone(&route), b"{}".to_vec())
    });
    store.enqueue(tasks.collect()).await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let ask = LeaseAsk {
            queue: queue(),
            instance: instance.clone(),
            up_to: 1_500,
            lease_for: LEASE,
            task: None,
        };
        let leased = store.lease(ask).await.unwrap();
        seen.extend(leased.into_iter().map(|leased| leased.task.tenant.clone().unwrap()));
        if seen.len() < 2_500 {
            // Lanes are left, and nothing else would say so.
            let next =
                store.sweep().await.unwrap().next_due.expect("whoever sweeps knows when to come again");
            assert!(next > clock.now() && next <= clock.now() + jiff::SignedDuration::from_millis(10));
        }
        clock.advance(Duration::from_millis(10));
        store.sweep().await.unwrap();
    }
    assert_eq!(seen.len(), 2_500, "also while every lane that was looked at before has all it may");
}
