//! Each actor through its message handlers, with a probe in place of the framework.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use runtime_core::control::Reply;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::limits::StoreLimits;
use runtime_core::name::{CorrelationId, InstanceName};
use runtime_core::node::{DesiredState, Health, NodeKind, NodeState};
use runtime_core::store::{LeaseAsk, Store, StoreError, TaskCommand};
use runtime_core::task::{NewTask, TaskId, TaskState};
use runtime_stores::MemoryStore;
use tokio::sync::oneshot;

use super::kit::{
    Facts, FaultyStore, Gate, PausedClock, Probe, Refusal, StoreCall, done, from_fn, platform, route, worker,
};
use crate::attempt::WorkerRun;
use crate::completion::{CompletionActor, CompletionMsg};
use crate::events::{DomainEventActor, EventsMsg};
use crate::executor::{ExecutorMsg, TaskExecutorActor};
use crate::granted::Granted;
use crate::node::{ControlMsg, NodeActor, NodeLife, NodeMsg, Progress};
use crate::platform::Platform;
use crate::server::{ServerActor, ServerMsg};
use crate::services::events::DomainEventService;
use crate::status::{StatusMsg, WorkerStatusActor};
use crate::store_keeper::{StoreActor, StoreMsg};
use crate::table::NodeAddress;
use crate::templates::{TemplateCacheActor, TemplatesMsg};

struct Bench {
    store: Arc<FaultyStore>,
    platform: Arc<Platform>,
}

impl Bench {
    fn new() -> Self {
        let clock = PausedClock::new();
        let store = FaultyStore::new(Arc::new(MemoryStore::new(clock.clone(), StoreLimits::default())));
        let platform = platform(store.clone() as Arc<dyn Store>, clock);
        Self { store, platform }
    }

    /// An executor that is not started, with so many slots and a handler that never ends.
    async fn executor(&self, slots: usize) -> (TaskExecutorActor, Probe<ExecutorMsg>, Arc<WorkerRun>) {
        let probe = Probe::at(&self.platform, "/greet", NodeKind::Executor).await;
        let plan = worker("greet", slots, from_fn(async |_| std::future::pending().await));
        let run = Arc::new(WorkerRun {
            platform: self.platform.clone(),
            descriptor: plan.descriptor.clone(),
            handler: plan.handler,
            executor: NodeAddress::of(probe.node.entry().clone()),
        });
        (TaskExecutorActor::new(run.clone(), plan.descriptor.slots), probe, run)
    }

    async fn enqueue(&self, count: usize) -> Vec<TaskId> {
        let tasks = (0..count).map(|_| NewTask::new(route("greet"), b"null".to_vec())).collect();
        let answers = self.store.inner().enqueue(tasks).await.unwrap();
        answers.into_iter().map(|answer| answer.unwrap().id()).collect()
    }

    async fn state(&self, id: TaskId) -> TaskState {
        self.store.inner().get(vec![id]).await.unwrap().pop().flatten().unwrap().state
    }

    /// Writes what waits to be written.
    async fn settle(&self) {
        while self
            .platform
            .completion
            .flush(&*self.platform.store, &self.platform.leases)
            .await
            .unwrap()
            .is_some()
        {}
    }
}

/// Whatever was answered by now; `None` when nothing was.
fn answered<T>(answer: &mut oneshot::Receiver<T>) -> Option<T> {
    answer.try_recv().ok()
}

fn slots(probe: &Probe<ExecutorMsg>) -> (u64, u64) {
    probe.node.entry().view().slots.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_executor_asks_for_its_slots_and_starts_what_comes() {
    let bench = Bench::new();
    bench.enqueue(5).await;
    let (mut executor, mut probe, _) = bench.executor(3).await;
    assert_eq!(executor.init(&probe.node).await, Ok(Progress::Complete));
    let leases = probe.next().await;
    let ExecutorMsg::ExecuteTaskFromQueue { .. } = leases else { panic!("leases come") };
    executor.handle(&probe.node, leases).await.unwrap();
    assert_eq!(slots(&probe), (3, 3));
    assert_eq!(bench.store.count(StoreCall::Lease), 1);
    executor.handle(&probe.node, ExecutorMsg::ExecuteTaskFromEvent).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(bench.store.count(StoreCall::Lease), 1, "a wake-up asks for nothing when no slot is free");
}

#[tokio::test(start_paused = true)]
async fn the_executor_asks_again_when_it_was_woken_while_it_asked() {
    let bench = Bench::new();
    let (mut executor, mut probe, _) = bench.executor(1).await;
    executor.init(&probe.node).await.unwrap();
    let nothing = probe.next().await;
    executor.handle(&probe.node, ExecutorMsg::ExecuteTaskFromEvent).await.unwrap();
    bench.enqueue(1).await;
    executor.handle(&probe.node, nothing).await.unwrap();
    let something = loop {
        match probe.next().await {
            ExecutorMsg::ExecuteTaskFromQueue { leased } => break leased.take(),
            other => executor.handle(&probe.node, other).await.unwrap(),
        }
    };
    assert_eq!(something.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_executor_claims_a_task_for_an_operator_in_a_slot_of_its_own() {
    let bench = Bench::new();
    let (mut executor, mut probe, _) = bench.executor(1).await;
    // Its queue was dry when it looked, so that the operator is the first to want the task.
    executor.init(&probe.node).await.unwrap();
    let nothing = probe.next().await;
    executor.handle(&probe.node, nothing).await.unwrap();
    let id = bench.enqueue(2).await[0];
    let correlation = CorrelationId::new("look").unwrap();
    let ask = |task| {
        let (reply, answer) = Reply::channel();
        (ExecutorMsg::ExecuteTaskWithCorrelation { task, correlation: correlation.clone(), reply }, answer)
    };
    let (run, mut answer) = ask(id);
    executor.handle(&probe.node, run).await.unwrap();
    let (second, mut refusal) = ask(id);
    executor.handle(&probe.node, second).await.unwrap();
    let refused = answered(&mut refusal).expect("at once").unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition, "the slot is promised before the claim");
    let claimed = loop {
        match probe.next().await {
            claimed @ ExecutorMsg::ExecuteTask { .. } => break claimed,
            ExecutorMsg::ExecuteTaskFromEvent => {}
            _ => panic!("another message"),
        }
    };
    assert!(answered(&mut answer).is_none(), "answered when it is started, not before");
    executor.handle(&probe.node, claimed).await.unwrap();
    assert_eq!(answered(&mut answer), Some(Ok(())));
    assert_eq!(slots(&probe), (1, 1));
    assert_eq!(bench.state(id).await, TaskState::Leased);
}

#[tokio::test(start_paused = true)]
async fn the_executor_frees_the_slot_of_a_run_that_the_store_refused() {
    let bench = Bench::new();
    let (mut executor, mut probe, _) = bench.executor(1).await;
    executor.init(&probe.node).await.unwrap();
    let nothing = probe.next().await;
    executor.handle(&probe.node, nothing).await.unwrap();
    let id = bench.enqueue(1).await[0];
    bench.store.fail(StoreCall::Lease);
    let (reply, answer) = Reply::channel();
    let correlation = CorrelationId::new("look").unwrap();
    let run = ExecutorMsg::ExecuteTaskWithCorrelation { task: id, correlation, reply };
    executor.handle(&probe.node, run).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap_err().code, ErrorCode::StoreUnavailable);
    bench.store.set(StoreCall::Lease, Gate::Open);
    while slots(&probe) != (1, 1) {
        let message = probe.next().await;
        executor.handle(&probe.node, message).await.unwrap();
    }
    assert_eq!(bench.state(id).await, TaskState::Leased, "the worker took it by itself");
}

#[tokio::test(start_paused = true)]
async fn the_executor_shows_that_leases_cannot_be_had_and_asks_again_after_a_while() {
    let bench = Bench::new();
    bench.enqueue(1).await;
    bench.store.fail(StoreCall::Lease);
    let (mut executor, mut probe, _) = bench.executor(1).await;
    executor.init(&probe.node).await.unwrap();
    let failed = probe.next().await;
    executor.handle(&probe.node, failed).await.unwrap();
    assert!(matches!(probe.node.entry().view().health, Health::Unhealthy(_)));
    bench.store.set(StoreCall::Lease, Gate::Open);
    while slots(&probe) != (1, 1) {
        let message = probe.next().await;
        executor.handle(&probe.node, message).await.unwrap();
    }
    assert_eq!(probe.node.entry().view().health, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn the_executor_gives_back_what_comes_when_it_takes_nothing_any_more() {
    let bench = Bench::new();
    let ids = bench.enqueue(2).await;
    let (mut executor, mut probe, run) = bench.executor(2).await;
    executor.init(&probe.node).await.unwrap();
    let leases = probe.next().await;
    executor.pause(&probe.node);
    executor.handle(&probe.node, leases).await.unwrap();
    bench.settle().await;
    assert_eq!(slots(&probe), (0, 2));
    for id in ids {
        assert_eq!(bench.state(id).await, TaskState::Ready);
    }
    // A run for an operator that was claimed before the pause and comes after it.
    let ask = LeaseAsk {
        queue: route("greet").queue.clone(),
        instance: InstanceName::new("test-1").unwrap(),
        up_to: 1,
        lease_for: Duration::from_secs(30),
        task: None,
    };
    let leased = bench.store.inner().lease(ask).await.unwrap();
    let id = leased[0].lease.task;
    let (reply, mut answer) = Reply::channel();
    let claimed = ExecutorMsg::ExecuteTask {
        leased: Granted::new(&run, leased),
        correlation: CorrelationId::new("look").unwrap(),
        reply,
    };
    executor.handle(&probe.node, claimed).await.unwrap();
    assert_eq!(answered(&mut answer).unwrap().unwrap_err().code, ErrorCode::FailedPrecondition);
    bench.settle().await;
    assert_eq!(bench.state(id).await, TaskState::Ready);
}

#[tokio::test(start_paused = true)]
async fn the_executor_ends_the_attempts_whose_leases_are_lost_and_no_others() {
    let bench = Bench::new();
    bench.enqueue(2).await;
    let (mut executor, mut probe, _) = bench.executor(2).await;
    executor.init(&probe.node).await.unwrap();
    let leases = probe.next().await;
    executor.handle(&probe.node, leases).await.unwrap();
    let held = bench.platform.leases.all();
    executor.handle(&probe.node, ExecutorMsg::LeasesLost { leases: vec![held[0]] }).await.unwrap();
    assert_eq!(slots(&probe), (1, 2));
    assert_eq!(bench.platform.leases.all(), [held[1]]);
    assert_eq!(probe.node.entry().view().errors, 1);
}

#[tokio::test(start_paused = true)]
async fn the_executor_finishes_when_it_is_asked_to_and_has_nothing_left() {
    let bench = Bench::new();
    let ids = bench.enqueue(2).await;
    let (mut executor, mut probe, _) = bench.executor(1).await;
    executor.init(&probe.node).await.unwrap();
    probe.node.ready();
    let leases = probe.next().await;
    executor.handle(&probe.node, leases).await.unwrap();
    assert_eq!(executor.stop(&probe.node).await, Ok(Progress::Underway));
    loop {
        match probe.next().await {
            over @ ExecutorMsg::GraceOver => break executor.handle(&probe.node, over).await.unwrap(),
            other => executor.handle(&probe.node, other).await.unwrap(),
        }
    }
    bench.platform.completion.arrived().await;
    bench.settle().await;
    while slots(&probe) != (0, 1) {
        let message = probe.next().await;
        executor.handle(&probe.node, message).await.unwrap();
    }
    for id in ids {
        assert_eq!(bench.state(id).await, TaskState::Ready);
    }
    probe.finished().await;
}

#[tokio::test(start_paused = true)]
async fn the_completion_node_answers_when_all_is_written_and_breaks_when_its_writer_does() {
    let bench = Bench::new();
    let ids = bench.enqueue(1).await;
    let events = NodeAddress::<EventsMsg>::of(
        bench.platform.table.declare(super::kit::path("/events"), NodeKind::Events),
    );
    let probe = Probe::at(&bench.platform, "/completion", NodeKind::Completion).await;
    let mut completion = CompletionActor::new(bench.platform.clone(), events);
    assert_eq!(completion.init(&probe.node).await, Ok(Progress::Complete));
    let (reply, flushed) = Reply::channel();
    completion.handle(&probe.node, CompletionMsg::ProcessTaskCompletion(reply)).await.unwrap();
    assert_eq!(flushed.await.unwrap(), Ok(()), "nothing waits");
    let (reply, answer) = Reply::channel();
    let cancel = CompletionMsg::SendTaskResult { id: ids[0], command: TaskCommand::Cancel, reply };
    completion.handle(&probe.node, cancel).await.unwrap();
    assert_eq!(answer.await.unwrap(), Ok(TaskState::Cancelled));
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
    let identity = crate::services::status::Identity {
        apps: vec!["shop".parse().unwrap()],
        store: "memory".into(),
        started_at: bench.platform.clock.now(),
    };
    let service =
        crate::services::status::WorkerStatusService::new(bench.platform.clone(), identity, events, vec![]);
    let probe = Probe::at(&bench.platform, "/status", NodeKind::Status).await;
    let mut status = WorkerStatusActor::new(bench.platform.clone(), Arc::new(service));
    status.init(&probe.node).await.unwrap();
    let root = super::kit::path("/status");
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
    let mut server = ServerActor::new(Arc::new(|stop, ready: Box<dyn FnOnce() + Send>| {
        Box::pin(async move {
            ready();
            stop.cancelled().await;
            Ok(())
        })
    }));
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

/// A node that counts what the facet asks of it.
#[derive(Default)]
struct Plain {
    calls: Arc<std::sync::Mutex<Vec<&'static str>>>,
}

#[async_trait::async_trait]
impl NodeActor for Plain {
    type Msg = ();

    async fn init(
        &mut self,
        _: &crate::node::NodeContext<()>,
    ) -> Result<Progress, runtime_core::supervision::Fault> {
        self.calls.lock().unwrap().push("init");
        Ok(Progress::Complete)
    }

    async fn handle(
        &mut self,
        _: &crate::node::NodeContext<()>,
        (): (),
    ) -> Result<(), runtime_core::supervision::Fault> {
        self.calls.lock().unwrap().push("handle");
        Ok(())
    }

    fn pause(&mut self, _: &crate::node::NodeContext<()>) {
        self.calls.lock().unwrap().push("pause");
    }

    fn resume(&mut self, _: &crate::node::NodeContext<()>) {
        self.calls.lock().unwrap().push("resume");
    }

    async fn stop(
        &mut self,
        _: &crate::node::NodeContext<()>,
    ) -> Result<Progress, runtime_core::supervision::Fault> {
        self.calls.lock().unwrap().push("stop");
        Ok(Progress::Underway)
    }
}

#[tokio::test(start_paused = true)]
async fn every_node_understands_the_control_facet() {
    let bench = Bench::new();
    let Probe { node, .. } = Probe::<()>::at(&bench.platform, "/plain", NodeKind::Health).await;
    let entry = node.entry().clone();
    entry.set_desired(DesiredState::Paused);
    let calls = Arc::default();
    let plain = Plain { calls: Arc::clone(&calls) };
    let mut life = NodeLife::new(plain, node);
    life.receive(NodeMsg::Init).await.unwrap();
    assert_eq!(*calls.lock().unwrap(), ["pause", "init"], "paused before it starts");
    assert_eq!(entry.state(), NodeState::Paused);
    let mut ask = async |make: fn(Reply<()>) -> ControlMsg| {
        let (reply, mut answer) = Reply::channel();
        life.receive(NodeMsg::Control(make(reply))).await.unwrap();
        (answered(&mut answer).expect("answered at once"), entry.state())
    };
    assert_eq!(ask(ControlMsg::Resume).await, (Ok(()), NodeState::Running));
    assert_eq!(ask(ControlMsg::Pause).await, (Ok(()), NodeState::Paused));
    assert_eq!(ask(ControlMsg::Drain).await, (Ok(()), NodeState::Draining));
    assert_eq!(
        ask(|reply| ControlMsg::Resize(2, reply)).await.0.unwrap_err().code,
        ErrorCode::FailedPrecondition
    );
    life.receive(NodeMsg::Own(())).await.unwrap();
    life.receive(NodeMsg::Control(ControlMsg::Stop)).await.unwrap();
    life.receive(NodeMsg::Control(ControlMsg::Stop)).await.unwrap();
    let stops = calls.lock().unwrap().iter().filter(|call| **call == "stop").count();
    assert_eq!(stops, 1, "a second stop changes nothing");
    let (reply, mut answer) = Reply::channel();
    life.receive(NodeMsg::Control(ControlMsg::Resume(reply))).await.unwrap();
    assert!(answered(&mut answer).unwrap().is_err(), "a node that stops is not turned round");
    let (reply, mut view) = Reply::channel();
    life.receive(NodeMsg::Control(ControlMsg::Snapshot(reply))).await.unwrap();
    assert_eq!(answered(&mut view).unwrap().unwrap().state, NodeState::Stopping, "it still answers");
    drop(life);
    assert_eq!(entry.state(), NodeState::Stopped);
    let (reply, _) = Reply::channel();
    assert!(!entry.control(ControlMsg::Pause(reply)), "the door is shut");
}
