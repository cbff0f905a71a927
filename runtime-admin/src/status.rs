//! Errors as gRPC says them: the canonical code, and `google.rpc` details of which ErrorInfo is always one.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::control::CommandError;
use runtime_core::error::ErrorCode;
use runtime_core::input::Misfit;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Domain of the reasons in ErrorInfo.
pub(crate) const ERROR_DOMAIN: &str = "runtime.admin.v1";

/// Which canonical code each error code becomes on the wire. The one table there is.
pub(crate) const CANONICAL_CODES: &[(ErrorCode, Code)] = &[
    (ErrorCode::HandlerFailed, Code::Aborted),
    (ErrorCode::HandlerRejected, Code::FailedPrecondition),
    (ErrorCode::LeaseLost, Code::Aborted),
    (ErrorCode::HandlerPanicked, Code::Internal),
    (ErrorCode::AttemptTimedOut, Code::DeadlineExceeded),
    (ErrorCode::InvalidInput, Code::InvalidArgument),
    (ErrorCode::InvalidOutput, Code::Internal),
    (ErrorCode::Poison, Code::FailedPrecondition),
    (ErrorCode::DeadlineExceeded, Code::DeadlineExceeded),
    (ErrorCode::EffectUnknown, Code::FailedPrecondition),
    (ErrorCode::EffectConflict, Code::FailedPrecondition),
    (ErrorCode::IdempotencyConflict, Code::AlreadyExists),
    (ErrorCode::QueueFull, Code::ResourceExhausted),
    (ErrorCode::TooLarge, Code::InvalidArgument),
    (ErrorCode::UnknownHandler, Code::NotFound),
    (ErrorCode::AppWriteFailed, Code::Aborted),
    (ErrorCode::StoreFull, Code::ResourceExhausted),
    (ErrorCode::StoreReadOnly, Code::Unavailable),
    (ErrorCode::StoreOwned, Code::Unavailable),
    (ErrorCode::StoreTooNew, Code::FailedPrecondition),
    (ErrorCode::StoreCorrupt, Code::DataLoss),
    (ErrorCode::StoreUnavailable, Code::Unavailable),
    (ErrorCode::CapabilityMissing, Code::FailedPrecondition),
    (ErrorCode::Cancelled, Code::FailedPrecondition),
    (ErrorCode::NeedsDecision, Code::FailedPrecondition),
    (ErrorCode::NotFound, Code::NotFound),
    (ErrorCode::FailedPrecondition, Code::FailedPrecondition),
    (ErrorCode::ShuttingDown, Code::Unavailable),
    (ErrorCode::InvalidArgument, Code::InvalidArgument),
    (ErrorCode::InvalidConfig, Code::FailedPrecondition),
    (ErrorCode::SourceUnavailable, Code::Unavailable),
    (ErrorCode::NodeFaulted, Code::Unavailable),
    (ErrorCode::NoAnswer, Code::DeadlineExceeded),
    (ErrorCode::UndeclaredEffect, Code::FailedPrecondition),
    (ErrorCode::TooHeavy, Code::InvalidArgument),
    (ErrorCode::LoadShed, Code::ResourceExhausted),
    (ErrorCode::DependencyDown, Code::FailedPrecondition),
    (ErrorCode::Unauthenticated, Code::Unauthenticated),
    (ErrorCode::PermissionDenied, Code::PermissionDenied),
    (ErrorCode::RateLimited, Code::ResourceExhausted),
    (ErrorCode::AuditUnavailable, Code::Unavailable),
    (ErrorCode::RequestIdConflict, Code::AlreadyExists),
    (ErrorCode::RequestUndecided, Code::Aborted),
    (ErrorCode::AdminExposed, Code::FailedPrecondition),
    (ErrorCode::CertificateUnusable, Code::FailedPrecondition),
    (ErrorCode::Internal, Code::Internal),
    (ErrorCode::Overloaded, Code::ResourceExhausted),
    (ErrorCode::Draining, Code::Unavailable),
    (ErrorCode::CursorExpired, Code::OutOfRange),
    (ErrorCode::SlowConsumer, Code::ResourceExhausted),
    (ErrorCode::ChangedMeanwhile, Code::Aborted),
    (ErrorCode::Unimplemented, Code::Unimplemented),
];

/// How long a caller shall wait that was shed.
const AFTER_SHEDDING: Duration = Duration::from_secs(1);

/// The canonical code of an error code.
pub(crate) fn canonical(code: ErrorCode) -> Code {
    CANONICAL_CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map_or(Code::Unknown, |(_, canonical)| *canonical)
}

/// What a request is about: its kind and its resource name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// `node`, `queue`, `task`, `worker` or `system`.
    pub(crate) kind: &'static str,
    /// The resource name; empty for what has none.
    pub(crate) name: String,
}

impl Resource {
    /// A thing with a name.
    pub(crate) fn new(kind: &'static str, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    /// The runtime as a whole.
    pub(crate) fn system() -> Self {
        Self::new("system", "")
    }
}

/// The tree did not do what was asked of it.
pub(crate) fn refusal(error: &CommandError, about: &Resource) -> Status {
    let mut details = error_info(error.code);
    match canonical(error.code) {
        Code::NotFound => {
            details.set_resource_info(about.kind, about.name.clone(), "", error.message.clone());
        }
        Code::FailedPrecondition => {
            details.add_precondition_failure_violation(
                error.code.name(),
                about.name.clone(),
                error.message.clone(),
            );
        }
        Code::ResourceExhausted => {
            details.add_quota_failure_violation(about.name.clone(), error.message.clone());
        }
        Code::InvalidArgument if !error.misfits.is_empty() => {
            for Misfit { field, why } in &error.misfits {
                details.add_bad_request_violation(wire_field(about, field), why.clone());
            }
        }
        Code::InvalidArgument => {
            let field = match error.code {
                ErrorCode::TooLarge if about.kind != "request" => "payload",
                ErrorCode::TooHeavy => "weight",
                _ => about.kind,
            };
            details.add_bad_request_violation(field, error.message.clone());
        }
        _ => {}
    }
    if let Some(wait) = error.retry_after {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(canonical(error.code), error.message.clone(), details)
}

/// Where a request about this holds what did not fit.
fn wire_field(about: &Resource, field: &str) -> String {
    match (about.kind, field.strip_prefix("input")) {
        ("schedule", _) => format!("spec.{field}"),
        (_, Some(place)) => format!("payload{place}"),
        (_, None) => field.to_owned(),
    }
}

/// A field of the request is missing, malformed or too large.
pub(crate) fn invalid(field: &str, what: impl Into<String>) -> Status {
    let what = what.into();
    let mut details = error_info(ErrorCode::InvalidArgument);
    details.add_bad_request_violation(field, what.clone());
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {what}"), details)
}

/// The server has as much to do as it can: later, this may be done.
pub(crate) fn overloaded(what: &str) -> Status {
    let mut details = error_info(ErrorCode::Overloaded);
    details.set_retry_info(Some(AFTER_SHEDDING));
    details.add_quota_failure_violation("admin", what);
    Status::with_error_details(canonical(ErrorCode::Overloaded), what, details)
}

/// The answer did not begin in time.
pub(crate) fn no_answer(patience: Duration) -> Status {
    let code = ErrorCode::NoAnswer;
    Status::with_error_details(canonical(code), format!("no answer within {patience:?}"), error_info(code))
}

/// A defect of the server.
pub(crate) fn broken() -> Status {
    let code = ErrorCode::Internal;
    Status::with_error_details(canonical(code), "the call broke; the log says how", error_info(code))
}

/// Refused, with a code of the closed list.
pub(crate) fn refused(code: ErrorCode, what: impl Into<String>) -> Status {
    Status::with_error_details(canonical(code), what, error_info(code))
}

/// Refused until then: with when to ask again.
pub(crate) fn refused_until(
    code: ErrorCode,
    what: impl Into<String>,
    at: Timestamp,
    now: Timestamp,
) -> Status {
    let (what, mut details) = (what.into(), error_info(code));
    details.set_retry_info(Some(Duration::try_from(at.duration_since(now)).unwrap_or_default()));
    details.add_quota_failure_violation("requests of a principal", what.clone());
    Status::with_error_details(canonical(code), what, details)
}

fn error_info(code: ErrorCode) -> ErrorDetails {
    let metadata = HashMap::from([
        ("name".to_owned(), code.name().to_owned()),
        ("class".to_owned(), code.class().as_str().to_owned()),
    ]);
    ErrorDetails::with_error_info(code.as_str(), ERROR_DOMAIN, metadata)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_error_code_has_exactly_one_row() {
        for code in ErrorCode::ALL {
            let rows = CANONICAL_CODES.iter().filter(|(known, _)| known == code).count();
            assert_eq!(rows, 1, "{code} ({})", code.name());
        }
        assert_eq!(CANONICAL_CODES.len(), ErrorCode::ALL.len());
        assert!(
            CANONICAL_CODES
                .iter()
                .all(|(_, canonical)| *canonical != Code::Ok && *canonical != Code::Unknown)
        );
    }

    #[test]
    fn every_refusal_says_its_reason() {
        for code in ErrorCode::ALL {
            let status = refusal(&CommandError::new(*code, "no"), &Resource::new("task", "tasks/7"));
            let info = status.get_details_error_info().expect("ErrorInfo");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (code.as_str(), ERROR_DOMAIN));
            assert_eq!(info.metadata["name"], code.name());
            assert_eq!(status.code(), canonical(*code));
        }
    }

    #[test]
    fn details_fit_the_kind_of_refusal() {
        let about = Resource::new("node", "nodes/engine/apps/shop");
        let of = |error: CommandError| refusal(&error, &about);
        let missing =
            of(CommandError::not_found("no node")).get_details_resource_info().expect("ResourceInfo");
        assert_eq!(
            (missing.resource_type.as_str(), missing.resource_name.as_str()),
            ("node", "nodes/engine/apps/shop")
        );
        let refused = of(CommandError::precondition("a platform node")).get_details_precondition_failure();
        let violation = &refused.expect("PreconditionFailure").violations[0];
        assert_eq!(
            (violation.r#type.as_str(), violation.description.as_str()),
            ("failed_precondition", "a platform node")
        );
        let full = of(CommandError::new(ErrorCode::QueueFull, "full")).get_details_quota_failure();
        assert_eq!(full.expect("QuotaFailure").violations.len(), 1);
        let shed = CommandError {
            retry_after: Some(Duration::from_secs(7)),
            ..CommandError::new(ErrorCode::LoadShed, "later")
        };
        let wait = of(shed).get_details_retry_info().expect("RetryInfo").retry_delay;
        assert_eq!(wait, Some(Duration::from_secs(7)));
        let field = invalid("page_size", "at most 1000").get_details_bad_request().expect("BadRequest");
        assert_eq!(field.field_violations[0].field, "page_size");
    }
}
