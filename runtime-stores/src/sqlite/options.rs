//! What an embedded store is opened with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime_core::clock::Clock;
use runtime_core::limits::StoreLimits;
use runtime_core::name::InstanceName;

use crate::retention::Retention;

/// When a commit counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// When the disk has confirmed it (`synchronous=FULL`). Nothing acknowledged is ever lost.
    #[default]
    Full,
    /// When the system has it (`synchronous=NORMAL`). A power cut loses the last commits, although they were acknowledged; a
    /// crash of the process alone loses nothing.
    NormalLosesLastCommitsOnPowerCut,
    /// Never confirmed by anybody: the control of tests that cut the power.
    #[cfg(feature = "faults")]
    Off,
}

/// Everything that opening a [`crate::SqliteStore`] needs to know.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The database file. Its folder must exist. The lock file and SQLite's own files stand beside it.
    pub path: PathBuf,
    /// Who opens it.
    pub instance: InstanceName,
    /// The store's clock.
    pub clock: Arc<dyn Clock>,
    /// What it accepts.
    pub limits: StoreLimits,
    /// When a commit counts as kept.
    pub synchronous: Synchronous,
    /// How long what is finished is kept.
    pub retention: Retention,
    /// How much earlier a task counts as due for each degree of better priority: the head start of [`runtime_core::flow::rank`]. Tasks keep
    /// the rank they were given. More than a year counts as a year.
    pub priority_step: Duration,
    /// Whether this process must be the only owner. Without it nothing is released at open: leases of others end when they run out,
    /// and [`runtime_core::store::TaskReader::queue_stats`] counts what this process did. For tests of zombies only.
    pub owner_lock: bool,
    /// Largest size of the database file; beyond it, writes fail like those on a full disk. `None`: as large as the disk.
    pub max_bytes: Option<u64>,
    /// How long the app's own writes of one member may take.
    pub app_write_deadline: Duration,
    /// Whether a write by a lost lease is noticed by its epoch: the control of tests that must fail without.
    #[cfg(feature = "faults")]
    pub break_epoch_check: bool,
}

impl SqliteOptions {
    /// The defaults: durable, owned, bounded.
    pub fn new(path: impl Into<PathBuf>, instance: InstanceName, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: path.into(),
            instance,
            clock,
            limits: StoreLimits::default(),
            synchronous: Synchronous::default(),
            retention: Retention::default(),
            priority_step: crate::PRIORITY_STEP,
            owner_lock: true,
            max_bytes: None,
            app_write_deadline: Duration::from_secs(2),
            #[cfg(feature = "faults")]
            break_epoch_check: false,
        }
    }

    /// The same, with or without the owner lock.
    #[must_use]
    pub fn owner_lock(mut self, owner_lock: bool) -> Self {
        self.owner_lock = owner_lock;
        self
    }
}
