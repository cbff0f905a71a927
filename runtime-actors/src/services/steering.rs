//! Changes nodes for operators: by path, with what is wanted stored before it is done.

use std::num::NonZeroUsize;
use std::sync::Arc;

use runtime_core::control::{CommandError, NodeCommand, Origin, Reply};
use runtime_core::error::ErrorCode;
use runtime_core::etag::{Etag, Terms};
use runtime_core::name::WorkerName;
use runtime_core::node::{DesiredState, NodeKind, NodePath, NodeState, NodeView};
use runtime_core::supervision::ChildId;

use crate::node::ControlMsg;
use crate::platform::Platform;
use crate::services::wishes::Turn;
use crate::supervisor::SupervisorMsg;
use crate::table::{NodeAddress, NodeEntry, takes_work};

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

    /// Carries out a command; the view is taken when it has happened, and its etag is that of this change.
    ///
    /// # Errors
    /// No such node; a platform node that operators may only restart; a node of which something else is wanted than was read; one that did
    /// not come to the wanted state.
    pub async fn steer(
        &self,
        path: &NodePath,
        command: NodeCommand,
        terms: &Terms,
        origin: &Origin,
    ) -> Result<NodeView, CommandError> {
        let turn = self.platform.wishes.turn().await;
        if terms.validate_only {
            return self.would_be(path, command, terms);
        }
        let change = self.begin(&turn, path, command, terms, origin).await?;
        drop(turn);
        self.end(change).await
    }

    /// Whether a node may be changed like this.
    fn may(
        &self,
        path: &NodePath,
        command: NodeCommand,
        terms: &Terms,
    ) -> Result<Arc<NodeEntry>, CommandError> {
        let entry = self.entry(path)?;
        if !is_steerable(&entry) && command != NodeCommand::Restart {
            let text = format!("{path} is a node of the platform: it can be restarted, nothing else");
            return Err(CommandError::precondition(text));
        }
        if matches!(command, NodeCommand::Resize { .. }) && entry.kind() != NodeKind::Executor {
            return Err(CommandError::precondition(format!("{path} has no slots")));
        }
        if !terms.fit(&entry.etag()) {
            let text = format!("of {path} something else is wanted than was read: read it again");
            return Err(CommandError::changed(text));
        }
        Ok(entry)
    }

    /// The node as it would be wanted.
    fn would_be(
        &self,
        path: &NodePath,
        command: NodeCommand,
        terms: &Terms,
    ) -> Result<NodeView, CommandError> {
        let mut view = self.may(path, command, terms)?.view();
        match command {
            NodeCommand::Start | NodeCommand::AsConfigured => view.desired = DesiredState::Running,
            NodeCommand::Stop | NodeCommand::Drain => view.desired = DesiredState::Stopped,
            NodeCommand::Pause | NodeCommand::Resume => {
                self.wanted_below(path)?;
                let leaf = view.kind != NodeKind::Supervisor;
                let paused = command == NodeCommand::Pause;
                let wanted = if paused { DesiredState::Paused } else { DesiredState::Running };
                view.desired = if leaf { wanted } else { view.desired };
            }
            NodeCommand::Restart => {}
            NodeCommand::Resize { slots } => {
                let busy = view.slots.map_or(0, |(busy, _)| busy);
                view.slots = Some((busy, u64::try_from(slots.get()).unwrap_or(u64::MAX)));
            }
        }
        Ok(view)
    }

    /// Writes what is wanted from now on, and tells those concerned.
    pub(crate) async fn begin(
        &self,
        _turn: &Turn<'_>,
        path: &NodePath,
        command: NodeCommand,
        terms: &Terms,
        origin: &Origin,
    ) -> Result<Change, CommandError> {
        let entry = self.may(path, command, terms)?;
        let behalf = Behalf::of(self.platform.table.under(path), origin, command);
        let leaves = match command {
            NodeCommand::Pause | NodeCommand::Resume => self.wanted_below(path)?,
            _ => Vec::new(),
        };
        self.platform.table.note_wish(leaves.iter().map(|leaf| leaf.path()).chain([path]));
        let etag = entry.etag();
        let told = match command {
            NodeCommand::Start => {
                self.want(path, DesiredState::Running).await?;
                vec![self.supervise(path, SupervisorMsg::StartChild)?]
            }
            NodeCommand::Stop => {
                self.want(path, DesiredState::Stopped).await?;
                vec![self.supervise(path, SupervisorMsg::StopChild)?]
            }
            NodeCommand::Restart => {
                if entry.desired() == DesiredState::Stopped {
                    self.want(path, DesiredState::Running).await?;
                }
                vec![self.supervise(path, SupervisorMsg::RestartChild)?]
            }
            NodeCommand::Pause => {
                self.want_all(&leaves, DesiredState::Paused).await?;
                tell(&leaves, ControlMsg::Pause)
            }
            NodeCommand::Resume => {
                self.want_all(&leaves, DesiredState::Running).await?;
                tell(&leaves, ControlMsg::Resume)
            }
            NodeCommand::Drain => {
                self.want(path, DesiredState::Stopped).await?;
                Vec::new()
            }
            NodeCommand::Resize { slots } => {
                self.resize(&entry, slots).await?;
                Vec::new()
            }
            NodeCommand::AsConfigured => {
                self.as_configured(&entry).await?;
                Vec::new()
            }
        };
        Ok(Change { entry, command, etag, told, _behalf: behalf })
    }

    /// Waits until it has happened; the view is taken then.
    async fn end(&self, mut change: Change) -> Result<NodeView, CommandError> {
        self.happened(&mut change).await?;
        let (reply, view) = Reply::channel();
        // A node that is up answers for itself, after everything it was told before; of one that is not, the table knows.
        let up = change.entry.control(ControlMsg::Snapshot(reply));
        let view = if up { answered(view.await)? } else { change.entry.view() };
        Ok(NodeView { etag: change.etag, ..view })
    }

    /// Waits until it has happened.
    pub(crate) async fn happened(&self, change: &mut Change) -> Result<(), CommandError> {
        for answer in change.told.drain(..) {
            answered(answer.await)?;
        }
        let (entry, command) = (&change.entry, change.command);
        match command {
            // It may have been there all along, paused.
            NodeCommand::Start if entry.state() == NodeState::Paused => {
                control(entry, ControlMsg::Obey).await?;
            }
            NodeCommand::Drain => self.drain(entry).await?,
            _ => {}
        }
        tracing::info!(node = %entry.path(), command = ?command, "node changed by an operator");
        Ok(())
    }

    /// Has all under a node finish what they have, and stops it; unless it is wanted back meanwhile.
    async fn drain(&self, entry: &Arc<NodeEntry>) -> Result<(), CommandError> {
        let path = entry.path();
        // Those started last first: sources end before the workers that they feed.
        for leaf in self.leaves(path).into_iter().rev() {
            for answer in tell(&[leaf], ControlMsg::Drain) {
                answered(answer.await)?;
            }
        }
        let turn = self.platform.wishes.turn().await;
        if entry.desired() != DesiredState::Stopped {
            return Err(CommandError::precondition(format!("{path} was wanted back meanwhile")));
        }
        let stopped = self.supervise(path, SupervisorMsg::StopChild)?;
        drop(turn);
        answered(stopped.await)
    }

    /// For this process alone, and not stored: workers take nothing by themselves, nothing comes in from outside, no schedule fires, no
    /// operation goes on.
    pub(crate) fn hush(&self) {
        for entry in self.platform.table.under(&NodePath::root()) {
            match entry.kind() {
                NodeKind::Endpoint => entry.set_desired(DesiredState::Stopped),
                kind if takes_work(kind) => entry.set_desired(DesiredState::Paused),
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
        let entry = self.entry(path)?;
        self.want_all(&[entry], desired).await
    }

    /// The number is stored, so that it holds in the next process too; not when the node will not have it.
    async fn resize(&self, entry: &Arc<NodeEntry>, slots: NonZeroUsize) -> Result<(), CommandError> {
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
            answered(self.supervise(path, SupervisorMsg::StartChild)?.await)?;
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
        let paths = entries.iter().map(|entry| entry.path().clone()).collect();
        self.platform.store.set_desired(paths, desired).await?;
        entries.iter().for_each(|entry| entry.set_desired(desired));
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

    /// Asks the node's supervisor.
    fn supervise(
        &self,
        path: &NodePath,
        make: fn(ChildId, Reply<()>) -> SupervisorMsg,
    ) -> Result<Answer, CommandError> {
        let Some(parent) = path.parent() else {
            return Err(CommandError::precondition("the root is restarted by restarting the process"));
        };
        let supervisor = NodeAddress::<SupervisorMsg>::of(self.entry(&parent)?);
        let (reply, answer) = Reply::channel();
        supervisor
            .send(make(ChildId::from(path.name()), reply))
            .map_err(|_| CommandError::precondition(format!("{parent} is not running: start it first")))?;
        Ok(answer)
    }
}

/// Nodes that change on somebody's behalf, until the change has happened.
struct Behalf {
    nodes: Vec<Arc<NodeEntry>>,
    origin: Origin,
}

impl Behalf {
    fn of(nodes: Vec<Arc<NodeEntry>>, origin: &Origin, command: NodeCommand) -> Self {
        nodes.iter().for_each(|node| node.begin_behalf(origin, command.as_str()));
        Self { nodes, origin: origin.clone() }
    }
}

impl Drop for Behalf {
    fn drop(&mut self) {
        self.nodes.iter().for_each(|node| node.end_behalf(&self.origin));
    }
}

/// What those who were told will answer.
type Answer = tokio::sync::oneshot::Receiver<Result<(), CommandError>>;

/// A change that was written, and is under way.
pub(crate) struct Change {
    entry: Arc<NodeEntry>,
    command: NodeCommand,
    etag: Etag,
    told: Vec<Answer>,
    /// Held for its end.
    _behalf: Behalf,
}

/// Sends one message of the control facet to each of these that is up. One that is not up comes up as is wanted.
fn tell(entries: &[Arc<NodeEntry>], make: fn(Reply<()>) -> ControlMsg) -> Vec<Answer> {
    let told = entries.iter().map(|entry| {
        let (reply, answer) = Reply::channel();
        entry.control(make(reply)).then_some(answer)
    });
    told.flatten().collect()
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
