//! The fault matrix: each fault at each point of the life of each kind of node, with work under way.
//!
//! Whatever breaks, the same must hold afterwards: the node is up again, every thing that lay outside became exactly one task that is
//! done exactly once, was marked as done, its fact was heard, no lease is left, and the tree stops in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime_core::control::{Command, NodeCommand, ask};
use runtime_core::event::NewEvent;
use runtime_core::node::{Health, NodePath, NodeState};
use runtime_core::task::{TaskId, TaskState};

use super::kit::{Facts, Outside, Well, World, Worlds, done, from_fn, listening, reporter, worker};
use super::sabotage::{How, Point};
use crate::runtime::StopReport;

/// What is done to a node that is up, to bring a planted fault about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    /// Nothing is planted: it is killed.
    Kill,
    /// The fault waits at the point; the node gets there by itself, or by a message.
    AtWork(How),
    /// The node is killed, and its next run meets the fault at the start.
    AtRestart(Point, How),
    /// An operator restarts the node, and it stops badly.
    AtStop(How),
}

const STRIKES: [Strike; 13] = [
    Strike::Kill,
    Strike::AtWork(How::Error),
    Strike::AtWork(How::Panic),
    Strike::AtWork(How::Hang),
    Strike::AtWork(How::Slow(Duration::from_secs(3))),
    Strike::AtRestart(Point::Build, How::Error),
    Strike::AtRestart(Point::Build, How::Panic),
    Strike::AtRestart(Point::Init, How::Error),
    Strike::AtRestart(Point::Init, How::Panic),
    Strike::AtRestart(Point::Init, How::Hang),
    Strike::AtStop(How::Error),
    Strike::AtStop(How::Panic),
    Strike::AtStop(How::Hang),
];

struct Shop {
    world: World,
    outside: Arc<Outside>,
    facts: Arc<Facts>,
    /// How often the handler came to its end, by task.
    ends: Arc<Mutex<BTreeMap<TaskId, u64>>>,
    put: AtomicU64,
}

impl Shop {
    async fn open() -> Self {
        let (outside, facts, ends) = (Outside::new(), Facts::new(), Arc::new(Mutex::new(BTreeMap::new())));
        let counted: Arc<Mutex<BTreeMap<TaskId, u64>>> = ends.clone();
        let handler = from_fn(move |ctx| {
            let counted = counted.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                *counted.lock().unwrap().entry(ctx.task().id).or_default() += 1;
                ctx.emit(NewEvent { kind: "greeted".into(), body: ctx.task().payload.clone() });
                done()
            }
        });
        let mut worlds = Worlds::new().worker(worker("greet", 3, handler));
        worlds.app.sources.push(outside.source("door", "greet"));
        worlds.app.health.push(reporter("well", Well));
        worlds.app.subscribers.push(facts.clone());
        worlds.admin = Some(listening());
        let world = worlds.start().await;
        Self { world, outside, facts, ends, put: AtomicU64::new(0) }
    }

    fn put(&self, count: u64) {
        let from = self.put.fetch_add(count, Ordering::Relaxed);
        self.outside.put((from..from + count).map(|number| format!("thing-{number}")));
    }

    /// Everything that was put there is done, once, and the tree is as it was.
    async fn check(self, what: &str) {
        let count = self.put.load(Ordering::Relaxed);
        self.outside.marked(usize::try_from(count).unwrap()).await;
        self.world.idle().await;
        let world = &self.world;
        for (thing, states) in self.outside.marks() {
            assert!(states.iter().all(|state| *state == TaskState::Done), "{what}: {thing} {states:?}");
        }
        assert_eq!(world.count(TaskState::Done).await, count, "{what}: each thing is one task");
        for state in TaskState::ALL.into_iter().filter(|state| *state != TaskState::Done) {
            assert_eq!(world.count(state).await, 0, "{what}: {state}");
        }
        let ends = self.ends.lock().unwrap().clone();
        assert_eq!(ends.len() as u64, count, "{what}");
        for (id, runs) in ends {
            let task = world.task(id).await;
            assert_eq!(task.attempt, 1, "{what}: what was taken from an attempt is not counted");
            assert_eq!(task.crash_count, 0, "{what}: nothing in here is a crash of the process");
            assert_eq!(runs, 1, "{what}: {id} came to its end more than once");
        }
        for node in NODES {
            world.until_state(node, NodeState::Running).await;
        }
        let mut facts: Vec<TaskId> = self.facts.heard().iter().map(|fact| fact.task).collect();
        while facts.len() < usize::try_from(count).unwrap() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            facts = self.facts.heard().iter().map(|fact| fact.task).collect();
        }
        let positions: Vec<u64> = self.facts.heard().iter().map(|fact| fact.position).collect();
        let mut known = positions.clone();
        known.sort_unstable();
        known.dedup();
        assert_eq!(known.len() as u64, count, "{what}: each fact was heard");
        assert!(world.platform().leases.all().is_empty(), "{what}: a lease is left in the book");
        assert!(world.platform().completion.is_flushed(), "{what}");
        let overview = ask(&*world.control, |reply| Command::GetOverview { reply }).await.unwrap();
        assert_eq!(overview.health, Health::Healthy, "{what}");
        assert_eq!(self.world.stop().await, StopReport::Clean, "{what}");
    }

    /// Brings a fault about in a node while work is under way.
    async fn strike(&self, node: &str, strike: Strike) {
        let (world, entry) = (&self.world, self.world.entry(node));
        let before = entry.incarnation();
        match strike {
            Strike::Kill => assert!(entry.kill()),
            Strike::AtWork(how) => {
                entry.sabotage.plant(Point::Handle, how);
                poke(world, node);
                world.until(node, |_| entry.sabotage.is_over()).await;
                if how == How::Hang {
                    // Nobody can tell a node that hangs from one that works long, but an operator who looks.
                    world.until(node, |view| view.busy_since.is_some()).await;
                    self.restart(node).await;
                }
            }
            Strike::AtRestart(point, how) => {
                entry.sabotage.plant(point, how);
                assert!(entry.kill());
            }
            Strike::AtStop(how) => {
                entry.sabotage.plant(Point::Stop, how);
                self.restart(node).await;
            }
        }
        world.until(node, |_| entry.sabotage.is_over()).await;
        let slow = matches!(strike, Strike::AtWork(How::Slow(_)));
        world.until(node, |view| slow || view.incarnation > before).await;
        world.until(node, |view| view.state == NodeState::Running).await;
    }

    /// An operator's restart. The one node that this cannot help is the door itself, when it hangs.
    async fn restart(&self, node: &str) {
        if node == "/control/commands" && self.world.entry(node).view().busy_since.is_some() {
            assert!(self.world.entry(node).kill());
            return;
        }
        let asked = self.world.steer(node, NodeCommand::Restart).await;
        asked.unwrap_or_else(|error| panic!("{node}: {error}"));
    }
}

/// A message that any node handles.
fn poke(world: &World, node: &str) {
    let (reply, _) = runtime_core::control::Reply::channel();
    assert!(world.entry(node).control(crate::node::ControlMsg::Snapshot(reply)));
}

async fn each_strike(node: &str) {
    for strike in STRIKES {
        let what = format!("{node}, {strike:?}");
        let shop = Shop::open().await;
        shop.put(6);
        shop.outside.marked(2).await;
        let struck = tokio::time::timeout(Duration::from_mins(10), shop.strike(node, strike)).await;
        struck.unwrap_or_else(|_| panic!("{what}: it does not come back"));
        shop.put(6);
        let checked = tokio::time::timeout(Duration::from_mins(10), shop.check(&what)).await;
        checked.unwrap_or_else(|_| panic!("{what}: the work is not done"));
    }
}

/// One test a node, so that they run side by side and a failure names its node.
macro_rules! matrix {
    ($($name:ident: $node:literal,)*) => {
        const NODES: &[&str] = &[$($node),*];

        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            each_strike($node).await;
        })*
    };
}

matrix! {
    the_engine_s_supervisor: "/engine",
    the_store_node: "/engine/store",
    the_completion_node: "/engine/completion",
    the_templates_node: "/engine/templates",
    the_events_node: "/engine/events",
    the_supervisor_of_apps: "/engine/apps",
    an_app_s_supervisor: "/engine/apps/shop",
    the_supervisor_of_reporters: "/engine/apps/shop/health",
    a_reporter: "/engine/apps/shop/health/well",
    the_supervisor_of_workers: "/engine/apps/shop/workers",
    an_executor: "/engine/apps/shop/workers/greet",
    the_supervisor_of_sources: "/engine/apps/shop/sources",
    a_source: "/engine/apps/shop/sources/door",
    the_control_supervisor: "/control",
    the_status_node: "/control/status",
    the_schedules_node: "/control/schedules",
    the_operations_node: "/control/operations",
    the_commands_node: "/control/commands",
    the_admin_node: "/control/admin",
}

#[tokio::test(start_paused = true)]
async fn the_list_of_nodes_is_the_tree() {
    let shop = Shop::open().await;
    let table = shop.world.platform().table.clone();
    let mut tree: Vec<String> = table
        .under(&NodePath::root())
        .iter()
        .map(|entry| entry.path().to_string())
        .filter(|path| path != "/")
        .collect();
    tree.sort();
    let mut listed = NODES.to_vec();
    listed.sort_unstable();
    assert_eq!(tree, listed);
    shop.check("nothing breaks").await;
}
