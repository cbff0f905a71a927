//! The port of a health reporter, and the rule of progress: a process that is alive and settles nothing is not healthy.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::node::{Health, NodePath};

/// Looks at one thing that an app depends on. Supervised, called at its interval, never while the look before is under way.
#[async_trait]
pub trait HealthCheck: Send + Sync + 'static {
    /// How is it? Bounded by the reporter's timeout: no answer reads as unhealthy.
    async fn check(&self) -> Health;
}

/// What is known of a worker and of its queue at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Whether the worker should take tasks: it runs, is not paused, and waits for nothing that it told of.
    pub takes_tasks: bool,
    /// Tasks that are ready.
    pub ready: u64,
    /// Since when the oldest of them has been.
    pub oldest_ready: Option<Timestamp>,
    /// When the worker last settled an attempt.
    pub last_settled: Option<Timestamp>,
    /// Until when limits held tasks back.
    pub limited_until: Option<Timestamp>,
    /// How long an attempt may take, when one runs: so long it need not settle.
    pub attempt_may_take: Option<SignedDuration>,
}

impl Progress {
    /// "Process alive, pipeline dead": tasks have been ready for longer than `patience`, the worker should take them, no limit held them
    /// back, and in all that time nothing was settled. While an attempt runs that may take longer, that is told, and no more.
    pub fn health(&self, worker: &NodePath, now: Timestamp, patience: SignedDuration) -> Health {
        let Self { takes_tasks, ready, oldest_ready, last_settled, limited_until, attempt_may_take } = self;
        let Some(oldest) = oldest_ready.filter(|_| *takes_tasks && *ready > 0) else {
            return Health::Healthy;
        };
        let since = [*last_settled, *limited_until].into_iter().flatten().fold(oldest, Timestamp::max);
        let nothing_for = now.duration_since(since);
        if nothing_for <= patience {
            return Health::Healthy;
        }
        let secs = patience.as_secs();
        let told = format!("{worker}: {ready} tasks wait and nothing was settled for {secs} s");
        match attempt_may_take {
            Some(time) if nothing_for <= *time => {
                Health::Degraded(format!("{told}; an attempt may take {} s", time.as_secs()))
            }
            _ => Health::Unhealthy(told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).expect("a moment")
    }

    /// Whether it is well at second 100 with a patience of 60 s.
    fn is_well(takes_tasks: bool, ready: u64, oldest_ready: Option<i64>, last_settled: Option<i64>) -> bool {
        let progress = Progress {
            takes_tasks,
            ready,
            oldest_ready: oldest_ready.map(at),
            last_settled: last_settled.map(at),
            ..stalled()
        };
        let worker = "/engine/apps/shop/workers/settle".parse().expect("a path");
        progress.health(&worker, at(100), SignedDuration::from_secs(60)) == Health::Healthy
    }

    /// Three tasks have waited since second 0, and nobody has taken one.
    fn stalled() -> Progress {
        Progress {
            takes_tasks: true,
            ready: 3,
            oldest_ready: Some(at(0)),
            last_settled: None,
            limited_until: None,
            attempt_may_take: None,
        }
    }

    #[test]
    fn what_limits_hold_back_is_well_and_what_takes_its_time_is_told() {
        let worker = "/engine/apps/shop/workers/settle".parse().expect("a path");
        let health =
            |progress: Progress, second| progress.health(&worker, at(second), SignedDuration::from_secs(60));
        let is_well = |progress, second| health(progress, second) == Health::Healthy;
        let limited = Progress { limited_until: Some(at(500)), ..stalled() };
        assert!(
            is_well(limited.clone(), 499) && is_well(limited.clone(), 560),
            "it may go from second 500 on"
        );
        assert!(!is_well(limited, 561));
        let slow = Progress { attempt_may_take: Some(SignedDuration::from_secs(300)), ..stalled() };
        assert!(is_well(slow.clone(), 60));
        let told = "/engine/apps/shop/workers/settle: 3 tasks wait and nothing was settled for 60 s; an attempt may take 300 s";
        assert_eq!(health(slow.clone(), 300), Health::Degraded(told.into()));
        assert!(matches!(health(slow, 301), Health::Unhealthy(_)), "it ought to have timed out");
        let quick = Progress { attempt_may_take: Some(SignedDuration::from_secs(1)), ..stalled() };
        assert!(is_well(quick.clone(), 60), "nobody is less patient with it for that");
        assert!(matches!(health(quick, 61), Health::Unhealthy(_)));
    }

    #[test]
    fn tasks_that_wait_while_nothing_is_settled_are_no_progress() {
        assert!(!is_well(true, 3, Some(39), None));
        assert!(!is_well(true, 3, Some(10), Some(39)), "something was settled, long ago");
        assert!(!is_well(true, 3, Some(39), Some(10)), "something was settled before they came");
    }

    #[test]
    fn a_queue_that_moves_or_need_not_is_well() {
        assert!(is_well(true, 0, None, None), "nothing waits");
        assert!(is_well(true, 3, Some(40), None), "not for longer than the patience");
        assert!(is_well(true, 3, Some(10), Some(40)), "something was settled since");
        assert!(is_well(true, 3, Some(200), None), "a clock that was set back is no fault");
        assert!(is_well(false, 3, Some(10), None), "the worker need not take them");
        assert!(is_well(true, 0, Some(10), None), "what waited is gone");
    }

    #[test]
    fn the_reason_names_the_worker_and_what_waits() {
        let progress = stalled();
        let worker = "/engine/apps/shop/workers/settle".parse().expect("a path");
        assert_eq!(
            progress.health(&worker, at(100), SignedDuration::from_secs(60)),
            Health::Unhealthy(
                "/engine/apps/shop/workers/settle: 3 tasks wait and nothing was settled for 60 s".into()
            )
        );
    }
}
