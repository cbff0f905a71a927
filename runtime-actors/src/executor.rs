//! TaskExecutorActor: one worker. It leases what its slots can take, starts attempts, and hears what was settled.
//!
//! ```text
//! wake ─▶ ask the store ─▶ leased ─▶ attempt on the work pool ─▶ completion ─▶ settled: the slot is free ─▶ ask …
//! ```

mod operators;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::{CommandError, Reply};
use runtime_core::name::CorrelationId;
use runtime_core::node::Health;
use runtime_core::store::{LeaseAsk, StoreError};
use runtime_core::supervision::Fault;
use runtime_core::task::{Lease, TaskId};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::operators::AskedFor;
use crate::attempt::{Attempt, WorkerRun, release};
use crate::granted::Granted;
use crate::node::{Myself, NodeActor, NodeContext, Progress};
use crate::services::breakers::Held;
use crate::services::executor::{Takes, TaskExecutorService};

/// What an executor is asked and told.
pub(crate) enum ExecutorMsg {
    /// Run one leased task for an operator, whose slot was reserved before the claim.
    ExecuteTask {
        /// The task.
        leased: Granted,
        /// What the run is to be found under.
        correlation: CorrelationId,
        /// Answered when it was started.
        reply: Reply<()>,
    },
    /// Run this ready task for an operator as soon as a slot is free, also while the worker is paused.
    ExecuteTaskWithCorrelation {
        /// The task.
        task: TaskId,
        /// What the run is to be found under.
        correlation: CorrelationId,
        /// Answered when it was started.
        reply: Reply<()>,
    },
    /// Leases that were asked for came.
    ExecuteTaskFromQueue {
        /// They.
        leased: Granted,
    },
    /// The queue may have something; the tasks themselves are fetched.
    ExecuteTaskFromEvent,
    /// Asking for leases failed.
    LeaseFailed {
        /// Why.
        error: StoreError,
    },
    /// The slot reserved for an operator is not needed.
    RunRefused,
    /// Outcomes are settled, or were refused: their slots are free. With each, whether it went well.
    OutcomesSettled {
        /// They.
        leases: Vec<(Lease, bool)>,
    },
    /// These leases are no longer ours.
    LeasesLost {
        /// They.
        leases: Vec<Lease>,
    },
    /// This task shall not run on, if it is here.
    CancelTask {
        /// The task.
        task: TaskId,
    },
    /// A cancelled attempt had its time to end.
    CancelOver {
        /// Its lease.
        lease: Lease,
    },
    /// The worker's settings are others from now on.
    Reconfigured,
    /// The work pool moved to another lane.
    PoolMoved,
    /// Time to look for stuck attempts, and at the queue in case a wake-up was missed.
    Ticked,
    /// Running attempts had their time to end.
    GraceOver,
    /// Aborted attempts had their time to yield.
    AbortOver,
}

/// How often an executor looks after itself.
const TICK: Duration = Duration::from_secs(1);

/// How long an aborted attempt may take to yield, before it is fenced off.
const ABORT_WITHIN: Duration = Duration::from_secs(1);

/// How long a failed ask for leases waits.
const LEASE_RETRY: Duration = Duration::from_millis(200);

/// The logic of one worker's node.
pub(crate) struct TaskExecutorActor {
    run: Arc<WorkerRun>,
    service: TaskExecutorService,
    tasks: JoinSet<()>,
    /// What operators asked for and no slot was free for yet.
    asked_for: VecDeque<AskedFor>,
    stopping: bool,
    drained: Vec<Reply<()>>,
    /// What it waits for, as last shown.
    held: Option<Held>,
    /// Whether an operator paused it.
    paused: watch::Sender<bool>,
}

impl TaskExecutorActor {
    pub(crate) fn new(run: Arc<WorkerRun>, slots: NonZeroUsize) -> Self {
        // What an operator chose goes before what is configured.
        let slots = run.executor.entry().chosen_slots().unwrap_or(slots);
        let service = TaskExecutorService::new(slots.get());
        let has_lanes = run.descriptor.flow.lanes.is_some();
        let service = if has_lanes { service.without_prefetch() } else { service };
        Self {
            run,
            service,
            tasks: JoinSet::new(),
            asked_for: VecDeque::new(),
            stopping: false,
            drained: Vec::new(),
            held: None,
            paused: watch::Sender::new(false),
        }
    }

    fn ask_of(&self, up_to: usize, task: Option<TaskId>) -> LeaseAsk {
        LeaseAsk {
            queue: self.run.descriptor.route.queue.clone(),
            instance: self.run.platform.instance.clone(),
            up_to,
            lease_for: self.run.platform.timing.lease,
            task,
        }
    }

    /// Starts what can start, asks for what could, and shows both.
    fn go_on(&mut self, node: &NodeContext<ExecutorMsg>) {
        // The process stops, and this node's turn has not come yet: what ends meanwhile makes no room for more.
        if self.run.platform.is_stopping() && self.service.takes() != Takes::Nothing {
            self.close(node, Takes::Nothing);
        }
        self.claim_asked_for(node);
        let room = self.start_waiting();
        self.hold(node, room.as_ref().err());
        let up_to = room.ok().and_then(|room| self.service.ask(Instant::now(), room));
        if let Some(up_to) = up_to {
            let (run, myself, ask) = (self.run.clone(), node.myself(), self.ask_of(up_to, None));
            tokio::spawn(lease(run, myself, ask));
        }
        self.show(node);
        if self.service.is_idle() {
            for reply in self.drained.drain(..) {
                reply.send(Ok(()));
            }
            if self.stopping {
                node.finish();
            }
        }
    }

    /// Starts what has a slot and may call what it depends on; says how many more may.
    fn start_waiting(&mut self) -> Result<usize, Held> {
        let run = &self.run;
        while self.service.can_start() {
            let permits = run.breakers.allow(&run.descriptor.dependencies)?;
            let Some(leased) = self.service.take_next() else { break };
            self.service.started(Attempt::start(run, leased, permits, None));
        }
        self.room()
    }

    /// How many attempts what it depends on lets through.
    fn room(&self) -> Result<usize, Held> {
        self.run.breakers.room(&self.run.descriptor.dependencies)
    }

    /// Waits for a dependency: what has not begun goes back, and it looks again when the breaker says, or at the next tick.
    fn hold(&mut self, node: &NodeContext<ExecutorMsg>, held: Option<&Held>) {
        if held.is_some() {
            release(&self.run, self.service.take_waiting());
        }
        if self.held.as_ref() == held {
            return;
        }
        self.held = held.cloned();
        let Some(held) = held else { return node.entry().set_health(Health::Healthy) };
        node.entry().set_health(Health::Degraded(held.to_string()));
        let now = self.run.platform.clock.now();
        if let Some(wait) = held.until.and_then(|until| until.duration_since(now).try_into().ok()) {
            node.myself().tell_after(wait, ExecutorMsg::ExecuteTaskFromEvent);
        }
    }

    fn show(&self, node: &NodeContext<ExecutorMsg>) {
        let figure = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let entry = node.entry();
        entry.set_slots(figure(self.service.slots()));
        entry.busy_slots.store(figure(self.service.busy()), Ordering::Relaxed);
        entry.queued.store(figure(self.service.waiting()), Ordering::Relaxed);
    }

    /// Takes no more from the queue, and gives back what has not begun.
    fn close(&mut self, node: &NodeContext<ExecutorMsg>, takes: Takes) {
        self.service.take(takes);
        release(&self.run, self.service.take_waiting());
        if takes == Takes::Nothing {
            self.refuse_asked_for(node);
        }
    }

    /// Whoever waits until nothing is left waits no longer: an operator wants something else of it.
    fn call_off_drains(&mut self, node: &NodeContext<ExecutorMsg>, how: &str) {
        for reply in self.drained.drain(..) {
            reply.send(Err(CommandError::precondition(format!("{} was {how} meanwhile", node.path()))));
        }
    }

    /// Frees the slots of these leases; says how many were taken.
    fn settled(&mut self, node: &NodeContext<ExecutorMsg>, leases: Vec<(Lease, bool)>) -> u64 {
        let now = Instant::now();
        let mut failed = 0;
        let mut count = 0;
        for (lease, good) in leases {
            if self.service.settled(lease, now).is_some() {
                count += 1;
                failed += u64::from(!good);
            }
        }
        let entry = node.entry();
        entry.handled.fetch_add(count, Ordering::Relaxed);
        entry.errors.fetch_add(failed, Ordering::Relaxed);
        count
    }

    fn lost(&mut self, node: &NodeContext<ExecutorMsg>, leases: &[Lease]) {
        self.run.platform.leases.remove(leases);
        let lost = self.service.lost(leases);
        for attempt in &lost {
            tracing::warn!(task = %attempt.lease().task, error_code = "RT0003", "lease lost; the attempt is ended");
            attempt.abort(&self.run);
        }
        self.settled(node, lost.iter().map(|attempt| (attempt.lease(), false)).collect());
    }

    /// Ends the attempt of a task that shall not run: asked first, cut off after the grace. One that has not begun ends here.
    fn call_off(&mut self, node: &NodeContext<ExecutorMsg>, task: TaskId) {
        if let Some(leased) = self.service.take_waiting_task(task) {
            Attempt::new(leased, None).call_off(&self.run);
        }
        let here = self.service.running().find(|attempt| attempt.lease().task == task);
        if let Some(attempt) = here.filter(|attempt| !attempt.has_ended()) {
            attempt.call_off(&self.run);
            let over = ExecutorMsg::CancelOver { lease: attempt.lease() };
            node.myself().tell_after(self.run.platform.timing.grace, over);
        }
    }

    /// Ends all attempts; those that do not yield are fenced off later.
    fn abort_all(&self) {
        self.service.running().for_each(|attempt| attempt.abort(&self.run));
    }
}

/// Asks the store for leases; the answer comes back as a message. If the executor is gone by then, they are given back.
async fn lease(run: Arc<WorkerRun>, myself: Myself<ExecutorMsg>, ask: LeaseAsk) {
    let asking = run.platform.leases.asking();
    let message = match run.platform.store.lease(ask).await {
        Ok(leased) => {
            leased.iter().take(1).for_each(|_| runtime_core::failpoint!("lease_committed"));
            ExecutorMsg::ExecuteTaskFromQueue { leased: Granted::new(&run, leased) }
        }
        Err(error) => ExecutorMsg::LeaseFailed { error },
    };
    drop(asking);
    myself.tell(message);
}

/// Tells the store whether an operator paused the worker, in order and until the store has heard it: a queue that sheds load does not
/// hold against its tasks that they are late meanwhile.
async fn tell_pauses(run: Arc<WorkerRun>, mut paused: watch::Receiver<bool>) {
    let queue = &run.descriptor.route.queue;
    loop {
        let now = *paused.borrow_and_update();
        match run.platform.store.pause_delay(queue.clone(), now).await {
            Ok(()) if paused.changed().await.is_ok() => {}
            Ok(()) | Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%queue, paused = now, error_code = %error.code(), %error, "the store cannot be told of a pause; trying again");
                tokio::time::sleep(LEASE_RETRY).await;
            }
        }
    }
}

#[async_trait]
impl NodeActor for TaskExecutorActor {
    type Msg = ExecutorMsg;

    async fn init(&mut self, node: &NodeContext<ExecutorMsg>) -> Result<Progress, Fault> {
        let wake = self.run.platform.store.wake(&self.run.descriptor.route.queue);
        let myself = node.myself();
        self.tasks.spawn(async move {
            loop {
                wake.notified().await;
                myself.tell(ExecutorMsg::ExecuteTaskFromEvent);
            }
        });
        let myself = node.myself();
        self.tasks.spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                myself.tell(ExecutorMsg::Ticked);
            }
        });
        if self.run.descriptor.flow.shed.is_some() {
            self.tasks.spawn(tell_pauses(self.run.clone(), self.paused.subscribe()));
        }
        self.go_on(node);
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, node: &NodeContext<ExecutorMsg>, message: ExecutorMsg) -> Result<(), Fault> {
        match message {
            ExecutorMsg::ExecuteTask { leased, correlation, reply } => {
                self.run_granted(node, leased, &correlation, reply);
            }
            ExecutorMsg::ExecuteTaskWithCorrelation { task, correlation, reply } => {
                self.ask_for(node, AskedFor { task, correlation, reply });
            }
            ExecutorMsg::ExecuteTaskFromQueue { leased } => {
                self.service.leased(leased.take());
                if self.held.is_none() {
                    node.entry().set_health(Health::Healthy);
                }
                let takes = self.service.takes();
                if takes != Takes::Everything {
                    self.close(node, takes);
                }
            }
            ExecutorMsg::ExecuteTaskFromEvent => self.service.wake(),
            ExecutorMsg::LeaseFailed { error } => {
                self.service.leased(Vec::new());
                tracing::error!(node = %node.path(), error_code = %error.code(), %error, "leases cannot be had");
                node.entry().set_health(Health::Unhealthy(error.to_string()));
                node.myself().tell_after(LEASE_RETRY, ExecutorMsg::ExecuteTaskFromEvent);
                self.show(node);
                if !self.stopping {
                    return Ok(());
                }
            }
            ExecutorMsg::RunRefused => self.service.unreserve(),
            ExecutorMsg::OutcomesSettled { leases } => {
                if self.settled(node, leases) > 0 {
                    node.entry().note_progress();
                }
            }
            ExecutorMsg::LeasesLost { leases } => self.lost(node, &leases),
            ExecutorMsg::CancelTask { task } => self.call_off(node, task),
            ExecutorMsg::CancelOver { lease } => {
                let late = self.service.running().filter(|attempt| attempt.lease() == lease);
                late.for_each(|attempt| attempt.abort(&self.run));
            }
            ExecutorMsg::Reconfigured => {
                if node.entry().chosen_slots().is_none() {
                    self.service.resize(self.run.current().slots.get());
                }
            }
            ExecutorMsg::PoolMoved => {
                self.service.running().for_each(|attempt| attempt.move_if_not_begun(&self.run))
            }
            ExecutorMsg::Ticked => {
                self.service.wake();
                let after = self.run.platform.timing.stuck_after;
                self.service.running().for_each(|attempt| attempt.give_up_if_stuck(&self.run, after));
            }
            ExecutorMsg::GraceOver => {
                self.abort_all();
                node.myself().tell_after(ABORT_WITHIN, ExecutorMsg::AbortOver);
            }
            ExecutorMsg::AbortOver => {
                self.service.running().for_each(|attempt| attempt.fence(&self.run));
                // Every outcome is with the completion node now: a store that is away is its business.
                node.finish();
            }
        }
        self.go_on(node);
        Ok(())
    }

    fn pause(&mut self, node: &NodeContext<ExecutorMsg>) {
        self.close(node, Takes::OperatorsOnly);
        self.paused.send_replace(true);
        self.call_off_drains(node, "paused");
        self.show(node);
    }

    fn resume(&mut self, node: &NodeContext<ExecutorMsg>) {
        self.service.take(Takes::Everything);
        self.paused.send_replace(false);
        self.call_off_drains(node, "resumed");
        self.go_on(node);
    }

    fn resize(&mut self, node: &NodeContext<ExecutorMsg>, slots: usize) -> Result<(), CommandError> {
        self.service.resize(slots);
        self.go_on(node);
        Ok(())
    }

    fn drain(&mut self, node: &NodeContext<ExecutorMsg>, reply: Reply<()>) {
        self.close(node, Takes::Nothing);
        self.drained.push(reply);
        self.go_on(node);
    }

    async fn stop(&mut self, node: &NodeContext<ExecutorMsg>) -> Result<Progress, Fault> {
        self.stopping = true;
        self.close(node, Takes::Nothing);
        self.service.running().for_each(|attempt| attempt.cancel());
        node.myself().tell_after(self.run.platform.grace(), ExecutorMsg::GraceOver);
        self.go_on(node);
        Ok(Progress::Underway)
    }
}

impl Drop for TaskExecutorActor {
    /// Killed or broken: attempts end at their next await and are released, nothing waits for its lease to run out.
    fn drop(&mut self) {
        release(&self.run, self.service.take_waiting());
        self.abort_all();
        let entry = self.run.executor.entry();
        entry.busy_slots.store(0, Ordering::Relaxed);
        entry.queued.store(0, Ordering::Relaxed);
        let left: Vec<Arc<Attempt>> =
            self.service.running().filter(|left| !left.has_ended()).cloned().collect();
        if let (false, Ok(here)) = (left.is_empty(), Handle::try_current()) {
            let run = self.run.clone();
            here.spawn(async move {
                tokio::time::sleep(ABORT_WITHIN).await;
                left.iter().for_each(|attempt| attempt.fence(&run));
            });
        }
    }
}
