//! What is told of tasks: taken, settled, changed from outside. There are many, so what is written is as it is at hand, and nothing is made
//! into text.

use std::sync::Arc;

use jiff::Timestamp;
use runtime_core::control::Origin;
use runtime_core::journal::{
    Cause, Changed, Changes, Class, Entry, EventJournal, EventType, Place, Subject, TaskChange, TraceId,
    Value,
};
use runtime_core::name::Route;
use runtime_core::outcome::Settlement;
use runtime_core::store::Enqueued;
use runtime_core::task::{NewTask, Task, TaskId, TaskState};
use runtime_core::trace::TraceContext;

use crate::journal::SharedJournal;

/// Adds what is told of a settled attempt: where its task went, and what it stated.
pub(crate) fn settled(
    entries: &mut Vec<Entry>,
    now: Timestamp,
    settlement: &Settlement,
    attempt: u32,
    after: TaskState,
) {
    let Settlement { lease, outcome, with, trace, .. } = settlement;
    let trace = trace_id(trace.as_ref());
    let about = |kind, changes, cause| {
        let entry = Entry::new(now, kind, Subject::Task(lease.task), changes).because(cause);
        Entry { trace, ..entry }
    };
    let change = TaskChange { before: Some(TaskState::Leased), after: Some(after), attempt };
    let cause = Cause::Outcome(outcome.name(), outcome.error_code());
    entries.push(about(EventType::TaskSettled, Changes::Task(change), cause));
    for fact in with.iter().flat_map(|with| &with.events) {
        let said = [
            Changed::is("kind", Value::text(&fact.kind)),
            Changed::is("bytes", Value::number(fact.body.len())),
        ];
        let cause = Cause::Outcome(outcome.name(), None);
        entries.push(about(EventType::FactStated, Changes::of(said), cause));
    }
}

/// Writes that a task was changed from outside.
pub(crate) fn changed(
    journal: &SharedJournal,
    now: Timestamp,
    before: &Task,
    after: TaskState,
    command: &'static str,
    origin: &Origin,
) {
    // What is forgotten stands nowhere.
    let after = Some(after).filter(|_| command != "delete");
    let change = TaskChange { before: Some(before.state), after, attempt: before.attempt };
    let entry = Entry::new(now, EventType::TaskChanged, Subject::Task(before.id), Changes::Task(change));
    let entry = entry.because(Cause::Command(command)).of(origin, command);
    let entry = Entry { trace: entry.trace.or_else(|| trace_id(before.trace.as_ref())), ..entry };
    journal.note(&Arc::new(Place::of_route(&before.route)), entry);
}

/// Tasks that were taken, by where they go.
pub(crate) struct Accepted {
    now: Timestamp,
    cause: Cause,
    origin: Origin,
    by_route: Vec<(Arc<Route>, Vec<Entry>)>,
}

/// What is to be told of a task if it is taken.
#[derive(Clone)]
pub(crate) struct Asked {
    route: Arc<Route>,
    run_at: Option<Timestamp>,
    trace: Option<TraceId>,
}

impl Asked {
    pub(crate) fn of(task: &NewTask) -> Self {
        Self { route: task.route.clone(), run_at: task.run_at, trace: trace_id(task.trace.as_ref()) }
    }
}

impl Accepted {
    pub(crate) fn new(now: Timestamp, cause: Cause, origin: &Origin) -> Self {
        Self { now, cause, origin: origin.clone(), by_route: Vec::new() }
    }

    /// When they were.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// This task was taken. One that was there before is no news.
    pub(crate) fn answered(&mut self, asked: &Asked, answer: &Enqueued) {
        if let Enqueued::Accepted { id } = answer {
            self.add(asked, *id);
        }
    }

    /// This task was taken.
    pub(crate) fn add(&mut self, asked: &Asked, id: TaskId) {
        let waits = asked.run_at.is_some_and(|at| at > self.now);
        let after = if waits { TaskState::Scheduled } else { TaskState::Ready };
        let changes = Changes::Task(TaskChange { before: None, after: Some(after), attempt: 0 });
        let entry = Entry::new(self.now, EventType::TaskAccepted, Subject::Task(id), changes);
        let entry = entry.because(self.cause.clone()).of(&self.origin, "enqueue");
        let entry = Entry { trace: asked.trace.or(entry.trace), ..entry };
        match self.by_route.iter_mut().find(|(route, _)| *route == asked.route) {
            Some((_, entries)) => entries.push(entry),
            None => self.by_route.push((asked.route.clone(), vec![entry])),
        }
    }

    pub(crate) fn tell(self, journal: &SharedJournal) {
        for (route, entries) in self.by_route {
            journal.write(Class::Tasks, &Arc::new(Place::of_route(&route)), entries);
        }
    }
}

fn trace_id(trace: Option<&TraceContext>) -> Option<TraceId> {
    trace.and_then(|trace| TraceId::parse(trace.trace_id()?))
}
