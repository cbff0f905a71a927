//! From a configuration to a running tree, and back down in order.

mod admin;
mod store;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use runtime_actors::{RuntimeCore, RuntimeParts, StopReport, Timing, WorkPool, default_work_threads};
use runtime_admin::{AdminError, Authentication, ListenAddress};
use runtime_core::access::TokenHash;
use runtime_core::clock::Clock;
use runtime_core::control::{CommandError, Control, InstanceControl, Origin, ShutdownAsk};
use runtime_core::journal::{EventType, Subject};
use runtime_core::name::InstanceName;
use runtime_core::store::{Store, StoreError};
use runtime_stores::SystemClock;
use tokio::sync::watch;

use self::admin::{AdminListens, admin_server, serve_admin};
use self::store::open_migrated;
use crate::app::{App, AppConfig, SetupError};
use crate::config::{AdminConfig, ConfigSources, Loaded, RuntimeConfig, SecretError};
use crate::live::{LiveConfig, tell};
use crate::signals::{Exit, Signal, Signals};
use crate::telemetry::{Identity, Telemetry, TelemetryError, TelemetryGuard};

/// Why an app did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The modules do not fit together.
    #[error("the app cannot be assembled")]
    Setup(#[from] SetupError),
    /// Logs or traces cannot be set up.
    #[error("telemetry cannot be set up")]
    Telemetry(#[from] TelemetryError),
    /// A folder or a thread cannot be had.
    #[error("{what}")]
    System {
        /// What was to be had.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error("{}: the store {} cannot be opened", source.code(), path.display())]
    Store {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The admin server cannot be served like this.
    #[error("{}: the admin server cannot be served", .0.code())]
    Admin(#[from] AdminError),
    /// The token that the configuration names cannot be had.
    #[error("the admin API's first token cannot be had")]
    BootstrapToken {
        /// Why.
        #[source]
        source: SecretError,
    },
    /// The tree did not come up.
    #[error("{}: the tree did not start", .0.code)]
    Tree(#[source] CommandError),
}

/// A running app.
pub struct Running {
    core: RuntimeCore,
    store: Arc<dyn Store>,
    admin: AdminListens,
    /// Whether the admin API speaks TLS.
    tls: bool,
    admin_file: PathBuf,
}

impl<A: AppConfig> App<A> {
    /// Opens the store, builds the tree and waits until it is up. Must be called on the runtime that is to drive the tree; handlers get
    /// threads of their own.
    ///
    /// # Errors
    /// [`StartError`]; whatever had been started is stopped again.
    pub async fn start(
        &self,
        config: &RuntimeConfig<A>,
        telemetry: &TelemetryGuard,
    ) -> Result<Running, StartError> {
        self.start_tree(config, telemetry, None, None).await
    }

    /// Opens the store alone, with the app's tables: for bulk work that needs no tree. The embedded store has one owner, so this is
    /// refused while an instance runs; whoever opened it closes it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open_store(&self, config: &RuntimeConfig<A>) -> Result<Arc<dyn Store>, StartError> {
        let instance = config.runtime.instance.clone().unwrap_or_else(|| made_up(self));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Ok(open_migrated(config, &self.assemble(config)?, &instance, &clock).await?.0)
    }

    /// As [`App::start`]; when `quiet`, nothing of the app moves by itself, and nobody but the bearer of this token is let in besides those
    /// whom the store knows.
    pub(crate) async fn start_tree(
        &self,
        config: &RuntimeConfig<A>,
        telemetry: &TelemetryGuard,
        live: Option<Arc<LiveConfig<A>>>,
        quiet: Option<TokenHash>,
    ) -> Result<Running, StartError> {
        let assembled = self.assemble(config)?;
        let data_dir = config.runtime.data_dir.clone();
        let instance = config.runtime.instance.clone().unwrap_or_else(|| made_up(self));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let authentication = match quiet {
            Some(_) => Authentication::Required { bootstrap: quiet },
            None => config.admin.authentication()?,
        };
        let admin_config = config
            .admin
            .enabled
            .then(|| admin_server(&config.admin, authentication, &data_dir, &clock))
            .transpose()?;
        if let (Some(live), Some(admin)) = (&live, &admin_config) {
            live.admin_is(admin);
        }
        if let Some(certificates) = admin_config.as_ref().and_then(|admin| admin.certificates.clone()) {
            telemetry.watch_certificates(certificates);
        }
        let (store, store_name) = open_migrated(config, &assembled, &instance, &clock).await?;
        let plan = assembled.plan;
        let threads = config.work.threads.unwrap_or_else(default_work_threads);
        let admin = Arc::new(OnceLock::new());
        let admin_file = admin_file(&data_dir);
        let tls = admin_config.as_ref().is_some_and(|admin| admin.certificates.is_some());
        let access = AdminConfig::access(authentication, &store, &clock);
        let serve = admin_config.map(|config| serve_admin(config, access, admin.clone(), admin_file.clone()));
        let core = RuntimeCore::new(RuntimeParts {
            store: store.clone(),
            store_name: store_name.to_owned(),
            clock,
            instance,
            traces: telemetry.bridge(),
            meter: telemetry.meter(),
            pool: WorkPool::start(threads).map_err(system("the work pool cannot be started".to_owned()))?,
            timing: Timing { grace: Duration::from_secs(config.runtime.grace_secs), ..Timing::default() },
            apps: vec![plan],
            admin: serve,
            instance_control: live.map(|live| live as Arc<dyn InstanceControl>),
            events: config.admin.journal(),
            quiet: quiet.is_some(),
        })
        .await
        .map_err(StartError::Tree)?;
        Ok(Running { core, store, admin, tls, admin_file })
    }

    /// Starts telemetry and the app, serves until a signal, and stops in order.
    pub(crate) async fn serve(&self, loaded: Loaded<RuntimeConfig<A>>, sources: ConfigSources) -> Exit {
        let config = loaded.value.clone();
        let telemetry = match self.telemetry(&config) {
            Ok(telemetry) => telemetry,
            Err(error) => return refused(&error),
        };
        let live = LiveConfig::new(self.clone(), sources, loaded, telemetry.log().clone());
        let exit = self.until_asked(&config, &telemetry, live).await.unwrap_or_else(|error| refused(&error));
        if let Err(error) = telemetry.shutdown(Duration::from_secs(config.runtime.flush_secs.get())).await {
            eprintln!("{error}");
        }
        exit
    }

    /// Starts the app and serves until a signal, or until an operator has it end. Signals are listened to from before anybody can see that
    /// the app is up: who asks it to end then is not answered by the system's own way.
    async fn until_asked(
        &self,
        config: &RuntimeConfig<A>,
        telemetry: &TelemetryGuard,
        live: Arc<LiveConfig<A>>,
    ) -> Result<Exit, StartError> {
        let mut signals = Signals::listen().map_err(system("signals cannot be listened to".to_owned()))?;
        let shutdowns = live.shutdowns();
        let running = tokio::select! {
            started = self.start_tree(config, telemetry, Some(live), None) => started?,
            () = killed(&mut signals) => return Ok(Exit::Killed),
        };
        Ok(running.until_asked(signals, shutdowns).await)
    }

    /// Sets up logs and traces for the process.
    ///
    /// # Errors
    /// What kept them from being set up.
    pub fn telemetry(&self, config: &RuntimeConfig<A>) -> Result<TelemetryGuard, StartError> {
        let instance = config.runtime.instance.clone().unwrap_or_else(|| made_up(self));
        let identity = Identity {
            service: self.name()?.to_string(),
            instance: instance.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Telemetry::start(&config.telemetry, &identity)?)
    }
}

impl Running {
    /// The door into the tree.
    pub fn control(&self) -> Arc<dyn Control> {
        self.core.control()
    }

    /// The store, for reads of the app's own rows.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The IP address that the admin API listens on, when it does and it is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        match self.admin.get()? {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        }
    }

    /// What a client of the admin API connects to, when it listens.
    pub fn admin_endpoint(&self) -> Option<String> {
        self.admin.get().map(|address| address.endpoint(self.tls))
    }

    /// Serves until a signal, also one that came while it started, or until an operator has it end; then stops. A second signal ends the
    /// process at once.
    async fn until_asked(
        self,
        mut signals: Signals,
        mut shutdowns: watch::Receiver<Option<ShutdownAsk>>,
    ) -> Exit {
        let mut broken = self.core.broken();
        let mut grace = None;
        while !signals.asked() {
            tokio::select! {
                signal = signals.next() => if signal == Signal::Reload { self.reload().await },
                Ok(Some(ask)) = wanted(&mut shutdowns) => {
                    let ShutdownAsk { by, reason, .. } = &ask;
                    tracing::info!(by, reason, "an operator has the process end");
                    grace = Some(ask.grace);
                    break;
                }
                _ = broken.wait_for(Option::is_some) => {
                    tracing::error!("the tree has ended by itself");
                    break;
                }
            }
        }
        if grace.is_none() {
            // An operator's wish was told where it was taken.
            let (kind, subject) = (EventType::ShutdownAsked, Subject::Instance);
            tell(self.control().journal().as_deref(), kind, subject, [], &Origin::platform(), "shutdown");
        }
        tracing::info!("stopping; a second signal kills");
        tokio::select! {
            exit = self.stop_with(grace) => exit,
            () = killed(&mut signals) => Exit::Killed,
        }
    }

    /// Reads the configuration again, as an operator could ask for.
    async fn reload(&self) {
        let control = self.core.control();
        let Some(instance) = control.instance() else {
            return tracing::warn!("this process was started without a configuration: nothing to reload");
        };
        if let Err(error) = instance.reload(&*control, false, &Origin::platform()).await {
            tracing::error!(error_code = %error.code, %error, "configuration not reloaded");
        }
    }

    /// Stops in order and says how it went.
    pub async fn stop(self) -> Exit {
        self.stop_with(None).await
    }

    /// The same with this grace, when there is one.
    async fn stop_with(self, grace: Option<Duration>) -> Exit {
        self.core.begin_stop(grace);
        // Whoever looks for a running instance must not find this one any more.
        drop(std::fs::remove_file(&self.admin_file));
        match self.core.stop().await {
            StopReport::Clean => {
                tracing::info!("stopped");
                Exit::Clean
            }
            StopReport::Abandoned(nodes) => {
                tracing::error!(?nodes, "stopped; these nodes did not end and were abandoned");
                Exit::Abandoned
            }
            StopReport::Broken(fault) => {
                tracing::error!(fault, "stopped; the tree broke");
                Exit::Failed
            }
        }
    }
}

/// The file in the data folder that says where the running instance can be reached.
pub fn admin_file(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.addr")
}

/// An operator's wish that the process ends, once there is one.
async fn wanted(
    shutdowns: &mut watch::Receiver<Option<ShutdownAsk>>,
) -> Result<Option<ShutdownAsk>, watch::error::RecvError> {
    shutdowns.wait_for(Option::is_some).await.map(|wanted| wanted.clone())
}

async fn killed(signals: &mut Signals) {
    while signals.next().await != Signal::Kill {}
}

pub(crate) fn refused(error: &StartError) -> Exit {
    let exit = if matches!(error, StartError::Setup(_)) { Exit::Configuration } else { Exit::StartUp };
    exit.because(error)
}

fn made_up<A: AppConfig>(app: &App<A>) -> InstanceName {
    let name = app.name().map_or_else(|_| "app".to_owned(), |name| name.to_string());
    InstanceName::new(format!("{name}-{}", process::id()))
        .expect("a name and a number are a valid instance name")
}

impl<A> RuntimeConfig<A> {
    /// The file of the SQLite back end.
    pub fn store_path(&self) -> PathBuf {
        self.store.path.clone().unwrap_or_else(|| self.runtime.data_dir.join("runtime.db"))
    }
}

fn system(what: String) -> impl FnOnce(std::io::Error) -> StartError {
    move |source| StartError::System { what, source }
}
