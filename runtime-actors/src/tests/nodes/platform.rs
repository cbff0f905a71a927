//! The nodes of the platform, message by message.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use runtime_core::control::Reply;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::etag::Terms;
use runtime_core::node::{Health, NodeKind};
use runtime_core::store::{StoreError, TaskCommand};
use runtime_core::task::TaskState;

use super::{Bench, answered};
use crate::completion::{CompletionActor, CompletionMsg};
use crate::events::{DomainEventActor, EventsMsg};
use crate::executor::ExecutorMsg;
use crate::node::{NodeActor, Progress};
use crate::server::{Place, Serve, ServerActor, ServerMsg, Serving};
use crate::services::events::DomainEventService;
use crate::services::status::{Identity, WorkerStatusService};
use crate::status::{StatusMsg, WorkerStatusActor};
use crate::store_keeper::{StoreActor, StoreMsg};
use crate::table::NodeAddress;
use crate::templates::{TemplateCacheActor, TemplatesMsg};
use crate::tests::kit::{Facts, Gate, Probe, Refusal, StoreCall, done, from_fn, path, worker};

#[tokio::test(start_paused = true)]
async fn the_completion_node_answers_when_all_is_written_and_breaks_when_its_writer_does() {
    let bench = Bench::new();
    let ids = bench.enqueue(1).await;
    let events =
        NodeAddress::<EventsMsg>::of(bench.platform.table.declare(path("/events"), NodeKind::Events));
    let probe = Probe::at(&bench.platform, "/completion", NodeKind::Completion).await;
    let mut completion = CompletionActor::new(bench.platform.clone(), events);
    assert_eq!(completion.init(&probe.node).await, Ok(Progress::Complete));
    let (reply, flushed) = Reply::channel();
    completion.handle(&probe.node, CompletionMsg::ProcessTaskCompletion(reply)).await.unwrap();
    assert_eq!(flushed.await.unwrap(), Ok(()), "nothing waits");
    let (reply, answer) = Reply::channel();
    let cancel = CompletionMsg::SendTaskResult {
        id: ids[0],
        command: TaskCommand::Cancel,
        origin: Default::default(),
        terms: Terms::default(),
        reply,
    };
    completion.handle(&probe.node, cancel).await.unwrap();
    assert_eq!(answer.await.unwrap().map(|steered| steered.state), Ok(TaskState::Cancelled));
    let broken = completion.handle(&probe.node, CompletionMsg::WriterEnded("boom".into())).await.unwrap_err();
    assert!(broken.to_string().contains("/completion: error: boom"));
    assert_eq!(completion.stop(&probe.node).await, Ok(Progress::Underway));
    probe.finished().await;
}

#[tokio::test(start_paused = true)]
async fn the_templates_node_serves_what_was_registered() {
    let bench = Bench::new();
    let descriptor = worker("greet", 1, from_fn(async |_| done())).descriptor;
    let probe = Probe::at(&bench.platform, "/templates", NodeKind::Templates).await;
    let mut templates = TemplateCacheActor::new(bench.platform.clone(), Arc::new(vec![descriptor.clone()]));
    templates.init(&probe.node).await.unwrap();
    for (worker, found) in [(None, true), (Some("greet"), true), (Some("wave"), false)] {
        let (reply, mut answer) = Reply::channel();
        let worker = worker.map(|name| name.parse().unwrap());
        templates.handle(&probe.node, TemplatesMsg::GetTemplate { worker, reply }).await.unwrap();
        match answered(&mut answer).unwrap() {
            Ok(all) => assert!(found && all == [(*descriptor).clone()]),
            Err(error) => assert!(!found && error.code == ErrorCode::NotFound),
        }
    }
    bench.platform.templates.refresh([]);
    templates.handle(&probe.node, TemplatesMsg::RefreshTemplateCache).await.unwrap();
    assert_eq!(bench.platform.templates.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_events_node_relays_again_what_came_while_it_relayed_and_finishes_when_all_is_out() {
    let bench = Bench::new();
    let facts = Facts::new();
    let service = Arc::new(DomainEventService::new(bench.platform.store.clone(), vec![facts.clone()]));
    let mut probe = Probe::at(&bench.platform, "/events", NodeKind::Events).await;
    let mut events = DomainEventActor::new(bench.platform.clone(), service);
    events.init(&probe.node).await.unwrap();
    events.handle(&probe.node, EventsMsg::DispatchEvents).await.unwrap();
    events.handle(&probe.node, EventsMsg::DispatchEvents).await.unwrap();
    for _ in 0..2 {
        let relayed = probe.next().await;
        assert!(matches!(relayed, EventsMsg::Relayed(Ok(()))));
        events.handle(&probe.node, relayed).await.unwrap();
    }
    tokio::task::yield_now().await;
    assert!(probe.is_quiet(), "asked twice meanwhile is asked once");
    assert_eq!(bench.store.count(StoreCall::Unrelayed), 2);
    events.handle(&probe.node, EventsMsg::Relayed(Err(TaskError::retryable("no")))).await.unwrap();
    assert!(matches!(probe.node.entry().view().health, Health::Degraded(_)));
    assert!(matches!(probe.next().await, EventsMsg::DispatchEvents), "tried again by itself");
    assert_eq!(events.stop(&probe.node).await, Ok(Progress::Underway));
    let relayed = probe.next().await;
    events.handle(&probe.node, relayed).await.unwrap();
    probe.finished().await;
    assert!(
        facts.heard().is_empty()
            && facts.trouble.lock().unwrap().iter().all(|refusal| *refusal != Refusal::Hang)
    );
}

#[tokio::test(start_paused = true)]
async fn the_status_node_answers_each_of_its_messages_from_the_table() {
    let bench = Bench::new();
    let events = Arc::new(DomainEventService::new(bench.platform.store.clone(), Vec::new()));
    let identity = Identity {
        apps: vec!["shop".parse().unwrap()],
        store: "memory".into(),
        started_at: bench.platform.clock.now(),
    };
    let service = WorkerStatusService::new(bench.platform.clone(), identity, events, vec![]);
    let probe = Probe::at(&bench.platform, "/status", NodeKind::Status).await;
    let mut status = WorkerStatusActor::new(bench.platform.clone(), Arc::new(service));
    status.init(&probe.node).await.unwrap();
    let root = path("/status");
    for deep in [true, false] {
        let (reply, mut answer) = Reply::channel();
        let ask = StatusMsg::GetWorkerStatus { root: root.clone(), deep, reply };
        status.handle(&probe.node, ask).await.unwrap();
        assert_eq!(answered(&mut answer).unwrap().unwrap()[0].path, root, "at once");
    }
    for integrated in [true, false] {
        status.handle(&probe.node, StatusMsg::SetEventIntegration(integrated)).await.unwrap();
        let (reply, mut answer) = Reply::channel();
        status.handle(&probe.node, StatusMsg::GetEventStatus { reply }).await.unwrap();
        assert_eq!(answered(&mut answer).unwrap().unwrap().integrated, integrated);
    }
    bench.store.set(StoreCall::Stats, Gate::Shut);
    let (reply, overview) = Reply::channel();
    status.handle(&probe.node, StatusMsg::HealthCheck { reply }).await.unwrap();
    let (reply, mut answer) = Reply::channel();
    status.handle(&probe.node, StatusMsg::GetInfo { reply }).await.unwrap();
    assert!(answered(&mut answer).is_some(), "not behind the one that asks the store");
    bench.store.set(StoreCall::Stats, Gate::Open);
    assert_eq!(overview.await.unwrap().unwrap().health, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn the_store_node_tells_executors_of_lost_leases_and_shows_how_the_store_does() {
    let bench = Bench::new();
    bench.enqueue(1).await;
    let (mut executor, mut worker, _) = bench.executor(1).await;
    executor.init(&worker.node).await.unwrap();
    worker.node.ready();
    let leases = worker.next().await;
    executor.handle(&worker.node, leases).await.unwrap();
    let mut probe = Probe::at(&bench.platform, "/store", NodeKind::Store).await;
    let mut store = StoreActor::new(bench.platform.clone());
    store.init(&probe.node).await.unwrap();
    assert!(matches!(probe.next().await, StoreMsg::Swept(Ok(()))), "the first chore comes at once");
    store.handle(&probe.node, StoreMsg::Swept(Err("full".into()))).await.unwrap();
    assert_eq!(probe.node.entry().view().health, Health::Unhealthy("full".into()));
    store.handle(&probe.node, StoreMsg::Swept(Ok(()))).await.unwrap();
    assert_eq!(probe.node.entry().view().health, Health::Healthy);
    let lost = bench.platform.leases.all();
    store.handle(&probe.node, StoreMsg::Extended { lost: lost.clone() }).await.unwrap();
    loop {
        match worker.next().await {
            ExecutorMsg::LeasesLost { leases } => break assert_eq!(leases, lost),
            ExecutorMsg::ExecuteTaskFromEvent | ExecutorMsg::Ticked => {}
            _ => panic!("another message"),
        }
    }
    // Only the end of the process closes the store: a restarted node could not open it again.
    assert_eq!(store.stop(&probe.node).await, Ok(Progress::Complete));
    assert_eq!(bench.store.count(StoreCall::Close), 0);
    bench.platform.stopping.store(true, Ordering::Release);
    assert_eq!(store.stop(&probe.node).await, Ok(Progress::Underway));
    probe.finished().await;
    assert_eq!(bench.store.inner().queue_stats().await.unwrap_err(), StoreError::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_server_node_is_ready_when_it_listens_and_breaks_when_its_server_ends() {
    let bench = Bench::new();
    let mut probe = Probe::at(&bench.platform, "/admin", NodeKind::Admin).await;
    let serve: Serve = Arc::new(|mut serving: Serving| {
        Box::pin(async move {
            serving.listening();
            serving.stop.cancelled().await;
            Ok(())
        })
    });
    let mut server = ServerActor::new(serve, Place::Tree);
    assert_eq!(server.init(&probe.node).await, Ok(Progress::Underway));
    assert_eq!(probe.readied(), 0);
    let listening = probe.next().await;
    server.handle(&probe.node, listening).await.unwrap();
    assert_eq!(probe.readied(), 1);
    let early = server.handle(&probe.node, ServerMsg::Ended(Ok(()))).await.unwrap_err();
    assert!(early.message.contains("nobody asked"));
    let broken = server.handle(&probe.node, ServerMsg::Ended(Err("in use".into()))).await.unwrap_err();
    assert!(broken.message.contains("in use"));
    assert_eq!(server.stop(&probe.node).await, Ok(Progress::Underway));
    let ended = probe.next().await;
    server.handle(&probe.node, ended).await.unwrap();
    probe.finished().await;
}
