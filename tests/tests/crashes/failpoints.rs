//! One crash at every place from claim to mark.

use std::os::unix::process::ExitStatusExt;

use futures_util::{StreamExt, stream};
use runtime_core::failpoint;
use runtime_tests::ground::Job;
use rustix::process::Signal;

use crate::world::{Decided, assert_all_done_once, ground, work_off};

/// Jobs in the inbox; each has every kind of effect.
const JOBS: usize = 5;

/// Grounds at a time: each is a process.
const AT_A_TIME: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_place_from_claim_to_mark_loses_and_repeats_nothing() {
    let walked: Vec<(&str, Decided)> = stream::iter(failpoint::ALL)
        .map(async |(name, _)| (*name, crash_at(name).await))
        .buffered(AT_A_TIME)
        .collect()
        .await;
    for (name, decided) in &walked {
        println!("{name}: {decided:?}");
        // Only between the intent and the result of an unkeyed effect does nobody know; a person is asked exactly there.
        let wanted = match *name {
            "effect_intent_written" => Decided { not_happened: 1, ..Decided::default() },
            "effect_called" => Decided { happened: 1, ..Decided::default() },
            _ => Decided::default(),
        };
        assert_eq!(*decided, wanted, "{name}");
    }
}

/// Dies there, starts again, and finds everything done once.
async fn crash_at(name: &str) -> Decided {
    let ground = ground();
    let jobs: Vec<Job> = (0..JOBS as u64)
        .map(|n| Job { n, keyed: true, unkeyed: true, follow_up: true, ..Job::default() })
        .collect();
    for job in &jobs {
        ground.folder().put_into_inbox(&format!("{}.json", job.n), job).expect("a file");
    }

    let variables = [("RUNTIME_FAILPOINT", format!("{name}:1"))];
    // One at a time, so that nothing else is caught at a place of its own.
    let mut process = ground.start_with(&["--set", "workers.job.slots=1"], &variables);
    let end = process.end().await;
    assert_eq!(end.signal(), Some(Signal::ABORT.as_raw()), "{name}: {end}");
    assert!(ground.log().contains(&format!("failpoint {name} reached")), "{name}: {}", ground.log());

    let mut process = ground.start();
    let client = process.client().await;
    let decided = work_off(&client, &ground, JOBS).await;
    assert_eq!(process.stop().await, 0, "{name}");
    assert_all_done_once(&ground, &jobs).await;
    decided
}
