//! The five duties of a worker, looked at before anything starts.

use std::fmt;
use std::time::Duration;

use runtime_actors::WorkerPlan;
use runtime_core::input::is_implicit;
use runtime_core::name::WorkerName;
use runtime_core::worker::Duty;

use crate::app::SetupError;
use crate::worker::Worker;

/// A duty that a worker does not meet, and what would meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingDuty {
    /// The worker.
    pub worker: String,
    /// Which of the five.
    pub duty: Duty,
    /// What is missing, and how it is said.
    pub lacks: &'static str,
}

impl fmt::Display for MissingDuty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}, {}: {}", self.worker, self.duty, self.lacks)
    }
}

/// A worker whose last attempt may come after the keys of what its first one asked for are forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateWorker {
    /// The worker.
    pub worker: WorkerName,
    /// The longest time from the start of its first attempt to the end of its last.
    pub horizon: Duration,
}

impl fmt::Display for LateWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} may try again for {} s", self.worker, self.horizon.as_secs())
    }
}

/// All of them, one a line.
pub(crate) fn told<T: fmt::Display>(found: &[T]) -> String {
    found.iter().map(|one| format!("\n  {one}")).collect()
}

/// Whole days that are longer than the horizon of each.
pub(crate) fn days_over(late: &[LateWorker]) -> u64 {
    late.iter().map(|late| late.horizon.as_secs() / 86_400 + 1).max().unwrap_or_default()
}

/// Refuses a store that forgets the key of a finished task while a worker may still ask for that task again.
///
/// The asker is what counts, and any worker may be one: its first attempt makes a task outside of its settlement, the task is done at
/// once, and the last attempt asks again. Only the key then says that it was done. The ledger of effects needs no such look: its rows
/// are kept as long as their task, live or in history, so that no attempt and no replay ever misses one.
pub(crate) fn refuse_forgetting(workers: &[WorkerPlan], keep: Duration) -> Result<(), SetupError> {
    let late: Vec<LateWorker> = workers
        .iter()
        .map(|plan| &plan.descriptor)
        .map(|known| LateWorker { worker: known.name.clone(), horizon: known.retry_horizon() })
        .filter(|late| late.horizon >= keep)
        .collect();
    if late.is_empty() { Ok(()) } else { Err(SetupError::ForgetsTooEarly { keep, late }) }
}

/// Everything that a worker lacks, in the order of the duties.
pub(crate) fn missing_duties(worker: &Worker) -> Vec<MissingDuty> {
    let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    let scope_key = worker.entry_point.and_then(|entry| entry.scope_key());
    let input = worker.handler.as_ref();
    let checks = [
        (
            Duty::NamedResponsibility,
            !said(&worker.responsibility),
            "say what it does, with .responsibility(sentence)",
        ),
        (Duty::NamedResponsibility, !said(&worker.serves), "say for whom, with .serves(whom)"),
        (
            Duty::NamedResponsibility,
            worker.writes.is_empty(),
            "say what it writes, with .writes(Home::Truth(…)), Projection, Outside or Output",
        ),
        (
            Duty::DurableInput,
            input.is_none(),
            "give it a handler and with it an input, with .handler(function)",
        ),
        (
            Duty::DurableInput,
            input.is_some_and(|typed| is_implicit(&typed.handler.input_schema())),
            "its input is implicit: a task that says nothing stands for whatever there is to do when it runs, so that no second run \
             can be told from the first; name in the input what is to be done (a store and a period, an id)",
        ),
        (
            Duty::RetryBehaviour,
            worker.retry.is_none(),
            "say what follows a failed attempt, with .retry(policy)",
        ),
        (
            Duty::IdempotenceBoundary,
            input.is_some_and(|typed| typed.key.trim().is_empty()),
            "say in words what the key of its input is made of, in TaskInput::KEY",
        ),
        (
            Duty::IdempotenceBoundary,
            worker.effects.is_empty() && !worker.no_effects,
            "declare each effect of its handler with .effect(step, class), or .no_effects()",
        ),
        (
            Duty::IdempotenceBoundary,
            !worker.effects.is_empty() && worker.no_effects,
            "it declares effects and says .no_effects()",
        ),
        (
            Duty::EntryPoint,
            worker.entry_point.is_none(),
            "say how an operator runs it alone, with .entry_point(EntryPoint::per_scope(key)) or per_task()",
        ),
        (
            Duty::EntryPoint,
            scope_key.is_some_and(|key| key.trim().is_empty() || key.contains('=')),
            "the key of its scope is the part before the '=': \"store\" for store=42",
        ),
        (
            Duty::EntryPoint,
            worker.rebuild.is_some() && worker.entry_point.is_some() && scope_key.is_none(),
            "it rebuilds scope by scope, so its entry point takes a scope: EntryPoint::per_scope(key)",
        ),
    ];
    let missing = checks.into_iter().filter(|(_, missing, _)| *missing);
    missing.map(|(duty, _, lacks)| MissingDuty { worker: worker.name.clone(), duty, lacks }).collect()
}
