//! Reads spans from what the receiver prints.
//!
//! Names at the start of a line tell what follows; an attribute with line breaks in it is cut at the first. A span is
//! taken once its end time is there, so that text which is still growing gives whole spans only; its links come after
//! that, so a test that waits for links says so.

use std::collections::BTreeMap;

/// One span as the receiver got it. Ids are lower-case hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceivedSpan {
    /// The `service.name` of the resource it came with.
    pub service: Option<String>,
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
    /// The parent's span id; `None` for a root.
    pub parent_id: Option<String>,
    /// Its name, such as `process mail`.
    pub name: String,
    /// `INTERNAL`, `SERVER`, `CLIENT`, `PRODUCER` or `CONSUMER`.
    pub kind: String,
    /// `UNSET`, `OK` or `ERROR`; empty where the receiver printed none.
    pub status: String,
    /// Each value as text, without its type.
    pub attributes: BTreeMap<String, String>,
    /// The spans it points to besides its parent.
    pub links: Vec<SpanRef>,
}

/// Another span, by its ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanRef {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
}

/// What the lines with an arrow belong to.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Resource,
    Span,
    SpanAttributes,
    Events,
    Links,
    Other,
}

pub(super) fn parse(text: &str) -> Vec<ReceivedSpan> {
    let mut spans: Vec<ReceivedSpan> = Vec::new();
    let mut service = None;
    let mut open: Option<ReceivedSpan> = None;
    let mut part = Part::Other;

    for line in super::of_signal(text, "ResourceSpans #") {
        if let Some(next) = part_begun(line) {
            part = next;
            if next == Part::Resource {
                service = None;
            }
            if next == Part::Span {
                open = Some(ReceivedSpan { service: service.clone(), ..ReceivedSpan::default() });
            }
        } else if line.starts_with("End time: ") {
            spans.extend(open.take());
        } else {
            match part {
                Part::Resource => {
                    service = attribute(line)
                        .filter(|(key, _)| key == "service.name")
                        .map(|(_, value)| value)
                        .or(service);
                }
                Part::Span => {
                    // The status is printed after the end time, which already closed the span.
                    if let Some(span) = open.as_mut().or(spans.last_mut()) {
                        read_field(span, line);
                    }
                }
                Part::SpanAttributes => {
                    if let Some(span) = spans.last_mut() {
                        span.attributes.extend(attribute(line));
                    }
                }
                Part::Links => {
                    if let Some(span) = spans.last_mut() {
                        read_link(&mut span.links, line);
                    }
                }
                Part::Events | Part::Other => {}
            }
        }
    }
    spans
}

fn part_begun(line: &str) -> Option<Part> {
    match line {
        "Resource attributes:" => Some(Part::Resource),
        "Attributes:" => Some(Part::SpanAttributes),
        "Events:" => Some(Part::Events),
        "Links:" => Some(Part::Links),
        _ if line.starts_with("Span #") => Some(Part::Span),
        _ if line.starts_with("Resource") || line.starts_with("ScopeSpans") => Some(Part::Other),
        _ => None,
    }
}

fn read_field(span: &mut ReceivedSpan, line: &str) {
    let Some((field, value)) = line.split_once(':') else { return };
    let value = value.trim().to_owned();
    match field.trim() {
        "Trace ID" => span.trace_id = value,
        "ID" => span.span_id = value,
        "Parent ID" => span.parent_id = Some(value).filter(|id| !id.is_empty()),
        "Name" => span.name = value,
        "Kind" => span.kind = value.trim_start_matches("SPAN_KIND_").to_owned(),
        "Status code" => span.status = value.trim_start_matches("STATUS_CODE_").to_owned(),
        _ => {}
    }
}

/// Reads `     -> key: Str(value)`.
pub(super) fn attribute(line: &str) -> Option<(String, String)> {
    let (key, typed) = line.strip_prefix("     -> ")?.split_once(": ")?;
    let (_type, value) = typed.split_once('(')?;
    Some((key.to_owned(), value.strip_suffix(')').unwrap_or(value).to_owned()))
}

/// Reads the two lines of a link that carry its ids, of which the trace id comes first.
fn read_link(links: &mut Vec<SpanRef>, line: &str) {
    if let Some(trace_id) = line.strip_prefix("     -> Trace ID: ") {
        links.push(SpanRef { trace_id: trace_id.trim().to_owned(), span_id: String::new() });
    } else if let Some(span_id) = line.strip_prefix("     -> ID: ")
        && let Some(link) = links.last_mut()
    {
        link.span_id = span_id.trim().to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by rotel 0.0.1-alpha10 for two spans sent to it over HTTP.
    const PRINTED: &str = "\
ResourceSpans #0
Resource SchemaURL: 
Resource attributes:
     -> service.name: Str(probe)
ScopeSpans #0
ScopeSpans SchemaURL: 
InstrumentationScope s 1
Span #0
    Trace ID       : 5b8efff798038103d269b633813fc60c
    Parent ID      : eee19b7ec3c1b173
    ID             : eee19b7ec3c1b174
    Name           : process mail
    Kind           : SPAN_KIND_CONSUMER
Start time: 1795299584000000000
End time: 1795299584000000000
    Status code    : STATUS_CODE_ERROR
    Status message : boom
Attributes:
     -> queue: Str(mail: in)
     -> attempt: Int(3)
Events:
SpanEvent #0
     -> Name: ev
     -> Timestamp: 1795299584000000000
     -> DroppedAttributesCount: 0
     -> Attributes::
          -> a: Str(b)
Links:
SpanLink #0
     -> Trace ID: 6b8efff798038103d269b633813fc60c
     -> ID: fee19b7ec3c1b174
     -> TraceState: 
     -> DroppedAttributesCount: 0
Span #1
    Trace ID       : 5b8efff798038103d269b633813fc60c
    Parent ID      : 
    ID             : aaa19b7ec3c1b174
    Name           : root
    Kind           : SPAN_KIND_PRODUCER
Start time: 1795299584000000000
End time: 1795299584000000000
";

    #[test]
    fn spans_are_read_with_parent_attributes_and_links() {
        let spans = parse(PRINTED);
        let [process, root] = spans.as_slice() else { panic!("two spans, not {spans:?}") };

        let ids = |span: &ReceivedSpan| (span.trace_id.clone(), span.span_id.clone(), span.parent_id.clone());
        let trace = "5b8efff798038103d269b633813fc60c";
        assert_eq!(ids(process), (trace.into(), "eee19b7ec3c1b174".into(), Some("eee19b7ec3c1b173".into())));
        assert_eq!(ids(root), (trace.into(), "aaa19b7ec3c1b174".into(), None));
        assert_eq!((process.name.as_str(), process.kind.as_str()), ("process mail", "CONSUMER"));
        assert_eq!((root.name.as_str(), root.kind.as_str()), ("root", "PRODUCER"));
        assert_eq!(process.service.as_deref(), Some("probe"));
        assert_eq!(process.status, "ERROR");
        assert_eq!(
            process.attributes,
            BTreeMap::from([("queue".into(), "mail: in".into()), ("attempt".into(), "3".into())])
        );
        assert_eq!(
            process.links,
            [SpanRef {
                trace_id: "6b8efff798038103d269b633813fc60c".into(),
                span_id: "fee19b7ec3c1b174".into()
            }]
        );
        assert!(root.links.is_empty() && root.attributes.is_empty());
    }

    #[test]
    fn a_span_that_is_still_being_printed_is_left_out() {
        let cut = PRINTED.rfind("Start time").expect("the start of the second span");
        assert_eq!(parse(&PRINTED[..cut]).len(), 1);
        assert_eq!(parse(""), []);
    }
}
