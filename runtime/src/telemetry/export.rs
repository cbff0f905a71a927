//! What leaves for the OTLP receiver: one provider for each signal, each with its own bounded queue and its own thread, so that
//! nothing here ever makes work wait. What does not fit into a queue is dropped and counted; the count is logged at the end.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Identity, TelemetryError};
use crate::config::TelemetryConfig;

/// What a certificate begins with.
const PEM_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The providers of the signals that are sent.
#[derive(Default, Clone)]
pub(super) struct Providers {
    pub(super) traces: Option<SdkTracerProvider>,
    pub(super) metrics: Option<SdkMeterProvider>,
    pub(super) logs: Option<SdkLoggerProvider>,
}

impl Providers {
    /// Those that the configuration asks for; none without a receiver.
    pub(super) fn new(config: &TelemetryConfig, identity: &Identity) -> Result<Self, TelemetryError> {
        let Some(endpoint) = config.otlp_endpoint.as_deref() else { return Ok(Self::default()) };
        // Without a runtime the connection would panic in the exporter's thread.
        Handle::try_current().map_err(|_| TelemetryError::NoRuntime)?;
        let receiver = Receiver { endpoint, tls: tls(endpoint, config.otlp_ca_file.as_deref())? };
        let resource = resource(config, identity);
        let traces =
            config.send_traces.then(|| receiver.traces(&resource, config.sample_ratio)).transpose()?;
        let every = Duration::from_secs(config.metrics_every_secs.get());
        let metrics = config.send_metrics.then(|| receiver.metrics(&resource, every)).transpose()?;
        let logs = config.send_logs.then(|| receiver.logs(&resource)).transpose()?;
        Ok(Self { traces, metrics, logs })
    }

    /// Sends what there is, each signal on a thread of its own, so that one that hangs keeps none of the others.
    pub(super) async fn flush(&self, limit: Duration) -> Result<(), TelemetryError> {
        let Self { traces, metrics, logs } = self.clone();
        let (traces, metrics, logs) = tokio::join!(
            within(limit, "traces", traces.map(|provider| move || provider.force_flush())),
            within(limit, "metrics", metrics.map(|provider| move || provider.force_flush())),
            within(limit, "logs", logs.map(|provider| move || provider.force_flush())),
        );
        traces.and(metrics).and(logs)
    }

    /// The same, and closes the connections. The shutdown by itself would not say that the last of it was refused.
    pub(super) async fn shutdown(self, limit: Duration) -> Result<(), TelemetryError> {
        let Self { traces, metrics, logs } = self;
        let (traces, metrics, logs) = tokio::join!(
            within(
                limit,
                "traces",
                traces.map(|it| move || it.force_flush().and(it.shutdown_with_timeout(limit)))
            ),
            within(limit, "metrics", metrics.map(|it| move || it.force_flush().and(it.shutdown()))),
            within(
                limit,
                "logs",
                logs.map(|it| move || it.force_flush().and(it.shutdown_with_timeout(limit)))
            ),
        );
        traces.and(metrics).and(logs)
    }
}

/// Where to, and how it is known.
struct Receiver<'c> {
    endpoint: &'c str,
    tls: Option<ClientTlsConfig>,
}

impl Receiver<'_> {
    fn traces(&self, resource: &Resource, ratio: f64) -> Result<SdkTracerProvider, TelemetryError> {
        let exporter = self.reach(SpanExporter::builder().with_tonic()).build()?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        let provider = SdkTracerProvider::builder().with_resource(resource.clone()).with_sampler(sampler);
        Ok(provider.with_batch_exporter(exporter).build())
    }

    fn metrics(&self, resource: &Resource, every: Duration) -> Result<SdkMeterProvider, TelemetryError> {
        let exporter = self.reach(MetricExporter::builder().with_tonic()).build()?;
        let reader = PeriodicReader::builder(exporter).with_interval(every).build();
        Ok(SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader).build())
    }

    fn logs(&self, resource: &Resource) -> Result<SdkLoggerProvider, TelemetryError> {
        let exporter = self.reach(LogExporter::builder().with_tonic()).build()?;
        let provider = SdkLoggerProvider::builder().with_resource(resource.clone());
        Ok(provider.with_batch_exporter(exporter).build())
    }

    fn reach<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> B {
        let builder = builder.with_endpoint(self.endpoint);
        match &self.tls {
            Some(tls) => builder.with_tls_config(tls.clone()),
            None => builder,
        }
    }
}

fn resource(config: &TelemetryConfig, identity: &Identity) -> Resource {
    Resource::builder()
        .with_service_name(config.service_name.as_ref().unwrap_or(&identity.service).clone())
        .with_attribute(KeyValue::new("service.instance.id", identity.instance.clone()))
        .with_attribute(KeyValue::new("service.version", identity.version.clone()))
        .build()
}

/// How an `https` receiver is known: by the authorities of the file alone, when there is one, since a machine may have no others.
fn tls(endpoint: &str, ca_file: Option<&Path>) -> Result<Option<ClientTlsConfig>, TelemetryError> {
    if !endpoint.starts_with("https://") {
        return Ok(None);
    }
    let Some(path) = ca_file else { return Ok(Some(ClientTlsConfig::new().with_native_roots())) };
    let unusable = |source| TelemetryError::CaFile { path: path.to_owned(), source };
    let pem = fs::read(path).map_err(unusable)?;
    if !pem.windows(PEM_CERTIFICATE.len()).any(|bytes| bytes == PEM_CERTIFICATE) {
        let none = "it holds no certificate in PEM form";
        return Err(unusable(io::Error::new(io::ErrorKind::InvalidData, none)));
    }
    Ok(Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))))
}

/// Runs `work` on a thread of its own: it blocks, and a runtime would wait at its end for a blocking task that is late.
async fn within(
    limit: Duration,
    what: &'static str,
    work: Option<impl FnOnce() -> OTelSdkResult + Send + 'static>,
) -> Result<(), TelemetryError> {
    let Some(work) = work else { return Ok(()) };
    let (done, ended) = oneshot::channel();
    let no_thread = |source: io::Error| TelemetryError::NoThread { what, source };
    let thread = thread::Builder::new().name(format!("last-{what}"));
    thread.spawn(move || done.send(work())).map_err(no_thread)?;
    match tokio::time::timeout(limit, ended).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(TelemetryError::Unsent { what, why: error.to_string() }),
        Ok(Err(_)) => {
            Err(TelemetryError::Unsent { what, why: "the thread that sends them ended early".into() })
        }
        Err(_) => Err(TelemetryError::Late { what, limit }),
    }
}
