//! What is measured: every metric's name, unit and kind, and the instruments that record them.
//!
//! ```text
//! outcome settled ─▶ WorkerMeter: bound instruments, no look-up, no allocation        ─┐
//! every few seconds ─▶ Sampler: asks the door as an operator would ─▶ last sample ─▶ gauges ─┴▶ Meter
//! ```
//!
//! The [`Meter`] comes from whoever assembles the process; without one nothing is recorded and nobody samples. Labels are names that
//! somebody registered, states and codes, so their number is bounded; the id of a task, a tenant or a scope is never one of them.

mod journal;
mod sampler;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};
use runtime_core::error::ErrorCode;
use runtime_core::outcome::{Outcome, Settlement};
use runtime_core::task::TaskState;
use runtime_core::worker::WorkerDescriptor;

pub(crate) use journal::register as register_journal;
pub(crate) use sampler::Sampler;

/// What kind of instrument a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// As it is now.
    Gauge,
    /// How values are spread.
    Histogram,
}

/// One metric, as receivers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its unit in UCUM: `s`, or what is counted in braces.
    pub unit: &'static str,
    /// What kind of instrument it is.
    pub kind: MetricKind,
    /// What it says.
    pub about: &'static str,
}

const fn counter(name: &'static str, unit: &'static str, about: &'static str) -> Metric {
    Metric { name, unit, kind: MetricKind::Counter, about }
}

const fn gauge(name: &'static str, unit: &'static str, about: &'static str) -> Metric {
    Metric { name, unit, kind: MetricKind::Gauge, about }
}

const fn histogram(name: &'static str, about: &'static str) -> Metric {
    Metric { name, unit: "s", kind: MetricKind::Histogram, about }
}

/// Live tasks by [`QUEUE`] and [`STATE`].
pub const QUEUE_DEPTH: Metric = gauge("runtime.queue.depth", "{task}", "live tasks by queue and state");
/// Age by [`QUEUE`]; 0 when nothing waits.
pub const QUEUE_OLDEST_AGE: Metric =
    gauge("runtime.queue.oldest.age", "s", "how long the ready task that goes next has been due");
/// Dead tasks by [`QUEUE`].
pub const DEAD_LETTER_DEPTH: Metric = gauge("runtime.dead_letter.depth", "{task}", "dead tasks by queue");
/// Waits of attempts that began, by [`APP`], [`QUEUE`] and [`WORKER`].
pub const TASK_WAIT: Metric =
    histogram("runtime.task.wait.duration", "from a task's due time to the start of its attempt");
/// Attempts that began, by the attributes of the semantic conventions for messaging, [`APP`], [`WORKER`] and [`STATUS`].
pub const PROCESS_DURATION: Metric = histogram("messaging.process.duration", "how long an attempt took");
/// Outcomes by [`APP`], [`QUEUE`], [`WORKER`], [`STATUS`], [`STATE`] and, when there is one, [`ERROR_CODE`].
pub const TASK_SETTLED: Metric =
    counter("runtime.task.settled", "{task}", "settled outcomes by what they were and where they led");
/// Slots in use by [`APP`] and [`WORKER`].
pub const WORKER_BUSY: Metric = gauge("runtime.worker.busy", "{slot}", "slots in use");
/// Slots by [`APP`] and [`WORKER`].
pub const WORKER_CAPACITY: Metric = gauge("runtime.worker.capacity", "{slot}", "slots in all");
/// Leases that ran out, without labels.
pub const LEASE_EXPIRED: Metric = counter("runtime.lease.expired", "{lease}", "leases that ran out");
/// Lag by [`SCHEDULE`].
pub const SCHEDULE_LAG: Metric =
    gauge("runtime.schedule.lag", "s", "how long after its time the last tick was decided");
/// Restarts by [`NODE`].
pub const ACTOR_RESTARTS: Metric =
    counter("runtime.actor.restarts", "{restart}", "restarts of a node by its supervisor");
/// Messages by [`NODE`].
pub const MAILBOX_DEPTH: Metric =
    gauge("runtime.mailbox.depth", "{message}", "messages that wait in a node's mailbox");

/// Those who watch events, without labels.
pub const EVENT_WATCHERS: Metric = gauge("runtime.event.watchers", "{watcher}", "those who watch events");
/// Events that were written, without labels.
pub const EVENTS_WRITTEN: Metric = counter("runtime.event.written", "{event}", "events that were written");
/// Events that are gone to make room for others, without labels.
pub const EVENTS_EVICTED: Metric =
    counter("runtime.event.evicted", "{event}", "events that were forgotten to make room");
/// Watchers that were overtaken, without labels.
pub const SLOW_CONSUMERS: Metric = counter(
    "runtime.event.slow_consumers",
    "{watcher}",
    "watchers that were cut off because events came faster",
);

/// Every metric of the tree.
pub const METRICS: [Metric; 16] = [
    QUEUE_DEPTH,
    QUEUE_OLDEST_AGE,
    DEAD_LETTER_DEPTH,
    TASK_WAIT,
    PROCESS_DURATION,
    TASK_SETTLED,
    WORKER_BUSY,
    WORKER_CAPACITY,
    LEASE_EXPIRED,
    SCHEDULE_LAG,
    ACTOR_RESTARTS,
    MAILBOX_DEPTH,
    EVENT_WATCHERS,
    EVENTS_WRITTEN,
    EVENTS_EVICTED,
    SLOW_CONSUMERS,
];

/// Name of an app.
pub const APP: &str = "app";
/// Name of a queue.
pub const QUEUE: &str = "queue";
/// Name of a worker.
pub const WORKER: &str = "worker_id";
/// Name of a schedule.
pub const SCHEDULE: &str = "schedule";
/// Path of a node.
pub const NODE: &str = "node";
/// How an attempt ended: the outcome's name, or [`STALE`].
pub const STATUS: &str = "status";
/// Where a task stands.
pub const STATE: &str = "state";
/// Code of an error.
pub const ERROR_CODE: &str = "error_code";
/// The messaging system, by the semantic conventions: always [`SYSTEM`].
pub const MESSAGING_SYSTEM: &str = "messaging.system";
/// What is done, by the semantic conventions: always [`PROCESS`].
pub const MESSAGING_OPERATION: &str = "messaging.operation.name";
/// The queue, by the semantic conventions.
pub const MESSAGING_DESTINATION: &str = "messaging.destination.name";
/// Code of an error, by the semantic conventions.
pub const ERROR_TYPE: &str = "error.type";

/// Every label that a metric may have.
pub const LABELS: [&str; 12] = [
    APP,
    QUEUE,
    WORKER,
    SCHEDULE,
    NODE,
    STATUS,
    STATE,
    ERROR_CODE,
    MESSAGING_SYSTEM,
    MESSAGING_OPERATION,
    MESSAGING_DESTINATION,
    ERROR_TYPE,
];

/// The value of [`MESSAGING_SYSTEM`].
pub const SYSTEM: &str = "runtime";
/// The value of [`MESSAGING_OPERATION`].
pub const PROCESS: &str = "process";
/// The [`STATUS`] of an outcome that was refused because its lease was lost.
pub const STALE: &str = "stale";

/// Bounds of the wait's buckets, in seconds.
const WAITS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];

/// Bounds of an attempt's buckets, in seconds: those that the semantic conventions advise, and some for shorter and longer work.
const TAKES: [f64; 18] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0,
];

/// The instruments that the tree records with as things happen.
pub(crate) struct Instruments {
    settled: Counter<u64>,
    wait: Histogram<f64>,
    took: Histogram<f64>,
    expired: Counter<u64>,
}

impl Instruments {
    pub(crate) fn new(meter: &Meter) -> Self {
        let seconds = |metric: Metric, bounds: &[f64]| {
            let builder = meter.f64_histogram(metric.name).with_unit(metric.unit);
            builder.with_description(metric.about).with_boundaries(bounds.to_vec()).build()
        };
        let count = |metric: Metric| {
            meter.u64_counter(metric.name).with_unit(metric.unit).with_description(metric.about).build()
        };
        let expired = count(LEASE_EXPIRED);
        // A counter that is there from the start shows its first step.
        expired.add(0, &[]);
        Self {
            settled: count(TASK_SETTLED),
            wait: seconds(TASK_WAIT, &WAITS),
            took: seconds(PROCESS_DURATION, &TAKES),
            expired,
        }
    }

    /// Leases ran out.
    pub(crate) fn leases_expired(&self, count: usize) {
        self.expired.add(u64::try_from(count).unwrap_or(u64::MAX), &[]);
    }
}

/// Measures the attempts of one worker. What is recorded often is bound to its labels once.
pub(crate) struct WorkerMeter {
    instruments: Arc<Instruments>,
    app: KeyValue,
    queue: KeyValue,
    worker: KeyValue,
    wait: BoundHistogram<f64>,
    ends: Mutex<HashMap<End, Arc<EndMeter>>>,
}

/// How attempts end, as labels tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct End {
    status: &'static str,
    state: Option<TaskState>,
    code: Option<ErrorCode>,
}

struct EndMeter {
    settled: BoundCounter<u64>,
    took: BoundHistogram<f64>,
}

impl WorkerMeter {
    pub(crate) fn new(instruments: Arc<Instruments>, worker: &WorkerDescriptor) -> Self {
        let app = KeyValue::new(APP, worker.route.app.to_string());
        let queue = KeyValue::new(QUEUE, worker.route.queue.to_string());
        let worker = KeyValue::new(WORKER, worker.name.to_string());
        let wait = instruments.wait.bind(&[app.clone(), queue.clone(), worker.clone()]);
        Self { instruments, app, queue, worker, wait, ends: Mutex::default() }
    }

    /// An outcome is settled, and led to this state.
    pub(crate) fn settled(&self, settlement: &Settlement, due: Option<Timestamp>, state: TaskState) {
        let outcome = &settlement.outcome;
        let code = outcome.error_code();
        let meter = self.end(End { status: outcome.name(), state: Some(state), code });
        meter.settled.add(1);
        if matches!(outcome, Outcome::Released { .. }) {
            return;
        }
        meter.took.record(settlement.took.as_secs_f64());
        if let Some(due) = due {
            let waited = Duration::try_from(settlement.started_at.duration_since(due)).unwrap_or_default();
            self.wait.record(waited.as_secs_f64());
        }
    }

    /// An outcome came too late: its lease was lost.
    pub(crate) fn stale(&self) {
        self.end(End { status: STALE, state: None, code: Some(ErrorCode::LeaseLost) }).settled.add(1);
    }

    fn end(&self, end: End) -> Arc<EndMeter> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.entry(end).or_insert_with(|| Arc::new(self.bind(end))).clone()
    }

    fn bind(&self, End { status, state, code }: End) -> EndMeter {
        let status = KeyValue::new(STATUS, status);
        let mut settled = vec![self.app.clone(), self.queue.clone(), self.worker.clone(), status.clone()];
        settled.extend(state.map(|state| KeyValue::new(STATE, state.as_str())));
        settled.extend(code.map(|code| KeyValue::new(ERROR_CODE, code.as_str())));
        let mut took = vec![
            KeyValue::new(MESSAGING_SYSTEM, SYSTEM),
            KeyValue::new(MESSAGING_OPERATION, PROCESS),
            KeyValue::new(MESSAGING_DESTINATION, self.queue.value.clone()),
            self.app.clone(),
            self.worker.clone(),
            status,
        ];
        took.extend(code.map(|code| KeyValue::new(ERROR_TYPE, code.as_str())));
        EndMeter { settled: self.instruments.settled.bind(&settled), took: self.instruments.took.bind(&took) }
    }
}
