//! How a module describes a worker.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use runtime_actors::WorkerPlan;
use runtime_core::handler::{Context, Handler, HandlerResult, TypedHandler};
use runtime_core::name::{AppName, HandlerName, InvalidName, QueueName, Route, StepName, WorkerName};
use runtime_core::retry::RetryPolicy;
use runtime_core::store::EffectClass;
use runtime_core::worker::WorkerDescriptor;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::SetupError;
use crate::config::WorkerConfig;

/// A worker under description: a named responsibility with one queue and one handler of the same name.
pub struct Worker {
    name: String,
    responsibility: Option<String>,
    slots: NonZeroUsize,
    timeout: Duration,
    retry: RetryPolicy,
    effects: Vec<(String, EffectClass)>,
    handler: Option<Arc<dyn Handler>>,
}

impl Worker {
    /// A worker with 4 slots, a timeout of 60 s and the default retry policy.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            responsibility: None,
            slots: const { NonZeroUsize::new(4).expect("not zero") },
            timeout: Duration::from_mins(1),
            retry: RetryPolicy::default(),
            effects: Vec::new(),
            handler: None,
        }
    }

    /// What it is there for, in one sentence.
    #[must_use]
    pub fn responsibility(mut self, sentence: impl Into<String>) -> Self {
        self.responsibility = Some(sentence.into());
        self
    }

    /// Attempts that may run at once.
    #[must_use]
    pub fn slots(mut self, slots: NonZeroUsize) -> Self {
        self.slots = slots;
        self
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What follows a failed attempt.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// An effect that its handler has, by step.
    #[must_use]
    pub fn effect(mut self, step: impl Into<String>, class: EffectClass) -> Self {
        self.effects.push((step.into(), class));
        self
    }

    /// The code it runs: an async function from an input to an output.
    #[must_use]
    pub fn handler<I, O, F, Fut>(mut self, function: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + Send + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerResult<O>> + Send + 'static,
    {
        self.handler = Some(Arc::new(TypedHandler::new(function)));
        self
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name
    }

    /// The finished plan, with what the configuration says differently.
    pub(crate) fn plan(
        self,
        app: &AppName,
        overrides: Option<&WorkerConfig>,
    ) -> Result<WorkerPlan, SetupError> {
        let missing = |duty| SetupError::MissingDuty { worker: self.name.clone(), duty };
        let name = WorkerName::new(&self.name)?;
        let responsibility = self.responsibility.clone().ok_or_else(|| missing("responsibility"))?;
        let handler = self.handler.clone().ok_or_else(|| missing("handler"))?;
        let effects: Result<Vec<_>, InvalidName> =
            self.effects.iter().map(|(step, class)| Ok((StepName::new(step)?, *class))).collect();
        let mut retry = self.retry;
        let (mut slots, mut timeout) = (self.slots, self.timeout);
        if let Some(overrides) = overrides {
            slots = overrides.slots.unwrap_or(slots);
            timeout = overrides.timeout_secs.map_or(timeout, |secs| Duration::from_secs(secs.get()));
            retry.max_attempts = overrides.max_attempts.unwrap_or(retry.max_attempts);
        }
        let route = Route {
            app: app.clone(),
            queue: QueueName::new(&self.name)?,
            handler: HandlerName::new(&self.name)?,
        };
        let descriptor = WorkerDescriptor {
            name,
            responsibility,
            route: Arc::new(route),
            slots,
            timeout,
            retry,
            effects: effects?,
            input_schema: handler.input_schema(),
            output_schema: handler.output_schema(),
        };
        Ok(WorkerPlan { descriptor: Arc::new(descriptor), handler })
    }
}
