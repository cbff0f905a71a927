//! Who may run next, and when: the rules of flow control, as values.
//!
//! | rule | question it answers | what it keeps |
//! | --- | --- | --- |
//! | [`RateLimit`] | may this lane take a task now, and if not, when? | one integer a lane, the [`Bucket`] |
//! | [`share`] | which lanes get the next leases? | the last lane served |
//! | [`Breaker`] | is it worth calling this dependency? | one [`Breaker`] a dependency |
//! | [`rank`] | which task of a lane goes first? | one integer a task |
//! | [`Load`] | does the queue take one more task? | one [`Load`] a queue that sheds |
//!
//! Nothing here reads a clock or waits: whoever asks hands in the time, and is told when to ask again ([`RetryAt`]). Held back is
//! never lost: a task that may not run stays in its queue.

mod aging;
mod breaker;
mod rate;
mod share;
mod shed;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use aging::rank;
pub use breaker::{Breaker, BreakerPolicy, BreakerState, BreakerView, Permit, Recorded, Verdict};
pub use rate::{Bucket, RateLimit};
pub use share::{FlowLimits, Grant, LaneLimits, LaneView, Share, share};
pub use shed::{Load, LoadChange, ShedCause, ShedPolicy, Shedding};

/// Not now: asking again before this time is in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RetryAt(pub Timestamp);

/// A limit that cannot mean what it says. Found when it is read or when its worker is registered, never while tasks run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// The period of a rate is zero or finer than a millisecond.
    #[error("a rate is per whole milliseconds, at least one, not per {per:?}")]
    RatePeriod {
        /// The period.
        per: Duration,
    },
    /// The rate is above what the bucket can count exactly enough.
    #[error("{tokens} tokens per {per:?} are more than {} a second", RateLimit::MAX_PER_SECOND)]
    RateTooFast {
        /// Tokens of a period.
        tokens: u32,
        /// The period.
        per: Duration,
    },
    /// An empty bucket would take longer to fill than anybody waits.
    #[error("a burst of {burst} would take more than {} days to fill", RateLimit::MAX_FILL.as_secs() / 86_400)]
    RateTooSlow {
        /// Tokens of a full bucket.
        burst: u32,
    },
    /// No bucket ever holds what one task asks.
    #[error("a task that takes {weight} tokens never fits a burst of {burst}")]
    WeightAboveBurst {
        /// Tokens that the task takes.
        weight: u32,
        /// Tokens of a full bucket.
        burst: u32,
    },
    /// A breaker that would open for no time at all.
    #[error("a breaker must stay open for some time")]
    OpenForNothing,
    /// The first opening would be longer than the longest.
    #[error("a breaker that first opens for {open_for:?} cannot be capped at {cap:?}")]
    OpenAboveCap {
        /// The first opening.
        open_for: Duration,
        /// The longest opening.
        cap: Duration,
    },
    /// A probe that would be given up as it starts.
    #[error("a probe must be given some time")]
    ProbeWithoutTime,
    /// A policy of shedding that never sheds.
    #[error("a queue sheds by depth, by delay or by both")]
    ShedByNothing,
    /// Whoever is refused would come again at once.
    #[error("whoever is refused must be asked to wait for some time")]
    ShedWithoutWait,
}

/// `now + wait`, or the end of time.
fn after(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
