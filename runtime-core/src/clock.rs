//! Time is handed in. Whoever needs to know what time it is holds a [`Clock`].

use jiff::Timestamp;

/// Reads wall-clock time. The store's clock decides over leases and due times; nobody compares two clocks.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}
