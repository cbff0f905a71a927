//! Logs as they are written, and traces as a real OTLP receiver gets them over a socket.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use runtime::config::{LogFormat, TelemetryConfig};
use runtime::telemetry::{Identity, LogSink, OtelBridge, Telemetry, TelemetryError, TelemetryGuard};
use runtime_core::trace::{TraceBridge, TraceContext};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing::{Dispatch, dispatcher, info, info_span};

/// Long enough for any machine; no test waits this long unless it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the receiver does with spans.
#[derive(Clone, Copy)]
enum Answer {
    Take,
    Refuse,
    Never,
}

struct Receiver {
    answer: Answer,
    requests: mpsc::UnboundedSender<ExportTraceServiceRequest>,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        match self.answer {
            Answer::Take => {
                self.requests.send(request.into_inner()).map_err(|_| Status::internal("the test is over"))?;
                Ok(Response::new(ExportTraceServiceResponse::default()))
            }
            Answer::Refuse => Err(Status::permission_denied("no spans from you")),
            Answer::Never => std::future::pending().await,
        }
    }
}

/// Telemetry of one test, with a receiver and a log of its own.
struct World {
    dispatch: Dispatch,
    guard: TelemetryGuard,
    requests: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
    log: Log,
}

impl World {
    async fn new() -> Self {
        Self::with(Answer::Take, TelemetryConfig::default()).await
    }

    async fn with(answer: Answer, config: TelemetryConfig) -> Self {
        let (endpoint, requests) = receiver(answer).await;
        let config = TelemetryConfig { otlp_endpoint: Some(endpoint), ..config };
        let log = Log::default();
        let telemetry = Telemetry::scoped(&config, &identity(), log.sink()).expect("telemetry");
        let (dispatch, guard) = telemetry.into_parts();
        Self { dispatch, guard, requests, log }
    }

    fn run<T>(&self, story: impl FnOnce() -> T) -> T {
        dispatcher::with_default(&self.dispatch, story)
    }

    /// Every span that ended, once the receiver has it.
    async fn received(&mut self) -> Vec<Span> {
        self.guard.flush(DEADLINE).await.expect("the receiver takes spans");
        let mut spans = Vec::new();
        while let Ok(request) = self.requests.try_recv() {
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        spans
    }
}

async fn receiver(answer: Answer) -> (String, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (requests, received) = mpsc::unbounded_channel();
    let service = TraceServiceServer::new(Receiver { answer, requests });
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (endpoint, received)
}

fn identity() -> Identity {
    Identity { service: "shop".into(), instance: "shop-1".into(), version: "1.2.3".into() }
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn sink(&self) -> LogSink {
        let log = self.clone();
        LogSink::new(move || log.clone())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic while writing").clone()).expect("text")
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while writing").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name:?} in {spans:#?}"));
    assert!(found.next().is_none(), "one span {name:?}");
    span
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Any> {
    let AnyValue { value } = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    value.as_ref()
}

fn text(text: &str) -> Any {
    Any::StringValue(text.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `span` would store with a task.
fn stored(span: &Span) -> String {
    format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
}

#[tokio::test]
async fn spans_arrive_with_names_kinds_parents_attributes_and_events() {
    let mut world = World::new().await;
    world.run(|| {
        let outer = info_span!("process mail", otel.kind = "consumer", queue = "mail", attempt = 2);
        let _outer = outer.enter();
        let _inner = info_span!("settle mail", status = tracing::field::Empty).entered();
        tracing::Span::current().record("status", "done");
        info!(error_code = "RT0001", "an attempt ended");
    });
    let spans = world.received().await;
    assert_eq!(spans.len(), 2);
    let (outer, inner) = (named(&spans, "process mail"), named(&spans, "settle mail"));
    assert_eq!(outer.kind(), SpanKind::Consumer);
    assert!(outer.parent_span_id.is_empty());
    assert_eq!(attribute(&outer.attributes, "queue"), Some(&text("mail")));
    assert_eq!(attribute(&outer.attributes, "attempt"), Some(&Any::IntValue(2)));
    assert_eq!((&inner.trace_id, &inner.parent_span_id), (&outer.trace_id, &outer.span_id));
    assert_eq!(attribute(&inner.attributes, "status"), Some(&text("done")));
    let [event] = &inner.events[..] else { panic!("one event: {inner:#?}") };
    assert_eq!(event.name, "an attempt ended");
    assert_eq!(attribute(&event.attributes, "error_code"), Some(&text("RT0001")));
}

#[tokio::test]
async fn every_span_says_whose_it_is() {
    for (configured, service) in [(None, "shop"), (Some("orders".to_owned()), "orders")] {
        let config = TelemetryConfig { service_name: configured, ..TelemetryConfig::default() };
        let mut world = World::with(Answer::Take, config).await;
        world.run(|| drop(info_span!("work").entered()));
        world.guard.flush(DEADLINE).await.expect("the receiver takes spans");
        let request = world.requests.try_recv().expect("a request");
        let resource = request.resource_spans[0].resource.as_ref().expect("a resource");
        let of = |key| attribute(&resource.attributes, key);
        assert_eq!(of("service.name"), Some(&text(service)));
        assert_eq!(of("service.instance.id"), Some(&text("shop-1")));
        assert_eq!(of("service.version"), Some(&text("1.2.3")));
    }
}

#[tokio::test]
async fn the_first_attempt_is_a_child_of_the_stored_context_and_a_retry_a_new_root_with_a_link() {
    let mut world = World::new().await;
    let bridge = world.guard.bridge();
    let task = world.run(|| {
        let _source = info_span!("source").entered();
        let _enqueue = info_span!("enqueue mail", otel.kind = "producer").entered();
        bridge.current().expect("a context to store")
    });
    // As in another process, later: nothing but the stored context is left, and another span is being worked in.
    world.run(|| {
        let _executor = info_span!("executor").entered();
        let first = info_span!("first attempt");
        bridge.adopt(&first, &task);
        first.in_scope(|| info_span!("confirm").in_scope(|| {}));
        let retry = info_span!("second attempt");
        bridge.link(&retry, &task);
        retry.in_scope(|| {});
    });
    let spans = world.received().await;
    let [source, enqueue, executor, first, confirm, retry] =
        ["source", "enqueue mail", "executor", "first attempt", "confirm", "second attempt"]
            .map(|name| named(&spans, name));
    assert_eq!(task, TraceContext { traceparent: stored(enqueue), tracestate: None });
    assert_eq!(task.trace_id().map(str::to_owned), Some(hex(&source.trace_id)));
    assert_eq!((&first.trace_id, &first.parent_span_id), (&enqueue.trace_id, &enqueue.span_id));
    assert_eq!((&confirm.trace_id, &confirm.parent_span_id), (&enqueue.trace_id, &first.span_id));
    assert!(first.links.is_empty());
    assert!(retry.parent_span_id.is_empty());
    assert!(retry.trace_id != enqueue.trace_id && retry.trace_id != executor.trace_id);
    let [link] = &retry.links[..] else { panic!("one link: {retry:#?}") };
    assert_eq!((&link.trace_id, &link.span_id), (&enqueue.trace_id, &enqueue.span_id));
}

#[tokio::test]
async fn a_stored_context_is_passed_on_with_its_state_and_a_broken_one_joins_nothing() {
    let mut world = World::new().await;
    let bridge = OtelBridge::default();
    let foreign = TraceContext {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        tracestate: Some("vendor=opaque".into()),
    };
    let broken = TraceContext { traceparent: "00-nonsense".into(), tracestate: None };
    let passed_on = world.run(|| {
        let _executor = info_span!("executor").entered();
        for (name, joined) in [("adopt broken", true), ("link broken", false)] {
            let span = info_span!("work", otel.name = name);
            if joined {
                bridge.adopt(&span, &broken)
            } else {
                bridge.link(&span, &broken)
            }
            span.in_scope(|| {});
        }
        let span = info_span!("adopt foreign");
        bridge.adopt(&span, &foreign);
        span.in_scope(|| bridge.current()).expect("a context")
    });
    let spans = world.received().await;
    let span = named(&spans, "adopt foreign");
    assert_eq!(Some(hex(&span.trace_id).as_str()), foreign.trace_id());
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(passed_on, TraceContext { traceparent: stored(span), tracestate: foreign.tracestate });
    for name in ["adopt broken", "link broken"] {
        let span = named(&spans, name);
        assert!(span.parent_span_id.is_empty() && span.links.is_empty(), "{span:#?}");
        assert_ne!(span.trace_id, named(&spans, "executor").trace_id);
    }
}

#[tokio::test]
async fn the_exporters_own_chatter_stays_out_of_the_traces() {
    let mut world = World::new().await;
    world.run(|| {
        let _work = info_span!("work").entered();
        for _ in 0..2 {
            let _theirs = info_span!(target: "h2::client", "theirs").entered();
            info!(target: "hyper_util::client", "theirs");
            info!(target: "tonic::transport", "theirs");
            info!(target: "tower::buffer", "theirs");
            info!(target: "opentelemetry_sdk", "theirs");
        }
        info!("ours");
    });
    let spans = world.received().await;
    let [work] = &spans[..] else { panic!("one span: {spans:#?}") };
    let events: Vec<_> = work.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!((work.name.as_str(), &events[..]), ("work", &["ours"][..]));
}

#[tokio::test]
async fn the_sample_ratio_holds_for_new_traces_and_not_for_those_from_outside() {
    let config = TelemetryConfig { sample_ratio: 0.0, ..TelemetryConfig::default() };
    let mut world = World::with(Answer::Take, config).await;
    let bridge = world.guard.bridge();
    let sampled = TraceContext {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        tracestate: None,
    };
    world.run(|| {
        info_span!("new").in_scope(|| {});
        let span = info_span!("from outside");
        bridge.adopt(&span, &sampled);
        span.in_scope(|| {});
    });
    let names: Vec<_> = world.received().await.into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["from outside"]);
}

#[tokio::test]
async fn shutdown_sends_what_is_left() {
    let mut world = World::new().await;
    world.run(|| info_span!("last").in_scope(|| {}));
    world.guard.shutdown(DEADLINE).await.expect("all was sent");
    let request = world.requests.try_recv().expect("the receiver has it by then");
    assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].name, "last");
}

#[tokio::test]
async fn shutdown_says_when_the_receiver_refused_the_last_spans() {
    let world = World::with(Answer::Refuse, TelemetryConfig::default()).await;
    world.run(|| info_span!("last").in_scope(|| {}));
    let error = world.guard.shutdown(DEADLINE).await.expect_err("refused");
    assert!(matches!(&error, TelemetryError::Unsent { why } if why.contains("PermissionDenied")), "{error}");
}

#[tokio::test]
async fn shutdown_gives_up_on_a_receiver_that_never_answers() {
    let world = World::with(Answer::Never, TelemetryConfig::default()).await;
    world.run(|| info_span!("last").in_scope(|| {}));
    let limit = Duration::from_millis(50);
    let error = world.guard.shutdown(limit).await.expect_err("no answer");
    assert!(matches!(error, TelemetryError::Late { .. }), "{error}");
}

#[tokio::test]
async fn an_absent_receiver_stops_neither_the_start_nor_the_work() {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let config = TelemetryConfig { otlp_endpoint: Some(endpoint), ..TelemetryConfig::default() };
    let telemetry = Telemetry::scoped(&config, &identity(), Log::default().sink()).expect("telemetry");
    let (dispatch, guard) = telemetry.into_parts();
    let worked = dispatcher::with_default(&dispatch, || info_span!("work").in_scope(|| 42));
    assert_eq!(worked, 42);
    guard.shutdown(Duration::from_millis(200)).await.expect_err("nobody took the spans");
}

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
    let spans = world.received().await;
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
            "target": "telemetry",
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
        text.trim_end().ends_with("INFO process mail{queue=\"mail\"}: telemetry: settled attempt=1"),
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
    assert_eq!(world.received().await.len(), 1);
    assert_eq!(world.log.text(), "");
}

#[tokio::test]
async fn a_process_starts_telemetry_once() {
    let (endpoint, mut requests) = receiver(Answer::Take).await;
    let config = TelemetryConfig {
        otlp_endpoint: Some(endpoint),
        log_filter: "off".parse().expect("a filter"),
        ..TelemetryConfig::default()
    };
    let guard = Telemetry::start(&config, &identity()).expect("the first start");
    assert!(matches!(Telemetry::start(&config, &identity()), Err(TelemetryError::AlreadyStarted(_))));
    info_span!("global").in_scope(|| {});
    guard.shutdown(DEADLINE).await.expect("all was sent");
    let request = requests.try_recv().expect("the receiver has it by then");
    let spans = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    assert!(spans.flat_map(|scope| scope.spans).any(|span| span.name == "global"));
}
