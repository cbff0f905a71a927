//! How a child comes to life: what the supervisor knows of it beside what the decision core knows.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use ractor::{ActorCell, ActorRef, ActorRuntime};
use runtime_core::supervision::{ChildId, ChildSpec, Incarnation};

use super::SupervisorMsg;
use super::root::{Root, spawn_root};
use crate::node::{ControlMsg, Myself, Node, NodeActor, NodeMsg, NodeStart};
use crate::table::NodeEntry;

/// How one child is made.
pub(crate) struct ChildPlan {
    pub(crate) spec: ChildSpec,
    pub(crate) entry: Arc<NodeEntry>,
    pub(super) spawn: Box<dyn Fn(Spawn) -> Result<Spawned, String> + Send + Sync>,
    pub(super) root: Box<dyn Fn(Arc<NodeEntry>) -> StartingRoot + Send + Sync>,
}

type StartingRoot = BoxFuture<'static, Result<Root, String>>;

/// What a spawn needs to know.
pub(super) struct Spawn {
    pub(super) entry: Arc<NodeEntry>,
    pub(super) supervisor: ActorCell,
    pub(super) myself: Myself<SupervisorMsg>,
    pub(super) child: ChildId,
    /// Which run of the child, as its supervisor counts.
    pub(super) incarnation: Incarnation,
}

/// A child that runs.
pub(super) struct Spawned {
    pub(super) cell: ActorCell,
    pub(super) control: Box<dyn Fn(ControlMsg) + Send + Sync>,
    /// Which run of the node, as the table counts.
    pub(super) run: u64,
}

impl ChildPlan {
    /// A child whose logic `build` makes anew for every incarnation.
    pub(crate) fn new<A: NodeActor>(
        spec: ChildSpec,
        entry: Arc<NodeEntry>,
        build: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let build = Arc::new(build);
        let as_child = build.clone();
        let spawn = Box::new(move |spawn: Spawn| spawn_node(as_child.clone(), spawn));
        let root = Box::new(move |entry| Box::pin(spawn_root(build.clone(), entry)) as StartingRoot);
        Self { spec, entry, spawn, root }
    }
}

fn spawn_node<A: NodeActor>(
    build: Arc<impl Fn() -> A + Send + Sync + 'static>,
    spawn: Spawn,
) -> Result<Spawned, String> {
    let Spawn { entry, supervisor, myself, child, incarnation } = spawn;
    let run = entry.begin();
    let report_ready = {
        let (myself, child) = (myself.clone(), child.clone());
        Arc::new(move || {
            myself.tell(SupervisorMsg::ChildReady { child: child.clone(), incarnation });
        })
    };
    let start = NodeStart { build: Box::new(move || build()), entry, incarnation: run, report_ready };
    let (actor, started) = ActorRuntime::spawn_linked_instant(None, Node::<A>::new(), start, supervisor)
        .map_err(|error| error.to_string())?;
    // A failure before the link exists is no supervision event: it shows in this handle alone.
    tokio::spawn(async move {
        let error = match started.await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        myself.tell(SupervisorMsg::SpawnFailed { child, incarnation, error });
    });
    let control: ActorRef<NodeMsg<A::Msg>> = actor.clone();
    Ok(Spawned {
        cell: actor.get_cell(),
        control: Box::new(move |message| drop(control.send_message(NodeMsg::Control(message)))),
        run,
    })
}
