//! The languages that order forms are read in.

use serde::{Deserialize, Serialize};

use crate::number::DecimalMark;

/// A language an order form may be written in, or a customer be answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    En,
    /// German.
    De,
    /// French.
    Fr,
    /// Spanish.
    Es,
    /// Italian.
    It,
}

impl Language {
    /// Every language, in the order of preference when an order form fits several.
    pub const ALL: [Self; 5] = [Self::En, Self::De, Self::Fr, Self::Es, Self::It];

    /// The language of an ISO 639-1 code, if it is one of ours.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code().eq_ignore_ascii_case(code))
    }

    /// The ISO 639-1 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Es => "es",
            Self::It => "it",
        }
    }

    /// What its writers put before the decimals.
    #[must_use]
    pub fn decimal_mark(self) -> DecimalMark {
        match self {
            Self::En => DecimalMark::Point,
            Self::De | Self::Fr | Self::Es | Self::It => DecimalMark::Comma,
        }
    }
}
