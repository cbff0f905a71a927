//! What a worker is, as data: the descriptor that the template cache serves and operators see.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::name::{Route, StepName, WorkerName};
use crate::retry::RetryPolicy;
use crate::store::EffectClass;

/// A named responsibility: one queue, one handler, a number of slots.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerDescriptor {
    /// Its name.
    pub name: WorkerName,
    /// What it is there for, in one sentence.
    pub responsibility: String,
    /// Its app, its queue and its handler.
    pub route: Arc<Route>,
    /// Attempts that may run at once.
    pub slots: NonZeroUsize,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// What follows a failed attempt.
    pub retry: RetryPolicy,
    /// The effects its handler has, by step.
    pub effects: Vec<(StepName, EffectClass)>,
    /// JSON schema of the input.
    pub input_schema: Value,
    /// JSON schema of the output.
    pub output_schema: Value,
}
