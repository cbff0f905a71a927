//! Which days a cron expression means: day of month and day of week, together.

use jiff::civil::Date;

use super::error::InvalidSchedule;
use super::field::{DAY, Values, WEEKDAY};

/// The two day fields as one rule.
///
/// Vixie cron's: a day must fit both fields where one of them begins with `*` (or is `?`); where neither does, it is
/// enough that it fits one. `0 0 13 * FRI` is every 13th and every Friday, `0 0 */2 * FRI` the Fridays on odd days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DayRule {
    days: Values,
    /// `L`: the last day of the month.
    last_day: bool,
    weekdays: Values,
    /// `n#k`: the k-th of this weekday in its month; the number is `5n + k - 1`.
    nth: Values,
    /// `nL`: the last of this weekday in its month.
    last: Values,
    /// Whether a day has to fit both fields.
    both: bool,
}

impl DayRule {
    pub(super) fn parse(days: &str, weekdays: &str) -> Result<Self, InvalidSchedule> {
        let open = |field: &str| field.starts_with(['*', '?']);
        let mut rule = Self {
            days: Values::default(),
            last_day: false,
            weekdays: Values::default(),
            nth: Values::default(),
            last: Values::default(),
            both: open(days) || open(weekdays),
        };
        let star = |field| if field == "?" { "*" } else { field };
        star(days).split(',').try_for_each(|item| rule.add_day(item))?;
        star(weekdays).split(',').try_for_each(|item| rule.add_weekday(item))?;
        Ok(rule)
    }

    pub(super) fn matches(&self, date: Date) -> bool {
        let (day, length) = (date.day(), date.days_in_month());
        let by_day = self.days.has(day) || (self.last_day && day == length);
        let weekday = date.weekday().to_sunday_zero_offset();
        let by_weekday = self.weekdays.has(weekday)
            || self.nth.has(5 * weekday + (day - 1) / 7)
            || (self.last.has(weekday) && day + 7 > length);
        if self.both { by_day && by_weekday } else { by_day || by_weekday }
    }

    fn add_day(&mut self, item: &str) -> Result<(), InvalidSchedule> {
        if item == "L" {
            self.last_day = true;
            return Ok(());
        }
        DAY.item(item)?.each(|day| self.days.insert(day));
        Ok(())
    }

    fn add_weekday(&mut self, item: &str) -> Result<(), InvalidSchedule> {
        if let Some((weekday, which)) = item.split_once('#') {
            let weekday = WEEKDAY.value(item, weekday)? % 7;
            let wrong = || WEEKDAY.wrong(item, format!("a month has no weekday number {which:?}: 1 to 5"));
            let number: Option<i8> = which.parse().ok();
            let which = number.filter(|number| (1..=5).contains(number)).ok_or_else(wrong)?;
            self.nth.insert(5 * weekday + which - 1);
        } else if let Some(weekday) = item.strip_suffix('L') {
            self.last.insert(WEEKDAY.value(item, weekday)? % 7);
        } else {
            WEEKDAY.item(item)?.each(|weekday| self.weekdays.insert(weekday % 7));
        }
        Ok(())
    }
}
