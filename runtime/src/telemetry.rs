//! Logs and traces of an instance.
//!
//! Logs go to one sink, as text on a terminal and as JSON elsewhere. Traces go to an OTLP receiver when one is
//! configured; without one no trace is made and tasks carry none. What happens inside the exporter's own connection
//! stays out of the traces, which would otherwise feed on themselves.
//!
//! | thread                               | started by        | ends when           | sends to      |
//! | ------------------------------------ | ----------------- | ------------------- | ------------- |
//! | `OpenTelemetry.Traces.BatchProcessor` | [`Telemetry`]     | shut down, or drop  | OTLP receiver |
//! | `telemetry-shutdown`                 | [`TelemetryGuard::shutdown`] | all is sent or given up | the caller |

mod bridge;
mod json;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use runtime_core::trace::{NoTrace, TraceBridge};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt};

use crate::config::{LogFormat, TelemetryConfig};

pub use self::bridge::OtelBridge;
use self::json::JsonLines;

/// The instrumentation scope of every span that comes from `tracing`.
const SCOPE: &str = "runtime";

/// The libraries an export goes through. Their events and spans are never exported.
const EXPORTER: [&str; 6] = ["h2", "hyper", "opentelemetry", "rustls", "tonic", "tower"];

/// Who is speaking, in every trace.
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

/// Logs and traces, set up but not yet in use.
pub struct Telemetry {
    dispatch: Dispatch,
    guard: TelemetryGuard,
}

impl Telemetry {
    /// Sets up logs and traces for the whole process. With an OTLP endpoint it must run inside a tokio runtime that lives
    /// until [`TelemetryGuard::shutdown`]: the connection is driven there.
    ///
    /// # Errors
    /// [`TelemetryError`] when something is wrong with the endpoint, there is no runtime, or telemetry was started before.
    /// That the receiver does not answer is no error: spans are dropped and a warning is logged.
    pub fn start(config: &TelemetryConfig, identity: &Identity) -> Result<TelemetryGuard, TelemetryError> {
        let Self { dispatch, guard } = Self::scoped(config, identity, LogSink::stderr())?;
        tracing::dispatcher::set_global_default(dispatch)?;
        global::set_text_map_propagator(TraceContextPropagator::new());
        if let Some(provider) = &guard.provider {
            global::set_tracer_provider(provider.clone());
        }
        Ok(guard)
    }

    /// Sets up logs and traces for whoever uses the [parts](Self::into_parts): nothing global changes.
    ///
    /// # Errors
    /// [`TelemetryError`] when something is wrong with the endpoint or there is no runtime.
    pub fn scoped(
        config: &TelemetryConfig,
        identity: &Identity,
        sink: LogSink,
    ) -> Result<Self, TelemetryError> {
        let provider = config
            .otlp_endpoint
            .as_deref()
            .map(|endpoint| tracer_provider(endpoint, config, identity))
            .transpose()?;
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(SCOPE))
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_filter(exported())
        });
        let logs = log_layer(config, sink).with_filter(config.log_filter.to_env_filter());
        let dispatch = Dispatch::new(Registry::default().with(traces).with(logs));
        Ok(Self { dispatch, guard: TelemetryGuard { provider } })
    }

    /// The subscriber, to be made the default of a scope or a thread, and what must be shut down at the end.
    pub fn into_parts(self) -> (Dispatch, TelemetryGuard) {
        (self.dispatch, self.guard)
    }
}

fn log_layer<S>(config: &TelemetryConfig, sink: LogSink) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'s> tracing_subscriber::registry::LookupSpan<'s>,
{
    let json = sink.is_json(config.log_format);
    let layer = fmt::layer().with_writer(sink.writer);
    if json {
        layer.fmt_fields(JsonFields::new()).event_format(JsonLines).boxed()
    } else if sink.is_terminal {
        layer.boxed()
    } else {
        layer.with_ansi(false).boxed()
    }
}

fn exported() -> Targets {
    let silent = EXPORTER.map(|library| (library, LevelFilter::OFF));
    Targets::new().with_default(LevelFilter::INFO).with_targets(silent)
}

fn tracer_provider(
    endpoint: &str,
    config: &TelemetryConfig,
    identity: &Identity,
) -> Result<SdkTracerProvider, TelemetryError> {
    // Without a runtime the connection would panic in the exporter's thread.
    Handle::try_current().map_err(|_| TelemetryError::NoRuntime)?;
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let service = config.service_name.as_ref().unwrap_or(&identity.service);
    let resource = Resource::builder()
        .with_service_name(service.clone())
        .with_attribute(KeyValue::new("service.instance.id", identity.instance.clone()))
        .with_attribute(KeyValue::new("service.version", identity.version.clone()))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampler)
        .with_batch_exporter(exporter)
        .build())
}

/// Telemetry in use. It is shut down last, so that what the other parts said at their end still leaves.
#[must_use = "what is not yet sent is lost unless it is shut down"]
pub struct TelemetryGuard {
    provider: Option<SdkTracerProvider>,
}

impl TelemetryGuard {
    /// What joins the spans of this process to the contexts that tasks carry.
    pub fn bridge(&self) -> Arc<dyn TraceBridge> {
        match self.provider {
            Some(_) => Arc::new(OtelBridge::default()),
            None => Arc::new(NoTrace),
        }
    }

    /// Sends every span that has ended so far.
    ///
    /// # Errors
    /// [`TelemetryError::Unsent`] when the receiver did not take them, [`TelemetryError::Late`] when it took longer than
    /// `limit`.
    pub async fn flush(&self, limit: Duration) -> Result<(), TelemetryError> {
        let Some(provider) = self.provider.clone() else { return Ok(()) };
        within(limit, move || provider.force_flush().map_err(unsent)).await
    }

    /// Sends what is left and closes the connection; whatever ends later is lost.
    ///
    /// # Errors
    /// [`TelemetryError::Unsent`] when the receiver did not take everything, [`TelemetryError::Late`] when it took longer
    /// than `limit`.
    pub async fn shutdown(self, limit: Duration) -> Result<(), TelemetryError> {
        let Some(provider) = self.provider else { return Ok(()) };
        within(limit, move || {
            // The shutdown by itself would not say that the last spans were refused.
            let sent = provider.force_flush();
            let closed = provider.shutdown_with_timeout(limit);
            sent.and(closed).map_err(unsent)
        })
        .await
    }
}

/// Runs `work` on a thread of its own: it blocks, and a runtime would wait at its end for a blocking task that is late.
async fn within(
    limit: Duration,
    work: impl FnOnce() -> Result<(), TelemetryError> + Send + 'static,
) -> Result<(), TelemetryError> {
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name("telemetry-shutdown".into()).spawn(move || done.send(work()))?;
    match tokio::time::timeout(limit, ended).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(unsent("the thread that sends them ended early")),
        Err(_) => Err(TelemetryError::Late { limit }),
    }
}

fn unsent(why: impl ToString) -> TelemetryError {
    TelemetryError::Unsent { why: why.to_string() }
}

/// Why telemetry does not work.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter refused its configuration.
    #[error("traces cannot be exported")]
    Exporter(#[from] ExporterBuildError),
    /// Traces need the tokio runtime that drives their connection.
    #[error("traces cannot be exported outside a tokio runtime")]
    NoRuntime,
    /// Somebody else set the process's default subscriber.
    #[error("telemetry was already started")]
    AlreadyStarted(#[from] SetGlobalDefaultError),
    /// The system gave no thread.
    #[error("no thread to send the last traces on")]
    NoThread(#[from] io::Error),
    /// The receiver did not take the last spans.
    #[error("the last traces were not sent: {why}")]
    Unsent {
        /// What the exporter said.
        why: String,
    },
    /// The receiver took too long.
    #[error("the last traces were not sent within {limit:?}")]
    Late {
        /// The time they had.
        limit: Duration,
    },
}
