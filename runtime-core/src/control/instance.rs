//! The port to the process round the tree: its end, its log filter and its configuration. Implemented where the process is assembled; a tree that
//! somebody made without a configuration has none.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{CommandError, Control, Origin};

/// Which log lines are written, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilterView {
    /// The directives in force.
    pub in_force: String,
    /// Those that the configuration says.
    pub configured: String,
    /// How long until the configured ones come back; nothing when they are in force.
    pub comes_back_in: Option<Duration>,
}

/// One key of the configuration. A secret shows as the reference to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingView {
    /// The key.
    pub key: String,
    /// The value in force, as TOML writes it; nothing when it has none.
    pub value: Option<String>,
    /// Where that comes from.
    pub origin: String,
    /// Whether a reload puts another value in force; else a restart does.
    pub live: bool,
    /// The value that a reload has read and that waits for a restart.
    pub waits: Option<PendingValue>,
}

/// A value that is configured and not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingValue {
    /// As TOML writes it; nothing when the key will have none.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: String,
}

/// One thing that is wrong with a configuration. It never carries a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblemView {
    /// The key; empty when a source as a whole is meant.
    pub key: String,
    /// Where it stands.
    pub origin: String,
    /// What is wrong, in words, with what was found and what was expected.
    pub text: String,
}

/// One key whose configured value is another than the one in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// The key.
    pub key: String,
    /// The value in force before.
    pub before: Option<String>,
    /// The configured value.
    pub after: Option<String>,
    /// Where it comes from.
    pub origin: String,
    /// Whether it takes a restart.
    pub needs_restart: bool,
}

/// That the process shall end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownAsk {
    /// How long attempts that run may take to end.
    pub grace: Duration,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// When the certificates end that the admin API is served with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificatesView {
    /// The server's own.
    pub server_ends: Timestamp,
    /// The first of the authorities for clients; nothing when clients are not asked for a certificate.
    pub clients_end: Option<Timestamp>,
}

/// What a reload did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Every key that changed.
    pub changes: Vec<ConfigChange>,
    /// The certificates that are served with from now on, when their files hold others than before.
    pub certificates: Option<CertificatesView>,
}

/// The process round a tree.
#[async_trait]
pub trait InstanceControl: Send + Sync {
    /// How long attempts that run may take to end when the process does, for this wish: the configured time when there is none.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::InvalidArgument`] for a time longer than the configured one, by which nodes that do not end are given up.
    fn grace(&self, wish: Option<Duration>) -> Result<Duration, CommandError>;

    /// Has the process end in order, as SIGTERM does. Returns at once; the answer to whoever asked goes out before the door closes.
    fn shut_down(&self, ask: ShutdownAsk);

    /// The log filter.
    fn log_filter(&self) -> LogFilterView;

    /// Puts another log filter in force for a while, after which the configured one comes back by itself; at once when `wish` is absent.
    /// With `validate_only` it only says how that would be.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::InvalidArgument`] when the directives cannot be read.
    fn set_log_filter(
        &self,
        tree: &dyn Control,
        wish: Option<(String, Duration)>,
        validate_only: bool,
        origin: &Origin,
    ) -> Result<LogFilterView, CommandError>;

    /// Every key of the configuration, in order.
    fn settings(&self) -> Vec<SettingView>;

    /// When the certificates end that the admin API is served with; nothing without TLS.
    fn certificates(&self) -> Option<CertificatesView>;

    /// The JSON schema of the configuration.
    fn schema(&self) -> String;

    /// What is wrong with the configuration as its sources are now, or with this TOML document in place of the file. Changes nothing.
    ///
    /// A document comes from whoever may ask, and not from whoever may write the file: the app's modules are never shown its part for the
    /// app, whose paths and addresses they would open.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::NoAnswer`] when the modules do not end.
    async fn validate(&self, document: Option<String>) -> Result<Vec<ConfigProblemView>, CommandError>;

    /// Reads the sources again, and the files of certificates, and puts in force what can change without a restart: all of it, or nothing.
    /// Says everything that changed. With `validate_only` it only says so.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::InvalidConfig`] with every problem; [`crate::error::ErrorCode::CertificateUnusable`];
    /// [`crate::error::ErrorCode::NoAnswer`] when the app's modules do not end; what the tree said.
    async fn reload(
        &self,
        tree: &dyn Control,
        validate_only: bool,
        origin: &Origin,
    ) -> Result<Reloaded, CommandError>;
}
