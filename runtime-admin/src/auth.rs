//! One layer in front of every service: who calls, whether it may, how often, and what is written down of it.
//!
//! ```text
//! request ─▶ authenticate ─▶ method table ─▶ rate ─▶ target ─▶ audit ─▶ service ─▶ audit ─▶ answer
//!                 └────────────────┴───────────┴───────┴──▶ denial, written before the answer
//! ```
//!
//! A service behind it need not ask whether its caller may: it would not have been called.

mod bootstrap;
mod caller;
mod confined;
mod denials;
mod directory;
mod gate;
mod going_on;
mod layer;
mod methods;
mod mutation;
mod rates;
mod reading;
mod standing;
mod target;
mod understood;

use std::sync::Arc;

use runtime_core::access::TokenHash;
use runtime_core::clock::Clock;
use runtime_core::store::{AuditLog, Principals};

pub(crate) use bootstrap::is_reserved;
pub(crate) use caller::Caller;
pub(crate) use directory::Directory;
pub(crate) use gate::Gate;
pub(crate) use going_on::Whose;
pub(crate) use layer::GateLayer;
pub(crate) use methods::RULES;

pub use bootstrap::{LocalToken, LocalTokenError};
pub use caller::new_token;
pub use methods::{MethodRule, method_rule, method_rules};

/// Who may call, where that is kept, and where it is written down what they did.
#[derive(Clone)]
pub struct Access {
    /// Principals and their tokens.
    pub principals: Arc<dyn Principals>,
    /// What was done, and what was refused.
    pub audit: Arc<dyn AuditLog>,
    /// What tokens expire by.
    pub clock: Arc<dyn Clock>,
    /// Whether callers have to say who they are.
    pub authentication: Authentication,
}

/// Whether callers have to say who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// No: everybody who can connect is the principal `local`, who may do anything. For loopback addresses alone.
    Off,
    /// Yes, by a bearer token or a certificate.
    Required {
        /// The hash of a token that the configuration names. Its bearer is the principal `bootstrap`, who may do anything: so that the first
        /// principals can be made.
        bootstrap: Option<TokenHash>,
    },
}

impl Authentication {
    /// Whether callers have to say who they are.
    pub fn is_required(self) -> bool {
        matches!(self, Self::Required { .. })
    }
}
