//! The proving ground in this process, and a client that knows nothing but its address.

use std::collections::BTreeMap;

use runtime::Running;
use runtime::config::{ConfigSources, RuntimeConfig};
use runtime::signals::Exit;
use runtime::telemetry::{Identity, LogSink, Telemetry};
use runtime_admin::AdminClient;
use runtime_core::node::NodePath;
use runtime_core::task::TaskId;
use runtime_proto::v1;
use runtime_tests::eventually_async;
use runtime_tests::ground::{APP, Ground, GroundConfig, GroundFolder, GroundRow, Job, app};

/// A running app.
pub(crate) struct World {
    pub(crate) ground: Ground,
    pub(crate) client: AdminClient,
    running: Running,
}

impl World {
    pub(crate) async fn start() -> Self {
        let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
        let sets = ground.settings().into_iter().filter(|argument| argument != "--set").collect();
        let sources = ConfigSources { sets, ..ConfigSources::default() };
        let config = sources.load::<RuntimeConfig<GroundConfig>>().expect("a sound configuration").value;
        let identity = Identity {
            service: APP.into(),
            instance: "here".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let telemetry = Telemetry::scoped(&config.telemetry, &identity, LogSink::new(std::io::sink));
        let (_, guard) = telemetry.expect("telemetry without a receiver").into_parts();
        let running = app().start(&config, &guard).await.expect("the app starts");
        let address = running.admin_address().expect("the admin API listens once the tree is up");
        let client =
            AdminClient::connect(&address.to_string()).await.expect("a connection").with_reason("a test");
        Self { ground, client, running }
    }

    pub(crate) fn folder(&self) -> GroundFolder {
        self.ground.folder()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.running.admin_address().expect("an address"))
    }

    /// Stops in order.
    pub(crate) async fn stop(self) {
        assert_eq!(self.running.stop().await, Exit::Clean);
    }

    pub(crate) async fn enqueue(&self, job: &Job) -> TaskId {
        enqueue(&self.client, job).await
    }

    pub(crate) async fn rows(&self) -> Vec<GroundRow> {
        GroundRow::all(&self.ground.store_file()).await
    }

    /// Waits until a task stands here.
    pub(crate) async fn until(&self, id: TaskId, state: v1::TaskState) -> v1::Task {
        eventually_async(&format!("task {id} is {state:?}"), async || {
            let task = self.client.task(id).await.expect("the task is known").task.expect("a task");
            (task.state() == state).then_some(task)
        })
        .await
    }

    /// Waits until no queue holds anything that will run by itself.
    pub(crate) async fn until_idle(&self) {
        eventually_async("every queue is idle", async || {
            let queues = self.client.queues().await.expect("the queues are listed");
            let waiting = |queue: v1::Queue| {
                let counts = queue.stats.and_then(|stats| stats.counts).unwrap_or_default();
                counts.ready + counts.leased + counts.scheduled
            };
            (queues.into_iter().map(waiting).sum::<u64>() == 0).then_some(())
        })
        .await;
    }
}

/// Makes a task under the job's number as its key, so that asking twice is harmless.
pub(crate) async fn enqueue(client: &AdminClient, job: &Job) -> TaskId {
    let answer = client.enqueue(request(job)).await.expect("the task is taken");
    id_of(&answer.name)
}

pub(crate) fn request(job: &Job) -> v1::EnqueueTaskRequest {
    v1::EnqueueTaskRequest {
        app: format!("apps/{APP}"),
        queue: "queues/job".into(),
        handler: "job".into(),
        payload: serde_json::to_vec(job).expect("a job is a JSON document"),
        idempotency_key: job.n.to_string(),
        ..v1::EnqueueTaskRequest::default()
    }
}

pub(crate) fn id_of(name: &str) -> TaskId {
    name.strip_prefix("tasks/").expect("a task's name").parse().expect("a task's id")
}

pub(crate) fn path(text: &str) -> NodePath {
    text.parse().expect("a path")
}

/// The path that a node's resource name carries.
pub(crate) fn path_of(node: &v1::Node) -> NodePath {
    path(node.name.strip_prefix("nodes").expect("a node's name"))
}

/// How often each number was done, by kind.
pub(crate) fn times_done(rows: &[GroundRow], kind: &str) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind == kind) {
        *times.entry(row.n).or_default() += 1;
    }
    times
}
