//! What lies outside the platform: a place where work is found and marked, somebody who hears of facts, a server, a thing to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::event::{EventSubscriber, StoredEvent};
use runtime_core::health::HealthCheck;
use runtime_core::name::{IdempotencyKey, SourceName};
use runtime_core::node::Health;
use runtime_core::source::{Finished, Found, Source};
use runtime_core::task::{NewTask, TaskState};
use tokio::sync::{Notify, watch};

use super::route;
use crate::health::HealthPlan;
use crate::runtime::MakeServe;
use crate::server::Serving;
use crate::source_pump::SourcePlan;

/// Things that lie about outside until they are marked.
#[derive(Default)]
pub(crate) struct Outside {
    there: Mutex<BTreeSet<String>>,
    marked: Mutex<BTreeMap<String, Vec<TaskState>>>,
    arrived: Notify,
    /// How often a source came to look.
    pub(crate) opened: AtomicUsize,
    /// What the next calls of a source do instead of their work.
    pub(crate) trouble: Mutex<Vec<Trouble>>,
    count: watch::Sender<usize>,
}

/// What can befall a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The place cannot be reached.
    Open,
    /// Looking fails.
    Next,
    /// Looking panics.
    Panic,
    /// Marking fails.
    Mark,
}

impl Outside {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Puts things there.
    pub(crate) fn put(&self, names: impl IntoIterator<Item = String>) {
        self.there.lock().unwrap().extend(names);
        self.arrived.notify_one();
    }

    /// How often each thing was marked, and as what.
    pub(crate) fn marks(&self) -> BTreeMap<String, Vec<TaskState>> {
        self.marked.lock().unwrap().clone()
    }

    /// Waits until so many things are marked.
    pub(crate) async fn marked(&self, count: usize) {
        self.count
            .subscribe()
            .wait_for(|marked| *marked >= count)
            .await
            .expect("the outside outlives its waiters");
    }

    /// A source over it, for the worker of this name.
    pub(crate) fn source(self: &Arc<Self>, name: &str, worker: &'static str) -> SourcePlan {
        let outside = self.clone();
        SourcePlan {
            name: SourceName::new(name).expect("a name"),
            build: Arc::new(move || {
                Box::new(Looker { outside: outside.clone(), worker, seen: BTreeSet::new() })
            }),
        }
    }

    fn troubled(&self, trouble: Trouble) -> bool {
        let mut waiting = self.trouble.lock().unwrap();
        let found = waiting.iter().position(|waits| *waits == trouble);
        found.map(|at| waiting.remove(at)).is_some()
    }

    fn trouble(&self, trouble: Trouble) -> Result<(), TaskError> {
        if self.troubled(trouble) {
            return Err(TaskError::new(ErrorCode::SourceUnavailable, format!("{trouble:?}")));
        }
        Ok(())
    }
}

struct Looker {
    outside: Arc<Outside>,
    worker: &'static str,
    seen: BTreeSet<String>,
}

#[async_trait]
impl Source for Looker {
    async fn open(&mut self) -> Result<(), TaskError> {
        self.outside.trouble(Trouble::Open)?;
        self.outside.opened.fetch_add(1, Ordering::Relaxed);
        self.seen.clear();
        Ok(())
    }

    async fn next(&mut self, up_to: usize) -> Result<Vec<Found>, TaskError> {
        loop {
            let arrived = self.outside.arrived.notified();
            self.outside.trouble(Trouble::Next)?;
            assert!(!self.outside.troubled(Trouble::Panic), "the source panics");
            let fresh: Vec<String> =
                self.outside.there.lock().unwrap().difference(&self.seen).take(up_to).cloned().collect();
            if !fresh.is_empty() {
                self.seen.extend(fresh.iter().cloned());
                return Ok(fresh
                    .into_iter()
                    .map(|name| Found {
                        key: IdempotencyKey::new(&name).expect("a key"),
                        task: NewTask::new(route(self.worker), format!("{name:?}").into_bytes()),
                        writes: Vec::new(),
                    })
                    .collect());
            }
            arrived.await;
        }
    }

    async fn finished(&mut self, finished: &[Finished]) -> Result<(), TaskError> {
        self.outside.trouble(Trouble::Mark)?;
        for Finished { key, state, .. } in finished {
            self.outside.there.lock().unwrap().remove(key.as_str());
            self.outside.marked.lock().unwrap().entry(key.to_string()).or_default().push(*state);
        }
        self.outside.count.send_replace(self.outside.marked.lock().unwrap().len());
        Ok(())
    }
}

/// Somebody who hears of facts.
#[derive(Default)]
pub(crate) struct Facts {
    heard: Mutex<Vec<StoredEvent>>,
    /// What the next deliveries do instead of taking them.
    pub(crate) trouble: Mutex<Vec<Refusal>>,
    count: watch::Sender<usize>,
}

/// How a delivery goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Error,
    Panic,
    Hang,
}

impl Facts {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Everything heard, in the order of hearing.
    pub(crate) fn heard(&self) -> Vec<StoredEvent> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until so many facts, repeated ones included, were heard.
    pub(crate) async fn until(&self, count: usize) {
        self.count.subscribe().wait_for(|heard| *heard >= count).await.expect("facts outlive their waiters");
    }
}

#[async_trait]
impl EventSubscriber for Facts {
    async fn deliver(&self, events: &[StoredEvent]) -> Result<(), TaskError> {
        let refusal = self.trouble.lock().unwrap().pop();
        match refusal {
            Some(Refusal::Error) => return Err(TaskError::retryable("not now")),
            Some(Refusal::Panic) => panic!("the subscriber panics"),
            Some(Refusal::Hang) => std::future::pending().await,
            None => {}
        }
        let mut heard = self.heard.lock().unwrap();
        heard.extend(events.iter().cloned());
        self.count.send_replace(heard.len());
        Ok(())
    }
}

/// A server that listens to nobody.
pub(crate) fn listening() -> MakeServe {
    Box::new(|_control| {
        Arc::new(|mut serving: Serving| {
            Box::pin(async move {
                serving.listening();
                serving.stop.cancelled().await;
                Ok(())
            })
        })
    })
}

/// A reporter that looks every second.
pub(crate) fn reporter(name: &str, check: impl HealthCheck) -> HealthPlan {
    HealthPlan {
        name: name.to_owned(),
        check: Arc::new(check),
        every: Duration::from_secs(1),
        within: Duration::from_millis(500),
    }
}

/// Always well.
pub(crate) struct Well;

#[async_trait]
impl HealthCheck for Well {
    async fn check(&self) -> Health {
        Health::Healthy
    }
}
