//! A request is understood whole, or refused: whatever in it says nothing to this release would otherwise be passed over, and something else
//! be done than what was asked for (ADR 0053).
//!
//! One look over the message by its descriptor, before anybody acts on it: no field that is unknown, no value of an enum that is unknown, no
//! moment and no length of time that is out of form. What a field means is its service's to say.

use prost_reflect::{DynamicMessage, Kind, ReflectMessage, Value};
use tonic::Status;

use crate::status::invalid;

/// What `google.protobuf.Timestamp` may hold: the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Of a second, in both of them.
const NANOS: std::ops::RangeInclusive<i32> = 0..=999_999_999;
/// What `google.protobuf.Duration` may hold: about 10,000 years. None that this API takes is less than nothing.
const LENGTH: std::ops::RangeInclusive<i64> = 0..=315_576_000_000;

/// Whether all of it says something here.
///
/// # Errors
/// The first field that does not, by its path.
pub(super) fn check(message: &DynamicMessage) -> Result<(), Status> {
    within(message, "")
}

fn within(message: &DynamicMessage, path: &str) -> Result<(), Status> {
    let field = if path.is_empty() { "request" } else { path };
    if let Some(unknown) = message.unknown_fields().next() {
        let what =
            format!("holds a field that this release does not know, of the number {}", unknown.number());
        return Err(invalid(field, what));
    }
    match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => return in_form(message, field, &SECONDS, "no moment"),
        "google.protobuf.Duration" => return in_form(message, field, &LENGTH, "no length of time"),
        _ => {}
    }
    for (field, value) in message.fields() {
        let name = field.name();
        let place = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        value_of(value, &field.kind(), &place)?;
    }
    Ok(())
}

fn value_of(value: &Value, kind: &Kind, place: &str) -> Result<(), Status> {
    match (value, kind) {
        (Value::EnumNumber(number), Kind::Enum(known)) if known.get_value(*number).is_none() => {
            Err(invalid(place, format!("{number} is no {} that this release knows", known.name())))
        }
        (Value::Message(message), _) => within(message, place),
        (Value::List(values), kind) => values.iter().try_for_each(|value| value_of(value, kind, place)),
        _ => Ok(()),
    }
}

fn in_form(
    message: &DynamicMessage,
    place: &str,
    seconds: &std::ops::RangeInclusive<i64>,
    what: &str,
) -> Result<(), Status> {
    let whole = message.get_field_by_name("seconds").and_then(|value| value.as_i64()).unwrap_or(0);
    let nanos = message.get_field_by_name("nanos").and_then(|value| value.as_i32()).unwrap_or(0);
    if seconds.contains(&whole) && NANOS.contains(&nanos) {
        return Ok(());
    }
    Err(invalid(place, format!("{whole} s and {nanos} ns are {what}")))
}
