//! Reads log lines from what the receiver prints. One is taken once its flags, its last line, are there.

use std::collections::BTreeMap;

use super::of_signal;
use super::span::attribute;

/// One log line as the receiver got it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceivedLog {
    /// `INFO`, `WARN` and so on.
    pub severity: String,
    /// The message.
    pub body: String,
    /// Each value as text, without its type. A key that came twice has the later value.
    pub attributes: BTreeMap<String, String>,
    /// Keys that came more than once, which nobody should send.
    pub repeated: Vec<String>,
    /// 32 digits; empty outside of a trace.
    pub trace_id: String,
}

pub(super) fn parse(text: &str) -> Vec<ReceivedLog> {
    let mut logs = Vec::new();
    let mut open: Option<ReceivedLog> = None;
    for line in of_signal(text, "ResourceLog #") {
        if line.starts_with("LogRecord #") {
            open = Some(ReceivedLog::default());
        } else if line.starts_with("Flags:") {
            logs.extend(open.take());
        } else if let Some(log) = &mut open {
            read(log, line);
        }
    }
    logs
}

fn read(log: &mut ReceivedLog, line: &str) {
    if let Some((key, value)) = attribute(line) {
        if log.attributes.insert(key.clone(), value).is_some() {
            log.repeated.push(key);
        }
        return;
    }
    let Some((field, value)) = line.split_once(':') else { return };
    match (field.trim(), value.trim()) {
        ("SeverityText", severity) => log.severity = severity.to_owned(),
        ("Body", body) => {
            let text = body.strip_prefix("Str(").unwrap_or(body);
            log.body = text.strip_suffix(')').unwrap_or(text).to_owned();
        }
        ("Trace ID", id) => log.trace_id = id.to_owned(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by rotel 0.0.1-alpha15; the second line is still on its way.
    const PRINTED: &str = "\
ResourceLog #0
Resource SchemaURL: 
Resource attributes:
     -> service.name: Str(ground)
ScopeLogs #0
ScopeLogs SchemaURL: 
InstrumentationScope runtime_actors::attempt 
LogRecord #0
ObservedTimestamp: 1795324311201719827
Timestamp: 0
SeverityText: WARN
SeverityNumber: SEVERITY_NUMBER_WARN(13)
EventName: event runtime-actors/src/attempt.rs:430
Body: Str(attempt ended)
Attributes:
     -> queue: Str(job)
     -> attempt: Int(1)
     -> attempt: Int(2)
    Trace ID       : 408f06982cf57cc0fd646003224e0721
    Span ID        : f49deb29ffc22050
Flags: 1
LogRecord #1
SeverityText: INFO
";

    #[test]
    fn lines_are_read_whole_with_what_came_twice() {
        let logs = parse(PRINTED);
        let [log] = logs.as_slice() else { panic!("one line, not {logs:?}") };
        assert_eq!((log.severity.as_str(), log.body.as_str()), ("WARN", "attempt ended"));
        assert_eq!(log.trace_id, "408f06982cf57cc0fd646003224e0721");
        let attributes = [("queue", "job"), ("attempt", "2")];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(log.attributes, BTreeMap::from(attributes));
        assert_eq!(log.repeated, ["attempt"]);
    }
}
