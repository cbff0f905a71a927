//! A time zone by its IANA name, with rules that come with this crate: the same on every machine.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A known time zone. Two are equal when they have the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

/// A name that is no time zone's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` is no time zone")]
pub struct ZoneError {
    /// The name as it came.
    pub name: String,
}

impl Zone {
    /// The zone of an IANA name such as `Europe/Berlin` or `UTC`.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        let found = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| zone.iana_name().is_some());
        found.map(Self).ok_or_else(|| ZoneError { name: name.to_owned() })
    }

    /// Its IANA name, spelled as the database spells it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().expect("a zone is found by its name")
    }

    /// The days whose end is after one moment and not after another, in order.
    pub fn days_ended(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Date> {
        let end = self.0.to_datetime(until).date();
        let first = self.0.to_datetime(after).date();
        first.series(jiff::Span::new().days(1)).take_while(move |day| *day < end)
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &TimeZone {
        &self.0
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneError;

    fn try_from(name: String) -> Result<Self, ZoneError> {
        Self::named(&name)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_ends_once_by_the_zones_own_calendar() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let auckland = Zone::named("Pacific/Auckland").unwrap();
        let ended = |after, until| -> Vec<String> {
            auckland.days_ended(at(after), at(until)).map(|day| day.to_string()).collect()
        };
        assert_eq!(ended("2026-11-20T10:59:59Z", "2026-11-20T11:00:00Z"), ["2026-11-20"]);
        assert!(ended("2026-11-20T11:00:00Z", "2026-11-21T10:59:59Z").is_empty());
        assert_eq!(ended("2026-11-20T03:30:00Z", "2026-11-22T03:30:00Z"), ["2026-11-20", "2026-11-21"]);
        // From stretch to stretch no day is left out and none comes twice, whatever the length of days.
        let (first, mut days) = (at("2026-01-01T03:30:00Z"), Vec::new());
        for night in 0..365 {
            let after = first + jiff::SignedDuration::from_hours(24 * night);
            days.extend(auckland.days_ended(after, after + jiff::SignedDuration::from_hours(24)));
        }
        assert_eq!(days.len(), 365);
        assert!(days.windows(2).all(|pair| pair[0].tomorrow().unwrap() == pair[1]));
    }

    #[test]
    fn zones_are_known_by_name_and_travel_as_text() {
        for name in ["Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"] {
            let zone = Zone::named(name).unwrap();
            assert_eq!(zone.name(), name);
            let text = serde_json::to_string(&zone).unwrap();
            assert_eq!(serde_json::from_str::<Zone>(&text).unwrap(), zone);
        }
        assert_eq!(Zone::named("Europe/Berlim"), Err(ZoneError { name: "Europe/Berlim".into() }));
        assert!(serde_json::from_str::<Zone>("\"nowhere\"").is_err());
    }
}
