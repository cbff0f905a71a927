//! Where a key stands: the way from the top of the configuration down to it.

use std::fmt;

use serde_json::Value;

/// A dotted key, such as `store.kind`. Written as TOML writes it: a part that is no bare key stands in quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// The path with these parts; none is the configuration as a whole.
    pub fn new(parts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(parts.into_iter().map(Into::into).collect())
    }

    /// The parts, from the top down.
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// The key `part` below this one.
    pub fn join(&self, part: impl Into<String>) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.into());
        Self(parts)
    }

    /// The section this key stands in and its name there; nothing for the top.
    pub fn split_last(&self) -> Option<(KeyPath, &str)> {
        self.0.split_last().map(|(last, rest)| (Self(rest.to_vec()), last.as_str()))
    }

    /// Reads a JSON pointer, as the schema validator reports it.
    pub(super) fn from_pointer(pointer: &str) -> Self {
        Self::new(pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")))
    }

    pub(super) fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, part| match value {
            Value::Object(map) => map.get(part),
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }

    pub(super) fn find_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value> {
        self.0.iter().try_fold(value, |value, part| match value {
            Value::Object(map) => map.get_mut(part),
            Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            let bare = !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            if bare { f.write_str(part)? } else { write!(f, "{part:?}")? }
        }
        Ok(())
    }
}
