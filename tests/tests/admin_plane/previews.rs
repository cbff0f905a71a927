//! A preview says how it would be, and changes nothing: neither what it is about nor the audit log.

use runtime_core::error::ErrorCode;
use runtime_core::name::{PrincipalName, ScheduleName};
use runtime_proto::v1;
use runtime_proto::v1::config_service_client::ConfigServiceClient;
use runtime_proto::v1::principal_service_client::PrincipalServiceClient;
use runtime_proto::v1::queue_service_client::QueueServiceClient;
use runtime_proto::v1::schedule_service_client::ScheduleServiceClient;
use runtime_proto::v1::task_service_client::TaskServiceClient;
use runtime_proto::v1::tree_service_client::TreeServiceClient;
use runtime_tests::ground::{APP, Job};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

use crate::world::{World, enqueue, path};

const JOB: &str = "nodes/engine/apps/ground/workers/job";

async fn channel(world: &World) -> Channel {
    let endpoint = Endpoint::from_shared(world.endpoint()).expect("an endpoint");
    endpoint.connect().await.expect("a connection")
}

fn spec(timing: &str) -> v1::ScheduleSpec {
    v1::ScheduleSpec {
        app: format!("apps/{APP}"),
        queue: "queues/job".into(),
        handler: "job".into(),
        input: r#"{ "n": { "$tick": "unix_seconds" } }"#.into(),
        timing: Some(v1::schedule_spec::Timing::Cron(v1::CronTiming {
            expression: timing.into(),
            zone: String::new(),
        })),
        ..v1::ScheduleSpec::default()
    }
}

/// The refusal of a change that goes out from something else.
fn is_aborted<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) {
    let status = answer.expect_err("refused");
    let info = status.get_details_error_info().expect("ErrorInfo");
    assert_eq!((status.code(), info.reason.as_str()), (Code::Aborted, ErrorCode::ChangedMeanwhile.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_principals_and_overrides_are_previewed_and_guarded() {
    let world = World::start().await;
    let client = &world.client;
    let name: ScheduleName = "yearly".parse().expect("a name");
    let made = client.create_schedule(&name, spec("0 0 1 1 *")).await.expect("made");
    let who: PrincipalName = "ann".parse().expect("a name");
    let person = v1::Principal { grants: vec!["viewer".into()], ..v1::Principal::default() };
    let ann = client.create_principal(&who, person.clone()).await.expect("made");
    client
        .steer_node(&path("/engine/apps/ground/workers/job"), runtime_core::control::NodeCommand::Pause)
        .await
        .expect("paused");
    let audit = client.audit("kind=mutation", 100).await.expect("the audit log").len();

    let mut schedules = ScheduleServiceClient::new(channel(&world).await);
    let (schedule, validate_only) = (made.name.clone(), true);
    let pause = v1::PauseScheduleRequest { name: schedule.clone(), validate_only, ..Default::default() };
    let paused = schedules.pause_schedule(pause.clone()).await.expect("a look").into_inner().schedule;
    assert_eq!(paused.expect("a schedule").state(), v1::ScheduleState::Paused);
    let resume = v1::ResumeScheduleRequest { name: schedule.clone(), validate_only, ..Default::default() };
    schedules.resume_schedule(resume).await.expect("a look");
    let update = v1::UpdateScheduleRequest {
        name: schedule.clone(),
        spec: Some(spec("0 0 2 1 *")),
        validate_only,
        ..Default::default()
    };
    schedules.update_schedule(update).await.expect("a look");
    let create = v1::CreateScheduleRequest {
        schedule_id: "another".into(),
        spec: Some(spec("0 0 2 1 *")),
        validate_only,
        ..Default::default()
    };
    schedules.create_schedule(create.clone()).await.expect("a look");
    let there = v1::CreateScheduleRequest { schedule_id: name.to_string(), ..create };
    assert_eq!(
        schedules.create_schedule(there).await.expect_err("it is there").code(),
        Code::FailedPrecondition
    );
    let delete = v1::DeleteScheduleRequest { name: schedule.clone(), validate_only, ..Default::default() };
    schedules.delete_schedule(delete.clone()).await.expect("a look");
    let stale = |etag: &str| format!("{etag}0");
    is_aborted(schedules.pause_schedule(v1::PauseScheduleRequest { etag: stale(&made.etag), ..pause }).await);
    is_aborted(
        schedules.delete_schedule(v1::DeleteScheduleRequest { etag: stale(&made.etag), ..delete }).await,
    );
    assert_eq!(client.schedules().await.expect("a list").what, [made]);

    let mut principals = PrincipalServiceClient::new(channel(&world).await);
    let create = v1::CreatePrincipalRequest {
        principal_id: "bob".into(),
        principal: Some(person.clone()),
        validate_only,
        ..Default::default()
    };
    principals.create_principal(create).await.expect("a look");
    let more = v1::Principal { name: ann.name.clone(), grants: vec!["operator".into()], ..person };
    let update = v1::UpdatePrincipalRequest { principal: Some(more), validate_only, ..Default::default() };
    let would = principals.update_principal(update).await.expect("a look").into_inner().principal;
    assert_eq!(would.expect("a principal").grants, ["operator"]);
    let delete = v1::DeletePrincipalRequest { name: ann.name.clone(), validate_only, ..Default::default() };
    principals.delete_principal(delete.clone()).await.expect("a look");
    is_aborted(
        principals.delete_principal(v1::DeletePrincipalRequest { etag: stale(&ann.etag), ..delete }).await,
    );
    assert!(client.principals().await.expect("a list").contains(&ann));

    let mut config = ConfigServiceClient::new(channel(&world).await);
    let clear = v1::ClearOverrideRequest { name: JOB.into(), validate_only, ..Default::default() };
    let cleared = config.clear_override(clear.clone()).await.expect("a look").into_inner().cleared;
    assert_eq!(cleared.len(), 1);
    is_aborted(config.clear_override(v1::ClearOverrideRequest { etag: "0-0".into(), ..clear }).await);
    let node = client.node(&path("/engine/apps/ground/workers/job")).await.expect("the node");
    assert_eq!(node.desired_state(), v1::DesiredState::Paused);
    let now = client.audit("kind=mutation", 100).await.expect("the audit log").len();
    assert_eq!(now, audit, "a look is no change");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_queues_and_tasks_are_previewed_and_guarded() {
    let world = World::start().await;
    let client = &world.client;
    let node = path("/engine/apps/ground/workers/job");
    client.steer_node(&node, runtime_core::control::NodeCommand::Pause).await.expect("paused");
    let id = enqueue(client, &Job::plain(1)).await;
    let audit = client.audit("kind=mutation", 100).await.expect("the audit log").len();
    let before = (client.node(&node).await.expect("the node"), client.task(id).await.expect("the task").task);

    let validate_only = true;
    let mut tree = TreeServiceClient::new(channel(&world).await);
    let stop = v1::StopNodeRequest { name: JOB.into(), validate_only, ..Default::default() };
    let would = tree.stop_node(stop.clone()).await.expect("a look").into_inner().node.expect("a node");
    assert_eq!(would.desired_state(), v1::DesiredState::Stopped);
    is_aborted(tree.stop_node(v1::StopNodeRequest { etag: "0-0".into(), ..stop.clone() }).await);
    let unsaid = v1::StopNodeRequest { validate_only: false, ..stop };
    let status = tree.stop_node(unsaid).await.expect_err("a reason is required");
    let fields = status.get_details_bad_request().expect("BadRequest").field_violations;
    assert_eq!((status.code(), fields[0].field.as_str()), (Code::InvalidArgument, "reason"));

    let mut queues = QueueServiceClient::new(channel(&world).await);
    let pause = v1::PauseQueueRequest {
        name: "queues/job".into(),
        scope: "store=1".into(),
        validate_only,
        ..Default::default()
    };
    queues.pause_queue(pause.clone()).await.expect("a look");
    is_aborted(queues.pause_queue(v1::PauseQueueRequest { etag: "0-0".into(), ..pause }).await);
    let purge = v1::PurgeQueueRequest { name: "queues/job".into(), ..Default::default() };
    queues.purge_queue(purge).await.expect("without force it is a look, and needs no reason");

    let mut tasks = TaskServiceClient::new(channel(&world).await);
    let cancel = v1::CancelTaskRequest { name: format!("tasks/{id}"), validate_only, ..Default::default() };
    let would = tasks.cancel_task(cancel.clone()).await.expect("a look").into_inner();
    assert_eq!(would.state(), v1::TaskState::Cancelled);
    is_aborted(tasks.cancel_task(v1::CancelTaskRequest { etag: "0".into(), ..cancel }).await);

    assert_eq!(client.queue(&"job".parse().expect("a name")).await.expect("the queue").paused_scopes, []);
    let now = (client.node(&node).await.expect("the node"), client.task(id).await.expect("the task").task);
    assert_eq!(
        (now.0.desired_state, now.0.what.etag, now.1),
        (before.0.desired_state, before.0.what.etag, before.1)
    );
    let entries = client.audit("kind=mutation", 100).await.expect("the audit log").len();
    assert_eq!(entries, audit, "a look is no change");
    world.stop().await;
}
