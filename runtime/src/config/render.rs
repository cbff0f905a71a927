//! The configuration as text: what is in force, what may be written, and a file to start from.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::shape::{ANY_TEXT, Node, Shape, TRUTH};
use super::{KeyPath, Setting, text};

/// Columns of the comments in an example.
const WIDTH: usize = 100;

/// Name that stands for any name, in the example of a section with free names.
const ANY_NAME: &str = "name";

/// The JSON schema of a configuration, for editors and other tools.
pub fn config_schema<T: JsonSchema>() -> String {
    format!("{:#}\n", Shape::of::<T>().schema())
}

/// A file to start from: every key with its documentation and default, switched off by a `#` in front. Loading it as it is
/// changes nothing.
pub fn config_example<T: JsonSchema + Serialize + Default>() -> String {
    let shape = Shape::of::<T>();
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    let mut out = String::new();
    section(&mut out, &KeyPath::default(), &shape.root(), Some(&defaults));
    out
}

pub(super) fn show(settings: &[Setting], origins: bool) -> String {
    let mut out = String::new();
    for Setting { key, value, origin } in settings {
        match value {
            Some(value) => out += &format!("{key} = {value}"),
            None => out += &format!("# {key} is not set"),
        }
        if origins {
            out += &format!("  # {origin}");
        }
        out.push('\n');
    }
    out
}

/// A section: its own keys first, as TOML demands, then the sections in it.
fn section(out: &mut String, at: &KeyPath, node: &Node<'_>, defaults: Option<&Value>) {
    let below =
        |name: &str| Some((at.join(name), node.child(name)?, defaults.and_then(|value| value.get(name))));
    let keys: Vec<_> = node.keys().into_iter().filter_map(below).collect();
    let (sections, values): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(_, node, _)| node.is_section());
    for (key, node, default) in values {
        value(out, &key, &node, default);
    }
    for (key, node, default) in sections {
        blank(out);
        comment(out, node.description().unwrap_or_default());
        match node.entry() {
            Some(entry) => {
                let key = key.join(ANY_NAME);
                let _ = writeln!(out, "#[{key}]");
                if entry.is_section() {
                    section(out, &key, &entry, None);
                }
            }
            None => {
                // A section that is absent by default is switched off like a value.
                let off = if default.is_some_and(Value::is_object) { "" } else { "#" };
                let _ = writeln!(out, "{off}[{key}]");
                section(out, &key, &node, default);
            }
        }
    }
}

fn value(out: &mut String, key: &KeyPath, node: &Node<'_>, default: Option<&Value>) {
    let Some((_, name)) = key.split_last() else { return };
    if !out.lines().last().is_some_and(|line| line.trim_start_matches('#').starts_with('[')) {
        blank(out);
    }
    comment(out, node.description().unwrap_or_default());
    let notes = node.choice_notes();
    let expected = node.expected();
    if notes.is_empty() && !matches!(expected.as_str(), ANY_TEXT | TRUTH) {
        comment(out, &format!("Takes {expected}."));
    }
    for (choice, note) in notes {
        comment(out, &format!("{choice}: {note}"));
    }
    let example = default.filter(|value| !value.is_null()).cloned().unwrap_or_else(|| node.example());
    let name = KeyPath::new([name]);
    let _ = writeln!(out, "#{name} = {}", text::to_toml(&example).to_string().trim());
}

fn blank(out: &mut String) {
    if !out.is_empty() && !out.ends_with("\n\n") {
        out.push('\n');
    }
}

fn comment(out: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    if line.len() > 1 {
        let _ = writeln!(out, "{line}");
    }
}
