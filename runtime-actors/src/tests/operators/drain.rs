//! The whole instance takes no new work, and takes it again.

use std::time::Duration;

use runtime_core::control::{Command, CommandError, DrainCommand, DrainView, NodeCommand, ask};
use runtime_core::error::ErrorCode;
use runtime_core::node::{DesiredState, NodePath, NodeState};
use runtime_core::task::{NewTask, TaskState};

use super::*;
use crate::tests::kit::route;

const SCHEDULES: &str = "/control/schedules";
const OPERATIONS: &str = "/control/operations";

async fn start(world: &World, validate_only: bool) -> DrainView {
    let (by, reason) = ("alice".to_owned(), "new machine".to_owned());
    let start = |reply| Command::Drain(DrainCommand::Start { by, reason, validate_only, reply });
    ask(&*world.control, start).await.expect("an answer")
}

async fn stop(world: &World) -> Option<DrainView> {
    ask(&*world.control, |reply| Command::Drain(DrainCommand::Stop { reply })).await.expect("an answer")
}

async fn drain(world: &World) -> Option<DrainView> {
    ask(&*world.control, |reply| Command::GetInfo { reply }).await.expect("info").drain
}

async fn one_more(world: &World) -> Result<(), CommandError> {
    let tasks = vec![NewTask::new(route("greet"), b"null".to_vec())];
    ask(&*world.control, |reply| Command::EnqueueTasks { tasks, reply }).await.map(drop)
}

/// What every node is, and what operators want of it.
fn standing(world: &World) -> Vec<(NodePath, NodeState, DesiredState)> {
    let entries = world.platform().table.under(&NodePath::root());
    entries.iter().map(|entry| (entry.path().clone(), entry.state(), entry.desired())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_draining_instance_takes_nothing_new_finishes_what_it_has_and_goes_on_as_it_was() {
    let outside = Outside::new();
    let world = shop(&outside).start().await;
    world.steer(WAVE, NodeCommand::Pause).await.unwrap();
    let before = standing(&world);
    let greet = world.enqueue("greet", 5).await;
    let wave = world.enqueue("wave", 1).await;
    world.until(GREET, |view| view.slots == Some((2, 2))).await;

    let would = start(&world, true).await;
    assert!(would.leased >= 2 && !would.drained && drain(&world).await.is_none(), "{would:?}");
    let begun = start(&world, false).await;
    assert_eq!((begun.by.as_str(), begun.reason.as_str(), begun.drained), ("alice", "new machine", false));
    for node in [GREET, WAVE, DOOR, SCHEDULES, OPERATIONS] {
        assert_eq!(world.entry(node).state(), NodeState::Paused, "{node}");
    }
    let stored = world.store.inner().desired().await.unwrap();
    assert_eq!(stored, [(WAVE.parse().unwrap(), DesiredState::Paused)], "draining is not stored");
    let refused = one_more(&world).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after), (ErrorCode::Draining, Some(Duration::from_secs(5))));
    outside.put(["left where it is".to_owned()]);

    // What runs ends; nothing begins, whatever is wanted of a single node and whoever breaks.
    timeout(Duration::from_mins(1), async {
        while !drain(&world).await.expect("it drains").drained {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it is drained");
    world.steer(GREET, NodeCommand::Restart).await.unwrap();
    world.steer(DOOR, NodeCommand::Resume).await.unwrap();
    world.steer(SCHEDULES, NodeCommand::Stop).await.unwrap();
    world.steer(SCHEDULES, NodeCommand::Start).await.unwrap();
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!((world.count(TaskState::Done).await, world.count(TaskState::Ready).await), (2, 4));
    let drained = drain(&world).await.expect("it drains");
    assert_eq!((drained.leased, drained.drained, drained.since), (0, true, begun.since));
    assert_eq!(start(&world, false).await.since, begun.since, "it was begun once");

    assert_eq!(stop(&world).await, Some(drained));
    assert_eq!(standing(&world), before, "what was paused stays so, everything else goes on");
    outside.marked(1).await;
    for task in greet {
        world.until_task(task, TaskState::Done).await;
    }
    assert_eq!(world.task(wave[0]).await.state, TaskState::Ready);
    one_more(&world).await.unwrap();
    assert_eq!(stop(&world).await, None);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_or_drained_by_itself_meanwhile_stays_so_afterwards() {
    let outside = Outside::new();
    let world = shop(&outside).start().await;
    start(&world, false).await;
    world.steer(GREET, NodeCommand::Pause).await.unwrap();
    world.steer(DOOR, NodeCommand::Drain).await.unwrap();
    stop(&world).await;
    assert_eq!(world.entry(GREET).state(), NodeState::Paused);
    assert_eq!(world.entry(DOOR).state(), NodeState::Stopped);
    assert_eq!(world.entry(WAVE).state(), NodeState::Running);
    world.stop().await;
}
