//! TaskExecutorActor: one worker. It leases what its slots can take, starts attempts, and hears what was settled.
//!
//! ```text
//! wake ─▶ ask the store ─▶ leased ─▶ attempt on the work pool ─▶ completion ─▶ settled: the slot is free ─▶ ask …
//! ```

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::{CommandError, Reply};
use runtime_core::name::CorrelationId;
use runtime_core::node::{DesiredState, Health};
use runtime_core::store::{LeaseAsk, StoreError};
use runtime_core::supervision::Fault;
use runtime_core::task::{Lease, LeasedTask, TaskId};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::attempt::{Attempt, WorkerRun, release};
use crate::node::{Myself, NodeActor, NodeContext, Progress};
use crate::services::executor::TaskExecutorService;

/// What an executor is asked and told.
pub(crate) enum ExecutorMsg {
    /// Run one leased task for an operator, whose slot was reserved before the claim.
    ExecuteTask {
        /// The task.
        leased: LeasedTask,
        /// What the run is to be found under.
        correlation: CorrelationId,
        /// Answered when it was started.
        reply: Reply<()>,
    },
    /// Run this ready task now, for an operator.
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
        leased: Vec<LeasedTask>,
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
    /// The work pool moved to another lane.
    PoolMoved,
    /// Time to look for stuck attempts, and at the queue in case a wake-up was missed.
    Ticked,
    /// Running attempts had their time to end.
    GraceOver,
}

/// How often an executor looks after itself.
const TICK: Duration = Duration::from_secs(1);

/// How long a failed ask for leases waits.
const LEASE_RETRY: Duration = Duration::from_millis(200);

/// The logic of one worker's node.
pub(crate) struct TaskExecutorActor {
    run: Arc<WorkerRun>,
    service: TaskExecutorService,
    tasks: JoinSet<()>,
    stopping: bool,
    drained: Vec<Reply<()>>,
}

impl TaskExecutorActor {
    pub(crate) fn new(run: Arc<WorkerRun>, slots: NonZeroUsize) -> Self {
        Self {
            run,
            service: TaskExecutorService::new(slots.get()),
            tasks: JoinSet::new(),
            stopping: false,
            drained: Vec::new(),
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
        while let Some(leased) = self.service.take_next() {
            self.service.started(Attempt::start(&self.run, leased, None));
        }
        if let Some(up_to) = self.service.ask(Instant::now()) {
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

    fn show(&self, node: &NodeContext<ExecutorMsg>) {
        let figure = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let entry = node.entry();
        entry.slots.store(figure(self.service.slots()), Ordering::Relaxed);
        entry.busy_slots.store(figure(self.service.busy()), Ordering::Relaxed);
        entry.queued.store(figure(self.service.waiting()), Ordering::Relaxed);
    }

    /// Takes no more work and gives back what has not begun.
    fn close(&mut self) {
        self.service.accept(false);
        release(&self.run, self.service.take_waiting());
    }

    /// Claims one task for an operator: permit first, then the claim.
    fn run_for_operator(
        &mut self,
        node: &NodeContext<ExecutorMsg>,
        task: TaskId,
        correlation: CorrelationId,
        reply: Reply<()>,
    ) {
        if !self.service.reserve() {
            let text = format!("{} has no free slot, or takes no work", node.path());
            return reply.send(Err(CommandError::precondition(text)));
        }
        let (platform, myself, ask) = (self.run.platform.clone(), node.myself(), self.ask_of(1, Some(task)));
        tokio::spawn(async move {
            let refusal = match platform.store.lease(ask).await {
                Ok(mut leased) => match leased.pop() {
                    Some(leased) => {
                        platform.leases.add([leased.lease]);
                        myself.tell(ExecutorMsg::ExecuteTask { leased, correlation, reply });
                        return;
                    }
                    None => {
                        CommandError::precondition(format!("task {task} is not ready in this worker's queue"))
                    }
                },
                Err(error) => error.into(),
            };
            myself.tell(ExecutorMsg::RunRefused);
            reply.send(Err(refusal));
        });
    }

    fn settled(&mut self, node: &NodeContext<ExecutorMsg>, leases: Vec<(Lease, bool)>) {
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
        entry.note_progress();
    }

    fn lost(&mut self, leases: &[Lease]) {
        self.run.platform.leases.remove(leases);
        for attempt in self.service.lost(leases) {
            tracing::warn!(task = %attempt.lease().task, error_code = "RT0003", "lease lost; the attempt is ended");
            attempt.abort(&self.run);
        }
    }
}

/// Asks the store for leases; the answer comes back as a message.
async fn lease(run: Arc<WorkerRun>, myself: Myself<ExecutorMsg>, ask: LeaseAsk) {
    match run.platform.store.lease(ask).await {
        Ok(leased) => {
            leased.iter().take(1).for_each(|_| runtime_core::failpoint!("lease_committed"));
            run.platform.leases.add(leased.iter().map(|leased| leased.lease));
            let message = ExecutorMsg::ExecuteTaskFromQueue { leased };
            if let Err(ExecutorMsg::ExecuteTaskFromQueue { leased }) = myself.try_tell(message) {
                // The executor is gone: what it asked for goes back at once.
                release(&run, leased);
            }
        }
        Err(error) => {
            myself.tell(ExecutorMsg::LeaseFailed { error });
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
        if node.entry().desired() == DesiredState::Running {
            self.go_on(node);
        } else {
            self.show(node);
        }
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, node: &NodeContext<ExecutorMsg>, message: ExecutorMsg) -> Result<(), Fault> {
        match message {
            ExecutorMsg::ExecuteTask { leased, correlation, reply } => {
                self.service.unreserve();
                self.service.started(Attempt::start(&self.run, leased, Some(correlation)));
                reply.send(Ok(()));
            }
            ExecutorMsg::ExecuteTaskWithCorrelation { task, correlation, reply } => {
                self.run_for_operator(node, task, correlation, reply);
            }
            ExecutorMsg::ExecuteTaskFromQueue { leased } => {
                self.service.leased(leased);
                node.entry().set_health(Health::Healthy);
                if !self.service.accepts() {
                    self.close();
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
            ExecutorMsg::OutcomesSettled { leases } => self.settled(node, leases),
            ExecutorMsg::LeasesLost { leases } => {
                self.lost(&leases);
                self.settled(node, leases.into_iter().map(|lease| (lease, false)).collect());
            }
            ExecutorMsg::PoolMoved => {
                self.service.running().for_each(|attempt| attempt.move_if_not_begun(&self.run))
            }
            ExecutorMsg::Ticked => {
                self.service.wake();
                let after = self.run.platform.timing.stuck_after;
                self.service.running().for_each(|attempt| attempt.give_up_if_stuck(&self.run, after));
            }
            ExecutorMsg::GraceOver => self.service.running().for_each(|attempt| attempt.abort(&self.run)),
        }
        self.go_on(node);
        Ok(())
    }

    fn pause(&mut self, node: &NodeContext<ExecutorMsg>) {
        self.close();
        self.show(node);
    }

    fn resume(&mut self, node: &NodeContext<ExecutorMsg>) {
        self.service.accept(true);
        self.go_on(node);
    }

    fn resize(&mut self, node: &NodeContext<ExecutorMsg>, slots: usize) -> Result<(), CommandError> {
        self.service.resize(slots);
        self.go_on(node);
        Ok(())
    }

    fn drain(&mut self, node: &NodeContext<ExecutorMsg>, reply: Reply<()>) {
        self.close();
        self.drained.push(reply);
        self.go_on(node);
    }

    async fn stop(&mut self, node: &NodeContext<ExecutorMsg>) -> Result<Progress, Fault> {
        self.stopping = true;
        self.close();
        self.service.running().for_each(|attempt| attempt.cancel());
        node.myself().tell_after(self.run.platform.timing.grace, ExecutorMsg::GraceOver);
        self.go_on(node);
        Ok(Progress::Underway)
    }
}

impl Drop for TaskExecutorActor {
    /// Killed or broken: attempts end at their next await and are released, nothing waits for its lease to run out.
    fn drop(&mut self) {
        self.service.running().for_each(|attempt| attempt.abort(&self.run));
        release(&self.run, self.service.take_waiting());
    }
}
