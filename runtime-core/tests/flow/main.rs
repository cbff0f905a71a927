//! The rules of flow control in worlds that chance has made, and rules that are broken on purpose and found out.

mod aging;
mod breaker;
mod rate;
mod share;
mod shed;

use std::num::NonZeroU32;

use jiff::Timestamp;

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("not zero")
}

/// Microseconds after the start of the test's world.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(1_800_000_000_000_000 + micros).expect("a time")
}
