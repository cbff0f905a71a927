//! Explicit limits. Exceeding one is a clear error, never a truncation.

use serde::{Deserialize, Serialize};

/// What a store accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreLimits {
    /// Largest payload, output or checkpoint of one task, in bytes.
    pub max_payload_bytes: usize,
    /// Most items of one call.
    pub max_batch: usize,
    /// Most live tasks of one queue that are taken from outside. Follow-up tasks of a settlement are always taken.
    pub queue_capacity: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { max_payload_bytes: 1024 * 1024, max_batch: 10_000, queue_capacity: 10_000_000 }
    }
}
