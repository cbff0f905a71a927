//! Reads metrics from what the receiver prints. A point is taken once its value is there.

use std::collections::BTreeMap;

use super::of_signal;
use super::span::attribute;

/// One metric as the receiver got it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReceivedMetric {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// `Sum`, `Gauge` or `Histogram`.
    pub kind: String,
    /// Its points.
    pub points: Vec<ReceivedPoint>,
}

/// One value of a metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReceivedPoint {
    /// Its labels, without their types.
    pub attributes: BTreeMap<String, String>,
    /// The value; of a histogram how many values it holds.
    pub value: f64,
    /// The sum of a histogram's values.
    pub sum: Option<f64>,
}

pub(super) fn parse(text: &str) -> Vec<ReceivedMetric> {
    let mut metrics: Vec<ReceivedMetric> = Vec::new();
    let mut labels = None;
    for line in of_signal(text, "ResourceMetrics #") {
        if line.starts_with("Metric #") {
            labels = None;
            metrics.push(ReceivedMetric::default());
        } else if line == "Data point attributes:" {
            labels = Some(BTreeMap::new());
        } else if line.starts_with("NumberDataPoints #") || line.starts_with("HistogramDataPoints #") {
            // A point without labels has no line that says so.
            labels = Some(BTreeMap::new());
        } else if line.starts_with("ResourceMetrics #") {
            labels = None;
        } else if let Some(metric) = metrics.last_mut() {
            read(metric, &mut labels, line);
        }
    }
    metrics
}

fn read(metric: &mut ReceivedMetric, labels: &mut Option<BTreeMap<String, String>>, line: &str) {
    let field = |name: &str| line.strip_prefix(name).map(|rest| rest.trim().to_owned());
    if let Some(labels) = labels.as_mut() {
        labels.extend(attribute(line));
    } else if let Some(name) = field("     -> Name:") {
        metric.name = name;
    } else if let Some(unit) = field("     -> Unit:") {
        metric.unit = unit;
    } else if let Some(kind) = field("     -> DataType:") {
        metric.kind = kind;
    }
    if let Some(value) = field("Value:").or_else(|| field("Count:")).and_then(|value| value.parse().ok()) {
        let attributes = labels.clone().unwrap_or_default();
        metric.points.push(ReceivedPoint { attributes, value, sum: None });
    } else if let Some(sum) = field("Sum:")
        && let Some(point) = metric.points.last_mut()
    {
        point.sum = sum.parse().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by rotel 0.0.1-alpha15.
    const PRINTED: &str = "\
ResourceMetrics #0
Resource SchemaURL: 
Resource attributes:
     -> service.name: Str(ground)
ScopeMetrics #0
ScopeMetrics SchemaURL: 
InstrumentationScope runtime 
Metric #0
Descriptor:
     -> Name: runtime.task.settled
     -> Description: settled outcomes
     -> Unit: {task}
     -> DataType: Sum
     -> IsMonotonic: true
     -> AggregationTemporality: AGGREGATION_TEMPORALITY_CUMULATIVE
NumberDataPoints #0
Data point attributes:
     -> queue: Str(job)
     -> status: Str(done)
StartTimestamp: 1795324311160189843
Timestamp: 1795324313106493576
Value: 7
NumberDataPoints #1
Data point attributes:
     -> queue: Str(follow)
StartTimestamp: 1795324311160189843
Timestamp: 1795324313106493576
Value: 1
Metric #1
Descriptor:
     -> Name: runtime.task.wait.duration
     -> Description: from due to begun
     -> Unit: s
     -> DataType: Histogram
     -> AggregationTemporality: AGGREGATION_TEMPORALITY_CUMULATIVE
HistogramDataPoints #0
Data point attributes:
     -> queue: Str(job)
StartTimestamp: 1795324311160235471
Timestamp: 1795324313106529379
Count: 2
Sum: 0.5
Min: 0.1
Max: 0.4
ExplicitBounds #0: 0.001
Buckets #0, Count: 0
Buckets #1, Count: 2
ResourceLog #0
Attributes:
     -> queue: Str(other)
";

    #[test]
    fn metrics_are_read_with_unit_kind_labels_and_values() {
        let metrics = parse(PRINTED);
        let [settled, wait] = metrics.as_slice() else { panic!("two metrics, not {metrics:?}") };
        let words = |metric: &ReceivedMetric| (metric.name.clone(), metric.unit.clone(), metric.kind.clone());
        assert_eq!(words(settled), ("runtime.task.settled".into(), "{task}".into(), "Sum".into()));
        assert_eq!(words(wait), ("runtime.task.wait.duration".into(), "s".into(), "Histogram".into()));
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            settled.points,
            [
                ReceivedPoint {
                    attributes: labels(&[("queue", "job"), ("status", "done")]),
                    value: 7.0,
                    sum: None
                },
                ReceivedPoint { attributes: labels(&[("queue", "follow")]), value: 1.0, sum: None },
            ]
        );
        let waited = ReceivedPoint { attributes: labels(&[("queue", "job")]), value: 2.0, sum: Some(0.5) };
        assert_eq!(wait.points, [waited]);
    }
}
