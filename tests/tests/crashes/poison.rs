//! Three deaths make poison of a task that was alone at the last, and of no other.

use runtime_core::error::ErrorCode;
use runtime_core::store::TaskCommand;
use runtime_core::task::TaskId;
use runtime_proto::v1::TaskState;
use runtime_tests::ground::{Gate, Ground, GroundProcess, Job};
use runtime_tests::{eventually, eventually_async};

use crate::world::{assert_all_done_once, enqueue, ground, until_idle};

/// Tasks that are leased together when their process dies.
const CAUGHT: u64 = 4;

fn jobs() -> Vec<Job> {
    (0..CAUGHT).map(|n| Job { n, waits: true, ..Job::default() }).collect()
}

/// The jobs that have an attempt under this epoch at its gate.
fn begun(ground: &Ground, epoch: u64) -> Vec<u64> {
    (0..CAUGHT).filter(|n| ground.folder().has_reached(Gate::Begin, *n, epoch)).collect()
}

async fn dies_when_begun(ground: &Ground, process: &mut GroundProcess, epoch: u64, count: usize) -> Vec<u64> {
    let caught = eventually(&format!("{count} begin under epoch {epoch}"), || {
        Some(begun(ground, epoch)).filter(|begun| begun.len() == count)
    })
    .await;
    process.kill().expect("killed");
    caught
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_caught_in_three_deaths_is_set_apart_and_the_ones_beside_it_are_not_blamed() {
    let ground = ground();
    let mut process = ground.start();
    let client = process.client().await;
    let mut ids: Vec<TaskId> = Vec::new();
    for job in jobs() {
        ids.push(enqueue(&client, &job).await.expect("taken"));
    }
    // Twice all are caught together, the third time one is alone.
    dies_when_begun(&ground, &mut process, 1, 4).await;
    dies_when_begun(&ground, &mut ground.start(), 2, 4).await;
    let caught = dies_when_begun(&ground, &mut ground.start(), 3, 1).await;
    let poison = ids[usize::try_from(caught[0]).expect("a small number")];

    let mut process = ground.start();
    let client = process.client().await;
    let task = client.task(poison).await.expect("a task").task.expect("a task");
    assert_eq!((task.state(), task.crash_count, task.attempt), (TaskState::Dead, 3, 0));
    assert_eq!(task.last_error.expect("why").code, ErrorCode::Poison.as_str());

    // The others run one after another, each alone, and are done.
    for n in (0..CAUGHT).filter(|n| *n != caught[0]) {
        eventually("the next one runs alone", || {
            ground.folder().has_reached(Gate::Begin, n, 3).then_some(())
        })
        .await;
        assert_eq!(begun(&ground, 3).len() as u64, 1 + (0..=n).filter(|m| *m != caught[0]).count() as u64);
        ground.folder().open(Gate::Begin, n, 3).expect("a gate");
    }
    until_idle(&client).await;

    // A person says that it was not its fault: it starts anew.
    client.steer_task(poison, TaskCommand::Retry).await.expect("a dead task is retried");
    ground.folder().open(Gate::Begin, caught[0], 4).expect("a gate");
    let task = eventually_async("it is done", async || {
        let task = client.task(poison).await.expect("a task").task.expect("a task");
        (task.state() == TaskState::Done).then_some(task)
    })
    .await;
    assert_eq!((task.attempt, task.crash_count), (1, 0));
    assert_eq!(process.stop().await, 0);
    assert_all_done_once(&ground, &jobs()).await;
}
