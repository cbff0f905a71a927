//! Relays facts from the outbox to those who asked for them: in commit order, at least once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runtime_core::error::TaskError;
use runtime_core::event::EventSubscriber;
use runtime_core::store::Store;

/// Most facts of one delivery.
const BATCH: usize = 256;

/// Delivers what the outbox holds.
pub struct DomainEventService {
    store: Arc<dyn Store>,
    subscribers: Vec<Arc<dyn EventSubscriber>>,
    relayed: AtomicU64,
}

impl DomainEventService {
    /// A relay from this store to these subscribers.
    pub fn new(store: Arc<dyn Store>, subscribers: Vec<Arc<dyn EventSubscriber>>) -> Self {
        Self { store, subscribers, relayed: AtomicU64::new(0) }
    }

    /// Facts relayed since the start of the process.
    pub fn relayed(&self) -> u64 {
        self.relayed.load(Ordering::Relaxed)
    }

    /// Delivers the oldest facts of the outbox. `false` when there was none.
    ///
    /// # Errors
    /// What a subscriber or the store said; the facts concerned stay in the outbox.
    pub async fn relay(&self) -> Result<bool, TaskError> {
        let facts = self.store.unrelayed(BATCH).await?;
        let Some(last) = facts.last().map(|fact| fact.position) else { return Ok(false) };
        for subscriber in &self.subscribers {
            subscriber.deliver(&facts).await?;
        }
        self.store.relayed(last).await?;
        self.relayed.fetch_add(facts.len() as u64, Ordering::Relaxed);
        Ok(true)
    }
}
