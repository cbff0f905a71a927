//! The demo: a month of a shop in seconds, through its HTTP API, under load; then every obligation is checked.
//!
//! ```text
//! sample ─▶ clients ─HTTP─▶ the tree ─▶ idle ─▶ checks against the truth ─▶ rebuild a scope ─▶ the same bytes?
//!                             │
//!                             └─keyed─▶ a payment provider that sometimes pays and fails to say so
//! ```

mod again;
mod checks;
mod load;
mod report;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp, Unit};
use runtime::core::clock::Clock;
use runtime::core::store::TaskFilter;
use runtime::core::task::TaskState;
use runtime::signals::Exit;
use runtime::stores::SystemClock;
use runtime::telemetry::TelemetryGuard;
use runtime::{App, ConfigArgs, Running};
use storefront_domain::{Sample, SampleSize};

use self::load::Load;
use crate::catalogue::Catalogue;
use crate::config::StorefrontConfig;
use crate::provider::PaymentProvider;

pub(crate) type DemoError = Box<dyn std::error::Error + Send + Sync>;

/// How much happens in the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DemoSize {
    /// The bundled sample: about 15,000 requests.
    Full,
    /// About 1,500 requests.
    Small,
}

impl DemoSize {
    fn sample(self) -> SampleSize {
        match self {
            Self::Full => SampleSize::default(),
            Self::Small => SampleSize {
                products: 40,
                customers: 60,
                ratings: 400,
                sales: 600,
                holds: 120,
                members: 40,
                drafts: 150,
            },
        }
    }

    /// How long the month takes: time enough for an unhurried machine, so more for a build without optimisation.
    fn seconds(self) -> u32 {
        match self {
            Self::Full if cfg!(debug_assertions) => 40,
            Self::Full => 14,
            Self::Small => 6,
        }
    }

    fn clients(self) -> usize {
        match self {
            Self::Full => 64,
            Self::Small => 16,
        }
    }
}

/// What the demo shows.
#[derive(Debug, Clone, Copy)]
pub struct Demo {
    /// How much happens.
    pub size: DemoSize,
    /// What the month is made from.
    pub seed: u64,
    /// How long it takes; by the size when absent.
    pub seconds: Option<NonZeroU32>,
}

impl Demo {
    fn seconds(&self) -> u32 {
        self.seconds.map_or(self.size.seconds(), NonZeroU32::get)
    }
}

/// After this time without an end something is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// Every so many-th payment is made and not confirmed.
const UNCONFIRMED: u64 = 4;

/// How often a slow machine gets twice the time.
const MORE_TIME: u32 = 3;

/// The requests of the month did not fit into the time that it was to take.
#[derive(Debug, thiserror::Error)]
#[error("this machine cannot post the month in {0} s: give it more with --seconds")]
struct TooSlow(u32);

/// Runs the demo in this folder; what it leaves there can be looked at afterwards.
pub fn demo(app: &App<StorefrontConfig>, args: &ConfigArgs, folder: &Path, demo: &Demo) -> Exit {
    let Some(control) = runtime::control_runtime() else { return Exit::StartUp };
    control.block_on(async {
        let mut telemetry = None;
        let exit = match live_in_time(app, args, folder, *demo, &mut telemetry).await {
            Ok(exit) => exit,
            Err(error) => Exit::StartUp.because(&*error),
        };
        if let Some(telemetry) = telemetry
            && let Err(error) = telemetry.shutdown(Duration::from_secs(5)).await
        {
            eprintln!("the last traces were not sent: {error}");
        }
        exit
    })
}

/// Lives through the month, more slowly where the machine asks for it.
async fn live_in_time(
    app: &App<StorefrontConfig>,
    args: &ConfigArgs,
    folder: &Path,
    mut demo: Demo,
    telemetry: &mut Option<TelemetryGuard>,
) -> Result<Exit, DemoError> {
    for again in 1..=MORE_TIME {
        let folder =
            if again == 1 { folder.to_owned() } else { folder.join(format!("in-{}-s", demo.seconds())) };
        std::fs::create_dir_all(&folder)?;
        match live(app, args, &folder, &demo, telemetry).await {
            Err(error) if error.is::<TooSlow>() && again < MORE_TIME => {
                demo.seconds = NonZeroU32::new(demo.seconds().saturating_mul(2));
                println!("{error}. Once more, in {} s.\n", demo.seconds());
            }
            end => return end,
        }
    }
    Err(TooSlow(demo.seconds()).into())
}

async fn live(
    app: &App<StorefrontConfig>,
    args: &ConfigArgs,
    folder: &Path,
    demo: &Demo,
    telemetry: &mut Option<TelemetryGuard>,
) -> Result<Exit, DemoError> {
    let sample = Sample::of_size(demo.seed, &demo.size.sample());
    let provider = PaymentProvider::start(Some(UNCONFIRMED)).await?;
    let month = Month::of(&sample, demo)?;
    std::fs::write(catalogue_of(folder), serde_json::to_vec(&Catalogue::of_sample(&sample))?)?;
    let args = in_folder(args, folder, &month, &provider)?;
    let loaded = match app.load(&args) {
        Ok(loaded) => loaded.value,
        Err(exit) => return Ok(exit),
    };
    let telemetry = match telemetry {
        Some(telemetry) => telemetry,
        None => telemetry.insert(app.telemetry(&loaded)?),
    };
    let running = app.start(&loaded, telemetry).await?;
    let shown = show(&running, &loaded.app, &sample, demo, folder, &month, &provider).await;
    let stopped = running.stop().await;
    Ok(match shown? {
        true => stopped,
        false => Exit::Failed,
    })
}

/// The stretch of business time that the demo lives through.
struct Month {
    starts_at: Timestamp,
    until: Timestamp,
    since: Timestamp,
    speed: NonZeroU32,
}

impl Month {
    /// From the sample's start until the period of its last row is closed.
    fn of(sample: &Sample, demo: &Demo) -> Result<Self, DemoError> {
        let recorded = sample.sales.iter().map(|sale| sale.recorded_at);
        let recorded = recorded.chain(sample.refunds.iter().map(|refund| refund.recorded_at));
        let last = recorded.max().unwrap_or(sample.starts);
        // Half past: no membership changes at that very moment, since they do so at full hours.
        let until =
            (last + SignedDuration::from_hours(8 * 24)).round(Unit::Hour)? + SignedDuration::from_mins(30);
        let speed = until.duration_since(sample.starts).as_secs() / i64::from(demo.seconds());
        let speed = u32::try_from(speed).ok().and_then(NonZeroU32::new).ok_or("an empty month")?;
        // The tree needs a moment to come up.
        let since = SystemClock.now() + SignedDuration::from_millis(500);
        Ok(Self { starts_at: sample.starts, until, since, speed })
    }
}

/// The demo's own settings lie over everything else: it touches nothing outside its folder, where they are written down too.
fn in_folder(
    args: &ConfigArgs,
    folder: &Path,
    month: &Month,
    provider: &PaymentProvider,
) -> std::io::Result<ConfigArgs> {
    let mut args = args.clone();
    let path = |name: &str| format!("{:?}", folder.join(name));
    let Month { starts_at, until, since, speed } = month;
    let own = [
        format!("runtime.data_dir={}", path("data")),
        "admin.listen=\"127.0.0.1:0\"".to_owned(),
        "app.listen=\"127.0.0.1:0\"".to_owned(),
        format!("app.address_file={}", path("http.addr")),
        format!("app.catalogue={}", path("catalogue.json")),
        format!("app.notifications.spool={}", path("letters")),
        format!("app.settlements.provider=\"{}\"", provider.address()),
        format!(
            "app.clock={{ kind = \"compressed\", starts_at = \"{starts_at}\", until = \"{until}\", since = \"{since}\", speed = {speed} }}"
        ),
    ];
    // So that whoever looks afterwards can say `--config` and run a worker on what the demo left.
    std::fs::write(config_of(folder), own.join("\n"))?;
    args.set.extend(own);
    if !args.set.iter().any(|set| set.starts_with("telemetry.log_filter")) {
        args.set.push("telemetry.log_filter=error".to_owned());
    }
    Ok(args)
}

fn config_of(folder: &Path) -> PathBuf {
    folder.join("storefront.toml")
}

fn catalogue_of(folder: &Path) -> PathBuf {
    folder.join("catalogue.json")
}

/// `false` when a check fails.
async fn show(
    running: &Running,
    config: &StorefrontConfig,
    sample: &Sample,
    demo: &Demo,
    folder: &Path,
    month: &Month,
    provider: &PaymentProvider,
) -> Result<bool, DemoError> {
    let http = std::fs::read_to_string(folder.join("http.addr"))?.parse()?;
    println!("The shop listens on {http}; its payment provider on {}.", provider.address());
    println!(
        "{} to {} in {} s: {} business seconds in a real one.\n",
        month.starts_at,
        month.until,
        month.until.duration_since(month.starts_at).as_secs() / i64::from(month.speed.get()),
        month.speed
    );
    let load = Load { http, time: config.time(), sample, clients: demo.size.clients() };
    let began = Instant::now();
    let loaded = load.run().await?;
    println!("{}", loaded.summary(began.elapsed()));
    // A row that is recorded after the end belongs to a period that is settled in a week.
    if config.time().now() > month.until {
        return Err(TooSlow(demo.seconds()).into());
    }
    idle(running, config, month.until).await?;
    println!("Idle after {:.1} s.\n", began.elapsed().as_secs_f64());
    let good = checks::all(running, config, sample, month.until, provider, &loaded).await?;
    let same = again::all(running, sample).await?;
    println!("Everything lies in {}. To make a projection of it again:", folder.display());
    let config = config_of(folder);
    println!("  storefront --config {} worker run rollup --scope store=2 --rebuild", config.display());
    Ok(good && same)
}

/// Waits until everything that is due by this business moment is done, retries included. What is due later waits on.
async fn idle(running: &Running, config: &StorefrontConfig, until: Timestamp) -> Result<(), DemoError> {
    let by = config.time().run_at(until);
    let began = Instant::now();
    // Twice: what one look found done may have made something that it had passed by.
    let mut quiet = 0;
    loop {
        let busy = SystemClock.now() <= by || is_busy(running, by).await?;
        quiet = if busy { 0 } else { quiet + 1 };
        if quiet == 2 {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err("the shop does not come to rest".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_busy(running: &Running, by: Timestamp) -> Result<bool, DemoError> {
    let states = vec![TaskState::Scheduled, TaskState::Ready, TaskState::Leased];
    let filter = TaskFilter { states, ..TaskFilter::default() };
    let mut after = None;
    loop {
        let page = running.store().list(filter.clone(), after, 500).await?;
        if page.tasks.iter().any(|task| task.run_at <= by || task.attempt > 0) {
            return Ok(true);
        }
        after = page.next;
        if after.is_none() {
            return Ok(false);
        }
    }
}

/// A folder for a demo that was given none; it stays, so that one can look.
///
/// # Errors
/// When none can be made.
pub fn fresh_folder() -> std::io::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("storefront-").tempdir()?;
    Ok(folder.keep())
}
