//! The platform's own sections. What is written here in documentation is what `config schema` and `config example` say.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use runtime_admin::ListenAddress;
use runtime_core::journal::JournalLimits;
use runtime_core::name::{DependencyName, InstanceName, SourceName, WorkerName};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use tracing_subscriber::EnvFilter;

use super::SecretRef;
use super::flow::{DependencyConfig, ShedConfig};
use super::limits::AdminLimitsConfig;

/// The whole configuration of an instance: the platform's sections and the app's own, of type `A`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, bound(deserialize = "A: Default + Deserialize<'de>"))]
#[schemars(bound = "A: Default + Serialize + JsonSchema")]
pub struct RuntimeConfig<A> {
    /// The running process.
    pub runtime: InstanceConfig,
    /// Where tasks are kept.
    pub store: StoreConfig,
    /// The admin plane: what `runtimectl` talks to.
    pub admin: AdminConfig,
    /// The work pool: the threads that run handlers.
    pub work: WorkConfig,
    /// Logs, traces and metrics.
    pub telemetry: TelemetryConfig,
    /// What is different from its module's defaults, worker by worker.
    #[schemars(with = "BTreeMap<String, WorkerConfig>")]
    pub workers: BTreeMap<WorkerName, WorkerConfig>,
    /// What is different from its module's defaults, source by source.
    #[schemars(with = "BTreeMap<String, SourceConfig>")]
    pub sources: BTreeMap<SourceName, SourceConfig>,
    /// What is different from its module's defaults, dependency by dependency.
    #[schemars(with = "BTreeMap<String, DependencyConfig>")]
    pub dependencies: BTreeMap<DependencyName, DependencyConfig>,
    /// The app's own settings.
    pub app: A,
}

/// The `[app]` section of an app that has no settings of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoAppConfig {}

/// The running process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceConfig {
    /// Name of this instance, in leases, logs and traces. Unset: made up at each start.
    #[schemars(with = "Option<String>", example = &"orders-1")]
    pub instance: Option<InstanceName>,
    /// Folder for everything the instance keeps on disk. A relative path starts at the working directory.
    pub data_dir: PathBuf,
    /// How long running attempts may go on after a shutdown was asked for, in seconds. What has not ended by then is
    /// released and runs again at the next start.
    pub grace_secs: u64,
    /// How long the last logs and traces may take to leave at the very end, in seconds.
    pub flush_secs: NonZeroU64,
}

impl Default for InstanceConfig {
    fn default() -> Self {
        Self {
            instance: None,
            data_dir: "data".into(),
            grace_secs: 30,
            flush_secs: const { NonZeroU64::new(5).expect("not zero") },
        }
    }
}

/// Where tasks are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The back end.
    pub kind: StoreKind,
    /// File of the SQLite back end. Unset: `runtime.db` in the data folder.
    #[schemars(example = &"data/runtime.db")]
    pub path: Option<PathBuf>,
    /// What an acknowledged task survives.
    pub synchronous: Synchronous,
    /// How long tasks that are done or cancelled can be looked up, in days; 0 keeps none.
    pub history_retention_days: u32,
    /// How long the idempotency key of a finished task is remembered, in days, also when its task no longer is. Longer than the retry
    /// horizon of every worker, or the app does not start.
    pub key_retention_days: u32,
    /// How long dead tasks are kept, in days; 0 keeps none.
    pub dead_letter_retention_days: u32,
    /// Most dead tasks that are kept; those created first go first.
    pub dead_letters_at_most: u64,
    /// How long the audit log keeps an entry, in days.
    pub audit_retention_days: u32,
    /// Most mutations, and most denials, that the audit log keeps; the oldest go first.
    pub audit_entries_at_most: u64,
    /// Most live tasks of one queue that are taken from outside; beyond it enqueueing is refused.
    pub queue_capacity: NonZeroU64,
    /// Largest payload, output or checkpoint of one task, in bytes.
    pub max_payload_bytes: NonZeroUsize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::Sqlite,
            path: None,
            synchronous: Synchronous::Full,
            history_retention_days: 30,
            key_retention_days: 30,
            dead_letter_retention_days: 30,
            dead_letters_at_most: 100_000,
            audit_retention_days: 365,
            audit_entries_at_most: 1_000_000,
            queue_capacity: const { NonZeroU64::new(10_000_000).expect("not zero") },
            max_payload_bytes: const { NonZeroUsize::new(1024 * 1024).expect("not zero") },
        }
    }
}

/// The back end that keeps tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// One file, owned by one instance.
    Sqlite,
    /// Nothing survives the process; for tests.
    Memory,
}

/// What an acknowledged task survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// A power cut: it was on disk before it was acknowledged.
    Full,
    /// A crash of the process, but not a power cut.
    NormalMayLoseAcknowledgedTasks,
}

/// The admin plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Whether it is served at all.
    pub enabled: bool,
    /// The address it listens on; port 0 takes a free one. A Unix socket is open to the user of the process alone. An address that others can
    /// reach needs `tls` and `authentication`.
    #[schemars(with = "String")]
    #[schemars(extend("x-expected" = "an IP address with a port, such as \"127.0.0.1:7070\", or \"unix:PATH\""))]
    pub listen: ListenAddress,
    /// Whether it describes its API to whoever asks, as tools such as `grpcurl` do.
    pub reflection: bool,
    /// With what it speaks TLS. The files are read again when they change; a new set is taken when all of it fits together.
    pub tls: Option<AdminTlsConfig>,
    /// Whether callers have to say who they are.
    pub authentication: AuthenticationKind,
    /// A token whose bearer may do anything, of at least 32 bytes: a way in while there are no principals. Take it away once there are.
    #[schemars(example = &"file:/run/secrets/admin-token")]
    pub bootstrap_token: Option<SecretRef>,
    /// Events of nodes, queues, schedules, operations and the configuration that are kept in memory for those who watch or come back; the
    /// oldest go first.
    #[schemars(range(min = 1_024, max = 1_048_576))]
    pub events_kept: u32,
    /// Events of single tasks that are kept the same way, at about 150 bytes each. At full load the default holds about a second: whoever
    /// watches every task has to read them within that.
    #[schemars(range(min = 4_096, max = 1_048_576))]
    pub task_events_kept: u32,
    /// How much of everything there may be.
    pub limits: AdminLimitsConfig,
}

/// Whether callers of the admin API have to say who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationKind {
    /// No: everybody on the machine may do anything. On a loopback address only.
    Off,
    /// By a token, or by a certificate.
    Required,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7070)).into(),
            reflection: false,
            tls: None,
            authentication: AuthenticationKind::Off,
            bootstrap_token: None,
            events_kept: 8_192,
            task_events_kept: 65_536,
            limits: AdminLimitsConfig::default(),
        }
    }
}

impl AdminConfig {
    /// As the tree takes it.
    pub(crate) fn journal(&self) -> JournalLimits {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        JournalLimits { tree: count(self.events_kept), tasks: count(self.task_events_kept) }
    }
}

/// With what the admin plane speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminTlsConfig {
    /// PEM file of the server's certificate, and of those between it and its authority.
    #[schemars(example = &"tls/server.pem")]
    pub certificate: PathBuf,
    /// Its private key in PEM form. A file must not be open to others.
    #[schemars(example = &"file:tls/server.key")]
    pub key: SecretRef,
    /// PEM file of the authorities that sign clients' certificates. With it, a client without such a certificate is turned away.
    #[schemars(example = &"tls/clients.pem")]
    pub client_ca: Option<PathBuf>,
}

/// The work pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorkConfig {
    /// Threads that run handlers. Unset: one for each processor.
    #[schemars(example = 4)]
    pub threads: Option<NonZeroUsize>,
}

/// Logs, traces and metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Which log lines are written, as directives of tracing-subscriber's `EnvFilter`, such as `info,runtime_stores=debug`.
    pub log_filter: LogFilter,
    /// How log lines look.
    pub log_format: LogFormat,
    /// OTLP receiver (gRPC; with TLS when the URL begins with `https`) that traces, metrics and logs are sent to. Unset: nothing is sent,
    /// and no traces are made.
    #[schemars(example = &"http://127.0.0.1:4317", regex(pattern = "^https?://[^/]"))]
    #[schemars(extend("x-expected" = "a URL such as \"http://127.0.0.1:4317\""))]
    pub otlp_endpoint: Option<String>,
    /// File with the certificates (PEM) that an `https` receiver is known by, instead of those of the system.
    #[schemars(example = &"/etc/ssl/collector.pem")]
    pub otlp_ca_file: Option<PathBuf>,
    /// Whether traces are made and sent to the receiver.
    pub send_traces: bool,
    /// Whether metrics are sent to the receiver.
    pub send_metrics: bool,
    /// Whether log lines are sent to the receiver too.
    pub send_logs: bool,
    /// How often metrics are sent, in seconds.
    pub metrics_every_secs: NonZeroU64,
    /// Name of the service in traces, metrics and logs. Unset: the app's name.
    #[schemars(example = &"orders", length(min = 1))]
    pub service_name: Option<String>,
    /// Share of new traces that are kept; a trace that came from outside follows its origin.
    #[schemars(range(min = 0, max = 1))]
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log_filter: LogFilter("info".into()),
            log_format: LogFormat::Auto,
            otlp_endpoint: None,
            otlp_ca_file: None,
            send_traces: true,
            send_metrics: true,
            send_logs: true,
            metrics_every_secs: const { NonZeroU64::new(10).expect("not zero") },
            service_name: None,
            sample_ratio: 1.0,
        }
    }
}

/// Directives that choose log lines; every value is one that `EnvFilter` accepts. What a field is compared with stands for itself: an
/// expression would be compiled whole, at a cost that grows without bound with a few of its characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct LogFilter(String);

/// The text is no log filter.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLogFilter {
    /// Every place that logs is held against every directive.
    #[error("it has {bytes} bytes, and may have {}", LogFilter::MAX_BYTES)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// One of its directives is none.
    #[error(transparent)]
    Directive(#[from] tracing_subscriber::filter::ParseError),
}

impl LogFilter {
    /// Longest filter in bytes.
    pub const MAX_BYTES: usize = 2_048;

    /// The directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_env_filter(&self) -> EnvFilter {
        Self::builder().parse_lossy(&self.0)
    }

    fn builder() -> tracing_subscriber::filter::Builder {
        EnvFilter::builder().with_regex(false)
    }
}

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidLogFilter::TooLong { bytes: text.len() });
        }
        Self::builder().parse(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for LogFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What is different for one worker; what is absent stays as its module says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// How many attempts run at once.
    #[schemars(example = 8)]
    pub slots: Option<NonZeroUsize>,
    /// How long one attempt may take, in seconds.
    #[schemars(example = 60)]
    pub timeout_secs: Option<NonZeroU64>,
    /// How often a task is tried in all, the first time included.
    #[schemars(example = 5)]
    pub max_attempts: Option<NonZeroU32>,
    /// When its queue refuses tasks that can wait.
    pub shed: ShedConfig,
}

/// What is different for one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Whether the source is started.
    pub enabled: bool,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_filter_is_short_and_compiles_no_expression() {
        let filter: LogFilter = "info,[{task=/(/}]=trace".parse().expect("the parenthesis stands for itself");
        assert!(!filter.to_env_filter().to_string().is_empty());
        let many = "a=info,".repeat(LogFilter::MAX_BYTES / 7 + 1);
        let refused = many.parse::<LogFilter>().expect_err("too long");
        assert!(matches!(refused, InvalidLogFilter::TooLong { bytes } if bytes == many.len()));
        assert!(matches!("nonsense=loud".parse::<LogFilter>(), Err(InvalidLogFilter::Directive(_))));
    }

    #[test]
    fn by_default_as_many_events_are_kept_as_a_tree_keeps() {
        assert_eq!(AdminConfig::default().journal(), JournalLimits::default());
    }
}
