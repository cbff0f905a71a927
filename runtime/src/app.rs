//! An app: a name and the modules it is assembled from.
//!
//! ```text
//! App::named ─▶ .module(M) … ─▶ configuration ─▶ M.register(config, setup) ─▶ the tree ─▶ until a signal
//! ```

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use runtime_actors::{AppPlan, EndpointPlan, HealthPlan, Serve, SourcePlan, WorkerPlan};
use runtime_core::event::EventSubscriber;
use runtime_core::flow::{BreakerPolicy, FlowError};
use runtime_core::name::{AppName, DependencyName, HandlerName, InvalidName, QueueName, Route, SourceName};
use runtime_core::schedule::ScheduleSpec;
use runtime_core::source::Source;
use runtime_core::store::{AppMigration, Store};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{NoAppConfig, RuntimeConfig};
use crate::duties::{LateWorker, MissingDuty, days_over, refuse_forgetting, told};
use crate::schedule::{Schedule, ScheduleProblem};
use crate::worker::Worker;

/// What an app's own section of the configuration must be.
pub trait AppConfig:
    DeserializeOwned + Serialize + JsonSchema + Default + Clone + Send + Sync + 'static
{
}

impl<T: DeserializeOwned + Serialize + JsonSchema + Default + Clone + Send + Sync + 'static> AppConfig for T {}

/// A part of an app: it registers sources, workers and what else belongs to one concern.
pub trait Module<A = NoAppConfig>: Send + Sync + 'static {
    /// Says what the module consists of, and starts nothing: it is called when the configuration is checked, when the app starts, and with
    /// every reload while it runs. So it opens no connection, leaves nothing behind, and ends soon; it may read the files that the
    /// configuration names. While the app runs it is called on a thread that may block, for at most 10 s, and a panic of it is told as what is
    /// wrong with the configuration. It only ever sees settings from the instance's own sources: never a document that somebody had checked
    /// through the admin API.
    ///
    /// # Errors
    /// When the app's configuration does not allow it to work.
    fn register(&self, config: &A, setup: &mut Setup) -> Result<(), SetupError>;
}

/// Why an app cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A name breaks its rule.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// Two things of one kind have one name.
    #[error("{what} {name} is registered twice")]
    Twice {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Workers lack something that every worker must have.
    #[error("every worker has five duties, and these are not met:{}", told(missing))]
    MissingDuty {
        /// All that is missing, worker by worker.
        missing: Vec<MissingDuty>,
    },
    /// Declared schedules cannot be.
    #[error("these schedules cannot be:{}", told(problems))]
    Schedules {
        /// All that is wrong, schedule by schedule.
        problems: Vec<ScheduleProblem>,
    },
    /// Workers may still try again when the keys of what they asked for are forgotten.
    #[error(
        "keys of finished tasks are forgotten after {} s, but a later attempt may still ask for the same task:{}\n  raise \
         store.key_retention_days to {days}, or give the workers fewer attempts, shorter waits or a deadline",
        keep.as_secs(), told(late), days = days_over(late)
    )]
    ForgetsTooEarly {
        /// How long a key is remembered after its task finished.
        keep: Duration,
        /// The workers that may ask later, each with the time from its first to its last attempt.
        late: Vec<LateWorker>,
    },
    /// A worker's tasks may weigh more than its rate ever gives at once.
    #[error("the input of worker {worker} may be too heavy for its flow")]
    TooHeavy {
        /// The worker.
        worker: String,
        /// How heavy, and for what.
        #[source]
        cause: FlowError,
    },
    /// What the module itself found.
    #[error("{0}")]
    Module(String),
    /// What the module itself met.
    #[error("{doing}")]
    Failed {
        /// What the module was doing.
        doing: String,
        /// What happened.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What modules register into.
pub struct Setup {
    app: AppName,
    pub(crate) workers: Vec<Worker>,
    pub(crate) sources: Vec<SourcePlan>,
    pub(crate) endpoints: Vec<EndpointPlan>,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) health: Vec<HealthPlan>,
    pub(crate) subscribers: Vec<Arc<dyn EventSubscriber>>,
    pub(crate) dependencies: BTreeMap<DependencyName, BreakerPolicy>,
    pub(crate) migrations: &'static [AppMigration],
}

impl Setup {
    /// An empty one: for an app under assembly, or for whoever needs its routes alone.
    pub fn new(app: AppName) -> Self {
        Self {
            app,
            workers: Vec::new(),
            sources: Vec::new(),
            endpoints: Vec::new(),
            schedules: Vec::new(),
            health: Vec::new(),
            subscribers: Vec::new(),
            dependencies: BTreeMap::new(),
            migrations: &[],
        }
    }

    /// A worker.
    pub fn worker(&mut self, worker: Worker) {
        self.workers.push(worker);
    }

    /// A schedule: it makes tasks of one of the app's workers.
    pub fn schedule(&mut self, schedule: Schedule) {
        self.schedules.push(schedule);
    }

    /// Where tasks for the worker of this name go.
    ///
    /// # Errors
    /// When it is no name.
    pub fn route(&self, worker: &str) -> Result<Arc<Route>, SetupError> {
        Self::route_of(self.app.as_str(), worker)
    }

    /// The same for any app: for producers outside of it.
    ///
    /// # Errors
    /// When one of them is no name.
    pub fn route_of(app: &str, worker: &str) -> Result<Arc<Route>, SetupError> {
        let (app, queue, handler) = (AppName::new(app)?, QueueName::new(worker)?, HandlerName::new(worker)?);
        Ok(Arc::new(Route { app, queue, handler }))
    }

    /// A source, made anew whenever its node is restarted.
    ///
    /// # Errors
    /// When its name is none.
    pub fn source(
        &mut self,
        name: &str,
        build: impl Fn() -> Box<dyn Source> + Send + Sync + 'static,
    ) -> Result<(), SetupError> {
        self.sources.push(SourcePlan { name: SourceName::new(name)?, build: Arc::new(build) });
        Ok(())
    }

    /// An endpoint: a source that the outside calls, such as an HTTP API. It has a thread of its own, so that its answers wait for no
    /// handler; it validates, enqueues and answers, and leaves everything that may take long to a worker.
    ///
    /// # Errors
    /// When its name is none.
    pub fn endpoint(
        &mut self,
        name: &str,
        build: impl Fn(Arc<dyn Store>) -> Serve + Send + Sync + 'static,
    ) -> Result<(), SetupError> {
        self.endpoints.push(EndpointPlan { name: SourceName::new(name)?, build: Arc::new(build) });
        Ok(())
    }

    /// A health reporter.
    pub fn health(&mut self, plan: HealthPlan) {
        self.health.push(plan);
    }

    /// Somebody who hears of the app's facts.
    pub fn subscribe(&mut self, subscriber: Arc<dyn EventSubscriber>) {
        self.subscribers.push(subscriber);
    }

    /// How the breaker around something that workers depend on behaves; without it, by the default policy.
    ///
    /// # Errors
    /// When its name is none, it was said before, or the policy makes no sense.
    pub fn dependency(&mut self, name: &str, policy: BreakerPolicy) -> Result<(), SetupError> {
        match self.dependencies.insert(DependencyName::new(name)?, checked(name, policy)?) {
            None => Ok(()),
            Some(_) => Err(SetupError::Twice { what: "dependency", name: name.to_owned() }),
        }
    }

    /// The schema of the app's own tables. One list an app.
    pub fn migrations(&mut self, migrations: &'static [AppMigration]) {
        self.migrations = migrations;
    }
}

/// An app under assembly; `A` is its own section of the configuration.
pub struct App<A = NoAppConfig> {
    name: String,
    modules: Vec<Arc<dyn Module<A>>>,
    config: PhantomData<fn() -> A>,
}

impl<A> Clone for App<A> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), modules: self.modules.clone(), config: PhantomData }
    }
}

impl App {
    /// An app without settings of its own.
    pub fn named(name: impl Into<String>) -> Self {
        Self::configured(name)
    }
}

impl<A: AppConfig> App<A> {
    /// An app with settings of its own.
    pub fn configured(name: impl Into<String>) -> Self {
        Self { name: name.into(), modules: Vec::new(), config: PhantomData }
    }

    /// Adds a module.
    #[must_use]
    pub fn module(mut self, module: impl Module<A>) -> Self {
        self.modules.push(Arc::new(module));
        self
    }

    /// The app's name.
    ///
    /// # Errors
    /// When it is no name.
    pub fn name(&self) -> Result<AppName, SetupError> {
        Ok(AppName::new(&self.name)?)
    }

    /// Lets the modules register, and checks what they registered against itself and the configuration.
    ///
    /// # Errors
    /// What a module refused, or what does not fit together.
    pub fn assemble(&self, config: &RuntimeConfig<A>) -> Result<Assembled, SetupError> {
        let name = self.name()?;
        let mut setup = Setup::new(name.clone());
        for module in &self.modules {
            module.register(&config.app, &mut setup)?;
        }
        let Setup {
            workers,
            mut sources,
            mut endpoints,
            schedules,
            health,
            subscribers,
            mut dependencies,
            migrations,
            ..
        } = setup;
        let missing: Vec<MissingDuty> = workers.iter().flat_map(Worker::missing_duties).collect();
        if !missing.is_empty() {
            return Err(SetupError::MissingDuty { missing });
        }
        let workers: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                let overrides = config.workers.iter().find(|(name, _)| worker.is_named(name.as_str()));
                worker.plan(&name, overrides.map(|(_, overrides)| overrides))
            })
            .collect::<Result<_, _>>()?;
        refuse_forgetting(&workers, config.store.retention().keep_keys_for)?;
        unique("worker", workers.iter().map(|worker| worker.descriptor.name.as_str()))?;
        let schedules = declared(schedules, &workers)?;
        unique("schedule", schedules.iter().map(|schedule| schedule.name.as_str()))?;
        let names = sources.iter().map(|source| &source.name).chain(endpoints.iter().map(|plan| &plan.name));
        unique("source", names.map(|name| name.as_str()))?;
        unique("health reporter", health.iter().map(|reporter| reporter.name.as_str()))?;
        for (dependency, overrides) in &config.dependencies {
            let declared = dependencies.get(dependency).copied().unwrap_or_default();
            dependencies.insert(dependency.clone(), checked(dependency.as_str(), overrides.over(declared))?);
        }
        let enabled = |name: &SourceName| config.sources.get(name).is_none_or(|settings| settings.enabled);
        sources.retain(|source| enabled(&source.name));
        endpoints.retain(|endpoint| enabled(&endpoint.name));
        Ok(Assembled {
            plan: AppPlan { name, workers, sources, endpoints, schedules, health, subscribers, dependencies },
            migrations,
        })
    }
}

/// An app whose modules have registered.
pub struct Assembled {
    /// What runs.
    pub plan: AppPlan,
    /// The schema of its own tables.
    pub migrations: &'static [AppMigration],
}

fn declared(schedules: Vec<Schedule>, workers: &[WorkerPlan]) -> Result<Vec<ScheduleSpec>, SetupError> {
    let (mut sound, mut problems) = (Vec::new(), Vec::new());
    for schedule in schedules {
        match schedule.spec(workers) {
            Ok(spec) => sound.push(spec),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(sound) } else { Err(SetupError::Schedules { problems }) }
}

/// A policy that makes sense.
fn checked(dependency: &str, policy: BreakerPolicy) -> Result<BreakerPolicy, SetupError> {
    policy.check().map(|()| policy).map_err(|error| SetupError::Failed {
        doing: format!("reading the policy of dependency {dependency}"),
        cause: Box::new(error),
    })
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), SetupError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(SetupError::Twice { what, name: name.to_owned() });
        }
    }
    Ok(())
}
