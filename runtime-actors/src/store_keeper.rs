//! The store's node: extends this instance's leases, sweeps, and closes the back end last of all.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::journal::{Changed, Changes, Entry, EventType, Subject, Value};
use runtime_core::node::{Health, NodeKind, NodePath};
use runtime_core::supervision::Fault;
use runtime_core::task::Lease;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::executor::ExecutorMsg;
use crate::node::{Myself, NodeActor, NodeContext, Progress};
use crate::platform::Platform;
use crate::table::NodeAddress;

/// What the store's node is told.
pub(crate) enum StoreMsg {
    /// Leases were extended; these are lost.
    Extended {
        /// They.
        lost: Vec<Lease>,
    },
    /// The store does its chores again, or fails at them.
    Swept(Result<(), String>),
}

/// The logic of the store's node.
pub(crate) struct StoreActor {
    platform: Arc<Platform>,
    tasks: JoinSet<()>,
}

impl StoreActor {
    pub(crate) fn new(platform: Arc<Platform>) -> Self {
        Self { platform, tasks: JoinSet::new() }
    }
}

#[async_trait]
impl NodeActor for StoreActor {
    type Msg = StoreMsg;

    async fn init(&mut self, node: &NodeContext<StoreMsg>) -> Result<Progress, Fault> {
        self.tasks.spawn(keep(self.platform.clone(), node.myself()));
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, node: &NodeContext<StoreMsg>, message: StoreMsg) -> Result<(), Fault> {
        match message {
            StoreMsg::Extended { lost } => self.tell_executors(&lost),
            StoreMsg::Swept(Ok(())) => node.entry().set_health(Health::Healthy),
            StoreMsg::Swept(Err(error)) => node.entry().set_health(Health::Unhealthy(error)),
        }
        Ok(())
    }

    /// Closes the back end when the process stops. A restart of this node alone leaves it open: nobody could open it again.
    async fn stop(&mut self, node: &NodeContext<StoreMsg>) -> Result<Progress, Fault> {
        self.tasks.abort_all();
        if !self.platform.is_stopping() {
            return Ok(Progress::Complete);
        }
        let (store, finish) = (self.platform.store.clone(), node.finisher());
        tokio::spawn(async move {
            if let Err(error) = store.close().await {
                tracing::error!(error_code = %error.code(), %error, "the store did not close cleanly");
            }
            finish();
        });
        Ok(Progress::Underway)
    }
}

impl StoreActor {
    /// Losing a lease is rare: every executor is told, the one concerned knows it.
    fn tell_executors(&self, lost: &[Lease]) {
        let executors = self.platform.table.under(&NodePath::root());
        for entry in executors.into_iter().filter(|entry| entry.kind() == NodeKind::Executor) {
            let executor = NodeAddress::<ExecutorMsg>::of(entry);
            drop(executor.send(ExecutorMsg::LeasesLost { leases: lost.to_vec() }));
        }
    }
}

/// Extends before it sweeps, so that after a pause of the whole process its own leases are not the first victims.
async fn keep(platform: Arc<Platform>, myself: Myself<StoreMsg>) {
    let timing = &platform.timing;
    let due_changed = platform.store.due_changed();
    let mut extend_at = Instant::now() + timing.extend_every;
    loop {
        if Instant::now() >= extend_at {
            extend_at = Instant::now() + timing.extend_every;
            extend(&platform, &myself).await;
        }
        let next = match platform.store.sweep().await {
            Ok(swept) => {
                myself.tell(StoreMsg::Swept(Ok(())));
                if swept.expired_leases > 0 {
                    tracing::warn!(expired = swept.expired_leases, "leases ran out");
                    tell_expired(&platform, swept.expired_leases);
                    if let Some(instruments) = &platform.instruments {
                        instruments.leases_expired(swept.expired_leases);
                    }
                }
                swept.next_due.map(|due| {
                    Duration::try_from(due.duration_since(platform.clock.now())).unwrap_or_default()
                })
            }
            Err(error) => {
                tracing::error!(error_code = %error.code(), %error, "the store cannot be swept");
                myself.tell(StoreMsg::Swept(Err(error.to_string())));
                None
            }
        };
        // A due time is rounded up to the next millisecond, so that one sweep finds it due.
        let wait =
            next.map_or(timing.sweep_every, |due| (due + Duration::from_millis(1)).min(timing.sweep_every));
        let until = (Instant::now() + wait).min(extend_at);
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = due_changed.notified() => {}
        }
    }
}

/// How many leases ran out; which they were, the attempts of their tasks say.
fn tell_expired(platform: &Platform, expired: usize) {
    let node = NodePath::root().child("engine").child("store");
    let changes = Changes::of([Changed::is("expired", Value::number(expired))]);
    let entry = Entry::new(platform.clock.now(), EventType::LeasesExpired, Subject::Node(node), changes);
    platform.journal.note(&Arc::default(), entry);
}

/// Extends every lease of this instance: one statement, as long as the store takes so many at once.
async fn extend(platform: &Platform, myself: &Myself<StoreMsg>) {
    let held = platform.leases.all();
    for held in held.chunks(platform.store.limits().max_batch) {
        match platform.store.extend(held.to_vec(), platform.timing.lease).await {
            Ok(lost) if lost.is_empty() => {}
            Ok(lost) => {
                // What was settled since the list was made is not lost.
                let held = platform.leases.all();
                let lost: Vec<Lease> = lost.into_iter().filter(|lease| held.contains(lease)).collect();
                myself.tell(StoreMsg::Extended { lost });
            }
            Err(error) => tracing::error!(error_code = %error.code(), %error, "leases cannot be extended"),
        }
    }
}
