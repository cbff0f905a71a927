//! A time zone: what a wall time is in the world's time.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::InvalidSchedule;

/// The database that is built in, and no other: the same program computes the same ticks on every machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone by its IANA name, `Europe/Berlin`. UTC when nothing is said.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The wall time at an instant.
    pub(super) fn wall(&self, at: Timestamp) -> DateTime {
        self.0.to_datetime(at)
    }

    /// How far the wall time is ahead at an instant.
    pub(super) fn offset(&self, at: Timestamp) -> Offset {
        self.0.to_offset(at)
    }

    /// When the zone's clock is moved next, strictly after an instant.
    pub(super) fn next_move(&self, after: Timestamp) -> Option<Timestamp> {
        self.0.following(after).next().map(|transition| transition.timestamp())
    }

    /// When a wall time is reached or passed first: it itself; its first pass, if it comes twice; the first instant
    /// after the gap, if it is left out. Never falls while the wall time grows. `None` beyond the year 9999.
    pub(super) fn first_reached(&self, wall: DateTime) -> Option<Timestamp> {
        match self.0.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                // Under the later offset a wall time of the gap lies before the move, by no more than the gap.
                let before_the_move =
                    after.to_timestamp(wall).ok()?.checked_sub(SignedDuration::from_secs(1)).ok()?;
                self.0
                    .following(before_the_move)
                    .find(|transition| transition.offset() == after)
                    .map(|transition| transition.timestamp())
            }
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = InvalidSchedule;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match ZONES.get(name) {
            Ok(zone) if !zone.is_unknown() => Ok(Self(zone)),
            _ => Err(InvalidSchedule::UnknownZone(name.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.name(), f)
    }
}

impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
