//! People and services, and what they may do.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::grant::{Grant, Role, Target, allow};
use crate::name::PrincipalName;

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// Somebody.
    Person,
    /// A program.
    Service,
}

/// Somebody, or a program, that may call the admin API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Its name: in the audit log, in its tokens, in `principals/{principal}`.
    pub name: PrincipalName,
    /// What it is.
    pub kind: PrincipalKind,
    /// What it may do. Without one it may do nothing.
    pub grants: Vec<Grant>,
    /// Whether it may read payloads of tasks that it may look at. No role has this by itself.
    pub read_payloads: bool,
    /// Certificates by which it is known: the subject or a name of a client's certificate, as the listener writes them (`CN=deploy`,
    /// `dns:deploy.example`).
    pub certificates: Vec<String>,
    /// Nobody is let in by this name, until it is enabled again.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Principal {
    /// A principal that may do anything, payloads included.
    pub fn almighty(name: PrincipalName, kind: PrincipalKind, now: Timestamp) -> Self {
        let grants = vec![Grant::whole(Role::Admin)];
        Self {
            name,
            kind,
            grants,
            read_payloads: true,
            certificates: Vec::new(),
            disabled: false,
            created_at: now,
        }
    }

    /// Whether it may do what needs `role` to `target`.
    pub fn may(&self, role: Role, target: &Target) -> bool {
        !self.disabled && allow(&self.grants, role, target)
    }
}
