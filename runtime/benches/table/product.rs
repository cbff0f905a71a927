//! The product as an app sees it: through its public API and with its defaults.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runtime::config::{NoAppConfig, RuntimeConfig};
use runtime::core::control::{Command, Control, NodeCommand, ask};
use runtime::core::node::NodePath;
use runtime::prelude::*;
use runtime::telemetry::TelemetryGuard;
use runtime::{App, Running};
use tokio::sync::Notify;

/// Slots of the bench's worker.
pub(crate) const SLOTS: usize = 2_048;

/// The narrow payload of the specification: `{"id":n}`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Narrow {
    /// Its number.
    pub id: u64,
}

impl TaskInput for Narrow {
    const KEY: &'static str = "number";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(self.id.to_string())
    }
}

/// What the handler counts and tells.
#[derive(Default)]
pub(crate) struct Seen {
    count: AtomicU64,
    goal: AtomicU64,
    reached: Notify,
    started: Mutex<Vec<Instant>>,
    timed: std::sync::atomic::AtomicBool,
}

impl Seen {
    fn one(&self) {
        if self.timed.load(Ordering::Relaxed) {
            self.started.lock().expect("no panic while held").push(Instant::now());
        }
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == self.goal.load(Ordering::Relaxed) {
            self.reached.notify_one();
        }
    }
}

/// What one run of a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing.
    Noop,
    /// A keyed step that the ledger notes, and a row of the app in the settling transaction.
    Ledger,
}

impl Work {
    fn worker(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Ledger => "ledger",
        }
    }
}

const MIGRATIONS: &[AppMigration] =
    &[AppMigration { name: "what was done", sql: "CREATE TABLE bench_done (id INTEGER PRIMARY KEY)" }];

/// A peer that enforces our key would answer at once; a row says that the work is done.
async fn note(ctx: &Context, id: u64) -> Result<(), NotDone> {
    let step = StepName::new("tell").map_err(|error| NotDone::reject(error.to_string()))?;
    let _told: String = ctx.keyed(step, &id, async |key| Ok(key)).await?;
    let row = i64::try_from(id).map_err(|error| NotDone::reject(error.to_string()))?;
    ctx.write(AppWrite::new(move |tx| {
        tx.execute("INSERT INTO bench_done (id) VALUES (?1)", &[row.into()]).map(drop)
    }));
    Ok(())
}

struct Bench(Arc<Seen>);

impl Module for Bench {
    fn register(&self, _config: &NoAppConfig, setup: &mut Setup) -> Result<(), SetupError> {
        setup.migrations(MIGRATIONS);
        let seen = self.0.clone();
        setup.worker(
            Worker::named("ledger")
                .responsibility("tells a keyed peer and writes a row")
                .serves("who reads the table")
                .writes(Home::Truth("bench_done"))
                .retry(RetryPolicy::default())
                .effect("tell", EffectClass::Keyed)
                .effect("row", EffectClass::Transactional)
                .entry_point(EntryPoint::per_task())
                .slots(SLOTS.try_into().expect("not zero"))
                .handler(move |ctx, input: Narrow| {
                    let seen = seen.clone();
                    async move {
                        note(&ctx, input.id).await?;
                        seen.one();
                        Ok(())
                    }
                }),
        );
        let seen = self.0.clone();
        setup.worker(
            Worker::named("noop")
                .responsibility("does nothing, as fast as the platform lets it")
                .serves("who reads the table")
                .writes(Home::Output)
                .retry(RetryPolicy::default())
                .no_effects()
                .entry_point(EntryPoint::per_task())
                .slots(SLOTS.try_into().expect("not zero"))
                .handler(move |_ctx, _input: Narrow| {
                    seen.one();
                    std::future::ready(Ok(()))
                }),
        );
        Ok(())
    }
}

/// The defaults, in this folder.
pub(crate) fn config(folder: &Path) -> RuntimeConfig<NoAppConfig> {
    let mut config = RuntimeConfig::default();
    config.runtime.data_dir = folder.to_owned();
    config.admin.listen = ([127, 0, 0, 1], 0).into();
    config
}

/// The app, not yet running.
pub(crate) fn app(seen: &Arc<Seen>) -> App {
    App::named("bench").module(Bench(seen.clone()))
}

/// A running app with one worker that does nothing.
pub(crate) struct Product {
    running: Running,
    seen: Arc<Seen>,
    route: Arc<Route>,
    worker: NodePath,
}

impl Product {
    /// Starts it in this folder, with tasks for the worker that does this.
    pub(crate) async fn start(folder: &Path, telemetry: &TelemetryGuard, work: Work) -> Self {
        Self::configured(&config(folder), telemetry, work).await
    }

    /// The same, as this configuration says.
    pub(crate) async fn configured(
        config: &RuntimeConfig<NoAppConfig>,
        telemetry: &TelemetryGuard,
        work: Work,
    ) -> Self {
        let seen = Arc::new(Seen::default());
        let running = app(&seen).start(config, telemetry).await.expect("the bench app starts");
        let route = Setup::route_of("bench", work.worker()).expect("valid names");
        let worker = format!("/engine/apps/bench/workers/{}", work.worker()).parse().expect("a path");
        Self { running, seen, route, worker }
    }

    fn task(&self, id: u64) -> NewTask {
        NewTask::new(self.route.clone(), format!("{{\"id\":{id}}}").into_bytes())
    }

    /// Pauses or resumes the worker.
    pub(crate) async fn steer(&self, command: NodeCommand) {
        let path = self.worker.clone();
        ask(&*self.running.control(), |reply| Command::SteerNode {
            path,
            command,
            terms: Default::default(),
            reply,
        })
        .await
        .expect("steered");
    }

    /// Enqueues `count` tasks, `batch` a call; tasks a second.
    pub(crate) async fn bulk(&self, count: u64, batch: u64) -> f64 {
        let began = Instant::now();
        let mut id = 0;
        while id < count {
            let tasks = (id..(id + batch).min(count)).map(|id| self.task(id)).collect();
            let answers = self.running.store().enqueue(tasks).await.expect("enqueued");
            assert!(answers.iter().all(Result::is_ok), "every task is taken");
            id += batch;
        }
        rate(count, began.elapsed())
    }

    /// `producers` enqueue one task a call until `count` are in; tasks a second.
    pub(crate) async fn enqueue(&self, count: u64, producers: u64) -> f64 {
        let began = Instant::now();
        let each = count / producers;
        let producers: Vec<_> = (0..producers)
            .map(|producer| {
                let store = self.running.store().clone();
                let tasks: Vec<_> = (0..each).map(|id| self.task(producer * each + id)).collect();
                tokio::spawn(async move {
                    for task in tasks {
                        store
                            .enqueue(vec![task])
                            .await
                            .expect("enqueued")
                            .pop()
                            .expect("an answer")
                            .expect("taken");
                    }
                    each
                })
            })
            .collect();
        let mut total = 0;
        for producer in producers {
            total += producer.await.expect("no panic");
        }
        rate(total, began.elapsed())
    }

    /// What a client of its admin API connects to.
    pub(crate) fn admin_endpoint(&self) -> String {
        self.running.admin_endpoint().expect("it listens")
    }

    /// The door into its tree.
    pub(crate) fn control(&self) -> Arc<dyn Control> {
        self.running.control()
    }

    /// Resumes the worker, and does not wait for its `count` handler runs.
    pub(crate) async fn begin_work_off(&self, count: u64) {
        self.seen.count.store(0, Ordering::Relaxed);
        self.seen.goal.store(count, Ordering::Relaxed);
        self.steer(NodeCommand::Resume).await;
    }

    /// Whether handlers have still to run.
    pub(crate) fn works(&self) -> bool {
        self.seen.count.load(Ordering::Relaxed) < self.seen.goal.load(Ordering::Relaxed)
    }

    /// Resumes the worker and measures `count` handler runs; then waits until all is settled, when `to_the_end`.
    pub(crate) async fn work_off(&self, count: u64, to_the_end: bool) -> f64 {
        let began = Instant::now();
        self.begin_work_off(count).await;
        self.seen.reached.notified().await;
        if to_the_end {
            ask(&*self.running.control(), |reply| Command::AwaitIdle { reply }).await.expect("idle");
        }
        rate(count, began.elapsed())
    }

    /// Time from the return of an enqueue to the start of the handler, `count` times, sorted.
    pub(crate) async fn latency(&self, count: usize) -> Vec<Duration> {
        self.seen.timed.store(true, Ordering::Relaxed);
        let mut waits = Vec::with_capacity(count);
        for id in 0..count {
            self.seen.count.store(0, Ordering::Relaxed);
            self.seen.goal.store(1, Ordering::Relaxed);
            self.running.store().enqueue(vec![self.task(id as u64)]).await.expect("enqueued");
            let returned = Instant::now();
            self.seen.reached.notified().await;
            let started = self.seen.started.lock().expect("no panic while held").pop().expect("it started");
            waits.push(started.saturating_duration_since(returned));
            // The next one finds an idle worker.
            ask(&*self.running.control(), |reply| Command::AwaitIdle { reply }).await.expect("idle");
        }
        self.seen.timed.store(false, Ordering::Relaxed);
        waits.sort();
        waits
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Processor time of this process so far, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15 after the name in parentheses: user and system time in ticks of 1/100 s.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 =
        after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// Most resident memory that this process ever had, in MiB.
pub(crate) fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
