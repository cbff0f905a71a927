//! Schedules over the API: made, looked at, paused, triggered, backfilled, deleted.

use jiff::Timestamp;
use runtime_admin::ClientError;
use runtime_core::error::ErrorCode;
use runtime_core::name::ScheduleName;
use runtime_proto::v1::{self, ScheduleState, TaskState};
use runtime_tests::eventually_async;
use runtime_tests::ground::{APP, Job};

use crate::world::{World, id_of};

fn spec() -> v1::ScheduleSpec {
    v1::ScheduleSpec {
        app: format!("apps/{APP}"),
        queue: "queues/job".into(),
        handler: "job".into(),
        input: serde_json::to_string(&Job::plain(7)).expect("a job is a JSON document"),
        timing: Some(v1::schedule_spec::Timing::Cron(v1::CronTiming {
            expression: "* * * * * *".into(),
            zone: String::new(),
        })),
        overlap: v1::OverlapPolicy::AllowAll.into(),
        ..v1::ScheduleSpec::default()
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Option<ErrorCode> {
    match answer {
        Err(ClientError::Refused(refusal)) => refusal.code,
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_made_steered_and_forgotten_over_the_api() {
    let world = World::start().await;
    let client = &world.client;
    let name: ScheduleName = "often".parse().expect("a name");
    assert_eq!(client.schedules().await.expect("a list"), []);

    let made = client.create_schedule(&name, spec()).await.expect("it is made");
    assert_eq!((made.name.as_str(), made.state()), ("schedules/often", ScheduleState::Active));
    assert_eq!(made.origin(), v1::ScheduleOrigin::RunTime);
    let task = eventually_async("a tick makes its task", async || {
        let seen = client.schedule(&name).await.expect("the schedule");
        (!seen.last_task.is_empty()).then_some(seen.last_task)
    })
    .await;
    world.until(id_of(&task), TaskState::Done).await;

    let paused = client.pause_schedule(&name, "an audit").await.expect("paused");
    assert_eq!((paused.state(), paused.pause_reason.as_str()), (ScheduleState::Paused, "an audit"));
    assert!(client.pause_schedule(&name, " ").await.is_err(), "a pause has a reason");
    let triggered = client.trigger_schedule(&name).await.expect("triggered").task;
    world.until(id_of(&triggered), TaskState::Done).await;
    let preview = client.preview_schedule(&name, None, 3).await.expect("a preview").ticks;
    let seconds: Vec<i64> = preview.iter().map(|tick| tick.at.expect("a time").seconds).collect();
    assert_eq!(seconds, [seconds[0], seconds[0] + 1, seconds[0] + 2]);

    let from = Timestamp::from_second(1_700_000_000).expect("a moment");
    let until = Timestamp::from_second(1_700_000_005).expect("a moment");
    let first = client.backfill_schedule(&name, from, until).await.expect("a backfill");
    assert_eq!((first.tasks.len(), first.known, first.next_from), (5, 0, None));
    let again = client.backfill_schedule(&name, from, until).await.expect("again");
    assert_eq!((again.tasks.len(), again.known), (0, 5), "a tick makes one task");
    for task in &first.tasks {
        world.until(id_of(task), TaskState::Done).await;
    }

    let resumed = client.resume_schedule(&name).await.expect("resumed");
    assert_eq!((resumed.state(), resumed.pause_reason.as_str()), (ScheduleState::Active, ""));
    assert_eq!(code(client.create_schedule(&name, spec()).await), Some(ErrorCode::FailedPrecondition));
    client.delete_schedule(&name).await.expect("forgotten");
    assert_eq!(code(client.schedule(&name).await), Some(ErrorCode::NotFound));
    world.stop().await;
}
