//! Changes nodes for operators: by path, with what is wanted stored before it is done.

use std::num::NonZeroUsize;
use std::sync::Arc;

use runtime_core::control::{CommandError, NodeCommand, Origin, Reply};
use runtime_core::error::ErrorCode;
use runtime_core::name::WorkerName;
use runtime_core::node::{DesiredState, NodeKind, NodePath, NodeState, NodeView};
use runtime_core::supervision::ChildId;

use crate::node::ControlMsg;
use crate::platform::Platform;
use crate::supervisor::SupervisorMsg;
use crate::table::{NodeAddress, NodeEntry};

/// Steers nodes of one tree.
#[derive(Clone)]
pub struct SteeringService {
    platform: Arc<Platform>,
}

impl SteeringService {
    /// A service over this tree.
    pub fn new(platform: Arc<Platform>) -> Self {
        Self { platform }
    }

    /// Carries out a command; the view is taken when it has happened.
    ///
    /// # Errors
    /// No such node; a platform node that operators may only restart; a node that did not come to the wanted state.
    pub async fn steer(
        &self,
        path: &NodePath,
        command: NodeCommand,
        origin: &Origin,
    ) -> Result<NodeView, CommandError> {
        let entry = self.entry(path)?;
        if !is_steerable(&entry) && command != NodeCommand::Restart {
            let text = format!("{path} is a node of the platform: it can be restarted, nothing else");
            return Err(CommandError::precondition(text));
        }
        let _behalf = Behalf::of(self.platform.table.under(path), origin, command);
        match command {
            NodeCommand::Start => {
                self.want(path, DesiredState::Running).await?;
                self.supervise(path, SupervisorMsg::StartChild).await?;
                // It may have been there all along, paused.
                if entry.state() == NodeState::Paused {
                    control(&entry, ControlMsg::Resume).await?;
                }
            }
            NodeCommand::Stop => {
                self.want(path, DesiredState::Stopped).await?;
                self.supervise(path, SupervisorMsg::StopChild).await?;
            }
            NodeCommand::Restart => {
                if entry.desired() == DesiredState::Stopped {
                    self.want(path, DesiredState::Running).await?;
                }
                self.supervise(path, SupervisorMsg::RestartChild).await?;
            }
            NodeCommand::Pause => {
                let leaves = self.wanted_below(path)?;
                self.want_all(&leaves, DesiredState::Paused).await?;
                self.each(leaves, ControlMsg::Pause).await?;
            }
            NodeCommand::Resume => {
                let leaves = self.wanted_below(path)?;
                self.want_all(&leaves, DesiredState::Running).await?;
                self.each(leaves, ControlMsg::Resume).await?;
            }
            NodeCommand::Drain => {
                self.want(path, DesiredState::Stopped).await?;
                // Those started last first: sources end before the workers that they feed.
                let leaves = self.leaves(path).into_iter().rev().collect();
                self.each(leaves, ControlMsg::Drain).await?;
                self.supervise(path, SupervisorMsg::StopChild).await?;
            }
            NodeCommand::Resize { slots } => self.resize(&entry, slots).await?,
            NodeCommand::AsConfigured => self.as_configured(&entry).await?,
        }
        tracing::info!(node = %path, command = ?command, "node changed by an operator");
        let (reply, view) = Reply::channel();
        // A node that is up answers for itself, after everything it was told before; of one that is not, the table knows.
        if entry.control(ControlMsg::Snapshot(reply)) { answered(view.await) } else { Ok(entry.view()) }
    }

    /// For this process alone, and not stored: workers take nothing by themselves, nothing comes in from outside, no schedule fires, no
    /// operation goes on.
    pub(crate) fn hush(&self) {
        for entry in self.platform.table.under(&NodePath::root()) {
            match entry.kind() {
                NodeKind::Executor | NodeKind::Source | NodeKind::Schedules | NodeKind::Operations => {
                    entry.set_desired(DesiredState::Paused);
                }
                NodeKind::Endpoint => entry.set_desired(DesiredState::Stopped),
                _ => {}
            }
        }
    }

    /// Takes over what was wanted when the process ended.
    ///
    /// # Errors
    /// What the store said.
    pub async fn restore(&self) -> Result<(), CommandError> {
        for (path, desired) in self.platform.store.desired().await? {
            match self.platform.table.get(&path) {
                Some(entry) => entry.set_desired(desired),
                None => {
                    tracing::warn!(node = %path, desired = desired.as_str(), "a desired state for a node that is no longer registered")
                }
            }
        }
        for resized in self.platform.store.resized().await? {
            match self.platform.table.get(&resized.path) {
                Some(entry) => entry.choose_slots(Some(resized.slots)),
                None => {
                    tracing::warn!(node = %resized.path, slots = resized.slots, "slots for a node that is no longer registered")
                }
            }
        }
        Ok(())
    }

    fn entry(&self, path: &NodePath) -> Result<Arc<NodeEntry>, CommandError> {
        self.platform.table.get(path).ok_or_else(|| CommandError::not_found(format!("no node {path}")))
    }

    async fn want(&self, path: &NodePath, desired: DesiredState) -> Result<(), CommandError> {
        self.platform.store.set_desired(path.clone(), desired).await?;
        self.entry(path)?.set_desired(desired);
        Ok(())
    }

    /// The number is stored, so that it holds in the next process too; not when the node will not have it.
    async fn resize(&self, entry: &Arc<NodeEntry>, slots: NonZeroUsize) -> Result<(), CommandError> {
        if entry.kind() != NodeKind::Executor {
            return Err(CommandError::precondition(format!("{} has no slots", entry.path())));
        }
        let before = entry.chosen_slots();
        self.choose_slots(entry, Some(slots)).await?;
        let resized = control(entry, |reply| ControlMsg::Resize(slots.get(), reply)).await;
        if resized.is_err() {
            self.choose_slots(entry, before).await?;
        }
        resized
    }

    /// Takes back everything that was wanted of this node, and of it alone.
    async fn as_configured(&self, entry: &Arc<NodeEntry>) -> Result<(), CommandError> {
        let path = entry.path();
        self.choose_slots(entry, None).await?;
        if entry.desired() != DesiredState::Running {
            self.want(path, DesiredState::Running).await?;
            self.supervise(path, SupervisorMsg::StartChild).await?;
        }
        if matches!(entry.state(), NodeState::Paused | NodeState::Draining) {
            control(entry, ControlMsg::Resume).await?;
        }
        let configured =
            WorkerName::new(path.name()).ok().and_then(|name| self.platform.templates.get(&name));
        match configured.filter(|_| entry.kind() == NodeKind::Executor) {
            Some(worker) => control(entry, |reply| ControlMsg::Resize(worker.slots.get(), reply)).await,
            None => Ok(()),
        }
    }

    async fn choose_slots(
        &self,
        entry: &Arc<NodeEntry>,
        slots: Option<NonZeroUsize>,
    ) -> Result<(), CommandError> {
        if entry.chosen_slots() != slots {
            self.platform.store.set_slots(entry.path().clone(), slots).await?;
            entry.choose_slots(slots);
        }
        Ok(())
    }

    async fn want_all(&self, entries: &[Arc<NodeEntry>], desired: DesiredState) -> Result<(), CommandError> {
        for entry in entries {
            self.want(entry.path(), desired).await?;
        }
        Ok(())
    }

    /// The nodes at and under a path that do the work: supervisors only hold them.
    fn leaves(&self, path: &NodePath) -> Vec<Arc<NodeEntry>> {
        let mut entries = self.platform.table.under(path);
        entries.retain(|entry| entry.kind() != NodeKind::Supervisor);
        entries
    }

    /// The same, without those that an operator stopped: they stay so when all around them is paused or resumed. A drain can be called
    /// off.
    fn wanted_below(&self, path: &NodePath) -> Result<Vec<Arc<NodeEntry>>, CommandError> {
        let mut leaves = self.leaves(path);
        leaves
            .retain(|entry| entry.desired() != DesiredState::Stopped || entry.state() == NodeState::Draining);
        if leaves.is_empty() {
            return Err(CommandError::precondition(format!("{path} is stopped: start it first")));
        }
        Ok(leaves)
    }

    /// Sends one message of the control facet to each of these that is up, one after the other. One that is not up comes up as is
    /// wanted.
    async fn each(
        &self,
        entries: Vec<Arc<NodeEntry>>,
        make: fn(Reply<()>) -> ControlMsg,
    ) -> Result<(), CommandError> {
        for entry in entries {
            let (reply, answer) = Reply::channel();
            if entry.control(make(reply)) {
                answered(answer.await)?;
            }
        }
        Ok(())
    }

    /// Asks the node's supervisor.
    async fn supervise(
        &self,
        path: &NodePath,
        make: fn(ChildId, Reply<()>) -> SupervisorMsg,
    ) -> Result<(), CommandError> {
        let Some(parent) = path.parent() else {
            return Err(CommandError::precondition("the root is restarted by restarting the process"));
        };
        let supervisor = NodeAddress::<SupervisorMsg>::of(self.entry(&parent)?);
        let (reply, answer) = Reply::channel();
        supervisor
            .send(make(ChildId::from(path.name()), reply))
            .map_err(|_| CommandError::precondition(format!("{parent} is not running: start it first")))?;
        answered(answer.await)
    }
}

/// Nodes that change on somebody's behalf, until the change has happened.
struct Behalf<'a> {
    nodes: Vec<Arc<NodeEntry>>,
    origin: &'a Origin,
}

impl<'a> Behalf<'a> {
    fn of(nodes: Vec<Arc<NodeEntry>>, origin: &'a Origin, command: NodeCommand) -> Self {
        nodes.iter().for_each(|node| node.begin_behalf(origin, command.as_str()));
        Self { nodes, origin }
    }
}

impl Drop for Behalf<'_> {
    fn drop(&mut self) {
        self.nodes.iter().for_each(|node| node.end_behalf(self.origin));
    }
}

/// Under `/engine/apps` everything, elsewhere the schedules, the operations and the health reporters.
fn is_steerable(entry: &NodeEntry) -> bool {
    let apps = NodePath::root().child("engine").child("apps");
    (entry.path().is_within(&apps) && *entry.path() != apps)
        || matches!(entry.kind(), NodeKind::Health | NodeKind::Schedules | NodeKind::Operations)
}

async fn control(entry: &NodeEntry, make: impl FnOnce(Reply<()>) -> ControlMsg) -> Result<(), CommandError> {
    let (reply, answer) = Reply::channel();
    if !entry.control(make(reply)) {
        return Err(CommandError::precondition(format!("{} is {}", entry.path(), entry.state().as_str())));
    }
    answered(answer.await)
}

fn answered<T>(
    answer: Result<Result<T, CommandError>, tokio::sync::oneshot::error::RecvError>,
) -> Result<T, CommandError> {
    answer
        .unwrap_or_else(|_| Err(CommandError::new(ErrorCode::NoAnswer, "the node broke before it answered")))
}
