//! Finds every problem of the merged values. The JSON schema reports all it knows at once; what only the types know is
//! found by reading the values again and again, each time with the last offender put back to its default.

use figment::error::Kind;
use figment::value::Value as Merged;
use jsonschema::error::ValidationErrorKind as Rule;
use jsonschema::{ValidationError, Validator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shape::Shape;
use super::{KeyPath, ProblemKind};

/// Problems that are looked for: so many are told, and one more says that there are others. Each costs a look at everything, and whoever
/// hands in a document must not keep the process busy with it.
pub(super) const MOST: usize = 100;

/// A problem without its place.
pub(super) struct Finding {
    pub(super) key: KeyPath,
    pub(super) kind: ProblemKind,
    /// What the type said would fit; the schema's words go first.
    pub(super) expected: Option<String>,
    /// Why the type refused the value.
    pub(super) reason: Option<String>,
    /// Names that would have been known here besides the keys of the schema.
    pub(super) names: Vec<String>,
}

impl Finding {
    fn new(key: KeyPath, kind: ProblemKind) -> Self {
        Self { key, kind, expected: None, reason: None, names: Vec::new() }
    }

    pub(super) fn unknown_name(key: KeyPath, names: &[String]) -> Self {
        Self { names: names.to_vec(), ..Self::new(key, ProblemKind::UnknownKey) }
    }
}

/// Reads `merged` as a `T`. The findings are in no order; the value is there when the types accept what is left after
/// each finding was mended by its default. More findings than [`MOST`] are not looked for.
pub(super) fn check<T: DeserializeOwned>(
    merged: &Value,
    defaults: &Value,
    shape: &Shape,
) -> (Vec<Finding>, Option<T>) {
    let mut findings = Vec::new();
    match Validator::new(shape.schema()) {
        Ok(validator) => validator.iter_errors(merged).for_each(|error| by_schema(&error, &mut findings)),
        Err(error) => findings.push(Finding::new(
            KeyPath::default(),
            ProblemKind::Unreadable(format!("the schema of the configuration is not usable: {error}")),
        )),
    }
    if findings.len() > MOST {
        return (findings, None);
    }
    let mut mended = merged.clone();
    for finding in &findings {
        mend(&mut mended, defaults, finding);
    }
    loop {
        match read::<T>(&mended) {
            Ok(value) => return (findings, Some(value)),
            Err(finding) => {
                let known = findings.iter().any(|earlier| earlier.key == finding.key);
                let changed = mend(&mut mended, defaults, &finding);
                if !known {
                    findings.push(finding);
                }
                if !changed || findings.len() > MOST {
                    return (findings, None);
                }
            }
        }
    }
}

/// Makes `value` free of the finding: an unknown key goes, for anything else the default comes back. Says whether that
/// changed anything.
fn mend(value: &mut Value, defaults: &Value, finding: &Finding) -> bool {
    match finding.kind {
        ProblemKind::UnknownKey => remove(value, &finding.key),
        _ => restore(value, defaults, &finding.key),
    }
}

fn remove(value: &mut Value, key: &KeyPath) -> bool {
    let section =
        key.split_last().and_then(|(section, name)| Some((section.find_mut(value)?.as_object_mut()?, name)));
    section.is_some_and(|(map, name)| map.remove(name).is_some())
}

/// Puts the default in place of what stands at `key`, or takes it away where there is none; where nothing stands, the
/// section round it is restored.
fn restore(value: &mut Value, defaults: &Value, key: &KeyPath) -> bool {
    let Some((section, name)) = key.split_last() else {
        return std::mem::replace(value, defaults.clone()) != *value;
    };
    let default = key.find(defaults);
    match section.find_mut(value) {
        Some(Value::Object(map)) if map.contains_key(name) && map.get(name) != default => {
            match default {
                Some(default) => map.insert(name.to_owned(), default.clone()),
                None => map.remove(name),
            };
            true
        }
        _ => restore(value, defaults, &section),
    }
}

fn by_schema(error: &ValidationError<'_>, findings: &mut Vec<Finding>) {
    let at = KeyPath::from_pointer(error.instance_path().as_str());
    let finding = |key, kind| Finding::new(key, kind);
    match error.kind() {
        Rule::AdditionalProperties { unexpected } | Rule::UnevaluatedProperties { unexpected } => {
            findings.extend(unexpected.iter().map(|name| finding(at.join(name), ProblemKind::UnknownKey)));
        }
        Rule::Required { property } => {
            findings.push(finding(at.join(property.as_str().unwrap_or_default()), ProblemKind::Missing));
        }
        Rule::Type { .. } => findings.push(finding(at, ProblemKind::WrongType)),
        // A section that takes no keys at all: the validator names none, the type does.
        Rule::FalseSchema => {}
        Rule::AnyOf { context } | Rule::OneOfNotValid { context } => by_alternative(&at, context, findings),
        _ => findings.push(finding(at, ProblemKind::NotAllowed)),
    }
}

/// No alternative fits: the problems of the one that was meant are the ones to report. An alternative is not meant when
/// it contradicts the value as such, or the tag that tells alternatives apart.
fn by_alternative(at: &KeyPath, context: &[Vec<ValidationError<'static>>], findings: &mut Vec<Finding>) {
    let place = |error: &ValidationError<'_>| KeyPath::from_pointer(error.instance_path().as_str());
    let is_type = |error: &ValidationError<'_>| matches!(error.kind(), Rule::Type { .. });
    let is_here = |error: &ValidationError<'_>| place(error) == *at;
    let is_tag = |error: &ValidationError<'_>| {
        let one_below = place(error).split_last().is_some_and(|(section, _)| section == *at);
        one_below && matches!(error.kind(), Rule::Constant { .. })
    };
    let is_choice = |error: &ValidationError<'_>| {
        is_here(error) && matches!(error.kind(), Rule::Constant { .. } | Rule::Enum { .. })
    };
    if let Some(tag) = missing_everywhere(context) {
        findings.push(Finding::new(at.join(tag), ProblemKind::Missing));
        return;
    }
    let contradicts =
        |error: &ValidationError<'_>| is_tag(error) || is_choice(error) || (is_here(error) && is_type(error));
    let meant = context.iter().filter(|errors| !errors.iter().any(contradicts));
    if let Some(errors) = meant.min_by_key(|errors| errors.len()) {
        errors.iter().for_each(|error| by_schema(error, findings));
        return;
    }
    let mut all = context.iter().flatten();
    findings.push(match all.clone().find(|error| is_tag(error)) {
        Some(tag) => Finding::new(place(tag), ProblemKind::NotAllowed),
        None if all.any(is_choice) => Finding::new(at.clone(), ProblemKind::NotAllowed),
        None => Finding::new(at.clone(), ProblemKind::WrongType),
    });
}

/// The key that every alternative which takes a section asks for in vain: the tag that tells them apart.
fn missing_everywhere<'e>(context: &'e [Vec<ValidationError<'static>>]) -> Option<&'e str> {
    let required = |errors: &'e [ValidationError<'static>]| {
        errors.iter().filter_map(|error| match error.kind() {
            Rule::Required { property } => property.as_str(),
            _ => None,
        })
    };
    let takes_section = |errors: &&'e Vec<ValidationError<'static>>| {
        !errors.iter().any(|error| matches!(error.kind(), Rule::Type { .. }))
    };
    let mut sections = context.iter().filter(takes_section);
    let first = sections.next()?;
    let others: Vec<_> = sections.collect();
    let in_all = |name: &&str| others.iter().all(|errors| required(errors).any(|other| other == *name));
    required(first).filter(|_| !others.is_empty()).find(in_all)
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Finding> {
    let merged = Merged::serialize(value).map_err(|error| by_type(&error))?;
    merged.deserialize::<T>().map_err(|error| by_type(&error))
}

fn by_type(error: &figment::Error) -> Finding {
    let at = KeyPath::new(&error.path);
    let named = |name: &str| match at.parts().last() {
        Some(last) if last == name => at.clone(),
        _ => at.join(name),
    };
    match &error.kind {
        Kind::UnknownField(name, _) => Finding::new(named(name), ProblemKind::UnknownKey),
        Kind::MissingField(name) => Finding::new(at.join(name.as_ref()), ProblemKind::Missing),
        Kind::InvalidType(_, expected) => {
            Finding { expected: Some(expected.clone()), ..Finding::new(at, ProblemKind::WrongType) }
        }
        Kind::InvalidValue(_, expected) | Kind::InvalidLength(_, expected) => {
            Finding { expected: Some(expected.clone()), ..Finding::new(at, ProblemKind::NotAllowed) }
        }
        Kind::Message(reason) => {
            Finding { reason: Some(reason.clone()), ..Finding::new(at, ProblemKind::NotAllowed) }
        }
        _ => Finding::new(at, ProblemKind::NotAllowed),
    }
}
