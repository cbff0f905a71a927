//! ActorCommandProcessor: the one door for commands. Thin: every arm hands the command to whoever knows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::{
    Command, CommandError, Origin, Reply, RunAsk, RunProgress, ScheduleCommand, TaskDetail,
};
use runtime_core::error::ErrorCode;
use runtime_core::journal::Cause;
use runtime_core::node::NodePath;
use runtime_core::store::{Enqueued, QueueStats};
use runtime_core::supervision::Fault;
use runtime_core::task::{NewTask, TaskId, TaskState};
use tokio::sync::watch;

use crate::completion::CompletionMsg;
use crate::node::{NodeActor, NodeContext};
use crate::operations::OperationMsg;
use crate::platform::Platform;
use crate::schedules::ScheduleMsg;
use crate::services::drain;
use crate::services::operator_run::{OperatorRun, RunTarget};
use crate::services::overrides::OverrideService;
use crate::services::queues::QueueService;
use crate::services::steering::SteeringService;
use crate::services::telling::{Accepted, Asked};
use crate::status::StatusMsg;
use crate::table::NodeAddress;
use crate::templates::TemplatesMsg;

/// Where commands go.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) status: NodeAddress<StatusMsg>,
    pub(crate) templates: NodeAddress<TemplatesMsg>,
    pub(crate) completion: NodeAddress<CompletionMsg>,
    pub(crate) targets: Arc<Vec<RunTarget>>,
    pub(crate) schedules: NodeAddress<ScheduleMsg>,
    pub(crate) operations: NodeAddress<OperationMsg>,
}

/// A command, and on whose behalf it is to be carried out.
pub(crate) struct Commanded {
    pub(crate) command: Command,
    pub(crate) origin: Origin,
}

/// How often somebody who waits for idleness looks.
const IDLE_LOOK: Duration = Duration::from_millis(20);

/// The logic of the commands node.
pub(crate) struct ActorCommandProcessor {
    platform: Arc<Platform>,
    steering: SteeringService,
    queues: QueueService,
    overrides: OverrideService,
    doors: Doors,
}

impl ActorCommandProcessor {
    pub(crate) fn new(platform: Arc<Platform>, doors: Doors) -> Self {
        Self {
            steering: SteeringService::new(platform.clone()),
            queues: QueueService::new(platform.clone(), doors.targets.clone()),
            overrides: OverrideService::new(platform.clone(), doors.schedules.clone()),
            platform,
            doors,
        }
    }

    fn status(&self, root: NodePath, deep: bool, reply: Reply<Vec<runtime_core::node::NodeView>>) {
        hand_on(&self.doors.status, StatusMsg::GetWorkerStatus { root, deep, reply });
    }

    /// An instance that drains takes no new work, from whomever: such a command is answered here.
    fn let_in(&self, command: Command) -> Option<Command> {
        let Err(refused) = self.platform.drain.lets_in() else { return Some(command) };
        match command {
            Command::EnqueueTasks { reply, .. } => reply.send(Err(refused)),
            Command::RunWorker { reply, .. } => reply.send(Err(refused)),
            Command::Schedules(ScheduleCommand::Trigger { reply, .. }) => reply.send(Err(refused)),
            Command::Schedules(ScheduleCommand::Backfill { reply, .. }) => reply.send(Err(refused)),
            command => return Some(command),
        }
        None
    }

    fn run_worker(&self, ask: RunAsk, progress: watch::Sender<RunProgress>, reply: Reply<RunProgress>) {
        match self.doors.targets.iter().find(|target| target.descriptor.name == ask.worker) {
            None => reply.send(Err(CommandError::not_found(format!("no worker {}", ask.worker)))),
            Some(target) => {
                let (platform, target) = (self.platform.clone(), target.clone());
                answer(reply, OperatorRun { platform, target, ask, progress }.run());
            }
        }
    }
}

/// Answers from a task of its own: the store, or a node that changes, takes its time. A command that was taken is answered also when
/// this node ends meanwhile, all the more when that is what was asked for.
fn answer<T, F>(reply: Reply<T>, work: F)
where
    T: Send + 'static,
    F: Future<Output = Result<T, CommandError>> + Send + 'static,
{
    tokio::spawn(async move { reply.send(work.await) });
}

/// Hands a message on. When nobody is there its reply is dropped, and the asker hears that.
fn hand_on<M: Send + 'static>(to: &NodeAddress<M>, message: M) {
    if to.send(message).is_err() {
        tracing::warn!(node = %to.entry().path(), "a command came while its node was not up");
    }
}

#[async_trait]
impl NodeActor for ActorCommandProcessor {
    type Msg = Commanded;

    async fn handle(
        &mut self,
        _node: &NodeContext<Commanded>,
        Commanded { command, origin }: Commanded,
    ) -> Result<(), Fault> {
        let store = self.platform.store.clone();
        let Some(command) = self.let_in(command) else { return Ok(()) };
        match command {
            Command::GetInfo { reply } => hand_on(&self.doors.status, StatusMsg::GetInfo { reply }),
            Command::GetOverview { reply } => hand_on(&self.doors.status, StatusMsg::HealthCheck { reply }),
            Command::GetEventStatus { reply } => {
                hand_on(&self.doors.status, StatusMsg::GetEventStatus { reply })
            }
            Command::GetTree { root, reply } => self.status(root, true, reply),
            Command::GetNode { path, reply } => {
                let (views, view) = Reply::channel();
                self.status(path, false, views);
                answer(reply, async move {
                    let mut views = view.await.unwrap_or_else(|_| Err(gone()))?;
                    views.pop().ok_or_else(gone)
                });
            }
            Command::ListRestarts { under, before, page_size, reply } => {
                reply.send(Ok(self.platform.table.restarts(&under, before, page_size)));
            }
            Command::SteerNode { path, command, terms, reply } => {
                let steering = self.steering.clone();
                answer(reply, async move { steering.steer(&path, command, &terms, &origin).await });
            }
            Command::ListWorkers { reply } => {
                hand_on(&self.doors.templates, TemplatesMsg::GetTemplate { worker: None, reply });
            }
            Command::RunWorker { ask, progress, reply } => self.run_worker(ask, progress, reply),
            Command::ListQueues { reply } => {
                let queues = self.queues.clone();
                answer(reply, async move { queues.list().await });
            }
            Command::EnqueueTasks { tasks, reply } => {
                answer(reply, enqueue(self.platform.clone(), tasks, origin))
            }
            Command::ListTasks { filter, after, page_size, reply } => {
                answer(reply, async move { Ok(store.list(filter, after, page_size).await?) });
            }
            Command::CountTasks { filter, at_most, reply } => {
                answer(reply, async move { Ok(store.count(filter, at_most).await?) });
            }
            Command::GetTask { id, reply } => answer(reply, detail(self.platform.clone(), id)),
            Command::SteerTask { id, command, terms, reply } => {
                let decision = CompletionMsg::SendTaskResult { id, command, terms, origin, reply };
                hand_on(&self.doors.completion, decision);
            }
            Command::Operations(command) => {
                hand_on(&self.doors.operations, OperationMsg::Asked(command, origin))
            }
            Command::Schedules(command) => {
                hand_on(&self.doors.schedules, ScheduleMsg::Asked(command, origin))
            }
            Command::CountDeadLetters { filter, at_most, reply } => {
                answer(reply, async move { Ok(store.dead_groups(filter, at_most).await?) });
            }
            Command::Drain(command) => {
                drop(tokio::spawn(drain::carry_out(self.platform.clone(), command, origin)))
            }
            Command::Overrides(command) => {
                drop(tokio::spawn(self.overrides.clone().carry_out(command, origin)))
            }
            Command::Reconfigure { workers, reply } => {
                hand_on(&self.doors.templates, TemplatesMsg::Reconfigure { workers, reply });
            }
            Command::DumpState { reply } => hand_on(&self.doors.status, StatusMsg::DumpState { reply }),
            Command::Queues(command) => drop(tokio::spawn(self.queues.clone().carry_out(command, origin))),
            Command::AwaitIdle { reply } => {
                answer(reply, idle(self.platform.clone(), self.doors.completion.clone()));
            }
        }
        Ok(())
    }
}

fn gone() -> CommandError {
    CommandError::new(ErrorCode::NoAnswer, "the status node is not up")
}

async fn enqueue(
    platform: Arc<Platform>,
    tasks: Vec<NewTask>,
    origin: Origin,
) -> Result<Vec<Result<Enqueued, CommandError>>, CommandError> {
    let mut answers: Vec<Result<Enqueued, CommandError>> = Vec::with_capacity(tasks.len());
    let (mut complete, mut places) = (Vec::new(), Vec::new());
    for task in tasks {
        match platform.intake.complete(task) {
            Ok(task) => {
                places.push(answers.len());
                complete.push(task);
                answers.push(Err(CommandError::new(ErrorCode::NoAnswer, "the store answered for no task")));
            }
            Err(misfits) => answers.push(Err(misfits.into())),
        }
    }
    let asked: Vec<Asked> = complete.iter().map(Asked::of).collect();
    let mut accepted = Accepted::new(platform.clock.now(), Cause::Command("enqueue"), &origin);
    for ((place, asked), answer) in places.into_iter().zip(asked).zip(platform.store.enqueue(complete).await?)
    {
        if let Ok(answer) = &answer {
            accepted.answered(&asked, answer);
        }
        answers[place] = answer.map_err(CommandError::from);
    }
    accepted.tell(&platform.journal);
    Ok(answers)
}

async fn detail(platform: Arc<Platform>, id: TaskId) -> Result<TaskDetail, CommandError> {
    let task = platform.store.get(vec![id]).await?.pop().flatten();
    let task = task.ok_or_else(|| CommandError::not_found(format!("no task {id}")))?;
    let attempts = platform.store.attempts(id).await?;
    Ok(TaskDetail { task, attempts })
}

/// Waits until no queue holds anything that will run by itself.
async fn idle(platform: Arc<Platform>, completion: NodeAddress<CompletionMsg>) -> Result<(), CommandError> {
    loop {
        if platform.is_stopping() {
            return Err(CommandError::new(ErrorCode::ShuttingDown, "the runtime is stopping"));
        }
        let (reply, flushed) = Reply::channel();
        hand_on(&completion, CompletionMsg::ProcessTaskCompletion(reply));
        // Without an answer the completion node is restarting: what it has to write is among what is leased.
        drop(flushed.await);
        let busy = |stats: &QueueStats| {
            [TaskState::Ready, TaskState::Leased, TaskState::Scheduled]
                .iter()
                .any(|state| stats.counts.of(*state) > 0)
        };
        if !platform.store.queue_stats().await?.iter().any(busy) {
            return Ok(());
        }
        tokio::time::sleep(IDLE_LOOK).await;
    }
}
