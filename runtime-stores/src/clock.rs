//! The one place where wall-clock time is read.

use jiff::Timestamp;
use runtime_core::clock::Clock;

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "everybody else asks this clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
