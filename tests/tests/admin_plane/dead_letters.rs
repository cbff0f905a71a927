//! Dead tasks are looked at in groups, replayed by scope at a rate, each once, and discarded with a reason.

use runtime_core::task::TaskId;
use runtime_proto::v1::{self, TaskState};
use runtime_tests::eventually_async;
use runtime_tests::ground::{GroundFolder, Job};

use crate::runtimectl::runtimectl;
use crate::world::{World, id_of, request, times_done};

/// Jobs that are rejected until the folder is repaired.
async fn rejected(world: &World, scope: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for n in numbers {
        let job = Job { n, rejects: true, ..Job::default() };
        let request = v1::EnqueueTaskRequest { scope: scope.into(), ..request(&job) };
        ids.push(id_of(&world.client.enqueue(request).await.expect("taken").name));
    }
    ids
}

async fn attempts(world: &World, id: TaskId) -> usize {
    world.client.task(id).await.expect("a task").attempts.len()
}

fn replay(filter: &str) -> v1::ReplayDeadLettersRequest {
    v1::ReplayDeadLettersRequest { filter: filter.into(), ..Default::default() }
}

fn millis(seconds: i64, nanos: i32) -> i64 {
    seconds * 1_000 + i64::from(nanos) / 1_000_000
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_tasks_are_grouped_replayed_by_scope_at_a_rate_each_once_and_discarded() {
    let world = World::start().await;
    let client = &world.client;
    let (one, two) = (rejected(&world, "store=1", 1..=6).await, rejected(&world, "store=2", 7..=9).await);
    let hopeless = world.enqueue(&Job { n: 10, fails: 99, ..Job::default() }).await;
    for id in one.iter().chain(&two).chain([&hopeless]) {
        world.until(*id, TaskState::Dead).await;
    }
    let groups = client.dead_letter_groups("").await.expect("groups");
    let found: Vec<_> = groups
        .groups
        .iter()
        .map(|group| (group.queue.as_str(), group.code.as_str(), group.error_class.as_str(), group.count))
        .collect();
    assert_eq!(found, [("queues/job", "RT0001", "retryable", 1), ("queues/job", "RT0002", "permanent", 9)]);
    assert_eq!(client.dead_letter_groups("scope=store=1").await.expect("groups").total, 6);

    // The cause is still there: each is run once more, and once only, however fast it dies again.
    let again = client.replay_dead_letters(replay("scope=store=1"), |_| ()).await.expect("replayed");
    assert_eq!((again.matched, again.replayed), (6, 6));
    eventually_async("all are dead again", async || {
        (client.dead_letter_groups("scope=store=1").await.expect("groups").total == 6).then_some(())
    })
    .await;
    for id in &one {
        assert_eq!(attempts(&world, *id).await, 2);
    }

    world.folder().raise(GroundFolder::REPAIRED).expect("a flag");
    let preview = v1::ReplayDeadLettersRequest { validate_only: true, ..replay("scope=store=1") };
    let preview = client.replay_dead_letters(preview, |_| ()).await.expect("a preview");
    assert_eq!((preview.matched, preview.replayed, preview.sample.len()), (6, 0, 5));
    let rate = v1::ReplayDeadLettersRequest { rate: 20, ..replay("scope=store=1") };
    let replayed = client.replay_dead_letters(rate, |_| ()).await.expect("replayed");
    assert_eq!((replayed.matched, replayed.replayed), (6, 6));
    let mut due = Vec::new();
    for id in &one {
        let task = world.until(*id, TaskState::Done).await;
        let at = task.run_at.expect("a due time");
        due.push(millis(at.seconds, at.nanos));
        assert_eq!(attempts(&world, *id).await, 3);
    }
    due.sort_unstable();
    // Two in a batch, ten batches a second.
    assert!(due.windows(3).all(|three| three[2] - three[0] >= 100), "20 a second: {due:?}");
    let by = replayed.due_by.expect("a moment");
    assert!(millis(by.seconds, by.nanos) >= due[5]);
    let done = (1..=6).map(|n| (n, 1)).collect();
    assert_eq!(times_done(&world.rows().await, "job"), done, "the other scope stays dead");

    let discard = v1::DiscardDeadLettersRequest {
        filter: "scope=store=2".into(),
        reason: "the shop has closed".into(),
        ..Default::default()
    };
    let discarded = client.discard_dead_letters(discard.clone(), |_| ()).await.expect("discarded");
    assert_eq!((discarded.matched, discarded.discarded), (3, 3));
    for id in &two {
        let task = world.until(*id, TaskState::Cancelled).await;
        assert!(task.last_error.expect("why").message.contains("the shop has closed"));
    }
    let nothing = client.discard_dead_letters(discard, |_| ()).await.expect("nothing is left");
    assert_eq!(nothing.matched, 0);
    assert_eq!(
        client.dead_letter_groups("").await.expect("groups").total,
        1,
        "what nobody spoke of is as it was"
    );
    assert_eq!(times_done(&world.rows().await, "job"), done);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runtimectl_replays_many_only_when_that_was_confirmed() {
    let world = World::start().await;
    let endpoint = world.endpoint();
    let ids = rejected(&world, "store=1", 1..=3).await;
    for id in &ids {
        world.until(*id, TaskState::Dead).await;
    }
    world.folder().raise(GroundFolder::REPAIRED).expect("a flag");
    let replay = ["dead-letter", "replay", "--filter", "scope=store=1 AND class=permanent"];
    let (code, stdout, stderr) = runtimectl(&endpoint, &replay).await;
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    assert!(stderr.contains("replay 3 dead tasks") && stderr.contains("--yes"), "{stderr}");
    assert_eq!(world.client.dead_letter_groups("").await.expect("groups").total, 3);

    let (code, stdout, stderr) = runtimectl(&endpoint, &[&replay[..], &["--yes"]].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("Done:    3 of 3"), "{stdout}");
    for id in ids {
        world.until(id, TaskState::Done).await;
    }
    assert_eq!(times_done(&world.rows().await, "job"), (1..=3).map(|n| (n, 1)).collect());
    world.stop().await;
}
