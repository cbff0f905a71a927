//! Source pumps: a source finds work outside, the pump makes tasks of it and tells the source what is finished.
//!
//! ```text
//! Source::next ─▶ enqueue, keyed by what the outside calls it ─▶ pending ─▶ finished ─▶ Source::finished
//! ```
//!
//! The source itself is user code: it runs in a task of its own on the work pool. The node only steers that task.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use runtime_core::control::{Origin, Reply};
use runtime_core::error::TaskError;
use runtime_core::journal::Cause;
use runtime_core::name::{IdempotencyKey, SourceName};
use runtime_core::node::Health;
use runtime_core::source::{Finished, Found, Source};
use runtime_core::store::{EnqueueError, Enqueued};
use runtime_core::supervision::{Backoff, Fault};
use runtime_core::task::{TaskId, TaskState};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tracing::{Instrument, Span};

use crate::messaging;
use crate::node::{NodeActor, NodeContext, Progress};
use crate::platform::Platform;
use crate::services::telling::{Accepted, Asked};
use crate::supervisor::rand_unit;
use crate::table::{NodeAddress, NodeEntry};
use crate::work_pool::Lane;

/// Tasks of one source that may be unfinished at once: beyond that it waits.
const MAX_PENDING: usize = 2_000;

/// Tasks that a source asks the store after in one call.
const LOOK_AT_ONCE: usize = 256;

/// How often a source asks the store after tasks whose end it may have missed.
const RECHECK: Duration = Duration::from_secs(15);

/// Waits between tries to reach the outside, or to enqueue into a queue that takes no more.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(200), factor: 2, cap: Duration::from_secs(30), jitter: 0.5 };

/// How a source is made.
#[derive(Clone)]
pub struct SourcePlan {
    /// Its name.
    pub name: SourceName,
    /// Makes it anew for every incarnation.
    pub build: Arc<dyn Fn() -> Box<dyn Source> + Send + Sync>,
}

/// What a pump is told.
pub(crate) enum PumpMsg {
    /// A task that came from this source is finished.
    TaskFinished {
        /// The task.
        task: TaskId,
        /// How.
        state: TaskState,
        /// The handler's output, when done.
        output: Option<Vec<u8>>,
    },
    /// The pumping task ended; it never should by itself.
    PumpEnded(Result<(), String>),
    /// The work pool moved to another lane.
    PoolMoved,
}

/// The logic of a source's node.
pub(crate) struct SourcePump {
    platform: Arc<Platform>,
    plan: SourcePlan,
    run: watch::Sender<Run>,
    ends: Option<mpsc::UnboundedSender<End>>,
    task: Option<(AbortHandle, Arc<Lane>)>,
}

/// What the pumping task shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Go,
    Pause,
    Stop,
}

struct End {
    task: TaskId,
    state: TaskState,
    output: Option<Vec<u8>>,
}

impl SourcePump {
    pub(crate) fn new(platform: Arc<Platform>, plan: SourcePlan) -> Self {
        Self { platform, plan, run: watch::Sender::new(Run::Go), ends: None, task: None }
    }
}

#[async_trait]
impl NodeActor for SourcePump {
    type Msg = PumpMsg;

    async fn init(&mut self, node: &NodeContext<PumpMsg>) -> Result<Progress, Fault> {
        let (sender, ends) = mpsc::unbounded_channel();
        self.ends = Some(sender);
        let pump = Pump {
            platform: self.platform.clone(),
            name: self.plan.name.clone(),
            entry: node.entry().clone(),
            source: (self.plan.build)(),
            run: self.run.subscribe(),
            ends,
            pending: HashMap::new(),
            to_mark: Vec::new(),
        };
        let (pumping, lane) = self.platform.pool.spawn_in_lane(pump.run());
        self.task = Some((pumping.abort_handle(), lane));
        let myself = node.myself();
        tokio::spawn(async move {
            let result = pumping.await.map_err(|error| error.to_string());
            myself.tell(PumpMsg::PumpEnded(result));
        });
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, node: &NodeContext<PumpMsg>, message: PumpMsg) -> Result<(), Fault> {
        match message {
            PumpMsg::TaskFinished { task, state, output } => {
                if let Some(ends) = &self.ends {
                    // A pump that has ended finds the task finished when it meets it again.
                    drop(ends.send(End { task, state, output }));
                }
            }
            PumpMsg::PumpEnded(Ok(())) => node.finish(),
            PumpMsg::PumpEnded(Err(error)) => return Err(node.fault(error)),
            // On a thread that a handler holds nothing moves; the next incarnation pumps elsewhere and finds what this one had.
            PumpMsg::PoolMoved if self.task.as_ref().is_some_and(|(_, lane)| lane.is_held()) => {
                return Err(node.fault("handlers hold the threads that it runs on"));
            }
            PumpMsg::PoolMoved => {}
        }
        Ok(())
    }

    fn pause(&mut self, _node: &NodeContext<PumpMsg>) {
        self.run.send_replace(Run::Pause);
    }

    fn resume(&mut self, _node: &NodeContext<PumpMsg>) {
        self.run.send_replace(Run::Go);
    }

    fn drain(&mut self, _node: &NodeContext<PumpMsg>, reply: Reply<()>) {
        self.run.send_replace(Run::Pause);
        reply.send(Ok(()));
    }

    async fn stop(&mut self, _node: &NodeContext<PumpMsg>) -> Result<Progress, Fault> {
        self.run.send_replace(Run::Stop);
        Ok(Progress::Underway)
    }
}

impl Drop for SourcePump {
    fn drop(&mut self) {
        if let Some((task, _)) = self.task.take() {
            task.abort();
        }
    }
}

/// The pumping task.
struct Pump {
    platform: Arc<Platform>,
    name: SourceName,
    entry: Arc<NodeEntry>,
    source: Box<dyn Source>,
    run: watch::Receiver<Run>,
    ends: mpsc::UnboundedReceiver<End>,
    /// Tasks that are not finished, by what the outside calls them.
    pending: HashMap<TaskId, IdempotencyKey>,
    /// Finished, not yet marked outside.
    to_mark: Vec<Finished>,
}

impl Pump {
    /// Opens, pumps, and after an error opens again: until it is stopped.
    async fn run(mut self) {
        let mut failures = 0;
        while !self.stopped() {
            let error = match self.session(&mut failures).await {
                Ok(()) => return,
                Err(error) => error,
            };
            failures += 1;
            let wait = BACKOFF.delay(failures, rand_unit());
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(source = %self.name, error_code = %error.code, error = %error.message, wait_ms, "source failed; opening it again");
            self.entry.errors.fetch_add(1, Ordering::Relaxed);
            self.entry.set_health(Health::Unhealthy(error.message));
            let mut run = self.run.clone();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = run.wait_for(|run| *run == Run::Stop) => return,
            }
        }
    }

    fn stopped(&self) -> bool {
        *self.run.borrow() == Run::Stop
    }

    /// From one `open` to an error, or to the stop.
    async fn session(&mut self, failures: &mut u32) -> Result<(), TaskError> {
        let mut run = self.run.clone();
        tokio::select! {
            opened = self.source.open() => opened?,
            _ = run.wait_for(|run| *run == Run::Stop) => return Ok(()),
        }
        self.entry.set_health(Health::Healthy);
        let mut recheck = tokio::time::interval(RECHECK);
        recheck.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.mark().await?;
            let run = *self.run.borrow_and_update();
            let room = MAX_PENDING.saturating_sub(self.pending.len());
            tokio::select! {
                biased;
                changed = self.run.changed() => {
                    // Without a node there is nobody to pump for.
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                Some(end) = self.ends.recv(), if run != Run::Stop => self.ended(end),
                _ = recheck.tick(), if run != Run::Stop => self.recheck().await?,
                found = self.source.next(room), if run == Run::Go && room > 0 => {
                    let found = found?;
                    *failures = 0;
                    self.take_in(found).await?;
                }
                () = std::future::ready(()), if run == Run::Stop => return self.mark().await,
            }
        }
    }

    /// Makes tasks of what was found. What the queue has no room for waits here: the source is not asked for more. At a stop it is left
    /// where it is, to be found again.
    async fn take_in(&mut self, found: Vec<Found>) -> Result<(), TaskError> {
        let mut left = found;
        let mut taken = Vec::with_capacity(left.len());
        let mut tries = 0;
        while !left.is_empty() {
            let results =
                join_all(left.into_iter().map(|item| enqueue(&self.platform, &self.name, item))).await;
            left = Vec::new();
            let mut asked = Duration::ZERO;
            for (item, result) in results {
                match result {
                    Ok(enqueued) => taken.push(self.enqueued(item.key, &enqueued)),
                    Err(error @ (EnqueueError::QueueFull { .. } | EnqueueError::Shed { .. })) => {
                        asked = asked.max(error.retry_after().unwrap_or_default());
                        self.entry.set_health(Health::Degraded(error.to_string()));
                        left.push(item);
                    }
                    Err(error @ EnqueueError::Store(_)) => return Err(error.into()),
                    // The outside gave one name to two things, or a thing too large: a person has to look.
                    Err(error) => {
                        tracing::error!(source = %self.name, key = %item.key, error_code = %error.code(), %error, "found something that cannot become a task");
                        self.entry.errors.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            if !left.is_empty() {
                tries += 1;
                let mut run = self.run.clone();
                tokio::select! {
                    () = tokio::time::sleep(BACKOFF.delay(tries, rand_unit()).max(asked)) => {}
                    _ = run.wait_for(|run| *run == Run::Stop) => break,
                }
            }
        }
        self.entry.set_health(Health::Healthy);
        // Some may have finished before they were watched: long ago, when a crash came between settling and marking, or just now.
        self.look_at(taken).await
    }

    fn enqueued(&mut self, key: IdempotencyKey, enqueued: &Enqueued) -> TaskId {
        self.entry.handled.fetch_add(1, Ordering::Relaxed);
        let task = enqueued.id();
        self.pending.insert(task, key);
        self.platform.completion.watch(task, NodeAddress::of(self.entry.clone()));
        task
    }

    /// Asks the store how pending tasks stand.
    async fn recheck(&mut self) -> Result<(), TaskError> {
        self.look_at(self.pending.keys().copied().collect()).await
    }

    async fn look_at(&mut self, ids: Vec<TaskId>) -> Result<(), TaskError> {
        for ids in ids.chunks(LOOK_AT_ONCE) {
            let tasks = self.platform.store.get(ids.to_vec()).await?;
            for (id, task) in ids.iter().copied().zip(tasks) {
                match task {
                    Some(task) if task.state.is_finished() => {
                        self.ended(End { task: id, state: task.state, output: task.output });
                    }
                    Some(_) => continue,
                    // History forgot it: it was finished long ago, and how no longer matters to the outside.
                    None => self.ended(End { task: id, state: TaskState::Done, output: None }),
                }
                self.platform.completion.unwatch(id);
            }
        }
        Ok(())
    }

    fn ended(&mut self, End { task, state, output }: End) {
        if let Some(key) = self.pending.remove(&task) {
            self.to_mark.push(Finished { key, task, state, output });
        }
    }

    /// Tells the source what is finished. Kept until the source has taken it.
    async fn mark(&mut self) -> Result<(), TaskError> {
        while let Ok(end) = self.ends.try_recv() {
            self.ended(end);
        }
        if !self.to_mark.is_empty() {
            runtime_core::failpoint!("mark_due");
            self.source.finished(&self.to_mark).await?;
            runtime_core::failpoint!("marked");
            self.to_mark.clear();
        }
        Ok(())
    }
}

/// Makes one task, with the app's rows if there are any, under the producer's span, whose context goes with the task.
async fn enqueue(
    platform: &Platform,
    source: &SourceName,
    item: Found,
) -> (Found, Result<Enqueued, EnqueueError>) {
    let queue = item.task.route.queue.clone();
    let found = tracing::info_span!(
        "receive",
        otel.name = format_args!("receive {source}"),
        source = %source,
        queue = %queue,
    );
    let span = found.in_scope(|| {
        tracing::info_span!("enqueue", otel.name = format_args!("enqueue {queue}"), otel.kind = "producer")
    });
    messaging::enqueues(&*platform.traces, &span, &queue);
    async {
        let mut task = item.task.clone().keyed(item.key.clone());
        task.trace = task.trace.or_else(|| platform.traces.current());
        let asked = Asked::of(&task);
        let result = async {
            if item.writes.is_empty() {
                let mut answers = platform.store.enqueue(vec![task]).await?;
                answers.pop().unwrap_or(Err(runtime_core::store::StoreError::Closed.into()))
            } else {
                let mut answers = platform.store.enqueue_whole(vec![task], item.writes.clone()).await?;
                answers.pop().ok_or_else(|| runtime_core::store::StoreError::Closed.into())
            }
        }
        .await;
        if let Ok(enqueued) = &result {
            messaging::enqueued(&*platform.traces, &Span::current(), enqueued.id());
            let mut accepted = Accepted::new(platform.clock.now(), Cause::Source, &Origin::platform());
            accepted.answered(&asked, enqueued);
            accepted.tell(&platform.journal);
        }
        runtime_core::failpoint!("enqueue_committed");
        (item, result)
    }
    .instrument(span)
    .instrument(found)
    .await
}
