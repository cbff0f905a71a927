//! The platform's public API: [`RuntimeCore::new`], [`RuntimeCore::send_command`], [`RuntimeCore::stop`].

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::metrics::Meter;
use runtime_core::clock::Clock;
use runtime_core::control::{Command, CommandError, Control, InstanceControl, Origin};
use runtime_core::error::ErrorCode;
use runtime_core::journal::{EventJournal, JournalLimits};
use runtime_core::name::InstanceName;
use runtime_core::node::{NodeKind, NodePath, NodeState};
use runtime_core::store::Store;
use runtime_core::trace::TraceBridge;
use tokio::sync::watch;

use crate::commands::Commanded;
use crate::executor::ExecutorMsg;
use crate::journal::SharedJournal;
use crate::metrics::{Instruments, Sampler, register_journal};
use crate::platform::{LeaseBook, Platform, Timing};
use crate::registry::{AppPlan, Registry};
use crate::server::Serve;
use crate::services::completion::CompletionService;
use crate::services::drain::DrainService;
use crate::services::intake::Intake;
use crate::services::status::Identity;
use crate::services::steering::SteeringService;
use crate::services::templates::TemplateCache;
use crate::services::wishes::Wishes;
use crate::source_pump::PumpMsg;
use crate::supervisor::Root;
use crate::table::{NodeAddress, NodeTable};
use crate::work_pool::WorkPool;

/// Makes the admin server's node, once the door it will use exists.
pub type MakeServe = Box<dyn FnOnce(Arc<dyn Control>) -> Serve + Send>;

/// What a tree is made of.
pub struct RuntimeParts {
    /// The back end.
    pub store: Arc<dyn Store>,
    /// Its name, for operators.
    pub store_name: String,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// This process.
    pub instance: InstanceName,
    /// Joins spans to stored contexts.
    pub traces: Arc<dyn TraceBridge>,
    /// Where measurements go, and how often what has no moment of its own is looked at. `None`: nothing is measured.
    pub meter: Option<(Meter, Duration)>,
    /// Where handlers run.
    pub pool: WorkPool,
    /// Times.
    pub timing: Timing,
    /// What runs.
    pub apps: Vec<AppPlan>,
    /// The admin server, when there is one.
    pub admin: Option<MakeServe>,
    /// The process round the tree, when it has a configuration.
    pub instance_control: Option<Arc<dyn InstanceControl>>,
    /// How much of what happens is kept for those who watch.
    pub events: JournalLimits,
    /// Nothing of the apps moves by itself, whatever operators wanted last: workers are paused, nothing comes in. For a process that
    /// only does what one operator asks of it.
    pub quiet: bool,
}

/// How a tree ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReport {
    /// Everything stopped in order.
    Clean,
    /// These nodes did not stop in their time: they were killed, and left where they are if even that did not end them. What they had
    /// under lease runs again.
    Abandoned(Vec<NodePath>),
    /// The root gave up, or broke.
    Broken(String),
}

/// A running tree.
pub struct RuntimeCore {
    door: Arc<Door>,
    root: Root,
    watcher: tokio::task::JoinHandle<()>,
    sampler: Option<Sampler>,
}

/// The way in for commands; outlives the tree and says so.
struct Door {
    platform: Arc<Platform>,
    commands: NodeAddress<Commanded>,
    instance: Option<Arc<dyn InstanceControl>>,
}

impl Control for Door {
    fn send_on_behalf(&self, command: Command, origin: Origin) -> Result<(), CommandError> {
        if self.platform.is_stopping() {
            return Err(CommandError::new(
                ErrorCode::ShuttingDown,
                "the runtime is stopping and takes no more commands",
            ));
        }
        self.commands
            .send(Commanded { command, origin })
            .map_err(|_| CommandError::new(ErrorCode::NoAnswer, "the commands node is restarting; try again"))
    }

    fn instance(&self) -> Option<Arc<dyn InstanceControl>> {
        self.instance.clone()
    }

    fn journal(&self) -> Option<Arc<dyn EventJournal>> {
        Some(self.platform.journal.clone())
    }
}

impl RuntimeCore {
    /// Builds the tree and starts it. Returns when every node that should run is ready.
    ///
    /// # Errors
    /// What kept the tree from coming up, with the first fault.
    pub async fn new(parts: RuntimeParts) -> Result<Self, CommandError> {
        let RuntimeParts {
            store,
            store_name,
            clock,
            instance,
            traces,
            meter,
            pool,
            timing,
            apps,
            admin,
            instance_control,
            events,
            quiet,
        } = parts;
        let journal = Arc::new(SharedJournal::new(events));
        if let Some((meter, _)) = &meter {
            register_journal(meter, &journal);
        }
        let platform = Arc::new(Platform {
            store,
            clock: clock.clone(),
            instance,
            timing,
            traces,
            pool: Arc::new(pool),
            table: Arc::new(NodeTable::new(clock.clone(), journal.clone())),
            journal,
            completion: Arc::new(CompletionService::default()),
            templates: Arc::new(TemplateCache::default()),
            intake: Arc::new(Intake::of(apps.iter().flat_map(|app| &app.workers))),
            leases: LeaseBook::default(),
            instruments: meter.as_ref().map(|(meter, _)| Arc::new(Instruments::new(meter))),
            stopping: AtomicBool::new(false),
            stop_grace: OnceLock::new(),
            drain: DrainService::default(),
            wishes: Wishes::default(),
        });
        let control = NodePath::root().child("control");
        let identity = Identity {
            apps: apps.iter().map(|app| app.name.clone()).collect(),
            store: store_name,
            started_at: clock.now(),
        };
        // The door's row is the commands node's; the registry declares the whole tree in start order first.
        let door = Arc::new(std::sync::OnceLock::<Arc<Door>>::new());
        let admin = admin.map(|make| make(Arc::new(LateDoor(door.clone()))));
        let registry = Registry { platform: platform.clone(), apps, admin, identity };
        let plan = registry.build();
        let commands = platform
            .table
            .address(&control.child("commands"))
            .ok_or_else(|| CommandError::not_found("the tree has no commands node"))?;
        let door = door
            .get_or_init(|| {
                Arc::new(Door { platform: platform.clone(), commands, instance: instance_control })
            })
            .clone();
        let steering = SteeringService::new(platform.clone());
        steering.restore().await?;
        if quiet {
            steering.hush();
        }
        let root = Root::start(plan).await.map_err(|fault| {
            CommandError::new(ErrorCode::NodeFaulted, format!("the tree did not come up: {fault}"))
        })?;
        let watcher = tokio::spawn(watch_pool(platform.clone()));
        let sampler =
            meter.map(|(meter, every)| Sampler::start(&meter, door.clone(), platform.clock.clone(), every));
        tracing::info!(instance = %platform.instance, nodes = platform.table.under(&NodePath::root()).len(), "tree is up");
        Ok(Self { door, root, watcher, sampler })
    }

    /// Hands a command in; see [`Control::send_command`].
    ///
    /// # Errors
    /// [`ErrorCode::ShuttingDown`] while stopping.
    pub fn send_command(&self, command: Command) -> Result<(), CommandError> {
        self.door.send_command(command)
    }

    /// The same door, to be handed to others.
    pub fn control(&self) -> Arc<dyn Control> {
        self.door.clone()
    }

    /// The shared parts, for tests that look at the table.
    pub fn platform(&self) -> &Arc<Platform> {
        &self.door.platform
    }

    /// Set when the root has ended although nobody asked: the process should end too.
    pub fn broken(&self) -> watch::Receiver<Option<String>> {
        self.root.broken()
    }

    /// From here on commands are refused and no task begins; running attempts may take `grace`, or the usual one when there is none or it
    /// is shorter, by which nodes that do not end are given up. [`RuntimeCore::stop`] comes next. A second call changes nothing.
    pub fn begin_stop(&self, grace: Option<Duration>) {
        let platform = &self.door.platform;
        let usual = platform.timing.grace;
        platform.stop_grace.get_or_init(|| grace.unwrap_or(usual).min(usual));
        platform.stopping.store(true, Ordering::Release);
    }

    /// Stops in order: what [`RuntimeCore::begin_stop`] says, sources stop, attempts finish within the grace, the rest is released,
    /// outcomes and facts are flushed, the store closes.
    pub async fn stop(mut self) -> StopReport {
        self.begin_stop(None);
        let platform = self.door.platform.clone();
        drop(self.sampler.take());
        let ended = self.root.stop().await;
        if ended.is_err()
            && let Err(error) = platform.store.close().await
        {
            tracing::error!(error_code = %error.code(), %error, "the store did not close cleanly");
        }
        self.watcher.abort();
        platform.pool.shutdown();
        let abandoned: Vec<NodePath> = platform
            .table
            .under(&NodePath::root())
            .iter()
            .filter(|entry| entry.is_overdue() || entry.state() == NodeState::Abandoned)
            .map(|entry| entry.path().clone())
            .collect();
        match ended {
            Err(fault) => StopReport::Broken(fault),
            Ok(()) if abandoned.is_empty() => StopReport::Clean,
            Ok(()) => StopReport::Abandoned(abandoned),
        }
    }
}

/// The door as the admin server gets it, before the tree exists.
struct LateDoor(Arc<std::sync::OnceLock<Arc<Door>>>);

impl Control for LateDoor {
    fn send_on_behalf(&self, command: Command, origin: Origin) -> Result<(), CommandError> {
        match self.0.get() {
            Some(door) => door.send_on_behalf(command, origin),
            None => Err(CommandError::new(ErrorCode::NoAnswer, "the tree is not up yet")),
        }
    }

    fn instance(&self) -> Option<Arc<dyn InstanceControl>> {
        self.0.get().and_then(|door| door.instance())
    }

    fn journal(&self) -> Option<Arc<dyn EventJournal>> {
        self.0.get().and_then(|door| door.journal())
    }
}

/// Tells whoever runs something on the work pool that it moved to another lane.
async fn watch_pool(platform: Arc<Platform>) {
    let pool = platform.pool.clone();
    pool.watch(|| {
        for entry in platform.table.under(&NodePath::root()) {
            match entry.kind() {
                NodeKind::Executor => drop(NodeAddress::of(entry).send(ExecutorMsg::PoolMoved)),
                NodeKind::Source => drop(NodeAddress::of(entry).send(PumpMsg::PoolMoved)),
                _ => {}
            }
        }
    })
    .await;
}

/// Threads of the work pool when nothing is configured: one a core.
pub fn default_work_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// How long a caller of [`RuntimeCore::stop`] should wait before it kills, for this grace.
pub fn stop_within(grace: Duration) -> Duration {
    grace + Duration::from_secs(30)
}
