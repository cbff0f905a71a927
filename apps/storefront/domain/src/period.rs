//! Stretches of a store's calendar: the hours, days, weeks and months of its own time zone.
//!
//! A day runs from one local midnight to the next, so it has 23 or 25 hours when the clocks change. Where a change
//! skips midnight, the day starts at the first moment it has. The hours of a day are counted from its start, not read
//! off the clock: the hour that a clock shows twice is two hours, and a day's hours always fill the day. (Where clocks
//! change by half an hour, the last hour of the day is a half one.) So every moment is in exactly one hour, every hour
//! in one day, every day in one week and in one month.

use std::fmt;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::zone::Zone;

/// How long a stretch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodKind {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday, as ISO 8601 has it.
    Week,
    /// From the first to the last of a month.
    Month,
}

/// A day, week or month. It means a stretch of time only together with a [`Zone`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "DateOfPeriod")]
pub struct Period {
    kind: PeriodKind,
    /// Invariant: a week's is a Monday, a month's the first.
    starts_on: Date,
}

/// A period as text may have it: by any date in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DateOfPeriod {
    kind: PeriodKind,
    starts_on: Date,
}

impl From<DateOfPeriod> for Period {
    fn from(named: DateOfPeriod) -> Self {
        Self::of_date(named.kind, named.starts_on)
    }
}

impl Period {
    /// The period of a kind that a date lies in.
    #[must_use]
    pub fn of_date(kind: PeriodKind, date: Date) -> Self {
        let starts_on = match kind {
            PeriodKind::Day => date,
            PeriodKind::Week => {
                let since_monday = i32::from(date.weekday().to_monday_zero_offset());
                date.saturating_sub(since_monday.days())
            }
            PeriodKind::Month => date.first_of_month(),
        };
        Self { kind, starts_on }
    }

    /// The period of a kind that a moment lies in.
    #[must_use]
    pub fn containing(kind: PeriodKind, at: Timestamp, zone: &Zone) -> Self {
        Self::of_date(kind, at.to_zoned(zone.rules().clone()).date())
    }

    /// How long it is.
    #[must_use]
    pub fn kind(self) -> PeriodKind {
        self.kind
    }

    /// Its first date.
    #[must_use]
    pub fn starts_on(self) -> Date {
        self.starts_on
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        let span = match self.kind {
            PeriodKind::Day => 1.day(),
            PeriodKind::Week => 1.week(),
            PeriodKind::Month => 1.month(),
        };
        Self { starts_on: self.starts_on.saturating_add(span), ..self }
    }

    /// Its first moment.
    #[must_use]
    pub fn starts(self, zone: &Zone) -> Timestamp {
        midnight(self.starts_on, zone)
    }

    /// The first moment after it, which is the next one's first.
    #[must_use]
    pub fn ends(self, zone: &Zone) -> Timestamp {
        self.next().starts(zone)
    }
}

impl fmt::Display for Period {
    /// `day:2026-03-29`, `week:2026-03-23` (its Monday), `month:2026-03`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            PeriodKind::Day => write!(out, "day:{}", self.starts_on),
            PeriodKind::Week => write!(out, "week:{}", self.starts_on),
            PeriodKind::Month => write!(out, "month:{}", self.starts_on.strftime("%Y-%m")),
        }
    }
}

/// What a rollup adds up over. Orders by level, then by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "level", rename_all = "snake_case")]
pub enum Bucket {
    /// One hour of a day.
    Hour {
        /// The day.
        date: Date,
        /// The how-manieth hour since the day began, from 0; up to 24 on a day of 25 hours.
        hour: u8,
    },
    /// One day.
    Day {
        /// The day.
        date: Date,
    },
    /// One month.
    Month {
        /// Its first date.
        first: Date,
    },
}

impl Bucket {
    /// The hour a moment lies in.
    #[must_use]
    pub fn hour_of(at: Timestamp, zone: &Zone) -> Self {
        let date = at.to_zoned(zone.rules().clone()).date();
        let hours = at.duration_since(midnight(date, zone)).as_hours();
        Self::Hour { date, hour: u8::try_from(hours).expect("a day has few hours") }
    }

    /// The bucket it is added up into; none for a month.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        match self {
            Self::Hour { date, .. } => Some(Self::Day { date }),
            Self::Day { date } => Some(Self::Month { first: date.first_of_month() }),
            Self::Month { .. } => None,
        }
    }

    /// Its first moment.
    #[must_use]
    pub fn starts(self, zone: &Zone) -> Timestamp {
        match self {
            Self::Hour { date, hour } => midnight(date, zone)
                .saturating_add(SignedDuration::from_hours(hour.into()))
                .unwrap_or(Timestamp::MAX),
            Self::Day { date } => Period::of_date(PeriodKind::Day, date).starts(zone),
            Self::Month { first } => Period::of_date(PeriodKind::Month, first).starts(zone),
        }
    }

    /// The first moment after it. A late fact is one that was recorded at or after it.
    #[must_use]
    pub fn ends(self, zone: &Zone) -> Timestamp {
        match self {
            Self::Hour { date, hour } => {
                let next = Self::Hour { date, hour: hour.saturating_add(1) }.starts(zone);
                next.min(Self::Day { date }.ends(zone))
            }
            Self::Day { date } => Period::of_date(PeriodKind::Day, date).ends(zone),
            Self::Month { first } => Period::of_date(PeriodKind::Month, first).ends(zone),
        }
    }
}

impl fmt::Display for Bucket {
    /// `hour:2026-03-29+02` (the third hour of that day), `day:2026-03-29`, `month:2026-03`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour { date, hour } => write!(out, "hour:{date}+{hour:02}"),
            Self::Day { date } => Period::of_date(PeriodKind::Day, *date).fmt(out),
            Self::Month { first } => Period::of_date(PeriodKind::Month, *first).fmt(out),
        }
    }
}

/// The first moment of a date. At the ends of the calendar it is the calendar's end.
fn midnight(date: Date, zone: &Zone) -> Timestamp {
    let first = date.to_zoned(zone.rules().clone()).map(|zoned| zoned.timestamp());
    first.unwrap_or(if date.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn days_are_as_long_as_the_clocks_make_them() {
        for (name, day, hours) in [
            ("Europe/Berlin", date(2026, 3, 29), 23.0),
            ("Europe/Berlin", date(2026, 10, 25), 25.0),
            ("America/New_York", date(2026, 3, 8), 23.0),
            ("America/New_York", date(2026, 11, 1), 25.0),
            ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
            ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
            // Midnight itself is skipped: the day starts at one o'clock.
            ("Africa/Cairo", date(2026, 4, 24), 23.0),
            ("Asia/Kathmandu", date(2026, 3, 29), 24.0),
            ("UTC", date(2026, 3, 29), 24.0),
        ] {
            let zone = zone(name);
            let period = Period::of_date(PeriodKind::Day, day);
            let length = period.ends(&zone).duration_since(period.starts(&zone));
            assert_eq!(length.as_secs_f64(), hours * 3600.0, "{name} {day}");
        }
    }

    #[test]
    fn the_hour_that_clocks_show_twice_is_two_hours() {
        let berlin = zone("Europe/Berlin");
        let hour = |text| Bucket::hour_of(at(text), &berlin).to_string();
        assert_eq!(hour("2026-10-25T02:30:00+02:00"), "hour:2026-10-25+02");
        assert_eq!(hour("2026-10-25T02:30:00+01:00"), "hour:2026-10-25+03");
        assert_eq!(hour("2026-10-25T23:59:59+01:00"), "hour:2026-10-25+24");
        assert_eq!(hour("2026-03-29T03:00:00+02:00"), "hour:2026-03-29+02", "the skipped hour is none");
    }

    #[test]
    fn periods_are_named_by_the_local_calendar() {
        let late = at("2026-02-28T23:30:00Z");
        let name = |kind, zone_name| Period::containing(kind, late, &zone(zone_name)).to_string();
        assert_eq!(name(PeriodKind::Day, "UTC"), "day:2026-02-28");
        assert_eq!(name(PeriodKind::Day, "Europe/Berlin"), "day:2026-03-01");
        assert_eq!(name(PeriodKind::Month, "Europe/Berlin"), "month:2026-03");
        assert_eq!(name(PeriodKind::Month, "America/New_York"), "month:2026-02");
        assert_eq!(name(PeriodKind::Week, "Europe/Berlin"), "week:2026-02-23");
        assert_eq!(Period::of_date(PeriodKind::Month, date(2026, 12, 9)).next().to_string(), "month:2027-01");
    }

    #[test]
    fn the_last_hour_ends_with_its_day() {
        // The clocks of Lord Howe go back by half an hour: the day has 24 hours and a half one.
        let island = zone("Australia/Lord_Howe");
        let last = Bucket::hour_of(at("2026-04-05T23:45:00+10:30"), &island);
        assert_eq!(last.to_string(), "hour:2026-04-05+24");
        assert_eq!(last.starts(&island), at("2026-04-05T23:30:00+10:30"));
        assert_eq!(last.ends(&island), at("2026-04-06T00:00:00+10:30"));
    }

    #[test]
    fn a_period_is_read_by_any_of_its_dates() {
        let read: Period = serde_json::from_str(r#"{"kind":"week","starts_on":"2026-03-29"}"#).unwrap();
        assert_eq!(read.to_string(), "week:2026-03-23");
        assert_eq!(serde_json::from_str::<Period>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
    }

    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Africa/Cairo",
        "Pacific/Apia",
    ];

    proptest! {
        /// From 2010 to 2035: with Samoa's skipped date and a change of clocks of half an hour.
        #[test]
        fn every_moment_is_in_one_bucket_of_each_level(
            second in 1_262_304_000i64..2_051_222_400,
            zone_name in prop::sample::select(&ZONES[..]),
        ) {
            let zone = zone(zone_name);
            let moment = Timestamp::from_second(second).unwrap();
            let hour = Bucket::hour_of(moment, &zone);
            let mut inner: Option<Bucket> = None;
            for bucket in std::iter::successors(Some(hour), |bucket| bucket.parent()) {
                let (starts, ends) = (bucket.starts(&zone), bucket.ends(&zone));
                prop_assert!(starts <= moment && moment < ends, "{} {}..{}", bucket, starts, ends);
                if let Some(inner) = inner {
                    prop_assert!(starts <= inner.starts(&zone) && inner.ends(&zone) <= ends);
                }
                inner = Some(bucket);
            }
            let before = Bucket::hour_of(hour.starts(&zone) - SignedDuration::from_nanos(1), &zone);
            prop_assert_eq!(before.ends(&zone), hour.starts(&zone), "no gap before {}", hour);
            for kind in [PeriodKind::Day, PeriodKind::Week, PeriodKind::Month] {
                let period = Period::containing(kind, moment, &zone);
                prop_assert!(period.starts(&zone) <= moment && moment < period.ends(&zone));
                prop_assert_eq!(Period::containing(kind, period.ends(&zone), &zone).starts(&zone), period.ends(&zone));
            }
        }
    }
}
