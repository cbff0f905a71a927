//! The instance as a whole: what it can do, its draining, and its end.

use std::time::Duration;

use runtime_admin::{AdminClient, ClientError, LIVENESS, READINESS};
use runtime_core::error::ErrorCode;
use runtime_proto::v1;
use runtime_tests::eventually_async;
use runtime_tests::ground::{Gate, Ground, GroundProcess, Job};
use tonic::Code;
use tonic_health::ServingStatus;

use crate::world::{World, enqueue, request};

struct Process {
    ground: Ground,
    process: GroundProcess,
    client: AdminClient,
}

async fn start() -> Process {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let mut process = ground.start();
    let client = process.client().await;
    Process { ground, process, client }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (Code, Option<ErrorCode>) {
    match answer {
        Err(ClientError::Refused(refusal)) => (refusal.canonical, refusal.code),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_says_what_it_can_do() {
    let it = start().await;
    let able = it.client.capabilities().await.expect("capabilities");
    assert_eq!((able.api.as_str(), able.store.as_str()), ("runtime.admin.v1", "sqlite"));
    assert!(able.store_capabilities().any(|able| able == v1::StoreCapability::Durable));
    assert_eq!(able.features().collect::<Vec<_>>(), [v1::Feature::Configuration], "a loopback address, bare");
    let shutdown = able.methods.iter().find(|method| method.method == "SystemService/Shutdown");
    let needs = shutdown.map(|method| (method.role.as_str(), method.changes, method.needs_reason));
    assert_eq!(needs, Some(("admin", true, true)));
    assert!(!able.methods.iter().any(|method| method.method.starts_with("grpc.reflection.")));

    let world = World::start().await;
    let bare = world.client.capabilities().await.expect("capabilities");
    assert_eq!(bare.features().count(), 0, "a tree without a process round it");
    assert_eq!(refused(world.client.shut_down("none to end", None, false).await).0, Code::FailedPrecondition);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_instance_is_not_ready_lives_and_finishes_what_it_has() {
    let world = World::start().await;
    let client = &world.client;
    let says = async |service: &str, wanted: ServingStatus| {
        eventually_async(&format!("{service:?} is {wanted}"), async || {
            (client.health(service).await.expect("an answer") == wanted).then_some(())
        })
        .await;
    };
    let task = enqueue(client, &Job { n: 1, waits: true, ..Job::default() }).await;
    world.until(task, v1::TaskState::Leased).await;

    let unsaid = AdminClient::connect(&world.endpoint()).await.expect("a connection");
    assert_eq!(refused(unsaid.start_drain("", false).await).0, Code::InvalidArgument, "a reason is required");
    let drain = client.start_drain("new machine", false).await.expect("it drains");
    assert_eq!((drain.leased, drain.drained, drain.reason.as_str()), (1, false, "new machine"));
    says(READINESS, ServingStatus::NotServing).await;
    says(LIVENESS, ServingStatus::Serving).await;
    let another = client.enqueue(request(&Job { n: 2, ..Job::default() })).await;
    assert_eq!(refused(another), (Code::Unavailable, Some(ErrorCode::Draining)));

    assert!(!client.info().await.expect("info").drain.expect("it drains").drained, "a task is under way");
    world.folder().open(Gate::Begin, 1, 1).expect("a gate");
    world.until(task, v1::TaskState::Done).await;
    let drained = eventually_async("it is drained", async || {
        let overview = client.overview().await.expect("an overview");
        overview.what.drain.filter(|drain| drain.drained)
    })
    .await;
    assert_eq!(drained.leased, 0);
    let was = client.stop_drain("stays after all").await.expect("an answer").expect("it drained");
    assert!(was.drained);
    says(READINESS, ServingStatus::Serving).await;
    let next = enqueue(client, &Job { n: 2, ..Job::default() }).await;
    world.until(next, v1::TaskState::Done).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_is_answered_then_the_process_ends_in_order() {
    let mut it = start().await;
    let long = enqueue(&it.client, &Job { n: 1, waits: true, ..Job::default() }).await;
    eventually_async("it runs", async || {
        let task = it.client.task(long).await.expect("the task").task.expect("the task");
        (task.state() == v1::TaskState::Leased).then_some(())
    })
    .await;
    assert_eq!(refused(it.client.shut_down(" ", None, false).await).0, Code::InvalidArgument);
    let hour = Some(Duration::from_hours(1));
    assert_eq!(refused(it.client.shut_down("slowly", hour, false).await).0, Code::InvalidArgument);
    let configured = it.client.shut_down("only asking", None, true).await.expect("a preview");
    assert_eq!(configured, Duration::from_secs(10));
    it.client.info().await.expect("a preview ends nothing");

    let grace = Some(Duration::from_secs(1));
    assert_eq!(it.client.shut_down("new machine", grace, false).await.expect("an answer").as_secs(), 1);
    let status = it.process.end().await;
    assert_eq!(status.code(), Some(0), "{}", it.ground.log());

    // What ran was given back, and the audit log has who ended it and why.
    let mut process = it.ground.start();
    let client = process.client().await;
    let entries = client.audit("method:SystemService/Shutdown", 10).await.expect("the audit log");
    let kept = entries.iter().find(|entry| entry.outcome == "OK").expect("an entry with its outcome");
    assert_eq!(kept.reason, "new machine");
    let task = client.task(long).await.expect("the task").task.expect("the task");
    assert!(task.attempt <= 1, "a release is no attempt: {}", task.attempt);
    process.kill().expect("its end");
}
