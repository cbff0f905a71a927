//! Which log lines are written and sent: those that the configuration names, or for a while those that an operator wants.
//!
//! ```text
//! configured ──▶ in force ◀── override with a time to live; goes back by itself, and with the process
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::reload::{Handle, Layer};
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::LogFilter;

/// The filter of log lines, to be looked at and changed while the process runs. Cheap to clone.
#[derive(Clone)]
pub struct LogControl {
    filter: Handle<EnvFilter, Registry>,
    wishes: Arc<Mutex<Wishes>>,
}

/// What is wanted of the filter.
struct Wishes {
    configured: LogFilter,
    for_a_while: Option<(LogFilter, Instant)>,
    /// Counts overrides, so that the end of one does not end the next.
    overrides: u64,
}

/// The filter of log lines as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilterStatus {
    /// What is in force.
    pub in_force: LogFilter,
    /// What the configuration says, and what comes back.
    pub configured: LogFilter,
    /// How long until it comes back; nothing when it is in force.
    pub comes_back_in: Option<Duration>,
}

impl LogControl {
    /// A filter for a layer that stands directly on the registry, and what controls it.
    pub(super) fn new(configured: LogFilter) -> (Layer<EnvFilter, Registry>, Self) {
        let (layer, filter) = Layer::new(configured.to_env_filter());
        let wishes = Wishes { configured, for_a_while: None, overrides: 0 };
        (layer, Self { filter, wishes: Arc::new(Mutex::new(wishes)) })
    }

    /// How it is.
    pub fn status(&self) -> LogFilterStatus {
        let Wishes { configured, for_a_while, .. } = &*self.wishes();
        let (in_force, comes_back_in) = match for_a_while {
            Some((filter, until)) => (filter, Some(until.saturating_duration_since(Instant::now()))),
            None => (configured, None),
        };
        LogFilterStatus { in_force: in_force.clone(), configured: configured.clone(), comes_back_in }
    }

    /// Puts a filter in force for so long, in place of any override before it. Must be called on a tokio runtime: a task of its own
    /// brings the configured one back, and then tells `came_back` which one went and which one came.
    pub fn set_for(
        &self,
        filter: LogFilter,
        time_to_live: Duration,
        came_back: impl FnOnce(LogFilter, LogFilter) + Send + 'static,
    ) {
        let until = Instant::now() + time_to_live;
        let mine = {
            let mut wishes = self.wishes();
            wishes.for_a_while = Some((filter, until));
            wishes.overrides += 1;
            self.apply(&wishes);
            wishes.overrides
        };
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let back = {
                let mut wishes = this.wishes();
                let over = if wishes.overrides == mine { wishes.for_a_while.take() } else { None };
                over.map(|(filter, _)| {
                    this.apply(&wishes);
                    (filter, wishes.configured.clone())
                })
            };
            if let Some((went, came)) = back {
                tracing::info!(filter = came.as_str(), "the configured log filter is back");
                came_back(went, came);
            }
        });
    }

    /// Brings the configured filter back at once.
    pub fn reset(&self) {
        let mut wishes = self.wishes();
        if wishes.for_a_while.take().is_some() {
            self.apply(&wishes);
        }
    }

    /// The configuration says otherwise from now on. An override stays until its time is over.
    pub fn configure(&self, filter: LogFilter) {
        let mut wishes = self.wishes();
        wishes.configured = filter;
        self.apply(&wishes);
    }

    fn apply(&self, wishes: &Wishes) {
        let filter = wishes.for_a_while.as_ref().map_or(&wishes.configured, |(filter, _)| filter);
        // It can only fail when no subscriber is left that could use it.
        drop(self.filter.reload(filter.to_env_filter()));
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
