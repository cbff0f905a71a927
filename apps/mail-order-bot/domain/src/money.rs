//! Money in whole minor units of one currency.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::number::DecimalMark;

/// A currency prices are stated in. Each has a hundred minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// Euro.
    Eur,
    /// US dollar.
    Usd,
    /// Pound sterling.
    Gbp,
    /// Swiss franc.
    Chf,
}

impl Currency {
    /// The ISO 4217 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Eur => "EUR",
            Self::Usd => "USD",
            Self::Gbp => "GBP",
            Self::Chf => "CHF",
        }
    }

    /// The currency a word or sign stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_lowercase().as_str() {
            "eur" | "euro" | "euros" | "€" => Some(Self::Eur),
            "usd" | "dollar" | "dollars" | "us$" | "$" => Some(Self::Usd),
            "gbp" | "pound" | "pounds" | "£" => Some(Self::Gbp),
            "chf" | "sfr" | "sfr." | "fr." => Some(Self::Chf),
            _ => None,
        }
    }

    /// Splits the currency off a written amount: `3,50 €`, `EUR 3.50`, `€3.50`. The rest is returned trimmed.
    #[must_use]
    pub fn split(text: &str) -> (&str, Option<Self>) {
        let text = text.trim();
        let is_mark = |c: char| c.is_alphabetic() || "€$£".contains(c);
        let tail_start = text.trim_end_matches(is_mark).len();
        if let Some(currency) = Self::from_word(&text[tail_start..]) {
            return (text[..tail_start].trim_end(), Some(currency));
        }
        let head = &text[..text.len() - text.trim_start_matches(is_mark).len()];
        match Self::from_word(head) {
            Some(currency) => (text[head.len()..].trim_start(), Some(currency)),
            None => (text, None),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

/// An amount of money in minor units (cents).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Hundredths of the currency.
    pub minor: i64,
    /// What it is an amount of.
    pub currency: Currency,
}

impl Money {
    /// An amount of `minor` hundredths.
    #[must_use]
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// The price of `quantity` units at this price; `None` when it has no representation.
    #[must_use]
    pub fn times(self, quantity: u32) -> Option<Self> {
        self.minor.checked_mul(i64::from(quantity)).map(|minor| Self { minor, ..self })
    }

    /// The sum; `None` when the currencies differ or it has no representation.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        self.minor.checked_add(other.minor).map(|minor| Self { minor, ..self })
    }

    /// As a reader of `language` writes it: `1.234,50 EUR` or `1,234.50 EUR`.
    #[must_use]
    pub fn to_text(self, language: Language) -> String {
        let (group, decimal) = match language.decimal_mark() {
            DecimalMark::Comma => ('.', ','),
            DecimalMark::Point => (',', '.'),
        };
        let absolute = self.minor.unsigned_abs();
        let whole = (absolute / 100).to_string();
        let mut text = String::from(if self.minor < 0 { "-" } else { "" });
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                text.push(group);
            }
            text.push(digit);
        }
        format!("{text}{decimal}{:02} {}", absolute % 100, self.currency)
    }
}

/// Plain notation with a point, as programs write it.
impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor < 0 { "-" } else { "" };
        let absolute = self.minor.unsigned_abs();
        write!(out, "{sign}{}.{:02} {}", absolute / 100, absolute % 100, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_currency_is_split_off_on_either_side() {
        let cases = [
            ("3,50 €", "3,50", Some(Currency::Eur)),
            ("€3.50", "3.50", Some(Currency::Eur)),
            ("EUR 3.50", "3.50", Some(Currency::Eur)),
            ("3.50", "3.50", None),
            ("3.50 USD", "3.50", Some(Currency::Usd)),
            ("12 apples", "12 apples", None),
            ("€", "", Some(Currency::Eur)),
        ];
        for (text, rest, currency) in cases {
            assert_eq!(Currency::split(text), (rest, currency), "{text}");
        }
    }

    #[test]
    fn an_amount_is_written_in_the_readers_way() {
        let amount = Money::new(123_456_750, Currency::Eur);
        assert_eq!(amount.to_text(Language::De), "1.234.567,50 EUR");
        assert_eq!(amount.to_text(Language::En), "1,234,567.50 EUR");
        assert_eq!(Money::new(-5, Currency::Eur).to_string(), "-0.05 EUR");
    }

    #[test]
    fn sums_never_mix_currencies_and_never_wrap() {
        let euro = Money::new(i64::MAX, Currency::Eur);
        assert_eq!(euro.plus(Money::new(1, Currency::Eur)), None);
        assert_eq!(euro.plus(Money::new(0, Currency::Usd)), None);
        assert_eq!(euro.times(2), None);
    }
}
