//! What a supervisor knows about one child.

use std::time::Duration;

use super::{ChildId, ChildSpec, Fault, Incarnation};

/// Where a child is on its way.
///
/// ```text
///   Waiting ─▶ Starting ─▶ Ready ─▶ Stopping ─▶ Killing ─▶ Abandoned
///      ▲          │          │         │           │
///      │          └──────────┴─── ended┴───────────┘
///      │                          │
///      ├──── BackingOff ◀─────────┤ to be restarted
///      │                          ▼
///      └───── an operator ───  Stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChildPhase {
    /// It will be spawned when its turn comes.
    Waiting,
    /// It is spawned and not ready yet.
    Starting,
    /// It is ready.
    Ready,
    /// It was asked to stop.
    Stopping,
    /// It was killed.
    Killing,
    /// It ended and will be spawned again after its back-off.
    BackingOff,
    /// It does not run and will not by itself.
    Stopped,
    /// It was killed and did not die in time. It will not be spawned by itself.
    Abandoned,
}

impl ChildPhase {
    /// The word for logs and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Killing => "killing",
            Self::BackingOff => "backing_off",
            Self::Stopped => "stopped",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether an incarnation exists from which an end is expected.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Ready | Self::Stopping | Self::Killing)
    }

    /// Whether the child stays here until somebody starts it.
    pub fn is_at_rest(self) -> bool {
        matches!(self, Self::Stopped | Self::Abandoned)
    }

    /// Whether an operator's wish is answered by this phase: ready, at rest, or broken and backing off.
    pub fn is_settled(self) -> bool {
        self.is_at_rest() || matches!(self, Self::Ready | Self::BackingOff)
    }
}

impl std::fmt::Display for ChildPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of a child when its present incarnation has ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// Nobody asked it to end: its restart policy decides.
    Judged,
    /// It missed its init deadline and was killed for it: its restart policy decides over this fault.
    Condemned(Fault),
    /// It is started again when its turn comes.
    StartedAgain,
    /// It stays stopped.
    AtRest,
    /// It is forgotten.
    Removed,
}

/// One child as its supervisor sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisedChild {
    pub(super) spec: ChildSpec,
    pub(super) phase: ChildPhase,
    pub(super) incarnation: Incarnation,
    pub(super) fate: Fate,
    /// It is to be asked to stop when the siblings to its right are gone. Holds only while starting or ready.
    pub(super) leaving: bool,
    /// It has been ready once.
    pub(super) proved: bool,
    /// Since when the present incarnation is ready.
    pub(super) ready_since: Option<Duration>,
    /// Restarts in a row, for the back-off.
    pub(super) failures: u32,
    pub(super) restarts: u64,
    pub(super) last_fault: Option<Fault>,
}

impl SupervisedChild {
    pub(super) fn new(spec: ChildSpec, incarnation: Incarnation) -> Self {
        Self {
            spec,
            phase: ChildPhase::Waiting,
            incarnation,
            fate: Fate::Judged,
            leaving: false,
            proved: false,
            ready_since: None,
            failures: 0,
            restarts: 0,
            last_fault: None,
        }
    }

    /// Its name among its siblings.
    pub fn id(&self) -> &ChildId {
        &self.spec.id
    }

    /// What was said about it at the start.
    pub fn spec(&self) -> &ChildSpec {
        &self.spec
    }

    /// Where it is on its way.
    pub fn phase(&self) -> ChildPhase {
        self.phase
    }

    /// Its present run, or its last one when it does not run.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// How many restarts its own ends have cost.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The last of its own ends that was a fault.
    pub fn last_fault(&self) -> Option<&Fault> {
        self.last_fault.as_ref()
    }

    /// Ready, and going to stay so.
    pub(super) fn is_ready(&self) -> bool {
        self.phase == ChildPhase::Ready && !self.leaving
    }

    /// Runs, and nobody has decided yet that it shall stop.
    pub(super) fn is_staying(&self) -> bool {
        matches!(self.phase, ChildPhase::Starting | ChildPhase::Ready) && !self.leaving
    }

    /// On its way out, or about to be.
    pub(super) fn is_departing(&self) -> bool {
        self.leaving || matches!(self.phase, ChildPhase::Stopping | ChildPhase::Killing)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.phase.is_settled() && !self.leaving
    }
}
