//! What is measured without a moment of its own: depths, ages, slots. Every few seconds the sampler asks the door what an operator
//! would ask; the meter's callbacks read its last answer. Nobody who works is asked, and a tree that does not answer shows as
//! gauges that are not there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use runtime_core::clock::Clock;
use runtime_core::control::{Command, CommandError, Control, ScheduleCommand, ScheduleView, ask};
use runtime_core::node::{NodeKind, NodePath, NodeView};
use runtime_core::store::QueueStats;
use runtime_core::task::TaskState;
use tokio::task::JoinHandle;

use super::{
    ACTOR_RESTARTS, APP, DEAD_LETTER_DEPTH, MAILBOX_DEPTH, Metric, NODE, QUEUE, QUEUE_DEPTH,
    QUEUE_OLDEST_AGE, SCHEDULE, SCHEDULE_LAG, STATE, WORKER, WORKER_BUSY, WORKER_CAPACITY,
};

/// Samples until it is dropped.
pub(crate) struct Sampler(JoinHandle<()>);

/// The tree and the store at one moment.
struct Sample {
    at: Timestamp,
    nodes: Vec<NodeView>,
    queues: Vec<QueueStats>,
    schedules: Vec<ScheduleView>,
}

/// The last sample; nothing when the last try got no answer.
type Last = Arc<Mutex<Option<Arc<Sample>>>>;

/// Takes one value with its labels.
type Observe<'o, T> = &'o mut dyn FnMut(T, &[KeyValue]);

impl Sampler {
    /// Registers the gauges, and samples at once and then every so often.
    pub(crate) fn start(
        meter: &Meter,
        door: Arc<dyn Control>,
        clock: Arc<dyn Clock>,
        every: Duration,
    ) -> Self {
        let last = Last::default();
        register(meter, &last);
        Self(tokio::spawn(async move {
            loop {
                let sample = match Sample::take(&*door, &*clock).await {
                    Ok(sample) => Some(Arc::new(sample)),
                    Err(error) => {
                        tracing::debug!(error_code = %error.code, %error, "no sample for the metrics");
                        None
                    }
                };
                *last.lock().unwrap_or_else(PoisonError::into_inner) = sample;
                tokio::time::sleep(every).await;
            }
        }))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sample {
    async fn take(door: &dyn Control, clock: &dyn Clock) -> Result<Self, CommandError> {
        let nodes = ask(door, |reply| Command::GetTree { root: NodePath::root(), reply }).await?;
        let queues = ask(door, |reply| Command::ListQueues { reply }).await?;
        let queues = queues.into_iter().map(|queue| queue.stats).collect();
        // The schedules may be stopped by themselves: the rest is worth knowing all the same.
        let schedules = ask(door, |reply| Command::Schedules(ScheduleCommand::List { reply })).await;
        let schedules = schedules.unwrap_or_default();
        Ok(Self { at: clock.now(), nodes, queues, schedules })
    }

    /// Seconds from then until the sample; 0 for what lies after it.
    fn since(&self, then: Timestamp) -> f64 {
        self.at.duration_since(then).as_secs_f64().max(0.0)
    }

    fn depths(&self, observe: Observe<'_, u64>) {
        for stats in &self.queues {
            for state in TaskState::ALL.into_iter().filter(|state| !state.is_finished()) {
                let labels =
                    [KeyValue::new(QUEUE, stats.queue.to_string()), KeyValue::new(STATE, state.as_str())];
                observe(stats.counts.of(state), &labels);
            }
        }
    }

    fn dead(&self, observe: Observe<'_, u64>) {
        for stats in &self.queues {
            observe(stats.counts.of(TaskState::Dead), &[KeyValue::new(QUEUE, stats.queue.to_string())]);
        }
    }

    fn ages(&self, observe: Observe<'_, f64>) {
        for stats in &self.queues {
            let age = stats.oldest_ready.map_or(0.0, |oldest| self.since(oldest));
            observe(age, &[KeyValue::new(QUEUE, stats.queue.to_string())]);
        }
    }

    /// A tick that should have been decided by now counts as late already.
    fn lags(&self, observe: Observe<'_, f64>) {
        for schedule in &self.schedules {
            let decided = schedule.lag.map_or(0.0, |lag| lag.as_secs_f64());
            let overdue = schedule.next_tick.map_or(0.0, |tick| self.since(tick));
            let labels = [KeyValue::new(SCHEDULE, schedule.stored.spec.name.to_string())];
            observe(decided.max(overdue), &labels);
        }
    }

    fn slots(&self, pick: fn((u64, u64)) -> u64, observe: Observe<'_, u64>) {
        for node in self.nodes.iter().filter(|node| node.kind == NodeKind::Executor) {
            let app = node.path.parent().and_then(|workers| workers.parent());
            let labels = [
                KeyValue::new(APP, app.map(|app| app.name().to_owned()).unwrap_or_default()),
                KeyValue::new(WORKER, node.path.name().to_owned()),
            ];
            observe(pick(node.slots.unwrap_or_default()), &labels);
        }
    }

    fn busy(&self, observe: Observe<'_, u64>) {
        self.slots(|(busy, _)| busy, observe);
    }

    fn capacity(&self, observe: Observe<'_, u64>) {
        self.slots(|(_, slots)| slots, observe);
    }

    fn mailboxes(&self, observe: Observe<'_, u64>) {
        self.nodes.iter().for_each(|node| observe(node.mailbox, &[node_label(node)]));
    }

    fn restarts(&self, observe: Observe<'_, u64>) {
        self.nodes.iter().for_each(|node| observe(node.restarts, &[node_label(node)]));
    }
}

fn node_label(node: &NodeView) -> KeyValue {
    KeyValue::new(NODE, node.path.to_string())
}

/// Makes an observable instrument that shows what `look` finds in the last sample.
macro_rules! observable {
    ($meter:ident.$kind:ident, $last:ident, $metric:expr, $look:expr) => {{
        let (metric, last): (Metric, Last) = ($metric, $last.clone());
        let instrument = $meter.$kind(metric.name).with_unit(metric.unit).with_description(metric.about);
        let callback = move |observer: &dyn AsyncInstrument<_>| {
            let sample = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(sample) = sample {
                $look(&sample, &mut |value, labels: &[KeyValue]| observer.observe(value, labels));
            }
        };
        // The meter keeps the callback; the handle has no further use.
        let _handle = instrument.with_callback(callback).build();
    }};
}

fn register(meter: &Meter, last: &Last) {
    observable!(meter.u64_observable_gauge, last, QUEUE_DEPTH, Sample::depths);
    observable!(meter.u64_observable_gauge, last, DEAD_LETTER_DEPTH, Sample::dead);
    observable!(meter.f64_observable_gauge, last, QUEUE_OLDEST_AGE, Sample::ages);
    observable!(meter.f64_observable_gauge, last, SCHEDULE_LAG, Sample::lags);
    observable!(meter.u64_observable_gauge, last, WORKER_BUSY, Sample::busy);
    observable!(meter.u64_observable_gauge, last, WORKER_CAPACITY, Sample::capacity);
    observable!(meter.u64_observable_gauge, last, MAILBOX_DEPTH, Sample::mailboxes);
    observable!(meter.u64_observable_counter, last, ACTOR_RESTARTS, Sample::restarts);
}
