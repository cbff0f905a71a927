//! The port of the audit log, and of the requests that are remembered by their ids.

use std::time::Duration;

use async_trait::async_trait;

use super::{ContentHash, Expr, StoreError, TextTest, TimeTest};
use crate::audit::{AuditEntry, AuditKind, AuditOutcome, AuditSubject};
use crate::name::{PrincipalName, RequestId};

/// How long a request id stands for its request: so long, and no longer than the log would keep its mutation by number. So what is
/// remembered is bounded as the log is.
pub const REQUEST_ID_FOR: Duration = Duration::from_hours(24);

/// What became of a mutation that is about to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Its entry is written, at this position: it may be carried out.
    Written(u64),
    /// The request id stands for the same request, which was carried out: this is its answer.
    Answered(Vec<u8>),
    /// The request id stands for another request.
    Conflict,
    /// The request id stands for the same request, of which nobody knows how it ended: it is under way, or its process died, or what it
    /// answered is not kept. Carrying it out again might do it twice.
    Undecided,
}

/// What a request id stands for, once the mutation has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// This answer.
    Answer(Vec<u8>),
    /// Nothing: nothing was done, so it may be asked again.
    Nothing,
    /// Something may have been done, and there is no answer to give again.
    Undecided,
}

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Those of which this holds; all without one.
    pub expr: Option<Expr<AuditTest>>,
}

/// One comparison of an entry's field. What an entry does not have fits none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTest {
    /// Of this kind.
    Kind(AuditKind),
    /// Of this principal.
    Principal(PrincipalName),
    /// Its method.
    Method(TextTest),
    /// The resource it is about.
    Resource(TextTest),
    /// With this request id.
    RequestId(RequestId),
    /// With this canonical code.
    Canonical(String),
    /// When it was written.
    At(TimeTest),
}

impl AuditTest {
    /// Whether an entry fits.
    pub fn fits(&self, entry: &AuditEntry) -> bool {
        let AuditSubject { kind, principal, method, resource, request_id, .. } = &entry.subject;
        match self {
            Self::Kind(wanted) => wanted == kind,
            Self::Principal(wanted) => Some(wanted) == principal.as_ref(),
            Self::Method(text) => text.fits(method),
            Self::Resource(text) => text.fits(resource),
            Self::RequestId(wanted) => Some(wanted) == request_id.as_ref(),
            Self::Canonical(wanted) => {
                entry.outcome.as_ref().is_some_and(|(outcome, _)| outcome.canonical == *wanted)
            }
            Self::At(time) => time.fits(entry.at),
        }
    }
}

impl AuditFilter {
    /// Whether an entry fits.
    pub fn fits(&self, entry: &AuditEntry) -> bool {
        self.expr.as_ref().is_none_or(|expr| expr.holds(&|test| test.fits(entry)))
    }
}

/// One page of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries, newest first: fewer than asked, even none, where few fit among many.
    pub entries: Vec<AuditEntry>,
    /// Before which position the next page begins, when there may be one.
    pub next: Option<u64>,
}

/// The audit log. What was written is never changed but by the outcome of its own mutation, and forgotten by retention alone.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Writes that a mutation is about to be carried out. `content` is what its request id stands for, if it has one; an id stands for the
    /// request of one principal, for [`REQUEST_ID_FOR`]. Nothing is written unless the answer is [`Begun::Written`].
    async fn begin_mutation(&self, subject: AuditSubject, content: ContentHash) -> Result<Begun, StoreError>;

    /// Writes how the mutation at this position ended, and what its request id stands for from now on.
    async fn end_mutation(
        &self,
        position: u64,
        outcome: AuditOutcome,
        remembered: Remembered,
    ) -> Result<(), StoreError>;

    /// Writes a denial, with its outcome.
    async fn write_denial(&self, subject: AuditSubject, outcome: AuditOutcome) -> Result<u64, StoreError>;

    /// Entries that fit, newest first, before this position; at most `limit`, and of as many as a look of this store goes over.
    async fn audit_entries(
        &self,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError>;
}
