//! How a module declares a schedule.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use runtime_actors::WorkerPlan;
use runtime_core::input::Misfit;
use runtime_core::name::{ScheduleName, Scope, Tenant};
use runtime_core::schedule::{CatchUpPolicy, InvalidSchedule, OverlapPolicy, ScheduleSpec, Timing};
use runtime_core::task::Priority;
use serde::Serialize;
use serde_json::Value;

/// A schedule under description: at which times it makes which task.
///
/// ```
/// # use runtime::prelude::*;
/// # fn register(setup: &mut Setup) {
/// setup.schedule(
///     Schedule::named("nightly-settlement")
///         .cron("0 0 2 * * *", "Europe/Berlin")
///         .enqueues("settle", &serde_json::json!({ "store": 42, "date": FromTick::date().minus("P1D") }))
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

    /// Each tick makes a task of this worker of the same app, with this input: a document in which values may follow from the tick, by
    /// [`FromTick`](runtime_core::schedule::FromTick). It is checked against the worker's input when the app starts, and the task's key,
    /// scope, tenant and ordering key follow from it.
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

    /// Whose work its tasks are, where that does not follow from their input.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The part of the world its tasks concern, where that does not follow from their input.
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

    /// The finished declaration, or all that keeps it from being one.
    pub(crate) fn spec(self, workers: &[WorkerPlan]) -> Result<ScheduleSpec, Vec<ScheduleProblem>> {
        let mut problems = Problems { schedule: self.name.clone(), found: Vec::new() };
        let name = problems.check("name", ScheduleName::new(&self.name));
        let timing = match self.timing {
            None => problems.lacks("times", "it has none: say .cron(expression, zone) or .every(interval)"),
            Some(timing) => problems.check("times", timing),
        };
        let input = match self.input {
            None => problems.lacks("worker", "it makes no tasks: say .enqueues(worker, &input)"),
            Some(input) => problems.check("input", input),
        };
        let worker = self.worker.and_then(|worker| {
            let known = workers.iter().find(|plan| plan.descriptor.name.as_str() == worker);
            known.or_else(|| problems.lacks("worker", format!("there is no worker {worker:?}")))
        });
        let tenant = problems.check("tenant", self.tenant.map(Tenant::new).transpose());
        let scope = problems.check("scope", self.scope.map(Scope::new).transpose());
        let jitter_secs = problems.check("jitter", u32::try_from(self.jitter.as_secs()));
        let (
            Some(name),
            Some(timing),
            Some(input),
            Some(worker),
            Some(tenant),
            Some(scope),
            Some(jitter_secs),
        ) = (name, timing, input, worker, tenant, scope, jitter_secs)
        else {
            return Err(problems.found);
        };
        let route = worker.descriptor.route.as_ref().clone();
        let spec = ScheduleSpec {
            start: self.start,
            end: self.end,
            jitter_secs,
            overlap: self.overlap,
            catch_up: self.catch_up,
            tenant,
            scope,
            priority: self.priority,
            ..ScheduleSpec::new(name, route, input, timing)
        };
        problems.check("end", spec.check());
        for Misfit { field, why } in spec.misfits(|task| worker.handler.complete(task)) {
            problems.lacks::<()>(&field, why);
        }
        if problems.found.is_empty() { Ok(spec) } else { Err(problems.found) }
    }
}

/// What keeps a declared schedule from being one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleProblem {
    /// The schedule.
    pub schedule: String,
    /// Which part of it: `times`, `worker`, a place in its input (`input/store`), or what was said beside it.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for ScheduleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schedule {}, {}: {}", self.schedule, self.field, self.why)
    }
}

/// Those of one schedule.
struct Problems {
    schedule: String,
    found: Vec<ScheduleProblem>,
}

impl Problems {
    fn check<T, E: fmt::Display>(&mut self, field: &str, part: Result<T, E>) -> Option<T> {
        part.map_err(|error| self.lacks::<T>(field, error.to_string())).ok()
    }

    fn lacks<T>(&mut self, field: &str, why: impl Into<String>) -> Option<T> {
        let (schedule, field) = (self.schedule.clone(), field.to_owned());
        self.found.push(ScheduleProblem { schedule, field, why: why.into() });
        None
    }
}
