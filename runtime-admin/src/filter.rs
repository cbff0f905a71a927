//! The small filter language of lists: `state=parked AND scope:"store="`.
//!
//! ```text
//! filter     = [ comparison { "AND" comparison } ]
//! comparison = field ( "=" | ":" ) value        "=" is equality, ":" a prefix
//! field      = state | app | queue | handler | tenant | scope | code
//! value      = word | '"' text '"'               in quotes, \" and \\ stand for themselves
//! ```
//!
//! Equality, and a prefix of a state, is what a store selects by. Other prefixes are looked at task by task afterwards.

use std::fmt;
use std::str::FromStr;

use runtime_core::error::ErrorCode;
use runtime_core::store::TaskFilter;
use runtime_core::task::{Task, TaskState};

/// Longest filter in bytes.
const MAX_FILTER_BYTES: usize = 2_048;

/// A parsed filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// What the store selects.
    pub(crate) select: TaskFilter,
    /// What is looked at afterwards: every one must fit.
    prefixes: Vec<(Field, String)>,
}

impl Filter {
    /// Whether a task that the store selected fits the rest of the filter.
    pub(crate) fn keeps(&self, task: &Task) -> bool {
        self.prefixes
            .iter()
            .all(|(field, prefix)| field.of(task).is_some_and(|value| value.starts_with(prefix)))
    }
}

/// Where a filter stops making sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub(crate) struct FilterError {
    /// Counted in characters, from 1.
    column: usize,
    what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    State,
    App,
    Queue,
    Handler,
    Tenant,
    Scope,
    Code,
}

impl Field {
    const ALL: [(&'static str, Self); 7] = [
        ("state", Self::State),
        ("app", Self::App),
        ("queue", Self::Queue),
        ("handler", Self::Handler),
        ("tenant", Self::Tenant),
        ("scope", Self::Scope),
        ("code", Self::Code),
    ];

    fn of(self, task: &Task) -> Option<&str> {
        match self {
            Self::State => Some(task.state.as_str()),
            Self::App => Some(task.route.app.as_str()),
            Self::Queue => Some(task.route.queue.as_str()),
            Self::Handler => Some(task.route.handler.as_str()),
            Self::Tenant => task.tenant.as_ref().map(|tenant| tenant.as_str()),
            Self::Scope => task.scope.as_ref().map(|scope| scope.as_str()),
            Self::Code => task.last_error.as_ref().map(|error| error.code.as_str()),
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut reader = Reader { text, at: 0 };
        if text.len() > MAX_FILTER_BYTES {
            return Err(reader.error(format!("a filter has at most {MAX_FILTER_BYTES} bytes")));
        }
        let mut filter = Self::default();
        reader.skip_space();
        while !reader.is_at_end() {
            reader.comparison(&mut filter)?;
            reader.skip_space();
            if reader.is_at_end() {
                break;
            }
            reader.and()?;
        }
        Ok(filter)
    }
}

/// Reads a filter from left to right; `at` is a byte offset on a character boundary.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn comparison(&mut self, filter: &mut Filter) -> Result<(), FilterError> {
        let start = self.at;
        let word = self.word();
        let Some((_, field)) = Field::ALL.into_iter().find(|(name, _)| *name == word) else {
            let known = Field::ALL.map(|(name, _)| name).join(", ");
            return Err(self.error_at(
                start,
                format!("expected a field ({known}), found {}", found(&word, self.rest())),
            ));
        };
        self.skip_space();
        let equal = match self.rest().chars().next() {
            Some('=') => true,
            Some(':') => false,
            _ => return Err(self.error(format!("expected '=' or ':' after {word}"))),
        };
        self.at += 1;
        self.skip_space();
        let start = self.at;
        let value = self.value()?;
        match (field, equal) {
            (_, true) => select(&mut filter.select, field, &value),
            (Field::State, false) => select_states(&mut filter.select, |state| state.starts_with(&value)),
            (_, false) => {
                filter.prefixes.push((field, value.clone()));
                Ok(())
            }
        }
        .map_err(|what| self.error_at(start, format!("{value:?}: {what}")))
    }

    fn and(&mut self) -> Result<(), FilterError> {
        let start = self.at;
        let word = self.word();
        if word != "AND" {
            return Err(self.error_at(start, format!("expected AND, found {}", found(&word, self.rest()))));
        }
        self.skip_space();
        if self.is_at_end() { Err(self.error("expected a comparison after AND")) } else { Ok(()) }
    }

    fn value(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
        let value = rest[..end].to_owned();
        self.at += end;
        if value.is_empty() { Err(self.error_at(start, "expected a value")) } else { Ok(value) }
    }

    fn quoted(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        let mut value = String::new();
        let mut characters = self.text[start + 1..].char_indices();
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at = start + 1 + offset + 1;
                    return Ok(value);
                }
                '\\' => match characters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                    _ => return Err(self.error_at(start + 1 + offset, "only \\\" and \\\\ can be escaped")),
                },
                other => value.push(other),
            }
        }
        Err(self.error_at(start, "the quote is not closed"))
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn error(&self, what: impl Into<String>) -> FilterError {
        self.error_at(self.at, what)
    }

    fn error_at(&self, at: usize, what: impl Into<String>) -> FilterError {
        FilterError { column: self.text[..at].chars().count() + 1, what: what.into() }
    }
}

fn select(filter: &mut TaskFilter, field: Field, value: &str) -> Result<(), String> {
    match field {
        Field::State => select_states(filter, |state| state == value),
        Field::App => set(&mut filter.app, "app", value),
        Field::Queue => set(&mut filter.queue, "queue", value),
        Field::Handler => set(&mut filter.handler, "handler", value),
        Field::Tenant => set(&mut filter.tenant, "tenant", value),
        Field::Scope => set(&mut filter.scope, "scope", value),
        Field::Code => {
            let by_name = ErrorCode::ALL.iter().find(|code| code.name() == value);
            set(&mut filter.code, "code", by_name.map_or(value, |code| code.as_str()))
        }
    }
}

fn select_states(filter: &mut TaskFilter, fits: impl Fn(&str) -> bool) -> Result<(), String> {
    let states: Vec<TaskState> = TaskState::ALL.into_iter().filter(|state| fits(state.as_str())).collect();
    if states.is_empty() {
        Err(format!("the states are {}", TaskState::ALL.map(TaskState::as_str).join(", ")))
    } else if filter.states.is_empty() {
        filter.states = states;
        Ok(())
    } else {
        Err("state is compared twice".into())
    }
}

fn set<T: FromStr<Err: fmt::Display>>(slot: &mut Option<T>, name: &str, value: &str) -> Result<(), String> {
    let value = value.parse().map_err(|error: T::Err| error.to_string())?;
    if slot.replace(value).is_some() { Err(format!("{name} is compared twice")) } else { Ok(()) }
}

fn found(word: &str, rest: &str) -> String {
    match (word, rest.chars().next()) {
        ("", None) => "the end".into(),
        ("", Some(character)) => format!("{character:?}"),
        (word, _) => format!("{word:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Filter, FilterError> {
        text.parse()
    }

    #[test]
    fn comparisons_become_what_the_store_selects() {
        let filter =
            parse(" state=parked AND app=shop AND queue=mail AND handler = take-in AND tenant=acme").unwrap();
        assert_eq!(filter.select.states, [TaskState::Parked]);
        assert_eq!(filter.select.app.unwrap().as_str(), "shop");
        assert_eq!(filter.select.queue.unwrap().as_str(), "mail");
        assert_eq!(filter.select.handler.unwrap().as_str(), "take-in");
        assert_eq!(filter.select.tenant.unwrap().as_str(), "acme");
        assert_eq!(parse("code=poison").unwrap().select.code, Some(ErrorCode::Poison));
        assert_eq!(parse("code=RT0008").unwrap().select.code, Some(ErrorCode::Poison));
        assert_eq!(parse("").unwrap(), Filter::default());
    }

    #[test]
    fn values_hold_anything_in_quotes() {
        let filter = parse(r#"scope="store=42 \"main\" \\" AND state:d"#).unwrap();
        assert_eq!(filter.select.scope.unwrap().as_str(), r#"store=42 "main" \"#);
        assert_eq!(filter.select.states, [TaskState::Done, TaskState::Dead]);
        assert_eq!(parse("scope=store=42").unwrap().select.scope.unwrap().as_str(), "store=42");
    }

    #[test]
    fn an_error_names_the_column() {
        for (text, column) in [
            ("colour=red", 1),
            ("state", 6),
            ("state=", 7),
            ("state=lost", 7),
            ("state:x", 7),
            ("state=done OR app=a", 12),
            ("state=done AND", 15),
            ("state=done AND state=dead", 22),
            ("app=Shop", 5),
            ("code=RT9999", 6),
            (r#"scope="open"#, 7),
            (r#"scope="a\n""#, 9),
            ("tenant=\"ü\" AND =", 16),
        ] {
            assert_eq!(parse(text).expect_err(text).column, column, "{text}");
        }
        assert!(parse(&format!("scope={}", "x".repeat(3_000))).is_err());
    }
}
