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
        input: r#"{ "n": { "$tick": "unix_seconds" } }"#.into(),
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

/// The fields of a refused request, in order.
fn violations<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Vec<String> {
    match answer {
        Err(ClientError::Refused(refusal)) if refusal.code == Some(ErrorCode::InvalidInput) => {
            let mut fields: Vec<String> = refusal.fields.into_iter().map(|(field, _)| field).collect();
            fields.sort();
            fields
        }
        other => panic!("expected a misfit: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_made_steered_and_forgotten_over_the_api() {
    let world = World::start().await;
    let client = &world.client;
    let name: ScheduleName = "often".parse().expect("a name");
    assert_eq!(client.schedules().await.expect("a list").what, []);

    let made = client.create_schedule(&name, spec()).await.expect("it is made");
    assert_eq!((made.name.as_str(), made.state()), ("schedules/often", ScheduleState::Active));
    assert_eq!(made.origin(), v1::ScheduleOrigin::RunTime);
    let task = eventually_async("a tick makes its task", async || {
        let seen = client.schedule(&name).await.expect("the schedule");
        (!seen.last_task.is_empty()).then_some(seen.what.last_task)
    })
    .await;
    world.until(id_of(&task), TaskState::Done).await;

    let paused = client.pause_schedule(&name, "an audit").await.expect("paused");
    assert_eq!((paused.state(), paused.pause_reason.as_str()), (ScheduleState::Paused, "an audit"));
    assert!(client.pause_schedule(&name, " ").await.is_err(), "a pause has a reason");
    let triggered = client.trigger_schedule(&name).await.expect("triggered").task;
    world.until(id_of(&triggered), TaskState::Done).await;
    let preview = client.preview_schedule(&name, None, 3).await.expect("a preview").ticks;
    let inputs: Vec<Job> =
        preview.iter().map(|tick| serde_json::from_str(&tick.input).expect("a job")).collect();
    let seconds: Vec<i64> = preview.iter().map(|tick| tick.at.expect("a time").seconds).collect();
    assert_eq!(seconds, [seconds[0], seconds[0] + 1, seconds[0] + 2]);
    let numbers: Vec<i64> = inputs.iter().map(|job| i64::try_from(job.n).expect("a time")).collect();
    assert_eq!(numbers, seconds, "each tick's job has its tick's number");

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

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_its_worker_is_refused_field_by_field() {
    let world = World::start().await;
    let client = &world.client;
    let name: ScheduleName = "often".parse().expect("a name");
    let of = |input: &str| v1::ScheduleSpec { input: input.into(), ..spec() };
    let wrong = client.create_schedule(&name, of(r#"{ "n": "seven", "nn": 7 }"#)).await;
    assert_eq!(violations(wrong), ["spec.input", "spec.input/n"]);
    let unknown = client.create_schedule(&name, of(r#"{ "n": { "$tick": "second" } }"#)).await;
    assert_eq!(violations(unknown), ["spec.input/n"]);
    let always_seven = client.create_schedule(&name, of(r#"{ "n": 7 }"#)).await;
    assert_eq!(violations(always_seven), ["spec.input"]);

    let made = client.create_schedule(&name, spec()).await.expect("it is made");
    let later = v1::ScheduleSpec { priority: 7, ..made.spec.clone().expect("a spec") };
    let changed = client.update_schedule(&name, later.clone(), &made.etag).await.expect("changed");
    assert_eq!(changed.spec.expect("a spec").priority, 7);
    let stale = client.update_schedule(&name, later.clone(), &made.etag).await;
    assert_eq!(code(stale), Some(ErrorCode::ChangedMeanwhile), "it was changed since");
    let bad = v1::ScheduleSpec { input: "7".into(), ..later };
    assert_eq!(violations(client.update_schedule(&name, bad, "").await), ["spec.input"]);

    let task = |payload: &str, key: &str| v1::EnqueueTaskRequest {
        app: format!("apps/{APP}"),
        queue: "queues/job".into(),
        handler: "job".into(),
        payload: payload.into(),
        idempotency_key: key.into(),
        ..v1::EnqueueTaskRequest::default()
    };
    assert_eq!(violations(client.enqueue(task(r#"{ "n": -1 }"#, "")).await), ["payload/n"]);
    assert_eq!(violations(client.enqueue(task(r#"{ "n": 8 }"#, "mine")).await), ["idempotency_key"]);
    let first = client.enqueue(task(r#"{ "n": 8 }"#, "")).await.expect("taken");
    world.until(id_of(&first.name), TaskState::Done).await;
    let again = client.enqueue(task(r#"{ "waits": false, "n": 8 }"#, "8")).await.expect("known");
    assert_eq!(
        (again.name, again.duplicate),
        (first.name, true),
        "one input, one task, however it is written"
    );
    world.stop().await;
}
