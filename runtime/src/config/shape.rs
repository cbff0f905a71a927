//! What the configuration may contain, read from the JSON schema of its type: which keys there are, which hold text or
//! secrets, and how to say in words what a key expects.

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value};

use super::{KeyPath, SecretRef};

/// Marks the schema of a value that must not be shown; put there by [`SecretRef`](super::SecretRef).
pub(super) const SECRET: &str = "x-secret";
/// Says in words what a key expects, where the schema's own keywords would be clumsy.
pub(super) const EXPECTED: &str = "x-expected";

/// What a key expects when its schema knows no more than that it is text; its type may know more.
pub(super) const ANY_TEXT: &str = "text";

/// What a switch expects.
pub(super) const TRUTH: &str = "true or false";

/// What is shown in place of a secret.
const REDACTED: &str = "(redacted)";

/// No schema nests references deeper than this; it ends the walk of a type that contains itself.
const DEEPEST: usize = 16;

/// The schema of a configuration type.
pub(super) struct Shape {
    schema: Value,
}

impl Shape {
    pub(super) fn of<T: JsonSchema>() -> Self {
        Self { schema: schema_for!(T).to_value() }
    }

    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }

    pub(super) fn root(&self) -> Node<'_> {
        Node::expand(&self.schema, [&self.schema])
    }

    /// What is expected at `path`; nothing when no such key exists.
    pub(super) fn at(&self, path: &KeyPath) -> Option<Node<'_>> {
        path.parts().iter().try_fold(self.root(), |node, part| node.child(part))
    }

    /// Every key that has a name of its own, for suggestions.
    pub(super) fn all_keys(&self) -> Vec<KeyPath> {
        let mut keys = Vec::new();
        self.root().collect_keys(&KeyPath::default(), &mut keys);
        keys
    }
}

/// One place in the schema. References, `allOf` and the alternatives other than `null` are followed at once: their
/// schemas all speak of the same place.
#[derive(Clone)]
pub(super) struct Node<'s> {
    schema: &'s Value,
    facets: Vec<&'s Map<String, Value>>,
}

impl<'s> Node<'s> {
    fn expand(schema: &'s Value, parts: impl IntoIterator<Item = &'s Value>) -> Self {
        let mut node = Self { schema, facets: Vec::new() };
        for part in parts {
            node.follow(part, 0);
        }
        node
    }

    fn follow(&mut self, part: &'s Value, depth: usize) {
        let Some(facet) = part.as_object().filter(|_| depth < DEEPEST) else { return };
        self.facets.push(facet);
        if let Some(target) = facet.get("$ref").and_then(Value::as_str)
            && let Some(target) = target.strip_prefix('#').and_then(|pointer| self.schema.pointer(pointer))
        {
            self.follow(target, depth + 1);
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for branch in facet.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                if branch.get("type").and_then(Value::as_str) != Some("null") {
                    self.follow(branch, depth + 1);
                }
            }
        }
    }

    fn keyword(&self, name: &str) -> Option<&'s Value> {
        self.facets.iter().find_map(|facet| facet.get(name))
    }

    fn properties(&self) -> impl Iterator<Item = (&'s String, &'s Value)> {
        self.facets.iter().filter_map(|facet| facet.get("properties")?.as_object()).flatten()
    }

    /// What is expected at the key (or list position) `part` of this place.
    pub(super) fn child(&self, part: &str) -> Option<Node<'s>> {
        let named: Vec<_> =
            self.properties().filter(|(name, _)| *name == part).map(|(_, schema)| schema).collect();
        if !named.is_empty() {
            return Some(Self::expand(self.schema, named));
        }
        self.entry().or_else(|| {
            part.parse::<usize>().ok()?;
            Some(Self::expand(self.schema, [self.keyword("items")?]))
        })
    }

    /// What an entry of a section with free names expects (`[workers.<name>]`); nothing elsewhere.
    pub(super) fn entry(&self) -> Option<Node<'s>> {
        let entries: Vec<_> = self
            .facets
            .iter()
            .filter_map(|facet| {
                let patterns = facet.get("patternProperties").and_then(Value::as_object);
                facet
                    .get("additionalProperties")
                    .filter(|schema| schema.is_object())
                    .into_iter()
                    .chain(patterns.into_iter().flat_map(Map::values))
                    .next()
            })
            .collect();
        (!entries.is_empty()).then(|| Self::expand(self.schema, entries))
    }

    /// The keys this section names, in alphabetical order.
    pub(super) fn keys(&self) -> Vec<&'s str> {
        let mut keys: Vec<_> = self.properties().map(|(name, _)| name.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn collect_keys(&self, at: &KeyPath, keys: &mut Vec<KeyPath>) {
        if at.parts().len() >= DEEPEST {
            return;
        }
        for name in self.keys() {
            let key = at.join(name);
            if let Some(child) = self.child(name) {
                child.collect_keys(&key, keys);
            }
            keys.push(key);
        }
    }

    /// Whether keys stand below this place.
    pub(super) fn is_section(&self) -> bool {
        self.types().contains(&"object") || self.properties().next().is_some()
    }

    /// Whether only text fits here, so that text from the environment needs no quotes.
    pub(super) fn is_text(&self) -> bool {
        let types = self.types();
        types.contains(&"string") && types.iter().all(|name| matches!(*name, "string" | "null"))
    }

    fn types(&self) -> Vec<&'s str> {
        let mut types: Vec<&str> = Vec::new();
        for stated in self.facets.iter().filter_map(|facet| facet.get("type")) {
            match stated {
                Value::String(name) => types.push(name),
                Value::Array(names) => types.extend(names.iter().filter_map(Value::as_str)),
                _ => {}
            }
        }
        types
    }

    /// Whether the value here, or one below, must not be shown.
    pub(super) fn holds_secret(&self) -> bool {
        self.holds_secret_within(0)
    }

    fn holds_secret_within(&self, depth: usize) -> bool {
        if self.facets.iter().any(|facet| facet.get(SECRET) == Some(&Value::Bool(true))) {
            return true;
        }
        let below = self.properties().map(|(_, schema)| schema).chain(self.keyword("items"));
        depth < DEEPEST
            && (below
                .into_iter()
                .any(|schema| Self::expand(self.schema, [schema]).holds_secret_within(depth + 1))
                || self.entry().is_some_and(|entry| entry.holds_secret_within(depth + 1)))
    }

    /// `value` as it may be shown: what is, or may be, a secret is replaced; references to secrets stay.
    pub(super) fn redact(&self, value: &Value) -> Value {
        let below = |part: &str, value: &Value| match self.child(part) {
            Some(node) => node.redact(value),
            None => REDACTED.into(),
        };
        match value {
            Value::Null => Value::Null,
            Value::Object(map) => {
                map.iter().map(|(key, value)| (key.clone(), below(key, value))).collect::<Map<_, _>>().into()
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| below(&at.to_string(), item))
                .collect::<Vec<_>>()
                .into(),
            Value::String(text) if SecretRef::parse(text).is_ok() => value.clone(),
            _ if self.holds_secret() => REDACTED.into(),
            leaf => leaf.clone(),
        }
    }

    /// The values allowed here, when they are a closed list.
    pub(super) fn choices(&self) -> Vec<&'s Value> {
        let mut choices: Vec<&Value> = Vec::new();
        for facet in &self.facets {
            let listed = facet.get("enum").and_then(Value::as_array).into_iter().flatten();
            for choice in listed.chain(facet.get("const")).filter(|choice| !choice.is_null()) {
                if !choices.contains(&choice) {
                    choices.push(choice);
                }
            }
        }
        choices
    }

    /// What each of the [`choices`](Self::choices) means, where the type's documentation says so.
    pub(super) fn choice_notes(&self) -> Vec<(&'s Value, &'s str)> {
        let mut notes: Vec<(&Value, &str)> = Vec::new();
        for facet in &self.facets {
            let note = facet.get("const").zip(facet.get("description").and_then(Value::as_str));
            // Alternatives of a section may have a key in common.
            notes.extend(note.filter(|note| !notes.contains(note)));
        }
        notes
    }

    /// The documentation of the key.
    pub(super) fn description(&self) -> Option<&'s str> {
        self.keyword("description")?.as_str()
    }

    /// A value that fits: the documented example, else the simplest one.
    pub(super) fn example(&self) -> Value {
        let documented = self.keyword("examples").and_then(|examples| examples.get(0));
        if let Some(example) = documented.or(self.choices().first().copied()) {
            return example.clone();
        }
        let least = self.keyword("minimum").cloned();
        match self.types().into_iter().find(|name| *name != "null") {
            Some("integer") => least.unwrap_or_else(|| 0.into()),
            Some("number") => least.unwrap_or_else(|| 0.0.into()),
            Some("boolean") => false.into(),
            Some("array") => Value::Array(Vec::new()),
            Some("object") => Value::Object(Map::new()),
            _ => "text".into(),
        }
    }

    /// What fits here, in words.
    pub(super) fn expected(&self) -> String {
        if let Some(words) = self.stated() {
            return words.to_owned();
        }
        let choices = self.choices();
        if !choices.is_empty() {
            let listed: Vec<_> = choices.iter().map(|choice| choice.to_string()).collect();
            return format!("{}{}", if listed.len() > 1 { "one of " } else { "" }, listed.join(", "));
        }
        let words: Vec<_> = self.types().into_iter().filter_map(|name| self.type_in_words(name)).collect();
        let mut unique: Vec<String> = Vec::new();
        for word in words {
            if !unique.contains(&word) {
                unique.push(word);
            }
        }
        if unique.is_empty() { "a value".to_owned() } else { unique.join(" or ") }
    }

    /// What fits here, where the type says so in words of its own.
    pub(super) fn stated(&self) -> Option<&'s str> {
        self.keyword(EXPECTED)?.as_str()
    }

    fn type_in_words(&self, name: &str) -> Option<String> {
        let bound = |keyword| self.keyword(keyword).filter(|limit| limit.is_number());
        let range = match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!(" from {least} to {most}"),
            (Some(least), None) => format!(" of at least {least}"),
            (None, Some(most)) => format!(" of at most {most}"),
            (None, None) => String::new(),
        };
        Some(match name {
            "null" => return None,
            "integer" => format!("a whole number{range}"),
            "number" => format!("a number{range}"),
            "boolean" => TRUTH.to_owned(),
            "string" => match self.keyword("pattern").and_then(Value::as_str) {
                Some(pattern) => format!("text that matches {pattern}"),
                None => ANY_TEXT.to_owned(),
            },
            "array" => match self.keyword("items") {
                Some(items) => format!("a list, each item {}", Self::expand(self.schema, [items]).expected()),
                None => "a list".to_owned(),
            },
            "object" => "a section".to_owned(),
            other => format!("a value of type {other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU16;

    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only the schema of the type is read")]
    enum Kind {
        /// On disk.
        Disk,
        Memory,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only the schema of the type is read")]
    struct Section {
        kind: Option<Kind>,
        port: Option<NonZeroU16>,
        ratio: Option<f64>,
        list: Vec<String>,
        #[schemars(extend("x-secret" = true))]
        token: Option<String>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only the schema of the type is read")]
    struct Whole {
        plain: u64,
        named: BTreeMap<String, Section>,
    }

    #[test]
    fn a_key_says_in_words_what_it_expects() {
        let shape = Shape::of::<Whole>();
        let expected = |key: &str| shape.at(&KeyPath::new(key.split('.'))).map(|node| node.expected());
        assert_eq!(expected("plain").as_deref(), Some("a whole number of at least 0"));
        assert_eq!(expected("named").as_deref(), Some("a section"));
        assert_eq!(expected("named.any.kind").as_deref(), Some(r#"one of "Memory", "Disk""#));
        assert_eq!(expected("named.any.port").as_deref(), Some("a whole number from 1 to 65535"));
        assert_eq!(expected("named.any.ratio").as_deref(), Some("a number"));
        assert_eq!(expected("named.any.list").as_deref(), Some("a list, each item text"));
        assert_eq!(expected("named.any.list.0").as_deref(), Some("text"));
        assert_eq!(expected("nothing"), None);
    }

    #[test]
    fn a_secret_is_seen_from_every_section_above_it() {
        let shape = Shape::of::<Whole>();
        let secret = |key: &str| shape.at(&KeyPath::new(key.split('.'))).map(|node| node.holds_secret());
        assert_eq!(secret("named"), Some(true));
        assert_eq!(secret("named.any"), Some(true));
        assert_eq!(secret("named.any.token"), Some(true));
        assert_eq!(secret("named.any.port"), Some(false));
        assert_eq!(secret("plain"), Some(false));
    }
}
