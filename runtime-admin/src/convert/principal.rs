//! Principals and tokens.

use std::str::FromStr;

use jiff::Timestamp;
use runtime_core::access::{Grant, Principal, PrincipalKind, Token, TokenId};
use runtime_core::name::PrincipalName;
use runtime_core::store::{Revision, StoredPrincipal};
use runtime_proto::v1;
use tonic::Status;

use super::{named, parsed, timestamp};
use crate::status::{Resource, invalid};

/// Most grants of a principal, and most certificates.
const MOST: usize = 100;
/// Longest certificate in bytes.
const MAX_CERTIFICATE_BYTES: usize = 512;

/// The resource name of a principal.
pub(crate) fn principal_name(principal: &PrincipalName) -> String {
    format!("principals/{principal}")
}

/// The resource name of a token.
pub(crate) fn token_name(id: &TokenId) -> String {
    format!("tokens/{id}")
}

/// A principal and what to call it in errors.
pub(crate) fn principal_from_wire(field: &str, name: &str) -> Result<(PrincipalName, Resource), Status> {
    Ok((named(field, "principals/", name)?, Resource::new("principal", name)))
}

/// A token and what to call it in errors.
pub(crate) fn token_from_wire(name: &str) -> Result<(TokenId, Resource), Status> {
    Ok((named("name", "tokens/", name)?, Resource::new("token", name)))
}

pub(crate) fn principal(stored: &StoredPrincipal) -> v1::Principal {
    let StoredPrincipal { principal, revision } = stored;
    let kind = match principal.kind {
        PrincipalKind::Person => v1::PrincipalKind::Person,
        PrincipalKind::Service => v1::PrincipalKind::Service,
    };
    v1::Principal {
        name: principal_name(&principal.name),
        kind: kind.into(),
        grants: principal.grants.iter().map(ToString::to_string).collect(),
        read_payloads: principal.read_payloads,
        certificates: principal.certificates.clone(),
        disabled: principal.disabled,
        created_at: Some(timestamp(principal.created_at)),
        etag: revision.0.to_string(),
    }
}

/// What a principal is to be.
pub(crate) fn new_principal(
    name: PrincipalName,
    wire: &v1::Principal,
    created_at: Timestamp,
) -> Result<Principal, Status> {
    let kind = match wire.kind() {
        v1::PrincipalKind::Service => PrincipalKind::Service,
        v1::PrincipalKind::Person | v1::PrincipalKind::Unspecified => PrincipalKind::Person,
    };
    if wire.grants.len() > MOST || wire.certificates.len() > MOST {
        return Err(invalid("principal", format!("at most {MOST} grants and {MOST} certificates")));
    }
    let grants: Result<Vec<Grant>, Status> =
        wire.grants.iter().map(|grant| parsed("principal.grants", grant)).collect();
    let is_certificate = |text: &String| (1..=MAX_CERTIFICATE_BYTES).contains(&text.len());
    if !wire.certificates.iter().all(is_certificate) {
        let what = format!("each has 1 to {MAX_CERTIFICATE_BYTES} bytes");
        return Err(invalid("principal.certificates", what));
    }
    Ok(Principal {
        name,
        kind,
        grants: grants?,
        read_payloads: wire.read_payloads,
        certificates: wire.certificates.clone(),
        disabled: wire.disabled,
        created_at,
    })
}

/// The revision that an etag stands for; `None` when it is empty.
pub(crate) fn principal_revision(field: &str, etag: &str) -> Result<Option<Revision>, Status> {
    let number =
        |text: &str| u64::from_str(text).map(Revision).map_err(|_| invalid(field, "is none of a principal"));
    Some(etag).filter(|etag| !etag.is_empty()).map(number).transpose()
}

pub(crate) fn token(token: &Token) -> v1::Token {
    v1::Token {
        name: token_name(&token.id),
        principal: principal_name(&token.principal),
        label: token.name.to_string(),
        created_at: Some(timestamp(token.created_at)),
        expires_at: token.expires_at.map(timestamp),
        revoked_at: token.revoked_at.map(timestamp),
        etag: token.etag().to_string(),
    }
}
