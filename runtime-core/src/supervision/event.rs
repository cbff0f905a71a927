//! What goes into a supervisor's decisions and what comes out of them.

use std::fmt;
use std::time::Duration;

use super::{ChildId, ChildPhase, ChildSpec, Fault};

/// Which run of a child, from 1. It grows with every spawn and is not used again, even by a child that is removed and
/// added anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Incarnation(pub u64);

impl Incarnation {
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happened, or what somebody asks for.
///
/// Every event is accepted in every state. One that speaks of an unknown child, of an incarnation that is not the
/// present one, or of a timer that has lost its meaning changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum SupervisionEvent {
    /// The supervisor itself is up: start the children.
    Start,
    /// The child has done its init.
    Ready {
        /// Which child.
        child: ChildId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// The child is no more: it ended, broke, or could not even be spawned. May come before `Ready`.
    Ended {
        /// Which child.
        child: ChildId,
        /// Which run of it.
        incarnation: Incarnation,
        /// In which way.
        how: ChildEnd,
        /// A random number in `[0, 1)`, for the back-off of a restart that may follow.
        jitter: f64,
    },
    /// A timer that was armed has run out. Timers need not be disarmed.
    TimerFired {
        /// Which timer.
        timer: SupervisionTimer,
    },
    /// Stop all children in order, then finish.
    StopAsked,
    /// An operator wants the child stopped, and to stay so. Before `Start` it keeps the child from being started.
    StopChild {
        /// Which child.
        child: ChildId,
    },
    /// An operator wants the child to run; one that waits for its back-off starts at once.
    StartChild {
        /// Which child.
        child: ChildId,
    },
    /// An operator wants a new incarnation of the child, and of the siblings that the strategy restarts with it.
    RestartChild {
        /// Which child.
        child: ChildId,
    },
    /// Takes one more child in, as the last. Changes nothing when the id is taken or the supervisor is about to finish.
    AddChild {
        /// The child.
        spec: ChildSpec,
    },
    /// Stops the child and forgets it.
    RemoveChild {
        /// Which child.
        child: ChildId,
    },
}

/// In which way a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildEnd {
    /// It had nothing more to do, or was asked to stop.
    Normal,
    /// It broke.
    Fault(Fault),
}

/// A deadline or a wait of one incarnation of a child. Each is armed at most once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SupervisionTimer {
    /// Whose.
    pub child: ChildId,
    /// Of which run; for a back-off, the run that has ended.
    pub incarnation: Incarnation,
    /// What for.
    pub kind: TimerKind,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimerKind {
    /// To be ready after the spawn.
    Init,
    /// To end after being asked to stop.
    Stop,
    /// To end after being killed.
    Kill,
    /// To wait before the restart.
    Backoff,
}

/// What the supervisor's actor is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum SupervisionAction {
    /// Spawn the child under this incarnation, and report `Ready` or `Ended` for it.
    Spawn {
        /// Which child.
        child: ChildId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// Ask the child to stop, and report `Ended` for it.
    AskStop {
        /// Which child.
        child: ChildId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// Kill the child, and report `Ended` for it.
    Kill {
        /// Which child.
        child: ChildId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// The child did not die in time: cut it off and mark it. Nothing more is expected of it.
    Abandon {
        /// Which child.
        child: ChildId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// Report `TimerFired` with this timer after this long.
    Arm {
        /// Which timer.
        timer: SupervisionTimer,
        /// How long.
        after: Duration,
    },
    /// For the first time every child that should run is ready. Comes once.
    AllReady,
    /// The child has come to where it stays until something new happens ([`ChildPhase::is_settled`]): the answer to an
    /// operator's wish. A removed child is settled as stopped or abandoned and then unknown.
    ChildSettled {
        /// Which child.
        child: ChildId,
        /// Where it stays.
        phase: ChildPhase,
    },
    /// No child runs any more and none will. The last action of all; comes once.
    Finish(SupervisorEnd),
}

/// Why a supervisor finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SupervisorEnd {
    /// It was asked to.
    Stopped,
    /// More restarts were needed than its budget bears.
    GaveUp {
        /// The fault that began the burst, to be handed upward (see [`Fault::gave_up`]).
        first_fault: Fault,
        /// The fault that was one too many.
        last_fault: Fault,
    },
    /// A significant child ended and is not restarted.
    SignificantChildEnded {
        /// Which child.
        child: ChildId,
    },
}
