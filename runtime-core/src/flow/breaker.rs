//! A circuit breaker around a named dependency, as a pure state machine.
//!
//! ```text
//!            `failures` in a row
//!   closed ──────────────────────▶ open ◀──────────┐
//!     ▲                             │ `open_for`   │ a probe failed: open again, for longer
//!     │                             ▼              │
//!     └──────────────────────── half-open ─────────┘
//!        `probes` of them went well
//! ```
//!
//! It counts failures in a row, not a ratio over a window: a dependency that is down fails every time, one integer sees it, and
//! one success proves the opposite. One that fails now and then is the business of retries.
//!
//! It holds calls back, nothing else: what an attempt did is settled whatever the breaker says.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FlowError, RetryAt, after};
use crate::retry::{exponential, whole_milliseconds};

/// When a breaker opens and how it closes again.
///
/// ```toml
/// failures = 5
/// open_for_ms = 1000
/// factor = 2
/// cap_ms = 60000
/// probes = 1
/// probe_within_ms = 30000
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerPolicy {
    /// Failures in a row that open it.
    pub failures: NonZeroU32,
    /// How long it stays open at first. Written in whole milliseconds, rounded up, as all times here.
    #[serde(rename = "open_for_ms", with = "whole_milliseconds")]
    pub open_for: Duration,
    /// What that is multiplied with each time it opens again without having been closed; 0 counts as 1.
    pub factor: u32,
    /// The longest time that it stays open.
    #[serde(rename = "cap_ms", with = "whole_milliseconds")]
    pub cap: Duration,
    /// Half-open, it lets this many attempts through at once, and closes when as many went well.
    pub probes: NonZeroU32,
    /// A probe that has not reported by then is given up, and another may try. No shorter than an attempt's timeout.
    #[serde(rename = "probe_within_ms", with = "whole_milliseconds")]
    pub probe_within: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::MIN.saturating_add(4),
            open_for: Duration::from_secs(1),
            factor: 2,
            cap: Duration::from_mins(1),
            probes: NonZeroU32::MIN,
            probe_within: Duration::from_secs(30),
        }
    }
}

impl BreakerPolicy {
    /// Whether the policy makes sense. Ask when it is registered.
    ///
    /// # Errors
    /// [`FlowError`] when a time is zero or the first opening is longer than the longest.
    pub fn check(&self) -> Result<(), FlowError> {
        if self.open_for.is_zero() {
            return Err(FlowError::OpenForNothing);
        }
        if self.open_for > self.cap {
            return Err(FlowError::OpenAboveCap { open_for: self.open_for, cap: self.cap });
        }
        if self.probe_within.is_zero() {
            return Err(FlowError::ProbeWithoutTime);
        }
        Ok(())
    }
}

/// How a call of the dependency ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, be it with a refusal.
    Ok,
    /// It did not answer, or said that it cannot.
    Failed,
}

/// The right to call the dependency once; comes back with [`Breaker::record`] or [`Breaker::give_back`]. One that is lost does no
/// harm: a lost probe is given up in time.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "report how the call ended"]
pub struct Permit {
    generation: u64,
    number: u64,
}

/// What a report changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It was counted.
    Counted,
    /// It was counted and opened the breaker.
    Opened {
        /// Until then.
        until: Timestamp,
    },
    /// It was counted and closed the breaker: who waited may come.
    Closed,
    /// The breaker has opened or closed since, or the probe was given up: it changed nothing.
    Late,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through.
    Open,
    /// Some calls go through, to see whether the dependency is back.
    HalfOpen,
}

impl BreakerState {
    /// The name used in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A breaker as status shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerView {
    /// Where it stands. An open one whose time is over stays open until somebody asks it.
    pub state: BreakerState,
    /// Since when.
    pub since: Timestamp,
    /// Open, until when.
    pub until: Option<Timestamp>,
    /// Failures since the last success.
    pub failures: u32,
    /// Half-open, probes that have not reported yet.
    pub probing: usize,
}

/// The breaker of one dependency.
///
/// Invariant: half-open, the probes that are out and those that went well are together no more than [`BreakerPolicy::probes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    policy: BreakerPolicy,
    phase: Phase,
    since: Timestamp,
    failures: u32,
    /// Openings since it was last closed.
    openings: u32,
    /// Grows whenever the phase changes: a report from before is late.
    generation: u64,
    permits: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Timestamp, length: Duration },
    HalfOpen { passed: u32, out: Vec<Probe> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Probe {
    number: u64,
    give_up_at: Timestamp,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy, now: Timestamp) -> Self {
        Self { policy, phase: Phase::Closed, since: now, failures: 0, openings: 0, generation: 0, permits: 0 }
    }

    /// Asks for a call.
    ///
    /// # Errors
    /// [`RetryAt`]: open, the end of that; half-open, when the first probe is given up. A report may close it earlier, see
    /// [`Recorded::Closed`].
    pub fn allow(&mut self, now: Timestamp) -> Result<Permit, RetryAt> {
        self.catch_up(now);
        if let Phase::Open { until, .. } = self.phase {
            if now < until {
                return Err(RetryAt(until));
            }
            self.enter(Phase::HalfOpen { passed: 0, out: Vec::new() }, now);
        }
        let number = self.permits;
        if let Phase::HalfOpen { passed, out } = &mut self.phase {
            let places = self.policy.probes.get().saturating_sub(*passed) as usize;
            if out.len() >= places {
                return Err(RetryAt(out.iter().map(|probe| probe.give_up_at).min().unwrap_or(now)));
            }
            out.push(Probe { number, give_up_at: after(now, self.policy.probe_within) });
        }
        self.permits += 1;
        Ok(Permit { generation: self.generation, number })
    }

    /// Hears how a call ended.
    pub fn record(&mut self, permit: Permit, now: Timestamp, verdict: Verdict) -> Recorded {
        if !self.take_back(&permit, now) {
            return Recorded::Late;
        }
        match (&mut self.phase, verdict) {
            (Phase::Closed, Verdict::Ok) => self.failures = 0,
            (Phase::HalfOpen { passed, .. }, Verdict::Ok) => {
                *passed += 1;
                if *passed >= self.policy.probes.get() {
                    (self.failures, self.openings) = (0, 0);
                    self.enter(Phase::Closed, now);
                    return Recorded::Closed;
                }
            }
            (Phase::Closed, Verdict::Failed) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= self.policy.failures.get() {
                    return self.open(now);
                }
            }
            (Phase::HalfOpen { .. }, Verdict::Failed) => {
                self.failures = self.failures.saturating_add(1);
                return self.open(now);
            }
            // No permit has the generation of an open phase.
            (Phase::Open { .. }, _) => {}
        }
        Recorded::Counted
    }

    /// Takes back a permit whose call was not made, so that another may have its place.
    pub fn give_back(&mut self, permit: Permit, now: Timestamp) {
        self.take_back(&permit, now);
    }

    /// What status shows.
    pub fn view(&self) -> BreakerView {
        let (state, until, probing) = match &self.phase {
            Phase::Closed => (BreakerState::Closed, None, 0),
            Phase::Open { until, .. } => (BreakerState::Open, Some(*until), 0),
            Phase::HalfOpen { out, .. } => (BreakerState::HalfOpen, None, out.len()),
        };
        BreakerView { state, since: self.since, until, failures: self.failures, probing }
    }

    fn open(&mut self, now: Timestamp) -> Recorded {
        let BreakerPolicy { open_for, factor, cap, .. } = self.policy;
        let length = exponential(open_for, factor, cap, self.openings);
        let until = after(now, length);
        self.openings = self.openings.saturating_add(1);
        self.enter(Phase::Open { until, length }, now);
        Recorded::Opened { until }
    }

    fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.since = now;
        self.generation += 1;
    }

    /// Whether the permit still counts; a probe's place is free again.
    fn take_back(&mut self, permit: &Permit, now: Timestamp) -> bool {
        self.catch_up(now);
        if permit.generation != self.generation {
            return false;
        }
        let Phase::HalfOpen { out, .. } = &mut self.phase else { return true };
        let before = out.len();
        out.retain(|probe| probe.number != permit.number);
        out.len() < before
    }

    /// Gives up probes whose time is over. A clock that jumped back makes nobody wait longer than a whole time from now.
    fn catch_up(&mut self, now: Timestamp) {
        match &mut self.phase {
            Phase::Closed => {}
            Phase::Open { until, length } => *until = after(now, *length).min(*until),
            Phase::HalfOpen { out, .. } => {
                out.retain(|probe| now < probe.give_up_at);
                let latest = after(now, self.policy.probe_within);
                out.iter_mut().for_each(|probe| probe.give_up_at = probe.give_up_at.min(latest));
            }
        }
    }
}
