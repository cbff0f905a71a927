//! What runs in another way than the configuration says, because an operator wanted it so: stored apart, shown apart, and taken back by
//! name.

use std::fmt;

use jiff::Timestamp;

use super::Reply;
use crate::etag::Terms;
use crate::name::{QueueName, ScheduleName};
use crate::node::NodePath;

/// What an override is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OverrideSubject {
    /// A node: whether it runs, and with how many slots.
    Node(NodePath),
    /// A queue: its limits, and its paused scopes.
    Queue(QueueName),
    /// A schedule: whether it makes anything.
    Schedule(ScheduleName),
}

impl fmt::Display for OverrideSubject {
    /// The resource name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(path) => write!(f, "nodes{path}"),
            Self::Queue(queue) => write!(f, "queues/{queue}"),
            Self::Schedule(schedule) => write!(f, "schedules/{schedule}"),
        }
    }
}

/// One override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// What it is about.
    pub subject: OverrideSubject,
    /// What is said, in words: `paused`, `slots = 16`.
    pub says: String,
    /// Why, when somebody said so.
    pub reason: String,
    /// By whom, when that is kept.
    pub by: String,
    /// Since when, when that is kept.
    pub since: Option<Timestamp>,
}

/// A command about overrides.
#[derive(Debug)]
pub enum OverrideCommand {
    /// All of them, by subject.
    List {
        /// The answer.
        reply: Reply<Vec<Override>>,
    },
    /// Everything that is said of this is said no more: what is configured holds again.
    Clear {
        /// Of what.
        subject: OverrideSubject,
        /// On which terms: as of the node, the queue or the schedule.
        terms: Terms,
        /// What was taken back, or would be.
        reply: Reply<Vec<Override>>,
    },
}
