//! How a module declares a schedule.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runtime_actors::WorkerPlan;
use runtime_core::name::{ScheduleName, Scope, Tenant};
use runtime_core::schedule::{CatchUpPolicy, InvalidSchedule, OverlapPolicy, ScheduleSpec, Timing};
use runtime_core::task::Priority;
use serde::Serialize;
use serde_json::Value;

use crate::app::SetupError;

/// A schedule under description: at which times it makes which task.
///
/// ```
/// # use runtime::prelude::*;
/// # fn register(setup: &mut Setup) {
/// setup.schedule(
///     Schedule::named("nightly-settlement")
///         .cron("0 0 2 * * *", "Europe/Berlin")
///         .enqueues("settle", &serde_json::json!({ "period": "day" }))
///         .overlap(OverlapPolicy::BufferOne)
///         .catch_up(CatchUpPolicy::Last),
/// );
/// # }
/// ```
pub struct Schedule {
    name: String,
    timing: Option<Result<Timing, InvalidSchedule>>,
    worker: Option<String>,
    input: Option<serde_json::Result<Value>>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    jitter: Duration,
    overlap: OverlapPolicy,
    catch_up: CatchUpPolicy,
    tenant: Option<String>,
    scope: Option<String>,
    priority: Priority,
}

impl Schedule {
    /// A schedule without times and tasks yet. Ticks that meet an unfinished task are skipped, and so are those that were missed.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            timing: None,
            worker: None,
            input: None,
            start: None,
            end: None,
            jitter: Duration::ZERO,
            overlap: OverlapPolicy::default(),
            catch_up: CatchUpPolicy::default(),
            tenant: None,
            scope: None,
            priority: Priority::default(),
        }
    }

    /// Wall times in a zone: five fields from the minute on, or six from the second on; see [`runtime_core::schedule::Cron`].
    #[must_use]
    pub fn cron(mut self, expression: &str, zone: &str) -> Self {
        self.timing = Some(Timing::cron(expression, zone));
        self
    }

    /// A fixed interval of whole seconds, counted from the start, or from 1970 where none is given.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.timing = Some(Timing::every(interval));
        self
    }

    /// Each tick makes a task of this worker of the same app, with this input.
    #[must_use]
    pub fn enqueues<I: Serialize>(mut self, worker: impl Into<String>, input: &I) -> Self {
        self.worker = Some(worker.into());
        self.input = Some(serde_json::to_value(input));
        self
    }

    /// What a tick does when a task of the schedule has not finished.
    #[must_use]
    pub fn overlap(mut self, policy: OverlapPolicy) -> Self {
        self.overlap = policy;
        self
    }

    /// What becomes of ticks while nobody was there.
    #[must_use]
    pub fn catch_up(mut self, policy: CatchUpPolicy) -> Self {
        self.catch_up = policy;
        self
    }

    /// A task may start up to so much after its tick, in whole seconds.
    #[must_use]
    pub fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// No tick before this.
    #[must_use]
    pub fn starting(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// No tick at this time or later.
    #[must_use]
    pub fn ending(mut self, end: Timestamp) -> Self {
        self.end = Some(end);
        self
    }

    /// Whose work its tasks are.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The part of the world its tasks concern.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Lower goes first.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The finished declaration; every problem names the schedule.
    pub(crate) fn spec(self, workers: &[WorkerPlan]) -> Result<ScheduleSpec, SetupError> {
        let schedule = self.name.clone();
        let wrong = |cause: Problem| SetupError::Schedule { schedule: schedule.clone(), cause };
        let invalid = |error| wrong(Box::new(error));
        let name = ScheduleName::new(&self.name)?;
        let timing = self.timing.ok_or_else(|| wrong("it has no times".into()))?.map_err(invalid)?;
        let (worker, input) = self.worker.zip(self.input).ok_or_else(|| wrong("it makes no tasks".into()))?;
        let input = input.map_err(|error| wrong(Box::new(error)))?;
        let route = workers.iter().find(|plan| plan.descriptor.name.as_str() == worker);
        let route = route.ok_or_else(|| wrong(format!("there is no worker {worker:?}").into()))?;
        let name_of = |error: runtime_core::name::InvalidName| wrong(Box::new(error));
        let jitter_secs = u32::try_from(self.jitter.as_secs())
            .map_err(|_| wrong("its jitter is longer than a schedule can have".into()))?;
        let spec = ScheduleSpec {
            start: self.start,
            end: self.end,
            jitter_secs,
            overlap: self.overlap,
            catch_up: self.catch_up,
            tenant: self.tenant.map(Tenant::new).transpose().map_err(name_of)?,
            scope: self.scope.map(Scope::new).transpose().map_err(name_of)?,
            priority: self.priority,
            ..ScheduleSpec::new(name, Arc::unwrap_or_clone(route.descriptor.route.clone()), input, timing)
        };
        spec.check().map_err(invalid)?;
        Ok(spec)
    }
}

type Problem = Box<dyn std::error::Error + Send + Sync>;
