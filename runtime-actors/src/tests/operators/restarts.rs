//! What was begun again, and why.

use std::time::Duration;

use runtime_core::control::{Command, NodeCommand, RestartCause, RestartPage, ask};
use runtime_core::node::{NodePath, NodeState};

use super::*;
use crate::tests::sabotage::{How, Point};

const WORKERS: &str = "/engine/apps/shop/workers";

async fn restarts(world: &World, under: &str, before: Option<u64>, page_size: usize) -> RestartPage {
    let under: NodePath = under.parse().unwrap();
    ask(&*world.control, |reply| Command::ListRestarts { under, before, page_size, reply }).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn restarts_are_kept_with_their_runs_and_their_cause() {
    let world = shop(&Outside::new()).start().await;
    assert_eq!(restarts(&world, "/", None, 10).await, RestartPage::default(), "a start is no restart");

    world.entry(GREET).sabotage.plant(Point::Handle, How::Error);
    world.enqueue("greet", 1).await;
    world.until(GREET, |view| view.incarnation == 2 && view.state == NodeState::Running).await;
    let broke = restarts(&world, "/", None, 10).await.restarts.remove(0);
    assert_eq!((broke.path.as_str(), broke.before, broke.after), (GREET, 1, 2));
    assert!(matches!(&broke.cause, RestartCause::Fault(text) if !text.is_empty()), "{broke:?}");
    assert!(broke.backoff.is_some_and(|backoff| backoff > Duration::ZERO), "{broke:?}");

    world.steer(WAVE, NodeCommand::Restart).await.unwrap();
    world.steer(DOOR, NodeCommand::Stop).await.unwrap();
    world.steer(DOOR, NodeCommand::Start).await.unwrap();
    // Wanting what is so begins nothing, and explains no later restart.
    world.steer(WAVE, NodeCommand::Start).await.unwrap();
    world.steer(WORKERS, NodeCommand::Restart).await.unwrap();

    let page = restarts(&world, "/", None, 100).await;
    let seen: Vec<_> =
        page.restarts.iter().map(|known| (known.path.as_str(), known.after, &known.cause)).collect();
    let (operator, together) = (&RestartCause::Operator, &RestartCause::Together);
    for expected in [(WAVE, 2, operator), (DOOR, 2, operator), (WORKERS, 2, operator), (WAVE, 3, together)] {
        assert!(seen.contains(&expected), "{expected:?} in {seen:?}");
    }
    let numbers: Vec<u64> = page.restarts.iter().map(|known| known.number).collect();
    assert!(numbers.is_sorted_by(|one, next| one > next), "newest first: {numbers:?}");
    assert_eq!((page.more, page.forgotten), (false, 0));
    let under = restarts(&world, WORKERS, None, 100).await.restarts;
    assert!(under.iter().all(|known| known.path.as_str().starts_with(WORKERS)) && under.len() >= 4);

    let first = restarts(&world, "/", None, 2).await;
    let second = restarts(&world, "/", Some(first.restarts[1].number), 100).await;
    assert!(first.more && first.restarts.len() == 2);
    assert_eq!([first.restarts, second.restarts].concat(), page.restarts, "pages join");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_book_of_restarts_is_bounded_and_says_what_it_forgot() {
    let world = Worlds::new().worker(slow("greet")).start().await;
    for _ in 0..1_005 {
        world.steer(GREET, NodeCommand::Restart).await.unwrap();
    }
    let page = restarts(&world, GREET, None, 2_000).await;
    assert_eq!((page.restarts.len(), page.forgotten, page.more), (1_000, 5, false));
    assert_eq!((page.restarts[0].after, page.restarts[999].number), (1_006, 6));
    world.stop().await;
}
