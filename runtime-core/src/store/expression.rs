//! Comparisons joined by AND, OR and NOT. What is compared, and with what, is another's matter: tasks, events and the audit log each have
//! comparisons of their own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Comparisons, joined. Each holds or does not hold: what is absent fits no comparison, and so fits the negation of every one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expr<T> {
    /// Every one holds. Of none: always.
    All(Vec<Self>),
    /// At least one holds. Of none: never.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// One comparison.
    Is(T),
}

impl<T> Expr<T> {
    /// Whether it holds, given which comparisons do.
    pub fn holds(&self, is: &impl Fn(&T) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(is)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(is)),
            Self::Not(part) => !part.holds(is),
            Self::Is(comparison) => is(comparison),
        }
    }

    /// Whether it holds, as far as that follows from the comparisons that are decided; `None` when it hangs on the others.
    pub fn decided(&self, is: &impl Fn(&T) -> Option<bool>) -> Option<bool> {
        // One part may decide for all of them; without that, every part has to be known.
        let joined = |parts: &[Self], decisive: bool| {
            let mut answer = Some(!decisive);
            for part in parts {
                match part.decided(is) {
                    Some(known) if known == decisive => return Some(decisive),
                    Some(_) => {}
                    None => answer = None,
                }
            }
            answer
        };
        match self {
            Self::All(parts) => joined(parts, false),
            Self::Any(parts) => joined(parts, true),
            Self::Not(part) => part.decided(is).map(|known| !known),
            Self::Is(comparison) => is(comparison),
        }
    }
}

impl<T> std::ops::Not for Expr<T> {
    type Output = Self;

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

/// How a text is compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextTest {
    /// It is this one.
    Is(String),
    /// It begins so.
    Begins(String),
}

/// How a moment is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeTest {
    /// At this time or later.
    Since(Timestamp),
    /// Before this time.
    Before(Timestamp),
}

impl TextTest {
    /// Whether a text fits.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Is(wanted) => text == wanted,
            Self::Begins(prefix) => text.starts_with(prefix.as_str()),
        }
    }
}

impl TimeTest {
    /// Whether a moment fits.
    pub fn fits(self, at: Timestamp) -> bool {
        match self {
            Self::Since(since) => at >= since,
            Self::Before(until) => at < until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way to join up to so many levels of these.
    fn expressions(depth: usize) -> Vec<Expr<usize>> {
        let leaves: Vec<_> = (0..3).map(Expr::Is).collect();
        if depth == 0 {
            return leaves;
        }
        let parts = expressions(depth - 1);
        let negated = parts.iter().cloned().map(|part| !part);
        let pairs = parts.iter().flat_map(|a| parts.iter().map(|b| vec![a.clone(), b.clone()]));
        let joined = pairs.flat_map(|pair| [Expr::All(pair.clone()), Expr::Any(pair)]);
        leaves.into_iter().chain(negated).chain(joined).collect()
    }

    #[test]
    fn what_is_decided_holds_whatever_the_rest_is() {
        let worlds = (0..8_usize).map(|bits| [0, 1, 2].map(|n| bits & (1 << n) != 0));
        for expression in expressions(2) {
            for world in worlds.clone() {
                let holds = expression.holds(&|n| world[*n]);
                assert_eq!(expression.decided(&|n| Some(world[*n])), Some(holds), "{expression:?}");
                let partly = expression.decided(&|n| (*n != 0).then_some(world[*n]));
                assert!(partly.is_none_or(|known| known == holds), "{expression:?} {world:?}");
            }
        }
        let nothing_known = |_: &usize| None;
        assert_eq!(Expr::All(vec![]).decided(&nothing_known), Some(true));
        assert_eq!(Expr::Any(vec![]).decided(&nothing_known), Some(false));
        assert!(!Expr::Any(vec![]).holds(&|_: &usize| true));
    }
}
