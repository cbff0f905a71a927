//! What is measured of events: counted where they are kept, and read there when somebody collects.

use std::sync::Arc;

use opentelemetry::metrics::Meter;

use super::{EVENT_WATCHERS, EVENTS_EVICTED, EVENTS_WRITTEN, SLOW_CONSUMERS};
use crate::journal::SharedJournal;

pub(crate) fn register(meter: &Meter, journal: &Arc<SharedJournal>) {
    let kept = journal.clone();
    // The meter keeps the callbacks; the handles have no further use.
    let _gauge = meter
        .u64_observable_gauge(EVENT_WATCHERS.name)
        .with_unit(EVENT_WATCHERS.unit)
        .with_description(EVENT_WATCHERS.about)
        .with_callback(move |observer| observer.observe(kept.figures().watchers, &[]))
        .build();
    for (metric, figure) in [
        (EVENTS_WRITTEN, (|figures| figures.written) as fn(crate::journal::JournalFigures) -> u64),
        (EVENTS_EVICTED, |figures| figures.evicted),
        (SLOW_CONSUMERS, |figures| figures.cut_off),
    ] {
        let kept = journal.clone();
        let _counter = meter
            .u64_observable_counter(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.about)
            .with_callback(move |observer| observer.observe(figure(kept.figures()), &[]))
            .build();
    }
}
