//! A receiver of OTLP, and telemetry that sends to it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use runtime::config::TelemetryConfig;
use runtime::telemetry::{Identity, LogSink, Telemetry, TelemetryGuard};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing::{Dispatch, dispatcher};

/// Long enough for any machine; no test waits this long unless it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What the receiver does with what it gets.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Take,
    Refuse,
    Never,
}

/// What came, by signal.
pub(crate) struct Received {
    pub(crate) traces: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
    pub(crate) metrics: mpsc::UnboundedReceiver<ExportMetricsServiceRequest>,
    pub(crate) logs: mpsc::UnboundedReceiver<ExportLogsServiceRequest>,
}

/// Takes one signal.
struct Desk<R> {
    answer: Answer,
    requests: mpsc::UnboundedSender<R>,
}

impl<R: Send + 'static> Desk<R> {
    fn new(answer: Answer) -> (Self, mpsc::UnboundedReceiver<R>) {
        let (requests, received) = mpsc::unbounded_channel();
        (Self { answer, requests }, received)
    }

    async fn take<A: Default>(&self, request: Request<R>) -> Result<Response<A>, Status> {
        match self.answer {
            Answer::Take => {
                self.requests.send(request.into_inner()).map_err(|_| Status::internal("the test is over"))?;
                Ok(Response::new(A::default()))
            }
            Answer::Refuse => Err(Status::permission_denied("nothing from you")),
            Answer::Never => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl TraceService for Desk<ExportTraceServiceRequest> {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request).await
    }
}

#[tonic::async_trait]
impl MetricsService for Desk<ExportMetricsServiceRequest> {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take(request).await
    }
}

#[tonic::async_trait]
impl LogsService for Desk<ExportLogsServiceRequest> {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.take(request).await
    }
}

/// Telemetry of one test, with a receiver and a log of its own.
pub(crate) struct World {
    pub(crate) dispatch: Dispatch,
    pub(crate) guard: TelemetryGuard,
    pub(crate) received: Received,
    pub(crate) log: Log,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Answer::Take, TelemetryConfig::default()).await
    }

    pub(crate) async fn with(answer: Answer, config: TelemetryConfig) -> Self {
        let (endpoint, received) = receiver(answer).await;
        let config = TelemetryConfig { otlp_endpoint: Some(endpoint), ..config };
        let log = Log::default();
        let telemetry = Telemetry::scoped(&config, &identity(), log.sink()).expect("telemetry");
        let (dispatch, guard) = telemetry.into_parts();
        Self { dispatch, guard, received, log }
    }

    pub(crate) fn run<T>(&self, story: impl FnOnce() -> T) -> T {
        dispatcher::with_default(&self.dispatch, story)
    }

    /// Every span that ended, once the receiver has it.
    pub(crate) async fn spans(&mut self) -> Vec<Span> {
        self.guard.flush(DEADLINE).await.expect("the receiver takes spans");
        let mut spans = Vec::new();
        while let Ok(request) = self.received.traces.try_recv() {
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        spans
    }

    /// Every log line, once the receiver has it.
    pub(crate) async fn records(&mut self) -> Vec<LogRecord> {
        self.guard.flush(DEADLINE).await.expect("the receiver takes logs");
        let mut records = Vec::new();
        while let Ok(request) = self.received.logs.try_recv() {
            let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
            records.extend(scopes.flat_map(|scope| scope.log_records));
        }
        records
    }
}

/// A receiver of all three signals on a port of its own.
pub(crate) async fn receiver(answer: Answer) -> (String, Received) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (traces, traces_received) = Desk::new(answer);
    let (metrics, metrics_received) = Desk::new(answer);
    let (logs, logs_received) = Desk::new(answer);
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(traces))
        .add_service(MetricsServiceServer::new(metrics))
        .add_service(LogsServiceServer::new(logs));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (endpoint, Received { traces: traces_received, metrics: metrics_received, logs: logs_received })
}

pub(crate) fn identity() -> Identity {
    Identity { service: "shop".into(), instance: "shop-1".into(), version: "1.2.3".into() }
}

/// A log in memory.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn sink(&self) -> LogSink {
        let log = self.clone();
        LogSink::new(move || log.clone())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic while writing").clone()).expect("text")
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
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

pub(crate) fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name:?} in {spans:#?}"));
    assert!(found.next().is_none(), "one span {name:?}");
    span
}

pub(crate) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Any> {
    let AnyValue { value } = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    value.as_ref()
}

pub(crate) fn text(text: &str) -> Any {
    Any::StringValue(text.into())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `span` would store with a task.
pub(crate) fn stored(span: &Span) -> String {
    format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
}
