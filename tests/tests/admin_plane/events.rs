//! What happens in a real tree, heard through the client library.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use runtime_admin::{EventAsk, EventWatch, Watched};
use runtime_core::control::NodeCommand;
use runtime_core::task::TaskId;
use runtime_proto::v1::{self, EventCause, EventType};
use runtime_tests::eventually_async;
use runtime_tests::ground::{Ground, Job};
use tonic::transport::Endpoint;

use crate::world::{World, enqueue, id_of, path, request};

const JOB: &str = "/engine/apps/ground/workers/job";

fn change<'a>(event: &'a v1::Event, field: &str) -> Option<(&'a str, &'a str)> {
    let found = event.changes.iter().find(|change| change.field == field)?;
    Some((&found.before, &found.after))
}

async fn until(watch: &mut EventWatch, fits: impl Fn(&v1::Event) -> bool) -> v1::Event {
    loop {
        if let Watched::Events(events) = watch.next().await.expect("the watch goes on")
            && let Some(found) = events.into_iter().find(&fits)
        {
            return found;
        }
    }
}

fn ask(filter: &str) -> EventAsk {
    EventAsk { filter: filter.into(), ..EventAsk::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_and_what_a_task_does_is_told() {
    let world = World::start().await;
    let client = &world.client;
    let mut nodes =
        client.watch_events(ask("resource:nodes/engine/apps/ground/workers/job")).await.expect("a watch");
    let mut tasks = client.watch_events(ask("queue=job AND type:task_")).await.expect("a watch");

    client.steer_node(&path("/engine/apps/ground/workers/job"), NodeCommand::Pause).await.expect("paused");
    let paused = until(&mut nodes, |event| change(event, "state").is_some()).await;
    assert_eq!(change(&paused, "state"), Some(("running", "paused")));
    assert_eq!((paused.r#type(), paused.cause()), (EventType::NodeChanged, EventCause::Command));
    assert_eq!(paused.cause_detail, "TreeService/PauseNode");
    assert_eq!((paused.principal.as_str(), paused.app.as_str()), ("principals/local", "apps/ground"));
    client.steer_node(&path("/engine/apps/ground/workers/job"), NodeCommand::Resume).await.expect("resumed");

    let id = world.enqueue(&Job::plain(1)).await;
    let settled = until(&mut tasks, |event| event.r#type() == EventType::TaskSettled).await;
    assert_eq!(settled.resource, format!("tasks/{id}"));
    assert_eq!(change(&settled, "state"), Some(("leased", "done")));
    assert_eq!((settled.cause(), settled.cause_detail.as_str()), (EventCause::Outcome, "done"));
    assert_eq!((settled.queue.as_str(), settled.worker.as_str()), ("queues/job", "workers/job"));
    drop((nodes, tasks));
    world.stop().await;
}

/// Every list and look that a watch may begin from, by its name, with the cursor that it gave.
async fn cursors(endpoint: &str, task: TaskId) -> Vec<(&'static str, String)> {
    let channel = Endpoint::from_shared(endpoint.to_owned()).expect("an address").connect().await;
    let channel = channel.expect("a connection");
    let (node, task) = (format!("nodes{JOB}"), format!("tasks/{task}"));
    let mut found = Vec::new();
    macro_rules! ask {
        ($client:ident :: $service:ident, $method:ident, $request:expr) => {
            let answer = v1::$client::$service::new(channel.clone()).$method($request).await;
            found.push((stringify!($method), answer.expect("an answer").into_inner().event_cursor));
        };
    }
    let queue = || "queues/job".to_owned();
    ask!(system_service_client::SystemServiceClient, get_overview, v1::GetOverviewRequest {});
    ask!(tree_service_client::TreeServiceClient, get_tree, v1::GetTreeRequest::default());
    ask!(tree_service_client::TreeServiceClient, get_node, v1::GetNodeRequest { name: node });
    ask!(queue_service_client::QueueServiceClient, list_queues, v1::ListQueuesRequest::default());
    ask!(queue_service_client::QueueServiceClient, get_queue, v1::GetQueueRequest { name: queue() });
    ask!(
        queue_service_client::QueueServiceClient,
        get_queue_stats,
        v1::GetQueueStatsRequest { name: queue() }
    );
    ask!(task_service_client::TaskServiceClient, list_tasks, v1::ListTasksRequest::default());
    ask!(task_service_client::TaskServiceClient, get_task, v1::GetTaskRequest { name: task });
    ask!(task_service_client::TaskServiceClient, count_tasks, v1::CountTasksRequest::default());
    ask!(
        dead_letter_service_client::DeadLetterServiceClient,
        list_dead_letters,
        v1::ListDeadLettersRequest::default()
    );
    ask!(
        dead_letter_service_client::DeadLetterServiceClient,
        count_dead_letters,
        v1::CountDeadLettersRequest::default()
    );
    ask!(schedule_service_client::ScheduleServiceClient, list_schedules, v1::ListSchedulesRequest::default());
    ask!(
        operation_service_client::OperationServiceClient,
        list_operations,
        v1::ListOperationsRequest::default()
    );
    ask!(worker_service_client::WorkerServiceClient, list_workers, v1::ListWorkersRequest::default());
    ask!(
        worker_service_client::WorkerServiceClient,
        get_worker,
        v1::GetWorkerRequest { name: "workers/job".into() }
    );
    ask!(config_service_client::ConfigServiceClient, get_config, v1::GetConfigRequest {});
    ask!(
        principal_service_client::PrincipalServiceClient,
        list_principals,
        v1::ListPrincipalsRequest::default()
    );
    ask!(principal_service_client::PrincipalServiceClient, list_tokens, v1::ListTokensRequest::default());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_list_tells_what_changed_since_and_nothing_from_before() {
    let world = World::start().await;
    let client = &world.client;
    let task = world.enqueue(&Job::plain(1)).await;
    world.until(task, v1::TaskState::Done).await;
    let from = async |cursor: String| {
        let ask = EventAsk { cursor, ..ask(&format!("resource:nodes{JOB}")) };
        client.watch_events(ask).await.expect("a watch")
    };
    let before = cursors(&world.endpoint(), task).await;
    client.steer_node(&path(JOB), NodeCommand::Pause).await.expect("paused");
    let after = cursors(&world.endpoint(), task).await;
    let mut later = Vec::new();
    for (look, cursor) in after {
        later.push((look, from(cursor).await));
    }
    client.steer_node(&path(JOB), NodeCommand::Resume).await.expect("resumed");
    for (look, cursor) in before {
        let first = until(&mut from(cursor).await, |_| true).await;
        assert_eq!(change(&first, "desired"), Some(("running", "paused")), "{look}: {first:?}");
    }
    // The control: a list that was made afterwards leads past it.
    for (look, mut watch) in later {
        let first = until(&mut watch, |_| true).await;
        assert_eq!(change(&first, "desired"), Some(("paused", "running")), "{look}: {first:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_a_list_and_the_watch_from_its_cursor_no_task_is_missed() {
    const TASKS: u64 = 200;
    let world = World::start().await;
    world.client.steer_node(&path(JOB), NodeCommand::Pause).await.expect("paused");
    let (client, filter) = (world.client.clone(), "queue=job");
    let made = tokio::spawn(async move {
        let mut made = BTreeSet::new();
        for n in 1..=TASKS {
            made.insert(format!("tasks/{}", enqueue(&client, &Job::plain(n)).await));
        }
        made
    });
    let page = eventually_async("some are there", async || {
        let request = v1::ListTasksRequest { filter: filter.into(), page_size: 1_000, ..Default::default() };
        let page = world.client.list_tasks(request).await.expect("a list");
        (page.tasks.len() > 20).then_some(page)
    })
    .await;
    let cursor = page.event_cursor;
    let mut known: BTreeSet<String> = page.tasks.into_iter().map(|task| task.name).collect();
    let mut watch =
        world.client.watch_events(EventAsk { cursor, ..ask("queue=job") }).await.expect("a watch");
    while known.len() < TASKS as usize {
        if let Watched::Events(events) = watch.next().await.expect("it goes on") {
            known.extend(events.into_iter().map(|event| event.resource));
        }
    }
    assert_eq!(known, made.await.expect("no panic"));
    drop(watch);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_can_be_counted_instead_of_told() {
    const TASKS: u32 = 50;
    let world = World::start().await;
    let counting = EventAsk { count_tasks: true, ..ask("app=ground") };
    let mut watch = world.client.watch_events(counting).await.expect("a watch");
    for n in 1..=u64::from(TASKS) {
        world.enqueue(&Job::plain(n)).await;
    }
    let mut counts = BTreeMap::new();
    while counts.get("settled done") != Some(&TASKS) || counts.get("accepted ready") != Some(&TASKS) {
        let Watched::Events(events) = watch.next().await.expect("it goes on") else { continue };
        for event in events {
            let what = match event.r#type() {
                EventType::TaskAccepted => "accepted",
                EventType::TaskSettled => "settled",
                _ => continue,
            };
            assert_eq!((event.resource.as_str(), event.queue.as_str()), ("queues/job", "queues/job"));
            let of = |change: &v1::EventChange| change.after.parse::<u32>().expect("a count");
            assert_eq!(event.count, event.changes.iter().map(of).sum::<u32>(), "{event:?}");
            for change in &event.changes {
                *counts.entry(format!("{what} {}", change.field)).or_default() += of(change);
            }
        }
    }
    assert_eq!(counts.len(), 2, "{counts:?}");
    drop(watch);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_attempt_is_told_with_its_trace() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    // Nobody has to take the traces for there to be some.
    let mut process = ground.start_with(&["--set", "telemetry.otlp_endpoint=http://127.0.0.1:9"], &[]);
    let client = process.client().await;
    let mut tasks = client.watch_events(ask(&format!("trace_id={TRACE}"))).await.expect("a watch");
    let channel = Endpoint::from_shared(process.endpoint().expect("it listens")).expect("an address");
    let channel = channel.connect().await.expect("a connection");
    let mut request = tonic::Request::new(request(&Job::plain(1)));
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", parent.parse().expect("a header"));
    let taken = v1::task_service_client::TaskServiceClient::new(channel).enqueue_task(request).await;
    let name = taken.expect("taken").into_inner().name;
    let settled = until(&mut tasks, |event| event.r#type() == EventType::TaskSettled).await;
    assert_eq!((settled.resource.as_str(), settled.trace_id.as_str()), (name.as_str(), TRACE));
    let attempts = client.task(id_of(&name)).await.expect("the task").attempts;
    assert_eq!(attempts[0].trace_id, TRACE, "as its attempt says");
    drop(tasks);
    assert_eq!(process.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_tells_of_its_drain_its_log_filter_and_its_end() {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let mut process = ground.start();
    let client = process.client().await.with_reason("a test");
    let filter = "resource=instance OR resource=log-filter OR resource=config";
    let asked = EventAsk { initial_state: true, ..ask(filter) };
    let mut watch = client.watch_events(asked).await.expect("a watch");
    let Watched::State(state) = watch.next().await.expect("the state") else { panic!("the state") };
    let state: Vec<_> = state.iter().map(|event| (event.resource.as_str(), &event.changes[0])).collect();
    let is = |field: &str, after: &str| v1::EventChange {
        field: field.into(),
        after: after.into(),
        ..Default::default()
    };
    assert_eq!(state[0], ("instance", &is("draining", "no")));
    assert_eq!((state[1].0, state[1].1.field.as_str()), ("config", "keys"));
    assert_eq!(state[2], ("log-filter", &is("filter", "info")));

    client.start_drain("a test", false).await.expect("draining");
    client.stop_drain("a test").await.expect("not draining");
    client.set_log_filter("warn", Some(Duration::from_secs(1))).await.expect("set");
    let mut told = Vec::new();
    while told.len() < 4 {
        if let Watched::Events(events) = watch.next().await.expect("it goes on") {
            told.extend(events);
        }
    }
    let by = "principals/local";
    let wanted = [
        (EventType::DrainStarted, ("no", "yes"), by),
        (EventType::DrainStopped, ("yes", "no"), by),
        (EventType::LogFilterChanged, ("info", "warn"), by),
        // Its time is over, and nobody has to ask.
        (EventType::LogFilterChanged, ("warn", "info"), ""),
    ];
    for (event, (kind, (before, after), by)) in told.iter().zip(wanted) {
        let changed = (event.changes[0].before.as_str(), event.changes[0].after.as_str());
        assert_eq!((event.r#type(), changed, event.principal.as_str()), (kind, (before, after), by));
    }
    client.shut_down("a test", None, false).await.expect("it ends");
    let end = until(&mut watch, |event| event.r#type() == EventType::ShutdownAsked).await;
    assert_eq!((end.principal.as_str(), end.reason.as_str()), (by, "a test"));
    assert!(process.end().await.success());
}
