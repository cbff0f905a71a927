//! Queues.

use runtime_core::control::{QueueDetail, QueueRates, QueueView};
use runtime_core::flow::ShedCause;
use runtime_core::store::{QueueStats, StateCounts};
use runtime_core::task::TaskState;
use runtime_proto::v1;

use super::limits::{fairness, limits, says};
use super::{duration, node, queue_name, task_name, task_state, timestamp};

/// A queue, for the wire.
pub(crate) fn queue(view: &QueueView) -> v1::Queue {
    v1::Queue {
        stats: Some(queue_stats(&view.stats, view.rates)),
        paused_scopes: view.paused_scopes,
        etag: view.etag.to_string(),
        ..queue_at_a_glance(&view.stats, view.paused)
    }
}

/// A queue where it is not to be changed from, for the wire.
pub(crate) fn queue_at_a_glance(stats: &QueueStats, paused: bool) -> v1::Queue {
    v1::Queue {
        name: queue_name(&stats.queue),
        stats: Some(queue_stats(stats, None)),
        paused,
        ..v1::Queue::default()
    }
}

/// A queue with what keeps its tasks waiting, for the wire.
pub(crate) fn queue_detail(detail: &QueueDetail) -> v1::QueueDetail {
    let (fair, fair_origin) = fairness(detail);
    v1::QueueDetail {
        queue: Some(queue(&detail.view())),
        policy: detail.policy.overridden(&says(detail)).to_string(),
        limits: limits(detail),
        fair,
        fair_origin: fair_origin.into(),
        overridden: detail.overridden.as_ref().map(|known| v1::QueueOverride {
            reason: known.reason.clone(),
            since: Some(timestamp(known.since)),
        }),
        workers: detail.workers.iter().map(node).collect(),
        paused_scopes: detail
            .paused_scopes
            .iter()
            .map(|paused| v1::PausedScope {
                scope: paused.scope.to_string(),
                reason: paused.reason.clone(),
                since: Some(timestamp(paused.since)),
            })
            .collect(),
        etag: detail.etag.to_string(),
        more_heads: !detail.heads.whole,
        heads: detail
            .heads
            .heads
            .iter()
            .map(|head| v1::OrderingHead {
                ordering_key: head.key.to_string(),
                task: task_name(head.task),
                state: task_state(head.state).into(),
                waiting: head.waiting,
            })
            .collect(),
    }
}

/// The figures of a queue, for the wire.
pub(crate) fn queue_stats(stats: &QueueStats, rates: Option<QueueRates>) -> v1::QueueStats {
    v1::QueueStats {
        counts: Some(counts(&stats.counts)),
        live: stats.counts.live(),
        capacity: stats.capacity,
        oldest_ready_at: stats.oldest_ready.map(timestamp),
        shedding: stats.shed.shedding.map(|shedding| v1::Shedding {
            since: Some(timestamp(shedding.since)),
            cause: shed_cause(shedding.cause).into(),
        }),
        shed: stats.shed.refused,
        limited_until: stats.limited_until.map(timestamp),
        rates: rates.map(|QueueRates { accepted, settled, failed, over }| v1::QueueRates {
            accepted,
            settled,
            failed,
            over: Some(duration(over)),
        }),
    }
}

fn shed_cause(cause: ShedCause) -> v1::ShedCause {
    match cause {
        ShedCause::Depth => v1::ShedCause::Depth,
        ShedCause::Delay => v1::ShedCause::Delay,
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
