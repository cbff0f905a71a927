//! The three gaps that the taken-over decision names.

use runtime_core::control::{Command, NodeCommand, ask};
use runtime_core::error::ErrorCode;
use runtime_core::event::NewEvent;
use runtime_core::node::NodeState;
use runtime_core::task::TaskState;

use super::kit::{Facts, Gate, StoreCall, Worlds, done, from_fn, worker};
use super::sabotage::{How, Point};
use crate::runtime::StopReport;

fn emitting() -> crate::registry::WorkerPlan {
    let handler = from_fn(async |ctx| {
        ctx.emit(NewEvent { kind: "greeted".into(), body: b"null".to_vec() });
        done()
    });
    worker("greet", 2, handler)
}

#[tokio::test(start_paused = true)]
async fn events_are_dispatched_after_each_completion() {
    let facts = Facts::new();
    let mut worlds = Worlds::new().worker(emitting());
    worlds.app.subscribers.push(facts.clone());
    let world = worlds.start().await;
    for count in 1..=5 {
        let id = world.enqueue("greet", 1).await[0];
        facts.until(count).await;
        assert_eq!(facts.heard()[count - 1].task, id);
        assert_eq!(world.task(id).await.state, TaskState::Done, "only after the settlement that stated it");
    }
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_completion_whose_answer_was_lost_are_dispatched_too() {
    let facts = Facts::new();
    let mut worlds = Worlds::new().worker(emitting());
    worlds.app.subscribers.push(facts.clone());
    let world = worlds.start().await;
    world.store.set(StoreCall::SettleAnswer, Gate::Shut);
    let id = world.enqueue("greet", 1).await[0];
    world.store.called(StoreCall::SettleAnswer, 1).await;
    assert_eq!(world.task(id).await.state, TaskState::Done, "it is written");
    assert!(world.entry("/engine/completion").kill());
    world.store.set(StoreCall::SettleAnswer, Gate::Open);
    facts.until(1).await;
    world.idle().await;
    world.until("/engine/apps/shop/workers/greet", |view| view.slots == Some((0, 2))).await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_completion_that_was_written_although_the_store_said_otherwise_are_dispatched_too() {
    let facts = Facts::new();
    let mut worlds = Worlds::new().worker(emitting());
    worlds.app.subscribers.push(facts.clone());
    let world = worlds.start().await;
    // A connection that breaks between commit and answer: the same batch is settled again, and is stale.
    world.store.fail(StoreCall::SettleAnswer);
    let id = world.enqueue("greet", 1).await[0];
    world.until_task(id, TaskState::Done).await;
    world.store.set(StoreCall::SettleAnswer, Gate::Open);
    facts.until(1).await;
    assert_eq!(world.entry("/engine/events").incarnation(), 1);
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn events_that_a_crash_left_are_dispatched_at_the_next_start() {
    let facts = Facts::new();
    let mut worlds = Worlds::new().worker(emitting());
    worlds.app.subscribers.push(facts.clone());
    let world = worlds.start().await;
    // The relay does not get its hands on the outbox before the engine is killed.
    world.store.fail(StoreCall::Unrelayed);
    world.enqueue("greet", 3).await;
    world.idle().await;
    assert!(world.entry("/engine").kill());
    assert!(facts.heard().is_empty());
    world.store.set(StoreCall::Unrelayed, Gate::Open);
    world.until("/engine/events", |view| view.incarnation == 2 && view.state == NodeState::Running).await;
    facts.until(3).await;
    assert_eq!(world.stop().await, StopReport::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_reached_nobody_is_heard_by_the_sender() {
    let world = Worlds::new().worker(emitting()).start().await;
    let status = world.entry("/control/status");
    status.sabotage.plant(Point::Init, How::Hang);
    assert!(status.kill());
    world.until_state("/control/status", NodeState::Starting).await;
    let unheard = ask(&*world.control, |reply| Command::GetInfo { reply }).await.unwrap_err();
    assert_eq!(unheard.code, ErrorCode::NoAnswer);
    world.until_state("/control/status", NodeState::Running).await;
    ask(&*world.control, |reply| Command::GetInfo { reply }).await.unwrap();

    // The door itself: a command to a commands node that is not there comes back at once.
    let commands = world.entry("/control/commands");
    assert!(commands.kill());
    world.until_state("/control/commands", NodeState::BackingOff).await;
    let refused = ask(&*world.control, |reply| Command::GetInfo { reply }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::NoAnswer);
    world.until_state("/control/commands", NodeState::Running).await;

    let control = world.control.clone();
    assert_eq!(world.stop().await, StopReport::Clean);
    let late = ask(&*control, |reply| Command::GetInfo { reply }).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::ShuttingDown);
}

#[tokio::test(start_paused = true)]
async fn a_second_template_cache_knows_what_the_first_one_knew() {
    let world = Worlds::new().worker(emitting()).start().await;
    let workers = async || {
        let all = ask(&*world.control, |reply| Command::ListWorkers { reply }).await.unwrap();
        all.into_iter().map(|worker| worker.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(workers().await, ["greet"]);
    assert!(world.entry("/engine/templates").kill());
    // Also while there is no node at all: whoever shares the cache still finds the worker.
    assert!(world.platform().templates.get(&"greet".parse().unwrap()).is_some());
    world.until("/engine/templates", |view| view.incarnation == 2 && view.state == NodeState::Running).await;
    assert_eq!(workers().await, ["greet"]);
    world.steer("/engine/templates", NodeCommand::Restart).await.unwrap();
    assert_eq!(workers().await, ["greet"]);
    assert_eq!(world.stop().await, StopReport::Clean);
}
