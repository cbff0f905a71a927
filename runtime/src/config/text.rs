//! Values between TOML text, JSON and words.

use serde_json::{Map, Number, Value};

/// The longest value shown in full, in characters.
const SHOWN: usize = 120;

/// A TOML value as JSON. Dates become text; a float that JSON cannot hold becomes text too, so that it is refused as a
/// wrong type instead of vanishing.
pub(super) fn from_toml(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => {
            Number::from_f64(*number.value()).map_or_else(|| number.value().to_string().into(), Value::Number)
        }
        toml_edit::Value::Boolean(truth) => (*truth.value()).into(),
        toml_edit::Value::Datetime(date) => date.value().to_string().into(),
        toml_edit::Value::Array(items) => items.iter().map(from_toml).collect(),
        toml_edit::Value::InlineTable(table) => {
            table.iter().map(|(key, value)| (key.to_owned(), from_toml(value))).collect::<Map<_, _>>().into()
        }
    }
}

/// A JSON value as TOML. `null` has no TOML form and is left out of lists and tables.
pub(super) fn to_toml(value: &Value) -> toml_edit::Value {
    match value {
        Value::Null => toml_edit::Value::from(""),
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => {
            items.iter().filter(|item| !item.is_null()).map(to_toml).collect::<toml_edit::Array>().into()
        }
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.as_str(), to_toml(value)))
            .collect::<toml_edit::InlineTable>()
            .into(),
    }
}

/// A value for a person to read, shortened when it is long.
pub(super) fn shown(value: &Value) -> String {
    let text = to_toml(value).to_string();
    let text = text.trim();
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}…")
}

/// The one of `known` that `given` most resembles, if any is close enough to be a slip of the hand or a forgotten unit.
pub(super) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let slips = (given.chars().count() / 3).max(1);
    let distance = |name: &str| match name.strip_prefix(given) {
        Some(unit) if unit.starts_with('_') && !given.is_empty() => 1,
        _ => strsim::osa_distance(given, name),
    };
    let near =
        known.into_iter().map(|name| (distance(name), name)).filter(|(distance, _)| *distance <= slips);
    near.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        assert_eq!(nearest("knid", ["kind", "path"]), Some("kind"));
        assert_eq!(nearest("synchronus", ["synchronous"]), Some("synchronous"));
        assert_eq!(nearest("timeout", ["slots", "timeout_secs"]), Some("timeout_secs"));
        assert_eq!(nearest("colour", ["kind", "path"]), None);
        assert_eq!(nearest("x", ["kind"]), None);
    }

    #[test]
    fn a_long_value_is_shortened() {
        assert_eq!(shown(&json!("short")), r#""short""#);
        assert_eq!(shown(&json!("x".repeat(500))).chars().count(), SHOWN + 1);
    }

    #[test]
    fn values_survive_the_way_to_toml_and_back() {
        let value = json!({ "a": [1, 2.5, true], "b": { "c": "t\"ext\n" }, "d": -3 });
        let text = to_toml(&value).to_string();
        assert_eq!(from_toml(&text.trim().parse().expect("valid TOML")), value);
    }
}
