//! Metrics and logs as a receiver by others gets them: all of them, with their names, units and labels, and never a secret.

use std::collections::BTreeSet;
use std::time::Duration;

use runtime::actors::metrics::{LABELS, METRICS, MetricKind};
use runtime::telemetry::{END_FIELDS, WORK_FIELDS};
use runtime_proto::v1;
use runtime_tests::ground::{APP, Ground, Job};
use runtime_tests::servers::{ReceivedLog, ReceivedMetric, ReceivedPoint, Rotel};
use runtime_tests::{eventually, eventually_within};

/// How long telemetry may take to arrive: the exporter and the receiver both gather.
const ARRIVE_WITHIN: Duration = Duration::from_secs(60);

/// In every payload, and in nothing that is sent.
const CANARY: &str = "canary-that-nobody-may-send";

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_logs_arrive_with_their_names_units_and_labels_and_no_payload() {
    let rotel = Rotel::start().await.expect("a receiver");
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let folder = ground.folder();
    let job = |n: u64| Job { n, ballast: CANARY.into(), ..Job::default() };
    folder.put_into_inbox("1.json", &Job { fails: 1, follow_up: true, ..job(1) }).expect("a file");
    folder.put_into_inbox("2.json", &Job { rejects: true, ..job(2) }).expect("a file");
    let endpoint = format!("telemetry.otlp_endpoint={}", rotel.grpc_endpoint());
    let every = "telemetry.metrics_every_secs=1".to_owned();
    let mut process = ground.start_with(&["--set", &endpoint, "--set", &every], &[]);
    let client = process.client().await;
    client.create_schedule(&"yearly".parse().expect("a name"), yearly()).await.expect("a schedule");
    eventually("the file that can be done is marked", || {
        (!folder.names_in("outbox").expect("a folder").is_empty()).then_some(())
    })
    .await;

    let arrived = eventually_within(ARRIVE_WITHIN, "every metric arrives", async || {
        let metrics = rotel.metrics();
        let settled: f64 = latest(&metrics, "runtime.task.settled")?.points.iter().map(|it| it.value).sum();
        let all = METRICS.iter().all(|metric| latest(&metrics, metric.name).is_some());
        (all && settled >= 4.0).then_some(metrics)
    })
    .await;
    assert_eq!(process.stop().await, 0);

    for metric in METRICS {
        let received = latest(&arrived, metric.name).expect("it arrived");
        let kind = match metric.kind {
            MetricKind::Counter => "Sum",
            MetricKind::Gauge => "Gauge",
            MetricKind::Histogram => "Histogram",
        };
        assert_eq!((received.unit.as_str(), received.kind.as_str()), (metric.unit, kind), "{}", metric.name);
        for point in &received.points {
            assert!(point.attributes.keys().all(|key| LABELS.contains(&key.as_str())), "{received:#?}");
            assert!(point.attributes.values().all(|value| !is_an_id(value)), "an id: {received:#?}");
        }
    }
    let sum = |name: &str, labels: &[(&str, &str)]| value_of(&arrived, name, labels);
    let settled = |labels: &[(&str, &str)]| sum("runtime.task.settled", labels);
    assert_eq!(settled(&[("queue", "job"), ("status", "done"), ("state", "done")]), 1.0);
    assert_eq!(settled(&[("status", "retry"), ("state", "scheduled"), ("error_code", "RT0001")]), 1.0);
    assert_eq!(settled(&[("status", "reject"), ("state", "dead"), ("error_code", "RT0002")]), 1.0);
    assert_eq!(sum("messaging.process.duration", &[("messaging.destination.name", "job")]), 3.0);
    assert_eq!(sum("messaging.process.duration", &[("error.type", "RT0002")]), 1.0);
    assert_eq!(sum("runtime.task.wait.duration", &[("worker_id", "job"), ("app", APP)]), 3.0);
    assert_eq!(sum("runtime.worker.capacity", &[("worker_id", "job")]), 8.0);
    assert_eq!(sum("runtime.dead_letter.depth", &[("queue", "job")]), 1.0);
    assert_eq!(sum("runtime.schedule.lag", &[("schedule", "yearly")]), 0.0);

    let logs = rotel.wait_for(|_| about_attempts(&rotel.logs()).len() == 2, ARRIVE_WITHIN).await;
    logs.expect("the lines about failed attempts arrive");
    for log in about_attempts(&rotel.logs()) {
        assert_eq!((log.severity.as_str(), log.trace_id.len()), ("WARN", 32), "{log:?}");
        let wanted = ["app", "queue", "worker_id", "task", "attempt", "status", "error_code", "duration_ms"];
        assert!(wanted.iter().all(|key| log.attributes.contains_key(*key)), "{log:?}");
        let known = WORK_FIELDS.iter().chain(&END_FIELDS).chain(&["error"]).collect::<BTreeSet<_>>();
        assert!(log.attributes.keys().all(|key| known.contains(&key.as_str())), "{log:?}");
        assert_eq!(log.repeated, Vec::<String>::new(), "nothing is said twice");
    }

    rotel.stop().await.expect("it stops");
    let everything = format!("{}{}", rotel.text(), ground.log());
    assert!(!everything.contains(CANARY), "a payload got out");
    // What a handler says of itself does get out, so looking for text in all this does find it.
    assert!(everything.contains("fails at first, as its input says"));
}

#[test]
fn an_id_among_the_labels_would_be_noticed() {
    assert!(is_an_id("01a201aa-f69a-7d24-8bd8-650000000001"));
    assert!(is_an_id("408f06982cf57cc0fd646003224e0721"));
    assert!(!is_an_id("/engine/apps/ground/workers/job"));
}

/// The last time a metric came.
fn latest<'m>(metrics: &'m [ReceivedMetric], name: &str) -> Option<&'m ReceivedMetric> {
    metrics.iter().rev().find(|metric| metric.name == name && !metric.points.is_empty())
}

/// The values, added up, of those points of a metric that have these labels.
fn value_of(metrics: &[ReceivedMetric], name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |point: &&ReceivedPoint| {
        labels.iter().all(|(key, value)| point.attributes.get(*key).is_some_and(|found| found == value))
    };
    let metric = latest(metrics, name).expect("it arrived");
    metric.points.iter().filter(fits).map(|point| point.value).sum()
}

/// Whether it looks like the id of a task, a trace or the like.
fn is_an_id(value: &str) -> bool {
    let digits = value.chars().filter(char::is_ascii_hexdigit).count();
    value.len() >= 16
        && value.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-')
        && digits >= 16
}

fn about_attempts(logs: &[ReceivedLog]) -> Vec<ReceivedLog> {
    logs.iter().filter(|log| log.body == "attempt ended").cloned().collect()
}

/// A schedule that makes nothing for as long as a test runs.
fn yearly() -> v1::ScheduleSpec {
    v1::ScheduleSpec {
        app: format!("apps/{APP}"),
        queue: "queues/job".into(),
        handler: "job".into(),
        input: r#"{"n": {"$tick": "unix_seconds"}}"#.into(),
        timing: Some(v1::schedule_spec::Timing::Cron(v1::CronTiming {
            expression: "0 0 1 1 *".into(),
            zone: String::new(),
        })),
        overlap: v1::OverlapPolicy::AllowAll.into(),
        ..v1::ScheduleSpec::default()
    }
}
