//! Receivers of telemetry that are slow, silent, or known by a certificate alone; and what none of them may ever get.

mod secrets;
mod slow;
mod tls;
mod tunnel;

use std::time::Duration;

use runtime_admin::AdminClient;
use runtime_proto::v1;
use runtime_tests::eventually_async;
use runtime_tests::ground::{APP, Ground, Job};

/// How long telemetry may take to arrive: the exporter and the receiver both gather.
const ARRIVE_WITHIN: Duration = Duration::from_secs(60);

fn ground() -> Ground {
    Ground::new(env!("CARGO_BIN_EXE_proving_ground"))
}

fn set(key: &str, value: &str) -> [String; 2] {
    ["--set".to_owned(), format!("{key}={value}")]
}

async fn enqueue(client: &AdminClient, job: &Job) {
    let request = v1::EnqueueTaskRequest {
        app: format!("apps/{APP}"),
        queue: "queues/job".into(),
        handler: "job".into(),
        payload: serde_json::to_vec(job).expect("a document"),
        ..Default::default()
    };
    client.enqueue(request).await.expect("taken");
}

async fn until_done(client: &AdminClient, tasks: u64) {
    eventually_async("every task is done", async || {
        let queue = client.queue_stats(&"job".parse().expect("a name")).await.expect("figures");
        (queue.counts.unwrap_or_default().done >= tasks).then_some(())
    })
    .await;
}
