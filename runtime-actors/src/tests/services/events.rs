//! The relay: in commit order, at least once, to all.

use std::sync::Arc;

use runtime_core::event::NewEvent;
use runtime_core::limits::StoreLimits;
use runtime_core::outcome::{Outcome, SettleWith, Settlement};
use runtime_core::store::{LeaseAsk, Store, TaskStore};
use runtime_core::task::NewTask;
use runtime_stores::MemoryStore;
use std::time::Duration;

use crate::services::events::DomainEventService;
use crate::tests::kit::{Facts, FaultyStore, PausedClock, Refusal, StoreCall, route};

/// A store whose outbox holds so many facts.
async fn stating(count: usize) -> Arc<FaultyStore> {
    let store = MemoryStore::new(PausedClock::new(), StoreLimits::default());
    let tasks = (0..count).map(|_| NewTask::new(route("greet"), b"null".to_vec())).collect();
    store.enqueue(tasks).await.unwrap();
    let ask = LeaseAsk {
        queue: route("greet").queue.clone(),
        instance: "test".parse().unwrap(),
        up_to: count,
        lease_for: Duration::from_secs(30),
        task: None,
    };
    let leased = store.lease(ask).await.unwrap();
    let settlements = leased.into_iter().map(|leased| Settlement {
        lease: leased.lease,
        outcome: Outcome::Done { output: b"null".to_vec() },
        with: Some(Box::new(SettleWith {
            events: vec![NewEvent { kind: "greeted".into(), body: b"null".to_vec() }],
            ..SettleWith::default()
        })),
        node: None,
        started_at: leased.task.created_at,
        took: Duration::ZERO,
        trace: None,
    });
    store.settle(Arc::new(settlements.collect())).await.unwrap();
    FaultyStore::new(Arc::new(store))
}

/// Relays until the outbox is empty, however often that fails; returns how often it did.
async fn relay(service: &DomainEventService) -> usize {
    let mut failures = 0;
    loop {
        match service.relay().await {
            Ok(true) => {}
            Ok(false) => return failures,
            Err(_) => failures += 1,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn facts_are_heard_in_commit_order_once_when_nothing_fails() {
    let store = stating(600).await;
    let (one, other) = (Facts::new(), Facts::new());
    let service = DomainEventService::new(store.clone() as Arc<dyn Store>, vec![one.clone(), other.clone()]);
    assert_eq!(relay(&service).await, 0);
    for heard in [one.heard(), other.heard()] {
        let positions: Vec<u64> = heard.iter().map(|fact| fact.position).collect();
        assert_eq!(positions.len(), 600);
        assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
    }
    assert_eq!(service.relayed(), 600);
    assert_eq!(relay(&service).await, 0);
    assert_eq!(one.heard().len(), 600, "what was relayed is not relayed again");
}

#[tokio::test(start_paused = true)]
async fn facts_come_again_until_everybody_took_them() {
    let store = stating(3).await;
    let (one, other) = (Facts::new(), Facts::new());
    let service = DomainEventService::new(store.clone() as Arc<dyn Store>, vec![one.clone(), other.clone()]);
    other.trouble.lock().unwrap().push(Refusal::Error);
    assert_eq!(relay(&service).await, 1);
    assert_eq!((one.heard().len(), other.heard().len()), (6, 3), "twice to the one who had taken them");
}

#[tokio::test(start_paused = true)]
async fn facts_come_again_when_the_store_could_not_note_that_they_were_relayed() {
    let store = stating(3).await;
    let facts = Facts::new();
    let service = DomainEventService::new(store.clone() as Arc<dyn Store>, vec![facts.clone()]);
    store.fail(StoreCall::Relayed);
    assert!(service.relay().await.is_err());
    store.fail(StoreCall::Unrelayed);
    assert!(service.relay().await.is_err());
    assert_eq!(service.relayed(), 0);
    store.set(StoreCall::Relayed, crate::tests::kit::Gate::Open);
    store.set(StoreCall::Unrelayed, crate::tests::kit::Gate::Open);
    assert_eq!(relay(&service).await, 0);
    let positions: Vec<u64> = facts.heard().iter().map(|fact| fact.position).collect();
    assert_eq!(positions.len(), 6);
    assert_eq!(positions[..3], positions[3..], "the same, in the same order");
}
