//! The shop's article codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An article code in its one spelling: trimmed, upper case, no blanks inside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sku(String);

impl Sku {
    /// The code in its one spelling. Any text has one; whether the shop sells it is the catalogue's to say.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.split_whitespace().collect::<String>().to_uppercase())
    }

    /// Whether a word has the shape of an article code: groups of letters and digits joined by dashes, a letter
    /// first and a digit somewhere (`TEA-100`, `mug-20-b`).
    #[must_use]
    pub fn is_shape_of(word: &str) -> bool {
        let mut groups = word.split('-');
        word.contains('-')
            && word.len() <= 32
            && word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().any(|b| b.is_ascii_digit())
            && groups.all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_alphanumeric()))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_told_from_words() {
        for shape in ["TEA-100", "tea-100", "MUG-20-B", "A-1"] {
            assert!(Sku::is_shape_of(shape), "{shape}");
        }
        for word in ["well-known", "10-pack", "2024-01-02", "TEA100", "TEA--1", "-1", "ÄB-1", ""] {
            assert!(!Sku::is_shape_of(word), "{word}");
        }
    }
}
