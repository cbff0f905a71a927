//! Retries that duplicate money, notifications, reservations or memberships: a crash at every failpoint, a thousand
//! duplicates, and every effect is still there once.

use std::os::unix::process::ExitStatusExt;

use futures_util::{StreamExt, stream};
use runtime_admin::AdminClient;
use runtime_core::failpoint;
use runtime_tests::eventually_within;
use runtime_tests::ground::GroundProcess;
use rustix::process::Signal;

use crate::world::{Ask, LONG, World, decide, moving, until_idle};

/// Shops at a time: each is a process.
const AT_A_TIME: usize = 4;

/// At which of its visits to a place the shop dies.
const TIMES: &[u32] = if cfg!(feature = "nightly") { &[1, 2, 3, 5] } else { &[1] };

/// Places that belong to a source: the shop's endpoint writes and answers, and marks nothing outside.
const OF_SOURCES: [&str; 3] = ["enqueue_committed", "mark_due", "marked"];

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_failpoint_duplicates_nothing() {
    let places = failpoint::ALL.iter().flat_map(|(name, _)| TIMES.iter().map(|time| (*name, *time)));
    let walked: Vec<(&str, bool, usize)> = stream::iter(places)
        .map(async |(name, time)| crash_at(name, time).await)
        .buffered(AT_A_TIME)
        .collect()
        .await;
    for (name, crashed, asked) in walked {
        println!("{name}: crashed {crashed}, a person was asked {asked} times");
        assert_eq!(crashed, !OF_SOURCES.contains(&name), "{name}");
        let unknown = ["effect_intent_written", "effect_called"].contains(&name);
        assert_eq!(
            asked,
            usize::from(unknown),
            "{name}: a person is asked where nobody knows, and only there"
        );
    }
}

async fn crash_at(name: &'static str, time: u32) -> (&'static str, bool, usize) {
    let world = World::in_a_hurry().await;
    let asks = world.asks();
    let mut process = world.start(Some((name, time)));
    world.send(&mut process, &asks, 1, true).await;
    // Either it dies there, or it never comes by and has nothing left to do.
    let end = eventually_within(LONG, "the shop dies or is idle", async || match process.has_ended() {
        Some(end) => Some(Some(end)),
        None => {
            let client = AdminClient::connect(&process.endpoint()?).await.ok()?;
            (moving(&client).await? == 0).then_some(None)
        }
    })
    .await;
    if let Some(end) = end {
        assert_eq!(end.signal(), Some(Signal::ABORT.as_raw()), "{name}: {end}\n{}", world.shop.log());
        process = world.start(None);
    }
    let asked = finish(&world, &mut process, &asks).await;
    assert_eq!(process.stop().await, 0, "{name}: {}", world.shop.log());
    assert_eq!(world.counted_once().await, Ok(()), "{name}");
    (name, end.is_some(), asked)
}

/// The customers ask again, everything runs, and a person decides what only a person can.
async fn finish(world: &World, process: &mut GroundProcess, asks: &[Ask]) -> usize {
    world.insist(process, asks).await;
    let client = process.client().await;
    until_idle(&client).await;
    let asked = decide(world, &client).await;
    until_idle(&client).await;
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_duplicates_are_one_and_without_keys_they_are_a_thousand() {
    let world = World::in_a_hurry().await;
    let asks = world.asks();
    let times = 1_000_usize.div_ceil(asks.len());
    let mut process = world.start(None);
    process.client().await;
    world.send(&mut process, &asks, times, true).await;
    finish(&world, &mut process, &asks).await;
    world.send(&mut process, &asks, 2, true).await;
    until_idle(&process.client().await).await;
    assert_eq!(process.stop().await, 0, "{}", world.shop.log());
    assert_eq!(world.counted_once().await, Ok(()));

    // Control: the same requests without their keys are requests of their own, and the same count finds them.
    let mut process = world.start(None);
    process.client().await;
    world.send(&mut process, &asks[..1], 2, false).await;
    assert_eq!(process.stop().await, 0, "{}", world.shop.log());
    let counted = world.counted_once().await;
    assert!(counted.as_ref().is_err_and(|wrong| wrong.starts_with("sales")), "{counted:?}");
}
