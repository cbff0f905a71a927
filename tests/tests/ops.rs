//! The dashboard and the alert rules speak of metrics that the code exports, and of labels that these have.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use runtime::actors::metrics::{LABELS, METRICS, Metric, MetricKind};
use runtime::telemetry::{CERTIFICATE, CERTIFICATE_REMAINING};
use serde_json::Value;

/// What Prometheus adds to a point, and what a collector does.
const ADDED: [&str; 3] = ["service_name", "le", "job"];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names under which Prometheus knows a metric that came over OTLP.
fn prometheus_names(metric: &Metric) -> Vec<String> {
    let mut name = metric.name.replace('.', "_");
    if metric.unit == "s" {
        name.push_str("_seconds");
    }
    match metric.kind {
        MetricKind::Gauge => vec![name],
        MetricKind::Counter => vec![format!("{name}_total")],
        MetricKind::Histogram => ["_bucket", "_count", "_sum"].map(|part| format!("{name}{part}")).into(),
    }
}

/// Of the tree and of the process round it.
fn all_metrics() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().chain([&CERTIFICATE_REMAINING])
}

fn exported() -> BTreeSet<String> {
    all_metrics().flat_map(prometheus_names).collect()
}

/// Every expression of the dashboard, its variables included.
fn dashboard_expressions(dashboard: &str) -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(text) if key == "expr" || key == "query" => found.push(text.clone()),
                        other => collect(other, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(dashboard).expect("the dashboard is JSON"), &mut found);
    found
}

/// Every expression of the rules: what follows `expr:`, folded lines included.
fn rule_expressions(rules: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut folded = None;
    for line in rules.lines() {
        let indent = line.len() - line.trim_start().len();
        if folded.is_some_and(|at| indent > at) {
            let expression = found.last_mut().expect("one was begun");
            expression.push(' ');
            expression.push_str(line.trim());
            continue;
        }
        folded = None;
        if let Some(expression) = line.trim_start().strip_prefix("expr:") {
            match expression.trim() {
                ">-" => {
                    folded = Some(indent);
                    found.push(String::new());
                }
                expression => found.push(expression.to_owned()),
            }
        }
    }
    found
}

/// The metrics in an expression: words with one of the prefixes that ours have.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words
        .filter(|word| word.starts_with("runtime_") || word.starts_with("messaging_"))
        .map(str::to_owned)
        .collect()
}

/// The labels in an expression: of selectors, and of `by (…)` and `on (…)`.
fn labels_in(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, letter) in expression.char_indices() {
        if matches!(letter, '=' | '!') {
            let before = &expression[..at];
            let start =
                before.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
            if before[..start].ends_with(['{', ',']) {
                found.insert(before[start..].to_owned());
            }
        }
    }
    for list in ["by (", "on ("] {
        for rest in expression.split(list).skip(1) {
            let names = rest.split(')').next().unwrap_or_default();
            found.extend(names.split(',').map(|name| name.trim().to_owned()));
        }
    }
    found
}

/// What in these expressions is no metric of ours, or no label.
fn unknown(expressions: &[String]) -> Vec<String> {
    let exported = exported();
    let labels: BTreeSet<String> =
        LABELS.iter().chain(&ADDED).chain([&CERTIFICATE]).map(|label| label.replace('.', "_")).collect();
    let metrics = expressions.iter().flat_map(|it| metrics_in(it)).filter(|name| !exported.contains(name));
    let wrong = expressions.iter().flat_map(|it| labels_in(it)).filter(|name| !labels.contains(name));
    metrics.chain(wrong).collect()
}

#[test]
fn the_dashboard_shows_only_what_is_exported() {
    let expressions = dashboard_expressions(&read("dashboard.json"));
    assert!(expressions.len() > 10, "{expressions:?}");
    assert_eq!(unknown(&expressions), Vec::<String>::new());
}

#[test]
fn the_alerts_speak_only_of_what_is_exported() {
    let expressions = rule_expressions(&read("alerts.yaml"));
    let rules = read("alerts.yaml").matches("- alert:").count();
    assert_eq!(expressions.len(), rules, "{expressions:#?}");
    assert_eq!(unknown(&expressions), Vec::<String>::new());
}

#[test]
fn every_metric_is_on_the_dashboard_and_most_have_an_alert() {
    let shown: BTreeSet<String> =
        dashboard_expressions(&read("dashboard.json")).iter().flat_map(|it| metrics_in(it)).collect();
    for metric in all_metrics() {
        let names = prometheus_names(metric);
        assert!(names.iter().any(|name| shown.contains(name)), "{} is nowhere to be seen", metric.name);
    }
}

#[test]
fn a_metric_or_a_label_that_nobody_exports_is_found() {
    let wrong = read("alerts.yaml").replace("runtime_mailbox_depth", "runtime_mailbox_deep");
    assert_eq!(unknown(&rule_expressions(&wrong)), ["runtime_mailbox_deep"]);
    let wrong = read("dashboard.json").replace("state=~", "sate=~");
    assert_eq!(unknown(&dashboard_expressions(&wrong)), ["sate"]);
    let folded = read("alerts.yaml").replace("by (le, service_name, queue)", "by (le, service_name, que)");
    assert_eq!(unknown(&rule_expressions(&folded)), ["que"]);
}
