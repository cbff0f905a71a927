//! What happens when telemetry leaves, or cannot.

use std::net::SocketAddr;
use std::time::Duration;

use runtime::config::TelemetryConfig;
use runtime::telemetry::{Telemetry, TelemetryError};
use tokio::net::TcpListener;
use tracing::{dispatcher, info_span};

use crate::world::{Answer, DEADLINE, Log, World, identity, receiver};

#[tokio::test]
async fn shutdown_sends_what_is_left() {
    let mut world = World::new().await;
    world.run(|| info_span!("last").in_scope(|| {}));
    world.guard.shutdown(DEADLINE).await.expect("all was sent");
    let request = world.received.traces.try_recv().expect("the receiver has it by then");
    assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].name, "last");
}

#[tokio::test]
async fn shutdown_says_when_the_receiver_refused_the_last_spans() {
    let world = World::with(Answer::Refuse, TelemetryConfig::default()).await;
    world.run(|| info_span!("last").in_scope(|| {}));
    let error = world.guard.shutdown(DEADLINE).await.expect_err("refused");
    assert!(
        matches!(&error, TelemetryError::Unsent { why, .. } if why.contains("PermissionDenied")),
        "{error}"
    );
}

#[tokio::test]
async fn shutdown_gives_up_on_a_receiver_that_never_answers() {
    let world = World::with(Answer::Never, TelemetryConfig::default()).await;
    world.run(|| info_span!("last").in_scope(|| {}));
    let limit = Duration::from_millis(50);
    let error = world.guard.shutdown(limit).await.expect_err("no answer");
    assert!(matches!(error, TelemetryError::Late { .. }), "{error}");
}

#[tokio::test]
async fn an_absent_receiver_stops_neither_the_start_nor_the_work() {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let config = TelemetryConfig { otlp_endpoint: Some(endpoint), ..TelemetryConfig::default() };
    let telemetry = Telemetry::scoped(&config, &identity(), Log::default().sink()).expect("telemetry");
    let (dispatch, guard) = telemetry.into_parts();
    let worked = dispatcher::with_default(&dispatch, || info_span!("work").in_scope(|| 42));
    assert_eq!(worked, 42);
    guard.shutdown(Duration::from_millis(200)).await.expect_err("nobody took the spans");
}

#[tokio::test]
async fn a_process_starts_telemetry_once() {
    let (endpoint, mut received) = receiver(Answer::Take).await;
    let config = TelemetryConfig {
        otlp_endpoint: Some(endpoint),
        log_filter: "off".parse().expect("a filter"),
        ..TelemetryConfig::default()
    };
    let guard = Telemetry::start(&config, &identity()).expect("the first start");
    assert!(matches!(Telemetry::start(&config, &identity()), Err(TelemetryError::AlreadyStarted(_))));
    info_span!("global").in_scope(|| {});
    guard.shutdown(DEADLINE).await.expect("all was sent");
    let request = received.traces.try_recv().expect("the receiver has it by then");
    let spans = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    assert!(spans.flat_map(|scope| scope.spans).any(|span| span.name == "global"));
}
