//! The proving ground without the comfort of `App::run`: times, ownership and the store's sound parts can be chosen.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use runtime::actors::{RuntimeCore, RuntimeParts, StopReport, Timing, WorkPool};
use runtime::core::clock::Clock;
use runtime::core::name::InstanceName;
use runtime::core::store::Store;
use runtime::signals::{Exit, Signals};
use runtime::stores::{SqliteOptions, SqliteStore, SystemClock};
use runtime::telemetry::TelemetryGuard;
use runtime::{App, ConfigArgs};

use super::GroundConfig;

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub struct BareArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Who runs.
    #[arg(long)]
    pub instance: InstanceName,
    /// How long a lease is valid.
    #[arg(long)]
    pub lease_ms: u64,
    /// How often leases are extended.
    #[arg(long)]
    pub extend_ms: u64,
    /// How often the store is swept.
    #[arg(long)]
    pub sweep_ms: u64,
    /// Shares the store with other processes.
    #[arg(long)]
    pub without_owner_lock: bool,
    /// File with the number of whole seconds by which the clock is ahead; none when it is not there.
    #[arg(long)]
    pub clock_file: Option<PathBuf>,
    /// Takes late writes: the control.
    #[arg(long)]
    pub break_epoch_check: bool,
}

impl BareArgs {
    /// The times.
    pub fn timing(&self) -> Timing {
        Timing {
            lease: Duration::from_millis(self.lease_ms),
            extend_every: Duration::from_millis(self.extend_ms),
            sweep_every: Duration::from_millis(self.sweep_ms),
            grace: Duration::from_secs(1),
            ..Timing::default()
        }
    }

    /// Opens the store and starts the tree; there is no admin server.
    ///
    /// # Errors
    /// What did not work, in words.
    pub async fn start(
        &self,
        app: &App<GroundConfig>,
        telemetry: &TelemetryGuard,
    ) -> Result<(RuntimeCore, Arc<dyn Store>), String> {
        let config = app.load(&self.config).map_err(|exit| format!("{exit:?}"))?.value;
        let assembled = app.assemble(&config).map_err(|error| error.to_string())?;
        std::fs::create_dir_all(&config.runtime.data_dir).map_err(|error| error.to_string())?;
        let clock = Arc::new(GroundClock(self.clock_file.clone()));
        let options = SqliteOptions {
            owner_lock: !self.without_owner_lock,
            break_epoch_check: self.break_epoch_check,
            ..SqliteOptions::new(config.store_path(), self.instance.clone(), clock.clone())
        };
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(options).map_err(|error| format!("{}: {error}", error.code()))?);
        let migrated = store.migrate_app(assembled.plan.name.clone(), assembled.migrations).await;
        migrated.map_err(|error| error.to_string())?;
        let core = RuntimeCore::new(RuntimeParts {
            store: store.clone(),
            store_name: "sqlite".into(),
            clock,
            instance: self.instance.clone(),
            traces: telemetry.bridge(),
            meter: telemetry.meter(),
            pool: WorkPool::start(const { std::num::NonZeroUsize::new(2).expect("not zero") })
                .map_err(|error| error.to_string())?,
            timing: self.timing(),
            apps: vec![assembled.plan],
            admin: None,
            instance_control: None,
            events: runtime_core::journal::JournalLimits::default(),
            quiet: false,
        });
        Ok((core.await.map_err(|error| error.to_string())?, store))
    }
}

/// Runs until a signal.
pub fn run_bare(app: &App<GroundConfig>, args: &BareArgs) -> Exit {
    let Some(runtime) = runtime::control_runtime() else { return Exit::StartUp };
    runtime.block_on(async {
        let config = match app.load(&args.config) {
            Ok(loaded) => loaded.value,
            Err(exit) => return exit,
        };
        let started = async {
            let mut signals = Signals::listen().map_err(|error| error.to_string())?;
            let telemetry = app.telemetry(&config).map_err(|error| error.to_string())?;
            let (core, _) = args.start(app, &telemetry).await?;
            signals.next().await;
            Ok::<_, String>(core.stop().await)
        };
        match started.await {
            Ok(StopReport::Clean) => Exit::Clean,
            Ok(StopReport::Abandoned(_)) => Exit::Abandoned,
            Ok(StopReport::Broken(_)) => Exit::Failed,
            Err(error) => {
                eprintln!("error: {error}");
                Exit::StartUp
            }
        }
    })
}

/// The system's clock, put forward by a test: leases run out without anybody waiting.
struct GroundClock(Option<PathBuf>);

impl Clock for GroundClock {
    fn now(&self) -> Timestamp {
        let ahead = self.0.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let ahead = ahead.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        SystemClock.now() + SignedDuration::from_secs(ahead)
    }
}
