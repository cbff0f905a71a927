//! Load shedding: whether a queue takes one more task, as a pure function.
//!
//! ```text
//!            ready tasks reach `depth`: at once
//!            the oldest is later than `delay`, for a whole `interval`
//!   taking ──────────────────────────────────────────────────────────▶ shedding: worse than `keeps` is refused
//!     ▲                                                                      │
//!     └──────── a quarter of `depth` is gone, and the oldest is in time ─────┘
//! ```
//!
//! A queue is there for bursts, so being long for a moment is no fault: what counts is a *standing* delay, one that is there at every
//! look for a whole interval, as the CoDel algorithm (RFC 8289) has it. Unlike there nothing is dropped that is in the queue: accepted is
//! durable. It ends with the first look that finds the oldest in time.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::FlowError;
use crate::retry::whole_milliseconds;
use crate::task::Priority;

/// When a queue sheds load, and what it takes all the same.
///
/// ```toml
/// depth = 100000
/// delay_ms = 30000
/// interval_ms = 10000
/// keeps = 0
/// retry_after_ms = 5000
/// hopeless_ms = 2000
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShedPolicy {
    /// It sheds from so many ready tasks on; absent, their number does not count.
    pub depth: Option<NonZeroU64>,
    /// It sheds while the oldest ready task is later than this; absent, lateness does not count. In whole milliseconds, rounded up, as
    /// all times here.
    #[serde(rename = "delay_ms", with = "optional_milliseconds")]
    pub delay: Option<Duration>,
    /// The delay must stand so long first.
    #[serde(rename = "interval_ms", with = "whole_milliseconds")]
    pub interval: Duration,
    /// The worst priority that is still taken while it sheds (lower goes first).
    pub keeps: Priority,
    /// The shortest wait that whoever is refused is asked for.
    #[serde(rename = "retry_after_ms", with = "whole_milliseconds")]
    pub retry_after: Duration,
    /// While it sheds, a task whose deadline is nearer than this when its turn comes is ended instead of begun: nobody waits for it any
    /// more. Absent, only a deadline that has passed ends a task.
    #[serde(rename = "hopeless_ms", with = "optional_milliseconds")]
    pub hopeless: Option<Duration>,
}

impl Default for ShedPolicy {
    fn default() -> Self {
        Self {
            depth: None,
            delay: Some(Duration::from_secs(30)),
            interval: Duration::from_secs(10),
            keeps: Priority::default(),
            retry_after: Duration::from_secs(5),
            hopeless: None,
        }
    }
}

impl ShedPolicy {
    /// The longest wait that is ever asked for.
    pub const MAX_WAIT: Duration = Duration::from_mins(1);

    /// Whether the policy makes sense. Ask when it is registered.
    ///
    /// # Errors
    /// [`FlowError`] when it would never shed, or would ask to come again at once.
    pub fn check(&self) -> Result<(), FlowError> {
        if self.depth.is_none() && self.delay.is_none() {
            return Err(FlowError::ShedByNothing);
        }
        if self.retry_after.is_zero() {
            return Err(FlowError::ShedWithoutWait);
        }
        Ok(())
    }

    /// How long what was seen of the oldest task is good for: eight looks an interval, at most a hundred and at least one a second.
    fn look_every(&self) -> Duration {
        (self.interval / 8).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

impl fmt::Display for ShedPolicy {
    /// In words, for people: `sheds priorities above 0 from 100 ready tasks or when 30 s late for 10 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sheds priorities above {}", self.keeps.0)?;
        if let Some(depth) = self.depth {
            write!(f, " from {depth} ready tasks")?;
        }
        if let Some(delay) = self.delay {
            let or = if self.depth.is_some() { " or" } else { "" };
            write!(f, "{or} when {} s late for {} s", delay.as_secs_f64(), self.interval.as_secs_f64())?;
        }
        Ok(())
    }
}

/// Why a queue sheds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShedCause {
    /// Too many tasks are ready.
    Depth,
    /// The oldest ready task has been late for too long.
    Delay,
}

impl ShedCause {
    /// The name used in logs and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Depth => "depth",
            Self::Delay => "delay",
        }
    }
}

impl fmt::Display for ShedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A queue that sheds, as status shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shedding {
    /// Since when.
    pub since: Timestamp,
    /// Why it began.
    pub cause: ShedCause,
}

/// What a look at a queue changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadChange {
    /// It sheds from now on.
    Began(Shedding),
    /// It takes everything again.
    Ended(Shedding),
}

/// What is known of the load of one queue. Made anew at a start: what the queue holds says the rest at the first look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Too many are ready.
    deep: bool,
    /// Since when the oldest has been late at every look.
    late_since: Option<Timestamp>,
    /// How late beyond the delay, at the last look.
    late_by: Duration,
    looked_at: Option<Timestamp>,
    shedding: Option<Shedding>,
    pause: Pause,
}

/// Whether anybody may take tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Pause {
    #[default]
    None,
    /// Nobody may: that tasks are late is as it should be.
    On,
    /// Nobody might before: until then no task was late.
    Until(Timestamp),
}

impl Pause {
    /// When a task that became due then could first be begun; `None` while it cannot.
    fn due(self, due: Timestamp) -> Option<Timestamp> {
        match self {
            Self::None => Some(due),
            Self::On => None,
            Self::Until(over) => Some(due.max(over)),
        }
    }
}

impl Load {
    /// Whether it is time to look at the oldest ready task again: [`Load::see_oldest`]. How many are ready is known without a look.
    pub fn wants_look(&self, policy: &ShedPolicy, now: Timestamp) -> bool {
        let is_over = |looked_at: Timestamp| now < looked_at || since(looked_at, now) >= policy.look_every();
        policy.delay.is_some() && self.looked_at.is_none_or(is_over)
    }

    /// How many tasks are ready.
    pub fn see_depth(&mut self, policy: &ShedPolicy, now: Timestamp, ready: u64) -> Option<LoadChange> {
        self.deep = match policy.depth {
            None => false,
            Some(depth) if self.deep => ready.saturating_mul(4) > depth.get().saturating_mul(3),
            Some(depth) => ready >= depth.get(),
        };
        if ready == 0 {
            return self.see_oldest(policy, now, None);
        }
        self.decide(policy, now)
    }

    /// An operator paused whatever takes tasks from the queue, or lets it go on. Meanwhile nothing is late, and afterwards only what is late
    /// since then: who paused it knows why tasks wait. Their number counts all the same.
    pub fn pause(&mut self, now: Timestamp, paused: bool) {
        self.pause = match (paused, self.pause) {
            (true, _) => Pause::On,
            (false, Pause::On) => Pause::Until(now),
            (false, as_it_was) => as_it_was,
        };
    }

    /// The same load under another policy: of what was seen nothing is kept.
    #[must_use]
    pub fn anew(self) -> Self {
        Self { pause: self.pause, ..Self::default() }
    }

    /// When the ready task that goes next became due; `None` when there is none. In a queue with lanes, that of the lane that waits longest.
    pub fn see_oldest(
        &mut self,
        policy: &ShedPolicy,
        now: Timestamp,
        due: Option<Timestamp>,
    ) -> Option<LoadChange> {
        match self.late_by(policy, now, due) {
            None => (self.late_since, self.late_by) = (None, Duration::ZERO),
            Some(late_by) => {
                // This one has been late for that long; those before it, as long as nobody has looked away.
                let own = before(now, late_by);
                let watched = self.looked_at.is_some_and(|at| at <= now && since(at, now) <= policy.interval);
                let known = self.late_since.filter(|_| watched);
                (self.late_since, self.late_by) = (Some(known.unwrap_or(own).min(own)), late_by);
            }
        }
        self.looked_at = Some(now);
        self.decide(policy, now)
    }

    /// Whether a task of this priority is taken.
    ///
    /// # Errors
    /// How long to wait before it is offered again: as long as the oldest task is too late, within bounds.
    pub fn admit(&self, policy: &ShedPolicy, priority: Priority) -> Result<(), Duration> {
        if self.shedding.is_none() || priority <= policy.keeps {
            return Ok(());
        }
        Err(self.late_by.min(ShedPolicy::MAX_WAIT).max(policy.retry_after))
    }

    /// Whether a task is taken after all because its lane is served in time, given when the lane's first ready task became due (`None`
    /// when there is none): in a queue with lanes, a lane that waits says nothing about the others. Too many tasks concern all.
    pub fn admits_lane(&self, policy: &ShedPolicy, now: Timestamp, due: Option<Timestamp>) -> bool {
        !self.deep && self.late_by(policy, now, due).is_none()
    }

    /// Whether a task that begins now has too little time left.
    pub fn is_hopeless(&self, policy: &ShedPolicy, now: Timestamp, deadline: Timestamp) -> bool {
        let margin = policy.hopeless.filter(|_| self.shedding.is_some());
        margin.is_some_and(|margin| deadline <= super::after(now, margin))
    }

    /// Since when and why it sheds, while it does.
    pub fn shedding(&self) -> Option<Shedding> {
        self.shedding
    }

    /// How much later it is than the policy's delay, if it is.
    fn late_by(&self, policy: &ShedPolicy, now: Timestamp, due: Option<Timestamp>) -> Option<Duration> {
        let late = since(self.pause.due(due?)?, now).saturating_sub(policy.delay?);
        (!late.is_zero()).then_some(late)
    }

    fn decide(&mut self, policy: &ShedPolicy, now: Timestamp) -> Option<LoadChange> {
        // What has begun goes on for as long as the oldest is late.
        let stands = |late_since| self.shedding.is_some() || since(late_since, now) >= policy.interval;
        let cause = match self.late_since.filter(|late_since| stands(*late_since)) {
            _ if self.deep => Some(ShedCause::Depth),
            Some(_) => Some(ShedCause::Delay),
            None => None,
        };
        match (self.shedding, cause) {
            (None, Some(cause)) => {
                let shedding = Shedding { since: now, cause };
                self.shedding = Some(shedding);
                Some(LoadChange::Began(shedding))
            }
            (Some(over), None) => {
                self.shedding = None;
                Some(LoadChange::Ended(over))
            }
            _ => None,
        }
    }
}

/// How long ago that was; zero for what is to come.
fn since(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// A time that may be absent, as `null` or not written at all.
mod optional_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::whole_milliseconds;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Whole(#[serde(with = "whole_milliseconds")] Duration);

    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(Whole).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Whole>::deserialize(deserializer)?.map(|Whole(duration)| duration))
    }
}
