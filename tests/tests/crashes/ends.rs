//! How a process ends: what signals do, what its exit code says, and what the next one finds.

use std::process::Stdio;

use runtime_tests::eventually;
use runtime_tests::ground::{Gate, Ground, GroundProcess, Job};
use rustix::process::Signal;

use crate::world::{assert_all_done_once, enqueue, ground, until_idle};

/// Waits until the process has heard that it shall stop: whoever looks for a running instance finds none any more.
async fn stopping(process: &mut GroundProcess) {
    eventually("the process begins to stop", || process.endpoint().is_none().then_some(())).await;
    assert_eq!(process.has_ended(), None, "it waits for its attempt");
}

fn waiting_job() -> Job {
    Job { n: 1, waits: true, ..Job::default() }
}

async fn begun(ground: &Ground, epoch: u64) {
    let folder = ground.folder();
    eventually("the attempt begins", || folder.has_reached(Gate::Begin, 1, epoch).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_signal_lets_attempts_finish_and_keeps_the_rest() {
    let ground = ground();
    let mut process = ground.start_with(&["--set", "workers.job.slots=1"], &[]);
    let client = process.client().await;
    let jobs = [waiting_job(), Job::plain(2), Job::plain(3)];
    enqueue(&client, &jobs[0]).await.expect("taken");
    begun(&ground, 1).await;
    for job in &jobs[1..] {
        enqueue(&client, job).await.expect("taken");
    }

    process.signal(Signal::TERM);
    stopping(&mut process).await;
    ground.folder().open(Gate::Begin, 1, 1).expect("a gate");
    assert_eq!(process.end().await.code(), Some(0));
    assert_all_done_once(&ground, &jobs[..1]).await;

    let mut process = ground.start();
    until_idle(&process.client().await).await;
    assert_eq!(process.stop().await, 0);
    assert_all_done_once(&ground, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_outlives_the_grace_is_released_and_runs_again() {
    let ground = ground();
    let mut process = ground.start_with(&["--set", "runtime.grace_secs=1"], &[]);
    let id = enqueue(&process.client().await, &waiting_job()).await.expect("taken");
    begun(&ground, 1).await;
    assert_eq!(process.stop().await, 0, "the attempt ends at its next await, in order");

    let mut process = ground.start();
    begun(&ground, 2).await;
    let client = process.client().await;
    let task = client.task(id).await.expect("a task").task.expect("a task");
    assert_eq!((task.attempt, task.crash_count), (1, 0), "what was released counts for nothing");
    ground.folder().open(Gate::Begin, 1, 2).expect("a gate");
    until_idle(&client).await;
    assert_eq!(process.stop().await, 0);
    assert_all_done_once(&ground, &[waiting_job()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_kills_and_loses_nothing() {
    let ground = ground();
    let mut process = ground.start();
    enqueue(&process.client().await, &waiting_job()).await.expect("taken");
    begun(&ground, 1).await;
    process.signal(Signal::TERM);
    stopping(&mut process).await;
    process.signal(Signal::INT);
    assert_eq!(process.end().await.code(), Some(6));

    let mut process = ground.start();
    begun(&ground, 2).await;
    ground.folder().open(Gate::Begin, 1, 2).expect("a gate");
    until_idle(&process.client().await).await;
    assert_eq!(process.stop().await, 0);
    assert_all_done_once(&ground, &[waiting_job()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_names_every_problem_and_starts_nothing() {
    let ground = ground();
    let sets = ["store.kind=papyrus", "workers.job.slots=0", "runtime.grace=1", "workers.jobs.slots=2"];
    let mut command = ground.command(None);
    for set in sets {
        command.args(["--set", set]);
    }
    let output = command.stderr(Stdio::piped()).output().expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    for key in ["store.kind", "workers.job.slots", "runtime.grace"] {
        assert!(stderr.contains(key), "{key} is not named: {stderr}");
    }
    assert!(!ground.data_dir().exists(), "nothing was started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_on_the_same_data_is_refused_and_the_first_goes_on() {
    let ground = ground();
    let mut process = ground.start();
    let client = process.client().await;
    let output = ground.command(None).stderr(Stdio::piped()).output().expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("RT0019") && stderr.contains("runtime.db"), "{stderr}");

    enqueue(&client, &Job::plain(1)).await.expect("taken");
    until_idle(&client).await;
    assert_eq!(process.stop().await, 0);
    assert_all_done_once(&ground, &[Job::plain(1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_and_left_as_it_was() {
    let ground = ground();
    std::fs::create_dir_all(ground.data_dir()).expect("a folder");
    let text = b"this is no database, however long one looks at it".repeat(100);
    std::fs::write(ground.store_file(), &text).expect("a file");
    let output = ground.command(None).stderr(Stdio::piped()).output().expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("RT0021"), "{stderr}");
    assert_eq!(std::fs::read(ground.store_file()).expect("a file"), text);
}
