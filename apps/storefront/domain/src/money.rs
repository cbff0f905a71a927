//! Money in whole minor units of one currency. Nothing here is a float: sums are exact, and the one place that has to
//! round, a share in basis points, says how.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A currency the shop takes. Each has a hundred minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// Euro.
    Eur,
    /// Pound sterling.
    Gbp,
    /// US dollar.
    Usd,
}

impl Currency {
    /// The ISO 4217 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Eur => "EUR",
            Self::Gbp => "GBP",
            Self::Usd => "USD",
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

/// Why an amount could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Two amounts of different currencies have no sum.
    #[error("cannot reckon {left} with {right}")]
    OtherCurrency {
        /// What was there.
        left: Currency,
        /// What came to it.
        right: Currency,
    },
    /// The amount has no representation.
    #[error("the amount is too large")]
    TooLarge,
    /// A text that is no amount of at most two decimals.
    #[error("`{text}` is not an amount")]
    NotAnAmount {
        /// The text as it came.
        text: String,
    },
}

/// A signed amount of money in minor units (cents).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money {
    /// What it is an amount of.
    pub currency: Currency,
    /// Hundredths of the currency.
    pub minor: i64,
}

impl Money {
    /// An amount of `minor` hundredths.
    #[must_use]
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { currency, minor }
    }

    /// Nothing, in a currency.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Reads `11.77`, `-3` or `0.5` exactly; a third decimal is refused, never rounded away.
    ///
    /// # Errors
    /// [`MoneyError::NotAnAmount`] or [`MoneyError::TooLarge`].
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let refuse = || MoneyError::NotAnAmount { text: text.to_owned() };
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) || part.len() > 2 {
            return Err(refuse());
        }
        let whole: i64 = whole.parse().map_err(|_| MoneyError::TooLarge)?;
        let cents: i64 = format!("{part:0<2}").parse().map_err(|_| refuse())?;
        let minor = whole.checked_mul(100).and_then(|minor| minor.checked_add(cents));
        minor.map(|minor| Self::new(sign * minor, currency)).ok_or(MoneyError::TooLarge)
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::OtherCurrency`] or [`MoneyError::TooLarge`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::OtherCurrency`] or [`MoneyError::TooLarge`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_sub)
    }

    /// The price of `quantity` pieces at this price.
    ///
    /// # Errors
    /// [`MoneyError::TooLarge`].
    pub fn times(self, quantity: u32) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(i64::from(quantity)).ok_or(MoneyError::TooLarge)?;
        Ok(Self { minor, ..self })
    }

    fn with(self, other: Self, reckon: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::OtherCurrency { left: self.currency, right: other.currency });
        }
        let minor = reckon(self.minor, other.minor).ok_or(MoneyError::TooLarge)?;
        Ok(Self { minor, ..self })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor < 0 { "-" } else { "" };
        let absolute = self.minor.unsigned_abs();
        write!(out, "{sign}{}.{:02} {}", absolute / 100, absolute % 100, self.currency)
    }
}

/// A share in hundredths of a percent: 250 is 2.5 %. Invariant: at most the whole (10,000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct BasisPoints(u16);

/// A share above the whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} basis points are more than the whole")]
pub struct ShareError(u16);

impl BasisPoints {
    /// The whole.
    pub const WHOLE: u16 = 10_000;

    /// A share.
    ///
    /// # Errors
    /// When it is more than the whole.
    pub fn new(share: u16) -> Result<Self, ShareError> {
        if share <= Self::WHOLE { Ok(Self(share)) } else { Err(ShareError(share)) }
    }

    /// This share of an amount, rounded **half to even** to a whole minor unit (IEEE 754's and bankers' rule): over
    /// many settlements the halves cancel out. The share of a negative amount is that of the positive one, negated.
    #[must_use]
    pub fn of(self, amount: Money) -> Money {
        let whole = i128::from(Self::WHOLE);
        let product = i128::from(amount.minor) * i128::from(self.0);
        let (floor, rest) = (product.div_euclid(whole), product.rem_euclid(whole));
        let up = match (2 * rest).cmp(&whole) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => floor.rem_euclid(2),
            std::cmp::Ordering::Greater => 1,
        };
        let minor = i64::try_from(floor + up).expect("a share is no larger than its whole");
        Money { minor, ..amount }
    }
}

impl TryFrom<u16> for BasisPoints {
    type Error = ShareError;

    fn try_from(share: u16) -> Result<Self, ShareError> {
        Self::new(share)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eur(minor: i64) -> Money {
        Money::new(minor, Currency::Eur)
    }

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        for (text, minor) in [("11.77", 1177), ("12.00", 1200), ("3", 300), ("0.5", 50), ("-1.05", -105)] {
            assert_eq!(Money::parse(text, Currency::Eur), Ok(eur(minor)), "{text}");
        }
        for text in ["", ".", "1.", ".5", "1.234", "1,50", "+1", "--1", "1e3", "NaN"] {
            assert!(
                matches!(Money::parse(text, Currency::Eur), Err(MoneyError::NotAnAmount { .. })),
                "{text}"
            );
        }
        assert_eq!(Money::parse("92233720368547758.08", Currency::Eur), Err(MoneyError::TooLarge));
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        let share = BasisPoints::new(5_000).unwrap();
        for (amount, half) in [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (-5, -2), (2, 1)] {
            assert_eq!(share.of(eur(amount)), eur(half), "half of {amount}");
        }
        assert_eq!(BasisPoints::new(250).unwrap().of(eur(9_999)), eur(250), "249.975 is nearer to 250");
        assert_eq!(BasisPoints::new(10_001), Err(ShareError(10_001)));
    }

    #[test]
    fn different_currencies_and_overflow_are_refused() {
        let pound = Money::new(1, Currency::Gbp);
        assert!(matches!(eur(1).plus(pound), Err(MoneyError::OtherCurrency { .. })));
        assert_eq!(eur(i64::MAX).plus(eur(1)), Err(MoneyError::TooLarge));
        assert_eq!(eur(i64::MAX).times(2), Err(MoneyError::TooLarge));
        assert_eq!(eur(-105).to_string(), "-1.05 EUR");
    }

    proptest! {
        #[test]
        fn a_share_is_within_half_a_unit_and_odd(minor in any::<i64>(), share in 0u16..=10_000) {
            prop_assume!(minor != i64::MIN);
            let share = BasisPoints::new(share).unwrap();
            let part = share.of(eur(minor)).minor;
            let off = i128::from(part) * 10_000 - i128::from(minor) * i128::from(share.0);
            prop_assert!(off.abs() <= 5_000);
            prop_assert_eq!(share.of(eur(-minor)).minor, -part);
        }

        #[test]
        fn what_is_written_is_read_back(minor in -1_000_000_000i64..1_000_000_000) {
            let text = eur(minor).to_string();
            let text = text.strip_suffix(" EUR").unwrap();
            prop_assert_eq!(Money::parse(text, Currency::Eur), Ok(eur(minor)));
        }
    }
}
