//! A receiver that takes everything and does not answer, or answers late. Its exporter's queues fill; nobody waits for that.

use futures_util::future::join_all;
use runtime_tests::eventually_within;
use runtime_tests::ground::Job;
use runtime_tests::servers::Rotel;

use crate::tunnel::Tunnel;
use crate::{ARRIVE_WITHIN, enqueue, ground, set, until_done};

/// Each of them is two spans: together more than the exporter's queue and what is under way hold.
const TASKS: usize = 3_000;
const SPANS: usize = 2 * TASKS;

/// Most spans of one batch.
const BATCH: usize = 512;

/// Connections that make tasks.
const PRODUCERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_does_not_answer_holds_up_no_work_and_what_is_dropped_is_counted() {
    let rotel = Rotel::start().await.expect("a receiver");
    let tunnel = Tunnel::to(&rotel.grpc_endpoint(), None).await;
    let ground = ground();
    let mut args = set("telemetry.otlp_endpoint", &format!("http://{}", tunnel.address())).to_vec();
    args.extend(set("telemetry.send_logs", "false"));
    args.extend(set("telemetry.send_metrics", "false"));
    args.extend(set("runtime.flush_secs", "60"));
    let mut process = ground.start_with(&args, &[]);
    let client = process.client().await;
    join_all((0..PRODUCERS).map(async |producer| {
        for n in (producer..TASKS).step_by(PRODUCERS) {
            enqueue(&client, &Job::plain(n as u64)).await;
        }
    }))
    .await;
    until_done(&client, TASKS as u64).await;
    assert!(tunnel.was_reached());
    assert_eq!(tunnel.answered(), 0, "all of it was done before the receiver said a word");
    assert!(ground.log().contains("dropped a Span due to queue full"), "it is said at once");

    tunnel.answer();
    assert_eq!(process.stop().await, 0, "{}", ground.log());
    let (dropped, failed) = (dropped(&ground.log()), failed(&ground.log()));
    assert!(dropped > 0, "it is counted at the end");
    // A batch whose answer does not come in time counts as failed, and may have arrived.
    let accounted = |received: usize| received + dropped + failed * BATCH >= SPANS;
    eventually_within(ARRIVE_WITHIN, "what was neither dropped nor failed arrives", async || {
        accounted(rotel.spans().len()).then_some(())
    })
    .await;
    let received = rotel.spans().len();
    assert!(received + dropped <= SPANS, "{dropped} dropped, {received} received of {SPANS}");
    rotel.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_keeps_no_process_from_its_end() {
    let rotel = Rotel::start().await.expect("a receiver");
    let tunnel = Tunnel::to(&rotel.grpc_endpoint(), None).await;
    let ground = ground();
    let mut args = set("telemetry.otlp_endpoint", &format!("http://{}", tunnel.address())).to_vec();
    args.extend(set("runtime.flush_secs", "1"));
    let mut process = ground.start_with(&args, &[]);
    let client = process.client().await;
    enqueue(&client, &Job::plain(1)).await;
    until_done(&client, 1).await;
    assert_eq!(process.stop().await, 0, "{}", ground.log());
    assert!(ground.log().contains("the last traces were not sent within 1s"), "{}", ground.log());
    assert_eq!(tunnel.answered(), 0);
    rotel.stop().await.expect("it stops");
}

/// The count of spans that the log tells at the end; 0 when it tells none.
fn dropped(log: &str) -> usize {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let counts = lines.filter_map(|line| line.get("dropped_span_count")?.as_u64());
    usize::try_from(counts.sum::<u64>()).expect("a count")
}

/// Batches of which the log says that they failed.
fn failed(log: &str) -> usize {
    log.lines().filter(|line| line.contains("BatchSpanProcessor.ExportError")).count()
}
