//! Denials are written down, each before its answer. Whoever is denied more often than anybody can read is counted instead, and the count
//! goes with its next entry: so a flood of wrong tokens cannot fill the log, nor keep the store from its work.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use runtime_core::audit::{AuditKind, AuditOutcome, AuditSubject};
use runtime_core::name::PrincipalName;
use runtime_core::store::AuditLog;

use super::rates::Rates;
use crate::limits::{AdminLimits, LiveLimits};

/// Peers whose unwritten denials are counted apart; those of all others go together.
const COUNTED_APART: usize = 1_024;

/// Who is denied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Denied {
    /// Somebody unknown, at this address.
    Peer(Option<IpAddr>),
    /// A principal.
    Principal(PrincipalName),
}

/// Writes denials down.
pub(super) struct Denials {
    audit: Arc<dyn AuditLog>,
    limits: LiveLimits,
    each: Rates<Denied>,
    all: Rates<()>,
    unwritten: Mutex<HashMap<Denied, u64>>,
}

impl Denials {
    pub(super) fn new(audit: Arc<dyn AuditLog>, limits: LiveLimits) -> Self {
        Self { audit, limits, each: Rates::default(), all: Rates::default(), unwritten: Mutex::default() }
    }

    /// Writes a denial, or counts it. A denial stays one, whether or not it could be written.
    pub(super) async fn write(
        &self,
        whom: Denied,
        subject: AuditSubject,
        outcome: AuditOutcome,
        now: Timestamp,
    ) {
        let AdminLimits { denials_of_each, denials_of_all, .. } = self.limits.now();
        let may_write = self.each.take(whom.clone(), denials_of_each, now).is_ok()
            && self.all.take((), denials_of_all, now).is_ok();
        if !may_write {
            self.count(whom, 1);
            return;
        }
        let unwritten = self.take_count(&whom);
        let subject = AuditSubject { kind: AuditKind::Denial, unwritten, ..subject };
        if let Err(error) = self.audit.write_denial(subject, outcome).await {
            // This one is told by the next entry too, and so is what it would have told.
            self.count(whom, unwritten + 1);
            tracing::error!(error_code = %error.code(), %error, "a denial could not be written to the audit log");
        }
    }

    fn count(&self, whom: Denied, denials: u64) {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        let apart = unwritten.len() < COUNTED_APART || unwritten.contains_key(&whom);
        *unwritten.entry(if apart { whom } else { Denied::Peer(None) }).or_default() += denials;
    }

    fn take_count(&self, whom: &Denied) -> u64 {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.remove(whom).unwrap_or(0) + unwritten.remove(&Denied::Peer(None)).unwrap_or(0)
    }
}
