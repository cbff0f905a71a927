//! When a schedule's ticks are, in the world's time.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::cron::Cron;
use super::error::InvalidSchedule;
use super::zone::Zone;

/// The times of a schedule.
///
/// ```toml
/// timing = { kind = "cron", expression = "0 3 * * *", zone = "Europe/Berlin" }
/// timing = { kind = "every", interval_secs = 300 }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Timing {
    /// Wall times in a zone.
    Cron {
        /// Which wall times.
        expression: Cron,
        /// Whose wall times.
        #[serde(default)]
        zone: Zone,
    },
    /// A fixed interval, counted from [`Window::start`] (which is the first tick), or from 1970 where there is none.
    Every {
        /// The interval in seconds.
        interval_secs: NonZeroU32,
    },
}

/// The time in which a schedule has ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// No tick before this.
    pub start: Option<Timestamp>,
    /// No tick at this time or later.
    pub end: Option<Timestamp>,
}

impl Timing {
    /// The wall times of a cron expression in a zone.
    ///
    /// # Errors
    /// When one of the texts is wrong; see [`Cron`] and [`Zone`].
    pub fn cron(expression: &str, zone: &str) -> Result<Self, InvalidSchedule> {
        Ok(Self::Cron { expression: expression.parse()?, zone: zone.parse()? })
    }

    /// A fixed interval.
    ///
    /// # Errors
    /// [`InvalidSchedule::Interval`] unless it is a whole number of seconds, at least one.
    pub fn every(interval: Duration) -> Result<Self, InvalidSchedule> {
        let wrong = || InvalidSchedule::Interval(interval);
        let whole = u32::try_from(interval.as_secs()).ok().filter(|_| interval.subsec_nanos() == 0);
        let interval_secs = whole.and_then(NonZeroU32::new).ok_or_else(wrong)?;
        Ok(Self::Every { interval_secs })
    }

    /// The first tick strictly after `after`, a whole second, or `None` when there are no more.
    pub fn next_after(&self, after: Timestamp, window: &Window) -> Option<Timestamp> {
        let after = window.start.map_or(after, |start| after.max(just_before(start)));
        let tick = match self {
            Self::Cron { expression, zone } if expression.is_every_hour() => all_day(expression, zone, after),
            Self::Cron { expression, zone } => appointment(expression, zone, after),
            Self::Every { interval_secs } => counted(interval_secs.get(), window.start, after),
        };
        tick.filter(|tick| window.end.is_none_or(|end| *tick < end))
    }

    /// The ticks strictly after `after`, in order.
    pub fn ticks<'t>(&'t self, after: Timestamp, window: &Window) -> Ticks<'t> {
        Ticks { timing: self, window: *window, after: Some(after) }
    }

    /// The ticks of a period, from `from` on and before `until`, in order: what a backfill makes.
    pub fn period<'t>(&'t self, from: Timestamp, until: Timestamp, window: &Window) -> Ticks<'t> {
        let end = window.end.map_or(until, |end| end.min(until));
        self.ticks(just_before(from), &Window { start: window.start, end: Some(end) })
    }

    /// The next `count` ticks strictly after `after`.
    pub fn preview(&self, after: Timestamp, window: &Window, count: usize) -> Vec<Timestamp> {
        self.ticks(after, window).take(count).collect()
    }

    /// The latest tick that is after `after` and not after `until`, without walking over those between.
    pub fn latest(&self, after: Timestamp, until: Timestamp, window: &Window) -> Option<Timestamp> {
        let next = |after| self.next_after(after, window).filter(|tick| *tick <= until);
        let mut latest = next(after)?;
        // No tick is later than `ceiling`; a tick after the middle raises the floor, none lowers the ceiling.
        let mut ceiling = until.as_second();
        while latest.as_second() < ceiling {
            let middle = latest.as_second() + (ceiling - latest.as_second()) / 2;
            match Timestamp::from_second(middle).ok().and_then(next) {
                Some(later) => latest = later,
                None => ceiling = middle,
            }
        }
        Some(latest)
    }
}

/// The ticks of a schedule, strictly growing.
#[derive(Debug, Clone)]
pub struct Ticks<'t> {
    timing: &'t Timing,
    window: Window,
    after: Option<Timestamp>,
}

impl Iterator for Ticks<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        self.after = self.timing.next_after(self.after?, &self.window);
        self.after
    }
}

/// The instant before which only earlier ticks lie.
pub(super) fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at)
}

/// An instant belongs to it when its wall time fits, so the walk goes from one move of the zone's clock to the next.
fn all_day(expression: &Cron, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
    let mut from = Timestamp::from_second(whole_second(after) + 1).ok()?;
    loop {
        let offset = zone.offset(from);
        let at = offset.to_timestamp(expression.first_from(offset.to_datetime(from))?).ok()?;
        match zone.next_move(from) {
            Some(moved) if moved <= at => from = moved,
            _ => return Some(at),
        }
    }
}

/// Each wall time that fits is kept once: the first time the zone's clock reaches or passes it.
fn appointment(expression: &Cron, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
    let second = Timestamp::from_second(whole_second(after)).ok()?;
    let mut wall = zone.wall(second);
    loop {
        wall = expression.first_from(wall.checked_add(1.second()).ok()?)?;
        let at = zone.first_reached(wall)?;
        if at > after {
            return Some(at);
        }
    }
}

fn counted(interval: u32, start: Option<Timestamp>, after: Timestamp) -> Option<Timestamp> {
    let first = start.map_or(0, |start| whole_second(just_before(start)) + 1);
    let interval = i64::from(interval);
    let passed = (whole_second(after) - first).div_euclid(interval);
    Timestamp::from_second(first + (passed + 1) * interval).ok()
}

/// The whole second that an instant lies in, also before 1970.
fn whole_second(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}
