//! The ledger of effects, the outbox, and what operators want of nodes.

use std::num::NonZeroUsize;
use std::time::Duration;

use runtime_core::event::NewEvent;
use runtime_core::name::StepName;
use runtime_core::node::{DesiredState, NodePath};
use runtime_core::outcome::{SettleWith, Settlement};
use runtime_core::store::{EffectBegun, EffectClass};
use runtime_core::task::Lease;

use super::world::{LEASE, World, done, retry_after, task};

fn step(name: &str) -> StepName {
    name.parse().unwrap()
}

async fn begin(w: &World, lease: Lease, name: &str, class: EffectClass, content: u8) -> EffectBegun {
    w.store.begin_effect(lease, step(name), class, [content; 32]).await.unwrap()
}

async fn next_attempt(w: &World, lease: Lease) -> Lease {
    w.settle(lease, retry_after(Duration::ZERO)).await;
    w.lease_one().await.lease
}

pub(super) async fn a_result_is_returned_instead_of_running_again(w: World) {
    for class in [EffectClass::Keyed, EffectClass::Unkeyed] {
        w.put_new(task(1)).await;
        let lease = w.lease_one().await.lease;
        assert_eq!(begin(&w, lease, "pay", class, 1).await, EffectBegun::Fresh);
        assert!(w.store.record_effect(lease, step("pay"), [1; 32], b"\"receipt\"".to_vec()).await.unwrap());
        let lease = next_attempt(&w, lease).await;
        let known = EffectBegun::Known { result: b"\"receipt\"".to_vec() };
        assert_eq!(begin(&w, lease, "pay", class, 1).await, known);
        assert_eq!(
            begin(&w, lease, "ship", class, 1).await,
            EffectBegun::Fresh,
            "another step is another effect"
        );
        w.settle(lease, done()).await;
    }
}

pub(super) async fn an_unkeyed_effect_without_result_is_unknown(w: World) {
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    assert_eq!(begin(&w, lease, "mail", EffectClass::Unkeyed, 1).await, EffectBegun::Fresh);
    assert_eq!(begin(&w, lease, "pay", EffectClass::Keyed, 1).await, EffectBegun::Fresh);
    w.advance(LEASE);
    w.store.sweep().await.unwrap();
    let lease = w.lease_one().await.lease;
    assert_eq!(begin(&w, lease, "mail", EffectClass::Unkeyed, 1).await, EffectBegun::Unknown);
    assert_eq!(
        begin(&w, lease, "pay", EffectClass::Keyed, 1).await,
        EffectBegun::Fresh,
        "the peer knows our key"
    );
}

pub(super) async fn the_same_step_with_other_content_is_a_conflict(w: World) {
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    begin(&w, lease, "mail", EffectClass::Unkeyed, 1).await;
    assert_eq!(begin(&w, lease, "mail", EffectClass::Unkeyed, 2).await, EffectBegun::Conflict);
    w.store.record_effect(lease, step("mail"), [1; 32], b"1".to_vec()).await.unwrap();
    assert_eq!(begin(&w, lease, "mail", EffectClass::Unkeyed, 2).await, EffectBegun::Conflict);
}

pub(super) async fn a_withdrawn_intent_may_run_again(w: World) {
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    begin(&w, lease, "mail", EffectClass::Unkeyed, 1).await;
    assert!(w.store.withdraw_effect(lease, step("mail")).await.unwrap());
    assert_eq!(begin(&w, lease, "mail", EffectClass::Unkeyed, 2).await, EffectBegun::Fresh);
    w.store.record_effect(lease, step("mail"), [2; 32], b"1".to_vec()).await.unwrap();
    assert!(w.store.withdraw_effect(lease, step("mail")).await.unwrap());
    let known = EffectBegun::Known { result: b"1".to_vec() };
    assert_eq!(begin(&w, lease, "mail", EffectClass::Unkeyed, 2).await, known, "a result is not taken back");
}

pub(super) async fn the_ledger_needs_a_live_lease(w: World) {
    w.put_new(task(1)).await;
    let lost = w.lease_one().await.lease;
    begin(&w, lost, "mail", EffectClass::Unkeyed, 1).await;
    w.advance(LEASE);
    w.store.sweep().await.unwrap();
    assert_eq!(begin(&w, lost, "mail", EffectClass::Unkeyed, 1).await, EffectBegun::Stale);
    assert!(!w.store.record_effect(lost, step("mail"), [1; 32], b"1".to_vec()).await.unwrap());
    assert!(!w.store.withdraw_effect(lost, step("mail")).await.unwrap());
    let live = w.lease_one().await.lease;
    assert_eq!(
        begin(&w, live, "mail", EffectClass::Unkeyed, 1).await,
        EffectBegun::Unknown,
        "the intent stands"
    );
}

pub(super) async fn facts_are_relayed_in_commit_order(w: World) {
    for kind in ["a", "b", "c"] {
        w.put_new(task(1)).await;
        let lease = w.lease_one().await.lease;
        let events = vec![NewEvent { kind: kind.into(), body: b"{}".to_vec() }];
        let with = Some(Box::new(SettleWith { events, ..SettleWith::default() }));
        w.settle_all(vec![Settlement { with, ..w.settlement(lease, done()) }]).await;
    }
    let facts = w.store.unrelayed(2).await.unwrap();
    assert_eq!(facts.iter().map(|fact| fact.event.kind.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(facts[0].position < facts[1].position);
    w.store.relayed(facts[1].position).await.unwrap();
    let rest = w.store.unrelayed(10).await.unwrap();
    assert_eq!(rest.iter().map(|fact| fact.event.kind.as_str()).collect::<Vec<_>>(), ["c"]);
    w.store.relayed(rest[0].position).await.unwrap();
    assert_eq!(w.store.unrelayed(10).await.unwrap(), []);

    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    let events = vec![NewEvent { kind: "d".into(), body: b"{}".to_vec() }];
    let with = Some(Box::new(SettleWith { events, ..SettleWith::default() }));
    w.settle_all(vec![Settlement { with, ..w.settlement(lease, done()) }]).await;
    let last = w.store.unrelayed(10).await.unwrap();
    assert!(last[0].position > rest[0].position, "a position is never given twice");
}

pub(super) async fn desired_states_are_kept(w: World) {
    let path = |text: &str| text.parse::<NodePath>().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|app| path(&format!("/engine/apps/{app}")));
    w.store.set_desired(vec![a.clone(), c.clone()], DesiredState::Paused).await.unwrap();
    w.store.set_desired(vec![b.clone()], DesiredState::Stopped).await.unwrap();
    w.store.set_desired(vec![a.clone()], DesiredState::Running).await.unwrap();
    w.store.set_desired(Vec::new(), DesiredState::Running).await.unwrap();
    let mut desired = w.store.desired().await.unwrap();
    desired.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [(a, DesiredState::Running), (b, DesiredState::Stopped), (c, DesiredState::Paused)];
    assert_eq!(desired, expected);
}

pub(super) async fn chosen_slots_are_kept_until_they_are_taken_back(w: World) {
    let path = |text: &str| text.parse::<NodePath>().unwrap();
    let slots = |count: usize| NonZeroUsize::new(count);
    assert_eq!(w.store.resized().await.unwrap(), []);
    w.store.set_slots(path("/engine/apps/a"), slots(3)).await.unwrap();
    w.store.set_slots(path("/engine/apps/b"), slots(7)).await.unwrap();
    let first = w.store.resized().await.unwrap();
    w.advance(Duration::from_secs(60));
    w.store.set_slots(path("/engine/apps/a"), slots(5)).await.unwrap();
    w.store.set_slots(path("/engine/apps/b"), None).await.unwrap();
    w.store.set_slots(path("/engine/apps/c"), None).await.unwrap();
    let [last] = &w.store.resized().await.unwrap()[..] else { panic!("one is left") };
    assert_eq!((last.path.as_str(), Some(last.slots)), ("/engine/apps/a", slots(5)));
    assert_eq!(
        first.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(),
        ["/engine/apps/a", "/engine/apps/b"]
    );
    assert_eq!(last.since.duration_since(first[0].since).as_secs(), 60, "since it was last said");
    assert_eq!(w.store.desired().await.unwrap(), [], "whether they run is another matter");
}
