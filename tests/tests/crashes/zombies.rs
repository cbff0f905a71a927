//! Handlers that outlive their lease: what they write late is refused. With the epoch check removed it is not, and the same run shows it.

use runtime_tests::eventually;
use runtime_tests::ground::{Gate, Ground, GroundProcess, GroundRow, Job};
use rustix::process::Signal;

use crate::world::ground;

/// The job that settles late.
const SETTLES: u64 = 1;
/// The job whose effect comes late.
const CALLS: u64 = 2;

/// What a run with zombies left behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// Every row: the job and the epoch under which it was written.
    rows: Vec<(u64, u64)>,
    /// Calls of the peer, by whichever attempt.
    calls: usize,
    /// Outcomes that were refused as late.
    refused: usize,
}

/// A sound store lets the live attempt alone act: the zombie neither settles nor calls.
fn is_fenced(left: &Left) -> bool {
    left.rows == [(SETTLES, 2), (CALLS, 2)] && left.calls == 1 && left.refused == 2
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_outlives_its_lease_is_refused() {
    let left = outlive_in_process(&[]).await;
    assert!(is_fenced(&left), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_that_comes_back_is_refused() {
    let left = outlive_by_stopping(&[]).await;
    assert!(is_fenced(&left), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_epoch_check_zombies_get_through_and_live_attempts_are_refused() {
    // The dead attempts' outcomes stand, the live ones' are refused, and the peer was called twice for one task.
    let broken = Left { rows: vec![(SETTLES, 1), (CALLS, 1)], calls: 2, refused: 2 };
    for left in [
        outlive_in_process(&["--break-epoch-check"]).await,
        outlive_by_stopping(&["--break-epoch-check"]).await,
    ] {
        assert!(!is_fenced(&left), "the control must fail: {left:?}");
        assert_eq!(left, broken);
    }
}

/// One process: its leases are not extended, its clock moves past them, and it leases the same tasks again itself.
async fn outlive_in_process(more: &[&str]) -> Left {
    let ground = with_waiting_jobs();
    let mut process = bare(&ground, "one", more);
    begun(&ground, &mut process, 1).await;
    ground.set_clock_ahead(31);
    begun(&ground, &mut process, 2).await;
    let left = late_ones_first(&ground, more).await;
    assert_eq!(process.stop().await, 0);
    left
}

/// Two processes that share the file: the first is stopped past its leases, the second takes them over, the first comes back.
async fn outlive_by_stopping(more: &[&str]) -> Left {
    let ground = with_waiting_jobs();
    let mut first = bare(&ground, "first", more);
    begun(&ground, &mut first, 1).await;
    stop_outside_of_writes(&ground, &first).await;
    ground.set_clock_ahead(31);
    let mut second = bare(&ground, "second", more);
    begun(&ground, &mut second, 2).await;
    first.signal(Signal::CONT);
    let left = late_ones_first(&ground, more).await;
    assert_eq!((first.stop().await, second.stop().await), (0, 0));
    left
}

fn with_waiting_jobs() -> Ground {
    let ground = ground();
    let settles = Job { n: SETTLES, waits: true, ..Job::default() };
    let calls = Job { n: CALLS, waits: true, keyed: true, lingers: true, ..Job::default() };
    for job in [settles, calls] {
        ground.folder().put_into_inbox(&format!("{}.json", job.n), &job).expect("a file");
    }
    ground
}

/// A process that never extends its leases of 30 s by the store's clock, and looks for those that have run out all the time.
fn bare(ground: &Ground, instance: &str, more: &[&str]) -> GroundProcess {
    let clock = ground.clock_file();
    let clock = clock.to_string_lossy();
    let times = ["--lease-ms", "30000", "--extend-ms", "3600000", "--sweep-ms", "50"];
    let args = ["--instance", instance, "--clock-file", &clock, "--without-owner-lock"];
    ground.start_bare(&[&args[..], &times, more].concat())
}

/// Waits until both jobs have an attempt under this epoch at its gate.
async fn begun(ground: &Ground, process: &mut GroundProcess, epoch: u64) {
    let folder = ground.folder();
    eventually(&format!("both jobs begin under epoch {epoch}"), || {
        assert_eq!(process.has_ended(), None, "{}", ground.log());
        [SETTLES, CALLS].iter().all(|job| folder.has_reached(Gate::Begin, *job, epoch)).then_some(())
    })
    .await;
}

/// Lets the zombies go on while the live attempts are under way, then those, and looks at what is left.
async fn late_ones_first(ground: &Ground, more: &[&str]) -> Left {
    let folder = ground.folder();
    let open = |gate, job, epoch| folder.open(gate, job, epoch).expect("a gate");
    let calling = async |epoch| {
        eventually(&format!("the attempt under epoch {epoch} calls"), || {
            folder.has_reached(Gate::Call, CALLS, epoch).then_some(())
        })
        .await;
    };
    let sound = more.is_empty();
    open(Gate::Begin, CALLS, 2);
    calling(2).await;
    open(Gate::Begin, SETTLES, 1);
    open(Gate::Begin, CALLS, 1);
    // An outcome that was refused is in the log; one that got through is a row.
    if sound {
        until_refused(ground).await;
    } else {
        calling(1).await;
        open(Gate::Call, CALLS, 1);
        until_rows(ground).await;
    }
    open(Gate::Begin, SETTLES, 2);
    open(Gate::Call, CALLS, 2);
    if sound {
        until_rows(ground).await;
    } else {
        until_refused(ground).await;
    }
    let rows = GroundRow::all(&ground.store_file()).await;
    Left {
        rows: rows.iter().map(|row| (row.n, row.epoch)).collect(),
        calls: folder.calls().expect("a log").len(),
        refused: refused(ground),
    }
}

async fn until_rows(ground: &Ground) {
    let file = ground.store_file();
    runtime_tests::eventually_async("both jobs are done", async || {
        (GroundRow::all(&file).await.len() == 2).then_some(())
    })
    .await;
}

async fn until_refused(ground: &Ground) {
    eventually("two outcomes are refused", || (refused(ground) == 2).then_some(())).await;
}

fn refused(ground: &Ground) -> usize {
    ground.log().matches("late outcome refused").count()
}

/// Stops a process while it holds no lock of the file, which it would keep for as long as it is stopped.
async fn stop_outside_of_writes(ground: &Ground, process: &GroundProcess) {
    eventually("the process is stopped outside of a write", || {
        process.signal(Signal::STOP);
        // The signal is sent, not yet obeyed: a thread may still begin a write.
        while !all_threads_stand(process) {
            std::thread::yield_now();
        }
        let file = rusqlite::Connection::open(ground.store_file()).expect("the store's file");
        file.busy_timeout(std::time::Duration::ZERO).expect("a setting");
        if file.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok() {
            return Some(());
        }
        process.signal(Signal::CONT);
        None
    })
    .await;
}

fn all_threads_stand(process: &GroundProcess) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("the process is there");
    threads.filter_map(Result::ok).all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state stands after the name, which is in parentheses; a thread that is gone has none.
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().next())
            .is_none_or(|state| state == "T")
    })
}
