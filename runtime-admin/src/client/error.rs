//! What can go wrong between a client and an admin server.

use std::io;
use std::path::PathBuf;

use runtime_core::error::ErrorCode;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::status::ERROR_DOMAIN;

/// A call did not bring what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is no address.
    #[error("{0:?} is not an endpoint: expected http://host:port, https://host:port or unix:PATH")]
    InvalidEndpoint(String),
    /// The token holds what no token holds. It is not repeated.
    #[error("the token is no token")]
    InvalidToken,
    /// Whoever is on the way could read the token along. It was not sent.
    #[error("a token is not sent to {0}, where others could read it along: expected https://host:port")]
    TokenInClear(String),
    /// Nobody answers there.
    #[error("cannot connect to {endpoint}")]
    Connect {
        /// The endpoint asked for.
        endpoint: String,
        /// What the transport said.
        #[source]
        source: tonic::transport::Error,
    },
    /// There are files for TLS, and the endpoint is one without it.
    #[error("{0} is not for TLS, but files for TLS are given: expected https://host:port")]
    WithoutTls(String),
    /// A file for TLS cannot be used.
    #[error("{what} {} cannot be used", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// This change has no resource that could have been read before.
    #[error("{0} takes no etag: nothing was changed")]
    TakesNoEtag(&'static str),
    /// This change cannot be looked at before it is made.
    #[error("{0} cannot be looked at before: nothing was changed")]
    TakesNoLook(&'static str),
    /// The connection ended before the answer came. What was asked may still happen.
    #[error("the connection was lost: {0}")]
    ConnectionLost(String),
    /// No answer came in time. What was asked may still happen.
    #[error("no answer came in time")]
    DeadlineExceeded,
    /// The runtime did not do it, and said why.
    #[error("{0}")]
    Refused(Refusal),
    /// The server is older than this client.
    #[error("the answer lacks {0:?}")]
    Incomplete(&'static str),
}

/// Why the runtime did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The canonical code of gRPC.
    pub canonical: Code,
    /// The code of the closed list; `None` when the refusal came from the transport, or from a newer release.
    pub code: Option<ErrorCode>,
    /// What to know about it.
    pub message: String,
    /// The fields of the request that do not fit, each with the reason.
    pub fields: Vec<(String, String)>,
    /// What kind of thing is not there, where that is the reason: `queue`, `node`, `task`.
    pub missing: Option<String>,
}

impl Refusal {
    /// Whether it is about this field of the request.
    pub fn is_about(&self, field: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == field)
    }
}

impl ClientError {
    /// The code of the closed list, where the error has one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::DeadlineExceeded => Some(ErrorCode::NoAnswer),
            Self::InvalidEndpoint(_) | Self::WithoutTls(_) | Self::TakesNoEtag(_) | Self::TakesNoLook(_) => {
                Some(ErrorCode::InvalidArgument)
            }
            Self::InvalidToken | Self::TokenInClear(_) => Some(ErrorCode::Unauthenticated),
            Self::File { .. } => Some(ErrorCode::CertificateUnusable),
            Self::Connect { .. } | Self::ConnectionLost(_) | Self::Incomplete(_) => None,
        }
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN);
        match (status.code(), &info) {
            // What the server has to say about a late answer is kept.
            (Code::DeadlineExceeded, None) => Self::DeadlineExceeded,
            // The client's own timer reports CANCELLED, as a connection does that ends before its answer.
            (Code::Cancelled, None) if status.message() == TimeoutExpired(()).to_string() => {
                Self::DeadlineExceeded
            }
            // Every refusal of the server carries its reason: these without one come from the transport.
            (Code::Unavailable | Code::Unknown | Code::Cancelled, None) => {
                Self::ConnectionLost(status.message().to_owned())
            }
            (canonical, _) => Self::Refused(Refusal {
                canonical,
                code: info.and_then(|info| info.reason.parse().ok()),
                message: status.message().to_owned(),
                missing: status.get_details_resource_info().map(|missing| missing.resource_type),
                fields: status
                    .get_details_bad_request()
                    .map(|bad| bad.field_violations)
                    .unwrap_or_default()
                    .into_iter()
                    .map(|violation| (violation.field, violation.description))
                    .collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_without_an_answer_is_told_from_an_answer_that_is_late() {
        let of = ClientError::from;
        assert!(matches!(of(Status::cancelled("Timeout expired")), ClientError::DeadlineExceeded));
        assert!(matches!(of(Status::deadline_exceeded("")), ClientError::DeadlineExceeded));
        assert!(matches!(of(Status::cancelled("operation was canceled")), ClientError::ConnectionLost(_)));
        assert!(matches!(of(Status::unavailable("broken pipe")), ClientError::ConnectionLost(_)));
        assert!(matches!(of(Status::not_found("no node")), ClientError::Refused(_)));
    }
}
