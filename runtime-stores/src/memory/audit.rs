//! The audit log, and the requests that are remembered by their ids.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::audit::{AuditEntry, AuditKind, AuditOutcome, AuditSubject};
use runtime_core::name::{PrincipalName, RequestId};
use runtime_core::store::{
    AuditFilter, AuditLog, AuditPage, Begun, ContentHash, REQUEST_ID_FOR, Remembered, StoreError,
};

use super::MemoryStore;
use super::state::State;
use crate::retention::AUDIT_KINDS;

/// What there is of it.
#[derive(Default)]
pub(super) struct Audit {
    entries: BTreeMap<u64, AuditEntry>,
    last: u64,
    requests: HashMap<(Option<PrincipalName>, RequestId), Request>,
}

/// What a request id stands for.
struct Request {
    content: ContentHash,
    position: u64,
    at: Timestamp,
    answer: Option<Vec<u8>>,
}

impl Request {
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.at)
            >= jiff::SignedDuration::try_from(REQUEST_ID_FOR).unwrap_or(jiff::SignedDuration::MAX)
    }
}

#[async_trait]
impl AuditLog for MemoryStore {
    async fn begin_mutation(&self, subject: AuditSubject, content: ContentHash) -> Result<Begun, StoreError> {
        self.change(|state| state.begin_mutation(subject, content))
    }

    async fn end_mutation(
        &self,
        position: u64,
        outcome: AuditOutcome,
        remembered: Remembered,
    ) -> Result<(), StoreError> {
        self.change(|state| state.end_mutation(position, outcome, remembered))
    }

    async fn write_denial(&self, subject: AuditSubject, outcome: AuditOutcome) -> Result<u64, StoreError> {
        self.change(|state| {
            let ended = Some((outcome, state.now));
            state.write_entry(subject, ended)
        })
    }

    async fn audit_entries(
        &self,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        self.check_batch(limit)?;
        let state = self.look()?;
        let older = state.audit.entries.range(..before.unwrap_or(u64::MAX)).rev().map(|(_, entry)| entry);
        let mut fitting = older.filter(|entry| filter.fits(entry));
        let entries: Vec<AuditEntry> = fitting.by_ref().take(limit).cloned().collect();
        let next = fitting.next().and_then(|_| entries.last()).map(|last| last.position);
        Ok(AuditPage { entries, next })
    }
}

impl State {
    fn begin_mutation(&mut self, subject: AuditSubject, content: ContentHash) -> Begun {
        let now = self.now;
        let Some(request_id) = subject.request_id.clone() else {
            return Begun::Written(self.write_entry(subject, None));
        };
        let key = (subject.principal.clone(), request_id);
        match self.audit.requests.get(&key).filter(|request| !request.is_over(now)) {
            Some(known) if known.content != content => Begun::Conflict,
            Some(Request { answer: Some(answer), .. }) => Begun::Answered(answer.clone()),
            Some(Request { answer: None, .. }) => Begun::Undecided,
            None => {
                let position = self.write_entry(subject, None);
                self.audit.requests.insert(key, Request { content, position, at: now, answer: None });
                Begun::Written(position)
            }
        }
    }

    fn end_mutation(&mut self, position: u64, outcome: AuditOutcome, remembered: Remembered) {
        let now = self.now;
        let Some(entry) = self.audit.entries.get_mut(&position).filter(|entry| entry.outcome.is_none())
        else {
            return;
        };
        entry.outcome = Some((outcome, now));
        let Some(request_id) = entry.subject.request_id.clone() else { return };
        let key = (entry.subject.principal.clone(), request_id);
        let Some(request) = self.audit.requests.get_mut(&key).filter(|request| request.position == position)
        else {
            return;
        };
        match remembered {
            Remembered::Undecided => {}
            Remembered::Answer(answer) => request.answer = Some(answer),
            Remembered::Nothing => drop(self.audit.requests.remove(&key)),
        }
    }

    fn write_entry(&mut self, subject: AuditSubject, outcome: Option<(AuditOutcome, Timestamp)>) -> u64 {
        self.audit.last += 1;
        let position = self.audit.last;
        self.audit.entries.insert(position, AuditEntry { position, at: self.now, subject, outcome });
        position
    }

    /// Forgets what the log and the requests need not keep.
    pub(super) fn trim_audit(&mut self) {
        let now = self.now;
        self.audit.requests.retain(|_, request| !request.is_over(now));
        let (keep_for, at_most) = self.retention.keeps_audit();
        let cutoff = now.as_millisecond().saturating_sub(keep_for);
        self.audit.entries.retain(|_, entry| entry.at.as_millisecond() > cutoff);
        for kind in AUDIT_KINDS {
            let of_kind = self.audit.entries.values().filter(|entry| entry.subject.kind == kind);
            let positions: Vec<u64> = of_kind.map(|entry| entry.position).collect();
            let keep = usize::try_from(at_most).unwrap_or(usize::MAX);
            for position in &positions[..positions.len().saturating_sub(keep)] {
                self.audit.entries.remove(position);
            }
        }
        let mutation = |entry: &&AuditEntry| entry.subject.kind == AuditKind::Mutation;
        if let Some(oldest) = self.audit.entries.values().find(mutation).map(|entry| entry.at) {
            self.audit.requests.retain(|_, request| request.at >= oldest);
        }
    }
}
