//! What a supervisor is told before it starts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::RestartBudget;
use crate::retry::{exponential, share};

/// A child's name among its siblings; the last part of its path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildId(Arc<str>);

impl ChildId {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ChildId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for ChildId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Which ends of a child, not asked for, are followed by a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// Every end.
    Permanent,
    /// Faults only; a normal end means that the work is done.
    Transient,
    /// None.
    Temporary,
}

/// Who is restarted with a child that is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Nobody.
    OneForOne,
    /// All siblings.
    OneForAll,
    /// The siblings that start after it.
    RestForOne,
}

/// How long a restart waits: `first`, then `factor` times longer with each restart in a row, up to `cap`.
///
/// A child that was ready for a whole [`RestartBudget::within`] has recovered: its next restart is a first one again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The wait before the first restart.
    pub first: Duration,
    /// What the wait is multiplied with; 0 counts as 1.
    pub factor: u32,
    /// The longest wait.
    pub cap: Duration,
    /// How much of the wait is left to chance, 0 (nothing) to 1 (all of it). Chance only shortens the wait.
    pub jitter: f64,
}

impl Backoff {
    /// The wait before restart number `restart` in a row (the first is 1), with `random` in `[0, 1)`.
    pub fn delay(&self, restart: u32, random: f64) -> Duration {
        let whole = exponential(self.first, self.factor, self.cap, restart.saturating_sub(1));
        whole.saturating_sub(share(share(whole, self.jitter), random))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), factor: 2, cap: Duration::from_secs(30), jitter: 0.25 }
    }
}

/// A child as data. How it is spawned is known to the actor that carries out the actions.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildSpec {
    /// Its name, unique among its siblings.
    pub id: ChildId,
    /// Which of its ends are followed by a restart.
    pub restart: RestartPolicy,
    /// Whether its end, if it is not asked for and not followed by a restart, ends the supervisor.
    pub significant: bool,
    /// How long it may take from spawn to ready.
    pub init_within: Duration,
    /// How long it may take to stop when asked; then it is killed.
    pub stop_within: Duration,
    /// How long it may take to end when killed; then it is abandoned.
    pub kill_within: Duration,
    /// How long its restarts wait.
    pub backoff: Backoff,
}

impl ChildSpec {
    /// A permanent child that is not significant, with 30 s to get ready, 10 s to stop and 5 s to die.
    pub fn new(id: impl Into<ChildId>) -> Self {
        Self {
            id: id.into(),
            restart: RestartPolicy::Permanent,
            significant: false,
            init_within: Duration::from_secs(30),
            stop_within: Duration::from_secs(10),
            kill_within: Duration::from_secs(5),
            backoff: Backoff::default(),
        }
    }
}

/// A supervisor as data.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisorSpec {
    /// Its path in the tree, so that faults which are found here name the whole path of the child.
    pub path: String,
    /// Who is restarted with whom.
    pub strategy: Strategy,
    /// How many restarts are borne before it gives up.
    pub budget: RestartBudget,
    /// The children, in the order of their start. Of two with one id the first counts.
    pub children: Vec<ChildSpec>,
}
