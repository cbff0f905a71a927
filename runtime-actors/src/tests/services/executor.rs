//! Which lease to ask for, which task to start, which slot is free.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use runtime_core::limits::StoreLimits;
use runtime_core::store::{LeaseAsk, TaskStore};
use runtime_core::task::{Epoch, Lease, LeasedTask, NewTask, TaskId};
use runtime_stores::MemoryStore;
use tokio::time::Instant;

use crate::attempt::Attempt;
use crate::services::executor::{MAX_PREFETCH, Takes, TaskExecutorService};
use crate::tests::kit::{PausedClock, route};

/// So many leased tasks, from a real store.
async fn leased(count: usize) -> Vec<LeasedTask> {
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
    store.lease(ask).await.unwrap()
}

/// Starts what can start, and says what was started.
fn start(service: &mut TaskExecutorService) -> Vec<Lease> {
    let mut started = Vec::new();
    while let Some(next) = service.take_next() {
        started.push(next.lease);
        service.started(Arc::new(Attempt::new(next, None)));
    }
    started
}

#[tokio::test(start_paused = true)]
async fn it_asks_for_free_slots_and_only_once_at_a_time() {
    let mut service = TaskExecutorService::new(3);
    let now = Instant::now();
    assert_eq!(service.ask(now, usize::MAX), Some(3));
    assert_eq!(service.ask(now, usize::MAX), None, "one ask is under way");
    service.leased(leased(3).await);
    let started = start(&mut service);
    assert_eq!((started.len(), service.free(), service.busy()), (3, 0, 3));
    assert_eq!(service.ask(now, usize::MAX), None, "no slot is free, and nobody knows yet how fast it goes");
    service.settled(started[0], now);
    assert_eq!(service.ask(now, usize::MAX), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_dry_queue_is_left_alone_until_it_wakes() {
    let mut service = TaskExecutorService::new(3);
    let now = Instant::now();
    assert_eq!(service.ask(now, usize::MAX), Some(3));
    service.leased(leased(1).await);
    start(&mut service);
    assert_eq!(service.ask(now, usize::MAX), None, "it gave less than asked: dry");
    service.wake();
    assert_eq!(service.ask(now, usize::MAX), Some(2));
    service.leased(Vec::new());
    assert_eq!(service.ask(now, usize::MAX), None);
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_during_an_ask_is_not_missed_and_one_before_it_is_not_counted_twice() {
    let mut service = TaskExecutorService::new(2);
    let now = Instant::now();
    service.wake();
    assert_eq!(service.ask(now, usize::MAX), Some(2));
    service.leased(Vec::new());
    assert_eq!(service.ask(now, usize::MAX), None, "the wake-up came before the ask: its answer covers it");
    service.wake();
    assert_eq!(service.ask(now, usize::MAX), Some(2));
    service.wake();
    service.wake();
    service.leased(Vec::new());
    assert_eq!(service.ask(now, usize::MAX), Some(2), "the answer may be older than the wake-up");
    service.leased(Vec::new());
    assert_eq!(service.ask(now, usize::MAX), None, "once");
    // A full answer with a wake-up beside it does not make the next dry answer look wet.
    service.wake();
    assert_eq!(service.ask(now, usize::MAX), Some(2));
    service.wake();
    service.leased(leased(2).await);
    let started = start(&mut service);
    service.settled(started[0], now);
    assert_eq!(service.ask(now, usize::MAX), Some(1));
    service.leased(Vec::new());
    assert_eq!(service.ask(now, usize::MAX), None);
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_when_its_outcome_is_settled_and_for_nothing_else() {
    let mut service = TaskExecutorService::new(1);
    let now = Instant::now();
    service.ask(now, usize::MAX);
    service.leased(leased(1).await);
    let lease = start(&mut service)[0];
    let late = Lease { epoch: Epoch(lease.epoch.0 + 1), ..lease };
    assert!(service.settled(late, now).is_none(), "another lease of the same task");
    assert_eq!(service.free(), 0);
    assert!(service.settled(lease, now).is_some());
    assert!(service.settled(lease, now).is_none(), "twice is harmless");
    assert_eq!(service.free(), 1);
}

#[tokio::test(start_paused = true)]
async fn prefetch_follows_the_pace_from_nothing_to_a_thousand() {
    for (per_window, prefetch) in [(0, 0), (1, 1), (50, 50), (5_000, MAX_PREFETCH)] {
        let mut service = TaskExecutorService::new(1);
        let all = leased(per_window + 1).await;
        // The first completion opens the window of 20 ms in which the others fall.
        let mut now = Instant::now();
        for (at, one) in all.into_iter().enumerate() {
            let lease = one.lease;
            service.leased(vec![one]);
            start(&mut service);
            if at + 1 > per_window {
                now += Duration::from_millis(20);
            }
            service.settled(lease, now);
        }
        service.wake();
        let asked = service.ask(now, usize::MAX).unwrap() - 1;
        assert!(asked.abs_diff(prefetch) <= 1, "{per_window} in 20 ms: {asked} ahead, not {prefetch}");
        // A while without completions, and nothing is leased ahead any more.
        service.leased(Vec::new());
        service.wake();
        assert_eq!(service.ask(now + Duration::from_secs(60), usize::MAX), Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_s_run_has_its_slot_before_the_claim() {
    let mut service = TaskExecutorService::new(2);
    assert!(service.reserve());
    assert_eq!(service.ask(Instant::now(), usize::MAX), Some(1), "the other slot");
    assert!(!service.is_idle());
    service.leased(leased(1).await);
    assert_eq!(start(&mut service).len(), 1);
    assert!(!service.reserve(), "none is free");
    service.unreserve();
    assert!(service.reserve());
    service.take(Takes::OperatorsOnly);
    service.unreserve();
    assert_eq!(service.ask(Instant::now(), usize::MAX), None, "paused, it asks for nothing");
    assert!(service.reserve(), "an operator may run a paused worker");
    service.take(Takes::Nothing);
    service.unreserve();
    assert!(!service.reserve(), "it takes no work");
}

#[tokio::test(start_paused = true)]
async fn it_starts_and_asks_nothing_while_it_takes_no_work() {
    let mut service = TaskExecutorService::new(2);
    service.ask(Instant::now(), usize::MAX);
    service.take(Takes::Nothing);
    service.leased(leased(2).await);
    assert!(start(&mut service).is_empty());
    assert_eq!(service.ask(Instant::now(), usize::MAX), None);
    assert_eq!(service.take_waiting().len(), 2);
    assert!(service.is_idle());
    service.take(Takes::Everything);
    assert_eq!(
        service.ask(Instant::now(), usize::MAX),
        Some(2),
        "whatever it knew of the queue before is old"
    );
}

#[tokio::test(start_paused = true)]
async fn fewer_slots_end_nothing_and_more_are_asked_for_at_once() {
    let mut service = TaskExecutorService::new(3);
    let now = Instant::now();
    service.ask(now, usize::MAX);
    service.leased(leased(3).await);
    let started = start(&mut service);
    service.resize(1);
    assert_eq!((service.busy(), service.free()), (3, 0));
    service.settled(started[0], now);
    service.settled(started[1], now);
    assert_eq!(service.free(), 0, "one slot, and one runs");
    service.resize(4);
    assert_eq!(service.ask(now, usize::MAX), Some(3));
}

#[tokio::test(start_paused = true)]
async fn lost_leases_are_dropped_where_they_wait_and_named_where_they_run() {
    let mut service = TaskExecutorService::new(1);
    service.ask(Instant::now(), usize::MAX);
    let all = leased(3).await;
    let leases: Vec<Lease> = all.iter().map(|leased| leased.lease).collect();
    service.leased(all);
    start(&mut service);
    let lost = service.lost(&leases[..2]);
    assert_eq!(lost.iter().map(|attempt| attempt.lease()).collect::<Vec<_>>(), [leases[0]]);
    assert_eq!(service.waiting(), 1);
    let stranger = Lease { task: TaskId::new(jiff::Timestamp::UNIX_EPOCH, 1, 1), epoch: Epoch(1) };
    assert!(service.lost(&[stranger]).is_empty());
}

/// What can happen to a worker.
#[derive(Debug, Clone)]
enum Step {
    Wake,
    Ask,
    /// The answer to an ask, with so many of what was asked.
    Answer(usize),
    Settle(usize),
    Reserve,
    Unreserve,
    Resize(usize),
    Take(Takes),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Wake),
        4 => Just(Step::Ask),
        4 => (0..40_usize).prop_map(Step::Answer),
        4 => (0..8_usize).prop_map(Step::Settle),
        1 => Just(Step::Reserve),
        1 => Just(Step::Unreserve),
        1 => (1..6_usize).prop_map(Step::Resize),
        1 => prop_oneof![Just(Takes::Everything), Just(Takes::OperatorsOnly), Just(Takes::Nothing)].prop_map(Step::Take),
        1 => (0..50_u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn it_never_runs_more_than_it_has_slots_nor_holds_more_than_it_asked_for(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut stock = leased(500).await.into_iter();
            let mut service = TaskExecutorService::new(2);
            let (mut asked, mut reserved, mut running) = (None, 0_usize, Vec::new());
            let mut now = Instant::now();
            for step in steps {
                match step {
                    Step::Wake => service.wake(),
                    Step::Ask => {
                        let up_to = service.ask(now, usize::MAX);
                        prop_assert!(up_to.is_none() || asked.is_none(), "an ask while one is under way");
                        prop_assert!(up_to.is_none_or(|up_to| up_to >= 1 && up_to <= service.free() + MAX_PREFETCH));
                        prop_assert!(up_to.is_none() || service.takes() == Takes::Everything);
                        asked = asked.or(up_to);
                    }
                    Step::Answer(count) => {
                        if let Some(up_to) = asked.take() {
                            service.leased(stock.by_ref().take(count.min(up_to)).collect());
                        }
                    }
                    Step::Settle(at) => {
                        if !running.is_empty() {
                            let lease = running.swap_remove(at % running.len());
                            prop_assert!(service.settled(lease, now).is_some());
                        }
                    }
                    Step::Reserve => {
                        let given = service.reserve();
                        prop_assert!(!given || service.takes() != Takes::Nothing);
                        reserved += usize::from(given);
                    }
                    Step::Unreserve => {
                        reserved = reserved.saturating_sub(1);
                        service.unreserve();
                    }
                    Step::Resize(slots) => service.resize(slots),
                    Step::Take(takes) => service.take(takes),
                    Step::Pass(ms) => now += Duration::from_millis(ms),
                }
                let before = running.len();
                running.extend(start(&mut service));
                prop_assert!(
                    running.len() == before || running.len() + reserved <= service.slots(),
                    "started without a slot"
                );
                prop_assert_eq!(service.busy(), running.len());
                prop_assert_eq!(
                    service.is_idle(),
                    running.is_empty() && service.waiting() == 0 && asked.is_none() && reserved == 0
                );
            }
            Ok(())
        })?;
    }
}
