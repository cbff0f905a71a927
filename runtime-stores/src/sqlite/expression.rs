//! Expressions as SQL: what holds of a task holds of its row.
//!
//! Comparisons are two-valued in a filter and three-valued in SQL, so each of them is written so that it is never NULL: only then does NOT
//! mean the same in both.

use runtime_core::store::{Expr, TextTest, TimeTest};
use rusqlite::types::Value;
use rusqlite::{Params, Statement, params_from_iter};

use crate::content::millis_up;

/// What is bound to the marks of a statement.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(Vec<Value>);

impl Values {
    /// The mark of a number.
    pub(super) fn number(&mut self, number: i64) -> String {
        self.mark(Value::Integer(number))
    }

    /// The mark of a text.
    pub(super) fn text(&mut self, text: &str) -> String {
        self.mark(Value::Text(text.to_owned()))
    }

    /// The mark of a text, or of none.
    pub(super) fn maybe_text(&mut self, text: Option<&str>) -> String {
        self.mark(text.map_or(Value::Null, |text| Value::Text(text.to_owned())))
    }

    fn mark(&mut self, value: Value) -> String {
        self.0.push(value);
        format!("?{}", self.0.len())
    }

    /// The mark of one that is bound later.
    pub(super) fn next(&self) -> String {
        format!("?{}", self.0.len() + 1)
    }

    /// Binds all of them, and leaves place for another: which it is.
    pub(super) fn bind(&self, statement: &mut Statement<'_>) -> rusqlite::Result<usize> {
        (1..).zip(&self.0).try_for_each(|(place, value)| statement.raw_bind_parameter(place, value))?;
        Ok(self.0.len() + 1)
    }

    /// All of them.
    pub(super) fn bound(&self) -> impl Params + '_ {
        params_from_iter(&self.0)
    }
}

/// An expression as a condition, in parentheses where it needs them.
pub(super) fn condition_of<T>(expr: &Expr<T>, is: &mut impl FnMut(&T) -> String) -> String {
    let mut joined = |parts: &[Expr<T>], word: &str, of_none: &str| match parts {
        [] => of_none.to_owned(),
        [part] => condition_of(part, is),
        parts => {
            let parts: Vec<String> = parts.iter().map(|part| condition_of(part, is)).collect();
            format!("({})", parts.join(word))
        }
    };
    match expr {
        Expr::All(parts) => joined(parts, " AND ", "1"),
        Expr::Any(parts) => joined(parts, " OR ", "0"),
        Expr::Not(part) => format!("NOT {}", condition_of(part, is)),
        Expr::Is(test) => format!("({})", is(test)),
    }
}

/// The condition of a column that may be absent. A prefix is a range, which an index can be searched by: texts stand in the order of their
/// bytes, and so of their characters.
pub(super) fn text_condition(column: &str, test: &TextTest, values: &mut Values) -> String {
    match test {
        TextTest::Is(text) => format!("{column} IS {}", values.text(text)),
        TextTest::Begins(prefix) => {
            let from = values.text(prefix);
            let until = match right_after(prefix) {
                Some(end) => format!(" AND {column} < {}", values.text(&end)),
                None => String::new(),
            };
            format!("{column} IS NOT NULL AND {column} >= {from}{until}")
        }
    }
}

/// The condition of a column of moments. Whole milliseconds are at or after a moment exactly when they are at or after it rounded up.
pub(super) fn time_condition(column: &str, test: TimeTest, values: &mut Values) -> String {
    match test {
        TimeTest::Since(at) => format!("{column} >= {}", values.number(millis_up(at))),
        TimeTest::Before(at) => format!("{column} < {}", values.number(millis_up(at))),
    }
}

/// The first text that comes behind every text with this prefix; `None` when there is none.
pub(super) fn right_after(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The next character there is: some numbers in between are none.
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_text_begins() {
        for (prefix, end) in [
            ("store=", Some("store>")),
            ("a", Some("b")),
            ("", None),
            ("\u{d7ff}", Some("\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(right_after(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
