//! What time it is in the shop.
//!
//! A shop on the wall's clock lives in real time. A demo lives through a month in seconds: its clock is compressed, a
//! plain function of real time that runs so many times faster between two moments and at the usual pace after that.
//! Either way business moments map to real ones and back, so work that is due at a business moment is an ordinary task
//! with a due time, and nothing else in the shop knows how fast time goes.
//!
//! ```text
//! business            until ─────────  pace 1
//!    ▲              ╱
//!    │            ╱   pace `speed`
//!  starts_at ───╱
//!  pace 1      since                            ▶ real
//! ```

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime::core::clock::Clock;
use runtime::stores::SystemClock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the shop's time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClockConfig {
    /// As everywhere.
    #[default]
    Wall,
    /// A stretch of time in less time, for a demo or a test. Before and after the stretch time goes at its usual pace.
    Compressed {
        /// The first business moment of the stretch.
        #[schemars(with = "String")]
        starts_at: Timestamp,
        /// The last one.
        #[schemars(with = "String")]
        until: Timestamp,
        /// The real moment at which the stretch starts.
        #[schemars(with = "String")]
        since: Timestamp,
        /// Business seconds in a real one.
        speed: NonZeroU32,
    },
}

/// The shop's clock. Cheap to clone.
#[derive(Clone)]
pub struct BusinessTime {
    real: Arc<dyn Clock>,
    pace: ClockConfig,
    on_its_way: Duration,
}

const MILLI: i128 = 1_000_000;

impl BusinessTime {
    /// A clock of this pace. Work that is due by business time is done `on_its_way` (real time) after its moment, so
    /// that what a customer sent in time still counts.
    #[must_use]
    pub fn new(pace: ClockConfig, on_its_way: Duration) -> Self {
        Self { real: Arc::new(SystemClock), pace, on_its_way }
    }

    /// The present business moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.pace.business(self.real.now())
    }

    /// The business moment of a real one.
    #[must_use]
    pub fn at(&self, real: Timestamp) -> Timestamp {
        self.pace.business(real)
    }

    /// When work that is due at this business moment is to be done: the due time of its task.
    #[must_use]
    pub fn run_at(&self, due: Timestamp) -> Timestamp {
        self.real_at(due)
            .saturating_add(SignedDuration::try_from(self.on_its_way).unwrap_or_default())
            .unwrap_or(Timestamp::MAX)
    }

    /// The real moment of a business one, rounded up to a millisecond: [`BusinessTime::now`] is not before it then.
    #[must_use]
    pub fn real_at(&self, business: Timestamp) -> Timestamp {
        self.pace.real(business)
    }

    /// How long work that is due a business stretch of this length from now is put off, in real time.
    #[must_use]
    pub fn takes(&self, length: SignedDuration) -> Duration {
        self.until(self.now().saturating_add(length).unwrap_or(Timestamp::MAX))
    }

    /// How long it is, in real time, until work that is due at this business moment is to be done.
    #[must_use]
    pub fn until(&self, due: Timestamp) -> Duration {
        self.run_at(due).duration_since(self.real.now()).try_into().unwrap_or(Duration::ZERO)
    }

    /// The present real moment.
    #[must_use]
    pub fn real_now(&self) -> Timestamp {
        self.real.now()
    }
}

impl ClockConfig {
    fn business(self, real: Timestamp) -> Timestamp {
        let Self::Compressed { starts_at, until, since, speed } = self else { return real };
        let speed = i128::from(speed.get());
        let elapsed = real.as_nanosecond() - since.as_nanosecond();
        let stretch = (until.as_nanosecond() - starts_at.as_nanosecond()).max(0) / speed;
        let after_start = match elapsed {
            ..0 => elapsed,
            _ if elapsed <= stretch => elapsed * speed,
            _ => stretch * speed + (elapsed - stretch),
        };
        moment(starts_at.as_nanosecond() + after_start)
    }

    fn real(self, business: Timestamp) -> Timestamp {
        let Self::Compressed { starts_at, until, since, speed } = self else { return business };
        let speed = i128::from(speed.get());
        let after_start = business.as_nanosecond() - starts_at.as_nanosecond();
        let stretch = (until.as_nanosecond() - starts_at.as_nanosecond()).max(0) / speed;
        let elapsed = match after_start {
            ..0 => after_start,
            _ if after_start <= stretch * speed => after_start.div_euclid(speed) + 1,
            _ => stretch + (after_start - stretch * speed),
        };
        let nanos = since.as_nanosecond() + elapsed;
        moment(nanos + (MILLI - nanos.rem_euclid(MILLI)) % MILLI)
    }
}

/// The nearest moment of the calendar.
fn moment(nanos: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanos).unwrap_or(if nanos < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_compressed_stretch_runs_fast_and_then_time_is_usual_again() {
        let pace = ClockConfig::Compressed {
            starts_at: at("2026-03-01T00:00:00Z"),
            until: at("2026-03-11T00:00:00Z"),
            since: at("2030-01-01T00:00:00Z"),
            speed: NonZeroU32::new(86_400).unwrap(),
        };
        for (real, business) in [
            ("2029-12-31T23:59:00Z", "2026-02-28T23:59:00Z"),
            ("2030-01-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2030-01-01T00:00:05Z", "2026-03-06T00:00:00Z"),
            ("2030-01-01T00:00:10Z", "2026-03-11T00:00:00Z"),
            ("2030-01-01T00:00:12Z", "2026-03-11T00:00:02Z"),
        ] {
            assert_eq!(pace.business(at(real)), at(business), "{real}");
            let back = pace.real(at(business));
            assert!(pace.business(back) >= at(business), "{business}");
            assert!(back.duration_since(at(real)).as_millis() <= 1, "{business}");
        }
    }

    #[test]
    fn the_walls_clock_is_what_it_is() {
        let now = at("2026-03-01T12:00:00.123456Z");
        assert_eq!((ClockConfig::Wall.business(now), ClockConfig::Wall.real(now)), (now, now));
    }
}
