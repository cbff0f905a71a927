//! The executor, message by message.

use std::time::Duration;

use runtime_core::control::Reply;
use runtime_core::error::ErrorCode;
use runtime_core::name::{CorrelationId, InstanceName};
use runtime_core::node::Health;
use runtime_core::store::LeaseAsk;
use runtime_core::task::TaskState;

use super::{Bench, answered, slots};
use crate::executor::ExecutorMsg;
use crate::granted::Granted;
use crate::node::{NodeActor, Progress};
use crate::tests::kit::{Gate, StoreCall, route};

#[tokio::test(start_paused = true)]
async fn the_executor_asks_for_its_slots_and_starts_what_comes() {
    let bench = Bench::new();
    bench.enqueue(5).await;
    let (mut executor, mut probe, _) = bench.executor(3).await;
    assert_eq!(executor.init(&probe.node).await, Ok(Progress::Complete));
    let leases = probe.next().await;
    let ExecutorMsg::ExecuteTaskFromQueue { .. } = leases else { panic!("leases come") };
    executor.handle(&probe.node, leases).await.unwrap();
    assert_eq!(slots(&probe), (3, 3));
    assert_eq!(bench.store.count(StoreCall::Lease), 1);
    executor.handle(&probe.node, ExecutorMsg::ExecuteTaskFromEvent).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(bench.store.count(StoreCall::Lease), 1, "a wake-up asks for nothing when no slot is free");
}

#[tokio::test(start_paused = true)]
async fn the_executor_asks_again_when_it_was_woken_while_it_asked() {
    let bench = Bench::new();
    let (mut executor, mut probe, _) = bench.executor(1).await;
    executor.init(&probe.node).await.unwrap();
    let nothing = probe.next().await;
    executor.handle(&probe.node, ExecutorMsg::ExecuteTaskFromEvent).await.unwrap();
    bench.enqueue(1).await;
    executor.handle(&probe.node, nothing).await.unwrap();
    let something = loop {
        match probe.next().await {
            ExecutorMsg::ExecuteTaskFromQueue { leased } => break leased.take(),
            other => executor.handle(&probe.node, other).await.unwrap(),
        }
    };
    assert_eq!(something.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_executor_claims_a_task_for_an_operator_in_a_slot_of_its_own() {
    let bench = Bench::new();
    let (mut executor, mut probe, _) = bench.executor(1).await;
    // Its queue was dry when it looked, so that the operator is the first to want the task.
    executor.init(&probe.node).await.unwrap();
    let nothing = probe.next().await;
    executor.handle(&probe.node, nothing).await.unwrap();
    let id = bench.enqueue(2).await[0];
    let correlation = CorrelationId::new("look").unwrap();
    let ask = |task| {
        let (reply, answer) = Reply::channel();
        (ExecutorMsg::ExecuteTaskWithCorrelation { task, correlation: correlation.clone(), reply }, answer)
    };
    let (run, mut answer) = ask(id);
    executor.handle(&probe.node, run).await.unwrap();
    let (second, mut second_answer) = ask(id);
    executor.handle(&probe.node, second).await.unwrap();
    assert!(answered(&mut second_answer).is_none(), "it waits for a slot: permit first, then the claim");
    let claimed = loop {
        match probe.next().await {
            claimed @ ExecutorMsg::ExecuteTask { .. } => break claimed,
            ExecutorMsg::ExecuteTaskFromEvent => {}
            _ => panic!("another message"),
        }
    };
    assert!(answered(&mut answer).is_none(), "answered when it is started, not before");
    executor.handle(&probe.node, claimed).await.unwrap();
    assert_eq!(answered(&mut answer), Some(Ok(())));
    assert_eq!(slots(&probe), (1, 1));
    assert_eq!(bench.state(id).await, TaskState::Leased);
    executor.stop(&probe.node).await.unwrap();
    let refused = answered(&mut second_answer).expect("nobody waits for a node that stops").unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
}

#[tokio::test(start_paused = true)]
async fn the_executor_frees_the_slot_of_a_run_that_the_store_refused() {
    let bench = Bench::new();
    let (mut executor, mut probe, _) = bench.executor(1).await;
    executor.init(&probe.node).await.unwrap();
    let nothing = probe.next().await;
    executor.handle(&probe.node, nothing).await.unwrap();
    let id = bench.enqueue(1).await[0];
    bench.store.fail(StoreCall::Lease);
    let (reply, answer) = Reply::channel();
    let correlation = CorrelationId::new("look").unwrap();
    let run = ExecutorMsg::ExecuteTaskWithCorrelation { task: id, correlation, reply };
    executor.handle(&probe.node, run).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap_err().code, ErrorCode::StoreUnavailable);
    bench.store.set(StoreCall::Lease, Gate::Open);
    while slots(&probe) != (1, 1) {
        let message = probe.next().await;
        executor.handle(&probe.node, message).await.unwrap();
    }
    assert_eq!(bench.state(id).await, TaskState::Leased, "the worker took it by itself");
}

#[tokio::test(start_paused = true)]
async fn the_executor_shows_that_leases_cannot_be_had_and_asks_again_after_a_while() {
    let bench = Bench::new();
    bench.enqueue(1).await;
    bench.store.fail(StoreCall::Lease);
    let (mut executor, mut probe, _) = bench.executor(1).await;
    executor.init(&probe.node).await.unwrap();
    let failed = probe.next().await;
    executor.handle(&probe.node, failed).await.unwrap();
    assert!(matches!(probe.node.entry().view().health, Health::Unhealthy(_)));
    bench.store.set(StoreCall::Lease, Gate::Open);
    while slots(&probe) != (1, 1) {
        let message = probe.next().await;
        executor.handle(&probe.node, message).await.unwrap();
    }
    assert_eq!(probe.node.entry().view().health, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn the_executor_gives_back_what_comes_when_it_takes_nothing_any_more() {
    let bench = Bench::new();
    let ids = bench.enqueue(2).await;
    let (mut executor, mut probe, run) = bench.executor(2).await;
    executor.init(&probe.node).await.unwrap();
    let leases = probe.next().await;
    executor.pause(&probe.node);
    executor.handle(&probe.node, leases).await.unwrap();
    bench.settle().await;
    assert_eq!(slots(&probe), (0, 2));
    for id in ids {
        assert_eq!(bench.state(id).await, TaskState::Ready);
    }
    // A run for an operator that was claimed before the stop and comes after it.
    executor.stop(&probe.node).await.unwrap();
    let ask = LeaseAsk {
        queue: route("greet").queue.clone(),
        instance: InstanceName::new("test-1").unwrap(),
        up_to: 1,
        lease_for: Duration::from_secs(30),
        task: None,
    };
    let leased = bench.store.inner().lease(ask).await.unwrap();
    let id = leased[0].lease.task;
    let (reply, mut answer) = Reply::channel();
    let claimed = ExecutorMsg::ExecuteTask {
        leased: Granted::new(&run, leased),
        correlation: CorrelationId::new("look").unwrap(),
        reply,
    };
    executor.handle(&probe.node, claimed).await.unwrap();
    assert_eq!(answered(&mut answer).unwrap().unwrap_err().code, ErrorCode::FailedPrecondition);
    bench.settle().await;
    assert_eq!(bench.state(id).await, TaskState::Ready);
}

#[tokio::test(start_paused = true)]
async fn the_executor_ends_the_attempts_whose_leases_are_lost_and_no_others() {
    let bench = Bench::new();
    bench.enqueue(2).await;
    let (mut executor, mut probe, _) = bench.executor(2).await;
    executor.init(&probe.node).await.unwrap();
    let leases = probe.next().await;
    executor.handle(&probe.node, leases).await.unwrap();
    let held = bench.platform.leases.all();
    executor.handle(&probe.node, ExecutorMsg::LeasesLost { leases: vec![held[0]] }).await.unwrap();
    assert_eq!(slots(&probe), (1, 2));
    assert_eq!(bench.platform.leases.all(), [held[1]]);
    assert_eq!(probe.node.entry().view().errors, 1);
}

#[tokio::test(start_paused = true)]
async fn the_executor_finishes_when_it_is_asked_to_and_has_nothing_left() {
    let bench = Bench::new();
    let ids = bench.enqueue(2).await;
    let (mut executor, mut probe, _) = bench.executor(1).await;
    executor.init(&probe.node).await.unwrap();
    probe.node.ready();
    let leases = probe.next().await;
    executor.handle(&probe.node, leases).await.unwrap();
    assert_eq!(executor.stop(&probe.node).await, Ok(Progress::Underway));
    loop {
        match probe.next().await {
            over @ ExecutorMsg::GraceOver => break executor.handle(&probe.node, over).await.unwrap(),
            other => executor.handle(&probe.node, other).await.unwrap(),
        }
    }
    bench.platform.completion.arrived().await;
    bench.settle().await;
    while slots(&probe) != (0, 1) {
        let message = probe.next().await;
        executor.handle(&probe.node, message).await.unwrap();
    }
    for id in ids {
        assert_eq!(bench.state(id).await, TaskState::Ready);
    }
    probe.finished().await;
}
