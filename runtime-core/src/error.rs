//! The closed list of error codes, and the error a task carries.
//!
//! A code never changes its meaning and is never used again for something else. Each has a class, which decides what
//! happens to the task, and a page under `docs/errors/` that says what to do about it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::DependencyName;

/// What an error means for the task that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The same attempt may succeed later: network, rate limit, a peer that is down.
    Retryable,
    /// No later attempt can succeed.
    Permanent,
    /// The task's input does not fit the worker's schema or limits.
    InvalidRequest,
    /// The handler's output does not fit the worker's schema or limits.
    InvalidOutput,
    /// Only a person can decide how to go on.
    NeedsHuman,
}

impl ErrorClass {
    /// The name used in logs, the API and the stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "retryable",
            Self::Permanent => "permanent",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidOutput => "invalid_output",
            Self::NeedsHuman => "needs_human",
        }
    }
}

/// Declares the closed list once: variant, code, stable name, class.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $class:ident;)*) => {
        /// Every way in which something can go wrong that a user may meet, each with a stable code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// The whole list, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code itself, for example `RT0003`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// A stable snake_case name for people and metrics labels.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What this error means for a task.
            pub fn class(self) -> ErrorClass {
                match self { $(Self::$variant => ErrorClass::$class,)* }
            }
        }
    };
}

error_codes! {
    /// The handler reported a failure that may pass.
    HandlerFailed = "RT0001", "handler_failed", Retryable;
    /// The handler reported a failure that will not pass.
    HandlerRejected = "RT0002", "handler_rejected", Permanent;
    /// The lease ended before the outcome was settled.
    LeaseLost = "RT0003", "lease_lost", Retryable;
    /// The handler panicked.
    HandlerPanicked = "RT0004", "handler_panicked", Retryable;
    /// The attempt ran longer than the worker's timeout.
    AttemptTimedOut = "RT0005", "attempt_timed_out", Retryable;
    /// The input does not fit the worker's schema.
    InvalidInput = "RT0006", "invalid_input", InvalidRequest;
    /// The output does not fit the worker's schema.
    InvalidOutput = "RT0007", "invalid_output", InvalidOutput;
    /// The task was running at three deaths of its process, the last time alone.
    Poison = "RT0008", "poison", Permanent;
    /// The task's deadline passed before it was done.
    DeadlineExceeded = "RT0009", "deadline_exceeded", Permanent;
    /// An unkeyed effect began and its result is not known.
    EffectUnknown = "RT0010", "effect_unknown", NeedsHuman;
    /// The same effect step came again with other content.
    EffectConflict = "RT0011", "effect_conflict", Permanent;
    /// The same idempotency key came again with other content.
    IdempotencyConflict = "RT0012", "idempotency_conflict", InvalidRequest;
    /// The queue holds as many tasks as it may.
    QueueFull = "RT0013", "queue_full", Retryable;
    /// A payload or a batch is larger than its limit.
    TooLarge = "RT0014", "too_large", InvalidRequest;
    /// No worker is registered under the task's handler name.
    UnknownHandler = "RT0015", "unknown_handler", Permanent;
    /// The application's own write, run with the settlement, failed.
    AppWriteFailed = "RT0016", "app_write_failed", Retryable;
    /// The store's disk is full.
    StoreFull = "RT0017", "store_full", Retryable;
    /// The store may be read but not written.
    StoreReadOnly = "RT0018", "store_read_only", Retryable;
    /// Another instance owns the store.
    StoreOwned = "RT0019", "store_owned", Retryable;
    /// The store was written by a newer release.
    StoreTooNew = "RT0020", "store_too_new", Permanent;
    /// The store's file is damaged.
    StoreCorrupt = "RT0021", "store_corrupt", Permanent;
    /// The store could not be reached or answered with an error of its own.
    StoreUnavailable = "RT0022", "store_unavailable", Retryable;
    /// The store lacks a capability that was asked of it.
    CapabilityMissing = "RT0023", "capability_missing", InvalidRequest;
    /// A person decided that the task shall not run.
    Cancelled = "RT0024", "cancelled", Permanent;
    /// The application asked for a person's decision.
    NeedsDecision = "RT0025", "needs_decision", NeedsHuman;
    /// No such node, queue, worker or task.
    NotFound = "RT0026", "not_found", InvalidRequest;
    /// The thing exists but is not in a state that allows what was asked.
    FailedPrecondition = "RT0027", "failed_precondition", InvalidRequest;
    /// The runtime is stopping and takes no more commands.
    ShuttingDown = "RT0028", "shutting_down", Retryable;
    /// A command or a value in it is malformed.
    InvalidArgument = "RT0029", "invalid_argument", InvalidRequest;
    /// The configuration has problems.
    InvalidConfig = "RT0030", "invalid_config", InvalidRequest;
    /// A source cannot reach the outside system it reads.
    SourceUnavailable = "RT0031", "source_unavailable", Retryable;
    /// A node of the tree broke.
    NodeFaulted = "RT0032", "node_faulted", Retryable;
    /// No answer came in time.
    NoAnswer = "RT0033", "no_answer", Retryable;
    /// The handler has an effect that its worker did not declare, or declared with another class.
    UndeclaredEffect = "RT0034", "undeclared_effect", Permanent;
    /// The task weighs more than the rate of its lane ever gives at once.
    TooHeavy = "RT0035", "too_heavy", InvalidRequest;
    /// The queue is overloaded, and the task's priority is one that can wait.
    LoadShed = "RT0036", "load_shed", Retryable;
    /// What the worker depends on is down, and it is not yet time to try it again.
    DependencyDown = "RT0037", "dependency_down", Retryable;
    /// The caller did not say who it is, or its token is not valid.
    Unauthenticated = "RT0038", "unauthenticated", InvalidRequest;
    /// The caller may not do this, or not to this.
    PermissionDenied = "RT0039", "permission_denied", InvalidRequest;
    /// The caller asks more often than it may.
    RateLimited = "RT0040", "rate_limited", Retryable;
    /// The audit log could not be written.
    AuditUnavailable = "RT0041", "audit_unavailable", Retryable;
    /// The same request id came again with other content.
    RequestIdConflict = "RT0042", "request_id_conflict", InvalidRequest;
    /// What became of the first request with this id is not known.
    RequestUndecided = "RT0043", "request_undecided", InvalidRequest;
    /// The admin server would be open to others without TLS, or without knowing who calls.
    AdminExposed = "RT0044", "admin_exposed", InvalidRequest;
    /// A certificate, its key, or the authorities for clients cannot be used.
    CertificateUnusable = "RT0045", "certificate_unusable", InvalidRequest;
    /// A defect of the admin server.
    Internal = "RT0046", "internal", Permanent;
    /// The admin server has as much to do as it can.
    Overloaded = "RT0047", "overloaded", Retryable;
    /// An operator drains the instance: it takes no new work.
    Draining = "RT0048", "draining", Retryable;
    /// The events after a cursor are no longer all there.
    CursorExpired = "RT0049", "cursor_expired", InvalidRequest;
    /// A watcher reads more slowly than events come.
    SlowConsumer = "RT0050", "slow_consumer", Retryable;
    /// What is to be changed is no longer as whoever changes it has read it.
    ChangedMeanwhile = "RT0051", "changed_meanwhile", InvalidRequest;
    /// The server has no such method, or does not take requests of this encoding.
    Unimplemented = "RT0052", "unimplemented", InvalidRequest;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no code of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown error code {0:?}")]
pub struct UnknownErrorCode(pub String);

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| UnknownErrorCode(text.to_owned()))
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why an attempt did not end well: a code of the list and a text for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct TaskError {
    /// What kind of failure, from the closed list.
    pub code: ErrorCode,
    /// What happened, for the person who looks at the task. Never a payload or a secret.
    pub message: String,
    /// Where in the input or output, as a JSON pointer, for [`ErrorCode::InvalidInput`] and its twin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// How long a peer asked us to wait before the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// What was down, when it was not the handler's own failure: tasks that need it are held back for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency: Option<DependencyName>,
}

impl TaskError {
    /// An error with this code and text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, retry_after: None, dependency: None }
    }

    /// A failure of the handler that a later attempt may not meet.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::HandlerFailed, message)
    }

    /// A failure of the handler that every later attempt would meet again.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::HandlerRejected, message)
    }

    /// Names the place in the document, as a JSON pointer (`/lines/3/sku`).
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Blames something outside that the worker depends on: it did not answer, or said that it cannot.
    #[must_use]
    pub fn of_dependency(mut self, dependency: DependencyName) -> Self {
        self.dependency = Some(dependency);
        self
    }

    /// Asks that the next attempt waits at least this long.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_numbered_without_gaps() {
        for (index, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(code.as_str(), format!("RT{:04}", index + 1));
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert_eq!(ErrorCode::ALL.iter().filter(|other| other.name() == code.name()).count(), 1);
        }
    }

    #[test]
    fn every_code_has_its_page_and_the_page_names_its_class() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors");
        for code in ErrorCode::ALL {
            let path = format!("{pages}/{code}.md");
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(text.contains(code.name()), "{path} does not name {}", code.name());
            assert!(text.contains(code.class().as_str()), "{path} does not name its class");
        }
    }
}
