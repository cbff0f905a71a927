//! What operators want of nodes is stored before it is done, and is true afterwards.

use std::time::Duration;

use runtime_core::control::NodeCommand;
use runtime_core::error::ErrorCode;
use runtime_core::node::{DesiredState, NodeState};
use runtime_core::task::TaskState;

use super::{APP, DOOR, GREET, WAVE, shop, slow};
use crate::runtime::StopReport;
use crate::tests::kit::{FaultyStore, Gate, Outside, StoreCall, Worlds};
use crate::tests::sabotage::{How, Point};

#[tokio::test(start_paused = true)]
async fn what_was_wanted_survives_a_restart_of_the_runtime() {
    let outside = Outside::new();
    let worlds = shop(&outside);
    let (store, clock, app) = (worlds.store.inner(), worlds.clock.clone(), worlds.app.clone());
    let world = worlds.start().await;
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    world.steer(WAVE, NodeCommand::Stop).await.unwrap();
    world.steer("/engine/apps/shop/sources", NodeCommand::Stop).await.unwrap();
    // The process dies: the tree is dropped where it stands, and nobody closes the store.
    assert!(world.entry("/").kill());
    let asked_before = world.store.count(StoreCall::Lease);
    drop(world);

    let mut again = Worlds::on(FaultyStore::new(store), clock);
    again.app = app;
    let world = again.start().await;
    let seen = |node: &str| {
        let view = world.entry(node).view();
        (view.state, view.desired)
    };
    assert_eq!(seen(GREET), (NodeState::Paused, DesiredState::Paused));
    assert_eq!(seen(WAVE), (NodeState::Stopped, DesiredState::Stopped));
    assert_eq!(seen("/engine/apps/shop/sources"), (NodeState::Stopped, DesiredState::Stopped));
    assert_eq!(seen(DOOR), (NodeState::Waiting, DesiredState::Running));
    assert_eq!(seen(APP), (NodeState::Running, DesiredState::Running));
    let ids = world.enqueue("greet", 3).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(asked_before > 0);
    assert_eq!(world.store.count(StoreCall::Lease), 0, "paused from its first moment on");
    world.steer(GREET, NodeCommand::Resume).await.unwrap();
    world.steer(WAVE, NodeCommand::Start).await.unwrap();
    world.steer("/engine/apps/shop/sources", NodeCommand::Start).await.unwrap();
    outside.put(["late".to_owned()]);
    outside.marked(1).await;
    for id in ids {
        world.until_task(id, TaskState::Done).await;
    }
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_stopped_stays_so_when_all_around_it_is_paused_and_resumed() {
    let world = shop(&Outside::new()).start().await;
    world.steer(WAVE, NodeCommand::Stop).await.unwrap();
    world.steer(APP, NodeCommand::Pause).await.unwrap();
    world.steer(APP, NodeCommand::Resume).await.unwrap();
    assert_eq!(world.entry(WAVE).view().desired, DesiredState::Stopped);
    assert_eq!(world.entry(WAVE).state(), NodeState::Stopped);
    assert_eq!(world.entry(GREET).state(), NodeState::Running);
    let refused = world.steer(WAVE, NodeCommand::Pause).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    world.steer(APP, NodeCommand::Restart).await.unwrap();
    assert_eq!(world.entry(WAVE).state(), NodeState::Stopped, "also when its supervisor is new");
    // A restart brings it back, and that is what is wanted from then on.
    world.steer(WAVE, NodeCommand::Restart).await.unwrap();
    assert_eq!(world.entry(WAVE).view().desired, DesiredState::Running);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn all_under_a_node_is_wanted_by_one_write_or_nothing_is() {
    let world = shop(&Outside::new()).start().await;
    let wanted = || [GREET, WAVE, DOOR].map(|node| world.entry(node).view().desired);
    world.store.fail(StoreCall::SetDesired);
    world.steer(APP, NodeCommand::Pause).await.unwrap_err();
    assert_eq!(wanted(), [DesiredState::Running; 3]);
    world.store.set(StoreCall::SetDesired, Gate::Open);
    let writes = world.store.count(StoreCall::SetDesired);
    world.steer(APP, NodeCommand::Pause).await.unwrap();
    assert_eq!(wanted(), [DesiredState::Paused; 3]);
    assert_eq!(world.store.count(StoreCall::SetDesired), writes + 1);
    world.steer(APP, NodeCommand::Resume).await.unwrap();
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_comes_while_a_node_starts_is_not_missed() {
    for (first, then, state) in [
        (NodeCommand::Resume, NodeCommand::Pause, NodeState::Paused),
        (NodeCommand::Pause, NodeCommand::Resume, NodeState::Running),
    ] {
        let world = Worlds::new().worker(slow("greet")).start().await;
        world.steer(GREET, first).await.unwrap();
        let entry = world.entry(GREET);
        entry.sabotage.plant(Point::Init, How::Slow(Duration::from_secs(5)));
        assert!(entry.kill());
        world.until(GREET, |view| view.incarnation == 2 && entry.sabotage.is_over()).await;
        world.steer(GREET, then).await.unwrap();
        let view = world.until(GREET, |view| view.state != NodeState::Starting).await;
        assert_eq!(view.state, state);
        let id = world.enqueue("greet", 1).await[0];
        tokio::time::sleep(Duration::from_secs(5)).await;
        let ran = world.task(id).await.state == TaskState::Done;
        assert_eq!(ran, state == NodeState::Running, "it does what it shows");
        assert_eq!(world.stop().await, StopReport::Clean);
    }
}
