//! Configuration: defaults, a TOML file, the environment and `--set`, laid over each other and checked as a whole.
//!
//! ```text
//! built-in defaults  <  file  <  RUNTIME__SECTION__KEY  <  --set section.key=value
//! ```
//!
//! A mistake is refused, never ignored, and all mistakes are reported together, each with its key, where it stands, what
//! was found and what was expected. Keys that do not exist are mistakes in every layer. Secrets are named
//! ([`SecretRef`]), not written down, and never appear in a report.
//!
//! ```
//! use runtime::config::{ConfigSources, NoAppConfig, RuntimeConfig};
//!
//! let sources = ConfigSources {
//!     env: vec![("RUNTIME__WORKERS__ORDERS__SLOTS".into(), "8".into())],
//!     sets: vec!["store.kind=memory".into()],
//!     ..ConfigSources::default()
//! };
//! let loaded = sources.load::<RuntimeConfig<NoAppConfig>>()?;
//! assert_eq!(loaded.value.workers["orders"].slots.map(|slots| slots.get()), Some(8));
//! assert!(loaded.show(true).contains("store.kind = \"memory\"  # --set, number 1"));
//! # Ok::<(), runtime::config::ConfigProblems>(())
//! ```

mod check;
mod flow;
mod layer;
mod limits;
mod path;
mod problem;
mod render;
mod secret;
mod sections;
mod shape;
mod text;

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use figment::Figment;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::flow::{DependencyConfig, ShedConfig};
pub use self::limits::AdminLimitsConfig;
pub use self::path::KeyPath;
pub use self::problem::{ConfigProblem, ConfigProblems, Origin, ProblemKind};
pub use self::render::{config_example, config_schema};
pub use self::secret::{SecretError, SecretRef};
pub use self::sections::{
    AdminConfig, AdminTlsConfig, AuthenticationKind, InstanceConfig, InvalidLogFilter, LogFilter, LogFormat,
    NoAppConfig, RuntimeConfig, SourceConfig, StoreConfig, StoreKind, Synchronous, TelemetryConfig,
    WorkConfig, WorkerConfig,
};

use self::check::{Finding, MOST, check};
use self::layer::{Layer, PREFIX};
use self::shape::Shape;

/// Where a configuration is read from. All of it is handed in; loading looks at nothing else of the process.
#[derive(Debug, Clone, Default)]
pub struct ConfigSources {
    /// A file that was asked for; that it is missing is a problem.
    pub file: Option<PathBuf>,
    /// A file to read when no other was asked for; it may be missing.
    pub default_file: Option<PathBuf>,
    /// A TOML document in place of either file.
    pub document: Option<String>,
    /// Environment variables; those that do not begin with `RUNTIME__` are left alone.
    pub env: Vec<(String, String)>,
    /// `section.key=value`, later ones over earlier ones.
    pub sets: Vec<String>,
    /// Sections whose keys are names that only the app knows, such as `workers`, with those names. Other keys there are
    /// unknown; a section that is absent here takes any name.
    pub names: BTreeMap<String, Vec<String>>,
}

impl ConfigSources {
    /// The variables of this process that belong to the configuration.
    pub fn process_env() -> Vec<(String, String)> {
        env::vars_os()
            .map(|(name, text)| (name.to_string_lossy().into_owned(), text.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect()
    }

    /// Reads, merges and checks everything.
    ///
    /// # Errors
    /// [`ConfigProblems`] with every problem of every layer.
    pub fn load<T>(&self) -> Result<Loaded<T>, ConfigProblems>
    where
        T: DeserializeOwned + Serialize + JsonSchema + Default,
    {
        let shape = Shape::of::<T>();
        let (layers, mut problems) = self.layers::<T>(&shape);
        let merged = match merge(&layers) {
            Ok(merged) => merged,
            Err(error) => {
                problems.push(*ConfigProblem::unreadable(Origin::Default, error.to_string()));
                Value::Null
            }
        };
        let defaults = layers.first().map_or(&Value::Null, Layer::value);
        let (mut findings, value) = check::<T>(&merged, defaults, &shape);
        findings.extend(self.unknown_names(&merged));
        let more = findings.len() > MOST;
        findings.truncate(MOST);
        for finding in findings {
            problems.extend(place(finding, &layers, &merged, &shape));
        }
        if let (true, Some(last)) = (more, problems.last()) {
            let why = format!("there are more problems than {MOST}: mend these first");
            problems.push(*ConfigProblem::unreadable(last.origin.clone(), why));
        }
        ConfigProblems::refuse(problems)?;
        let unusable = |why: &str| ConfigProblems::one(*ConfigProblem::unreadable(Origin::Default, why));
        let value = value.ok_or_else(|| unusable("the values cannot be read as this configuration"))?;
        let effective = serde_json::to_value(&value).map_err(|error| unusable(&error.to_string()))?;
        let mut settings = Vec::new();
        Setting::collect(&KeyPath::default(), &effective, &layers, &shape, &mut settings);
        Ok(Loaded { value, settings })
    }

    fn layers<T: Serialize + Default>(&self, shape: &Shape) -> (Vec<Layer>, Vec<ConfigProblem>) {
        let absent = |path: &&PathBuf| path.try_exists().is_ok_and(|exists| !exists);
        let file = self.file.as_ref().or(self.default_file.as_ref().filter(|path| !absent(path)));
        let mut env: Vec<_> = self.env.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        env.sort();
        let (mut layers, mut problems) = (Vec::new(), Vec::new());
        let given = std::iter::once(Layer::defaults::<T>())
            .chain(self.document.clone().map(Layer::document))
            .chain(file.filter(|_| self.document.is_none()).map(|path| Layer::file(path)))
            .chain(env.into_iter().map(|(name, text)| Layer::environment(name, text, shape)))
            .chain(self.sets.iter().enumerate().map(|(at, argument)| Layer::set(at + 1, argument, shape)));
        for layer in given {
            match layer {
                Ok(layer) => layers.push(layer),
                Err(problem) => problems.push(*problem),
            }
        }
        (layers, problems)
    }

    fn unknown_names(&self, merged: &Value) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (section, known) in &self.names {
            let section = KeyPath::new([section]);
            let given = section.find(merged).and_then(Value::as_object);
            for name in given.into_iter().flat_map(|map| map.keys()).filter(|name| !known.contains(name)) {
                findings.push(Finding::unknown_name(section.join(name), known));
            }
        }
        findings
    }
}

fn merge(layers: &[Layer]) -> Result<Value, Box<figment::Error>> {
    let merged = layers.iter().fold(Figment::new(), |merged, layer| merged.merge(layer));
    let value = merged.find_value("").map_err(Box::new)?;
    serde_json::to_value(value).map_err(|error| Box::new(error.to_string().into()))
}

/// Adds to a finding where it stands. An unknown key is a problem in each layer that has it, except the defaults: those
/// belong to another alternative than the one chosen.
fn place(finding: Finding, layers: &[Layer], merged: &Value, shape: &Shape) -> Vec<ConfigProblem> {
    let Finding { key, kind, expected, reason, names } = finding;
    let holders = layers.iter().rev().filter(|layer| layer.holds(&key));
    if kind == ProblemKind::UnknownKey {
        let suggestion = suggest_key(&key, &names, shape);
        return holders
            .filter(|layer| !layer.is_default())
            .map(|layer| ConfigProblem {
                key: key.clone(),
                origin: layer.origin(&key),
                kind: ProblemKind::UnknownKey,
                value: None,
                expected: None,
                reason: None,
                suggestion: suggestion.clone(),
            })
            .collect();
    }
    let node = shape.at(&key);
    let found = key.find(merged).filter(|_| kind != ProblemKind::Missing);
    let choices = node.as_ref().map(|node| node.choices()).unwrap_or_default();
    let suggestion = found
        .and_then(Value::as_str)
        .and_then(|given| text::nearest(given, choices.into_iter().filter_map(Value::as_str)))
        .map(|choice| format!("{choice:?}"));
    let secret = node.as_ref().is_none_or(|node| node.holds_secret());
    vec![ConfigProblem {
        origin: origin_of(&key, layers),
        value: found.zip(node.as_ref()).map(|(value, node)| text::shown(&node.redact(value))),
        expected: match node.as_ref().map(|node| node.expected()) {
            Some(vague) if vague == shape::ANY_TEXT && !secret => expected.or(Some(vague)),
            words => words,
        },
        reason: reason.filter(|_| !secret),
        suggestion: suggestion.filter(|_| !secret),
        key,
        kind,
    }]
}

/// The highest layer that has the key; for a missing key the highest that has the section round it.
fn origin_of(key: &KeyPath, layers: &[Layer]) -> Origin {
    match layers.iter().rev().find(|layer| layer.holds(key)) {
        Some(layer) => layer.origin(key),
        None => key.split_last().map_or(Origin::Default, |(section, _)| origin_of(&section, layers)),
    }
}

fn suggest_key(key: &KeyPath, names: &[String], shape: &Shape) -> Option<String> {
    let (section, given) = key.split_last()?;
    let beside = shape.at(&section).map(|node| node.keys()).unwrap_or_default();
    let beside = beside.into_iter().chain(names.iter().map(String::as_str));
    if let Some(name) = text::nearest(given, beside) {
        return Some(section.join(name).to_string());
    }
    let elsewhere = shape.all_keys();
    elsewhere.iter().find(|key| key.parts().last().is_some_and(|name| name == given)).map(KeyPath::to_string)
}

/// A configuration without problems.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The configuration.
    pub value: T,
    settings: Vec<Setting>,
}

impl<T> Loaded<T> {
    /// Every key with its effective value and where that comes from, ordered by key.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The effective configuration, one `key = value` a line, as TOML that loads to the same values; with `origins`, each
    /// line says where its value comes from. Keys that have no value stand in comments.
    pub fn show(&self, origins: bool) -> String {
        render::show(&self.settings, origins)
    }
}

/// One key of an effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: KeyPath,
    /// Its value as TOML writes it; nothing when the key has none. A secret shows as its reference.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
}

impl Setting {
    fn collect(key: &KeyPath, value: &Value, layers: &[Layer], shape: &Shape, settings: &mut Vec<Self>) {
        if let Value::Object(map) = value {
            map.iter()
                .for_each(|(name, below)| Self::collect(&key.join(name), below, layers, shape, settings));
            return;
        }
        let shown = shape.at(key).map_or(Value::Null, |node| node.redact(value));
        let origin = layers
            .iter()
            .rev()
            .find(|layer| layer.holds(key))
            .map_or(Origin::Default, |layer| layer.origin(key));
        settings.push(Self {
            key: key.clone(),
            value: (!shown.is_null()).then(|| text::to_toml(&shown).to_string().trim().to_owned()),
            origin,
        });
    }
}
