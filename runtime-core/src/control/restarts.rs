//! The latest restarts of a tree: which node, from which run to which, when and why.

use std::time::Duration;

use jiff::Timestamp;

use crate::node::NodePath;

/// Why a node was begun again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestartCause {
    /// It broke: what it said.
    Fault(String),
    /// It is a supervisor that gave up: what broke first under it.
    Escalation(String),
    /// An operator restarted it, or started it again.
    Operator,
    /// With its supervisor, or with a sibling that it needs.
    Together,
}

/// A node that was begun again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// Its place among all restarts of this process, from 1.
    pub number: u64,
    /// The node.
    pub path: NodePath,
    /// Its run before.
    pub before: u64,
    /// Its run from then on.
    pub after: u64,
    /// When it was begun again.
    pub at: Timestamp,
    /// Why.
    pub cause: RestartCause,
    /// How long it had to wait for that.
    pub backoff: Option<Duration>,
}

/// Some of the restarts that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestartPage {
    /// They, newest first.
    pub restarts: Vec<Restart>,
    /// Whether there are older ones that fit.
    pub more: bool,
    /// Restarts of the whole tree that are no longer kept, the oldest ones.
    pub forgotten: u64,
}
