//! What every bench begins and ends with: telemetry as an app sets it up by default, and how busy the machine was.

use runtime::config::TelemetryConfig;
use runtime::telemetry::{Identity, LogSink, Telemetry, TelemetryGuard};

/// Spans and events from info upwards are made and written, as by default; only where to differs.
pub(crate) fn telemetry() -> TelemetryGuard {
    let identity = Identity { service: "bench".into(), instance: "bench".into(), version: "0".into() };
    let (dispatch, telemetry) =
        Telemetry::scoped(&TelemetryConfig::default(), &identity, LogSink::new(std::io::sink))
            .expect("telemetry")
            .into_parts();
    tracing::dispatcher::set_global_default(dispatch).expect("the only subscriber");
    telemetry
}

/// As the system says it, in the last line of a report.
pub(crate) fn print_load_average() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\nload average at the end: {}", load.trim());
}
