//! The configuration of a running instance: shown with its origins, checked again, and reloaded. And the wish that the instance ends.
//!
//! ```text
//! sources ─▶ load ─▶ problems? nothing changes
//!              └─▶ what is live ─▶ assemble ─▶ the tree ─▶ log filter ─▶ in force
//!              └─▶ the rest: listed, and waits for a restart
//! ```

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use runtime_admin::{
    AdminError, AdminServerConfig, CertificateEnds, Certificates, LiveLimits, NewCertificates,
};
use runtime_core::clock::Clock;
use runtime_core::control::{
    CertificatesView, Command, CommandError, ConfigChange, ConfigProblemView, Control, InstanceControl,
    LogFilterView, Origin, PendingValue, Reloaded, SettingView, ShutdownAsk, ask,
};
use runtime_core::error::ErrorCode;
use runtime_core::journal::{Changed, Changes, Entry, EventJournal, EventType, Subject, Value};
use runtime_stores::SystemClock;
use tokio::sync::watch;

use crate::app::{App, AppConfig};
use crate::command_line::LoadError;
use crate::config::{
    ConfigProblem, ConfigSources, KeyPath, Loaded, LogFilter, RuntimeConfig, Setting, config_schema,
};
use crate::telemetry::{LogControl, LogFilterStatus};
use modules::Modules;

/// Where a problem stands that a module found.
const MODULES: &str = "the app's modules";

/// The key that says where the admin API is served.
const LISTEN: [&str; 2] = ["admin", "listen"];

/// The configuration that an instance runs with, and where it came from.
pub(crate) struct LiveConfig<A> {
    modules: Modules<A>,
    sources: ConfigSources,
    log: LogControl,
    state: Mutex<State<A>>,
    /// Held while a reload is under way: one at a time.
    reloading: tokio::sync::Mutex<()>,
    /// That the process shall end, when an operator wants it so.
    shutdown: watch::Sender<Option<ShutdownAsk>>,
    /// What of the admin server may change while it serves; nothing before it is assembled, and when it does not serve.
    admin: OnceLock<(LiveLimits, Option<Certificates>)>,
}

struct State<A> {
    in_force: RuntimeConfig<A>,
    /// Of what is in force, by key.
    settings: BTreeMap<KeyPath, Setting>,
    /// Read by a reload, and waiting for a restart.
    pending: BTreeMap<KeyPath, PendingValue>,
}

impl<A: AppConfig> LiveConfig<A> {
    /// Of an instance that starts with this, read from there.
    pub(crate) fn new(
        app: App<A>,
        sources: ConfigSources,
        loaded: Loaded<RuntimeConfig<A>>,
        log: LogControl,
    ) -> Arc<Self> {
        let settings = by_key(&loaded);
        let state = State { in_force: loaded.value, settings, pending: BTreeMap::new() };
        Arc::new(Self {
            modules: Modules::of(app),
            sources,
            log,
            state: Mutex::new(state),
            reloading: tokio::sync::Mutex::new(()),
            shutdown: watch::Sender::new(None),
            admin: OnceLock::new(),
        })
    }

    /// Where an operator's wish that the process ends arrives.
    pub(crate) fn shutdowns(&self) -> watch::Receiver<Option<ShutdownAsk>> {
        self.shutdown.subscribe()
    }

    /// How the admin server is served.
    pub(crate) fn admin_is(&self, config: &AdminServerConfig) {
        self.admin.get_or_init(|| (config.limits.clone(), config.certificates.clone()));
    }

    /// Certificates that their files hold, and that are not served with.
    async fn new_certificates(&self) -> Result<Option<(Certificates, NewCertificates)>, CommandError> {
        let Some((_, Some(certificates))) = self.admin.get() else { return Ok(None) };
        let looking = certificates.clone();
        let looked = tokio::task::spawn_blocking(move || looking.look()).await;
        let refused = |error: &dyn Error, code| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            CommandError::new(code, format!("nothing was changed: {error}{cause}"))
        };
        let new = looked.map_err(|error| refused(&error, ErrorCode::Internal))?;
        let new = new.map_err(|error| refused(&error, error.code()))?;
        Ok(new.map(|new| (certificates.clone(), new)))
    }

    fn state(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<A: AppConfig> InstanceControl for LiveConfig<A> {
    fn grace(&self, wish: Option<Duration>) -> Result<Duration, CommandError> {
        let configured = Duration::from_secs(self.state().in_force.runtime.grace_secs);
        match wish {
            Some(wish) if wish > configured => Err(CommandError::new(
                ErrorCode::InvalidArgument,
                format!("at most the {} s of runtime.grace_secs", configured.as_secs()),
            )),
            wish => Ok(wish.unwrap_or(configured)),
        }
    }

    fn shut_down(&self, ask: ShutdownAsk) {
        // Whoever wants it first, says how.
        self.shutdown.send_if_modified(|wanted| {
            let first = wanted.is_none();
            if first {
                *wanted = Some(ask);
            }
            first
        });
    }

    fn log_filter(&self) -> LogFilterView {
        view(self.log.status())
    }

    fn set_log_filter(
        &self,
        tree: &dyn Control,
        wish: Option<(String, Duration)>,
        validate_only: bool,
        origin: &Origin,
    ) -> Result<LogFilterView, CommandError> {
        let wish = wish.map(|(directives, time_to_live)| {
            let filter = directives.parse::<LogFilter>().map_err(|error| {
                CommandError::new(ErrorCode::InvalidArgument, format!("not a log filter: {error}"))
            })?;
            Ok::<_, CommandError>((filter, time_to_live))
        });
        let (wish, before) = (wish.transpose()?, self.log_filter());
        if validate_only {
            let (in_force, comes_back_in) = match wish {
                None => (before.configured.clone(), None),
                Some((filter, time_to_live)) => (filter.as_str().to_owned(), Some(time_to_live)),
            };
            return Ok(LogFilterView { in_force, comes_back_in, ..before });
        }
        match wish {
            None => self.log.reset(),
            Some((filter, time_to_live)) => {
                tracing::info!(filter = filter.as_str(), seconds = time_to_live.as_secs(), "log filter set");
                let journal = tree.journal();
                self.log.set_for(filter, time_to_live, move |went, came| {
                    let told = filters(went.as_str(), came.as_str());
                    let (kind, subject) = (EventType::LogFilterChanged, Subject::LogFilter);
                    tell(journal.as_deref(), kind, subject, [told], &Origin::platform(), "set");
                });
            }
        }
        let set = self.log_filter();
        let changed = filters(&before.in_force, &set.in_force);
        let (kind, subject) = (EventType::LogFilterChanged, Subject::LogFilter);
        tell(tree.journal().as_deref(), kind, subject, [changed], origin, "set");
        Ok(set)
    }

    fn settings(&self) -> Vec<SettingView> {
        let state = self.state();
        let waits = |key: &KeyPath| state.pending.get(key).cloned();
        let mut views: Vec<SettingView> = state
            .settings
            .values()
            .map(|Setting { key, value, origin }| SettingView {
                key: key.to_string(),
                value: value.clone(),
                origin: origin.to_string(),
                live: is_live(key),
                waits: waits(key),
            })
            .collect();
        // A key that only the next start will know.
        views.extend(state.pending.keys().filter(|key| !state.settings.contains_key(key)).map(|key| {
            SettingView {
                key: key.to_string(),
                value: None,
                origin: "not set".to_owned(),
                live: is_live(key),
                waits: waits(key),
            }
        }));
        views
    }

    fn certificates(&self) -> Option<CertificatesView> {
        let (_, certificates) = self.admin.get()?;
        certificates.as_ref().map(|certificates| certificates_view(certificates.ends()))
    }

    fn schema(&self) -> String {
        config_schema::<RuntimeConfig<A>>()
    }

    async fn validate(&self, document: Option<String>) -> Result<Vec<ConfigProblemView>, CommandError> {
        let shown = document.is_some().then(|| self.state().in_force.app.clone());
        let sources = ConfigSources { document, ..self.sources.clone() };
        let of_modules =
            |text| vec![ConfigProblemView { key: String::new(), origin: MODULES.to_owned(), text }];
        match self.modules.ask(move |app| app.load_shown(&sources, shown)).await {
            Ok(Ok(loaded)) => Ok(loaded
                .value
                .admin
                .servable()
                .err()
                .map(|why| unservable(&loaded, &why))
                .into_iter()
                .collect()),
            Ok(Err(LoadError::Problems(problems))) => Ok(problems.iter().map(problem).collect()),
            Ok(Err(LoadError::Setup(error))) => Ok(of_modules(error.to_string())),
            Err(broken) if broken.code == ErrorCode::InvalidConfig => Ok(of_modules(broken.message)),
            Err(late) => Err(late),
        }
    }

    async fn reload(
        &self,
        tree: &dyn Control,
        validate_only: bool,
        origin: &Origin,
    ) -> Result<Reloaded, CommandError> {
        let _one_at_a_time = self.reloading.lock().await;
        let refused = |error: &dyn std::fmt::Display| {
            CommandError::new(ErrorCode::InvalidConfig, format!("nothing was changed: {error}"))
        };
        let sources = self.sources.clone();
        let loaded = self.modules.ask(move |app| app.load_from(&sources)).await?;
        let loaded = loaded.map_err(|error| refused(&error))?;
        // What waits for a restart must not keep it from starting.
        let admin = &loaded.value.admin;
        admin
            .servable()
            .map_err(|error| CommandError::new(error.code(), format!("nothing was changed: {error}")))?;
        let configured = by_key(&loaded);
        let (changes, mut live) = {
            let state = self.state();
            (changes(&state.settings, &configured), state.in_force.clone())
        };
        // What is live is taken over into what is in force; it must fit that too, not only what comes after a restart.
        live.workers = loaded.value.workers.clone();
        live.telemetry.log_filter = loaded.value.telemetry.log_filter.clone();
        live.admin.limits = loaded.value.admin.limits;
        let config = live.clone();
        let assembled = self.modules.ask(move |app| app.assemble(&config)).await?;
        let assembled = assembled.map_err(|error| refused(&error))?;
        let certificates = self.new_certificates().await?;
        let ends = certificates.as_ref().map(|(_, new)| certificates_view(new.ends()));
        if validate_only {
            return Ok(Reloaded { changes, certificates: ends });
        }
        let workers = assembled.plan.workers.into_iter().map(|worker| worker.descriptor).collect();
        ask(tree, |reply| Command::Reconfigure { workers, reply }).await?;
        self.log.configure(live.telemetry.log_filter.clone());
        if let Some((limits, _)) = self.admin.get() {
            limits.set(live.admin.limits.limits());
        }
        let other_certificates = certificates.is_some();
        certificates.into_iter().for_each(|(served, new)| served.take(new));

        let mut state = self.state();
        state.in_force = live;
        state.settings.retain(|key, _| !is_live(key));
        state.settings.extend(configured.clone().into_iter().filter(|(key, _)| is_live(key)));
        state.pending = waiting(&state.settings, &configured);
        let restart = changes.iter().filter(|change| change.needs_restart).count();
        let now = changes.len() - restart;
        tracing::info!(now, after_a_restart = restart, other_certificates, "configuration reloaded");
        let value = |value: &Option<String>| value.as_ref().map_or(Value::Nothing, Value::text);
        let told = changes
            .iter()
            .map(|change| Changed::named(&change.key, value(&change.before), value(&change.after)));
        let (kind, subject) = (EventType::ConfigReloaded, Subject::Config);
        tell(tree.journal().as_deref(), kind, subject, told, origin, "reload");
        Ok(Reloaded { changes, certificates: ends })
    }
}

/// Writes what was done to the process, where the tree tells of such things.
pub(crate) fn tell(
    journal: Option<&dyn EventJournal>,
    kind: EventType,
    subject: Subject,
    changed: impl IntoIterator<Item = Changed>,
    origin: &Origin,
    command: &'static str,
) {
    if let Some(journal) = journal {
        let entry = Entry::new(SystemClock.now(), kind, subject, Changes::of(changed));
        journal.write(kind.class(), &Arc::default(), vec![entry.of(origin, command)]);
    }
}

fn filters(before: &str, after: &str) -> Changed {
    Changed::new("filter", Value::text(before), Value::text(after))
}

fn unservable<T>(loaded: &Loaded<T>, why: &AdminError) -> ConfigProblemView {
    let key = KeyPath::new(LISTEN);
    let origin = loaded.settings().iter().find(|setting| setting.key == key);
    let origin = origin.map(|setting| setting.origin.to_string()).unwrap_or_default();
    ConfigProblemView { key: key.to_string(), origin, text: format!("{}: {why}", why.code()) }
}

/// Whether a key takes effect at a reload.
fn is_live(key: &KeyPath) -> bool {
    match key.parts() {
        [section, _, ..] if section == "workers" => true,
        [section, part, _] => section == "admin" && part == "limits",
        [section, key] => section == "telemetry" && key == "log_filter",
        _ => false,
    }
}

fn by_key<T>(loaded: &Loaded<T>) -> BTreeMap<KeyPath, Setting> {
    loaded.settings().iter().map(|setting| (setting.key.clone(), setting.clone())).collect()
}

/// Every key with another value than before, and every value in force that is no longer the configured one.
fn changes(
    in_force: &BTreeMap<KeyPath, Setting>,
    configured: &BTreeMap<KeyPath, Setting>,
) -> Vec<ConfigChange> {
    let keys: BTreeSet<&KeyPath> = in_force.keys().chain(configured.keys()).collect();
    let value = |settings: &BTreeMap<KeyPath, Setting>, key: &KeyPath| {
        settings.get(key).and_then(|setting| setting.value.clone())
    };
    keys.into_iter()
        .filter_map(|key| {
            let (before, after) = (value(in_force, key), value(configured, key));
            (before != after).then(|| ConfigChange {
                key: key.to_string(),
                before,
                after,
                origin: configured.get(key).map_or_else(|| "not set".to_owned(), |it| it.origin.to_string()),
                needs_restart: !is_live(key),
            })
        })
        .collect()
}

fn waiting(
    in_force: &BTreeMap<KeyPath, Setting>,
    configured: &BTreeMap<KeyPath, Setting>,
) -> BTreeMap<KeyPath, PendingValue> {
    let keys: BTreeSet<&KeyPath> = in_force.keys().chain(configured.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (now, then) = (in_force.get(key), configured.get(key));
            let differs = now.and_then(|it| it.value.as_ref()) != then.and_then(|it| it.value.as_ref());
            differs.then(|| {
                let origin = then.map_or_else(|| "not set".to_owned(), |it| it.origin.to_string());
                (key.clone(), PendingValue { value: then.and_then(|it| it.value.clone()), origin })
            })
        })
        .collect()
}

fn certificates_view(ends: CertificateEnds) -> CertificatesView {
    CertificatesView { server_ends: ends.server, clients_end: ends.clients }
}

fn view(status: LogFilterStatus) -> LogFilterView {
    let LogFilterStatus { in_force, configured, comes_back_in } = status;
    LogFilterView {
        in_force: in_force.as_str().to_owned(),
        configured: configured.as_str().to_owned(),
        comes_back_in,
    }
}

fn problem(problem: &ConfigProblem) -> ConfigProblemView {
    let text = ConfigProblem { key: KeyPath::default(), ..problem.clone() }.to_string();
    ConfigProblemView { key: problem.key.to_string(), origin: problem.origin.to_string(), text }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::app::{Module, Setup, SetupError};
    use crate::config::TelemetryConfig;
    use crate::telemetry::{Identity, LogSink, Telemetry};

    #[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Files {
        catalogue: String,
    }

    /// Notes what it is shown, as one does that opens the file of that name.
    #[derive(Clone, Default)]
    struct Opens(Arc<Mutex<Vec<String>>>);

    impl Module<Files> for Opens {
        fn register(&self, config: &Files, _setup: &mut Setup) -> Result<(), SetupError> {
            self.0.lock().unwrap().push(config.catalogue.clone());
            assert_ne!(config.catalogue, "breaks", "a module may do this");
            Ok(())
        }
    }

    fn live(opens: &Opens, sources: ConfigSources) -> Arc<LiveConfig<Files>> {
        let app = App::configured("shop").module(opens.clone());
        let loaded = app.load_from(&sources).unwrap();
        let identity = Identity { service: "shop".into(), instance: "here".into(), version: "0".into() };
        let sink = LogSink::new(std::io::sink);
        let telemetry = Telemetry::scoped(&TelemetryConfig::default(), &identity, sink).unwrap();
        let (_, guard) = telemetry.into_parts();
        LiveConfig::new(app, sources, loaded, guard.log().clone())
    }

    fn file(text: &str) -> (tempfile::TempDir, ConfigSources) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.toml");
        std::fs::write(&path, text).unwrap();
        (folder, ConfigSources { file: Some(path), ..ConfigSources::default() })
    }

    #[tokio::test]
    async fn a_document_that_was_handed_in_is_never_shown_to_a_module() {
        let opens = Opens::default();
        let (_folder, sources) = file("app.catalogue = \"ours\"");
        let live = live(&opens, sources);
        let check = async |document: &str| live.validate(Some(document.to_owned())).await.unwrap();
        assert_eq!(check("app.catalogue = \"/etc/shadow\"").await, []);
        assert_eq!(check("app.catalogue = \"breaks\"").await, []);
        let keys = |problems: Vec<ConfigProblemView>| {
            problems.into_iter().map(|problem| problem.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(check("app.catalogue = 7").await), ["app.catalogue"], "its schema is looked at");
        assert_eq!(keys(check("workers.nobody.slots = 7").await), ["workers.nobody"]);
        let seen = opens.0.lock().unwrap().clone();
        assert!(seen.len() >= 4 && seen.iter().all(|name| name == "ours"), "{seen:?}");
    }

    #[tokio::test]
    async fn a_module_that_panics_over_the_file_is_what_is_wrong_with_it() {
        let opens = Opens::default();
        let (folder, sources) = file("app.catalogue = \"ours\"");
        let live = live(&opens, sources);
        std::fs::write(folder.path().join("shop.toml"), "app.catalogue = \"breaks\"").unwrap();
        let problems = live.validate(None).await.unwrap();
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!((problem.origin.as_str(), problem.text.as_str()), (MODULES, modules::PANICKED));
        std::fs::write(folder.path().join("shop.toml"), "app.catalogue = \"mended\"").unwrap();
        assert_eq!(live.validate(None).await.unwrap(), []);
        assert_eq!(opens.0.lock().unwrap().last().unwrap(), "mended", "the file is the instance's own");
    }
}
