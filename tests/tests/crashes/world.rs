//! What the tests of this program share: tasks in through the admin API, counts out of the store's file.

use std::collections::BTreeMap;

use runtime_admin::{AdminClient, ClientError};
use runtime_core::error::ErrorCode;
use runtime_core::store::TaskCommand;
use runtime_core::task::TaskId;
use runtime_proto::v1;
use runtime_tests::eventually_within;
use runtime_tests::ground::{APP, Ground, GroundRow, Job};
use std::time::Duration;

/// How long all that is left may take.
const WORK_OFF: Duration = Duration::from_secs(600);

pub(crate) fn ground() -> Ground {
    Ground::new(env!("CARGO_BIN_EXE_proving_ground"))
}

/// Makes a task under the job's number as its key: asking again after a crash is the same task.
pub(crate) async fn enqueue(client: &AdminClient, job: &Job) -> Result<TaskId, ClientError> {
    let request = v1::EnqueueTaskRequest {
        app: format!("apps/{APP}"),
        queue: "queues/job".into(),
        handler: "job".into(),
        payload: serde_json::to_vec(job).expect("a job is a JSON document"),
        idempotency_key: job.n.to_string(),
        ..v1::EnqueueTaskRequest::default()
    };
    Ok(id_of(&client.enqueue(request).await?.name))
}

pub(crate) fn id_of(name: &str) -> TaskId {
    name.strip_prefix("tasks/").and_then(|id| id.parse().ok()).expect("a task's name")
}

/// The number that a task's idempotency key carries: `42` from the API, `42.json` from the inbox.
pub(crate) fn number_of(task: &v1::Task) -> u64 {
    let digits: String = task.idempotency_key.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// Waits until no queue holds anything that will run by itself.
pub(crate) async fn until_idle(client: &AdminClient) {
    eventually_within(WORK_OFF, "every queue is idle", async || {
        let queues = client.queues().await.expect("the queues are listed");
        let waiting = |queue: v1::Queue| {
            let counts = queue.stats.and_then(|stats| stats.counts).unwrap_or_default();
            counts.ready + counts.leased + counts.scheduled
        };
        (queues.into_iter().map(waiting).sum::<u64>() == 0).then_some(())
    })
    .await;
}

/// What a person has to decide after crashes, and decided here from what the outside shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    /// Caught in three deaths; run again.
    pub(crate) poison: usize,
    /// Unknown effects that had happened.
    pub(crate) happened: usize,
    /// Unknown effects that had not; run again.
    pub(crate) not_happened: usize,
}

/// Waits until everything is done and so many files are marked; decides meanwhile what only a person could.
pub(crate) async fn work_off(client: &AdminClient, ground: &Ground, files: usize) -> Decided {
    let mut decided = Decided::default();
    eventually_within(WORK_OFF, "everything is done and every file is marked", async || {
        until_idle(client).await;
        let open = decide(client, ground, &mut decided).await;
        let marked = |part| ground.folder().names_in(part).expect("a folder").len();
        (!open && marked("outbox") + marked("failed") == files).then_some(())
    })
    .await;
    // What was dead for a while is marked as that, and not marked again when a person has it run.
    let failed = ground.folder().names_in("failed").expect("a folder").len();
    assert!(failed <= decided.poison, "{failed} files are marked as failed, {decided:?}");
    decided
}

/// Decides over what is parked or dead, as the outside shows it. Whether there was anything.
async fn decide(client: &AdminClient, ground: &Ground, decided: &mut Decided) -> bool {
    let parked = client.tasks("state=parked", 100_000).await.expect("a list");
    let dead = client.tasks("state=dead", 100_000).await.expect("a list");
    let open = !parked.is_empty() || !dead.is_empty();
    let sent = ground.folder().sent().expect("a log");
    for task in parked {
        assert_eq!(code_of(&task), ErrorCode::EffectUnknown.as_str(), "{task:?}");
        let happened = sent.contains(&number_of(&task));
        let (command, count) = match happened {
            true => (TaskCommand::Approve, &mut decided.happened),
            false => (TaskCommand::Reject, &mut decided.not_happened),
        };
        *count += 1;
        client.steer_task(id_of(&task.name), command).await.expect("a parked task is resolved");
    }
    for task in dead {
        assert_eq!(code_of(&task), ErrorCode::Poison.as_str(), "{task:?}");
        decided.poison += 1;
        client.steer_task(id_of(&task.name), TaskCommand::Retry).await.expect("a dead task is retried");
    }
    open
}

fn code_of(task: &v1::Task) -> &str {
    task.last_error.as_ref().map_or("", |error| error.code.as_str())
}

/// How often each number was done, by kind.
pub(crate) fn times_done(rows: &[GroundRow], kind: &str) -> BTreeMap<u64, usize> {
    times(rows.iter().filter(|row| row.kind == kind).map(|row| row.n))
}

/// How often each number occurs.
pub(crate) fn times(numbers: impl IntoIterator<Item = u64>) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for n in numbers {
        *times.entry(n).or_default() += 1;
    }
    times
}

/// Asserts that each of these jobs was done once, with everything that belongs to it once.
pub(crate) async fn assert_all_done_once(ground: &Ground, jobs: &[Job]) {
    let rows = GroundRow::all(&ground.store_file()).await;
    let once = |wanted: fn(&Job) -> bool| times(jobs.iter().filter(|job| wanted(job)).map(|job| job.n));
    assert_eq!(differences(&times_done(&rows, "job"), &once(|_| true)), "", "rows of jobs");
    assert_eq!(
        differences(&times_done(&rows, "follow"), &once(|job| job.follow_up)),
        "",
        "rows of follow-ups"
    );
    let sent = ground.folder().sent().expect("a log");
    assert_eq!(differences(&times(sent), &once(|job| job.unkeyed)), "", "unkeyed effects");
    let stamps = ground.folder().stamps().expect("a folder");
    assert_eq!(stamps, jobs.iter().filter(|job| job.keyed).count(), "keyed effects");
}

/// What is there and what should be, number by number, where they differ.
fn differences(found: &BTreeMap<u64, usize>, wanted: &BTreeMap<u64, usize>) -> String {
    let all: std::collections::BTreeSet<&u64> = found.keys().chain(wanted.keys()).collect();
    let of = |times: &BTreeMap<u64, usize>, n| times.get(n).copied().unwrap_or(0);
    let different = all.into_iter().filter(|n| of(found, n) != of(wanted, n));
    let lines: Vec<_> =
        different.map(|n| format!("{n}: {} instead of {}", of(found, n), of(wanted, n))).collect();
    lines.join(", ")
}

#[test]
fn the_count_tells_what_is_lost_and_what_is_there_twice() {
    let wanted = times([1, 2, 3]);
    assert_eq!(differences(&times([3, 1, 2]), &wanted), "");
    assert_eq!(differences(&times([1, 3]), &wanted), "2: 0 instead of 1");
    assert_eq!(differences(&times([1, 2, 2, 3, 4]), &wanted), "2: 2 instead of 1, 4: 1 instead of 0");
}
