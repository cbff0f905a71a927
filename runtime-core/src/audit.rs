//! What was done and what was refused, by whom: the entries of the audit log.
//!
//! A mutation has one entry, written in two steps: before it is carried out, and when its outcome is known. Both are on disk before the
//! caller hears of it. An entry without an outcome says that the process died in between, and that nobody knows. A denial is written at
//! once. Payloads and secrets are never part of an entry.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::TokenId;
use crate::error::ErrorCode;
use crate::name::{PrincipalName, RequestId};

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// Something was to be changed, by somebody who may.
    Mutation,
    /// Somebody was not let in, or may not do what was asked.
    Denial,
}

impl AuditKind {
    /// The name used in filters and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutation => "mutation",
            Self::Denial => "denial",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditOutcome {
    /// The canonical code of gRPC: `OK`, `NOT_FOUND`.
    pub canonical: String,
    /// The code of the closed list, when it did not end well and has one.
    pub error: Option<ErrorCode>,
}

impl AuditOutcome {
    /// It was done.
    pub fn ok() -> Self {
        Self { canonical: "OK".to_owned(), error: None }
    }

    /// Whether it was done.
    pub fn is_ok(&self) -> bool {
        self.canonical == "OK"
    }
}

/// Who asked for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSubject {
    /// What it is about.
    pub kind: AuditKind,
    /// Who asked; `None` when that is not known.
    pub principal: Option<PrincipalName>,
    /// By which token; `None` for a certificate, and where nobody is asked who they are.
    pub token: Option<TokenId>,
    /// What was asked for: `QueueService/PauseQueue`.
    pub method: String,
    /// The resource name it is about; empty for the runtime as a whole.
    pub resource: String,
    /// Why, in the caller's words.
    pub reason: String,
    /// What the caller calls the request.
    pub request_id: Option<RequestId>,
    /// Where the caller calls from.
    pub peer: String,
    /// The caller's trace, when it sent one.
    pub trace_id: Option<String>,
    /// Denials of this peer since its last entry that were too many to be written one by one.
    pub unwritten: u64,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place in the log, from 1 on, never given twice.
    pub position: u64,
    /// When it was written, by the store's clock.
    pub at: Timestamp,
    /// Who asked for what.
    pub subject: AuditSubject,
    /// How it ended, and when; `None` while it is under way, and for ever when the process died before it knew.
    pub outcome: Option<(AuditOutcome, Timestamp)>,
}
