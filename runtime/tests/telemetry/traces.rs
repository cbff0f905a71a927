//! Traces.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use runtime::config::TelemetryConfig;
use runtime::telemetry::OtelBridge;
use runtime_core::trace::{TraceBridge, TraceContext};
use tracing::{info, info_span};

use crate::world::{Answer, DEADLINE, World, attribute, hex, named, stored, text};

#[tokio::test]
async fn spans_arrive_with_names_kinds_parents_attributes_and_events() {
    let mut world = World::new().await;
    world.run(|| {
        let outer = info_span!("process mail", otel.kind = "consumer", queue = "mail", attempt = 2);
        let _outer = outer.enter();
        let _inner = info_span!("settle mail", status = tracing::field::Empty).entered();
        tracing::Span::current().record("status", "done");
        info!(error_code = "RT0001", "an attempt ended");
    });
    let spans = world.spans().await;
    assert_eq!(spans.len(), 2);
    let (outer, inner) = (named(&spans, "process mail"), named(&spans, "settle mail"));
    assert_eq!(outer.kind(), SpanKind::Consumer);
    assert!(outer.parent_span_id.is_empty());
    assert_eq!(attribute(&outer.attributes, "queue"), Some(&text("mail")));
    assert_eq!(attribute(&outer.attributes, "attempt"), Some(&Any::IntValue(2)));
    assert_eq!((&inner.trace_id, &inner.parent_span_id), (&outer.trace_id, &outer.span_id));
    assert_eq!(attribute(&inner.attributes, "status"), Some(&text("done")));
    let [event] = &inner.events[..] else { panic!("one event: {inner:#?}") };
    assert_eq!(event.name, "an attempt ended");
    assert_eq!(attribute(&event.attributes, "error_code"), Some(&text("RT0001")));
}

#[tokio::test]
async fn every_span_says_whose_it_is() {
    for (configured, service) in [(None, "shop"), (Some("orders".to_owned()), "orders")] {
        let config = TelemetryConfig { service_name: configured, ..TelemetryConfig::default() };
        let mut world = World::with(Answer::Take, config).await;
        world.run(|| drop(info_span!("work").entered()));
        world.guard.flush(DEADLINE).await.expect("the receiver takes spans");
        let request = world.received.traces.try_recv().expect("a request");
        let resource = request.resource_spans[0].resource.as_ref().expect("a resource");
        let of = |key| attribute(&resource.attributes, key);
        assert_eq!(of("service.name"), Some(&text(service)));
        assert_eq!(of("service.instance.id"), Some(&text("shop-1")));
        assert_eq!(of("service.version"), Some(&text("1.2.3")));
    }
}

#[tokio::test]
async fn the_first_attempt_is_a_child_of_the_stored_context_and_a_retry_a_new_root_with_a_link() {
    let mut world = World::new().await;
    let bridge = world.guard.bridge();
    let task = world.run(|| {
        let _source = info_span!("source").entered();
        let _enqueue = info_span!("enqueue mail", otel.kind = "producer").entered();
        bridge.current().expect("a context to store")
    });
    // As in another process, later: nothing but the stored context is left, and another span is being worked in.
    world.run(|| {
        let _executor = info_span!("executor").entered();
        let first = info_span!("first attempt");
        bridge.adopt(&first, &task);
        first.in_scope(|| info_span!("confirm").in_scope(|| {}));
        let retry = info_span!("second attempt");
        bridge.link(&retry, &task);
        retry.in_scope(|| {});
    });
    let spans = world.spans().await;
    let [source, enqueue, executor, first, confirm, retry] =
        ["source", "enqueue mail", "executor", "first attempt", "confirm", "second attempt"]
            .map(|name| named(&spans, name));
    assert_eq!(task, TraceContext { traceparent: stored(enqueue), tracestate: None });
    assert_eq!(task.trace_id().map(str::to_owned), Some(hex(&source.trace_id)));
    assert_eq!((&first.trace_id, &first.parent_span_id), (&enqueue.trace_id, &enqueue.span_id));
    assert_eq!((&confirm.trace_id, &confirm.parent_span_id), (&enqueue.trace_id, &first.span_id));
    assert!(first.links.is_empty());
    assert!(retry.parent_span_id.is_empty());
    assert!(retry.trace_id != enqueue.trace_id && retry.trace_id != executor.trace_id);
    let [link] = &retry.links[..] else { panic!("one link: {retry:#?}") };
    assert_eq!((&link.trace_id, &link.span_id), (&enqueue.trace_id, &enqueue.span_id));
}

#[tokio::test]
async fn a_stored_context_is_passed_on_with_its_state_and_a_broken_one_joins_nothing() {
    let mut world = World::new().await;
    let bridge = OtelBridge::default();
    let foreign = TraceContext {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        tracestate: Some("vendor=opaque".into()),
    };
    let broken = TraceContext { traceparent: "00-nonsense".into(), tracestate: None };
    let passed_on = world.run(|| {
        let _executor = info_span!("executor").entered();
        for (name, joined) in [("adopt broken", true), ("link broken", false)] {
            let span = info_span!("work", otel.name = name);
            if joined {
                bridge.adopt(&span, &broken)
            } else {
                bridge.link(&span, &broken)
            }
            span.in_scope(|| {});
        }
        let span = info_span!("adopt foreign");
        bridge.adopt(&span, &foreign);
        span.in_scope(|| bridge.current()).expect("a context")
    });
    let spans = world.spans().await;
    let span = named(&spans, "adopt foreign");
    assert_eq!(Some(hex(&span.trace_id).as_str()), foreign.trace_id());
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(passed_on, TraceContext { traceparent: stored(span), tracestate: foreign.tracestate });
    for name in ["adopt broken", "link broken"] {
        let span = named(&spans, name);
        assert!(span.parent_span_id.is_empty() && span.links.is_empty(), "{span:#?}");
        assert_ne!(span.trace_id, named(&spans, "executor").trace_id);
    }
}

#[tokio::test]
async fn the_exporters_own_chatter_stays_out_of_the_traces() {
    let mut world = World::new().await;
    world.run(|| {
        let _work = info_span!("work").entered();
        for _ in 0..2 {
            let _theirs = info_span!(target: "h2::client", "theirs").entered();
            info!(target: "hyper_util::client", "theirs");
            info!(target: "tonic::transport", "theirs");
            info!(target: "tower::buffer", "theirs");
            info!(target: "opentelemetry_sdk", "theirs");
        }
        info!("ours");
    });
    let spans = world.spans().await;
    let [work] = &spans[..] else { panic!("one span: {spans:#?}") };
    let events: Vec<_> = work.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!((work.name.as_str(), &events[..]), ("work", &["ours"][..]));
}

#[tokio::test]
async fn the_sample_ratio_holds_for_new_traces_and_not_for_those_from_outside() {
    let config = TelemetryConfig { sample_ratio: 0.0, ..TelemetryConfig::default() };
    let mut world = World::with(Answer::Take, config).await;
    let bridge = world.guard.bridge();
    let sampled = TraceContext {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        tracestate: None,
    };
    world.run(|| {
        info_span!("new").in_scope(|| {});
        let span = info_span!("from outside");
        bridge.adopt(&span, &sampled);
        span.in_scope(|| {});
    });
    let names: Vec<_> = world.spans().await.into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["from outside"]);
}
