//! The breakers of one app: what its workers depend on, and whether calling it is worth while.
//!
//! ```text
//! executor ─▶ room? ─▶ ask for leases ─▶ allow ─▶ attempt with permits ─▶ its outcome ─▶ report
//!               └ held: leases nobody has begun go back, the worker waits and looks again in time
//! ```
//!
//! Shared by all executors of the app and older than any of them. A breaker holds starts back; outcomes go their way whatever it
//! says, and what could not start stays in its queue.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use runtime_core::clock::Clock;
use runtime_core::control::DependencyView;
use runtime_core::flow::{
    Breaker, BreakerPolicy, BreakerState, BreakerView, Permit, Recorded, RetryAt, Verdict,
};
use runtime_core::journal::{Cause, Changes, Entry, EventType, Place, Subject, Value};
use runtime_core::name::{AppName, DependencyName, WorkerName};
use runtime_core::outcome::Outcome;

use crate::executor::ExecutorMsg;
use crate::journal::SharedJournal;
use crate::registry::{AppPlan, WorkerPlan};
use crate::table::NodeAddress;

/// The rights of one attempt to call what its worker depends on.
pub(crate) type Permits = Vec<(DependencyName, Permit)>;

/// A dependency that is not to be called now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub dependency: DependencyName,
    /// Until then, when that is known: a probe that is under way ends when it ends.
    pub until: Option<Timestamp>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waits for dependency {}", self.dependency)?;
        match self.until {
            Some(until) => write!(f, " until {until:.0}"),
            None => f.write_str(", which is being tried"),
        }
    }
}

/// One breaker for each dependency, by name.
pub struct Breakers {
    app: AppName,
    clock: Arc<dyn Clock>,
    journal: Arc<SharedJournal>,
    known: Mutex<BTreeMap<DependencyName, Guarded>>,
}

struct Guarded {
    policy: BreakerPolicy,
    breaker: Breaker,
    executors: Vec<NodeAddress<ExecutorMsg>>,
    workers: Vec<WorkerName>,
}

impl Breakers {
    /// The breakers of an app, all closed. `executor` gives the address of a worker's node.
    pub(crate) fn of(
        app: &AppPlan,
        clock: Arc<dyn Clock>,
        journal: Arc<SharedJournal>,
        executor: impl Fn(&WorkerPlan) -> NodeAddress<ExecutorMsg>,
    ) -> Arc<Self> {
        let mut known = BTreeMap::new();
        for plan in &app.workers {
            for dependency in &plan.descriptor.dependencies {
                let guarded = known.entry(dependency.clone()).or_insert_with(|| {
                    let policy = app.dependencies.get(dependency).copied().unwrap_or_default();
                    let breaker = Breaker::new(policy, clock.now());
                    Guarded { policy, breaker, executors: Vec::new(), workers: Vec::new() }
                });
                // A probe is an attempt: it is not given up while that may still go on.
                guarded.policy.probe_within = guarded.policy.probe_within.max(plan.descriptor.timeout);
                guarded.breaker = Breaker::new(guarded.policy, clock.now());
                guarded.executors.push(executor(plan));
                guarded.workers.push(plan.descriptor.name.clone());
            }
        }
        Arc::new(Self { app: app.name.clone(), clock, journal, known: Mutex::new(known) })
    }

    /// Where each stands, by name.
    pub(crate) fn views(&self) -> Vec<DependencyView> {
        let view = |(name, guarded): (&DependencyName, &Guarded)| DependencyView {
            app: self.app.clone(),
            name: name.clone(),
            breaker: guarded.breaker.view(),
            workers: guarded.workers.clone(),
        };
        self.lock().iter().map(view).collect()
    }

    /// How many attempts may start now, as far as can be said without starting one.
    ///
    /// # Errors
    /// [`Held`]: none.
    pub fn room(&self, needs: &[DependencyName]) -> Result<usize, Held> {
        if needs.is_empty() {
            return Ok(usize::MAX);
        }
        let (now, known) = (self.clock.now(), self.lock());
        let mut room = usize::MAX;
        for (dependency, Guarded { policy, breaker, .. }) in
            needs.iter().filter_map(|name| known.get_key_value(name))
        {
            let BreakerView { state, until, probing, .. } = breaker.view();
            let places = match state {
                BreakerState::Closed => usize::MAX,
                BreakerState::Open if until.is_some_and(|until| now < until) => 0,
                BreakerState::Open => policy.probes.get() as usize,
                BreakerState::HalfOpen => (policy.probes.get() as usize).saturating_sub(probing),
            };
            if places == 0 {
                return Err(Held { dependency: dependency.clone(), until });
            }
            room = room.min(places);
        }
        Ok(room)
    }

    /// Permits for one attempt: of all that it needs, or of none.
    ///
    /// # Errors
    /// [`Held`] by the first that does not let it through.
    pub(crate) fn allow(&self, needs: &[DependencyName]) -> Result<Permits, Held> {
        if needs.is_empty() {
            return Ok(Permits::new());
        }
        let (now, mut known) = (self.clock.now(), self.lock());
        let mut permits = Permits::new();
        for dependency in needs {
            let Some(guarded) = known.get_mut(dependency) else { continue };
            let tried = guarded.breaker.view().state != BreakerState::Closed;
            match guarded.breaker.allow(now) {
                Ok(permit) => {
                    if tried {
                        tracing::info!(%dependency, "breaker half-open: a probe goes through");
                        self.tell(dependency, now, ("open", "half_open"), Cause::Platform);
                    }
                    permits.push((dependency.clone(), permit));
                }
                Err(RetryAt(at)) => {
                    let open = guarded.breaker.view().state == BreakerState::Open;
                    for (taken, permit) in permits {
                        if let Some(guarded) = known.get_mut(&taken) {
                            guarded.breaker.give_back(permit, now);
                        }
                    }
                    return Err(Held { dependency: dependency.clone(), until: open.then_some(at) });
                }
            }
        }
        Ok(permits)
    }

    /// Hears how an attempt ended: done is a success of all it needed, an error that blames a dependency is a failure of that one, and
    /// everything else says nothing about any.
    pub(crate) fn report(&self, permits: Permits, outcome: &Outcome) {
        if permits.is_empty() {
            return;
        }
        let blamed = outcome.error().and_then(|error| error.dependency);
        let (now, mut known) = (self.clock.now(), self.lock());
        for (dependency, permit) in permits {
            let Some(Guarded { breaker, executors, .. }) = known.get_mut(&dependency) else { continue };
            let verdict = match outcome {
                Outcome::Done { .. } => Verdict::Ok,
                _ if blamed.as_ref() == Some(&dependency) => Verdict::Failed,
                _ => {
                    breaker.give_back(permit, now);
                    continue;
                }
            };
            let before = breaker.view().state.as_str();
            match breaker.record(permit, now, verdict) {
                Recorded::Counted | Recorded::Late => {}
                Recorded::Opened { until } => {
                    let failures = breaker.view().failures;
                    tracing::warn!(%dependency, %until, failures, "breaker opened: tasks that need it wait");
                    let cause = Cause::Outcome(outcome.name(), outcome.error_code());
                    self.tell(&dependency, now, (before, "open"), cause);
                }
                Recorded::Closed => {
                    tracing::info!(%dependency, "breaker closed: tasks that need it go on");
                    self.tell(&dependency, now, (before, "closed"), Cause::Outcome(outcome.name(), None));
                    for executor in executors.iter() {
                        // One that is restarting looks by itself when it is up.
                        drop(executor.send(ExecutorMsg::ExecuteTaskFromEvent));
                    }
                }
            }
        }
    }

    fn tell(
        &self,
        dependency: &DependencyName,
        now: Timestamp,
        (before, after): (&'static str, &'static str),
        cause: Cause,
    ) {
        let subject = Subject::Dependency(self.app.clone(), dependency.clone());
        let changes = Changes::one("state", Value::Word(before), Value::Word(after));
        let entry = Entry::new(now, EventType::BreakerChanged, subject, changes).because(cause);
        let place = Place { app: Some(self.app.clone()), ..Place::default() };
        self.journal.note(&Arc::new(place), entry);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DependencyName, Guarded>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
