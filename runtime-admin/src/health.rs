//! `grpc.health.v1`, derived from the tree and from its progress: `""` and `readiness` are the whole, `liveness` says whether the tree answers
//! at all, and each app goes by its name. The protocol has no room for a reason: it stands in the log when a service changes, and in the
//! overview.
//!
//! A runtime that is stopping or draining lives but serves nothing. What the tree does not confirm does not read as serving: a runtime whose tree is silent is not healthy.

use std::collections::{BTreeMap, BTreeSet};
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

/// The service that says whether the whole does its work: a probe that routes traffic asks it.
pub const READINESS: &str = "readiness";

/// How long the tree may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps the health service up to date with the overview.
pub(crate) struct HealthWatcher {
    door: Door,
    reporter: HealthReporter,
    every: Duration,
    apps: BTreeSet<String>,
    silent: bool,
    /// What was said last of each service.
    said: BTreeMap<String, bool>,
}

impl HealthWatcher {
    pub(crate) fn new(door: Door, reporter: HealthReporter, every: Duration) -> Self {
        Self {
            door: door.within(PATIENCE),
            reporter,
            every: every.max(Duration::from_millis(1)),
            apps: BTreeSet::new(),
            silent: false,
            said: BTreeMap::new(),
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
                self.report_nothing_served(true, "the runtime is stopping").await;
            }
            Err(error) => {
                if !self.silent {
                    tracing::warn!(error_code = %error.code, %error, "the tree does not say how it is");
                }
                self.silent = true;
                self.report_nothing_served(false, "the tree does not say how it is").await;
            }
        }
    }

    /// Nothing is served any more.
    pub(crate) async fn stop(&mut self) {
        self.report_nothing_served(false, "the admin server stops").await;
    }

    async fn report(&mut self, overview: &Overview) {
        self.say(LIVENESS, None).await;
        let whole = why_not(&overview.health, overview);
        self.say("", whole).await;
        self.say(READINESS, whole).await;
        let apps: BTreeSet<String> = overview.apps.iter().map(|(app, _)| app.to_string()).collect();
        for gone in self.apps.difference(&apps).cloned().collect::<Vec<_>>() {
            self.reporter.clear_service_status(&gone).await;
            self.said.remove(&gone);
        }
        self.apps = apps;
        for (app, health) in &overview.apps {
            self.say(app.as_str(), why_not(health, overview)).await;
        }
    }

    async fn report_nothing_served(&mut self, alive: bool, why: &str) {
        self.say(LIVENESS, (!alive).then_some(why)).await;
        let apps: Vec<String> = self.apps.iter().cloned().collect();
        for service in ["", READINESS].into_iter().chain(apps.iter().map(String::as_str)) {
            self.say(service, Some(why)).await;
        }
    }

    /// It serves; or it does not, and why.
    async fn say(&mut self, service: &str, why_not: Option<&str>) {
        let serving = why_not.is_none();
        let before = self.said.insert(service.to_owned(), serving);
        match (before, why_not) {
            (Some(true), Some(reason)) => tracing::warn!(service, reason, "health: not serving any more"),
            (None, Some(reason)) => tracing::warn!(service, reason, "health: not serving"),
            (Some(false), None) => tracing::info!(service, "health: serving again"),
            _ => {}
        }
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(service, status).await;
    }
}

/// A degraded part still does its work; one that stops does not, and one that drains takes none.
fn why_not<'a>(health: &'a Health, overview: &Overview) -> Option<&'a str> {
    match health {
        Health::Unhealthy(reason) => Some(reason),
        Health::Healthy | Health::Degraded(_) if overview.stopping => Some("the runtime is stopping"),
        Health::Healthy | Health::Degraded(_) => overview.drain.is_some().then_some("draining"),
    }
}
