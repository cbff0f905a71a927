//! The port between the admin plane and the tree: commands go in, answers come out, no actor is ever named.
//!
//! ```text
//! operator ─▶ admin service ─▶ Control::send_command ─▶ ActorCommandProcessor ─▶ the node concerned
//!                    ◀──────────────── Reply ◀──────────────────────┘
//! ```

mod drain;
mod instance;
mod operations;
mod origin;
mod overrides;
mod queues;
mod reply;
mod restarts;
mod run;
mod schedules;

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use drain::{DrainCommand, DrainView};
pub use instance::{
    CertificatesView, ConfigChange, ConfigProblemView, InstanceControl, LogFilterView, PendingValue,
    Reloaded, SettingView, ShutdownAsk,
};
pub use operations::{OperationAsk, OperationCommand, OperationPreview};
pub use origin::{Asked, Origin};
pub use overrides::{Override, OverrideCommand, OverrideSubject};
pub use queues::{QueueCommand, QueueDetail, QueueRates, QueueView, is_paused};
pub use reply::{CommandError, Reply};
pub use restarts::{Restart, RestartCause, RestartPage};
pub use run::{RunAsk, RunProgress, RunSelection};
pub use schedules::{Backfilled, MAX_BACKFILL, PreviewedTick, ScheduleCommand, ScheduleView};

use crate::error::ErrorCode;
use crate::etag::Terms;
use crate::flow::BreakerView;
use crate::journal::EventJournal;
use crate::name::{AppName, DependencyName, InstanceName, QueueName, WorkerName};
use crate::node::{Health, NodePath, NodeView};
use crate::store::{
    Capability, DeadGroups, Enqueued, QueueStats, Steered, TaskCommand, TaskCount, TaskFilter, TaskPage,
};
use crate::task::{AttemptRecord, NewTask, Task, TaskId};
use crate::worker::WorkerDescriptor;

/// What an operator can do to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeCommand {
    /// Bring it up, and want it running.
    Start,
    /// Stop it in order, and want it stopped.
    Stop,
    /// Stop it in order and start it again.
    Restart,
    /// Take no new work, and want it paused.
    Pause,
    /// Go on, and want it running.
    Resume,
    /// Finish what it has, then stop, and want it stopped.
    Drain,
    /// Change the number of slots of a worker.
    Resize {
        /// Slots from now on.
        slots: NonZeroUsize,
    },
    /// Take back what was wanted of it: it runs, with the slots that the configuration says.
    AsConfigured,
}

impl NodeCommand {
    /// The name used in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Drain => "drain",
            Self::Resize { .. } => "resize",
            Self::AsConfigured => "as_configured",
        }
    }
}

/// Who this runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemInfo {
    /// Release of the platform.
    pub version: String,
    /// This process.
    pub instance: InstanceName,
    /// The app it runs.
    pub apps: Vec<AppName>,
    /// Name of the back end.
    pub store: String,
    /// What the back end can do.
    pub capabilities: Vec<Capability>,
    /// Seconds since the tree was up.
    pub uptime_secs: u64,
    /// That it takes no new work, when an operator wants it so.
    pub drain: Option<DrainView>,
}

/// The whole at one glance.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Health of the whole: the worst that matters.
    pub health: Health,
    /// Health of each app, by name.
    pub apps: Vec<(AppName, Health)>,
    /// Whether the runtime is shutting down.
    pub stopping: bool,
    /// Nodes of the tree.
    pub nodes: u64,
    /// Restarts since the start of the process.
    pub restarts: u64,
    /// Every queue.
    pub queues: Vec<QueueStats>,
    /// Those of them that wait as a whole.
    pub paused_queues: Vec<QueueName>,
    /// What workers depend on, by app and name.
    pub dependencies: Vec<DependencyView>,
    /// That the instance takes no new work, when an operator wants it so.
    pub drain: Option<DrainView>,
}

/// Something outside that workers of an app depend on, and the breaker around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyView {
    /// The app.
    pub app: AppName,
    /// Its name.
    pub name: DependencyName,
    /// Where its breaker stands.
    pub breaker: BreakerView,
    /// The workers that cannot work without it.
    pub workers: Vec<WorkerName>,
}

/// How events are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventStatus {
    /// Whether the relay of facts is up.
    pub integrated: bool,
    /// Facts relayed since the start of the process.
    pub relayed: u64,
}

/// A task with what history knows of its attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDetail {
    /// The task.
    pub task: Task,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// Everything that can be asked of a running tree.
#[derive(Debug)]
pub enum Command {
    /// Who is this?
    GetInfo {
        /// The answer.
        reply: Reply<SystemInfo>,
    },
    /// How is it?
    GetOverview {
        /// The answer.
        reply: Reply<Overview>,
    },
    /// How are events doing?
    GetEventStatus {
        /// The answer.
        reply: Reply<EventStatus>,
    },
    /// The node and everything under it, parents before children, siblings in start order.
    GetTree {
        /// Where to begin.
        root: NodePath,
        /// The answer.
        reply: Reply<Vec<NodeView>>,
    },
    /// One node.
    GetNode {
        /// Which.
        path: NodePath,
        /// The answer.
        reply: Reply<NodeView>,
    },
    /// The latest restarts of nodes.
    ListRestarts {
        /// At and under this node.
        under: NodePath,
        /// Older than the one of this number; from the newest on when absent.
        before: Option<u64>,
        /// Most of them.
        page_size: usize,
        /// The answer.
        reply: Reply<RestartPage>,
    },
    /// Changes a node. Answered when the change has happened, or has failed.
    SteerNode {
        /// Which.
        path: NodePath,
        /// What to do.
        command: NodeCommand,
        /// On which terms.
        terms: Terms,
        /// The node afterwards.
        reply: Reply<NodeView>,
    },
    /// The registered workers.
    ListWorkers {
        /// The answer.
        reply: Reply<Vec<WorkerDescriptor>>,
    },
    /// One worker, for one task or one scope, now.
    RunWorker {
        /// What to run.
        ask: RunAsk,
        /// How it goes. Who drops the other end lets what runs finish and starts nothing more.
        progress: watch::Sender<RunProgress>,
        /// Answered at the end.
        reply: Reply<RunProgress>,
    },
    /// Depth and age of the queues, by name.
    ListQueues {
        /// The answer.
        reply: Reply<Vec<QueueView>>,
    },
    /// Makes tasks from outside.
    EnqueueTasks {
        /// The tasks, each atomic on its own.
        tasks: Vec<NewTask>,
        /// One answer a task, in the order asked.
        reply: Reply<Vec<Result<Enqueued, CommandError>>>,
    },
    /// Tasks that fit a filter.
    ListTasks {
        /// Which.
        filter: TaskFilter,
        /// `next` of the page before.
        after: Option<TaskId>,
        /// Most tasks of this page.
        page_size: usize,
        /// The answer.
        reply: Reply<TaskPage>,
    },
    /// How many tasks fit a filter.
    CountTasks {
        /// Which.
        filter: TaskFilter,
        /// Look at so many live ones, and as many finished ones, before stopping.
        at_most: u64,
        /// The answer.
        reply: Reply<TaskCount>,
    },
    /// One task with its attempts.
    GetTask {
        /// Which.
        id: TaskId,
        /// The answer.
        reply: Reply<TaskDetail>,
    },
    /// Changes one task.
    SteerTask {
        /// Which.
        id: TaskId,
        /// What to do.
        command: TaskCommand,
        /// On which terms.
        terms: Terms,
        /// Where it stands afterwards.
        reply: Reply<Steered>,
    },
    /// What did dead tasks die of?
    CountDeadLetters {
        /// Which dead tasks.
        filter: TaskFilter,
        /// So many are looked at before it stops and says so.
        at_most: u64,
        /// Their groups, by app, queue, handler and code.
        reply: Reply<DeadGroups>,
    },
    /// Something about many tasks at once.
    Operations(OperationCommand),
    /// Something about one queue.
    Queues(QueueCommand),
    /// Something about schedules.
    Schedules(ScheduleCommand),
    /// Something about what operators said in place of the configuration.
    Overrides(OverrideCommand),
    /// Something about the draining of the instance.
    Drain(DrainCommand),
    /// Workers with other slots, timeouts, retries and queue policies than before. All of them, or none; attempts that run keep what they
    /// began with.
    Reconfigure {
        /// Every registered worker.
        workers: Vec<Arc<WorkerDescriptor>>,
        /// Answered when it is in force.
        reply: Reply<()>,
    },
    /// All that can be known of the tree at this moment, as a JSON document without payloads.
    DumpState {
        /// The answer.
        reply: Reply<serde_json::Value>,
    },
    /// Answered when no queue holds a ready, leased or scheduled task any more.
    AwaitIdle {
        /// The answer.
        reply: Reply<()>,
    },
}

/// The one door into a running tree.
pub trait Control: Send + Sync {
    /// Hands a command in. The answer comes through its [`Reply`].
    ///
    /// # Errors
    /// [`ErrorCode::ShuttingDown`] when the tree takes no more commands.
    fn send_command(&self, command: Command) -> Result<(), CommandError> {
        self.send_on_behalf(command, Origin::platform())
    }

    /// The same, on somebody's behalf: what follows from it is told with who asked for it.
    ///
    /// # Errors
    /// As of [`Control::send_command`].
    fn send_on_behalf(&self, command: Command, origin: Origin) -> Result<(), CommandError>;

    /// What happens in the tree, once there is one.
    fn journal(&self) -> Option<Arc<dyn EventJournal>> {
        None
    }

    /// The process round the tree, when it has a configuration.
    fn instance(&self) -> Option<Arc<dyn InstanceControl>> {
        None
    }
}

/// Sends a command and waits for its answer.
///
/// # Errors
/// What the command's node answered; [`ErrorCode::NoAnswer`] when it broke before it could.
///
/// ```
/// # async fn look(control: &dyn runtime_core::control::Control) -> Result<(), runtime_core::control::CommandError> {
/// use runtime_core::control::{Command, ask};
/// let overview = ask(control, |reply| Command::GetOverview { reply }).await?;
/// println!("{} nodes", overview.nodes);
/// # Ok(()) }
/// ```
pub async fn ask<T>(
    control: &dyn Control,
    make: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, CommandError> {
    ask_on_behalf(control, Origin::platform(), make).await
}

/// The same, on somebody's behalf.
///
/// # Errors
/// As of [`ask`].
pub async fn ask_on_behalf<T>(
    control: &dyn Control,
    origin: Origin,
    make: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, CommandError> {
    let (reply, answer) = Reply::channel();
    control.send_on_behalf(make(reply), origin)?;
    answer
        .await
        .unwrap_or_else(|_| Err(CommandError::new(ErrorCode::NoAnswer, "the node broke before it answered")))
}
