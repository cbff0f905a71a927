//! The filter of log lines while the process runs.

use std::time::Duration;

use runtime::config::{LogFilter, TelemetryConfig};
use runtime::telemetry::Telemetry;
use tracing::{debug, dispatcher};

use crate::world::{Log, identity};

fn filter(text: &str) -> LogFilter {
    text.parse().expect("a filter")
}

#[tokio::test(start_paused = true)]
async fn an_override_lets_lines_through_and_goes_back_by_itself() {
    let log = Log::default();
    let telemetry = Telemetry::scoped(&TelemetryConfig::default(), &identity(), log.sink());
    let (dispatch, guard) = telemetry.expect("telemetry").into_parts();
    let _in_force = dispatcher::set_default(&dispatch);
    let say = |what: &str| debug!("{what}");
    let control = guard.log();

    say("before");
    control.set_for(filter("debug"), Duration::from_secs(60), |_, _| {});
    say("meanwhile");
    let status = control.status();
    assert_eq!((status.in_force.as_str(), status.configured.as_str()), ("debug", "info"));
    assert_eq!(status.comes_back_in, Some(Duration::from_secs(60)));

    // A later one goes before an earlier one, whose end then ends nothing.
    tokio::time::sleep(Duration::from_secs(50)).await;
    control.set_for(filter("telemetry=debug"), Duration::from_secs(60), |_, _| {});
    tokio::time::sleep(Duration::from_secs(30)).await;
    say("still");

    tokio::time::sleep(Duration::from_secs(31)).await;
    say("after");
    assert_eq!((control.status().in_force.as_str(), control.status().comes_back_in), ("info", None));

    let text = log.text();
    let seen = ["before", "meanwhile", "still", "after"].map(|what| text.contains(what));
    assert_eq!(seen, [false, true, true, false], "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_meanwhile_is_what_comes_back() {
    let log = Log::default();
    let telemetry = Telemetry::scoped(&TelemetryConfig::default(), &identity(), log.sink());
    let (dispatch, guard) = telemetry.expect("telemetry").into_parts();
    let _in_force = dispatcher::set_default(&dispatch);
    let say = |what: &str| debug!("{what}");
    let control = guard.log();

    control.set_for(filter("off"), Duration::from_secs(60), |_, _| {});
    control.configure(filter("debug"));
    say("silenced");
    control.reset();
    say("heard");
    assert_eq!((control.status().in_force.as_str(), control.status().comes_back_in), ("debug", None));
    let text = log.text();
    assert!(!text.contains("silenced") && text.contains("heard"), "{text}");
}
