//! W3C trace contexts in and out of `tracing` spans.

use std::collections::HashMap;
use std::fmt::Display;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use runtime_core::trace::{TraceBridge, TraceContext};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Joins spans to stored contexts through the OpenTelemetry layer of the subscriber in force.
///
/// A span takes a parent or becomes a root only before it is entered for the first time and before its context is read.
/// A context that is not well formed joins nothing: the span is a root then.
#[derive(Debug, Default)]
pub struct OtelBridge {
    propagator: TraceContextPropagator,
}

impl OtelBridge {
    fn extract(&self, stored: &TraceContext) -> Context {
        let mut headers = HashMap::from([(TRACEPARENT.to_owned(), stored.traceparent.clone())]);
        if let Some(state) = &stored.tracestate {
            headers.insert(TRACESTATE.to_owned(), state.clone());
        }
        // Never the context that happens to be in force: it has nothing to do with the stored one.
        self.propagator.extract_with_context(&Context::new(), &headers)
    }

    fn set_parent(span: &Span, parent: Context) {
        if let Err(error) = span.set_parent(parent) {
            tracing::debug!(%error, "span keeps the trace it is in");
        }
    }
}

impl TraceBridge for OtelBridge {
    fn current(&self) -> Option<TraceContext> {
        let context = Span::current().context();
        if !context.span().span_context().is_valid() {
            return None;
        }
        let mut headers = HashMap::new();
        self.propagator.inject_context(&context, &mut headers);
        Some(TraceContext {
            traceparent: headers.remove(TRACEPARENT)?,
            tracestate: headers.remove(TRACESTATE).filter(|state| !state.is_empty()),
        })
    }

    fn adopt(&self, span: &Span, parent: &TraceContext) {
        Self::set_parent(span, self.extract(parent));
    }

    fn link(&self, span: &Span, to: &TraceContext) {
        Self::set_parent(span, Context::new());
        span.add_link(self.extract(to).span().span_context().clone());
    }

    fn annotate(&self, span: &Span, attributes: &[(&'static str, &dyn Display)]) {
        for (key, value) in attributes {
            span.set_attribute(*key, value.to_string());
        }
    }

    fn fail(&self, span: &Span) {
        // Without a text: the code of the error is among the attributes, and its message is nobody's business but the log's.
        span.set_status(Status::error(""));
    }
}
