//! The small filter language of lists: `state=parked AND scope:"store="`.
//!
//! ```text
//! filter     = [ comparison { "AND" comparison } ]
//! comparison = field ( "=" | ":" ) value        "=" is equality, ":" a prefix
//!            | time ( "<" | "<=" | ">" | ">=" ) value
//! field      = state | app | queue | handler | tenant | scope | code | class
//! time       = created | finished               such as 2030-01-31T08:00:00Z
//! value      = word | '"' text '"'               in quotes, \" and \\ stand for themselves
//! ```
//!
//! Equality, a prefix of a state, and times are what a store selects by. Other prefixes are looked at task by task afterwards.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use runtime_core::error::{ErrorClass, ErrorCode};
use runtime_core::store::TaskFilter;
use runtime_core::task::{Task, TaskState};

/// Longest filter in bytes.
const MAX_FILTER_BYTES: usize = 2_048;

/// The classes of errors.
const CLASSES: [ErrorClass; 5] = [
    ErrorClass::Retryable,
    ErrorClass::Permanent,
    ErrorClass::InvalidRequest,
    ErrorClass::InvalidOutput,
    ErrorClass::NeedsHuman,
];

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

    /// What the store selects, when that is the whole filter.
    pub(crate) fn whole(self) -> Option<TaskFilter> {
        self.prefixes.is_empty().then_some(self.select)
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
    Class,
    Created,
    Finished,
}

/// How a field is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Prefix,
    Before,
    BeforeOrAt,
    After,
    AtOrAfter,
}

impl Comparison {
    /// Longer ones before those that they begin with.
    const ALL: [(&'static str, Self); 6] = [
        ("<=", Self::BeforeOrAt),
        (">=", Self::AtOrAfter),
        ("<", Self::Before),
        (">", Self::After),
        ("=", Self::Equal),
        (":", Self::Prefix),
    ];

    fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::Prefix)
    }
}

impl Field {
    const ALL: [(&'static str, Self); 10] = [
        ("state", Self::State),
        ("app", Self::App),
        ("queue", Self::Queue),
        ("handler", Self::Handler),
        ("tenant", Self::Tenant),
        ("scope", Self::Scope),
        ("code", Self::Code),
        ("class", Self::Class),
        ("created", Self::Created),
        ("finished", Self::Finished),
    ];

    fn is_time(self) -> bool {
        matches!(self, Self::Created | Self::Finished)
    }

    fn of(self, task: &Task) -> Option<&str> {
        match self {
            Self::State => Some(task.state.as_str()),
            Self::App => Some(task.route.app.as_str()),
            Self::Queue => Some(task.route.queue.as_str()),
            Self::Handler => Some(task.route.handler.as_str()),
            Self::Tenant => task.tenant.as_ref().map(|tenant| tenant.as_str()),
            Self::Scope => task.scope.as_ref().map(|scope| scope.as_str()),
            Self::Code => task.last_error.as_ref().map(|error| error.code.as_str()),
            Self::Class => task.last_error.as_ref().map(|error| error.code.class().as_str()),
            Self::Created | Self::Finished => None,
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut filter = Self::default();
        comparisons(text, &Field::ALL, Field::is_time, |field, comparison, value| {
            match (field, comparison) {
                (Field::Created | Field::Finished, _) => {
                    compare(&mut filter.select, field, comparison, value)
                }
                (Field::State, Comparison::Prefix) => {
                    select_states(&mut filter.select, |state| state.starts_with(value))
                }
                (_, Comparison::Prefix) => {
                    filter.prefixes.push((field, value.to_owned()));
                    Ok(())
                }
                (_, _) => select(&mut filter.select, field, value),
            }
        })?;
        Ok(filter)
    }
}

/// Reads a filter over these fields, and hands each comparison on; what it does not fit is told with its column.
pub(crate) fn comparisons<F: Copy>(
    text: &str,
    fields: &[(&'static str, F)],
    is_time: impl Fn(F) -> bool,
    mut take: impl FnMut(F, Comparison, &str) -> Result<(), String>,
) -> Result<(), FilterError> {
    let mut reader = Reader { text, at: 0 };
    if text.len() > MAX_FILTER_BYTES {
        return Err(reader.error(format!("a filter has at most {MAX_FILTER_BYTES} bytes")));
    }
    reader.skip_space();
    while !reader.is_at_end() {
        let (field, comparison) = reader.field(fields, &is_time)?;
        reader.skip_space();
        let start = reader.at;
        let value = reader.value()?;
        take(field, comparison, &value)
            .map_err(|what| reader.error_at(start, format!("{value:?}: {what}")))?;
        reader.skip_space();
        if reader.is_at_end() {
            break;
        }
        reader.and()?;
    }
    Ok(())
}

/// Reads a filter from left to right; `at` is a byte offset on a character boundary.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn field<F: Copy>(
        &mut self,
        fields: &[(&'static str, F)],
        is_time: impl Fn(F) -> bool,
    ) -> Result<(F, Comparison), FilterError> {
        let start = self.at;
        let word = self.word();
        let Some((_, field)) = fields.iter().find(|(name, _)| *name == word) else {
            let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
            let found = found(&word, self.rest());
            return Err(
                self.error_at(start, format!("expected a field ({}), found {found}", known.join(", ")))
            );
        };
        self.skip_space();
        let expected = if is_time(*field) { "'<', '<=', '>' or '>='" } else { "'=' or ':'" };
        let comparison = Comparison::ALL.into_iter().find(|(sign, comparison)| {
            self.rest().starts_with(sign) && comparison.orders() == is_time(*field)
        });
        let Some((sign, comparison)) = comparison else {
            return Err(self.error(format!("expected {expected} after {word}")));
        };
        self.at += sign.len();
        Ok((*field, comparison))
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
        Field::Class => {
            let class = CLASSES.into_iter().find(|class| class.as_str() == value);
            let class = class
                .ok_or_else(|| format!("the classes are {}", CLASSES.map(ErrorClass::as_str).join(", ")))?;
            once(&mut filter.error_class, "class", class)
        }
        Field::Created | Field::Finished => Err("a time is compared by '<', '<=', '>' or '>='".into()),
    }
}

/// A bound of a time. A store selects from a moment on and up to before one, so the other two begin right after it.
pub(crate) fn bound(
    since: &mut Option<Timestamp>,
    until: &mut Option<Timestamp>,
    name: &str,
    comparison: Comparison,
    at: Timestamp,
) -> Result<(), String> {
    let right_after = at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX);
    match comparison {
        Comparison::AtOrAfter => once(since, name, at),
        Comparison::After => once(since, name, right_after),
        Comparison::Before => once(until, name, at),
        Comparison::BeforeOrAt => once(until, name, right_after),
        Comparison::Equal | Comparison::Prefix => Err("a time is no text".into()),
    }
}

fn compare(filter: &mut TaskFilter, field: Field, comparison: Comparison, value: &str) -> Result<(), String> {
    let at: Timestamp = value.parse().map_err(|error: jiff::Error| error.to_string())?;
    let (since, until, name) = match field {
        Field::Finished => (&mut filter.finished_since, &mut filter.finished_until, "finished"),
        _ => (&mut filter.created_since, &mut filter.created_until, "created"),
    };
    bound(since, until, name, comparison, at)
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

pub(crate) fn set<T: FromStr<Err: fmt::Display>>(
    slot: &mut Option<T>,
    name: &str,
    value: &str,
) -> Result<(), String> {
    once(slot, name, value.parse().map_err(|error: T::Err| error.to_string())?)
}

pub(crate) fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), String> {
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
    fn times_are_bounds_and_classes_are_names() {
        let filter =
            parse("created>=2030-01-31T08:00:00Z AND created < 2030-02-01T00:00:00Z AND class=needs_human")
                .unwrap();
        assert_eq!(filter.select.created_since, Some("2030-01-31T08:00:00Z".parse().unwrap()));
        assert_eq!(filter.select.created_until, Some("2030-02-01T00:00:00Z".parse().unwrap()));
        assert_eq!(filter.select.error_class, Some(ErrorClass::NeedsHuman));
        let filter = parse("finished>2030-01-31T08:00:00Z AND finished<=\"2030-01-31 08:00:00Z\"").unwrap();
        let right_after = Some("2030-01-31T08:00:00.000000001Z".parse().unwrap());
        assert_eq!((filter.select.finished_since, filter.select.finished_until), (right_after, right_after));
        for class in CLASSES {
            assert_eq!(parse(&format!("class={}", class.as_str())).unwrap().select.error_class, Some(class));
        }
        assert!(parse("scope:store=").unwrap().whole().is_none());
        assert!(parse("scope=store=1 AND state:de").unwrap().whole().is_some());
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
            ("class=odd", 7),
            ("created=2030-01-31T08:00:00Z", 8),
            ("created<soon", 9),
            ("app<shop", 4),
            ("finished<2030-01-31T08:00:00Z AND finished<=2031-01-31T08:00:00Z", 45),
        ] {
            assert_eq!(parse(text).expect_err(text).column, column, "{text}");
        }
        assert!(parse(&format!("scope={}", "x".repeat(3_000))).is_err());
    }
}
