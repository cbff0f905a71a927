//! How values read on a terminal.

use jiff::Timestamp;
use runtime_proto::v1;

use super::table::Cell;
use super::terminal::{HIDDEN, steers};

/// What stands for nothing.
pub(super) const NONE: &str = "-";

/// An enum value without its prefix: `NODE_STATE_BACKING_OFF` is `backing_off`.
pub(super) fn word(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix) {
        None | Some("UNSPECIFIED") => "unknown".to_owned(),
        Some(word) => word.to_lowercase(),
    }
}

/// A text from elsewhere without anything that could steer a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if steers(c) { HIDDEN } else { c }).collect()
}

/// A text, or what stands for nothing.
pub(super) fn or_none(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { clean(text) }
}

/// A node's name as the command line takes it: short under `/engine/apps`.
pub(super) fn node_name(name: &str) -> String {
    let path = name.strip_prefix("nodes").unwrap_or(name);
    path.strip_prefix("/engine/apps/").unwrap_or(path).to_owned()
}

/// The last part of a resource name: `queues/mail` is `mail`.
pub(super) fn short_name(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, rest)| rest)
}

/// How long ago, in one unit.
pub(super) fn age(at: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return NONE.to_owned() };
    let seconds = now.as_second().saturating_sub(at.seconds);
    span(seconds.max(0))
}

/// A number of seconds, in one unit.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A length of time, to the millisecond.
pub(super) fn duration(length: Option<&prost_types::Duration>) -> String {
    let Some(length) = length else { return NONE.to_owned() };
    let millis = length.nanos / 1_000_000;
    match (length.seconds, millis) {
        (0, millis) => format!("{millis}ms"),
        (seconds, 0) => format!("{seconds}s"),
        (seconds, millis) => format!("{seconds}.{millis:03}s"),
    }
}

/// A moment with its distance from now.
pub(super) fn moment(at: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let Some(wire) = at else { return NONE.to_owned() };
    let Ok(at) = Timestamp::from_second(wire.seconds) else { return NONE.to_owned() };
    let distance = now.as_second() - wire.seconds;
    if distance >= 0 {
        format!("{at} ({} ago)", span(distance))
    } else {
        format!("{at} (in {})", span(-distance))
    }
}

/// What a node is.
pub(super) fn node_kind(node: &v1::Node) -> String {
    word(node.kind().as_str_name(), "NODE_KIND_")
}

/// What a node does and, where that differs, what is wanted of it.
pub(super) fn node_state(node: &v1::Node) -> Cell {
    use v1::{DesiredState, NodeState};
    let state = word(node.state().as_str_name(), "NODE_STATE_");
    let as_wanted = match node.desired_state() {
        DesiredState::Unspecified => true,
        DesiredState::Running => node.state() == NodeState::Running,
        DesiredState::Paused => node.state() == NodeState::Paused,
        DesiredState::Stopped => node.state() == NodeState::Stopped,
    };
    let text = if as_wanted {
        state
    } else {
        format!("{state} \u{2192} {}", word(node.desired_state().as_str_name(), "DESIRED_STATE_"))
    };
    match node.state() {
        NodeState::Running if as_wanted => Cell::good(text),
        NodeState::Stopped if as_wanted => Cell::faint(text),
        NodeState::BackingOff | NodeState::Abandoned => Cell::bad(text),
        _ => Cell::warn(text),
    }
}

/// How well something does.
pub(super) fn health(health: Option<&v1::Health>) -> Cell {
    let level = health.map_or(v1::HealthLevel::Unspecified, v1::Health::level);
    let text = word(level.as_str_name(), "HEALTH_LEVEL_");
    match level {
        v1::HealthLevel::Healthy => Cell::good(text),
        v1::HealthLevel::Degraded => Cell::warn(text),
        v1::HealthLevel::Unhealthy => Cell::bad(text),
        v1::HealthLevel::Unspecified => Cell::plain(text),
    }
}

/// Slots in use and in all.
pub(super) fn slots(slots: Option<&v1::Slots>) -> String {
    slots.map_or_else(|| NONE.to_owned(), |slots| format!("{}/{}", slots.busy, slots.total))
}

/// Where a task stands.
pub(super) fn task_state(state: v1::TaskState) -> Cell {
    let text = word(state.as_str_name(), "TASK_STATE_");
    match state {
        v1::TaskState::Done => Cell::good(text),
        v1::TaskState::Parked => Cell::warn(text),
        v1::TaskState::Dead => Cell::bad(text),
        v1::TaskState::Cancelled => Cell::faint(text),
        _ => Cell::plain(text),
    }
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 119, 120, 7_199, 7_200, 172_800].map(span), ["0s", "119s", "2m", "119m", "2h", "2d"]);
        let took = |seconds, nanos| duration(Some(&prost_types::Duration { seconds, nanos }));
        assert_eq!([took(0, 7_000_000), took(2, 0), took(2, 50_000_000)], ["7ms", "2s", "2.050s"]);
    }

    #[test]
    fn nothing_from_elsewhere_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(clean("a\u{9b}2Jb\u{202e}c"), "a\u{fffd}2Jb\u{fffd}c");
    }
}
