//! How many restarts a supervisor bears before it concludes that restarting does not help.

use std::collections::VecDeque;
use std::time::Duration;

use super::Fault;

/// At most `max_restarts` within any span of `within`; one more and the supervisor gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartBudget {
    /// How many restarts are borne. With 0 the first fault is one too many.
    pub max_restarts: usize,
    /// In which span of time.
    pub within: Duration,
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self { max_restarts: 5, within: Duration::from_mins(1) }
    }
}

/// The restarts of the last span, oldest first. Invariant: at most `max_restarts` of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RestartLog {
    budget: RestartBudget,
    recent: VecDeque<(Duration, Fault)>,
}

impl RestartLog {
    pub(super) fn new(budget: RestartBudget) -> Self {
        Self { budget, recent: VecDeque::new() }
    }

    pub(super) fn within(&self) -> Duration {
        self.budget.within
    }

    /// Charges a restart at `now`.
    ///
    /// # Errors
    /// The first fault of the burst, when this restart is one too many.
    pub(super) fn charge(&mut self, now: Duration, fault: &Fault) -> Result<(), Fault> {
        while self.recent.front().is_some_and(|(at, _)| now.saturating_sub(*at) > self.budget.within) {
            self.recent.pop_front();
        }
        if self.recent.len() < self.budget.max_restarts {
            self.recent.push_back((now, fault.clone()));
            return Ok(());
        }
        Err(self.recent.front().map_or(fault, |(_, first)| first).clone())
    }
}
