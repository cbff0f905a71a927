//! Log lines, as they are written and as the receiver gets them.

use std::collections::BTreeSet;
use std::io;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use runtime::config::{LogFormat, TelemetryConfig};
use runtime::telemetry::{OtelBridge, Telemetry, TelemetryError};
use runtime_core::trace::{TraceBridge, TraceContext};
use tracing::{dispatcher, info, info_span, warn};

use crate::world::{Answer, Log, World, attribute, hex, identity, named, text};

#[tokio::test]
async fn a_json_line_is_flat_and_names_its_trace() {
    let mut world = World::new().await;
    world.run(|| {
        let _outer = info_span!("process mail", queue = "mail", attempt = 1, scope = "outer").entered();
        let _inner = info_span!("settle mail", scope = "inner", status = tracing::field::Empty).entered();
        tracing::Span::current().record("status", "done");
        let cause = io::Error::other("disk full");
        let error = io::Error::other(Wrapped(cause));
        info!(attempt = 2, ok = true, ratio = 0.5, error = &error as &dyn std::error::Error, "settled");
        tracing::debug!("not at this level");
    });
    let spans = world.spans().await;
    let [line] = &world.log.lines()[..] else { panic!("one line: {}", world.log.text()) };
    let mut line = line.clone();
    let timestamp = line["timestamp"].take();
    assert!(timestamp.as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{timestamp}");
    let inner = named(&spans, "settle mail");
    assert_eq!(
        line,
        serde_json::json!({
            "timestamp": null,
            "level": "info",
            "target": "telemetry::logs",
            "span": "settle mail",
            "trace_id": hex(&inner.trace_id),
            "span_id": hex(&inner.span_id),
            "message": "settled",
            "queue": "mail",
            "scope": "inner",
            "status": "done",
            "attempt": 2,
            "ok": true,
            "ratio": 0.5,
            "error": "not settled: disk full",
        })
    );
}

#[derive(Debug, thiserror::Error)]
#[error("not settled")]
struct Wrapped(#[source] io::Error);

#[test]
fn logs_need_no_runtime_and_without_an_endpoint_there_are_no_traces() {
    let log = Log::default();
    let config = TelemetryConfig {
        log_filter: "warn,telemetry=info".parse().expect("a filter"),
        log_format: LogFormat::Text,
        ..TelemetryConfig::default()
    };
    let (dispatch, guard) =
        Telemetry::scoped(&config, &identity(), log.sink()).expect("telemetry").into_parts();
    let bridge = guard.bridge();
    dispatcher::with_default(&dispatch, || {
        let span = info_span!("process mail", queue = "mail");
        bridge.adopt(&span, &TraceContext { traceparent: "00-nonsense".into(), tracestate: None });
        let _span = span.entered();
        info!(attempt = 1, "settled");
        info!(target: "elsewhere", "not at this level");
        assert_eq!(bridge.current(), None);
        assert_eq!(OtelBridge::default().current(), None);
    });
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.trim_end().ends_with("INFO process mail{queue=\"mail\"}: telemetry::logs: settled attempt=1"),
        "{text}"
    );

    let endpoint = TelemetryConfig { otlp_endpoint: Some("http://127.0.0.1:4317".into()), ..config };
    let outside = Telemetry::scoped(&endpoint, &identity(), log.sink());
    assert!(matches!(outside.err(), Some(TelemetryError::NoRuntime)));
}

#[tokio::test]
async fn the_log_filter_does_not_thin_out_the_traces() {
    let config =
        TelemetryConfig { log_filter: "off".parse().expect("a filter"), ..TelemetryConfig::default() };
    let mut world = World::with(Answer::Take, config).await;
    world.run(|| info_span!("work").in_scope(|| info!("quiet")));
    assert_eq!(world.spans().await.len(), 1);
    assert_eq!(world.log.text(), "");
}

#[tokio::test]
async fn a_line_arrives_with_its_level_its_trace_and_the_fields_of_the_spans_round_it() {
    let mut world = World::new().await;
    world.run(|| {
        let _process = info_span!("process", queue = "mail", task = "t-1", secret = "canary").entered();
        let _settle = info_span!("settle", scope = "store=1", status = "retry").entered();
        warn!(error_code = "RT0001", attempt = 2, status = "retry", "attempt ended");
        tracing::debug!("not at this level");
    });
    let records = world.records().await;
    let [record] = &records[..] else { panic!("one line: {records:#?}") };
    assert_eq!((record.severity_number(), record.severity_text.as_str()), (SeverityNumber::Warn, "WARN"));
    assert_eq!(record.body.as_ref().and_then(|body| body.value.clone()), Some(text("attempt ended")));
    let of = |key| attribute(&record.attributes, key).cloned();
    let expected = [("queue", "mail"), ("task", "t-1"), ("scope", "store=1"), ("error_code", "RT0001")];
    assert_eq!(expected.map(|(key, _)| of(key)), expected.map(|(_, value)| Some(text(value))));
    assert_eq!(of("attempt"), Some(Any::IntValue(2)));
    assert_eq!(of("secret"), None, "of a span only the stable fields go along");
    let keys: BTreeSet<_> = record.attributes.iter().map(|attribute| &attribute.key).collect();
    assert_eq!(keys.len(), record.attributes.len(), "nothing is said twice: {record:#?}");
    let spans = world.spans().await;
    let settle = named(&spans, "settle");
    assert_eq!((&record.trace_id, &record.span_id), (&settle.trace_id, &settle.span_id));
}

#[tokio::test]
async fn the_exporters_own_chatter_stays_out_of_the_logs_that_are_sent() {
    let config =
        TelemetryConfig { log_filter: "trace".parse().expect("a filter"), ..TelemetryConfig::default() };
    let mut world = World::with(Answer::Take, config).await;
    world.run(|| {
        for _ in 0..2 {
            info!(target: "h2::client", "theirs");
            info!(target: "hyper_util::client", "theirs");
            info!(target: "opentelemetry_sdk", "theirs");
            info!(target: "tonic::transport", "theirs");
        }
        info!("ours");
    });
    let records = world.records().await;
    assert_eq!(records.len(), 1, "{records:#?}");
    assert!(world.log.text().contains("theirs"), "here they are written");
}
