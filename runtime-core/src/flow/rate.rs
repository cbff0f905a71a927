//! A token bucket whose whole state is one integer: the generic cell rate algorithm (ITU-T I.371).
//!
//! Instead of a level and the time it was measured, the bucket keeps the time at which it will be full again. A token costs one
//! *interval* of that time; a task may take its tokens as long as the bucket stays no further than one whole filling behind.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FlowError, RetryAt};

/// `tokens` every `per`, and up to `burst` at once after a pause.
///
/// ```toml
/// rate_per_key = { tokens = 100, per_ms = 60000, burst = 20 }   # without `burst` it is `tokens`
/// ```
///
/// Invariant: one interval lasts at least a microsecond, and `burst` of them at most [`RateLimit::MAX_FILL`], so that no sum here
/// leaves 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct RateLimit {
    tokens: NonZeroU32,
    per: Duration,
    burst: NonZeroU32,
}

/// The state of one bucket: the time at which it is full again, in nanoseconds since the epoch. Keep it with the lane; forget it
/// once [`Bucket::is_full`], since a bucket nobody knows is a full one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bucket(i64);

impl Bucket {
    /// A bucket that was never used.
    pub const FULL: Self = Self(i64::MIN);

    /// The bucket that was written as this number.
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The number to keep.
    pub fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whether it holds all the tokens it can.
    pub fn is_full(self, now: Timestamp) -> bool {
        self.0 <= nanos(now)
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self::FULL
    }
}

impl RateLimit {
    /// The fastest rate. Above it the rounding of the interval would cost more than a thousandth of the rate.
    pub const MAX_PER_SECOND: u32 = 1_000_000;
    /// The longest time that filling an empty bucket may take: ten years.
    pub const MAX_FILL: Duration = Duration::from_hours(10 * 365 * 24);

    /// A rate that can be kept.
    ///
    /// # Errors
    /// [`FlowError`] when the period is not made of whole milliseconds, or the rate is too fast or too slow to be counted.
    pub fn new(tokens: NonZeroU32, per: Duration, burst: NonZeroU32) -> Result<Self, FlowError> {
        if per.is_zero() || !per.as_nanos().is_multiple_of(1_000_000) {
            return Err(FlowError::RatePeriod { per });
        }
        if u128::from(tokens.get()) * 1_000_000_000 > per.as_nanos() * u128::from(Self::MAX_PER_SECOND) {
            return Err(FlowError::RateTooFast { tokens: tokens.get(), per });
        }
        let interval = per.as_nanos().div_ceil(u128::from(tokens.get()));
        if interval * u128::from(burst.get()) > Self::MAX_FILL.as_nanos() {
            return Err(FlowError::RateTooSlow { burst: burst.get() });
        }
        Ok(Self { tokens, per, burst })
    }

    /// Tokens that come back in [`RateLimit::per`].
    pub fn tokens(&self) -> NonZeroU32 {
        self.tokens
    }

    /// The period of the rate.
    pub fn per(&self) -> Duration {
        self.per
    }

    /// Tokens of a full bucket.
    pub fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// Whether a task of this weight can ever run under this limit. Ask when the worker is registered.
    ///
    /// # Errors
    /// [`FlowError::WeightAboveBurst`] when it cannot.
    pub fn accepts(&self, weight: NonZeroU32) -> Result<(), FlowError> {
        if weight > self.burst {
            return Err(FlowError::WeightAboveBurst { weight: weight.get(), burst: self.burst.get() });
        }
        Ok(())
    }

    /// Takes `weight` tokens: the bucket as it is afterwards. Over any time `W` in which the clock runs forward no more than
    /// `burst + W × tokens / per` are given, and a clock that jumps back gives none anew.
    ///
    /// A weight above the burst counts as the whole burst: limits may shrink while heavier tasks wait, and those must not wait for
    /// ever. A bucket that may be older than the clock's last jump is [`RateLimit::anchored`] first. The time may lie between the
    /// years 1698 and 2242.
    ///
    /// # Errors
    /// [`RetryAt`], when too few are there: the earliest time at which they are if nobody takes any before, rounded up to the microsecond.
    pub fn take(&self, bucket: Bucket, now: Timestamp, weight: NonZeroU32) -> Result<Bucket, RetryAt> {
        let now = nanos(now);
        let full_at = self.full_at(bucket, now) + self.interval() * i64::from(self.charge(weight).get());
        let allowed_at = full_at - self.fill();
        if allowed_at <= now { Ok(Bucket(full_at)) } else { Err(RetryAt(timestamp(allowed_at))) }
    }

    /// What a task of this weight is charged: its weight, or the whole burst if it weighs more.
    pub fn charge(&self, weight: NonZeroU32) -> NonZeroU32 {
        weight.min(self.burst)
    }

    /// Takes what each of these weights is charged, as far as there is enough: the bucket as it is afterwards.
    pub fn take_all(
        &self,
        bucket: Bucket,
        now: Timestamp,
        weights: impl IntoIterator<Item = NonZeroU32>,
    ) -> Bucket {
        let mut weights = weights.into_iter();
        weights
            .try_fold(bucket, |bucket, weight| self.take(bucket, now, weight).map_err(|_| bucket))
            .unwrap_or_else(|left| left)
    }

    /// Whole tokens in the bucket.
    pub fn available(&self, bucket: Bucket, now: Timestamp) -> u32 {
        let now = nanos(now);
        let tokens = (now + self.fill() - self.full_at(bucket, now)) / self.interval();
        u32::try_from(tokens).map_or(self.burst.get(), |tokens| tokens.min(self.burst.get()))
    }

    /// The bucket to keep from now on: as it is, but not further from full than a whole filling. Only a clock that jumped back or a
    /// limit that shrank leads further, and no lane is made to wait for either. A bucket that comes back changed is to be kept also
    /// when nothing was taken, or the wait would begin anew with every look.
    pub fn anchored(&self, bucket: Bucket, now: Timestamp) -> Bucket {
        bucket.min(Bucket(nanos(now) + self.fill()))
    }

    /// When the bucket is full, or now.
    fn full_at(&self, bucket: Bucket, now: i64) -> i64 {
        bucket.0.clamp(now, now + self.fill())
    }

    /// Nanoseconds of one token, rounded up: never faster than the rate.
    fn interval(&self) -> i64 {
        whole_nanos(self.per.as_nanos().div_ceil(u128::from(self.tokens.get())))
    }

    /// Nanoseconds from empty to full.
    fn fill(&self) -> i64 {
        self.interval() * i64::from(self.burst.get())
    }
}

/// How a limit is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tokens: NonZeroU32,
    per_ms: u64,
    burst: Option<NonZeroU32>,
}

impl TryFrom<Written> for RateLimit {
    type Error = FlowError;
    fn try_from(written: Written) -> Result<Self, FlowError> {
        let per = Duration::from_millis(written.per_ms);
        Self::new(written.tokens, per, written.burst.unwrap_or(written.tokens))
    }
}

impl From<RateLimit> for Written {
    fn from(limit: RateLimit) -> Self {
        let per_ms = u64::try_from(limit.per.as_millis()).unwrap_or(u64::MAX);
        Self { tokens: limit.tokens, per_ms, burst: Some(limit.burst) }
    }
}

/// Times so far away that a filling more or less would not fit are moved to where it does.
fn nanos(now: Timestamp) -> i64 {
    let room = 2 * whole_nanos(RateLimit::MAX_FILL.as_nanos());
    whole_nanos(now.as_nanosecond()).clamp(i64::MIN + room, i64::MAX - room)
}

fn whole_nanos<N: TryInto<i64>>(nanos: N) -> i64 {
    nanos.try_into().unwrap_or(i64::MAX)
}

/// The time, rounded up to the microsecond that stores keep.
fn timestamp(nanos: i64) -> Timestamp {
    let micros = nanos.div_euclid(1_000) + i64::from(nanos.rem_euclid(1_000) > 0);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}
