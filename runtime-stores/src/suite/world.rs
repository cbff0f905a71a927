//! What every case works with: a store, its clock, and short words for what is said often.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::clock::Clock;
use runtime_core::error::TaskError;
use runtime_core::limits::StoreLimits;
use runtime_core::name::{AppName, HandlerName, IdempotencyKey, InstanceName, QueueName, Route};
use runtime_core::outcome::{Outcome, Settled, Settlement};
use runtime_core::store::{EnqueueError, Enqueued, LeaseAsk, Store};
use runtime_core::task::{Lease, LeasedTask, NewTask, Task, TaskId, TaskState};

use super::{Backend, Setup};
use crate::retention::Retention;

/// A store and its surroundings.
pub(super) struct World {
    pub(super) store: Arc<dyn Store>,
    pub(super) setup: Setup,
    backend: Box<dyn Backend>,
}

pub(super) const LEASE: Duration = Duration::from_secs(30);

impl World {
    pub(super) async fn new(mut backend: Box<dyn Backend>) -> Self {
        let setup = Setup {
            clock: Arc::default(),
            limits: StoreLimits { max_payload_bytes: 4096, max_batch: 500, queue_capacity: 300 },
            retention: Retention {
                keep_finished_for: Duration::from_secs(3_600),
                keep_finished_at_most: 50,
                keep_dead_for: Duration::from_secs(7_000),
                keep_dead_at_most: 20,
                keep_keys_for: Duration::from_secs(7_200),
                keep_audit_for: Duration::from_hours(48),
                keep_audit_at_most: 5,
            },
            instance: instance("one"),
        };
        let store = backend.open(&setup).await.expect("an empty store opens");
        Self { store, setup, backend }
    }

    /// The process dies; `next` opens what it left.
    pub(super) async fn crash_into(self, next: &str) -> Self {
        let Self { store, mut setup, mut backend } = self;
        drop(store);
        setup.instance = instance(next);
        let store = backend.open(&setup).await.expect("what a dead process left opens");
        Self { store, setup, backend }
    }

    /// The process ends in order; `next` opens what it left.
    pub(super) async fn close_into(self, next: &str) -> Self {
        self.store.close().await.expect("the store closes");
        self.crash_into(next).await
    }

    pub(super) fn now(&self) -> Timestamp {
        self.setup.clock.now()
    }

    pub(super) fn later(&self, by: Duration) -> Timestamp {
        self.now() + jiff::SignedDuration::try_from(by).expect("a test's wait fits")
    }

    pub(super) fn advance(&self, by: Duration) {
        self.setup.clock.advance(by);
    }

    pub(super) async fn put(&self, task: NewTask) -> Result<Enqueued, EnqueueError> {
        let mut answers = self.store.enqueue(vec![task]).await.expect("the store answers");
        assert_eq!(answers.len(), 1, "one answer a task");
        answers.remove(0)
    }

    pub(super) async fn put_new(&self, task: NewTask) -> TaskId {
        match self.put(task).await {
            Ok(Enqueued::Accepted { id }) => id,
            other => panic!("expected a new task, got {other:?}"),
        }
    }

    pub(super) async fn lease_as(&self, holder: &str, from: &str, up_to: usize) -> Vec<LeasedTask> {
        let ask =
            LeaseAsk { queue: queue(from), instance: instance(holder), up_to, lease_for: LEASE, task: None };
        self.store.lease(ask).await.expect("the store answers")
    }

    pub(super) async fn lease(&self, up_to: usize) -> Vec<LeasedTask> {
        let holder = self.setup.instance.clone();
        self.lease_as(holder.as_str(), "work", up_to).await
    }

    pub(super) async fn lease_one(&self) -> LeasedTask {
        let mut leased = self.lease(1).await;
        assert_eq!(leased.len(), 1, "a task is ready");
        leased.remove(0)
    }

    pub(super) async fn settle(&self, lease: Lease, outcome: Outcome) -> Settled {
        self.settle_all(vec![self.settlement(lease, outcome)]).await.remove(0)
    }

    pub(super) async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Settled> {
        let asked = settlements.len();
        let settled = self.store.settle(Arc::new(settlements)).await.expect("the store answers");
        assert_eq!(settled.len(), asked, "one answer a settlement");
        settled
    }

    pub(super) fn settlement(&self, lease: Lease, outcome: Outcome) -> Settlement {
        Settlement {
            lease,
            outcome,
            with: None,
            node: None,
            started_at: self.now(),
            took: Duration::from_millis(7),
            trace: None,
        }
    }

    pub(super) async fn find(&self, id: TaskId) -> Option<Task> {
        self.store.get(vec![id]).await.expect("the store answers").remove(0)
    }

    pub(super) async fn get(&self, id: TaskId) -> Task {
        self.find(id).await.expect("the task is known")
    }

    pub(super) async fn state(&self, id: TaskId) -> TaskState {
        self.get(id).await.state
    }

    pub(super) async fn count(&self, of: &str, state: TaskState) -> u64 {
        let stats = self.store.queue_stats().await.expect("the store answers");
        stats.iter().find(|stats| stats.queue == queue(of)).map_or(0, |stats| stats.counts.of(state))
    }
}

pub(super) fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a test's name is valid")
}

pub(super) fn instance(name: &str) -> InstanceName {
    InstanceName::new(name).expect("a test's name is valid")
}

pub(super) fn route_to(name: &str) -> Arc<Route> {
    let app = AppName::new("shop").expect("a test's name is valid");
    Arc::new(Route {
        app,
        queue: queue(name),
        handler: HandlerName::new("handle").expect("a test's name is valid"),
    })
}

pub(super) fn task_to(name: &str, number: u32) -> NewTask {
    NewTask::new(route_to(name), format!("{{\"n\":{number}}}").into_bytes())
}

pub(super) fn task(number: u32) -> NewTask {
    task_to("work", number)
}

pub(super) fn keyed(number: u32, key: &str) -> NewTask {
    task(number).keyed(IdempotencyKey::new(key).expect("a test's key is valid"))
}

pub(super) fn done() -> Outcome {
    Outcome::Done { output: b"{}".to_vec() }
}

pub(super) fn retry_after(after: Duration) -> Outcome {
    Outcome::Retry { error: TaskError::retryable("not yet"), after }
}

pub(super) fn attempts(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a test asks for an attempt")
}

pub(super) fn applied(state: TaskState) -> Settled {
    Settled::Applied { state, follow_ups: Vec::new() }
}
