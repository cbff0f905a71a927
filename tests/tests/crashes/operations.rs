//! Operations through `kill -9`: each task once, progress right, the rate kept.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime_admin::AdminClient;
use runtime_core::error::TaskError;
use runtime_core::failpoint;
use runtime_core::name::{IdempotencyKey, Route};
use runtime_core::operation::OperationId;
use runtime_core::outcome::{Outcome, Settlement};
use runtime_core::store::{LeaseAsk, TaskStore};
use runtime_core::task::NewTask;
use runtime_proto::v1;
use runtime_stores::{SqliteOptions, SqliteStore, Synchronous};
use runtime_tests::eventually_within;
use runtime_tests::ground::{APP, Ground, Job};
use rustix::process::Signal;

use crate::world::{ground, until_idle};

#[cfg(not(feature = "nightly"))]
const DEAD: usize = 600;
#[cfg(not(feature = "nightly"))]
const RATE: u32 = 300;
#[cfg(feature = "nightly")]
const DEAD: usize = 100_000;
#[cfg(feature = "nightly")]
const RATE: u32 = 5_000;

/// How long an operation may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// Most tasks of one call while the ground is laid.
const BATCH: usize = 5_000;

/// So many tasks, each dead of one attempt, that die of every other one as well: nothing raises the flag they wait for.
async fn lay(ground: &Ground, tasks: usize) {
    std::fs::create_dir_all(ground.data_dir()).expect("a folder");
    let instance: runtime_core::name::InstanceName = "ground".parse().expect("a name");
    let clock = Arc::new(runtime_stores::SystemClock);
    let options = SqliteOptions {
        synchronous: Synchronous::Off,
        ..SqliteOptions::new(ground.store_file(), instance.clone(), clock)
    };
    let store = SqliteStore::open(options).expect("the store opens");
    let part = |text: &str| text.parse().expect("a name");
    let route = Arc::new(Route {
        app: APP.parse().expect("a name"),
        queue: part("job"),
        handler: "job".parse().expect("a name"),
    });
    let job = |n: usize| {
        let job = Job { n: n as u64, rejects: true, ..Job::default() };
        let payload = serde_json::to_vec(&job).expect("a document");
        NewTask::new(route.clone(), payload).keyed(IdempotencyKey::new(n.to_string()).expect("a key"))
    };
    for first in (0..tasks).step_by(BATCH) {
        let batch: Vec<NewTask> = (first..tasks.min(first + BATCH)).map(job).collect();
        let (up_to, queue) = (batch.len(), route.queue.clone());
        assert!(store.enqueue(batch).await.expect("the store answers").iter().all(Result::is_ok), "taken");
        let lease_for = Duration::from_secs(600);
        let ask = LeaseAsk { queue, instance: instance.clone(), up_to, lease_for, task: None };
        let settlements = store.lease(ask).await.expect("leases").into_iter().map(|leased| Settlement {
            lease: leased.lease,
            outcome: Outcome::Reject { error: TaskError::permanent("not yet") },
            with: None,
            node: None,
            started_at: leased.task.created_at,
            took: Duration::ZERO,
            trace: None,
        });
        store.settle(Arc::new(settlements.collect())).await.expect("settled");
    }
    store.close().await.expect("closed");
}

/// Begins the replay of all, and leaves it to itself.
async fn begin(client: &AdminClient, rate: u32) {
    let request = v1::ReplayDeadLettersRequest { all: true, rate, ..Default::default() };
    let replay = client.replay_dead_letters(request, |_| ());
    // Whoever hangs up changes nothing: what counts is that it was begun. A process that ends here answers nobody.
    tokio::select! {
        ended = replay => drop(ended),
        _ = until_done(client, 0) => {}
    }
}

async fn progress(client: &AdminClient) -> Option<v1::Operation> {
    client.operation(OperationId(1)).await.ok().map(|seen| seen.what)
}

async fn until_done(client: &AdminClient, done: u64) -> v1::Operation {
    eventually_within(PATIENCE, &format!("{done} tasks are replayed"), async || {
        progress(client).await.filter(|operation| operation.done >= done)
    })
    .await
}

/// The end of the operation, and everything that follows from it.
async fn finish(client: &AdminClient) -> v1::Operation {
    let end = client.watch_operation("operations/1", |_| ()).await.expect("it ends");
    until_idle(client).await;
    end
}

/// How often each task died, and when each was replayed, in milliseconds.
fn history(ground: &Ground) -> (BTreeMap<i64, i64>, Vec<i64>) {
    let file = rusqlite::Connection::open(ground.store_file()).expect("the store's file");
    let mut died = file
        .prepare("SELECT CAST(idempotency_key AS INTEGER), (SELECT count(*) FROM rt_attempt WHERE rt_attempt.row = rt_history.row \
            AND outcome = 'reject') FROM rt_history")
        .expect("a statement");
    let died = died.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).expect("rows");
    let mut at = file.prepare("SELECT run_at FROM rt_history ORDER BY run_at").expect("a statement");
    let at = at.query_map([], |row| row.get(0)).expect("rows");
    (died.collect::<Result<_, _>>().expect("counts"), at.collect::<Result<_, _>>().expect("moments"))
}

/// Numbers whose task did not die exactly twice: once before the replay, and once of it.
fn wrong(died: &BTreeMap<i64, i64>, tasks: usize) -> Vec<(i64, i64)> {
    let of = |n: i64| (n, died.get(&n).copied().unwrap_or(0));
    (0..tasks as i64).map(of).filter(|(_, times)| *times != 2).collect()
}

/// The most that were replayed in any one second.
fn most_in_a_second(at: &[i64]) -> usize {
    let mut from = 0;
    let mut most = 0;
    for (index, moment) in at.iter().enumerate() {
        while at[from] + 1_000 <= *moment {
            from += 1;
        }
        most = most.max(index + 1 - from);
    }
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_replay_killed_twice_on_the_way_replays_each_task_once_at_its_rate() {
    let ground = ground();
    lay(&ground, DEAD).await;
    let began = Instant::now();
    let mut process = ground.start();
    let client = process.client().await;
    begin(&client, RATE).await;
    drop(client);
    for part in [1, 2] {
        let client = process.client().await;
        let seen = until_done(&client, (DEAD / 3 * part) as u64).await;
        assert!(seen.done < DEAD as u64, "it is on the way");
        process.kill().expect("killed");
        process = ground.start();
        let client = process.client().await;
        let after = until_done(&client, 0).await;
        assert!(after.done >= seen.done, "what was told is on disk: {} after {}", after.done, seen.done);
    }
    let client = process.client().await;
    let end = finish(&client).await;
    assert_eq!(end.state(), v1::OperationState::Done);
    assert_eq!((end.matched, end.done, end.skipped, end.failed), (DEAD as u64, DEAD as u64, 0, 0));
    assert_eq!(process.stop().await, 0);

    let (died, at) = history(&ground);
    assert_eq!(wrong(&died, DEAD), [], "each once");
    let most = most_in_a_second(&at);
    println!("{DEAD} replayed in {:?} through two kills, at most {most} in a second", began.elapsed());
    assert!(most <= RATE as usize, "{most} in a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_place_of_a_batch_repeats_and_skips_nothing() {
    // Ten in a batch.
    const TASKS: usize = 45;
    const RATE: u32 = 100;
    for (name, _) in failpoint::OPERATION {
        for count in [1, 3] {
            if *name == "operation_started" && count > 1 {
                continue;
            }
            let ground = ground();
            lay(&ground, TASKS).await;
            let variables = [("RUNTIME_FAILPOINT", format!("{name}:{count}"))];
            let mut process = ground.start_with(&[] as &[&str], &variables);
            begin(&process.client().await, RATE).await;
            let end = process.end().await;
            assert_eq!(end.signal(), Some(Signal::ABORT.as_raw()), "{name}: {end}");
            assert!(ground.log().contains(&format!("failpoint {name} reached")), "{name}");

            let mut process = ground.start();
            let client = process.client().await;
            let end = finish(&client).await;
            assert_eq!((end.done, end.skipped, end.failed), (TASKS as u64, 0, 0), "{name}:{count}");
            assert_eq!(process.stop().await, 0);
            assert_eq!(wrong(&history(&ground).0, TASKS), [], "{name}:{count}");
        }
    }
}

/// The control: whoever replays many one by one, and notes nowhere how far it is, repeats what died again before the crash.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_operation_the_count_finds_what_was_replayed_twice() {
    const TASKS: usize = 20;
    let ground = ground();
    lay(&ground, TASKS).await;
    for tasks in [TASKS / 2, TASKS] {
        let mut process = ground.start();
        let client = process.client().await;
        let mut dead = client.dead_letters("", TASKS).await.expect("a list");
        dead.sort_by(|a, b| a.name.cmp(&b.name));
        for task in &dead[..tasks] {
            let id = crate::world::id_of(&task.name);
            let replay = runtime_core::store::TaskCommand::Replay { at: None, payload: None };
            client.steer_task(id, replay).await.expect("replayed");
        }
        until_idle(&client).await;
        process.kill().expect("killed");
    }
    assert_eq!(wrong(&history(&ground).0, TASKS).len(), TASKS / 2);
}

#[test]
fn the_most_in_a_second_is_counted_wherever_the_second_begins() {
    assert_eq!(most_in_a_second(&[0, 999, 1_000, 1_001, 1_998, 5_000]), 4);
    assert_eq!(most_in_a_second(&[]), 0);
}
