//! Each actor through its message handlers, with a probe in place of the framework.

mod endpoint;
mod executor;
mod facet;
mod platform;

use std::sync::Arc;

use runtime_core::limits::StoreLimits;
use runtime_core::node::NodeKind;
use runtime_core::store::Store;
use runtime_core::task::{NewTask, TaskId, TaskState};
use runtime_stores::MemoryStore;
use tokio::sync::oneshot;

use super::kit::{FaultyStore, PausedClock, Probe, Worlds, from_fn, route, worker};
use crate::attempt::WorkerRun;
use crate::executor::{ExecutorMsg, TaskExecutorActor};
use crate::platform::Platform;
use crate::services::breakers::Breakers;
use crate::table::NodeAddress;

/// Where nodes are taken apart: a store and what nodes share, without a tree.
struct Bench {
    store: Arc<FaultyStore>,
    platform: Arc<Platform>,
}

/// Those of an app without dependencies.
fn no_breakers(platform: &Platform) -> Arc<Breakers> {
    let app = Worlds::new().app;
    Breakers::of(&app, platform.clock.clone(), platform.journal.clone(), |_| {
        unreachable!("there is no worker")
    })
}

impl Bench {
    fn new() -> Self {
        let clock = PausedClock::new();
        let store = FaultyStore::new(Arc::new(MemoryStore::new(clock.clone(), StoreLimits::default())));
        let platform = super::kit::platform(store.clone() as Arc<dyn Store>, clock);
        Self { store, platform }
    }

    /// An executor that is not started, with so many slots and a handler that never ends.
    async fn executor(&self, slots: usize) -> (TaskExecutorActor, Probe<ExecutorMsg>, Arc<WorkerRun>) {
        let probe = Probe::at(&self.platform, "/greet", NodeKind::Executor).await;
        let plan = worker("greet", slots, from_fn(async |_| std::future::pending().await));
        let run = Arc::new(WorkerRun {
            platform: self.platform.clone(),
            descriptor: plan.descriptor.clone(),
            handler: plan.handler,
            breakers: no_breakers(&self.platform),
            executor: NodeAddress::of(probe.node.entry().clone()),
        });
        (TaskExecutorActor::new(run.clone(), plan.descriptor.slots), probe, run)
    }

    async fn enqueue(&self, count: usize) -> Vec<TaskId> {
        let tasks = (0..count).map(|_| NewTask::new(route("greet"), b"null".to_vec())).collect();
        let answers = self.store.inner().enqueue(tasks).await.unwrap();
        answers.into_iter().map(|answer| answer.unwrap().id()).collect()
    }

    async fn state(&self, id: TaskId) -> TaskState {
        self.store.inner().get(vec![id]).await.unwrap().pop().flatten().unwrap().state
    }

    /// Writes what waits to be written.
    async fn settle(&self) {
        while self
            .platform
            .completion
            .flush(&*self.platform.store, &self.platform.leases)
            .await
            .unwrap()
            .is_some()
        {}
    }
}

/// Whatever was answered by now; `None` when nothing was.
fn answered<T>(answer: &mut oneshot::Receiver<T>) -> Option<T> {
    answer.try_recv().ok()
}

fn slots(probe: &Probe<ExecutorMsg>) -> (u64, u64) {
    probe.node.entry().view().slots.unwrap()
}
