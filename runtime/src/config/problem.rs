//! What is wrong with a configuration: every problem at once, each with all that is needed to mend it.

use std::fmt;
use std::path::PathBuf;

use super::KeyPath;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Built in.
    Default,
    /// A file; the line counts from 1 and is absent when the file as a whole is meant.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line of the key.
        line: Option<usize>,
    },
    /// An environment variable.
    Environment {
        /// The name of the variable.
        variable: String,
    },
    /// A `--set` on the command line, counted from 1.
    Set {
        /// Which of them.
        position: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::Set { position } => write!(f, "--set, number {position}"),
        }
    }
}

/// What kind of mistake a problem is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// No such key exists.
    UnknownKey,
    /// A key without a default is not set.
    Missing,
    /// The value is of another type.
    WrongType,
    /// The value has the right type, but is out of range or not one of those allowed.
    NotAllowed,
    /// The place could not be read as configuration at all; says why.
    Unreadable(String),
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey => f.write_str("no such key"),
            Self::Missing => f.write_str("missing"),
            Self::WrongType => f.write_str("wrong type"),
            Self::NotAllowed => f.write_str("value not allowed"),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

/// One thing to mend. It never carries a secret: the value of a key that holds one is replaced, and the value of an
/// unknown key, which might be a misspelt secret, is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key; the top when a source as a whole is meant.
    pub key: KeyPath,
    /// Where the offending value stands, or where the missing one should.
    pub origin: Origin,
    /// What kind of mistake it is.
    pub kind: ProblemKind,
    /// The offending value, as TOML writes it.
    pub value: Option<String>,
    /// What would fit, in words.
    pub expected: Option<String>,
    /// Why the value was refused, where that says more.
    pub reason: Option<String>,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl ConfigProblem {
    pub(super) fn unreadable(origin: Origin, why: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            key: KeyPath::default(),
            origin,
            kind: ProblemKind::Unreadable(why.into()),
            value: None,
            expected: None,
            reason: None,
            suggestion: None,
        })
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.parts().is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}\n  at {}", self.kind, self.origin)?;
        if let Some(value) = &self.value {
            write!(f, "\n  found {value}")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected {expected}")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, "\n  because {reason}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n  did you mean {suggestion}?")?;
        }
        Ok(())
    }
}

/// Every problem of a configuration, ordered by key; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblems(Vec<ConfigProblem>);

impl ConfigProblems {
    /// `Err` with the problems, when there are any.
    pub(super) fn refuse(mut problems: Vec<ConfigProblem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by(|a, b| (&a.key, &a.origin, &a.kind).cmp(&(&b.key, &b.origin, &b.kind)));
        problems.dedup();
        Err(Self(problems))
    }

    pub(super) fn one(problem: ConfigProblem) -> Self {
        Self(vec![problem])
    }

    /// The problems, ordered by key and then by origin.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &ConfigProblem> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} problem{} in the configuration", if count == 1 { "" } else { "s" })?;
        for problem in &self.0 {
            write!(f, "\n\n{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigProblems {}
