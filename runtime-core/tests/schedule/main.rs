//! The times of schedules, and what is made of them.

mod cron;
mod decisions;
mod inputs;
mod lives;
mod zones;

use jiff::Timestamp;

/// An instant as RFC 3339 writes it.
fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}
