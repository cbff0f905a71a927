//! A store as it looks after years: most of everything in few places, and a little of it everywhere.

use std::sync::Arc;
use std::time::Duration;

use runtime::Setup;
use runtime::core::audit::{AuditKind, AuditOutcome, AuditSubject};
use runtime::core::clock::Clock;
use runtime::core::error::{ErrorCode, TaskError};
use runtime::core::name::{InstanceName, Route};
use runtime::core::operation::{OperationKind, OperationSpec, OperationState};
use runtime::core::outcome::{Outcome, ParkReason, Settlement};
use runtime::core::schedule::{DeclaredBy, ScheduleSpec, ScheduleState, Timing};
use runtime::core::store::{Begun, LeaseAsk, Remembered, Store, TaskFilter};
use runtime::core::task::{NewTask, TaskId};
use runtime::stores::SystemClock;

/// App, queue, and how many of a hundred tasks are in it. No worker of the bench takes from them.
const QUEUES: [(&str, &str, u64); 4] =
    [("shop", "mail", 70), ("shop", "orders", 20), ("books", "loans", 9), ("books", "quiet", 1)];

/// Tasks of one batch.
const BATCH: u64 = 1_000;

/// Of a hundred tasks of a batch: leased, and of these done, dead, parked; the rest of the leased ones is cancelled.
const ENDS: [u64; 4] = [56, 44, 9, 2];

/// How much of everything there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    pub(crate) tasks: u64,
    pub(crate) audit_entries: u64,
    pub(crate) schedules: u64,
    pub(crate) operations: u64,
}

/// Fills the store, and names one of its tasks.
pub(crate) async fn fill(store: &dyn Store, amounts: &Amounts) -> TaskId {
    fill_audit_log(store, amounts.audit_entries).await;
    fill_schedules(store, amounts.schedules).await;
    fill_operations(store, amounts.operations).await;
    fill_tasks(store, amounts.tasks).await
}

async fn fill_tasks(store: &dyn Store, tasks: u64) -> TaskId {
    let instance: InstanceName = "filler".parse().expect("a name");
    let mut last = None;
    for batch in 0..tasks / BATCH {
        let (app, queue) = place(batch % 100);
        let route = Arc::new(Route {
            app: app.parse().expect("a name"),
            queue: queue.parse().expect("a name"),
            handler: "handle".parse().expect("a name"),
        });
        let made = (0..BATCH).map(|number| task(&route, batch * BATCH + number)).collect();
        let answers = store.enqueue(made).await.expect("enqueued");
        last = answers.into_iter().next_back().map(|answer| answer.expect("taken").id());
        let ask = LeaseAsk {
            queue: route.queue.clone(),
            instance: instance.clone(),
            up_to: usize::try_from(BATCH * ENDS[0] / 100).expect("a count"),
            lease_for: Duration::from_secs(3_600),
            task: None,
        };
        let leased = store.lease(ask).await.expect("leased");
        let now = SystemClock.now();
        let settlement = |(number, leased): (u64, runtime::core::task::LeasedTask)| Settlement {
            lease: leased.lease,
            outcome: outcome(number),
            with: None,
            node: None,
            started_at: now,
            took: Duration::from_millis(7),
            trace: None,
        };
        let settlements: Vec<Settlement> = (0..).zip(leased).map(settlement).collect();
        store.settle(Arc::new(settlements)).await.expect("settled");
    }
    last.expect("a task")
}

/// Mutations of a few principals, and as many denials.
async fn fill_audit_log(store: &dyn Store, entries: u64) {
    let write = async |number: u64| {
        let denial = number % 2 == 1;
        let subject = AuditSubject {
            kind: if denial { AuditKind::Denial } else { AuditKind::Mutation },
            principal: if number.is_multiple_of(50) { "ann" } else { "bob" }.parse().ok(),
            token: None,
            method: ["QueueService/PauseQueue", "TaskService/RetryTask", "TreeService/StopNode"]
                [usize::try_from(number / 2 % 3).expect("a small number")]
            .to_owned(),
            resource: format!("queues/q{}", number % 100),
            reason: "as told".into(),
            request_id: None,
            peer: "127.0.0.1:4242".into(),
            trace_id: None,
            unwritten: 0,
        };
        if denial {
            let refused = AuditOutcome { canonical: "PERMISSION_DENIED".into(), error: None };
            store.write_denial(subject, refused).await.expect("written");
        } else if let Begun::Written(position) =
            store.begin_mutation(subject, [0; 32]).await.expect("written")
        {
            store.end_mutation(position, AuditOutcome::ok(), Remembered::Nothing).await.expect("written");
        }
    };
    for first in (0..entries).step_by(1_000) {
        futures_util::future::join_all((first..(first + 1_000).min(entries)).map(write)).await;
    }
}

/// Schedules of the worker beside, whose first tick is years away.
async fn fill_schedules(store: &dyn Store, schedules: u64) {
    let route = Setup::route_of("bench", "noop").expect("valid names");
    let start = SystemClock.now() + Duration::from_hours(24 * 365 * 3);
    for number in 0..schedules {
        let timing = Timing::every(Duration::from_secs(3_600)).expect("an interval");
        let name = format!("every-{number:04}").parse().expect("a name");
        let input = serde_json::json!({ "id": number });
        let spec =
            ScheduleSpec { start: Some(start), ..ScheduleSpec::new(name, (*route).clone(), input, timing) };
        let state = ScheduleState::new(DeclaredBy::RunTime, SystemClock.now());
        store.put_schedule(spec, state, None).await.expect("written");
    }
}

/// Operations that ended.
async fn fill_operations(store: &dyn Store, operations: u64) {
    for number in 0..operations {
        let kind = OperationKind::Replay;
        let filter = TaskFilter { scope: format!("store={number}").parse().ok(), ..TaskFilter::default() };
        let spec = OperationSpec {
            kind,
            filter: kind.select(filter, SystemClock.now()).expect("something can fit"),
            asked: format!("scope=store={number}"),
            rate: None,
            reason: "as told".into(),
            by: "ann".parse().ok(),
            matched: 0,
        };
        let begun = store.start_operation(spec).await.expect("written");
        store.step_operation(begun.end(OperationState::Done, None)).await.expect("written");
    }
}

fn place(of_a_hundred: u64) -> (&'static str, &'static str) {
    let mut below = 0;
    for (app, queue, share) in QUEUES {
        below += share;
        if of_a_hundred < below {
            return (app, queue);
        }
    }
    (QUEUES[0].0, QUEUES[0].1)
}

fn task(route: &Arc<Route>, number: u64) -> NewTask {
    // The same in every run, and without an order.
    let chance = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33;
    let tenant = match chance % 100_000 {
        0 => "rare".to_owned(),
        // Six of ten are one tenant's; the others are t6 to t9.
        chance if chance % 10 < 6 => "t0".to_owned(),
        chance => format!("t{}", chance % 10),
    };
    let scope = match chance % 100_003 {
        0..3 => Some(format!("depot={chance}")),
        chance if chance % 10 < 7 => Some(format!("store={}", chance % 2_003)),
        _ => None,
    };
    let payload = format!("{{\"id\":{number},\"note\":\"{}\"}}", "x".repeat(60)).into_bytes();
    NewTask {
        tenant: tenant.parse().ok(),
        scope: scope.and_then(|scope| scope.parse().ok()),
        run_at: (chance % 10 == 9).then(|| SystemClock.now() + Duration::from_secs(86_400)),
        ..NewTask::new(route.clone(), payload)
    }
}

fn outcome(number: u64) -> Outcome {
    let [_, done, dead, parked] = ENDS.map(|share| share * BATCH / 100);
    if number < done {
        Outcome::Done { output: b"{}".to_vec() }
    } else if number < done + dead {
        let code = match number % 50 {
            0 => ErrorCode::Poison,
            1..10 => ErrorCode::InvalidInput,
            10..25 => ErrorCode::HandlerFailed,
            _ => ErrorCode::HandlerRejected,
        };
        Outcome::Reject { error: TaskError::new(code, "the peer said no") }
    } else if number < done + dead + parked {
        Outcome::Park { reason: ParkReason::NeedsDecision { question: "well?".into() } }
    } else {
        Outcome::Cancel { reason: "no longer needed".into() }
    }
}
