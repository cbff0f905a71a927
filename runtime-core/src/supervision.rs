//! The decisions of a supervisor, as plain data: an event goes in, actions come out.
//!
//! ```text
//!   Start · Ready · Ended · TimerFired · StopAsked · an operator's wish
//!                               │
//!                               ▼
//!                     SupervisorCore::step(now, event)
//!                               │
//!                               ▼
//!   Spawn · AskStop · Kill · Abandon · Arm · AllReady · ChildSettled · Finish
//! ```
//!
//! There is no clock, no task and no actor in here: the supervisor actor reports what happened, with the time at which
//! it happened, and carries out what comes back. That makes every interleaving a list of events, and a simulation a loop.
//!
//! The rules, in the order a child meets them:
//!
//! - **Start.** Left to right. A child is spawned when the one before it is ready, not when it exists.
//! - **End.** A child that ended without being asked is judged by its [`RestartPolicy`]. A restart is charged to the
//!   [`RestartBudget`] and waits for its [`Backoff`]; under [`Strategy::OneForAll`] and [`Strategy::RestForOne`] the
//!   siblings it concerns stop right to left and start again left to right. Temporary siblings stay stopped.
//! - **Giving up.** A restart too many stops what still runs, in order, and ends the supervisor with the first fault of
//!   the burst: the later ones are mostly its echo.
//! - **Stop.** Right to left, one after the other: ask, wait, kill, wait, abandon and go on.
//! - **Operators.** What an operator stopped stays stopped until an operator starts it. Neither a stop nor a restart by
//!   an operator is a fault, and neither is charged. A restart follows the strategy, because siblings that depend on a
//!   child depend on its incarnation; a stop concerns the one child alone.
//! - **Stale facts.** A child's facts and timers carry its [`Incarnation`]. What speaks of another one changes nothing.

mod budget;
mod child;
mod core;
mod event;
mod fault;
mod order;
mod spec;

pub use self::budget::RestartBudget;
pub use self::child::{ChildPhase, SupervisedChild};
pub use self::core::SupervisorCore;
pub use self::event::{
    ChildEnd, Incarnation, SupervisionAction, SupervisionEvent, SupervisionTimer, SupervisorEnd, TimerKind,
};
pub use self::fault::{Fault, FaultKind};
pub use self::spec::{Backoff, ChildId, ChildSpec, RestartPolicy, Strategy, SupervisorSpec};

#[cfg(test)]
mod scenarios;
