//! Logs, traces and metrics of an instance.
//!
//! Logs go to one sink, as text on a terminal and as JSON elsewhere. Traces, metrics and the same logs go to an OTLP receiver when
//! one is configured; without one no trace is made, tasks carry none, and nothing is measured. What happens inside the exporter's
//! own connection stays out of all three, which would otherwise feed on themselves.
//!
//! | thread                                 | started by  | ends when           | sends to      |
//! | -------------------------------------- | ----------- | ------------------- | ------------- |
//! | `OpenTelemetry.Traces.BatchProcessor`  | [`Telemetry`] | shut down, or drop | OTLP receiver |
//! | `OpenTelemetry.Logs.BatchProcessor`    | [`Telemetry`] | shut down, or drop | OTLP receiver |
//! | `OpenTelemetry.Metrics.PeriodicReader` | [`Telemetry`] | shut down, or drop | OTLP receiver |
//! | `last-traces`, `last-metrics`, `last-logs` | [`TelemetryGuard::shutdown`] | all is sent or given up | the caller |

mod bridge;
mod certificates;
mod export;
mod filter;
mod json;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::{OpenTelemetryTracingBridge, TracingSpanAttributes};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use runtime_admin::Certificates;
use runtime_core::trace::{NoTrace, TraceBridge};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, fmt};

use crate::config::{LogFormat, TelemetryConfig};

pub use self::bridge::OtelBridge;
pub use self::certificates::{CERTIFICATE, CERTIFICATE_REMAINING};
use self::export::Providers;
pub use self::filter::{LogControl, LogFilterStatus};
use self::json::{JsonLines, SpanFields};

/// The instrumentation scope of everything that is exported.
const SCOPE: &str = "runtime";

/// The libraries an export goes through. Their events and spans are never exported.
const EXPORTER: [&str; 6] = ["h2", "hyper", "opentelemetry", "rustls", "tonic", "tower"];

/// What a span says of the work it belongs to, always under these names. A log line carries those of the spans round it.
pub const WORK_FIELDS: [&str; 8] =
    ["app", "queue", "worker_id", "task", "attempt", "tenant", "scope", "correlation_id"];

/// What a span, and the log line about it, say of how the work ended, always under these names.
pub const END_FIELDS: [&str; 3] = ["status", "error_code", "duration_ms"];

/// Who is speaking, in everything that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The app; `telemetry.service_name` goes before it.
    pub service: String,
    /// The instance.
    pub instance: String,
    /// The version of the app.
    pub version: String,
}

/// Where log lines go.
pub struct LogSink {
    writer: BoxMakeWriter,
    is_terminal: bool,
}

impl LogSink {
    /// The standard error stream of the process.
    pub fn stderr() -> Self {
        Self { writer: BoxMakeWriter::new(io::stderr), is_terminal: io::stderr().is_terminal() }
    }

    /// Any other writer; it counts as no terminal.
    pub fn new(writer: impl for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static) -> Self {
        Self { writer: BoxMakeWriter::new(writer), is_terminal: false }
    }

    fn is_json(&self, format: LogFormat) -> bool {
        match format {
            LogFormat::Auto => !self.is_terminal,
            LogFormat::Json => true,
            LogFormat::Text => false,
        }
    }
}

/// Telemetry, set up but not yet in use.
pub struct Telemetry {
    dispatch: Dispatch,
    guard: TelemetryGuard,
}

impl Telemetry {
    /// Sets up logs, traces and metrics for the whole process. With an OTLP endpoint it must run inside a tokio runtime that lives
    /// until [`TelemetryGuard::shutdown`]: the connection is driven there.
    ///
    /// # Errors
    /// [`TelemetryError`] when something is wrong with the endpoint, there is no runtime, or telemetry was started before.
    /// That the receiver does not answer is no error: what does not leave is dropped and a warning is logged.
    pub fn start(config: &TelemetryConfig, identity: &Identity) -> Result<TelemetryGuard, TelemetryError> {
        let Self { dispatch, guard } = Self::scoped(config, identity, LogSink::stderr())?;
        tracing::dispatcher::set_global_default(dispatch)?;
        global::set_text_map_propagator(TraceContextPropagator::new());
        let Providers { traces, metrics, .. } = &guard.providers;
        traces.iter().for_each(|provider| global::set_tracer_provider(provider.clone()));
        metrics.iter().for_each(|provider| global::set_meter_provider(provider.clone()));
        Ok(guard)
    }

    /// Sets up logs, traces and metrics for whoever uses the [parts](Self::into_parts): nothing global changes.
    ///
    /// # Errors
    /// [`TelemetryError`] when something is wrong with the endpoint or there is no runtime.
    pub fn scoped(
        config: &TelemetryConfig,
        identity: &Identity,
        sink: LogSink,
    ) -> Result<Self, TelemetryError> {
        let providers = Providers::new(config, identity)?;
        let traces = providers.traces.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(SCOPE))
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                // Every actor of the framework has a span of its own for as long as it lives: no part of any work.
                .with_filter(not_the_exporter(LevelFilter::INFO).with_target("ractor", LevelFilter::OFF))
        });
        let sent = providers.logs.as_ref().map(|provider| {
            OpenTelemetryTracingBridge::builder(provider)
                .with_tracing_span_attributes(TracingSpanAttributes::allowlist(WORK_FIELDS))
                .build()
                .with_filter(not_the_exporter(LevelFilter::TRACE))
        });
        let (filter, log) = LogControl::new(config.log_filter.clone());
        let logs = log_layer(config, sink).and_then(sent).with_filter(filter);
        let dispatch = Dispatch::new(Registry::default().with(logs).with(traces));
        let every = Duration::from_secs(config.metrics_every_secs.get());
        Ok(Self { dispatch, guard: TelemetryGuard { providers, every, log } })
    }

    /// The subscriber, to be made the default of a scope or a thread, and what must be shut down at the end.
    pub fn into_parts(self) -> (Dispatch, TelemetryGuard) {
        (self.dispatch, self.guard)
    }
}

fn log_layer<S>(config: &TelemetryConfig, sink: LogSink) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'s> LookupSpan<'s>,
{
    let json = sink.is_json(config.log_format);
    let layer = fmt::layer().with_writer(sink.writer);
    if json {
        layer.fmt_fields(SpanFields).event_format(JsonLines).boxed()
    } else if sink.is_terminal {
        layer.boxed()
    } else {
        layer.with_ansi(false).boxed()
    }
}

fn not_the_exporter(level: LevelFilter) -> Targets {
    let silent = EXPORTER.map(|library| (library, LevelFilter::OFF));
    Targets::new().with_default(level).with_targets(silent)
}

/// Telemetry in use. It is shut down last, so that what the other parts said at their end still leaves.
#[must_use = "what is not yet sent is lost unless it is shut down"]
pub struct TelemetryGuard {
    providers: Providers,
    every: Duration,
    log: LogControl,
}

impl TelemetryGuard {
    /// What joins the spans of this process to the contexts that tasks carry.
    pub fn bridge(&self) -> Arc<dyn TraceBridge> {
        match self.providers.traces {
            Some(_) => Arc::new(OtelBridge::default()),
            None => Arc::new(NoTrace),
        }
    }

    /// Where measurements go, and how often they are sent; nothing when they go nowhere.
    pub fn meter(&self) -> Option<(Meter, Duration)> {
        self.providers.metrics.as_ref().map(|provider| (provider.meter(SCOPE), self.every))
    }

    /// Shows how long these are good for, where metrics are sent.
    pub(crate) fn watch_certificates(&self, certificates: Certificates) {
        if let Some((meter, _)) = self.meter() {
            certificates::show(&meter, certificates);
        }
    }

    /// What chooses log lines, to be looked at and changed.
    pub fn log(&self) -> &LogControl {
        &self.log
    }

    /// Sends every span that has ended so far, every log line, and the metrics as they are.
    ///
    /// # Errors
    /// [`TelemetryError::Unsent`] when the receiver did not take them, [`TelemetryError::Late`] when it took longer than
    /// `limit`.
    pub async fn flush(&self, limit: Duration) -> Result<(), TelemetryError> {
        self.providers.flush(limit).await
    }

    /// Sends what is left and closes the connections; what comes later is lost.
    ///
    /// # Errors
    /// [`TelemetryError::Unsent`] when the receiver did not take everything, [`TelemetryError::Late`] when it took longer
    /// than `limit`.
    pub async fn shutdown(self, limit: Duration) -> Result<(), TelemetryError> {
        self.providers.shutdown(limit).await
    }
}

/// Why telemetry does not work.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter refused its configuration.
    #[error("telemetry cannot be exported")]
    Exporter(#[from] ExporterBuildError),
    /// The certificates of the receiver cannot be read.
    #[error("the certificates in {} cannot be read", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An export needs the tokio runtime that drives its connection.
    #[error("telemetry cannot be exported outside a tokio runtime")]
    NoRuntime,
    /// Somebody else set the process's default subscriber.
    #[error("telemetry was already started")]
    AlreadyStarted(#[from] SetGlobalDefaultError),
    /// The system gave no thread.
    #[error("no thread to send the last {what} on")]
    NoThread {
        /// Traces, metrics or logs.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The receiver did not take the last of it.
    #[error("the last {what} were not sent: {why}")]
    Unsent {
        /// Traces, metrics or logs.
        what: &'static str,
        /// What the exporter said.
        why: String,
    },
    /// The receiver took too long.
    #[error("the last {what} were not sent within {limit:?}")]
    Late {
        /// Traces, metrics or logs.
        what: &'static str,
        /// The time they had.
        limit: Duration,
    },
}
