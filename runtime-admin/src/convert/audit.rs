//! Entries of the audit log.

use runtime_core::audit::{AuditEntry, AuditKind, AuditSubject};
use runtime_proto::v1;

use super::{principal_name, timestamp, token_name};

pub(crate) fn audit_entry(entry: &AuditEntry) -> v1::AuditEntry {
    let AuditSubject { kind, principal, token, method, resource, reason, request_id, .. } = &entry.subject;
    let kind = match kind {
        AuditKind::Mutation => v1::AuditKind::Mutation,
        AuditKind::Denial => v1::AuditKind::Denial,
    };
    let ended = entry.outcome.as_ref();
    v1::AuditEntry {
        name: format!("audit/{}", entry.position),
        at: Some(timestamp(entry.at)),
        kind: kind.into(),
        principal: principal.as_ref().map(principal_name).unwrap_or_default(),
        token: token.as_ref().map(token_name).unwrap_or_default(),
        method: method.clone(),
        resource: resource.clone(),
        reason: reason.clone(),
        request_id: request_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        peer: entry.subject.peer.clone(),
        trace_id: entry.subject.trace_id.clone().unwrap_or_default(),
        unwritten: entry.subject.unwritten,
        outcome: ended.map(|(outcome, _)| outcome.canonical.clone()).unwrap_or_default(),
        error_code: ended
            .and_then(|(outcome, _)| outcome.error)
            .map(|code| code.to_string())
            .unwrap_or_default(),
        ended_at: ended.map(|(_, at)| timestamp(*at)),
    }
}
