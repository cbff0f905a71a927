//! How a module describes a worker.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use runtime_actors::WorkerPlan;
use runtime_core::flow::ShedPolicy;
use runtime_core::handler::{Context, Handler, HandlerResult, TypedHandler};
use runtime_core::input::TaskInput;
use runtime_core::name::{
    AppName, DependencyName, HandlerName, InvalidName, QueueName, Route, StepName, WorkerName,
};
use runtime_core::rebuild::Rebuild;
use runtime_core::retry::RetryPolicy;
use runtime_core::store::{EffectClass, QueuePolicy};
use runtime_core::worker::{EntryPoint, Home, WorkerDescriptor};
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::SetupError;
use crate::config::WorkerConfig;
use crate::duties::{MissingDuty, missing_duties};

/// A worker under description: a named responsibility with one queue and one handler of the same name.
///
/// Five duties have no default, and an app in which a worker lacks one does not start: the *named responsibility*
/// ([`responsibility`](Self::responsibility), [`serves`](Self::serves), [`writes`](Self::writes)), the *durable input* (that of the
/// [`handler`](Self::handler)), the *retry behaviour* ([`retry`](Self::retry)), the *idempotence boundary* (the key of the input, and
/// [`effect`](Self::effect) or [`no_effects`](Self::no_effects)) and the *operational entry point*
/// ([`entry_point`](Self::entry_point)).
pub struct Worker {
    pub(crate) name: String,
    pub(crate) responsibility: Option<String>,
    pub(crate) serves: Option<String>,
    pub(crate) writes: Vec<Home>,
    pub(crate) handler: Option<Typed>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) effects: Vec<(String, EffectClass)>,
    pub(crate) no_effects: bool,
    pub(crate) entry_point: Option<EntryPoint>,
    pub(crate) rebuild: Option<Arc<dyn Rebuild>>,
    slots: NonZeroUsize,
    timeout: Duration,
    deadline: Option<Duration>,
    dependencies: Vec<String>,
    flow: QueuePolicy,
    shed: Option<ShedPolicy>,
}

/// A handler, and what the type of its input says.
pub(crate) struct Typed {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) key: &'static str,
    heaviest: Option<NonZeroU32>,
    schema_version: u32,
}

impl Worker {
    /// A worker with 4 slots and a timeout of 60 s.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            responsibility: None,
            serves: None,
            writes: Vec::new(),
            handler: None,
            retry: None,
            effects: Vec::new(),
            no_effects: false,
            entry_point: None,
            rebuild: None,
            slots: const { NonZeroUsize::new(4).expect("not zero") },
            timeout: Duration::from_mins(1),
            deadline: None,
            dependencies: Vec::new(),
            flow: QueuePolicy::default(),
            shed: None,
        }
    }

    /// What it is there for, in one sentence.
    #[must_use]
    pub fn responsibility(mut self, sentence: impl Into<String>) -> Self {
        self.responsibility = Some(sentence.into());
        self
    }

    /// Whom it serves: who notices when it does not run.
    #[must_use]
    pub fn serves(mut self, whom: impl Into<String>) -> Self {
        self.serves = Some(whom.into());
        self
    }

    /// What it writes. May be said again for a worker that writes several.
    #[must_use]
    pub fn writes(mut self, home: Home) -> Self {
        self.writes.push(home);
        self
    }

    /// The code it runs: an async function from an input to an output. The type of the input is the worker's durable input, and says what
    /// its idempotency key is made of.
    #[must_use]
    pub fn handler<I, O, F, Fut>(mut self, function: F) -> Self
    where
        I: TaskInput,
        O: Serialize + JsonSchema + Send + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerResult<O>> + Send + 'static,
    {
        let handler = Arc::new(TypedHandler::new(function));
        self.handler =
            Some(Typed { handler, key: I::KEY, heaviest: I::HEAVIEST, schema_version: I::SCHEMA_VERSION });
        self
    }

    /// What follows a failed attempt.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// An effect that its handler has, by step. A step that is not declared, or comes with another class, is refused at run time.
    #[must_use]
    pub fn effect(mut self, step: impl Into<String>, class: EffectClass) -> Self {
        self.effects.push((step.into(), class));
        self
    }

    /// Its handler has no effects: it reads, computes and answers.
    #[must_use]
    pub fn no_effects(mut self) -> Self {
        self.no_effects = true;
        self
    }

    /// How an operator runs it alone.
    #[must_use]
    pub fn entry_point(mut self, entry_point: EntryPoint) -> Self {
        self.entry_point = Some(entry_point);
        self
    }

    /// How its projection is made again from truth, scope by scope.
    #[must_use]
    pub fn rebuild(mut self, rebuild: impl Rebuild) -> Self {
        self.rebuild = Some(Arc::new(rebuild));
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

    /// A task that is not done so long after it was accepted is dead. Found when an attempt would begin, and it bounds that attempt;
    /// a nearer deadline of the task itself counts first.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Something outside that it cannot work without. While it is down its tasks wait; the handler says so with
    /// [`TaskError::of_dependency`](runtime_core::error::TaskError::of_dependency).
    #[must_use]
    pub fn depends_on(mut self, dependency: impl Into<String>) -> Self {
        self.dependencies.push(dependency.into());
        self
    }

    /// How its queue gives its tasks away: lanes by tenant, scope or a part of the payload, with limits for each, others for single ones,
    /// and a fair share; whether a dead task holds up those behind it in its ordering key. What operators say of limits at run time
    /// comes first.
    #[must_use]
    pub fn flow(mut self, policy: QueuePolicy) -> Self {
        self.flow = policy;
        self
    }

    /// When its queue refuses tasks that can wait, long before it is full: what was taken stays, what is worth more than
    /// [`ShedPolicy::keeps`] is still taken.
    #[must_use]
    pub fn shed(mut self, policy: ShedPolicy) -> Self {
        self.shed = Some(policy);
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
        let missing = missing_duties(&self);
        let Self { name, responsibility, serves, writes, handler, retry, effects, .. } = self;
        let (Some(responsibility), Some(serves), Some(typed), Some(mut retry), Some(entry_point), true) =
            (responsibility, serves, handler, retry, self.entry_point, missing.is_empty())
        else {
            return Err(SetupError::MissingDuty { missing });
        };
        if let Some(heaviest) = typed.heaviest {
            let accepts = self.flow.accepts(heaviest);
            accepts.map_err(|cause| SetupError::TooHeavy { worker: name.clone(), cause })?;
        }
        let effects: Result<Vec<_>, InvalidName> =
            effects.iter().map(|(step, class)| Ok((StepName::new(step)?, *class))).collect();
        let dependencies: Result<Vec<_>, InvalidName> =
            self.dependencies.iter().map(DependencyName::new).collect();
        let (mut slots, mut timeout) = (self.slots, self.timeout);
        let mut flow = self.flow;
        flow.shed = self.shed.or(flow.shed);
        if let Some(overrides) = overrides {
            slots = overrides.slots.unwrap_or(slots);
            timeout = overrides.timeout_secs.map_or(timeout, |secs| Duration::from_secs(secs.get()));
            retry.max_attempts = overrides.max_attempts.unwrap_or(retry.max_attempts);
            flow.shed = overrides.shed.over(flow.shed);
        }
        if let Some(Err(cause)) = flow.shed.map(|policy| policy.check()) {
            let doing = format!("reading when worker {name} sheds load");
            return Err(SetupError::Failed { doing, cause: Box::new(cause) });
        }
        let route =
            Route { app: app.clone(), queue: QueueName::new(&name)?, handler: HandlerName::new(&name)? };
        let descriptor = WorkerDescriptor {
            name: WorkerName::new(&name)?,
            responsibility,
            serves,
            writes,
            route: Arc::new(route),
            slots,
            timeout,
            deadline: self.deadline,
            retry,
            key: typed.key.to_owned(),
            effects: effects?,
            dependencies: dependencies?,
            flow,
            entry_point,
            rebuilds: self.rebuild.is_some(),
            schema_version: typed.schema_version,
            input_schema: typed.handler.input_schema(),
            output_schema: typed.handler.output_schema(),
        };
        Ok(WorkerPlan { descriptor: Arc::new(descriptor), handler: typed.handler, rebuild: self.rebuild })
    }

    /// What keeps the worker from being one.
    pub(crate) fn missing_duties(&self) -> Vec<MissingDuty> {
        missing_duties(self)
    }
}
