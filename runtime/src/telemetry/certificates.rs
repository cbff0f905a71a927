//! How long the certificates of the admin API are good for: a certificate that ends is an outage with a date.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use runtime_actors::metrics::{Metric, MetricKind};
use runtime_admin::Certificates;

/// Time by [`CERTIFICATE`]; where the admin API speaks TLS.
pub const CERTIFICATE_REMAINING: Metric = Metric {
    name: "runtime.certificate.remaining",
    unit: "s",
    kind: MetricKind::Gauge,
    about: "how long until a certificate of the admin API ends",
};

/// Whose certificate: `server`, or `clients` for the first of the authorities that sign those of clients.
pub const CERTIFICATE: &str = "certificate";

/// Shows them from now on, as they are when they are looked at.
pub(super) fn show(meter: &Meter, certificates: Certificates) {
    let Metric { name, unit, about, .. } = CERTIFICATE_REMAINING;
    meter
        .f64_observable_gauge(name)
        .with_unit(unit)
        .with_description(about)
        .with_callback(move |gauge| {
            let left = certificates.remaining();
            for (whose, left) in [("server", Some(left.server)), ("clients", left.clients)] {
                if let Some(left) = left {
                    gauge.observe(left.as_secs_f64(), &[KeyValue::new(CERTIFICATE, whose)]);
                }
            }
        })
        .build();
}
