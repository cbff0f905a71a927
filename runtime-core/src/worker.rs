//! What a worker is, as data: the descriptor that the template cache serves and operators see.
//!
//! Every worker has five duties. An app in which a worker lacks one does not start.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::name::{DependencyName, Route, StepName, WorkerName};
use crate::retry::RetryPolicy;
use crate::store::{EffectClass, QueuePolicy};

/// What every worker owes to those who depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Duty {
    /// What it does, for whom, and what it writes.
    NamedResponsibility,
    /// A task record with a schema, in which everything stands.
    DurableInput,
    /// What follows a failed attempt.
    RetryBehaviour,
    /// What makes a second run harmless: a key, and the class of every effect.
    IdempotenceBoundary,
    /// How an operator runs it alone.
    EntryPoint,
}

impl Duty {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [
        Self::NamedResponsibility,
        Self::DurableInput,
        Self::RetryBehaviour,
        Self::IdempotenceBoundary,
        Self::EntryPoint,
    ];
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NamedResponsibility => "named responsibility",
            Self::DurableInput => "durable input",
            Self::RetryBehaviour => "retry behaviour",
            Self::IdempotenceBoundary => "idempotence boundary",
            Self::EntryPoint => "operational entry point",
        })
    }
}

/// Where what a worker writes is at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// What is true because it stands there.
    Truth(&'static str),
    /// What can be made again from truth.
    Projection(&'static str),
    /// A system that is not ours.
    Outside(&'static str),
    /// Nothing but the output in its own task's record.
    Output,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(name) => write!(f, "truth {name}"),
            Self::Projection(name) => write!(f, "projection {name}"),
            Self::Outside(name) => write!(f, "outside {name}"),
            Self::Output => f.write_str("its output"),
        }
    }
}

/// How an operator runs a worker alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryPoint {
    /// One task at a time, by its id.
    PerTask,
    /// All tasks of one scope; this is the part of the scope before the `=`.
    PerScope(&'static str),
}

impl EntryPoint {
    /// One task at a time, by its id.
    pub const fn per_task() -> Self {
        Self::PerTask
    }

    /// All tasks of one scope: `per_scope("store")` takes `store=42`.
    pub const fn per_scope(key: &'static str) -> Self {
        Self::PerScope(key)
    }

    /// The part of the scope before the `=`, when it takes one.
    pub fn scope_key(self) -> Option<&'static str> {
        match self {
            Self::PerTask => None,
            Self::PerScope(key) => Some(key),
        }
    }
}

impl fmt::Display for EntryPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerTask => f.write_str("one task"),
            Self::PerScope(key) => write!(f, "one task, or scope {key}=…"),
        }
    }
}

/// A named responsibility: one queue, one handler, a number of slots.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerDescriptor {
    /// Its name.
    pub name: WorkerName,
    /// What it is there for, in one sentence.
    pub responsibility: String,
    /// Whom it serves.
    pub serves: String,
    /// What it writes.
    pub writes: Vec<Home>,
    /// Its app, its queue and its handler.
    pub route: Arc<Route>,
    /// Attempts that may run at once.
    pub slots: NonZeroUsize,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// A task that is not done so long after it was accepted is dead. A nearer deadline of the task itself counts first.
    pub deadline: Option<Duration>,
    /// What follows a failed attempt.
    pub retry: RetryPolicy,
    /// What the idempotency key is made of, in words.
    pub key: String,
    /// The effects its handler has, by step. What is not here is refused at run time.
    pub effects: Vec<(StepName, EffectClass)>,
    /// What it cannot work without; while one of them is down, its tasks wait.
    pub dependencies: Vec<DependencyName>,
    /// How its queue gives its tasks away.
    pub flow: QueuePolicy,
    /// How an operator runs it alone.
    pub entry_point: EntryPoint,
    /// Whether it can make its projection again from truth.
    pub rebuilds: bool,
    /// Version of the input's schema.
    pub schema_version: u32,
    /// JSON schema of the input.
    pub input_schema: Value,
    /// JSON schema of the output.
    pub output_schema: Value,
}

impl WorkerDescriptor {
    /// The longest time from the start of a task's first attempt to the end of its last: [`RetryPolicy::horizon`], and never past the
    /// deadline. What waits for a person, a snooze or a dependency comes on top.
    pub fn retry_horizon(&self) -> Duration {
        let horizon = self.retry.horizon(self.timeout);
        self.deadline.map_or(horizon, |deadline| horizon.min(deadline))
    }

    /// The declared class of a step.
    pub fn effect(&self, step: &StepName) -> Option<EffectClass> {
        self.effects.iter().find(|(known, _)| known == step).map(|(_, class)| *class)
    }

    /// Whether it declared a transactional effect: only then may its handler write the app's rows.
    pub fn writes_rows(&self) -> bool {
        self.effects.iter().any(|(_, class)| *class == EffectClass::Transactional)
    }
}
