//! A mutation under way: its entry is in the audit log, and how it ends is added before its caller hears of it.

use std::sync::Arc;

use bytes::Bytes;
use runtime_core::audit::AuditOutcome;
use runtime_core::error::ErrorCode;
use runtime_core::store::{AuditLog, Remembered};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::status::{ERROR_DOMAIN, refused};

/// Largest answer in bytes that is remembered. Whoever asks again after a larger one is told that it was not done a second time.
const MAX_REMEMBERED_BYTES: usize = 64 * 1024;

/// A mutation whose entry is written.
pub(super) struct Mutation {
    pub(super) audit: Arc<dyn AuditLog>,
    /// Where its entry is.
    pub(super) position: u64,
    /// What it answers is for its caller alone, and once.
    pub(super) answers_once: bool,
}

impl Mutation {
    /// Writes how it ended. `answer` is what a repetition of the request is to get.
    ///
    /// # Errors
    /// The log could not be written: nobody is told that the mutation was done, since nothing would say so afterwards.
    pub(super) async fn end(&self, status: &Status, answer: Option<Bytes>) -> Result<(), Status> {
        let remembered = match (status.code(), answer) {
            (Code::Ok, Some(answer)) if !self.answers_once && answer.len() <= MAX_REMEMBERED_BYTES => {
                Remembered::Answer(answer.to_vec())
            }
            (Code::Ok, _) => Remembered::Undecided,
            _ if nothing_was_done(status) => Remembered::Nothing,
            _ => Remembered::Undecided,
        };
        self.audit.end_mutation(self.position, outcome(status), remembered).await.map_err(|error| {
            tracing::error!(error_code = %error.code(), %error, position = self.position,
                "the outcome of a mutation could not be written to the audit log");
            let what = "the outcome could not be written to the audit log: what was asked may have been done";
            refused(ErrorCode::AuditUnavailable, what)
        })
    }
}

/// How a request ended, for the log.
pub(super) fn outcome(status: &Status) -> AuditOutcome {
    AuditOutcome { canonical: canonical_name(status.code()).to_owned(), error: reason(status) }
}

/// The code of the closed list that a status carries.
fn reason(status: &Status) -> Option<ErrorCode> {
    let info = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN)?;
    info.reason.parse().ok()
}

/// Whether the same request may be made again without being done twice.
fn nothing_was_done(status: &Status) -> bool {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented => true,
        Code::Unavailable => matches!(
            reason(status),
            Some(
                ErrorCode::ShuttingDown
                    | ErrorCode::Draining
                    | ErrorCode::StoreReadOnly
                    | ErrorCode::StoreOwned
                    | ErrorCode::StoreUnavailable
            )
        ),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::DataLoss => false,
    }
}

/// A canonical code as gRPC writes it.
fn canonical_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
