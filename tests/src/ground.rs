//! The proving ground: a small app made with the public `runtime` crate, whose every promise can be counted from outside.
//!
//! ```text
//! inbox/*.json ─▶ source ─▶ job ─┬▶ a row in ground_row        (transactional: exactly once)
//! admin API ──────────────▶      ├▶ a stamp in stamps/          (keyed: the folder takes a key once)
//!                                ├▶ a line in sent.log          (unkeyed: once, or parked as unknown)
//!                                └▶ a follow-up ─▶ follow ─▶ a row
//! outbox/*.json ◀─ marked when finished
//! ```
//!
//! What a [`Job`] does is in its input, so a test says it in the task. The tables have no unique keys and the logs only grow: what was
//! done twice is there twice.

mod bare;
mod folder;
mod inbox;
mod job;
mod process;
mod producer;
mod rows;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::actors::HealthPlan;
use runtime::prelude::*;
use runtime_core::health::HealthCheck;

pub use bare::{BareArgs, run_bare};
pub use folder::{Gate, GroundFolder};
pub use job::{Job, JobDone};
pub use process::{Ground, GroundProcess};
pub use producer::{ProducerArgs, run_producer};
pub use rows::GroundRow;

/// Name of the app.
pub const APP: &str = "ground";

/// The app's own settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroundConfig {
    /// Where its outside world is.
    pub folder: PathBuf,
}

/// The app.
pub fn app() -> App<GroundConfig> {
    App::configured(APP).module(GroundModule)
}

struct GroundModule;

impl Module<GroundConfig> for GroundModule {
    fn register(&self, config: &GroundConfig, setup: &mut Setup) -> Result<(), SetupError> {
        let folder = GroundFolder::new(&config.folder);
        setup.migrations(rows::MIGRATIONS);
        let follow = setup.route("follow")?;
        let retry = RetryPolicy {
            delay: RetryDelay::Fixed { delay: Duration::from_millis(20) },
            ..RetryPolicy::default()
        };
        let (in_job, in_follow) = (folder.clone(), folder.clone());
        setup.worker(
            Worker::named("job")
                .responsibility("does what its input says")
                .serves("tests that count")
                .writes(Home::Truth("ground_row"))
                .writes(Home::Outside("folder"))
                .slots(const { std::num::NonZeroUsize::new(8).expect("not zero") })
                .retry(retry.clone())
                .effect("row", EffectClass::Transactional)
                .effect("stamp", EffectClass::Keyed)
                .effect("send", EffectClass::Unkeyed)
                .entry_point(EntryPoint::per_task())
                .handler(move |ctx, job| job::run(in_job.clone(), follow.clone(), "job", ctx, job)),
        );
        let nowhere = setup.route("follow")?;
        setup.worker(
            Worker::named("follow")
                .responsibility("does what a job leaves to be done after it")
                .serves("tests that count")
                .writes(Home::Truth("ground_row"))
                .retry(retry)
                .effect("row", EffectClass::Transactional)
                .entry_point(EntryPoint::per_task())
                .handler(move |ctx, job| job::run(in_follow.clone(), nowhere.clone(), "follow", ctx, job)),
        );
        let (route, in_inbox) = (setup.route("job")?, folder.clone());
        setup.source("inbox", move || Box::new(inbox::Inbox::new(in_inbox.clone(), route.clone())))?;
        setup.health(HealthPlan {
            name: "folder".into(),
            check: Arc::new(FolderCheck(folder)),
            every: Duration::from_millis(50),
            within: Duration::from_secs(5),
        });
        Ok(())
    }
}

/// Unhealthy while the folder says so.
struct FolderCheck(GroundFolder);

#[async_trait::async_trait]
impl HealthCheck for FolderCheck {
    async fn check(&self) -> Health {
        if self.0.is_raised(GroundFolder::UNHEALTHY) {
            Health::Unhealthy("the folder says so".into())
        } else {
            Health::Healthy
        }
    }
}
