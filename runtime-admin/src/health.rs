//! `grpc.health.v1`, derived from the tree: `""` is the whole, `liveness` says whether the tree answers at all, and each app
//! goes by its name.
//!
//! A runtime that is stopping lives but serves nothing. What the tree does not confirm does not read as serving: a runtime whose tree is silent is not healthy.

use std::collections::BTreeSet;
use std::iter;
use std::time::Duration;

use runtime_core::control::{Command, Overview};
use runtime_core::error::ErrorCode;
use runtime_core::node::Health;
use tokio::time::{MissedTickBehavior, interval};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::door::Door;

/// The service that says whether the tree answers.
pub const LIVENESS: &str = "liveness";

/// How long the tree may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps the health service up to date with the overview.
pub(crate) struct HealthWatcher {
    door: Door,
    reporter: HealthReporter,
    every: Duration,
    apps: BTreeSet<String>,
    silent: bool,
}

impl HealthWatcher {
    pub(crate) fn new(door: Door, reporter: HealthReporter, every: Duration) -> Self {
        Self {
            door: door.within(PATIENCE),
            reporter,
            every: every.max(Duration::from_millis(1)),
            apps: BTreeSet::new(),
            silent: false,
        }
    }

    /// Looks again and again; never ends.
    pub(crate) async fn watch(&mut self) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }

    /// Looks once.
    pub(crate) async fn look(&mut self) {
        match self.door.answer(|reply| Command::GetOverview { reply }).await {
            Ok(overview) => {
                self.silent = false;
                self.report(&overview).await;
            }
            Err(error) if error.code == ErrorCode::ShuttingDown => {
                self.report_nothing_served(true).await;
            }
            Err(error) => {
                if !self.silent {
                    tracing::warn!(error_code = %error.code, %error, "the tree does not say how it is");
                }
                self.silent = true;
                self.report_nothing_served(false).await;
            }
        }
    }

    /// Nothing is served any more.
    pub(crate) async fn stop(&mut self) {
        self.report_nothing_served(false).await;
    }

    async fn report(&mut self, overview: &Overview) {
        self.say(LIVENESS, true).await;
        self.say("", serves(&overview.health) && !overview.stopping).await;
        let apps: BTreeSet<String> = overview.apps.iter().map(|(app, _)| app.to_string()).collect();
        for gone in self.apps.difference(&apps).cloned().collect::<Vec<_>>() {
            self.reporter.clear_service_status(&gone).await;
        }
        self.apps = apps;
        for (app, health) in &overview.apps {
            self.say(app.as_str(), serves(health) && !overview.stopping).await;
        }
    }

    async fn report_nothing_served(&self, alive: bool) {
        self.say(LIVENESS, alive).await;
        for service in iter::once("").chain(self.apps.iter().map(String::as_str)) {
            self.say(service, false).await;
        }
    }

    async fn say(&self, service: &str, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(service, status).await;
    }
}

/// A degraded part still does its work.
fn serves(health: &Health) -> bool {
    match health {
        Health::Healthy | Health::Degraded(_) => true,
        Health::Unhealthy(_) => false,
    }
}
