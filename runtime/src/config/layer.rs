//! The layers a configuration is made of, lowest first: defaults, file, environment, `--set`. A layer knows its values
//! and where each of them stands.

use std::fs;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map as Profiles};
use figment::{Metadata, Profile, Provider};
use serde::Serialize;
use serde_json::{Map, Value};
use toml_edit::{Document, Item, Key};

use super::shape::Shape;
use super::{ConfigProblem, KeyPath, Origin, text};

/// What an environment variable that belongs to the configuration begins with; two underscores part the rest.
pub(super) const PREFIX: &str = "RUNTIME__";

pub(super) struct Layer {
    value: Value,
    place: Place,
}

enum Place {
    Default,
    File { path: PathBuf, document: Box<Document<String>> },
    Environment { variable: String },
    Set { position: usize },
}

impl Layer {
    pub(super) fn defaults<T: Serialize + Default>() -> Result<Self, Box<ConfigProblem>> {
        let value = serde_json::to_value(T::default()).map_err(|error| {
            ConfigProblem::unreadable(
                Origin::Default,
                format!("the defaults cannot be written down: {error}"),
            )
        })?;
        Ok(Self { value, place: Place::Default })
    }

    pub(super) fn file(path: &Path) -> Result<Self, Box<ConfigProblem>> {
        let at = |line| Origin::File { path: path.to_owned(), line };
        let text = fs::read_to_string(path).map_err(|error| {
            ConfigProblem::unreadable(at(None), format!("the file cannot be read: {error}"))
        })?;
        Self::toml(path, text)
    }

    /// A document that was handed in, in place of a file.
    pub(super) fn document(text: String) -> Result<Self, Box<ConfigProblem>> {
        Self::toml(Path::new("(document)"), text)
    }

    fn toml(path: &Path, text: String) -> Result<Self, Box<ConfigProblem>> {
        let at = |line| Origin::File { path: path.to_owned(), line };
        // The error's own text would quote the line, which may hold a secret.
        let document = Document::parse(text.clone()).map_err(|error| {
            let line = error.span().map(|span| line_of(&text, span.start));
            let first = error.message().lines().next().unwrap_or_default();
            ConfigProblem::unreadable(at(line), format!("not valid TOML: {first}"))
        })?;
        let value = json_table(document.as_table().iter());
        Ok(Self { value, place: Place::File { path: path.to_owned(), document: Box::new(document) } })
    }

    pub(super) fn environment(variable: &str, text: &str, shape: &Shape) -> Result<Self, Box<ConfigProblem>> {
        let parts = variable.strip_prefix(PREFIX).unwrap_or(variable).split("__");
        let key = KeyPath::new(parts.map(str::to_ascii_lowercase));
        let place = Place::Environment { variable: variable.to_owned() };
        Self::single(&key, text, shape, place, "the name is not RUNTIME__SECTION__KEY")
    }

    pub(super) fn set(position: usize, argument: &str, shape: &Shape) -> Result<Self, Box<ConfigProblem>> {
        let (key, text) = argument.split_once('=').unwrap_or_default();
        let key = Key::parse(key).unwrap_or_default();
        let key = KeyPath::new(key.iter().map(Key::get));
        Self::single(&key, text, shape, Place::Set { position }, "the argument is not SECTION.KEY=VALUE")
    }

    fn single(
        key: &KeyPath,
        text: &str,
        shape: &Shape,
        place: Place,
        rule: &str,
    ) -> Result<Self, Box<ConfigProblem>> {
        let parts = key.parts();
        if parts.is_empty() || parts.iter().any(String::is_empty) {
            return Err(ConfigProblem::unreadable(place.origin(key), rule));
        }
        let value = parts.iter().rev().fold(typed(text, key, shape), |value, part| {
            Value::Object(Map::from_iter([(part.clone(), value)]))
        });
        Ok(Self { value, place })
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    pub(super) fn is_default(&self) -> bool {
        matches!(self.place, Place::Default)
    }

    pub(super) fn holds(&self, key: &KeyPath) -> bool {
        key.find(&self.value).is_some()
    }

    /// Where `key`, or the innermost section of this layer round it, stands.
    pub(super) fn origin(&self, key: &KeyPath) -> Origin {
        self.place.origin(key)
    }
}

impl Place {
    fn origin(&self, key: &KeyPath) -> Origin {
        match self {
            Self::Default => Origin::Default,
            Self::File { path, document } => {
                Origin::File { path: path.clone(), line: line_of_key(document, key) }
            }
            Self::Environment { variable } => Origin::Environment { variable: variable.clone() },
            Self::Set { position } => Origin::Set { position: *position },
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin(&KeyPath::default()).to_string())
    }

    fn data(&self) -> Result<Profiles<Profile, Dict>, figment::Error> {
        figment::providers::Serialized::defaults(&self.value).data()
    }
}

/// Text from the environment or the command line is a TOML value; what is none, and whatever stands where only text
/// fits, is text as it is.
fn typed(given: &str, key: &KeyPath, shape: &Shape) -> Value {
    let parsed = given.trim().parse::<toml_edit::Value>().ok().map(|value| text::from_toml(&value));
    let only_text = shape.at(key).is_some_and(|node| node.is_text());
    parsed.filter(|value| value.is_string() || !only_text).unwrap_or_else(|| given.into())
}

fn json_table<'t>(entries: impl Iterator<Item = (&'t str, &'t Item)>) -> Value {
    entries.map(|(key, item)| (key.to_owned(), json_item(item))).collect::<Map<_, _>>().into()
}

fn json_item(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => text::from_toml(value),
        Item::Table(table) => json_table(table.iter()),
        Item::ArrayOfTables(tables) => tables.iter().map(|table| json_table(table.iter())).collect(),
    }
}

/// The line of the deepest part of `key` that the document knows.
fn line_of_key(document: &Document<String>, key: &KeyPath) -> Option<usize> {
    let mut at = Spot::Item(document.as_item());
    let mut start = None;
    for part in key.parts() {
        let Some((below, span)) = at.below(part) else { break };
        start = span.or(start);
        at = below;
    }
    start.map(|start| line_of(document.raw(), start))
}

enum Spot<'d> {
    Item(&'d Item),
    Value(&'d toml_edit::Value),
    Table(&'d toml_edit::Table),
}

impl<'d> Spot<'d> {
    fn below(&self, part: &str) -> Option<(Spot<'d>, Option<usize>)> {
        let start = |span: Option<std::ops::Range<usize>>| span.map(|span| span.start);
        let keyed = |(key, item): (&'d Key, &'d Item)| (Spot::Item(item), start(key.span()));
        match *self {
            Self::Table(table) => table.get_key_value(part).map(keyed),
            Self::Value(toml_edit::Value::InlineTable(table)) => table.get_key_value(part).map(keyed),
            Self::Value(toml_edit::Value::Array(items)) => {
                let value = items.get(part.parse().ok()?)?;
                Some((Spot::Value(value), start(value.span())))
            }
            Self::Value(_) => None,
            Self::Item(Item::Table(table)) => Spot::Table(table).below(part),
            Self::Item(Item::Value(value)) => Spot::Value(value).below(part),
            Self::Item(Item::ArrayOfTables(tables)) => {
                let table = tables.get(part.parse().ok()?)?;
                Some((Spot::Table(table), start(table.span())))
            }
            Self::Item(Item::None) => None,
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}
