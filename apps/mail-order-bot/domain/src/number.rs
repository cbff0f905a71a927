//! Numbers as people write them. `1.234,50` and `1,234.50` are the same number, and `1.234` is two different ones:
//! what cannot be told apart is an error that says so, never a guess.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most digits a number may have; more cannot be a quantity or a price.
const MAX_DIGITS: usize = 15;

/// What stands before the decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalMark {
    /// `1.234,50`
    Comma,
    /// `1,234.50`
    Point,
}

/// Why a text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// It has other characters, or its separators make no sense.
    #[error("not a number")]
    NotANumber,
    /// `1.234`: thousands or decimals, and nothing around it tells which.
    #[error("ambiguous between thousands and decimals")]
    Ambiguous,
    /// More digits than any amount has.
    #[error("too many digits")]
    TooLarge,
}

/// An exact decimal number: `units / 10^scale`, without trailing zeros behind the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    units: i64,
    scale: u8,
}

impl Decimal {
    /// A whole number.
    #[must_use]
    pub fn whole(units: i64) -> Self {
        Self { units, scale: 0 }
    }

    /// Reads a number; `mark` decides the one case that the text alone leaves open.
    ///
    /// # Errors
    /// [`NumberError`] says what is wrong with the text.
    pub fn parse(text: &str, mark: Option<DecimalMark>) -> Result<Self, NumberError> {
        parse(text, mark).map(|(number, _)| number)
    }

    /// The decimal mark that `text` gives away, if it is a number that can be read in one way only.
    #[must_use]
    pub fn evidence(text: &str) -> Option<DecimalMark> {
        parse(text, None).ok().and_then(|(_, mark)| mark)
    }

    /// The number a spreadsheet shows for a computed value: six decimals are kept, so that `3 × 2.35` is 7.05 and not
    /// 7.0500000000000001. `None` for what is not finite or has too many digits.
    #[must_use]
    pub fn from_spreadsheet(value: f64) -> Option<Self> {
        if !value.is_finite() || value.abs() >= 1e9 {
            return None;
        }
        Self::parse(&format!("{value:.6}"), Some(DecimalMark::Point)).ok()
    }

    /// The whole number, if it has no decimals.
    #[must_use]
    pub fn to_whole(self) -> Option<i64> {
        (self.scale == 0).then_some(self.units)
    }

    /// The amount in hundredths, if it has at most two decimals.
    #[must_use]
    pub fn to_hundredths(self) -> Option<i64> {
        match self.scale {
            0 => self.units.checked_mul(100),
            1 => self.units.checked_mul(10),
            2 => Some(self.units),
            _ => None,
        }
    }

    fn new(digits: &str, decimals: usize, negative: bool) -> Result<Self, NumberError> {
        if digits.trim_start_matches('0').len() > MAX_DIGITS || decimals > MAX_DIGITS {
            return Err(NumberError::TooLarge);
        }
        let mut units: i64 = digits.parse().map_err(|_| NumberError::NotANumber)?;
        let mut scale = u8::try_from(decimals).map_err(|_| NumberError::TooLarge)?;
        while scale > 0 && units % 10 == 0 {
            units /= 10;
            scale -= 1;
        }
        Ok(Self { units: if negative { -units } else { units }, scale })
    }
}

/// Plain notation with a point, as programs write it.
impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(out, "{}", self.units);
        }
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = usize::from(self.scale) + 1);
        let (whole, decimals) = digits.split_at(digits.len() - usize::from(self.scale));
        write!(out, "{sign}{whole}.{decimals}")
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text, Some(DecimalMark::Point)).map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    Space,
    Apostrophe,
    Comma,
    Point,
}

impl Separator {
    fn of(character: char) -> Option<Self> {
        match character {
            ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' => Some(Self::Space),
            '\'' | '\u{2019}' => Some(Self::Apostrophe),
            ',' => Some(Self::Comma),
            '.' => Some(Self::Point),
            _ => None,
        }
    }

    fn as_mark(self) -> Option<DecimalMark> {
        match self {
            Self::Comma => Some(DecimalMark::Comma),
            Self::Point => Some(DecimalMark::Point),
            Self::Space | Self::Apostrophe => None,
        }
    }
}

fn parse(text: &str, mark: Option<DecimalMark>) -> Result<(Decimal, Option<DecimalMark>), NumberError> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // `12,-` is twelve and nothing.
    let text = text.strip_suffix(",-").or_else(|| text.strip_suffix(".-")).unwrap_or(text);
    let (groups, separators) = split(text)?;
    let decimal = decimal_separator(&groups, &separators, mark)?;
    let whole_groups = if decimal.is_some() { groups.len() - 1 } else { groups.len() };
    let thousands = &separators[..whole_groups - 1];
    if !grouped_by_thousands(&groups[..whole_groups], thousands) {
        return Err(NumberError::NotANumber);
    }
    let decimals = if decimal.is_some() { groups[whole_groups].len() } else { 0 };
    let number = Decimal::new(&groups.concat(), decimals, negative)?;
    let shown = decimal.and_then(Separator::as_mark).or_else(|| match thousands.first() {
        // A mark used for thousands twice leaves the other one for decimals.
        Some(Separator::Comma) if thousands.len() > 1 => Some(DecimalMark::Point),
        Some(Separator::Point) if thousands.len() > 1 => Some(DecimalMark::Comma),
        _ => None,
    });
    Ok((number, shown))
}

/// Runs of digits and the single separators between them.
fn split(text: &str) -> Result<(Vec<&str>, Vec<Separator>), NumberError> {
    let mut groups = Vec::new();
    let mut separators = Vec::new();
    let mut start = 0;
    for (at, character) in text.char_indices() {
        if character.is_ascii_digit() {
            continue;
        }
        separators.push(Separator::of(character).ok_or(NumberError::NotANumber)?);
        groups.push(&text[start..at]);
        start = at + character.len_utf8();
    }
    groups.push(&text[start..]);
    let missing = groups.iter().enumerate().any(|(at, group)| group.is_empty() && at > 0);
    // Only the part before a decimal mark may be left out: `.5`.
    let bare = groups[0].is_empty() && (groups.len() != 2 || separators[0].as_mark().is_none());
    if missing || bare { Err(NumberError::NotANumber) } else { Ok((groups, separators)) }
}

fn decimal_separator(
    groups: &[&str],
    separators: &[Separator],
    mark: Option<DecimalMark>,
) -> Result<Option<Separator>, NumberError> {
    let Some((&last, before)) = separators.split_last() else { return Ok(None) };
    let Some(last_mark) = last.as_mark() else { return Ok(None) };
    if before.contains(&last) {
        return Ok(None);
    }
    let could_be_thousands = before.is_empty()
        && groups[1].len() == 3
        && (1..=3).contains(&groups[0].len())
        && !groups[0].starts_with('0');
    match mark {
        _ if !could_be_thousands => Ok(Some(last)),
        Some(mark) => Ok((mark == last_mark).then_some(last)),
        None => Err(NumberError::Ambiguous),
    }
}

fn grouped_by_thousands(groups: &[&str], separators: &[Separator]) -> bool {
    let Some(first) = separators.first() else { return true };
    separators.iter().all(|separator| separator == first)
        && (1..=3).contains(&groups[0].len())
        && groups[1..].iter().all(|group| group.len() == 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_read_as_its_writer_meant_it() {
        use DecimalMark::{Comma, Point};
        let cases = [
            ("10", None, "10"),
            ("-5", None, "-5"),
            ("\u{2212}5", None, "-5"),
            ("1.234,50", None, "1234.5"),
            ("1,234.50", None, "1234.5"),
            ("1 234,50", None, "1234.5"),
            ("1\u{202f}234,50", None, "1234.5"),
            ("1'234.50", None, "1234.5"),
            ("1.234.567", None, "1234567"),
            ("3,5", None, "3.5"),
            ("0,125", None, "0.125"),
            (".5", None, "0.5"),
            ("12,-", None, "12"),
            ("1234.567", None, "1234.567"),
            ("1.234", Some(Comma), "1234"),
            ("1.234", Some(Point), "1.234"),
            ("1,234", Some(Point), "1234"),
            ("10.00", Some(Comma), "10"),
            ("007", None, "7"),
        ];
        for (text, mark, expected) in cases {
            assert_eq!(Decimal::parse(text, mark).map(|n| n.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        use NumberError::{Ambiguous, NotANumber, TooLarge};
        let cases = [
            ("", NotANumber),
            ("ten", NotANumber),
            ("1,2,3", NotANumber),
            ("1.23.456", NotANumber),
            ("12.", NotANumber),
            ("1..2", NotANumber),
            ("--1", NotANumber),
            ("1e3", NotANumber),
            (" .", NotANumber),
            ("1.234", Ambiguous),
            ("12,345", Ambiguous),
            ("9999999999999999", TooLarge),
        ];
        for (text, expected) in cases {
            assert_eq!(Decimal::parse(text, None), Err(expected), "{text}");
        }
    }

    fn written(units: i64, mark: DecimalMark) -> String {
        let (group, decimal) = match mark {
            DecimalMark::Comma => ('.', ','),
            DecimalMark::Point => (',', '.'),
        };
        let whole = (units.abs() / 100).to_string();
        let mut text = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                text.push(group);
            }
            text.push(digit);
        }
        let sign = if units < 0 { "-" } else { "" };
        format!("{sign}{text}{decimal}{:02}", units.abs() % 100)
    }

    proptest! {
        #[test]
        fn an_amount_survives_being_written_in_either_style(units in -100_000_000_000i64..100_000_000_000) {
            for mark in [DecimalMark::Comma, DecimalMark::Point] {
                let text = written(units, mark);
                let number = Decimal::parse(&text, None).expect("two decimals are never ambiguous");
                prop_assert_eq!(number.to_hundredths(), Some(units), "{}", text);
                prop_assert_eq!(Decimal::evidence(&text), Some(mark));
            }
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,24}") {
            let _ = Decimal::parse(&text, None);
        }

        #[test]
        fn any_digits_and_marks_are_answered_and_plain_text_reads_back(text in "[-0-9., ']{0,20}") {
            if let Ok(number) = Decimal::parse(&text, Some(DecimalMark::Point)) {
                prop_assert_eq!(Decimal::parse(&number.to_string(), Some(DecimalMark::Point)), Ok(number));
            }
        }
    }
}
