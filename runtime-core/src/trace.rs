//! Trace context that travels with a task, in the W3C Trace Context form, and the port that joins it to spans.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// The two headers of W3C Trace Context (<https://www.w3.org/TR/trace-context/>), stored with a task.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceContext {
    /// `version-traceid-parentid-flags`.
    pub traceparent: String,
    /// Vendor data, passed on unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

impl TraceContext {
    /// The 32 hexadecimal digits of the trace id, when the header is well formed.
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent.split('-').nth(1).filter(|id| id.len() == 32)
    }
}

/// Joins tracing spans to stored contexts. Implemented where the telemetry library is known, so that the tree need not
/// know it; [`NoTrace`] is used when no telemetry is set up.
pub trait TraceBridge: Send + Sync + 'static {
    /// The context of the current span, to be stored with a new task.
    fn current(&self) -> Option<TraceContext>;
    /// Makes `span` a child of a stored context: the first attempt of a task.
    fn adopt(&self, span: &tracing::Span, parent: &TraceContext);
    /// Makes `span` a new root that points at a stored context: a retry.
    fn link(&self, span: &tracing::Span, to: &TraceContext);
    /// Adds to what `span` says where it is sent, and in no log line: under names that others agreed on.
    fn annotate(&self, span: &tracing::Span, attributes: &[(&'static str, &dyn Display)]);
    /// Marks `span` as failed, where it is sent.
    fn fail(&self, span: &tracing::Span);
}

/// Joins nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTrace;

impl TraceBridge for NoTrace {
    fn current(&self) -> Option<TraceContext> {
        None
    }
    fn adopt(&self, _span: &tracing::Span, _parent: &TraceContext) {}
    fn link(&self, _span: &tracing::Span, _to: &TraceContext) {}
    fn annotate(&self, _span: &tracing::Span, _attributes: &[(&'static str, &dyn Display)]) {}
    fn fail(&self, _span: &tracing::Span) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_read_from_a_well_formed_header_only() {
        let of = |text: &str| {
            TraceContext { traceparent: text.into(), tracestate: None }.trace_id().map(str::to_owned)
        };
        assert_eq!(
            of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert_eq!(of("00-short-00f067aa0ba902b7-01"), None);
        assert_eq!(of(""), None);
    }
}
