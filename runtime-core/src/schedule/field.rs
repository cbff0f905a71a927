//! One field of a cron expression: text becomes a set of numbers.

use super::error::InvalidSchedule;

/// A set of numbers from 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Values(u64);

impl Values {
    pub(super) fn has(self, value: i8) -> bool {
        self.from(value) == Some(value)
    }

    /// The smallest number of the set that is not below `value`.
    pub(super) fn from(self, value: i8) -> Option<i8> {
        let rest = self.0.checked_shr(u32::try_from(value).ok()?)?;
        (rest != 0).then(|| value + i8::try_from(rest.trailing_zeros()).unwrap_or(0))
    }

    pub(super) fn first(self) -> i8 {
        self.from(0).unwrap_or(0)
    }

    pub(super) fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Calls `visit` with each number, smallest first.
    pub(super) fn each(self, visit: impl FnMut(i8)) {
        std::iter::successors(self.from(0), |value| self.from(value + 1)).for_each(visit);
    }

    pub(super) fn insert(&mut self, value: i8) {
        self.0 |= 1 << value;
    }
}

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    min: i8,
    max: i8,
    /// Names of the values from `min` on.
    names: &'static [&'static str],
}

pub(super) const SECOND: Field = Field { name: "second", min: 0, max: 59, names: &[] };
pub(super) const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
pub(super) const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
pub(super) const DAY: Field = Field { name: "day of month", min: 1, max: 31, names: &[] };
pub(super) const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
/// 0 and 7 are both Sunday: `FRI-SUN` and `5-7` are ranges that end in 7, [`super::day`] folds it to 0.
pub(super) const WEEKDAY: Field =
    Field { name: "day of week", min: 0, max: 7, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };

impl Field {
    /// The set that a list of items names. The text is upper case.
    pub(super) fn parse(&self, text: &str) -> Result<Values, InvalidSchedule> {
        text.split(',').try_fold(Values::default(), |set, item| Ok(Values(set.0 | self.item(item)?.0)))
    }

    /// One item: `*`, `n`, `a-b`, each with a step `/n` if wanted. A step after a single number goes on to the end.
    pub(super) fn item(&self, item: &str) -> Result<Values, InvalidSchedule> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(item, step)?)),
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.whole_end()),
            Some((first, last)) => self.range(item, first, last)?,
            None => {
                let first = self.value(item, range)?;
                (first, if step.is_some() { self.whole_end().max(first) } else { first })
            }
        };
        let mut set = Values::default();
        (first..=last).step_by(step.unwrap_or(1)).for_each(|value| set.insert(value));
        Ok(set)
    }

    /// A number of this field, or a name for one.
    pub(super) fn value(&self, item: &str, text: &str) -> Result<i8, InvalidSchedule> {
        if let Some(place) = self.names.iter().position(|name| *name == text) {
            return Ok(self.min + i8::try_from(place).unwrap_or(0));
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        match number.filter(|number| (self.min..=self.max).contains(number)) {
            Some(number) => Ok(number),
            None if digits => {
                Err(self.wrong(item, format!("{text} is not from {} to {}", self.min, self.max)))
            }
            None if text.is_empty() => Err(self.wrong(item, "a value is missing".into())),
            None => Err(self.wrong(item, format!("{text:?} is no value of this field"))),
        }
    }

    pub(super) fn wrong(&self, item: &str, reason: String) -> InvalidSchedule {
        let item = item.chars().take(80).collect();
        InvalidSchedule::Field { field: self.name, item, reason }
    }

    /// Where `*` ends: Sunday is counted once.
    fn whole_end(&self) -> i8 {
        if self.max == 7 { 6 } else { self.max }
    }

    fn range(&self, item: &str, first: &str, last: &str) -> Result<(i8, i8), InvalidSchedule> {
        let (first, last) = (self.value(item, first)?, self.value(item, last)?);
        let last = if self.max == 7 && last == 0 && first > 0 { 7 } else { last };
        if first > last {
            return Err(self.wrong(item, "the range runs backwards; write it as two".into()));
        }
        Ok((first, last))
    }

    fn step(&self, item: &str, step: &str) -> Result<usize, InvalidSchedule> {
        let most = self.whole_end() - self.min + 1;
        match step.parse() {
            Ok(step) if (1..=i16::from(most)).contains(&step) => Ok(usize::from(step.unsigned_abs())),
            _ => Err(self.wrong(item, format!("the step {step:?} is not from 1 to {most}"))),
        }
    }
}
