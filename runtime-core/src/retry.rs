//! When a failed attempt is tried again. The clock and the dice are handed in, so a policy is a table of numbers.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often a task is attempted and how long it waits in between.
///
/// ```toml
/// max_attempts = 5
/// asked_after_cap_secs = 3600
/// delay = { kind = "exponential", first_ms = 500, factor = 2, cap_secs = 300 }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in total, the first one included.
    pub max_attempts: NonZeroU32,
    /// The wait before the next attempt.
    pub delay: RetryDelay,
    /// The longest wait a peer may impose on us with a "retry after". Written in whole seconds, rounded up.
    #[serde(rename = "asked_after_cap_secs", with = "whole_seconds")]
    pub asked_after_cap: Duration,
}

/// The wait between two attempts, before a peer's "retry after" is heard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RetryDelay {
    /// Always the same wait.
    Fixed {
        /// The wait. Written in whole milliseconds, rounded up.
        #[serde(rename = "delay_ms", with = "whole_milliseconds")]
        delay: Duration,
    },
    /// A random part of a ceiling that grows with every attempt ("full jitter"), so that tasks which failed together
    /// do not come back together.
    Exponential {
        /// The ceiling after the first attempt. Written in whole milliseconds, rounded up.
        #[serde(rename = "first_ms", with = "whole_milliseconds")]
        first: Duration,
        /// What the ceiling is multiplied with after each further attempt; 0 counts as 1.
        factor: u32,
        /// The ceiling never grows past this. Written in whole seconds, rounded up.
        #[serde(rename = "cap_secs", with = "whole_seconds")]
        cap: Duration,
    },
}

impl RetryPolicy {
    /// How long to wait after attempt number `attempt` (the first is 1) has failed.
    ///
    /// `asked_after` is what the peer asked for. It is a lower bound: the wait is never shorter than it, except that
    /// [`RetryPolicy::asked_after_cap`] limits what a peer may ask. `random` lies in `[0, 1)`; values outside are moved
    /// to the nearest bound.
    pub fn delay(&self, attempt: u32, asked_after: Option<Duration>, random: f64) -> Duration {
        let asked = asked_after.unwrap_or_default().min(self.asked_after_cap);
        self.delay.pick(attempt, random).max(asked)
    }

    /// The longest time from the start of the first attempt to the end of the last, when each takes no longer than `timeout`: every
    /// wait at its ceiling, or at what a peer may ask for. Waits for a person, a snooze, an outage or a free slot come on top and have
    /// no bound; [`Duration::MAX`] when it cannot be counted.
    pub fn horizon(&self, timeout: Duration) -> Duration {
        let waits = self.max_attempts.get() - 1;
        let longest = |attempt| self.delay.ceiling(attempt).max(self.asked_after_cap);
        // No ceiling grows after this many: it is at its cap, or it never grows.
        let growing = waits.min(u32::BITS);
        let grown = (1..=growing).fold(Duration::ZERO, |sum, attempt| sum.saturating_add(longest(attempt)));
        let level = longest(growing + 1).saturating_mul(waits - growing);
        grown.saturating_add(level).saturating_add(timeout.saturating_mul(self.max_attempts.get()))
    }

    /// How many attempts remain after `attempt` of them were made.
    pub fn attempts_left(&self, attempt: u32) -> u32 {
        self.max_attempts.get().saturating_sub(attempt)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: NonZeroU32::MIN.saturating_add(4),
            delay: RetryDelay::Exponential {
                first: Duration::from_secs(1),
                factor: 2,
                cap: Duration::from_mins(5),
            },
            asked_after_cap: Duration::from_hours(1),
        }
    }
}

impl RetryDelay {
    /// The longest wait after attempt number `attempt`.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        match *self {
            Self::Fixed { delay } => delay,
            Self::Exponential { first, factor, cap } => {
                exponential(first, factor, cap, attempt.saturating_sub(1))
            }
        }
    }

    fn pick(&self, attempt: u32, random: f64) -> Duration {
        let ceiling = self.ceiling(attempt);
        match self {
            Self::Fixed { .. } => ceiling,
            Self::Exponential { .. } => share(ceiling, random),
        }
    }
}

/// `first × factor^steps`, at most `cap`, for any input: what does not fit is `cap`.
pub(crate) fn exponential(first: Duration, factor: u32, cap: Duration, steps: u32) -> Duration {
    let grown = first.saturating_mul(factor.max(1).saturating_pow(steps));
    grown.min(cap)
}

/// The part `random` of `whole`, never more than `whole`.
pub(crate) fn share(whole: Duration, random: f64) -> Duration {
    let random = if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) };
    Duration::try_from_secs_f64(whole.as_secs_f64() * random).unwrap_or(whole).min(whole)
}

/// Config keys carry their unit; what is smaller than the unit is rounded up, so that no wait becomes shorter.
macro_rules! duration_in {
    ($module:ident, $nanos:literal, $from:path) => {
        pub(crate) mod $module {
            use super::*;

            pub(crate) fn serialize<S: serde::Serializer>(
                duration: &Duration,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let count = duration.as_nanos().div_ceil($nanos);
                serializer.serialize_u64(u64::try_from(count).unwrap_or(u64::MAX))
            }

            pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Duration, D::Error> {
                u64::deserialize(deserializer).map($from)
            }
        }
    };
}
duration_in!(whole_milliseconds, 1_000_000, Duration::from_millis);
duration_in!(whole_seconds, 1_000_000_000, Duration::from_secs);
