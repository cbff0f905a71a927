//! Metrics.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use runtime::config::TelemetryConfig;

use crate::world::{Answer, DEADLINE, World, attribute, text};

#[tokio::test]
async fn what_is_measured_arrives_with_name_unit_labels_and_who_speaks() {
    let mut world = World::new().await;
    let (meter, _) = world.guard.meter().expect("a meter");
    let counter = meter.u64_counter("runtime.task.settled").with_unit("{task}").build();
    counter.add(3, &[opentelemetry::KeyValue::new("queue", "mail")]);
    world.guard.flush(DEADLINE).await.expect("the receiver takes metrics");
    let request = world.received.metrics.try_recv().expect("a request");
    let resource = &request.resource_metrics[0];
    let whose = &resource.resource.as_ref().expect("a resource").attributes;
    assert_eq!(attribute(whose, "service.name"), Some(&text("shop")));
    let metric = &resource.scope_metrics[0].metrics[0];
    assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("runtime.task.settled", "{task}"));
    let Some(Data::Sum(sum)) = &metric.data else { panic!("a sum: {metric:#?}") };
    let point = &sum.data_points[0];
    assert_eq!((&point.value, sum.is_monotonic), (&Some(Value::AsInt(3)), true));
    assert_eq!(attribute(&point.attributes, "queue"), Some(&text("mail")));
}

#[tokio::test]
async fn each_signal_can_be_left_out() {
    let config = TelemetryConfig {
        send_traces: false,
        send_metrics: false,
        send_logs: false,
        ..TelemetryConfig::default()
    };
    let mut world = World::with(Answer::Take, config).await;
    assert!(world.guard.meter().is_none());
    world.run(|| tracing::info_span!("work").in_scope(|| tracing::info!("worked")));
    assert_eq!((world.spans().await.len(), world.records().await.len()), (0, 0));
    assert!(world.received.metrics.try_recv().is_err());
    assert!(world.log.text().contains("worked"));
}
