//! Who changes a node or a queue says what it was when it was read: of two who go out from the same state, one alone changes it.

use std::num::NonZeroUsize;

use futures_util::future::join_all;
use runtime_core::control::{Command, CommandError, QueueCommand, QueueDetail, QueueView, Reply, ask};
use runtime_core::etag::{Etag, Terms};
use runtime_core::node::NodeView;

use super::*;
use crate::tests::kit::{Gate, StoreCall};

fn resized(slots: usize) -> NodeCommand {
    NodeCommand::Resize { slots: NonZeroUsize::new(slots).expect("slots") }
}

fn from(etag: &Etag) -> Terms {
    Terms { expected: Some(etag.clone()), validate_only: false }
}

async fn steer(
    world: &World,
    at: &str,
    command: NodeCommand,
    terms: Terms,
) -> Result<NodeView, CommandError> {
    let path: NodePath = at.parse().unwrap();
    ask(&*world.control, |reply| Command::SteerNode { path, command, terms, reply }).await
}

fn etag(world: &World, at: &str) -> Etag {
    world.entry(at).view().etag
}

async fn of_queue(
    world: &World,
    make: impl FnOnce(Reply<QueueDetail>) -> QueueCommand,
) -> Result<QueueDetail, CommandError> {
    ask(&*world.control, |reply| Command::Queues(make(reply))).await
}

async fn pause(world: &World, scope: &str, paused: bool, terms: Terms) -> Result<QueueDetail, CommandError> {
    let scope = Some(scope).filter(|scope| !scope.is_empty()).map(|scope| scope.parse().unwrap());
    let (queue, reason) = ("greet".parse().unwrap(), String::new());
    of_queue(world, |reply| QueueCommand::Pause { queue, scope, paused, reason, terms, reply }).await
}

async fn queue(world: &World) -> QueueDetail {
    let queue = "greet".parse().unwrap();
    of_queue(world, |reply| QueueCommand::Get { queue, reply }).await.unwrap()
}

/// The queue as the list has it.
async fn row(world: &World) -> QueueView {
    let queues = ask(&*world.control, |reply| Command::ListQueues { reply }).await.unwrap();
    queues.into_iter().find(|known| known.stats.queue.as_str() == "greet").expect("a worker waits at it")
}

fn is_changed<T: std::fmt::Debug>(answer: Result<T, CommandError>) -> bool {
    answer.unwrap_err().code == ErrorCode::ChangedMeanwhile
}

#[tokio::test(start_paused = true)]
async fn of_many_who_change_a_node_from_one_state_one_alone_does() {
    let world = shop(&Outside::new()).start().await;
    let (read, sibling, above) = (etag(&world, GREET), etag(&world, WAVE), etag(&world, APP));
    let answers = join_all((3..23).map(|slots| steer(&world, GREET, resized(slots), from(&read)))).await;
    let mut done: Vec<NodeView> = answers.iter().filter_map(|answer| answer.clone().ok()).collect();
    let refused =
        answers.into_iter().filter(Result::is_err).filter(|answer| is_changed(answer.clone())).count();
    assert_eq!((done.len(), refused), (1, 19));
    let now = done.remove(0);
    assert_eq!((&now.etag, now.slots), (&etag(&world, GREET), world.entry(GREET).view().slots));
    assert_eq!(etag(&world, WAVE), sibling, "nobody touched it");
    assert_ne!(etag(&world, APP), above, "something else is wanted of what stands under it");
    assert!(is_changed(steer(&world, APP, NodeCommand::Pause, from(&above)).await));

    let paused = steer(&world, APP, NodeCommand::Pause, from(&etag(&world, APP))).await.unwrap();
    assert!(is_changed(steer(&world, GREET, NodeCommand::Resume, from(&now.etag)).await));
    assert!(is_changed(steer(&world, WAVE, NodeCommand::Resume, from(&sibling)).await));
    let resumed = steer(&world, APP, NodeCommand::Resume, from(&paused.etag)).await.unwrap();
    assert_ne!(resumed.etag, paused.etag);
    steer(&world, GREET, NodeCommand::Pause, Terms::default()).await.unwrap();
    assert!(is_changed(steer(&world, APP, NodeCommand::Pause, from(&resumed.etag)).await));
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn of_two_who_change_a_queue_from_one_state_one_alone_does() {
    let world = shop(&Outside::new()).start().await;
    world.enqueue("greet", 1).await;
    let read = queue(&world).await.etag;
    let held = pause(&world, "store=1", true, from(&read)).await.unwrap();
    assert!(is_changed(pause(&world, "store=2", true, from(&read)).await));
    assert_eq!(queue(&world).await.paused_scopes.len(), 1);
    assert_eq!((queue(&world).await.etag, row(&world).await.etag), (held.etag.clone(), held.etag.clone()));
    let whole = pause(&world, "", true, from(&held.etag)).await.unwrap();
    assert!(is_changed(pause(&world, "", false, from(&held.etag)).await));
    assert_eq!(world.entry(GREET).state(), NodeState::Paused);
    let listed = row(&world).await;
    assert_eq!((listed.paused, listed.paused_scopes, listed), (true, 1, queue(&world).await.view()));
    let overview = ask(&*world.control, |reply| Command::GetOverview { reply }).await.unwrap();
    assert_eq!(overview.paused_queues, ["greet".parse().unwrap()]);
    pause(&world, "", false, from(&whole.etag)).await.unwrap();
    assert_eq!(world.entry(GREET).state(), NodeState::Running);
    assert_eq!((row(&world).await.paused, row(&world).await.paused_scopes), (false, 1));
    world.stop().await;
}

/// Whoever changes a queue reads nothing that takes time while others wait for their turn.
#[tokio::test(start_paused = true)]
async fn a_queue_is_paused_while_the_figures_of_queues_cannot_be_read() {
    let world = shop(&Outside::new()).start().await;
    world.enqueue("greet", 1).await;
    world.store.set(StoreCall::Stats, Gate::Shut);
    for scope in ["", "store=1"] {
        pause(&world, scope, true, Terms::default()).await.unwrap();
    }
    assert_eq!(world.entry(GREET).state(), NodeState::Paused);
    // Control: the gate holds.
    let listed = ask(&*world.control, |reply| Command::ListQueues { reply });
    assert!(tokio::time::timeout(Duration::from_secs(1), listed).await.is_err());
    world.store.set(StoreCall::Stats, Gate::Open);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_look_changes_neither_nodes_nor_queues() {
    let world = shop(&Outside::new()).start().await;
    world.enqueue("greet", 1).await;
    let look = || Terms { expected: None, validate_only: true };
    let (before, of_queue) = (etag(&world, GREET), queue(&world).await.etag);
    for (command, desired) in [
        (NodeCommand::Start, DesiredState::Running),
        (NodeCommand::Stop, DesiredState::Stopped),
        (NodeCommand::Restart, DesiredState::Running),
        (NodeCommand::Pause, DesiredState::Paused),
        (NodeCommand::Resume, DesiredState::Running),
        (NodeCommand::Drain, DesiredState::Stopped),
        (resized(9), DesiredState::Running),
        (NodeCommand::AsConfigured, DesiredState::Running),
    ] {
        let would = steer(&world, GREET, command, look()).await.unwrap();
        assert_eq!((would.desired, would.etag), (desired, before.clone()), "{command:?}");
    }
    pause(&world, "", true, look()).await.unwrap();
    pause(&world, "store=1", true, look()).await.unwrap();
    let now = world.entry(GREET).view();
    assert_eq!(
        (now.state, now.desired, now.incarnation, now.etag),
        (NodeState::Running, DesiredState::Running, 1, before)
    );
    assert_eq!((queue(&world).await.etag, queue(&world).await.paused_scopes.len()), (of_queue, 0));
    let refused = steer(&world, "/engine/store", NodeCommand::Stop, look()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_back_while_it_drains_is_not_stopped() {
    let world = shop(&Outside::new()).start().await;
    world.enqueue("greet", 2).await;
    world.until(GREET, |view| view.slots == Some((2, 2))).await;
    let draining = steer(&world, GREET, NodeCommand::Drain, Terms::default());
    let wanted_back = async {
        world.until_state(GREET, NodeState::Draining).await;
        steer(&world, GREET, NodeCommand::Resume, Terms::default()).await.unwrap();
    };
    let (drained, ()) = tokio::join!(draining, wanted_back);
    assert_eq!(drained.unwrap_err().code, ErrorCode::FailedPrecondition);
    let now = world.entry(GREET).view();
    assert_eq!((now.state, now.desired), (NodeState::Running, DesiredState::Running));
    world.stop().await;
}
