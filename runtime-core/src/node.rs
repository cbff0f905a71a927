//! Nodes of the tree as the rest of the platform sees them: path, state, view. The actors behind them are elsewhere.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::etag::Etag;

/// A node's address: `/engine/apps/shop/workers/settle`. `/` is the root.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct NodePath(Arc<str>);

impl NodePath {
    /// The registry.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The path of a child with this name.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.is_root() {
            Self(format!("/{name}").into())
        } else {
            Self(format!("{}/{name}", self.0).into())
        }
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or("")
    }

    /// The node above; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (above, _) = self.0.rsplit_once('/')?;
        if self.is_root() {
            None
        } else {
            Some(if above.is_empty() { Self::root() } else { Self(above.into()) })
        }
    }

    /// Whether this is `other` or lies under it.
    pub fn is_within(&self, other: &Self) -> bool {
        other.is_root()
            || self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Number of segments.
    pub fn depth(&self) -> usize {
        if self.is_root() { 0 } else { self.0.matches('/').count() }
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no node path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a node path: it starts with '/' and its segments are names")]
pub struct InvalidNodePath(String);

impl FromStr for NodePath {
    type Err = InvalidNodePath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let segment = |s: &str| {
            !s.is_empty()
                && s.len() <= 64
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let valid = text == "/"
            || (text.len() <= 512 && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment)));
        if valid { Ok(Self(text.into())) } else { Err(InvalidNodePath(text.chars().take(80).collect())) }
    }
}

impl<'de> Deserialize<'de> for NodePath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Starts, stops and restarts its children.
    Supervisor,
    /// Owns the back end.
    Store,
    /// The only writer of outcomes.
    Completion,
    /// Serves worker descriptors.
    Templates,
    /// Relays facts.
    Events,
    /// Runs one worker's attempts.
    Executor,
    /// Brings tasks in from outside.
    Source,
    /// Takes requests from outside and makes tasks of them.
    Endpoint,
    /// Reports on the health of one thing.
    Health,
    /// Answers what the tree looks like.
    Status,
    /// Makes tasks at their times.
    Schedules,
    /// Changes many tasks at once, in batches.
    Operations,
    /// The one door for commands.
    Commands,
    /// Serves the admin API.
    Admin,
}

impl NodeKind {
    /// The name used in the API and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Store => "store",
            Self::Completion => "completion",
            Self::Templates => "templates",
            Self::Events => "events",
            Self::Executor => "executor",
            Self::Source => "source",
            Self::Endpoint => "endpoint",
            Self::Health => "health",
            Self::Status => "status",
            Self::Schedules => "schedules",
            Self::Operations => "operations",
            Self::Commands => "commands",
            Self::Admin => "admin",
        }
    }
}

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Known, never started.
    Waiting,
    /// Its init is under way.
    Starting,
    /// At work.
    Running,
    /// Takes no new work, answers.
    Paused,
    /// Finishes what it has, then stops.
    Draining,
    /// Its stop is under way.
    Stopping,
    /// Not there, on purpose.
    Stopped,
    /// Broke, and waits for its restart.
    BackingOff,
    /// Did not end when killed.
    Abandoned,
}

impl NodeState {
    /// All states, by number.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Starting,
        Self::Running,
        Self::Paused,
        Self::Draining,
        Self::Stopping,
        Self::Stopped,
        Self::BackingOff,
        Self::Abandoned,
    ];

    /// The name used in the API and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::BackingOff => "backing_off",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What an operator wants of a node. Stored; survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesiredState {
    /// At work.
    #[default]
    Running,
    /// There, taking no new work.
    Paused,
    /// Not there.
    Stopped,
}

impl DesiredState {
    /// The name used in the API and in stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl FromStr for DesiredState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Running, Self::Paused, Self::Stopped]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("unknown desired state {text:?}"))
    }
}

/// How well a node does, derived from the tree and from progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "level", content = "reason")]
pub enum Health {
    /// All is well.
    Healthy,
    /// It works, but somebody should look.
    Degraded(String),
    /// It does not do its work.
    Unhealthy(String),
}

impl Health {
    /// The name of the level used in events and dumps.
    pub fn level(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded(_) => "degraded",
            Self::Unhealthy(_) => "unhealthy",
        }
    }

    /// What is said of it; nothing while all is well.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Healthy => None,
            Self::Degraded(reason) | Self::Unhealthy(reason) => Some(reason),
        }
    }
}

/// A node, as read from the node table without asking it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Its address.
    pub path: NodePath,
    /// What it is.
    pub kind: NodeKind,
    /// What it does.
    pub state: NodeState,
    /// What an operator wants of it.
    pub desired: DesiredState,
    /// How often it was started.
    pub incarnation: u64,
    /// Restarts by its supervisor.
    pub restarts: u64,
    /// Messages handled, or attempts settled, since the start of the process.
    pub handled: u64,
    /// Of these, the ones that failed.
    pub errors: u64,
    /// Since when it handles its present message; absent when idle.
    pub busy_since: Option<Timestamp>,
    /// Work that waits in it: leased tasks not yet started.
    pub queued: u64,
    /// Its own messages that wait in its mailbox.
    pub mailbox: u64,
    /// Slots in use and in all, for a worker.
    pub slots: Option<(u64, u64)>,
    /// Attempts that run on past their timeout without yielding.
    pub stuck: u64,
    /// Its latest fault.
    pub last_fault: Option<String>,
    /// When its state last changed.
    pub since: Timestamp,
    /// How well it does.
    pub health: Health,
    /// What operators want of it and of all under it, for whoever wants something else.
    pub etag: Etag,
    /// What is to hold of it, in the order of [`ConditionKind::ALL`].
    pub conditions: [Condition; 3],
}

/// What is to hold of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionKind {
    /// It is at work.
    Ready,
    /// All is well with it.
    Healthy,
    /// It is what operators want it to be.
    AsWanted,
}

impl ConditionKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Healthy, Self::AsWanted];

    /// Whether it holds of a node that stands so.
    pub fn holds(self, state: NodeState, desired: DesiredState, health: &Health) -> bool {
        match self {
            Self::Ready => state == NodeState::Running,
            Self::Healthy => *health == Health::Healthy,
            Self::AsWanted => match desired {
                DesiredState::Running => state == NodeState::Running,
                DesiredState::Paused => state == NodeState::Paused,
                DesiredState::Stopped => state == NodeState::Stopped,
            },
        }
    }
}

/// Whether something holds of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// What.
    pub kind: ConditionKind,
    /// Whether it does.
    pub holds: bool,
    /// Since when it does, or does not.
    pub since: Timestamp,
}

impl Condition {
    /// The conditions of a node that stands so from this moment on.
    pub fn from_now_on(
        state: NodeState,
        desired: DesiredState,
        health: &Health,
        now: Timestamp,
    ) -> [Self; 3] {
        ConditionKind::ALL.map(|kind| Self { kind, holds: kind.holds(state, desired, health), since: now })
    }

    /// The node stands so by now: what holds as it did stays as it was.
    pub fn look_again(&mut self, state: NodeState, desired: DesiredState, health: &Health, now: Timestamp) {
        let holds = self.kind.holds(state, desired, health);
        if holds != self.holds {
            (self.holds, self.since) = (holds, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_moment_until_it_turns() {
        use {DesiredState as Wanted, NodeState as State};
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let well = Health::Healthy;
        let mut all = Condition::from_now_on(State::Waiting, Wanted::Running, &well, at(1));
        let mut see = |state, wanted, health: &Health, secs| {
            all.iter_mut().for_each(|condition| condition.look_again(state, wanted, health, at(secs)));
            all.map(|condition| (condition.holds, condition.since.as_second()))
        };
        assert_eq!(see(State::Starting, Wanted::Running, &well, 2), [(false, 1), (true, 1), (false, 1)]);
        assert_eq!(see(State::Running, Wanted::Running, &well, 3), [(true, 3), (true, 1), (true, 3)]);
        let slow = Health::Degraded("slow".into());
        assert_eq!(see(State::Running, Wanted::Running, &slow, 4), [(true, 3), (false, 4), (true, 3)]);
        let worse = Health::Unhealthy("gone".into());
        assert_eq!(see(State::Running, Wanted::Paused, &worse, 5), [(true, 3), (false, 4), (false, 5)]);
        assert_eq!(see(State::Paused, Wanted::Paused, &well, 6), [(false, 6), (true, 6), (true, 6)]);
        assert_eq!(see(State::Stopped, Wanted::Stopped, &well, 7), [(false, 6), (true, 6), (true, 6)]);
    }

    #[test]
    fn paths_know_their_family() {
        let root = NodePath::root();
        let app = root.child("engine").child("apps").child("shop");
        assert_eq!(app.as_str(), "/engine/apps/shop");
        assert_eq!((app.name(), app.depth()), ("shop", 3));
        assert_eq!(app.parent().unwrap().as_str(), "/engine/apps");
        assert_eq!(root.child("engine").parent(), Some(root.clone()));
        assert_eq!(root.parent(), None);
        let apps: NodePath = "/engine/apps".parse().unwrap();
        assert!(app.is_within(&apps) && app.is_within(&root) && app.is_within(&app) && !apps.is_within(&app));
        assert!(!NodePath::from_str("/engine/apps-2").unwrap().is_within(&apps));
        for bad in ["", "engine", "/a//b", "/a/", "/ü", "/a b"] {
            assert!(bad.parse::<NodePath>().is_err(), "{bad:?}");
        }
    }
}
