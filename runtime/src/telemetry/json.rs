//! Log lines for machines: one flat JSON object a line, so that `queue`, `task` or `trace_id` is the same key wherever it
//! was recorded, on the event itself or on a span round it.

use std::error::Error;
use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats an event as one JSON object. An inner span's field goes before an outer one's, the event's before both, and
/// the line's own keys (`timestamp`, `level`, `target`, `span`, `trace_id`, `span_id`) before all.
pub(super) struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                line.extend(serde_json::from_str::<Map<_, _>>(fields).unwrap_or_default());
            }
        }
        event.record(&mut IntoMap(&mut line));

        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        let mut put = |key: &str, value: String| line.insert(key.to_owned(), value.into());
        put("timestamp", timestamp);
        put("level", metadata.level().as_str().to_ascii_lowercase());
        put("target", metadata.target().to_owned());
        if let Some(span) = context.lookup_current() {
            put("span", span.name().to_owned());
        }
        let trace = Context::current();
        let trace = trace.span().span_context().clone();
        if trace.is_valid() {
            put("trace_id", trace.trace_id().to_string());
            put("span_id", trace.span_id().to_string());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct IntoMap<'m>(&'m mut Map<String, Value>);

impl IntoMap<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for IntoMap<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut told = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            told += &format!(": {error}");
            cause = error.source();
        }
        self.put(field, told);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
