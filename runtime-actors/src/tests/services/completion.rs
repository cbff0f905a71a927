//! The only writer of outcomes: nothing submitted is lost, whatever the store says.

use std::sync::Arc;
use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::etag::Terms;
use runtime_core::limits::StoreLimits;
use runtime_core::node::NodeKind;
use runtime_core::outcome::{Outcome, SettleWith, Settlement};
use runtime_core::store::{AppWrite, LeaseAsk, Store, TaskCommand};
use runtime_core::task::{LeasedTask, NewTask, TaskState};
use runtime_stores::MemoryStore;

use crate::executor::ExecutorMsg;
use crate::platform::{LeaseBook, Platform};
use crate::services::completion::{CompletionService, Ended, Flushed};
use crate::source_pump::PumpMsg;
use crate::table::NodeAddress;
use crate::tests::kit::{FaultyStore, Gate, PausedClock, Probe, StoreCall, platform, route};

struct Desk {
    store: Arc<FaultyStore>,
    platform: Arc<Platform>,
    executor: Probe<ExecutorMsg>,
    service: CompletionService,
    book: LeaseBook,
}

impl Desk {
    async fn new(limits: StoreLimits) -> Self {
        let clock = PausedClock::new();
        let store = FaultyStore::new(Arc::new(MemoryStore::new(clock.clone(), limits)));
        let platform = platform(store.clone() as Arc<dyn Store>, clock);
        let executor = Probe::at(&platform, "/greet", NodeKind::Executor).await;
        executor.node.ready();
        Self { store, platform, executor, service: CompletionService::default(), book: LeaseBook::default() }
    }

    async fn leased(&self, count: usize) -> Vec<LeasedTask> {
        let tasks = (0..count).map(|_| NewTask::new(route("greet"), b"null".to_vec())).collect();
        self.store.inner().enqueue(tasks).await.unwrap();
        let ask = LeaseAsk {
            queue: route("greet").queue.clone(),
            instance: "test".parse().unwrap(),
            up_to: count,
            lease_for: Duration::from_secs(30),
            task: None,
        };
        let leased = self.store.inner().lease(ask).await.unwrap();
        self.book.add(leased.iter().map(|leased| leased.lease));
        leased
    }

    fn submit(&self, leased: &LeasedTask, with: SettleWith, retry_after: Option<Duration>) {
        let settlement = Settlement {
            lease: leased.lease,
            outcome: Outcome::Done { output: b"null".to_vec() },
            with: (!with.is_empty()).then(|| Box::new(with)),
            node: None,
            started_at: self.platform.clock.now(),
            took: Duration::ZERO,
            trace: None,
        };
        let executor = NodeAddress::of(self.executor.node.entry().clone());
        self.service.submit(Ended { settlement, executor, due: None, retry_after, attempt: 1 });
    }

    async fn flush(&self) -> Result<Option<Flushed>, runtime_core::store::StoreError> {
        self.service.flush(&*self.store, &self.book).await
    }

    async fn state(&self, leased: &LeasedTask) -> (TaskState, u32) {
        let task = self.store.inner().get(vec![leased.lease.task]).await.unwrap().pop().flatten().unwrap();
        (task.state, task.attempt)
    }

    /// Which slots the executor hears to be free.
    async fn freed(&mut self) -> usize {
        match self.executor.next().await {
            ExecutorMsg::OutcomesSettled { leases } => leases.len(),
            _ => panic!("another message"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_dropped_when_the_store_fails() {
    let mut desk = Desk::new(StoreLimits::default()).await;
    let leased = desk.leased(5).await;
    for leased in &leased[..3] {
        desk.submit(leased, SettleWith::default(), None);
    }
    desk.store.fail(StoreCall::Settle);
    for _ in 0..3 {
        assert!(desk.flush().await.is_err());
        assert_eq!(desk.service.waiting(), 3);
        assert!(!desk.service.is_flushed());
    }
    assert_eq!(desk.book.all().len(), 5, "leases are extended as long as their outcome is not on disk");
    // What comes meanwhile waits behind what is kept.
    desk.submit(&leased[3], SettleWith::default(), None);
    desk.store.set(StoreCall::Settle, Gate::Open);
    assert_eq!(desk.flush().await.unwrap().unwrap().settled, 3);
    assert_eq!(desk.service.waiting(), 1);
    assert_eq!(desk.flush().await.unwrap().unwrap().settled, 1);
    assert_eq!(desk.flush().await.unwrap(), None);
    assert!(desk.service.is_flushed());
    assert_eq!(desk.book.all().len(), 1);
    assert_eq!((desk.freed().await, desk.freed().await), (3, 1), "one message a batch");
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_flight_is_kept_when_its_writer_is_dropped() {
    let mut desk = Desk::new(StoreLimits::default()).await;
    let leased = desk.leased(2).await;
    for answered in [false, true] {
        let one = &leased[usize::from(answered)];
        desk.submit(one, SettleWith::default(), None);
        // Dropped before the store was asked, or after it has written and before it answered.
        let gate = if answered { StoreCall::SettleAnswer } else { StoreCall::Settle };
        desk.store.set(gate, Gate::Shut);
        let cut_off = tokio::time::timeout(Duration::from_secs(1), desk.flush()).await;
        assert!(cut_off.is_err());
        assert_eq!(desk.service.waiting(), 1);
        desk.store.set(gate, Gate::Open);
        let flushed = desk.flush().await.unwrap().unwrap();
        assert_eq!((flushed.settled, flushed.stale), if answered { (0, 1) } else { (1, 0) });
        assert_eq!(desk.state(one).await, (TaskState::Done, 1), "written once, whatever was answered");
        assert_eq!(desk.freed().await, 1, "the slot is free either way");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_outcome_is_refused_and_its_slot_is_free() {
    let mut desk = Desk::new(StoreLimits::default()).await;
    let leased = desk.leased(1).await.remove(0);
    tokio::time::sleep(Duration::from_secs(31)).await;
    desk.store.inner().sweep().await.unwrap();
    desk.submit(&leased, SettleWith::default(), None);
    let flushed = desk.flush().await.unwrap().unwrap();
    assert_eq!((flushed.settled, flushed.stale), (0, 1));
    assert_eq!(desk.state(&leased).await, (TaskState::Ready, 0));
    assert_eq!(desk.freed().await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_whose_rows_are_refused_becomes_a_failed_attempt_under_the_same_lease() {
    let mut desk = Desk::new(StoreLimits::default()).await;
    let leased = desk.leased(1).await.remove(0);
    let refused = || SettleWith {
        app_writes: vec![AppWrite::new(|_| Err(TaskError::retryable("refused")))],
        ..SettleWith::default()
    };
    desk.submit(&leased, refused(), Some(Duration::from_secs(7)));
    let flushed = desk.flush().await.unwrap().unwrap();
    assert_eq!((flushed.settled, flushed.undone), (0, 1));
    assert_eq!(desk.book.all().len(), 1, "its lease is held, and extended, until it is settled");
    assert_eq!(desk.service.waiting(), 1, "it waits in its new form");
    assert_eq!(desk.flush().await.unwrap().unwrap().settled, 1);
    assert_eq!(desk.book.all().len(), 0);
    // The memory store refuses an app's rows for good.
    let task = desk.store.inner().get(vec![leased.lease.task]).await.unwrap().pop().flatten().unwrap();
    assert_eq!((task.state, task.last_error.unwrap().code), (TaskState::Dead, ErrorCode::CapabilityMissing));
    assert_eq!(desk.freed().await, 1, "the slot was held until then");
}

#[tokio::test(start_paused = true)]
async fn batches_are_as_large_as_the_store_takes_and_no_larger() {
    let limits = StoreLimits { max_batch: 10, ..StoreLimits::default() };
    let desk = Desk::new(limits).await;
    for _ in 0..3 {
        for leased in desk.leased(9).await {
            desk.submit(&leased, SettleWith::default(), None);
        }
    }
    let mut batches = Vec::new();
    while let Some(flushed) = desk.flush().await.unwrap() {
        batches.push(flushed.settled);
    }
    assert_eq!(batches, [10, 10, 7]);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_until_all_is_written_hears_it_then_and_not_before() {
    let desk = Desk::new(StoreLimits::default()).await;
    desk.service.flushed().await;
    let leased = desk.leased(2).await;
    desk.submit(&leased[0], SettleWith::default(), None);
    let (desk, leased) = (&desk, &leased);
    let waiting = desk.service.flushed();
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_secs(1), &mut waiting).await;
    assert!(early.is_err());
    desk.submit(&leased[1], SettleWith::default(), None);
    desk.flush().await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), waiting).await.expect("both went in one batch");
}

#[tokio::test(start_paused = true)]
async fn watchers_hear_the_end_of_their_task_whoever_brought_it_about() {
    let desk = Desk::new(StoreLimits::default()).await;
    let mut pump: Probe<PumpMsg> = Probe::at(&desk.platform, "/door", NodeKind::Source).await;
    pump.node.ready();
    let leased = desk.leased(2).await;
    for leased in &leased {
        desk.service.watch(leased.lease.task, NodeAddress::of(pump.node.entry().clone()));
    }
    desk.submit(&leased[0], SettleWith::default(), None);
    desk.flush().await.unwrap();
    let PumpMsg::TaskFinished { task, state, output } = pump.next().await else { panic!("another message") };
    assert_eq!((task, state, output), (leased[0].lease.task, TaskState::Done, Some(b"null".to_vec())));
    // A decision from outside about a task that nobody runs.
    let store = desk.store.inner();
    tokio::time::sleep(Duration::from_secs(31)).await;
    store.sweep().await.unwrap();
    let id = leased[1].lease.task;
    let cancelled = desk.service.decide(&*store, id, TaskCommand::Cancel, Terms::default()).await;
    assert_eq!(cancelled.map(|steered| steered.state), Ok(TaskState::Cancelled));
    let PumpMsg::TaskFinished { task, state, .. } = pump.next().await else { panic!("another message") };
    assert_eq!((task, state), (id, TaskState::Cancelled));
    let again = desk.service.decide(&*store, id, TaskCommand::Approve, Terms::default()).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::FailedPrecondition);
    // Nobody hears twice, nor after he asked not to.
    desk.service.watch(id, NodeAddress::of(pump.node.entry().clone()));
    desk.service.unwatch(id);
    desk.service.decide(&*store, id, TaskCommand::Retry, Terms::default()).await.unwrap();
    desk.service.decide(&*store, id, TaskCommand::Cancel, Terms::default()).await.unwrap();
    tokio::task::yield_now().await;
    assert!(pump.is_quiet());
}
