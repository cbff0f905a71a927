//! A store as it looks after years: most of everything in few places, and a little of it everywhere.

use std::sync::Arc;
use std::time::Duration;

use runtime::core::clock::Clock;
use runtime::core::error::{ErrorCode, TaskError};
use runtime::core::name::{InstanceName, Route};
use runtime::core::outcome::{Outcome, ParkReason, Settlement};
use runtime::core::store::{LeaseAsk, Store};
use runtime::core::task::{NewTask, TaskId};
use runtime::stores::SystemClock;

/// App, queue, and how many of a hundred tasks are in it. No worker of the bench takes from them.
const QUEUES: [(&str, &str, u64); 4] =
    [("shop", "mail", 70), ("shop", "orders", 20), ("books", "loans", 9), ("books", "quiet", 1)];

/// Tasks of one batch.
const BATCH: u64 = 1_000;

/// Of a hundred tasks of a batch: leased, and of these done, dead, parked; the rest of the leased ones is cancelled.
const ENDS: [u64; 4] = [56, 44, 9, 2];

/// Fills the store, and names one of its tasks.
pub(crate) async fn fill(store: &dyn Store, tasks: u64) -> TaskId {
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
