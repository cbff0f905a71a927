//! A cron expression: which wall times it means. What they are in the world's time is up to [`super::timing`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time};
use serde::{Deserialize, Serialize};

use super::day::DayRule;
use super::error::InvalidSchedule;
use super::field::{HOUR, MINUTE, MONTH, SECOND, Values};

/// After so many years the calendar repeats, weekdays included.
const CALENDAR_YEARS: i16 = 400;

/// A cron expression: `minute hour day-of-month month day-of-week`, or six fields with the second first.
///
/// | field | values | besides |
/// | --- | --- | --- |
/// | second (0 when left out), minute | 0-59 | |
/// | hour | 0-23 | |
/// | day of month | 1-31 | `L` the last day; `?` is `*` |
/// | month | 1-12, JAN-DEC | |
/// | day of week | 0-7, SUN-SAT (0 and 7 are Sunday) | `MON#2` the second Monday, `5L` the last Friday; `?` is `*` |
///
/// Each is a list of `*`, `n`, `a-b`, with a step `/n` if wanted (`5/15` goes on from 5 to the end). A day must fit both
/// day fields where one of them begins with `*` or is `?`, else one of them (Vixie cron's rule). `@yearly`, `@annually`,
/// `@monthly`, `@weekly`, `@daily`, `@midnight` and `@hourly` stand for what they say. Upper and lower case are the same.
///
/// Invariant: at least one date fits. 30 February is refused, not waited for.
///
/// ```
/// use runtime_core::schedule::Cron;
///
/// let workdays: Cron = "30 6 * * MON-FRI".parse()?;
/// assert_eq!(workdays.to_string(), "30 6 * * MON-FRI");
/// assert_eq!(
///     "30 26 * * *".parse::<Cron>().unwrap_err().to_string(),
///     "hour \"26\": 26 is not from 0 to 23"
/// );
/// # Ok::<(), runtime_core::schedule::InvalidSchedule>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cron {
    /// As written, in upper case with single spaces.
    text: Arc<str>,
    seconds: Values,
    minutes: Values,
    hours: Values,
    days: DayRule,
    months: Values,
}

impl Cron {
    /// Whether the hour field names every hour: work that goes on all day, as opposed to an appointment.
    pub(super) fn is_every_hour(&self) -> bool {
        self.hours.len() == 24
    }

    /// The first wall time that fits and is not before `from`, a whole second. `None` past the year 9999.
    pub(super) fn first_from(&self, from: DateTime) -> Option<DateTime> {
        if self.fits(from.date())
            && let Some(time) = self.time_from(from.time())
        {
            return Some(from.date().to_datetime(time));
        }
        let date = self.date_after(from.date())?;
        Some(date.to_datetime(self.time_from(Time::midnight())?))
    }

    fn fits(&self, date: Date) -> bool {
        self.months.has(date.month()) && self.days.matches(date)
    }

    fn date_after(&self, date: Date) -> Option<Date> {
        let end = date.year().saturating_add(CALENDAR_YEARS);
        let mut date = date.tomorrow().ok()?;
        while date.year() <= end {
            if !self.months.has(date.month()) {
                date = date.first_of_month().checked_add(1.month()).ok()?;
            } else if self.days.matches(date) {
                return Some(date);
            } else {
                date = date.tomorrow().ok()?;
            }
        }
        None
    }

    fn time_from(&self, from: Time) -> Option<Time> {
        let (hour, minute) = (from.hour(), from.minute());
        let at = |hour, minute, second| Some(Time::constant(hour, minute, second, 0));
        if self.hours.has(hour) {
            if self.minutes.has(minute)
                && let Some(second) = self.seconds.from(from.second())
            {
                return at(hour, minute, second);
            }
            if let Some(minute) = self.minutes.from(minute + 1) {
                return at(hour, minute, self.seconds.first());
            }
        }
        at(self.hours.from(hour + 1)?, self.minutes.first(), self.seconds.first())
    }
}

impl FromStr for Cron {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.to_ascii_uppercase();
        let written: Vec<&str> = upper.split_whitespace().collect();
        let fields: Vec<&str> = match written[..] {
            [name] if name.starts_with('@') => named(name)?.split(' ').collect(),
            _ => written.clone(),
        };
        let (second, [minute, hour, day, month, weekday]) = match fields[..] {
            [minute, hour, day, month, weekday] => ("0", [minute, hour, day, month, weekday]),
            [second, minute, hour, day, month, weekday] => (second, [minute, hour, day, month, weekday]),
            _ => return Err(InvalidSchedule::FieldCount { text: shortened(text), found: fields.len() }),
        };
        let cron = Self {
            text: written.join(" ").into(),
            seconds: SECOND.parse(second)?,
            minutes: MINUTE.parse(minute)?,
            hours: HOUR.parse(hour)?,
            days: DayRule::parse(day, weekday)?,
            months: MONTH.parse(month)?,
        };
        let some_leap_year = Date::constant(1999, 12, 31);
        match cron.date_after(some_leap_year) {
            Some(_) => Ok(cron),
            None => Err(InvalidSchedule::Never(shortened(text))),
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl Serialize for Cron {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn named(name: &str) -> Result<&'static str, InvalidSchedule> {
    match name {
        "@YEARLY" | "@ANNUALLY" => Ok("0 0 1 1 *"),
        "@MONTHLY" => Ok("0 0 1 * *"),
        "@WEEKLY" => Ok("0 0 * * 0"),
        "@DAILY" | "@MIDNIGHT" => Ok("0 0 * * *"),
        "@HOURLY" => Ok("0 * * * *"),
        _ => Err(InvalidSchedule::UnknownName(shortened(&name.to_ascii_lowercase()))),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
