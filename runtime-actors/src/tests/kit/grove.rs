//! A small tree of fragile nodes under the real supervisor: for what a supervisor does, whoever its children are.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::Reply;
use runtime_core::node::{NodeKind, NodePath, NodeState, NodeView};
use runtime_core::supervision::{ChildId, ChildSpec, Fault, RestartBudget, Strategy, SupervisorSpec};

use super::PausedClock;
use super::world::path;
use crate::node::{NodeActor, NodeContext, Progress};
use crate::supervisor::{ChildPlan, Root, StopOrder, Supervisor, SupervisorMsg};
use crate::table::{NodeAddress, NodeEntry, NodeTable};

/// What happened, in order: `a up`, `b stop`, `c gone`.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, name: &str, what: &str) {
        self.0.lock().unwrap().push(format!("{name} {what}"));
    }

    /// Everything since the last look.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A leaf that says what happens to it. Whether all goes well is in its row's sabotage, and in `broken`.
struct Leaf {
    name: String,
    log: Log,
    broken: bool,
}

impl Drop for Leaf {
    fn drop(&mut self) {
        self.log.say(&self.name, "gone");
    }
}

/// The one message of a leaf: end normally, although nobody asked.
pub(crate) enum LeafMsg {
    End,
}

#[async_trait]
impl NodeActor for Leaf {
    type Msg = LeafMsg;

    async fn init(&mut self, node: &NodeContext<LeafMsg>) -> Result<Progress, Fault> {
        if self.broken {
            return Err(node.fault(format!("broken at run {}", node.entry().incarnation())));
        }
        self.log.say(&self.name, "up");
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, node: &NodeContext<LeafMsg>, message: LeafMsg) -> Result<(), Fault> {
        match message {
            LeafMsg::End => node.finish(),
        }
        Ok(())
    }

    async fn stop(&mut self, _node: &NodeContext<LeafMsg>) -> Result<Progress, Fault> {
        self.log.say(&self.name, "stop");
        Ok(Progress::Complete)
    }
}

/// A root over `/s`, a supervisor over `/s/a`, `/s/b` and `/s/c`.
pub(crate) struct Grove {
    pub(crate) root: Root,
    pub(crate) table: Arc<NodeTable>,
    pub(crate) log: Log,
}

/// How a grove is made.
pub(crate) struct Grown {
    pub(crate) strategy: Strategy,
    pub(crate) order: StopOrder,
    pub(crate) broken: &'static [&'static str],
    /// Planted before anything starts.
    pub(crate) planted: Vec<(&'static str, crate::tests::Point, crate::tests::How)>,
}

pub(crate) const BUDGET: RestartBudget = RestartBudget { max_restarts: 3, within: Duration::from_mins(1) };

impl Grown {
    pub(crate) fn new(strategy: Strategy) -> Self {
        Self { strategy, order: StopOrder::RightToLeft, broken: &[], planted: Vec::new() }
    }

    pub(crate) async fn start(self) -> Result<Grove, String> {
        let table = Arc::new(NodeTable::new(PausedClock::new(), Arc::default()));
        let log = Log::default();
        let Self { strategy, order, broken, planted } = self;
        let root = table.declare(NodePath::root(), NodeKind::Supervisor);
        let supervisor = table.declare(path("/s"), NodeKind::Supervisor);
        let leaves: Vec<Arc<NodeEntry>> =
            ["a", "b", "c"].map(|name| table.declare(path("/s").child(name), NodeKind::Executor)).into();
        for (name, point, how) in planted {
            table.get(&path(name)).expect("a node of the grove").sabotage.plant(point, how);
        }
        let grown = log.clone();
        let plan = ChildPlan::new(ChildSpec::new("root"), root, move || {
            let (leaves, log) = (leaves.clone(), grown.clone());
            let under = ChildPlan::new(
                ChildSpec {
                    init_within: Duration::from_mins(5),
                    stop_within: Duration::from_mins(2),
                    ..ChildSpec::new("s")
                },
                supervisor.clone(),
                move || {
                    let children = leaves.iter().map(|entry| leaf(entry, &log, broken)).collect();
                    let spec =
                        SupervisorSpec { path: "/s".into(), strategy, budget: BUDGET, children: Vec::new() };
                    Supervisor::new(spec, order, children)
                },
            );
            let spec = SupervisorSpec {
                path: "/".into(),
                strategy: Strategy::OneForOne,
                budget: BUDGET,
                children: Vec::new(),
            };
            Supervisor::new(spec, StopOrder::RightToLeft, vec![under])
        });
        Ok(Grove { root: Root::start(plan).await?, table, log })
    }
}

fn leaf(entry: &Arc<NodeEntry>, log: &Log, broken: &'static [&'static str]) -> ChildPlan {
    let (name, log) = (entry.path().name().to_owned(), log.clone());
    ChildPlan::new(ChildSpec::new(name.as_str()), entry.clone(), move || Leaf {
        broken: broken.contains(&name.as_str()),
        name: name.clone(),
        log: log.clone(),
    })
}

impl Grove {
    pub(crate) fn entry(&self, at: &str) -> Arc<NodeEntry> {
        self.table.get(&path(at)).unwrap_or_else(|| panic!("no node {at}"))
    }

    /// Waits until the row at this path fits.
    pub(crate) async fn until(&self, at: &str, fits: impl Fn(&NodeView) -> bool) -> NodeView {
        let (entry, changed) = (self.entry(at), self.table.changed());
        loop {
            let change = changed.notified();
            tokio::pin!(change);
            change.as_mut().enable();
            let view = entry.view();
            if fits(&view) {
                return view;
            }
            drop(tokio::time::timeout(Duration::from_millis(10), change).await);
        }
    }

    /// Waits until all leaves run.
    pub(crate) async fn settled(&self) {
        for leaf in ["/s/a", "/s/b", "/s/c"] {
            self.until(leaf, |view| view.state == NodeState::Running).await;
        }
    }

    pub(crate) fn incarnations(&self) -> [u64; 3] {
        ["/s/a", "/s/b", "/s/c"].map(|leaf| self.entry(leaf).incarnation())
    }

    /// Lets a leaf end normally.
    pub(crate) fn end(&self, at: &str) {
        let leaf = NodeAddress::<LeafMsg>::of(self.entry(at));
        assert!(leaf.send(LeafMsg::End).is_ok());
    }

    /// An operator's wish about a leaf.
    pub(crate) async fn ask(
        &self,
        child: &str,
        make: fn(ChildId, Reply<()>) -> SupervisorMsg,
    ) -> Result<(), runtime_core::control::CommandError> {
        let (reply, answer) = Reply::channel();
        let supervisor = NodeAddress::<SupervisorMsg>::of(self.entry("/s"));
        assert!(supervisor.send(make(ChildId::from(child), reply)).is_ok());
        answer.await.expect("the supervisor answers")
    }
}
