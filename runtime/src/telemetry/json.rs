//! Log lines for machines: one flat JSON object a line, so that `queue`, `task` or `trace_id` is the same key wherever it
//! was recorded, on the event itself or on a span round it.
//!
//! Every attempt has a span, and hardly any attempt says a line: so the fields of a span are kept as text to which another is appended, and
//! read only when there is a line to write.

use std::error::Error;
use std::fmt::{self, Write as _};

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats an event as one JSON object. An inner span's field goes before an outer one's, the event's before both, and
/// the line's own keys (`timestamp`, `level`, `target`, `span`, `trace_id`, `span_id`) before all.
pub(super) struct JsonLines;

impl<S> FormatEvent<S, SpanFields> for JsonLines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SpanFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<SpanFields>>() {
                line.extend(SpanFields::read(fields));
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

/// Keeps the fields of a span as `"key":value,` one after the other. One that was recorded twice is there twice, and the later counts.
pub(super) struct SpanFields;

impl SpanFields {
    fn read(fields: &str) -> Map<String, Value> {
        serde_json::from_str(&format!("{{{}}}", fields.trim_end_matches(','))).unwrap_or_default()
    }
}

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut append = Append { writer, result: Ok(()) };
        fields.record(&mut append);
        append.result
    }

    fn add_fields(&self, known: &'w mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        self.format_fields(known.as_writer(), fields)
    }
}

struct Append<'w> {
    writer: Writer<'w>,
    result: fmt::Result,
}

impl Append<'_> {
    /// A value that is JSON as it stands.
    fn put(&mut self, field: &Field, value: impl fmt::Display) {
        let put = |writer: &mut Writer<'_>| write!(writer, "\"{}\":{value},", field.name());
        self.result = self.result.and_then(|()| put(&mut self.writer));
    }

    fn put_text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        let put = |writer: &mut Writer<'_>| {
            write!(writer, "\"{}\":\"", field.name())?;
            Escaped(writer).write_fmt(text)?;
            writer.write_str("\",")
        };
        self.result = self.result.and_then(|()| put(&mut self.writer));
    }
}

impl Visit for Append<'_> {
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
        // What is no number in JSON is null.
        self.put(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, format_args!("{value:?}"));
    }
}

/// The inside of a JSON string.
struct Escaped<'e, 'w>(&'e mut Writer<'w>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        // Such a byte is never part of a longer character.
        while let Some(at) = text.bytes().position(is_special) {
            self.0.write_str(&text[..at])?;
            write!(self.0, "\\u{:04x}", text.as_bytes()[at])?;
            text = &text[at + 1..];
        }
        self.0.write_str(text)
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

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_field_of_a_span_comes_back_as_it_was_recorded() {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let layer = layer.fmt_fields(SpanFields).event_format(JsonLines);
        let text = "a \"quote\", a \\ and\na line\u{1}, \u{e9} \u{1f980},";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let empty = tracing::field::Empty;
            let outer = tracing::info_span!("outer", text, shown = %text, debug = ?Some(text), whole = -3, late = empty);
            let _outer = outer.enter();
            let inner = tracing::info_span!(
                "inner",
                odd = f64::NAN,
                half = 0.5,
                yes = true,
                large = u64::MAX,
                none = empty
            );
            let _inner = inner.enter();
            tracing::record_all!(outer, late = "first", whole = 4);
            outer.record("late", "second");
            tracing::info!("said");
        });
        let line: Value = serde_json::from_slice(&sink.0.lock().unwrap()).unwrap();
        let expected = serde_json::json!({
            "text": text, "shown": text, "debug": format!("{:?}", Some(text)), "whole": 4, "late": "second",
            "odd": null, "half": 0.5, "yes": true, "large": u64::MAX, "message": "said", "span": "inner",
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(line.get(key), Some(value), "{key}");
        }
        assert_eq!(line.get("none"), None);
    }

    #[test]
    fn a_span_without_fields_is_none() {
        assert_eq!(SpanFields::read(""), Map::new());
    }
}
