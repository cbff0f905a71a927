//! The embedded store against the memory store as its model: any sequence of calls gets the same answers from both, and leaves both with
//! the same tasks. Now and then the file is closed and opened again in between, which the model need not notice.

#[path = "chance/cases.rs"]
mod chance;

use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::flow::{FlowLimits, RateLimit, ShedPolicy, Shedding};
use runtime_core::limits::StoreLimits;
use runtime_core::name::{
    AppName, FlowKey, HandlerName, IdempotencyKey, InstanceName, OrderingKey, QueueName, Route, Scope,
    StepName,
};
use runtime_core::operation::{Operation, OperationKind, OperationSpec, OperationState};
use runtime_core::outcome::{Outcome, ParkReason, ReleaseReason, SettleWith, Settled, Settlement};
use runtime_core::schedule::{
    CatchUpPolicy, DeclaredBy, OverlapPolicy, ScheduleSpec, ScheduleState, Timing, decide,
};
use runtime_core::store::{
    Change, EffectClass, EnqueueError, Enqueued, Expr, Fired, Firing, LaneBy, LeaseAsk, Limit, LimitOverride,
    OperationStep, QueueChange, QueuePolicy, Revision, Stepped, Store, StoredSchedule, TaskCommand,
    TaskFilter, TaskTest, TextTest,
};
use runtime_core::task::{
    AttemptRecord, Held, Lease, NewTask, OnConflict, Priority, Task, TaskId, TaskState, Unique, UniqueWithin,
};
use runtime_stores::suite::ManualClock;
use runtime_stores::{MemoryStore, Retention, SqliteOptions, SqliteStore, Synchronous};

const LIMITS: StoreLimits = StoreLimits { max_payload_bytes: 64, max_batch: 100, queue_capacity: 6 };
const RETENTION: Retention = Retention {
    keep_finished_for: Duration::from_secs(40),
    keep_finished_at_most: 5,
    keep_dead_for: Duration::from_secs(60),
    keep_dead_at_most: 2,
    keep_keys_for: Duration::from_secs(90),
    keep_audit_for: Duration::from_secs(90),
    keep_audit_at_most: 5,
};
const LEASE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
struct New {
    queue: u8,
    key: Option<u8>,
    content: u8,
    delay: u8,
    deadline: Option<u8>,
    priority: i16,
    weight: u32,
    max_attempts: u32,
    unique: Unique,
    ordering: Option<u8>,
    scope: Option<u8>,
    asked_by_name: bool,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Done,
    DoneWithFollowUp { key: u8, content: u8, unique: Unique, ordering: u8 },
    RetryNow,
    RetryLater,
    Reject,
    Snooze,
    Park,
    ParkUnknown,
    Cancel,
    Release,
}

#[derive(Debug, Clone)]
enum Call {
    Enqueue(Vec<New>),
    EnqueueWhole(Vec<New>),
    Lease {
        queue: u8,
        instance: u8,
        up_to: usize,
    },
    LeaseNamed {
        task: usize,
        instance: u8,
    },
    Settle(Vec<(usize, End)>),
    Extend(usize),
    Checkpoint(usize),
    BeginEffect {
        lease: usize,
        content: u8,
    },
    RecordEffect(usize),
    Steer {
        task: usize,
        command: u8,
    },
    PauseScope {
        queue: u8,
        scope: u8,
        paused: bool,
    },
    SetPolicy {
        queue: u8,
        dead_head_blocks: bool,
        lanes: bool,
        fair: bool,
        own_limits: bool,
        shed: Option<ShedPolicy>,
    },
    PauseDelay {
        queue: u8,
        paused: bool,
    },
    Override {
        queue: u8,
        change: QueueChange,
    },
    Heads(u8),
    StartOperation {
        queue: u8,
        kind: OperationKind,
    },
    StepOperation {
        operation: usize,
        up_to: usize,
        stale: bool,
    },
    WalkAndCount {
        queue: u8,
        from: usize,
    },
    Look(Box<Expr<TaskTest>>),
    PutSchedule {
        name: u8,
        every: u32,
        stale: bool,
    },
    DeleteSchedule {
        name: u8,
        stale: bool,
    },
    FireSchedule {
        name: u8,
        stale: bool,
    },
    DeadGroups,
    Sweep,
    Advance(u8),
    Reopen,
}

fn filter() -> impl Strategy<Value = Expr<TaskTest>> {
    let text = |names: &'static [&'static str]| {
        let name = select(names).prop_map(str::to_owned);
        prop_oneof![3 => name.clone().prop_map(TextTest::Is), 1 => name.prop_map(TextTest::Begins)]
    };
    let states = vec(select(TaskState::ALL.to_vec()), 1..3);
    let test = prop_oneof![
        states.prop_map(TaskTest::State),
        text(&["queue-0", "queue-1", "queue"]).prop_map(TaskTest::Queue),
        text(&["store=0", "store=1", "store"]).prop_map(TaskTest::Scope),
        vec(select(ErrorCode::ALL), 1..4).prop_map(TaskTest::Code),
    ];
    test.prop_map(Expr::Is).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(Expr::All),
            vec(inner.clone(), 1..4).prop_map(Expr::Any),
            inner.prop_map(|part| !part),
        ]
    })
}

fn new_task() -> impl Strategy<Value = New> {
    (
        0..2_u8,
        option::of(0..4_u8),
        0..2_u8,
        prop_oneof![3 => Just(0), 1 => 1..20_u8],
        option::weighted(0.2, 1..60_u8),
        (-1..2_i16, prop_oneof![3 => Just(1), 1 => 2..5_u32]),
        1..4_u32,
        unique(),
        option::of(0..2_u8),
        (option::weighted(0.3, 0..2_u8), weighted(0.1)),
    )
        .prop_map(
            |(
                queue,
                key,
                content,
                delay,
                deadline,
                (priority, weight),
                max_attempts,
                unique,
                ordering,
                (scope, asked_by_name),
            )| New {
                queue,
                key,
                content,
                delay,
                deadline,
                priority,
                weight,
                max_attempts,
                unique,
                ordering,
                scope,
                asked_by_name,
            },
        )
}

/// Sheds, as most queues here hold a handful of tasks, often.
fn shed() -> impl Strategy<Value = ShedPolicy> {
    let secs = |range: std::ops::Range<u64>| range.prop_map(Duration::from_secs);
    let limits = (option::of((2..8_u64).prop_map(NonZeroU64::new)), option::of(secs(1..30)));
    (limits, secs(0..10), -1..2_i16, secs(1..9), option::of(secs(1..20))).prop_map(
        |((depth, delay), interval, keeps, retry_after, hopeless)| ShedPolicy {
            depth: depth.flatten(),
            delay,
            interval,
            keeps: Priority(keeps),
            retry_after,
            hopeless,
        },
    )
}

fn change() -> impl Strategy<Value = QueueChange> {
    let concurrency = prop_oneof![
        1 => Just(Change::Keep),
        1 => Just(Change::Clear),
        1 => Just(Change::Say(Limit::Unlimited)),
        2 => (1..4_u32).prop_map(|most| Change::Say(Limit::To(NonZeroU32::new(most).unwrap()))),
    ];
    let rate = prop_oneof![
        1 => Just(Change::Keep),
        1 => Just(Change::Clear),
        1 => Just(Change::Say(Limit::Unlimited)),
        2 => (1..6_u32).prop_map(|burst| Change::Say(Limit::To(in_ten_seconds(2, burst)))),
    ];
    let fair = prop_oneof![2 => Just(Change::Keep), 1 => Just(Change::Clear), 1 => any::<bool>().prop_map(Change::Say)];
    (option::of(0..2_u8), weighted(0.1), concurrency, rate, fair).prop_map(
        |(lane, clear_all, concurrency, rate, fair)| QueueChange {
            lane: lane.map(lane_of_scope),
            clear_all,
            concurrency,
            rate,
            fair,
        },
    )
}

fn unique() -> impl Strategy<Value = Unique> {
    let seconds = |most: u64| (0..most).prop_map(Duration::from_secs);
    let within = prop_oneof![
        2 => Just(UniqueWithin::Remembered),
        1 => Just(UniqueWithin::WhileWaiting),
        1 => Just(UniqueWithin::WhileLive),
        1 => seconds(200).prop_map(UniqueWithin::For),
        1 => Just(UniqueWithin::Forever),
    ];
    let on_conflict = prop_oneof![
        2 => Just(OnConflict::Insert),
        1 => Just(OnConflict::Ignore),
        1 => Just(OnConflict::Replace),
        1 => seconds(40).prop_map(|at_most| OnConflict::Debounce { at_most }),
    ];
    (within, on_conflict).prop_map(|(within, on_conflict)| Unique { within, on_conflict })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(End::Done),
        2 => (0..4_u8, 0..2_u8, unique(), 0..2_u8).prop_map(|(key, content, unique, ordering)| End::DoneWithFollowUp { key, content, unique, ordering }),
        1 => Just(End::RetryNow),
        1 => Just(End::RetryLater),
        1 => Just(End::Reject),
        1 => Just(End::Snooze),
        1 => Just(End::Park),
        1 => Just(End::ParkUnknown),
        1 => Just(End::Cancel),
        1 => Just(End::Release),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => vec(new_task(), 1..4).prop_map(Call::Enqueue),
        2 => vec(new_task(), 1..4).prop_map(Call::EnqueueWhole),
        8 => (0..2_u8, 0..2_u8, 1..4_usize).prop_map(|(queue, instance, up_to)| Call::Lease { queue, instance, up_to }),
        1 => (0..40_usize, 0..2_u8).prop_map(|(task, instance)| Call::LeaseNamed { task, instance }),
        8 => vec((0..12_usize, end()), 1..4).prop_map(Call::Settle),
        1 => (0..12_usize).prop_map(Call::Extend),
        1 => (0..12_usize).prop_map(Call::Checkpoint),
        2 => (0..12_usize, 0..2_u8).prop_map(|(lease, content)| Call::BeginEffect { lease, content }),
        1 => (0..12_usize).prop_map(Call::RecordEffect),
        3 => (0..40_usize, 0..10_u8).prop_map(|(task, command)| Call::Steer { task, command }),
        1 => (0..2_u8, select(OperationKind::ALL.to_vec())).prop_map(|(queue, kind)| Call::StartOperation { queue, kind }),
        3 => (0..3_usize, 1..4_usize, weighted(0.1)).prop_map(|(operation, up_to, stale)| Call::StepOperation { operation, up_to, stale }),
        1 => (0..2_u8, 0..40_usize).prop_map(|(queue, from)| Call::WalkAndCount { queue, from }),
        1 => filter().prop_map(|expr| Call::Look(Box::new(expr))),
        1 => Just(Call::DeadGroups),
        1 => (0..2_u8, 5..30_u32, any::<bool>()).prop_map(|(name, every, stale)| Call::PutSchedule { name, every, stale }),
        1 => (0..2_u8, weighted(0.2)).prop_map(|(name, stale)| Call::DeleteSchedule { name, stale }),
        4 => (0..2_u8, weighted(0.2)).prop_map(|(name, stale)| Call::FireSchedule { name, stale }),
        1 => (0..2_u8, 0..2_u8, any::<bool>()).prop_map(|(queue, scope, paused)| Call::PauseScope { queue, scope, paused }),
        2 => ((0..2_u8, any::<bool>(), any::<bool>()), any::<bool>(), any::<bool>(), option::weighted(0.7, shed()))
            .prop_map(|((queue, dead_head_blocks, lanes), fair, own_limits, shed)| Call::SetPolicy { queue, dead_head_blocks, lanes, fair, own_limits, shed }),
        1 => (0..2_u8, any::<bool>()).prop_map(|(queue, paused)| Call::PauseDelay { queue, paused }),
        1 => (0..2_u8, change()).prop_map(|(queue, change)| Call::Override { queue, change }),
        1 => (0..2_u8).prop_map(Call::Heads),
        4 => Just(Call::Sweep),
        4 => (1..40_u8).prop_map(Call::Advance),
        1 => Just(Call::Reopen),
    ]
}

/// One of the two stores, and what it calls the tasks.
struct Side {
    store: Arc<dyn Store>,
    tasks: Vec<TaskId>,
    numbers: HashMap<TaskId, usize>,
    /// The latest leases, newest last; lost and settled ones among them.
    leases: Vec<Lease>,
}

impl Side {
    fn new(store: Arc<dyn Store>) -> Self {
        Self { store, tasks: Vec::new(), numbers: HashMap::new(), leases: Vec::new() }
    }

    /// The n-th task this store made.
    fn number(&mut self, id: TaskId) -> usize {
        *self.numbers.entry(id).or_insert_with(|| {
            self.tasks.push(id);
            self.tasks.len() - 1
        })
    }

    fn taken(&mut self, answer: Result<Enqueued, EnqueueError>) -> String {
        match answer {
            Ok(Enqueued::Accepted { id }) => format!("accepted {}", self.number(id)),
            Ok(Enqueued::Duplicate { id, state }) => format!("duplicate of {}, {state}", self.number(id)),
            Ok(Enqueued::Replaced { id }) => format!("replaced {}", self.number(id)),
            Ok(Enqueued::Debounced { id, run_at }) => format!("put off {} to {run_at}", self.number(id)),
            Err(EnqueueError::IdempotencyConflict { existing }) => {
                format!("conflict with {}", self.number(existing))
            }
            Err(other) => other.to_string(),
        }
    }

    fn lease_at(&self, index: usize) -> Option<Lease> {
        self.leases.iter().rev().nth(index).copied()
    }

    /// What the store answers, in words that do not depend on its ids.
    async fn answer(&mut self, call: &Call, clock: &ManualClock) -> String {
        use runtime_core::clock::Clock;
        let now = clock.now();
        match call {
            Call::Enqueue(new) => {
                let answers =
                    self.store.enqueue(new.iter().map(|new| build(new, now)).collect()).await.unwrap();
                answers.into_iter().map(|answer| self.taken(answer)).collect::<Vec<_>>().join("; ")
            }
            Call::EnqueueWhole(new) => {
                let tasks = new.iter().map(|new| build(new, now)).collect();
                match self.store.enqueue_whole(tasks, vec![]).await {
                    Ok(all) => all.into_iter().map(|one| self.taken(Ok(one))).collect::<Vec<_>>().join("; "),
                    Err(error) => self.taken(Err(error)),
                }
            }
            Call::Lease { queue, instance, up_to } => self.lease(*queue, *instance, *up_to, None).await,
            Call::LeaseNamed { task, instance } => {
                let Some(id) = self.tasks.get(*task).copied() else { return String::new() };
                self.lease(0, *instance, 1, Some(id)).await
            }
            Call::Settle(ends) => {
                let settlements: Vec<Settlement> = ends
                    .iter()
                    .filter_map(|(index, end)| Some(settlement(self.lease_at(*index)?, *end, now)))
                    .collect();
                let settled = self.store.settle(Arc::new(settlements)).await.unwrap();
                settled.into_iter().map(|settled| self.settled(settled)).collect::<Vec<_>>().join("; ")
            }
            Call::Extend(index) => {
                let Some(lease) = self.lease_at(*index) else { return String::new() };
                format!("{} lost", self.store.extend(vec![lease], LEASE).await.unwrap().len())
            }
            Call::Checkpoint(index) => {
                let Some(lease) = self.lease_at(*index) else { return String::new() };
                format!("{}", self.store.checkpoint(lease, Some(b"here".to_vec()), None).await.unwrap())
            }
            Call::BeginEffect { lease, content } => {
                let Some(lease) = self.lease_at(*lease) else { return String::new() };
                let begun =
                    self.store.begin_effect(lease, step(), EffectClass::Unkeyed, [*content; 32]).await;
                format!("{:?}", begun.unwrap())
            }
            Call::RecordEffect(index) => {
                let Some(lease) = self.lease_at(*index) else { return String::new() };
                format!("{}", self.store.record_effect(lease, step(), [0; 32], b"1".to_vec()).await.unwrap())
            }
            Call::Steer { task, command } => {
                let Some(id) = self.tasks.get(*task).copied() else { return String::new() };
                let command = match command {
                    0 => TaskCommand::Retry,
                    1 => TaskCommand::Approve,
                    2 => TaskCommand::Reject,
                    3 => TaskCommand::Cancel,
                    4 => TaskCommand::Replay { at: None, payload: None },
                    5 => TaskCommand::Replay {
                        at: Some(now + jiff::SignedDuration::from_secs(9)),
                        payload: None,
                    },
                    6 => TaskCommand::Replay { at: None, payload: Some(b"7".to_vec()) },
                    7 => TaskCommand::Delete { reason: "no".into() },
                    8 => TaskCommand::Reschedule { at: now + jiff::SignedDuration::from_secs(9) },
                    _ => TaskCommand::Discard { reason: "no".into() },
                };
                match self.store.steer(vec![(id, command)]).await.unwrap().remove(0) {
                    Ok(state) => state.to_string(),
                    Err(error) => error.to_string().replace(&id.to_string(), "it"),
                }
            }
            Call::PauseScope { queue: of, scope: number, paused } => {
                let was =
                    self.store.pause_scope(queue(*of), scope(*number), *paused, "why".into()).await.unwrap();
                format!("{was} {:?}", self.store.paused_scopes().await.unwrap())
            }
            Call::SetPolicy { queue: of, dead_head_blocks, lanes, fair, own_limits, shed } => {
                let limits = FlowLimits {
                    concurrency_per_key: NonZeroU32::new(2),
                    rate_per_key: Some(in_ten_seconds(3, 3)),
                    fair: *fair,
                };
                let lanes = lanes.then_some(LaneBy::Scope);
                let own = LimitOverride { concurrency: None, rate: Some(Limit::To(in_ten_seconds(1, 4))) };
                let overrides =
                    own_limits.then(|| (lane_of_scope(1), own)).into_iter().collect::<BTreeMap<_, _>>();
                let policy = QueuePolicy {
                    lanes,
                    limits,
                    overrides,
                    dead_head_blocks: *dead_head_blocks,
                    shed: *shed,
                };
                self.store.set_queue_policy(queue(*of), policy).await.unwrap();
                format!("{:?}", self.store.look_at_queue(queue(*of), 100).await.unwrap().policy)
            }
            Call::PauseDelay { queue: of, paused } => {
                self.store.pause_delay(queue(*of), *paused).await.unwrap();
                String::new()
            }
            Call::Override { queue: of, change } => {
                let said = self.store.override_queue(queue(*of), change.clone(), "why".into()).await.unwrap();
                format!("{said:?}; {:?}", self.store.overridden_queues().await.unwrap())
            }
            Call::Heads(of) => {
                let found = self.store.look_at_queue(queue(*of), 100).await.unwrap().heads;
                assert!(found.whole);
                let words = found.heads.into_iter().map(|head| {
                    format!("{} {} {} {}", head.key, self.number(head.task), head.state, head.waiting)
                });
                words.collect::<Vec<_>>().join("; ")
            }
            Call::StartOperation { queue: number, kind } => self.start_operation(*number, *kind, now).await,
            Call::StepOperation { operation, up_to, stale } => {
                // The newest ones, ended or not.
                let found = self.store.operations(None, 3).await.unwrap();
                match found.into_iter().nth(*operation) {
                    Some(found) => self.step_operation(found, *up_to, *stale).await,
                    None => String::new(),
                }
            }
            Call::WalkAndCount { queue: number, from } => {
                let filter = TaskFilter { queue: Some(queue(*number)), ..TaskFilter::default() };
                let after = self.tasks.get(*from).copied();
                let walked = self.store.walk(filter.clone(), after, 100).await.unwrap();
                let walked: Vec<usize> = walked.into_iter().map(|id| self.number(id)).collect();
                format!("{walked:?} {:?}", self.store.count(filter, u64::MAX).await.unwrap())
            }
            Call::Look(expr) => {
                let filter = TaskFilter::from((**expr).clone());
                let page = self.store.list(filter.clone(), None, 100).await.unwrap();
                let listed: Vec<usize> = page.tasks.iter().map(|task| self.number(task.id)).collect();
                let counted = self.store.count(filter.clone(), u64::MAX).await.unwrap();
                let dead = self.store.dead_groups(filter, u64::MAX).await.unwrap().total();
                assert_eq!(listed.len() as u64, counted.total(), "{expr:?}");
                format!("{listed:?} {counted:?} {dead}")
            }
            Call::DeadGroups => {
                let found = self.store.dead_groups(TaskFilter::default(), u64::MAX).await.unwrap();
                assert!(found.whole);
                let words = found.groups.into_iter().map(|group| {
                    let (example, count) = (self.number(group.example), group.count);
                    format!(
                        "{count} of {} by {} like {example}, {} to {}",
                        group.queue, group.code, group.oldest, group.newest
                    )
                });
                words.collect::<Vec<_>>().join("; ")
            }
            Call::PutSchedule { name, every, stale } => {
                let found = self.schedule(*name).await;
                let spec = schedule(*name, *every);
                let state = match &found {
                    Some(found) => found.state.clone(),
                    None => ScheduleState::new(DeclaredBy::RunTime, now),
                };
                let expected = found.map(|found| revision(&found, *stale));
                format!("{:?}", self.store.put_schedule(spec, state, expected).await.unwrap())
            }
            Call::DeleteSchedule { name, stale } => {
                let Some(found) = self.schedule(*name).await else { return String::new() };
                let revision = revision(&found, *stale);
                format!("{}", self.store.delete_schedule(found.spec.name, revision).await.unwrap())
            }
            Call::FireSchedule { name, stale } => match self.schedule(*name).await {
                Some(found) => self.fire(found, *stale, now).await,
                None => String::new(),
            },
            Call::Sweep => format!("{:?}", self.store.sweep().await.unwrap()),
            Call::Advance(_) | Call::Reopen => String::new(),
        }
    }

    async fn start_operation(&self, number: u8, kind: OperationKind, now: jiff::Timestamp) -> String {
        let filter = TaskFilter { queue: Some(queue(number)), ..TaskFilter::default() };
        let spec = OperationSpec {
            kind,
            filter: kind.select(filter, now).unwrap(),
            asked: String::new(),
            rate: None,
            reason: "no".into(),
            by: None,
            matched: 0,
        };
        format!("{:?}", self.store.start_operation(spec).await.unwrap())
    }

    /// The next batch; the end, when nothing is left.
    async fn step_operation(&mut self, found: Operation, up_to: usize, stale: bool) -> String {
        let tasks = self.store.walk(found.spec.filter.clone(), found.cursor, up_to).await.unwrap();
        let walked: Vec<usize> = tasks.iter().map(|id| self.number(*id)).collect();
        let step = OperationStep {
            id: found.id,
            revision: if stale { Revision(found.revision.0 - 1) } else { found.revision },
            cursor: tasks.last().copied().or(found.cursor),
            state: if tasks.is_empty() { OperationState::Done } else { OperationState::Running },
            tasks,
            wait: Duration::from_secs(1),
            error: None,
        };
        match self.store.step_operation(step).await.unwrap() {
            Stepped::Conflict => format!("{walked:?} conflict"),
            Stepped::Done { mut operation, under_way } => {
                let under_way: Vec<usize> = under_way.into_iter().map(|id| self.number(id)).collect();
                operation.cursor = operation.cursor.map(|id| self.plain_id(id));
                format!("{walked:?} {operation:?} {under_way:?}")
            }
        }
    }

    async fn schedule(&self, name: u8) -> Option<StoredSchedule> {
        let name = schedule(name, 1).name;
        self.store.schedules().await.unwrap().into_iter().find(|found| found.spec.name == name)
    }

    /// What the rules decide now, carried out.
    async fn fire(&mut self, found: StoredSchedule, stale: bool, now: jiff::Timestamp) -> String {
        let last = match found.state.last_task {
            Some(id) => self.store.get(vec![id]).await.unwrap().remove(0),
            None => None,
        };
        let running = last.is_some_and(|task| !task.state.is_finished());
        let decision = decide(&found.spec, &found.state, now, running);
        let firing = Firing {
            name: found.spec.name.clone(),
            revision: revision(&found, stale),
            state: decision.state,
            tasks: decision.fire.iter().map(|tick| found.spec.task(tick, Ok).expect("a task")).collect(),
        };
        match self.store.fire(firing).await {
            Ok(Fired::Done { revision, tasks }) => {
                let taken: Vec<String> = tasks.into_iter().map(|task| self.taken(Ok(task))).collect();
                format!("{revision:?}: {}", taken.join("; "))
            }
            Ok(Fired::Conflict) => "conflict".into(),
            Err(error) => self.taken(Err(error)),
        }
    }

    async fn lease(&mut self, number: u8, holder: u8, up_to: usize, task: Option<TaskId>) -> String {
        let instance = InstanceName::new(format!("instance-{holder}")).unwrap();
        let leased = self
            .store
            .lease(LeaseAsk { queue: queue(number), instance, up_to, lease_for: LEASE, task })
            .await
            .unwrap();
        let mut words = Vec::new();
        for leased in leased {
            self.leases.push(leased.lease);
            words.push(format!(
                "{} at {} as {:?}",
                self.number(leased.lease.task),
                leased.lease.epoch.0,
                self.plain(*leased.task)
            ));
        }
        words.join("; ")
    }

    fn settled(&mut self, settled: Settled) -> String {
        match settled {
            Settled::Applied { state, follow_ups } => {
                let follow_ups: Vec<usize> = follow_ups.into_iter().map(|id| self.number(id)).collect();
                format!("{state} {follow_ups:?}")
            }
            Settled::Stale => "stale".into(),
            Settled::Undone { error } => format!("undone {}", error.code),
        }
    }

    fn plain_id(&self, id: TaskId) -> TaskId {
        TaskId::new(jiff::Timestamp::UNIX_EPOCH, 0, self.numbers[&id] as u64)
    }

    /// A task without what differs between stores.
    fn plain(&self, mut task: Task) -> Task {
        task.id = self.plain_id(task.id);
        task.held =
            task.held.map(|held| Held { behind: held.behind.map(|head| self.plain_id(head)), ..held });
        task
    }

    async fn everything(
        &self,
    ) -> (Vec<Task>, Vec<Vec<AttemptRecord>>, Vec<(QueueName, Vec<u64>, Option<Shedding>)>) {
        let page = self.store.list(TaskFilter::default(), None, 100).await.unwrap();
        let mut attempts = Vec::new();
        for task in &page.tasks {
            attempts.push(self.store.attempts(task.id).await.unwrap());
        }
        let mut stats: Vec<_> = self.store.queue_stats().await.unwrap();
        stats.retain(|stats| TaskState::ALL.into_iter().any(|state| stats.counts.of(state) > 0));
        let counts = stats
            .into_iter()
            .map(|stats| {
                let counts = TaskState::ALL.into_iter().map(|state| stats.counts.of(state)).collect();
                (stats.queue, counts, stats.shed.shedding)
            })
            .collect();
        (page.tasks.into_iter().map(|task| self.plain(task)).collect(), attempts, counts)
    }
}

fn queue(number: u8) -> QueueName {
    QueueName::new(format!("queue-{number}")).unwrap()
}

fn scope(number: u8) -> Scope {
    Scope::new(format!("store={number}")).unwrap()
}

fn ordering_key(number: u8) -> OrderingKey {
    OrderingKey::new(format!("customer-{number}")).unwrap()
}

/// Tasks that may run beside each other, and all that were missed within a minute.
fn schedule(name: u8, every: u32) -> ScheduleSpec {
    let timing = Timing::every(Duration::from_secs(every.into())).unwrap();
    let name = format!("schedule-{name}").parse().unwrap();
    let route = bare(0, 0).route.as_ref().clone();
    ScheduleSpec {
        overlap: OverlapPolicy::BufferOne,
        catch_up: CatchUpPolicy::All { window_secs: 60 },
        ..ScheduleSpec::new(name, route, serde_json::json!(1), timing)
    }
}

fn revision(found: &StoredSchedule, stale: bool) -> Revision {
    if stale { Revision(found.revision.0 - 1) } else { found.revision }
}

fn in_ten_seconds(tokens: u32, burst: u32) -> RateLimit {
    let of = |number| NonZeroU32::new(number).unwrap();
    RateLimit::new(of(tokens), Duration::from_secs(10), of(burst)).unwrap()
}

/// The lane of [`LaneBy::Scope`].
fn lane_of_scope(number: u8) -> FlowKey {
    FlowKey::new(scope(number).as_str()).unwrap()
}

fn step() -> StepName {
    StepName::new("send").unwrap()
}

fn bare(number: u8, content: u8) -> NewTask {
    let route = Route {
        app: AppName::new("app").unwrap(),
        queue: queue(number),
        handler: HandlerName::new("handler").unwrap(),
    };
    NewTask::new(Arc::new(route), vec![b'0' + content])
}

fn build(new: &New, now: jiff::Timestamp) -> NewTask {
    let in_seconds = |seconds: u8| now + jiff::SignedDuration::from_secs(i64::from(seconds));
    NewTask {
        idempotency_key: new.key.map(|key| IdempotencyKey::new(format!("key-{key}")).unwrap()),
        run_at: (new.delay > 0).then(|| in_seconds(new.delay)),
        deadline: new.deadline.map(in_seconds),
        priority: Priority(new.priority),
        weight: NonZeroU32::new(new.weight).unwrap(),
        unique: new.unique,
        max_attempts: NonZeroU32::new(new.max_attempts).unwrap(),
        ordering_key: new.ordering.map(ordering_key),
        scope: new.scope.map(scope),
        asked_by_name: new.asked_by_name,
        ..bare(new.queue, new.content)
    }
}

fn settlement(lease: Lease, end: End, now: jiff::Timestamp) -> Settlement {
    let error = || TaskError::retryable("no");
    let mut with = None;
    let outcome = match end {
        End::Done => Outcome::Done { output: b"{}".to_vec() },
        End::DoneWithFollowUp { key, content, unique, ordering } => {
            let key = IdempotencyKey::new(format!("key-{key}")).unwrap();
            let follow_up = NewTask { unique, ..bare(1, content).keyed(key) };
            with = Some(Box::new(SettleWith {
                follow_ups: vec![
                    NewTask { ordering_key: Some(ordering_key(ordering)), ..bare(0, 0) },
                    follow_up,
                ],
                ..SettleWith::default()
            }));
            Outcome::Done { output: b"{}".to_vec() }
        }
        End::RetryNow => Outcome::Retry { error: error(), after: Duration::ZERO },
        End::RetryLater => Outcome::Retry { error: error(), after: Duration::from_secs(7) },
        End::Reject => Outcome::Reject { error: error() },
        End::Snooze => Outcome::Snooze { wait: Duration::from_secs(5) },
        End::Park => Outcome::Park { reason: ParkReason::NeedsDecision { question: "?".into() } },
        End::ParkUnknown => Outcome::Park { reason: ParkReason::EffectUnknown { step: step() } },
        End::Cancel => Outcome::Cancel { reason: "no".into() },
        End::Release => Outcome::Released { reason: ReleaseReason::Shutdown },
    };
    let node = Some("/engine/apps/app/workers/worker".parse().unwrap());
    Settlement { lease, outcome, with, node, started_at: now, took: Duration::from_millis(3), trace: None }
}

/// What is known of the load of a queue is lost with the process: both begin anew.
async fn forget_loads(store: &Arc<dyn Store>) {
    for number in 0..2 {
        let policy = store.look_at_queue(queue(number), 100).await.unwrap().policy;
        let without = QueuePolicy { shed: None, ..policy.clone() };
        store.set_queue_policy(queue(number), without).await.unwrap();
        store.set_queue_policy(queue(number), policy).await.unwrap();
        store.pause_delay(queue(number), true).await.unwrap();
        store.pause_delay(queue(number), false).await.unwrap();
    }
}

/// `lanes`: whether queues have any. Whose turn it is, is lost with the process, so then none is reopened.
async fn agree(calls: Vec<Call>, lanes: bool) {
    let clock = Arc::new(ManualClock::new());
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let instance = InstanceName::new("instance-0").unwrap();
        let mut options = SqliteOptions::new(folder.path().join("store.db"), instance, clock.clone());
        (options.limits, options.retention) = (LIMITS, RETENTION);
        // What is compared here is answers, not what a power cut leaves.
        options.synchronous = Synchronous::Off;
        SqliteStore::open(options).unwrap()
    };
    let mut model = Side::new(Arc::new(MemoryStore::with_retention(clock.clone(), LIMITS, RETENTION)));
    let mut sqlite = Side::new(Arc::new(open()));
    for (index, call) in calls.iter().enumerate() {
        match call {
            Call::Advance(seconds) => clock.advance(Duration::from_secs(u64::from(*seconds))),
            Call::SetPolicy { lanes: true, .. } if !lanes => {}
            Call::Reopen if lanes => {}
            Call::Reopen => {
                // Leases would be released by opening, and nobody would be held back: let both run out first.
                clock.advance(LEASE * 4);
                let swept = (model.store.sweep().await.unwrap(), sqlite.store.sweep().await.unwrap());
                assert_eq!(swept.0, swept.1, "call {index}");
                sqlite.store = Arc::new(MemoryStore::new(clock.clone(), LIMITS));
                sqlite.store = Arc::new(open());
                forget_loads(&model.store).await;
                forget_loads(&sqlite.store).await;
            }
            _ => {
                let answers = (model.answer(call, &clock).await, sqlite.answer(call, &clock).await);
                assert_eq!(answers.0, answers.1, "call {index}: {call:?}");
            }
        }
    }
    assert_eq!(model.everything().await, sqlite.everything().await);
}

proptest! {
    #![proptest_config(chance::cases(64))]

    #[test]
    fn the_embedded_store_answers_as_its_model(calls in vec(call(), 1..80), lanes in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(agree(calls, lanes));
    }
}
