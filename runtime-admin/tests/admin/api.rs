//! What is asked arrives in the tree, and what the tree answers arrives at the client.

use runtime_admin::ClientError;
use runtime_admin::v1;
use runtime_admin::v1::run_worker_request::Selection;
use runtime_core::control::{NodeCommand, RunSelection};
use runtime_core::error::{ErrorClass, ErrorCode};
use runtime_core::node::NodePath;
use runtime_core::operation::{OperationId, OperationKind};
use runtime_core::store::{Expr, TaskCommand, TaskTest, TextTest, TimeTest};
use runtime_core::task::{OnConflict, Unique, UniqueWithin};
use tonic::Code;

use crate::control::{id, path};
use crate::world::setup;

fn refused(error: ClientError) -> (Code, Option<ErrorCode>, Vec<String>) {
    match error {
        ClientError::Refused(refusal) => {
            let fields = refusal.fields.into_iter().map(|(field, _)| field).collect();
            (refusal.canonical, refusal.code, fields)
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn bad(field: &str) -> (Code, Option<ErrorCode>, Vec<String>) {
    (Code::InvalidArgument, Some(ErrorCode::InvalidArgument), vec![field.to_owned()])
}

#[tokio::test]
async fn the_tree_arrives_with_wanted_and_observed_state() {
    let served = setup().await;
    let nodes = served.client.tree(&NodePath::root()).await.unwrap();
    assert_eq!(nodes.len(), 12);
    assert_eq!(nodes[0].name, "nodes/");
    let settle = &nodes[7];
    assert_eq!(settle.name, "nodes/engine/apps/shop/workers/settle");
    assert_eq!((settle.state(), settle.desired_state()), (v1::NodeState::Draining, v1::DesiredState::Paused));
    assert_eq!(settle.slots, Some(v1::Slots { busy: 1, total: 2 }));
    assert_eq!(settle.health.as_ref().unwrap().level(), v1::HealthLevel::Degraded);
    let part = served.client.tree(&path("/engine/apps/shop")).await.unwrap();
    assert_eq!(part.len(), 4);
}

#[tokio::test]
async fn every_node_command_reaches_its_node() {
    let served = setup().await;
    let fetch = path("/engine/apps/shop/workers/fetch");
    let client = served.client.clone().with_reason("a test");
    let steer = |command| client.steer_node(&fetch, command);
    assert_eq!(steer(NodeCommand::Pause).await.unwrap().state(), v1::NodeState::Paused);
    assert_eq!(steer(NodeCommand::Resume).await.unwrap().state(), v1::NodeState::Running);
    assert_eq!(steer(NodeCommand::Stop).await.unwrap().desired_state(), v1::DesiredState::Stopped);
    assert_eq!(steer(NodeCommand::Start).await.unwrap().state(), v1::NodeState::Running);
    assert_eq!(steer(NodeCommand::Restart).await.unwrap().incarnation, 2);
    let resized = steer(NodeCommand::Resize { slots: 9.try_into().unwrap() }).await.unwrap();
    assert_eq!(resized.slots, Some(v1::Slots { busy: 0, total: 9 }));
    assert_eq!(steer(NodeCommand::Drain).await.unwrap().state(), v1::NodeState::Stopped);
    assert_eq!(served.client.node(&fetch).await.unwrap().state(), v1::NodeState::Stopped);
}

#[tokio::test]
async fn a_refusal_keeps_its_code() {
    let served = setup().await;
    let error = served.client.node(&path("/engine/apps/none")).await.unwrap_err();
    assert_eq!(refused(error), (Code::NotFound, Some(ErrorCode::NotFound), vec![]));
    let client = served.client.clone().with_reason("a test");
    let error = client.steer_node(&path("/engine/store"), NodeCommand::Stop).await.unwrap_err();
    assert_eq!(refused(error), (Code::FailedPrecondition, Some(ErrorCode::FailedPrecondition), vec![]));
}

#[tokio::test]
async fn queues_arrive_by_name_with_their_figures() {
    let served = setup().await;
    let names: Vec<String> =
        served.client.queues().await.unwrap().into_iter().map(|queue| queue.name).collect();
    assert_eq!(names, ["queues/mail", "queues/orders"]);
    let stats = served.client.queue_stats(&"mail".parse().unwrap()).await.unwrap();
    assert_eq!((stats.live, stats.counts.unwrap().dead, stats.capacity), (1_052, 31, 10_000_000));
    let error = served.client.queue_stats(&"none".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused(error).0, Code::NotFound);
}

#[tokio::test]
async fn tasks_are_selected_and_paged() {
    let served = setup().await;
    let rows = async |filter: &str| -> Vec<String> {
        let tasks = served.client.tasks(filter, 100).await.unwrap();
        tasks.into_iter().map(|task| task.name).collect()
    };
    let names = |rows: &[u64]| rows.iter().map(|row| format!("tasks/{}", id(*row))).collect::<Vec<_>>();
    assert_eq!(rows("").await, names(&[7, 6, 5, 4, 3, 2, 1]));
    assert_eq!(rows("state=ready AND scope=store=42").await, names(&[3, 2]));
    assert_eq!(rows("state:d").await, names(&[5, 1]));
    assert_eq!(rows("scope:store").await, names(&[7, 4, 3, 2]));
    assert_eq!(rows("code=effect_unknown").await, names(&[7]));

    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListTasksRequest { filter: "scope:store=4".into(), page_size: 1, page_token };
        let page = served.client.list_tasks(request).await.unwrap();
        assert!(page.tasks.len() <= 1);
        seen.extend(page.tasks.into_iter().map(|task| task.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, names(&[7, 3, 2]));
}

#[tokio::test]
async fn a_task_arrives_without_its_payload() {
    let served = setup().await;
    let detail = served.client.task(id(7)).await.unwrap();
    let task = detail.task.clone().unwrap();
    assert_eq!(
        (task.queue.as_str(), task.handler.as_str(), task.scope.as_str()),
        ("queues/mail", "settle", "store=42")
    );
    assert_eq!(task.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(task.caused_by, format!("tasks/{}", id(1)));
    let error = task.last_error.clone().unwrap();
    assert_eq!((error.code.as_str(), error.field.as_str()), ("RT0010", "/lines/3/sku"));
    assert_eq!(detail.attempts[0].took, Some(prost_types::Duration { seconds: 1, nanos: 250_000_000 }));
    let done = served.client.task(id(1)).await.unwrap();
    assert!(done.task.as_ref().unwrap().output_bytes > 0);
    assert!(!format!("{detail:?}{done:?}").contains("canary"));
}

#[tokio::test]
async fn operators_move_tasks() {
    let served = setup().await;
    let unsaid = served.client.steer_task(id(4), TaskCommand::Cancel).await.unwrap_err();
    assert_eq!(
        refused(unsaid),
        (Code::InvalidArgument, Some(ErrorCode::InvalidArgument), vec!["reason".into()])
    );
    let client = served.client.clone().with_reason("a test");
    let steer = |row, command| client.steer_task(id(row), command);
    assert_eq!(steer(5, TaskCommand::Retry).await.unwrap(), v1::TaskState::Ready);
    assert_eq!(steer(7, TaskCommand::Approve).await.unwrap(), v1::TaskState::Ready);
    assert_eq!(steer(4, TaskCommand::Cancel).await.unwrap(), v1::TaskState::Cancelled);
    let replay = |payload: &str| TaskCommand::Replay { at: None, payload: Some(payload.into()) };
    let discard = |reason: &str| TaskCommand::Discard { reason: reason.into() };
    assert_eq!(steer(4, replay("{}")).await.unwrap(), v1::TaskState::Ready);
    assert_eq!(refused(steer(4, replay("{}")).await.unwrap_err()).0, Code::FailedPrecondition);
    assert_eq!(refused(steer(5, discard("why")).await.unwrap_err()).0, Code::FailedPrecondition);
    assert_eq!(refused(steer(5, discard(" ")).await.unwrap_err()).2, ["reason"]);
    assert_eq!(refused(steer(5, replay("{")).await.unwrap_err()).2, ["payload"]);
    let error = steer(6, TaskCommand::Reject).await.unwrap_err();
    assert_eq!(error.to_string(), "a leased task cannot be resolved");
    assert_eq!(refused(error).0, Code::FailedPrecondition);
    assert_eq!(refused(steer(99, TaskCommand::Retry).await.unwrap_err()).0, Code::NotFound);
}

fn enqueue() -> v1::EnqueueTaskRequest {
    v1::EnqueueTaskRequest {
        app: "apps/shop".into(),
        queue: "queues/mail".into(),
        handler: "fetch".into(),
        payload: br#"{"uid":7}"#.to_vec(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_task_from_outside_arrives_whole() {
    let served = setup().await;
    let request = v1::EnqueueTaskRequest {
        tenant: "acme".into(),
        scope: "store=42".into(),
        priority: -3,
        weight: 12,
        idempotency_key: "k1".into(),
        run_at: Some(prost_types::Timestamp { seconds: 1_790_000_100, nanos: 5 }),
        max_attempts: 2,
        schema_version: 4,
        correlation_id: "order-7".into(),
        ..enqueue()
    };
    let answer = served.client.enqueue(request).await.unwrap();
    assert_eq!(answer.outcome(), v1::EnqueueOutcome::Accepted);
    assert_eq!((answer.name, answer.duplicate), (format!("tasks/{}", id(9)), false));
    served.control.change(|world| {
        let task = &world.enqueued[0];
        assert_eq!((task.route.app.as_str(), task.route.queue.as_str()), ("shop", "mail"));
        assert_eq!(
            (task.payload.as_slice(), task.priority.0, task.weight.get(), task.schema_version),
            (&br#"{"uid":7}"#[..], -3, 12, 4)
        );
        assert_eq!((task.max_attempts.get(), task.run_at.unwrap().as_second()), (2, 1_790_000_100));
        assert_eq!(task.correlation_id.as_ref().unwrap().as_str(), "order-7");
        assert_eq!(task.trace, None);
    });
    let keyed = |key: &str| v1::EnqueueTaskRequest { idempotency_key: key.into(), ..enqueue() };
    let known = served.client.enqueue(keyed("known")).await.unwrap();
    assert_eq!((known.duplicate, known.state()), (true, v1::TaskState::Done));
    assert_eq!(known.outcome(), v1::EnqueueOutcome::Duplicate);
    let waiting = served.client.enqueue(keyed("waiting")).await.unwrap();
    assert_eq!((waiting.duplicate, waiting.outcome()), (false, v1::EnqueueOutcome::Replaced));
    let put_off = served.client.enqueue(keyed("put off")).await.unwrap();
    assert_eq!(put_off.outcome(), v1::EnqueueOutcome::Debounced);
    assert_eq!((put_off.name, put_off.run_at.unwrap().seconds), (format!("tasks/{}", id(1)), 1_790_000_100));
    let conflict = served.client.enqueue(keyed("conflict")).await.unwrap_err();
    assert_eq!(refused(conflict), (Code::AlreadyExists, Some(ErrorCode::IdempotencyConflict), vec![]));
    let large = served.client.enqueue(keyed("large")).await.unwrap_err();
    assert_eq!(refused(large), (Code::InvalidArgument, Some(ErrorCode::TooLarge), vec!["payload".into()]));
    let heavy = served.client.enqueue(keyed("heavy")).await.unwrap_err();
    assert_eq!(refused(heavy), (Code::InvalidArgument, Some(ErrorCode::TooHeavy), vec!["weight".into()]));
}

#[tokio::test]
async fn the_trace_of_a_call_is_kept_with_its_task() {
    let served = setup().await;
    let channel =
        tonic::transport::Endpoint::from_shared(served.endpoint()).unwrap().connect().await.unwrap();
    let mut tasks = v1::task_service_client::TaskServiceClient::new(channel);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for header in [parent, "not-a-trace"] {
        let mut request = tonic::Request::new(enqueue());
        request.metadata_mut().insert("traceparent", header.parse().unwrap());
        tasks.enqueue_task(request).await.unwrap();
    }
    served.control.change(|world| {
        assert_eq!(world.enqueued[0].trace.as_ref().unwrap().traceparent, parent);
        assert_eq!(world.enqueued[1].trace, None);
    });
}

#[tokio::test]
async fn what_does_not_fit_is_an_invalid_argument_with_its_field() {
    let served = setup().await;
    let enqueue_with = async |change: fn(&mut v1::EnqueueTaskRequest)| {
        let mut request = enqueue();
        change(&mut request);
        refused(served.client.enqueue(request).await.unwrap_err())
    };
    assert_eq!(enqueue_with(|task| task.app = "shop".into()).await, bad("app"));
    assert_eq!(enqueue_with(|task| task.queue = "queues/Mail".into()).await, bad("queue"));
    assert_eq!(enqueue_with(|task| task.handler.clear()).await, bad("handler"));
    assert_eq!(enqueue_with(|task| task.payload = b"{".to_vec()).await, bad("payload"));
    assert_eq!(enqueue_with(|task| task.payload.clear()).await, bad("payload"));
    assert_eq!(enqueue_with(|task| task.priority = 40_000).await, bad("priority"));
    assert_eq!(enqueue_with(|task| task.scope = "a\nb".into()).await, bad("scope"));
    assert_eq!(enqueue_with(|task| task.idempotency_key = "k".repeat(257)).await, bad("idempotency_key"));
    let never = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let mut request = enqueue();
    request.deadline = Some(never);
    assert_eq!(refused(served.client.enqueue(request).await.unwrap_err()), bad("deadline"));

    let list_with = async |filter: &str, page_size, page_token: &str| {
        let request =
            v1::ListTasksRequest { filter: filter.into(), page_size, page_token: page_token.into() };
        refused(served.client.list_tasks(request).await.unwrap_err())
    };
    assert_eq!(list_with("colour=red", 0, "").await, bad("filter"));
    assert_eq!(list_with("", 1_001, "").await, bad("page_size"));
    assert_eq!(list_with("", 0, "zz").await, bad("page_token"));
    let page =
        served.client.list_tasks(v1::ListTasksRequest { page_size: 1, ..Default::default() }).await.unwrap();
    assert_eq!(list_with("state=dead", 0, &page.next_page_token).await, bad("page_token"));

    let channel =
        tonic::transport::Endpoint::from_shared(served.endpoint()).unwrap().connect().await.unwrap();
    let mut nodes = v1::tree_service_client::TreeServiceClient::new(channel.clone());
    let node = nodes.get_node(v1::GetNodeRequest { name: "nodes/a//b".into() }).await.unwrap_err();
    assert_eq!(refused(node.into()), bad("name"));
    let request = v1::ResizeNodeRequest {
        name: "nodes/engine/apps/shop/workers/fetch".into(),
        slots: 0,
        ..Default::default()
    };
    assert_eq!(refused(nodes.resize_node(request).await.unwrap_err().into()), bad("slots"));
    let mut tasks = v1::task_service_client::TaskServiceClient::new(channel.clone());
    let request =
        v1::ResolveTaskRequest { name: format!("tasks/{}", id(7)), decision: 17, ..Default::default() };
    assert_eq!(refused(tasks.resolve_task(request).await.unwrap_err().into()), bad("decision"));
    let mut workers = v1::worker_service_client::WorkerServiceClient::new(channel);
    let request = v1::RunWorkerRequest { name: "workers/fetch".into(), ..Default::default() };
    assert_eq!(refused(workers.run_worker(request).await.unwrap_err().into()), bad("selection"));
}

#[tokio::test]
async fn a_worker_runs_a_named_task_or_a_scope_and_the_caller_hears_how_it_goes() {
    let served = setup().await;
    let names: Vec<String> =
        served.client.workers().await.unwrap().into_iter().map(|worker| worker.name).collect();
    assert_eq!(names, ["workers/fetch", "workers/import", "workers/settle"]);
    let request = |selection| v1::RunWorkerRequest {
        name: "workers/fetch".into(),
        selection: Some(selection),
        ..v1::RunWorkerRequest::default()
    };
    let run = async |request| served.client.run_worker(request, |_| ()).await;
    let named = run(request(Selection::Task(format!("tasks/{}", id(4))))).await.unwrap();
    assert!(named.correlation_id.starts_with("run-") && named.finished);
    let since = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 });
    let scoped = v1::RunWorkerRequest {
        correlation_id: "mine".into(),
        since,
        once: true,
        rebuild: true,
        ..request(Selection::Scope("store=42".into()))
    };
    let scoped = run(scoped).await.unwrap();
    let counts = scoped.counts.unwrap();
    assert_eq!(
        (scoped.correlation_id.as_str(), scoped.selected, counts.done, counts.scheduled),
        ("mine", 3, 2, 1)
    );
    served.control.change(|world| {
        let asked = &world.runs[1];
        let RunSelection::Scope { scope, since, until } = &asked.selection else { panic!("{asked:?}") };
        assert_eq!(
            (scope.as_str(), since.map(|at| at.as_second()), *until),
            ("store=42", Some(1_800_000_000), None)
        );
        assert!(asked.once && asked.rebuild && !asked.dry_run);
    });
    let none = request(Selection::Scope("store=1".into()));
    assert_eq!(refused(run(none).await.unwrap_err()).0, Code::NotFound);
    let nonsense =
        v1::RunWorkerRequest { rebuild: true, ..request(Selection::Task(format!("tasks/{}", id(4)))) };
    assert_eq!(refused(run(nonsense).await.unwrap_err()), bad("rebuild"));
}

#[tokio::test]
async fn the_whole_is_seen_at_one_glance() {
    let served = setup().await;
    let info = served.client.info().await.unwrap();
    assert_eq!(
        (info.store.as_str(), info.apps.as_slice()),
        ("sqlite", &["apps/shop".to_owned(), "apps/books".into()][..])
    );
    assert_eq!(info.uptime.unwrap().seconds, 93_784);
    let overview = served.client.overview().await.unwrap();
    assert_eq!((overview.nodes, overview.restarts, overview.queues.len()), (12, 4, 2));
    assert_eq!(overview.apps[1].health.as_ref().unwrap().reason, "no connection");
}

#[tokio::test]
async fn dead_letters_arrive_in_groups_and_are_replayed_by_filter() {
    let served = setup().await;
    let client = &served.client;
    let dead = client.dead_letters("", 10).await.unwrap();
    assert_eq!(dead.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), [format!("tasks/{}", id(5))]);
    assert_eq!(dead[0].last_error.as_ref().unwrap().error_class, "retryable");
    assert!(client.dead_letters("class=permanent", 10).await.unwrap().is_empty());
    let count = client.dead_letter_groups("finished<2100-01-01T00:00:00Z").await.unwrap();
    let group = &count.groups[0];
    assert_eq!((group.queue.as_str(), group.code.as_str(), count.total), ("queues/mail", "RT0001", 1_204));

    let request = v1::ReplayDeadLettersRequest {
        filter: "scope=store=42 AND class=retryable AND finished>=2026-01-01T00:00:00Z".into(),
        rate: 7,
        ..Default::default()
    };
    let none = client.replay_dead_letters(request.clone(), |_| ()).await.unwrap();
    assert_eq!((none.matched, none.replayed, none.finished), (0, 0, true));
    served.control.change(|world| {
        let ask = world.acts.pop().unwrap();
        assert_eq!((ask.kind, ask.rate), (OperationKind::Replay, std::num::NonZeroU32::new(7)));
        let codes =
            ErrorCode::ALL.iter().copied().filter(|code| code.class() == ErrorClass::Retryable).collect();
        let since = TimeTest::Since("2026-01-01T00:00:00Z".parse().unwrap());
        let parts = [
            TaskTest::Scope(TextTest::Is("store=42".into())),
            TaskTest::Code(codes),
            TaskTest::Finished(since),
        ];
        assert_eq!(ask.filter.also, Some(Expr::All(parts.map(Expr::Is).into())));
    });
    let all = |validate_only| v1::ReplayDeadLettersRequest { all: true, validate_only, ..Default::default() };
    let preview = client.replay_dead_letters(all(true), |_| ()).await.unwrap();
    assert_eq!((preview.matched, preview.replayed, preview.sample.len()), (1, 0, 1));
    assert!(!format!("{preview:?}").contains("canary"));
    let replayed = client.replay_dead_letters(all(false), |_| ()).await.unwrap();
    assert_eq!((replayed.matched, replayed.replayed), (1, 1));
    assert_eq!(client.replay_dead_letters(all(false), |_| ()).await.unwrap().replayed, 0, "each once");

    let replay = async |filter: &str, all| {
        let request = v1::ReplayDeadLettersRequest { filter: filter.into(), all, ..Default::default() };
        refused(client.replay_dead_letters(request, |_| ()).await.unwrap_err())
    };
    assert_eq!(replay("", false).await, bad("filter"));
    assert_eq!(replay("state=dead", false).await, bad("filter"));
    assert_eq!(replay("state=done", false).await, bad("filter"));
    assert_eq!(replay("scope:", false).await, bad("filter"));
    assert_eq!(replay("queue=mail", true).await, bad("all"));
    let discard = async |reason: &str| {
        let request =
            v1::DiscardDeadLettersRequest { all: true, reason: reason.into(), ..Default::default() };
        client.discard_dead_letters(request, |_| ()).await
    };
    assert_eq!(refused(discard(" ").await.unwrap_err()), bad("reason"));
    assert_eq!(refused(discard(&"x".repeat(2_000)).await.unwrap_err()), bad("reason"));
    assert_eq!(discard("too late").await.unwrap().discarded, 0);
}

#[tokio::test]
async fn a_queue_arrives_with_what_keeps_its_tasks_waiting() {
    let served = setup().await;
    let (client, mail, scope) = (&served.client, "mail".parse().unwrap(), "store=42".parse().unwrap());
    let queue = client.queue(&mail).await.unwrap();
    assert_eq!(
        queue.policy,
        "fair by tenant, at most 2 at once each, 100 in 60 s each, 20 at a time, 1 lane with limits of its own, a dead head blocks its ordering key"
    );
    assert_eq!((queue.heads[0].state(), queue.heads[0].waiting), (v1::TaskState::Parked, 12));
    let paused = client.pause_queue(&mail, Some(&scope), "the printer burns").await.unwrap();
    let known = &paused.paused_scopes[0];
    assert_eq!((known.scope.as_str(), known.reason.as_str()), ("store=42", "the printer burns"));
    assert_eq!(paused.workers[0].state(), v1::NodeState::Running);
    assert!(client.resume_queue(&mail, Some(&scope)).await.unwrap().paused_scopes.is_empty());
    assert_eq!(client.pause_queue(&mail, None, "").await.unwrap().workers[0].state(), v1::NodeState::Paused);
    let running = client.resume_queue(&mail, None).await.unwrap();
    assert_eq!(running.workers[0].state(), v1::NodeState::Running);
    let none = "none".parse().unwrap();
    assert_eq!(refused(client.queue(&none).await.unwrap_err()).0, Code::NotFound);
    assert_eq!(
        refused(client.pause_queue(&mail, None, &"x".repeat(2_000)).await.unwrap_err()),
        bad("reason")
    );

    let held = client.task(id(3)).await.unwrap().task.unwrap().held.unwrap();
    assert_eq!((held.behind, held.scope_paused), (format!("tasks/{}", id(7)), true));
}

#[tokio::test]
async fn a_task_says_for_how_long_its_key_stands_and_what_a_second_one_does() {
    let served = setup().await;
    let minute = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let keyed = v1::EnqueueTaskRequest { idempotency_key: "k".into(), ..enqueue() };
    let request = v1::EnqueueTaskRequest {
        unique_within: v1::UniqueWithin::Period.into(),
        unique_for: minute,
        on_conflict: v1::OnConflict::Debounce.into(),
        debounce_at_most: minute,
        ..keyed.clone()
    };
    served.client.enqueue(request).await.unwrap();
    served.client.enqueue(keyed.clone()).await.unwrap();
    served.control.change(|world| {
        let minute = std::time::Duration::from_mins(1);
        let within = UniqueWithin::For(minute);
        let on_conflict = OnConflict::Debounce { at_most: minute };
        assert_eq!(world.enqueued[0].unique, Unique { within, on_conflict });
        assert_eq!(world.enqueued[1].unique, Unique::default());
    });
    let with = async |request| refused(served.client.enqueue(request).await.unwrap_err());
    let period = v1::UniqueWithin::Period.into();
    assert_eq!(
        with(v1::EnqueueTaskRequest { unique_within: period, ..keyed.clone() }).await,
        bad("unique_for")
    );
    let debounce = v1::OnConflict::Debounce.into();
    assert_eq!(
        with(v1::EnqueueTaskRequest { on_conflict: debounce, ..keyed }).await,
        bad("debounce_at_most")
    );
    let forever = v1::UniqueWithin::Forever.into();
    let unkeyed = v1::EnqueueTaskRequest { unique_within: forever, ..enqueue() };
    assert_eq!(with(unkeyed).await, bad("idempotency_key"));
}

#[tokio::test]
async fn operators_say_other_limits_and_see_who_says_which() {
    use v1::{concurrency_change, rate_change};
    let served = setup().await;
    let update = |change: v1::UpdateQueueRequest| {
        let request = v1::UpdateQueueRequest { name: "queues/mail".into(), ..change };
        let client = served.client.clone();
        async move { client.update_queue(request).await }
    };
    let most = |most| Some(v1::ConcurrencyChange { change: Some(concurrency_change::Change::Most(most)) });
    let rate = |change| Some(v1::RateChange { change: Some(change) });
    let whole = v1::UpdateQueueRequest {
        concurrency: most(1),
        rate: rate(rate_change::Change::Unlimited(true)),
        fairness: v1::FairnessChange::InOrder.into(),
        reason: "the bank asked".into(),
        ..v1::UpdateQueueRequest::default()
    };
    let preview = v1::UpdateQueueRequest { validate_only: true, ..whole.clone() };
    assert_eq!(update(preview).await.unwrap().limits[0].concurrency, Some(1));
    let mail = "mail".parse().unwrap();
    assert_eq!(served.client.queue(&mail).await.unwrap().overridden, None, "nothing was changed");

    let said = update(whole).await.unwrap();
    assert_eq!(said.overridden.as_ref().unwrap().reason, "the bank asked");
    assert_eq!((said.fair, said.fair_origin()), (false, v1::LimitOrigin::Operator));
    let (declared, operator) = (v1::LimitOrigin::Declared, v1::LimitOrigin::Operator);
    let seen = |detail: &v1::QueueDetail| -> Vec<_> {
        let row = |lane: &v1::LaneLimits| {
            let tokens = lane.rate.as_ref().map(|rate| (rate.tokens, rate.burst));
            (lane.lane.clone(), lane.concurrency, lane.concurrency_origin(), tokens, lane.rate_origin())
        };
        detail.limits.iter().map(row).collect()
    };
    let each = (String::new(), Some(1), operator, None, operator);
    assert_eq!(seen(&said), [each.clone(), ("acme".into(), Some(10), declared, None, operator)]);

    let own = v1::Rate { tokens: 5, per: Some(prost_types::Duration { seconds: 2, nanos: 0 }), burst: 0 };
    let of_lane = v1::UpdateQueueRequest {
        lane: "globex".into(),
        rate: rate(rate_change::Change::Rate(own)),
        ..v1::UpdateQueueRequest::default()
    };
    let said = update(of_lane).await.unwrap();
    assert_eq!(seen(&said)[2], ("globex".into(), Some(1), operator, Some((5, 5)), operator));
    let clear = v1::UpdateQueueRequest { clear_all: true, ..v1::UpdateQueueRequest::default() };
    let said = update(clear).await.unwrap();
    assert_eq!((said.overridden.clone(), seen(&said)[0].1, seen(&said).len()), (None, Some(2), 2));

    let refused_as = async |change| refused(update(change).await.unwrap_err());
    let nothing = v1::UpdateQueueRequest::default();
    assert_eq!(refused_as(nothing.clone()).await, bad("name"));
    let zero = v1::UpdateQueueRequest { concurrency: most(0), ..nothing.clone() };
    assert_eq!(refused_as(zero).await, bad("concurrency"));
    let endless = v1::Rate { tokens: 1, per: None, burst: 0 };
    let endless =
        v1::UpdateQueueRequest { rate: rate(rate_change::Change::Rate(endless)), ..nothing.clone() };
    assert_eq!(refused_as(endless).await, bad("rate"));
    let not_clear =
        v1::UpdateQueueRequest { rate: rate(rate_change::Change::Clear(false)), ..nothing.clone() };
    assert_eq!(refused_as(not_clear).await, bad("rate"));
    let fair_lane =
        v1::UpdateQueueRequest { lane: "acme".into(), fairness: v1::FairnessChange::Fair.into(), ..nothing };
    assert_eq!(refused_as(fair_lane).await, bad("fairness"));
}

#[tokio::test]
async fn many_tasks_are_changed_by_an_operation_that_can_be_looked_at_and_ended() {
    let served = setup().await;
    let client = &served.client;
    let counted = client.count_tasks("").await.unwrap();
    assert!(counted.total > 3 && !counted.at_least, "{counted:?}");
    assert_eq!(client.count_tasks("scope:store=4 OR NOT state=dead").await.unwrap().total, counted.total - 1);
    assert_eq!(refused(client.count_tasks("scope").await.unwrap_err()), bad("filter"));

    let cancel = |filter: &str, reason: &str| v1::CancelTasksRequest {
        filter: filter.into(),
        reason: reason.into(),
        rate: 1,
        ..Default::default()
    };
    let look = v1::CancelTasksRequest { validate_only: true, ..cancel("queue=mail", "why") };
    let look = client.cancel_tasks(look).await.unwrap();
    assert!(look.matched > 0 && look.sample.len() as u64 == look.matched && look.operation.is_none());
    for (filter, reason, field) in
        [("", "why", "filter"), ("state=done", "why", "filter"), ("queue=mail", " ", "reason")]
    {
        let error = client.cancel_tasks(cancel(filter, reason)).await.unwrap_err();
        assert_eq!(refused(error), bad(field), "{filter:?} {reason:?}");
    }
    let begun = client.cancel_tasks(cancel("queue=mail", "the shop closed")).await.unwrap();
    let begun = begun.operation.unwrap();
    assert_eq!((begun.kind(), begun.state()), (v1::OperationKind::Cancel, v1::OperationState::Running));
    assert_eq!((begun.filter.as_str(), begun.reason.as_str()), ("queue=mail", "the shop closed"));
    assert_eq!((begun.matched, begun.finished_at.is_some()), (look.matched, false));

    let id = OperationId(1);
    assert_eq!(client.operation(id).await.unwrap().what, begun);
    let cancelled = client.cancel_operation(id, "enough").await.unwrap();
    assert_eq!(cancelled.state(), v1::OperationState::Cancelled);
    assert_eq!(cancelled.error.as_ref().unwrap().code, "RT0024");
    assert_eq!(client.watch_operation(&cancelled.name, |_| ()).await.unwrap(), cancelled);
    let retry = v1::RetryTasksRequest { all: true, ..Default::default() };
    let retried = client.retry_tasks(retry).await.unwrap().operation.unwrap();
    assert_eq!((retried.kind(), retried.state()), (v1::OperationKind::Retry, v1::OperationState::Done));
    let purge = |filter: &str, include_waiting, force| v1::PurgeQueueRequest {
        name: "queues/mail".into(),
        filter: filter.into(),
        include_waiting,
        force,
        reason: "old".into(),
        ..Default::default()
    };
    let look = client.purge_queue(purge("", false, false)).await.unwrap();
    assert!(look.operation.is_none() && look.sample.iter().all(|task| task.finished_at.is_some()));
    let purged = client.purge_queue(purge("state=done", false, true)).await.unwrap().operation.unwrap();
    assert_eq!(
        (purged.kind(), purged.filter.as_str()),
        (v1::OperationKind::Purge, "queue=mail AND (state=done)")
    );
    for (filter, field) in [("queue=", "filter"), ("state=ready", "include_waiting")] {
        let error = client.purge_queue(purge(filter, false, true)).await.unwrap_err();
        assert_eq!(refused(error), bad(field), "{filter}");
    }
    let names: Vec<String> =
        client.operations(2).await.unwrap().into_iter().map(|known| known.name).collect();
    assert_eq!(names, ["operations/3", "operations/2"]);
    assert_eq!(client.operations(10).await.unwrap().len(), 3);
    let nobody = client.operation(OperationId(99)).await.unwrap_err();
    assert!(matches!(nobody, ClientError::Refused(refusal) if refusal.canonical == tonic::Code::NotFound));
}

#[tokio::test]
async fn a_drain_tells_how_many_are_under_way() {
    let served = setup().await;
    let (client, mail, scope) = (&served.client, "mail".parse().unwrap(), "store=42".parse().unwrap());
    let drained = client.drain_queue(&mail, Some(&scope), "stocktaking", |_| ()).await.unwrap();
    assert_eq!((drained.leased, drained.finished), (0, true));
    served.control.change(|world| assert_eq!(world.drained, [(mail, Some(scope))]));
    let nobody = client.drain_queue(&"nobody".parse().unwrap(), None, "", |_| ()).await.unwrap_err();
    assert!(matches!(nobody, ClientError::Refused(refusal) if refusal.canonical == tonic::Code::NotFound));
}
