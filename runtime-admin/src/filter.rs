//! The one small filter language of lists: `(state=dead OR state=parked) AND NOT scope:"store="`.
//!
//! ```text
//! filter     = [ either ]
//! either     = both { "OR" both }                 AND binds closer than OR
//! both       = term { "AND" term }
//! term       = "NOT" term | "(" either ")" | comparison
//! comparison = field ( "=" | "!=" | ":" ) value   "=" is equality, "!=" its negation, ":" a prefix
//!            | time ( "<" | "<=" | ">" | ">=" ) value      such as 2030-01-31T08:00:00Z
//! value      = word | '"' text '"'                in quotes, \" and \\ stand for themselves
//! ```
//!
//! A word ends at white space, a quote or a parenthesis. What is absent fits no comparison: a task without a tenant fits `tenant!=acme` as it
//! fits `NOT tenant=acme`. Which fields there are, and what they are compared with, is said by a table ([`Field`]); what comes out is an
//! expression that the stores evaluate.

mod reader;
mod tasks;

use jiff::{SignedDuration, Timestamp};
use runtime_core::store::{Expr, TimeTest};

use reader::Reader;
pub(crate) use tasks::tasks;

/// Longest filter in bytes.
const MAX_BYTES: usize = 2_048;

/// Most comparisons of one filter: a store looks at every one of them for every task.
const MAX_COMPARISONS: usize = 100;

/// Most parentheses and NOTs within each other.
const MAX_DEPTH: usize = 16;

/// A table of fields that a list can be filtered by.
pub(crate) trait Field: Copy + 'static {
    /// What a store evaluates.
    type Test;

    /// Every field by its name.
    const ALL: &'static [(&'static str, Self)];

    /// Whether it is a time: compared by order, never as a text.
    fn is_time(self) -> bool;

    /// The comparison of this field. What does not fit is told; the language adds the column.
    fn test(self, value: Value<'_>) -> Result<Self::Test, String>;
}

/// What a field is compared with. A time field gets times, another one texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// It is this one.
    Is(&'a str),
    /// It begins so.
    Begins(&'a str),
    /// It is before, or not before, a moment.
    Time(TimeTest),
}

/// Where a filter stops making sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub(crate) struct FilterError {
    /// Counted in characters, from 1.
    column: usize,
    what: String,
}

/// Reads a filter over the fields of a table; `None` when it is empty, and so takes all.
pub(crate) fn parse<F: Field>(text: &str) -> Result<Option<Expr<F::Test>>, FilterError> {
    let mut reader = Reader::new(text);
    if text.len() > MAX_BYTES {
        return Err(reader.error(format!("a filter has at most {MAX_BYTES} bytes")));
    }
    reader.skip_space();
    if reader.is_at_end() {
        return Ok(None);
    }
    let mut parser = Parser::<F> { reader, comparisons: 0, depth: 0, fields: std::marker::PhantomData };
    let expr = parser.either()?;
    if parser.reader.is_at_end() { Ok(Some(expr)) } else { Err(parser.reader.expected("AND or OR")) }
}

/// Goes down the grammar, one method a rule. Each leaves the reader behind white space.
struct Parser<'a, F> {
    reader: Reader<'a>,
    comparisons: usize,
    depth: usize,
    fields: std::marker::PhantomData<F>,
}

impl<F: Field> Parser<'_, F> {
    fn either(&mut self) -> Result<Expr<F::Test>, FilterError> {
        let mut parts = vec![self.both()?];
        while self.reader.takes("OR") {
            parts.push(self.both()?);
        }
        Ok(joined(parts, Expr::Any))
    }

    fn both(&mut self) -> Result<Expr<F::Test>, FilterError> {
        let mut parts = vec![self.term()?];
        while self.reader.takes("AND") {
            parts.push(self.term()?);
        }
        Ok(joined(parts, Expr::All))
    }

    fn term(&mut self) -> Result<Expr<F::Test>, FilterError> {
        let start = self.reader.at();
        if self.reader.takes("NOT") {
            return self.deeper(start, Self::term).map(|part| !part);
        }
        if !self.reader.takes_sign("(") {
            return self.comparison();
        }
        let inner = self.deeper(start, Self::either)?;
        if self.reader.takes_sign(")") {
            Ok(inner)
        } else if self.reader.is_at_end() {
            Err(self.reader.error_at(start, "the parenthesis is not closed"))
        } else {
            Err(self.reader.expected("AND, OR or ')'"))
        }
    }

    fn deeper<T>(
        &mut self,
        start: usize,
        rule: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        if self.depth == MAX_DEPTH {
            let what = format!("at most {MAX_DEPTH} parentheses and NOTs within each other");
            return Err(self.reader.error_at(start, what));
        }
        self.depth += 1;
        let read = rule(self);
        self.depth -= 1;
        read
    }

    fn comparison(&mut self) -> Result<Expr<F::Test>, FilterError> {
        let start = self.reader.at();
        let field = self.reader.field(F::ALL)?;
        self.comparisons += 1;
        if self.comparisons > MAX_COMPARISONS {
            let what = format!("a filter has at most {MAX_COMPARISONS} comparisons");
            return Err(self.reader.error_at(start, what));
        }
        let sign = self.reader.sign(field.is_time())?;
        let start = self.reader.at();
        let value = self.reader.value()?;
        let wrong = |what: String| self.reader.error_at(start, format!("{value:?}: {what}"));
        let value_of_field = match sign {
            "=" | "!=" => Value::Is(&value),
            ":" => Value::Begins(&value),
            order => Value::Time(time(order, &value).map_err(wrong)?),
        };
        let is = Expr::Is(field.test(value_of_field).map_err(wrong)?);
        self.reader.skip_space();
        Ok(if sign == "!=" { !is } else { is })
    }
}

fn joined<T>(mut parts: Vec<Expr<T>>, join: impl FnOnce(Vec<Expr<T>>) -> Expr<T>) -> Expr<T> {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}

/// A store compares by "from a moment on" and "before one", so the other two begin right after it.
fn time(sign: &str, value: &str) -> Result<TimeTest, String> {
    let at: Timestamp = value.parse().map_err(|error: jiff::Error| error.to_string())?;
    let right_after = || at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX);
    Ok(match sign {
        ">=" => TimeTest::Since(at),
        ">" => TimeTest::Since(right_after()),
        "<" => TimeTest::Before(at),
        _ => TimeTest::Before(right_after()),
    })
}

/// One of a few values that have names.
pub(crate) fn one_of<T: Copy>(
    values: &[T],
    name: impl Fn(T) -> &'static str,
    what: &str,
    value: Value<'_>,
) -> Result<Vec<T>, String> {
    let fits = |known: &T| match value {
        Value::Is(text) => name(*known) == text,
        Value::Begins(prefix) => name(*known).starts_with(prefix),
        Value::Time(_) => false,
    };
    let fitting: Vec<T> = values.iter().copied().filter(fits).collect();
    if fitting.is_empty() {
        let names: Vec<&str> = values.iter().map(|value| name(*value)).collect();
        return Err(format!("the {what} are {}", names.join(", ")));
    }
    Ok(fitting)
}
