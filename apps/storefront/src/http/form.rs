//! The body of a request, field by field. What is wrong is named by its field; what nobody asked for is refused.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::answer::Refusal;

/// Longest text a field may hold, in characters.
const MAX_TEXT: usize = 500;

/// A JSON object that is being read.
pub(crate) struct Form(Map<String, Value>);

impl Form {
    /// Reads the body.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Refusal::field("body", "must be a JSON object")),
            Err(error) => Err(Refusal::field("body", format!("is not JSON: {error}"))),
        }
    }

    /// A whole number of at least `least` and at most `most`.
    pub(crate) fn whole(&mut self, field: &'static str, least: u64, most: u64) -> Result<u64, Refusal> {
        let value = self.take(field)?;
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| Refusal::field(field, format!("must be a whole number from {least} to {most}")))
    }

    /// The number of something.
    pub(crate) fn number(&mut self, field: &'static str) -> Result<u64, Refusal> {
        self.whole(field, 1, i64::MAX as u64)
    }

    /// A text that is not empty.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, Refusal> {
        match self.take(field)? {
            Value::String(text)
                if !text.trim().is_empty()
                    && text.chars().count() <= MAX_TEXT
                    && !text.chars().any(char::is_control) =>
            {
                Ok(text)
            }
            _ => Err(Refusal::field(field, format!("must be a line of text of 1 to {MAX_TEXT} characters"))),
        }
    }

    /// When it happened: now, unless it says so; never later than now.
    pub(crate) fn at(&mut self, now: Timestamp) -> Result<Timestamp, Refusal> {
        let at = match self.0.remove("at") {
            None | Some(Value::Null) => now,
            Some(Value::String(text)) => text
                .parse()
                .map_err(|_| Refusal::field("at", "must be a moment such as 2026-03-01T12:00:00Z"))?,
            Some(_) => return Err(Refusal::field("at", "must be a moment such as 2026-03-01T12:00:00Z")),
        };
        if at > now {
            return Err(Refusal::field("at", "must not lie in the future"));
        }
        // The store keeps milliseconds: what is answered is what is kept.
        Timestamp::from_millisecond(at.as_millisecond())
            .map_err(|error| Refusal::field("at", error.to_string()))
    }

    /// Nothing else may stand in it.
    pub(crate) fn end(self) -> Result<(), Refusal> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(field) => Err(Refusal::field(field.clone(), "is not a field of this request")),
        }
    }

    fn take(&mut self, field: &'static str) -> Result<Value, Refusal> {
        self.0.remove(field).ok_or_else(|| Refusal::field(field, "is missing"))
    }
}
