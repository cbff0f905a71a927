//! Workers that are configured anew while they run, and what operators said in place of the configuration.

use std::sync::Arc;
use std::time::Duration;

use runtime_core::control::{
    Command, CommandError, NodeCommand, Override, OverrideCommand, OverrideSubject, ask,
};
use runtime_core::error::ErrorCode;
use runtime_core::node::{DesiredState, NodeState};
use runtime_core::store::LaneBy;
use runtime_core::task::TaskState;
use runtime_core::worker::WorkerDescriptor;

use super::GREET;
use crate::runtime::StopReport;
use crate::tests::kit::{FaultyStore, Gate, StoreCall, World, Worlds, from_fn, path, worker};

async fn reconfigure(world: &World, workers: Vec<WorkerDescriptor>) -> Result<(), CommandError> {
    let workers = workers.into_iter().map(Arc::new).collect();
    ask(&*world.control, |reply| Command::Reconfigure { workers, reply }).await
}

async fn said(world: &World) -> Vec<Override> {
    ask(&*world.control, |reply| Command::Overrides(OverrideCommand::List { reply })).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_worker_has_other_slots_timeouts_and_retries_from_now_on_and_what_runs_keeps_its_own() {
    let plan = worker("greet", 1, from_fn(async |_| std::future::pending().await));
    let before = (*plan.descriptor).clone();
    let world = Worlds::new().worker(plan).start().await;
    let ids = world.enqueue("greet", 2).await;
    world.until(GREET, |view| view.slots == Some((1, 1))).await;

    let mut after = before.clone();
    after.slots = 2.try_into().unwrap();
    after.timeout = Duration::from_secs(2);
    after.retry.max_attempts = 1.try_into().unwrap();
    reconfigure(&world, vec![after]).await.unwrap();
    world.until(GREET, |view| view.slots == Some((2, 2))).await;
    // The second began with 2 s and one attempt; the first still has its 10 s and its three attempts.
    world.until_task(ids[1], TaskState::Dead).await;
    assert_eq!(world.task(ids[0]).await.state, TaskState::Leased);
    world.until_task(ids[0], TaskState::Scheduled).await;

    // Over a restart of the worker, and of the node that knows them all.
    assert!(world.entry("/engine/templates").kill() && world.entry(GREET).kill());
    world.until(GREET, |view| view.state == NodeState::Running && view.incarnation >= 2).await;
    world.until(GREET, |view| view.slots.is_some_and(|(_, slots)| slots == 2)).await;
    let known = ask(&*world.control, |reply| Command::ListWorkers { reply }).await.unwrap();
    assert_eq!(known[0].timeout, Duration::from_secs(2));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn other_workers_than_those_that_run_are_refused_and_a_failing_store_changes_nothing() {
    let plan = worker("greet", 1, from_fn(async |_| std::future::pending().await));
    let before = (*plan.descriptor).clone();
    let world = Worlds::new().worker(plan).start().await;
    let refused = reconfigure(&world, Vec::new()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);

    let mut after = before.clone();
    after.slots = 5.try_into().unwrap();
    after.flow.lanes = Some(LaneBy::Tenant);
    world.store.fail(StoreCall::SetQueuePolicy);
    assert!(reconfigure(&world, vec![after.clone()]).await.is_err());
    world.store.set(StoreCall::SetQueuePolicy, Gate::Open);
    let known = ask(&*world.control, |reply| Command::ListWorkers { reply }).await.unwrap();
    assert_eq!(known, [before]);
    reconfigure(&world, vec![after]).await.unwrap();
    world.until(GREET, |view| view.slots == Some((0, 5))).await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn chosen_slots_survive_the_process_and_are_taken_back_by_name() {
    let plan = || worker("greet", 1, from_fn(async |_| std::future::pending().await));
    let worlds = Worlds::new().worker(plan());
    let (store, clock) = (worlds.store.inner(), worlds.clock.clone());
    let world = worlds.start().await;
    world.steer(GREET, NodeCommand::Resize { slots: 4.try_into().unwrap() }).await.unwrap();
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    assert!(world.entry("/").kill());
    drop(world);

    let world = Worlds::on(FaultyStore::new(store), clock).worker(plan()).start().await;
    assert_eq!(world.entry(GREET).view().slots, Some((0, 4)));
    let says: Vec<_> = said(&world).await.into_iter().map(|known| (known.subject, known.says)).collect();
    let node = || OverrideSubject::Node(path(GREET));
    assert_eq!(says, [(node(), "paused".to_owned()), (node(), "slots = 4".to_owned())]);

    let cleared = ask(&*world.control, |reply| {
        Command::Overrides(OverrideCommand::Clear { subject: node(), terms: Default::default(), reply })
    });
    assert_eq!(cleared.await.unwrap().len(), 2);
    let view = world.entry(GREET).view();
    assert_eq!(
        (view.state, view.desired, view.slots),
        (NodeState::Running, DesiredState::Running, Some((0, 1)))
    );
    assert_eq!(said(&world).await, []);
    let again = ask(&*world.control, |reply| {
        Command::Overrides(OverrideCommand::Clear { subject: node(), terms: Default::default(), reply })
    });
    assert_eq!(again.await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn slots_that_the_node_does_not_take_are_not_stored() {
    let world = Worlds::new()
        .worker(worker("greet", 1, from_fn(async |_| std::future::pending().await)))
        .start()
        .await;
    world.steer(GREET, NodeCommand::Stop).await.unwrap();
    assert!(world.steer(GREET, NodeCommand::Resize { slots: 4.try_into().unwrap() }).await.is_err());
    let resized = said(&world).await.into_iter().filter(|known| known.says.starts_with("slots")).count();
    assert_eq!(resized, 0);
    assert_eq!(world.stop().await, StopReport::Clean);
}
