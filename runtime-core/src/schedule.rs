//! At which times a schedule makes its tasks, as pure functions: the clock is handed in, the store is somebody else's.
//!
//! ```text
//!   ScheduleSpec   what was declared      ─┐
//!   ScheduleState  what is stored beside  ─┼─▶ decide ─▶ Decision: ticks to fire, ticks skipped and why, the new state,
//!   now, running   what is so             ─┘             whether to cancel, when to ask again
//! ```
//!
//! A **tick** is one time of a schedule, always a whole second. It makes at most one task: a tick is known by the schedule's
//! name and its time ([`tick_name`]), and [`ScheduleState::last_tick`] only grows, so a crash between two steps or a clock that
//! jumps back makes nothing twice.
//!
//! The input of that task is rendered from the schedule's own ([`render_input`], ADR 0036), and everything that follows from an input
//! follows from it.
//!
//! # Wall time (ADR 0024)
//!
//! A [`Cron`] expression speaks of wall time in a [`Zone`]. Where the zone's clock is moved, one of two rules holds:
//!
//! | the hour field | clock moved forward: wall times are left out | clock moved back: wall times come twice |
//! | --- | --- | --- |
//! | names every hour: `*/15 * * * *` | what does not exist does not fire | fires in both passes |
//! | leaves hours out: `30 2 * * *` | what was left out fires once, at the first instant after the gap | fires in the first pass only |
//!
//! The first is work that goes on all day, the second an appointment that must be kept once. Fixed intervals
//! ([`Timing::Every`]) know no wall time: they are counted from the schedule's start, and never drift.

mod cron;
mod day;
mod decision;
mod error;
mod field;
mod input;
mod spec;
mod state;
mod timing;
mod zone;

pub use self::cron::Cron;
pub use self::decision::{Decision, MAX_TICKS_PER_DECISION, ON_TIME, SkipReason, Skipped, decide};
pub use self::error::InvalidSchedule;
pub use self::input::{FromTick, follows_the_tick, render_input};
pub use self::spec::{CatchUpPolicy, OverlapPolicy, ScheduleSpec, Tick, tick_name};
pub use self::state::{DeclaredBy, Paused, ScheduleState};
pub use self::timing::{Ticks, Timing, Window};
pub use self::zone::Zone;
