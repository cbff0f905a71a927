//! Queues.

use runtime_core::store::{QueueStats, StateCounts};
use runtime_core::task::TaskState;
use runtime_proto::v1;

use super::{queue_name, timestamp};

/// A queue, for the wire.
pub(crate) fn queue(stats: &QueueStats) -> v1::Queue {
    v1::Queue { name: queue_name(&stats.queue), stats: Some(queue_stats(stats)) }
}

/// The figures of a queue, for the wire.
pub(crate) fn queue_stats(stats: &QueueStats) -> v1::QueueStats {
    v1::QueueStats {
        counts: Some(counts(&stats.counts)),
        live: stats.counts.live(),
        capacity: stats.capacity,
        oldest_ready_at: stats.oldest_ready.map(timestamp),
    }
}

/// Tasks by state.
pub(crate) fn counts(counts: &StateCounts) -> v1::TaskCounts {
    v1::TaskCounts {
        scheduled: counts.of(TaskState::Scheduled),
        ready: counts.of(TaskState::Ready),
        leased: counts.of(TaskState::Leased),
        parked: counts.of(TaskState::Parked),
        done: counts.of(TaskState::Done),
        dead: counts.of(TaskState::Dead),
        cancelled: counts.of(TaskState::Cancelled),
    }
}
