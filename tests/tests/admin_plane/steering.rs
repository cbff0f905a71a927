//! Nodes are steered by path while work goes on.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use runtime_admin::{AdminClient, ClientError};
use runtime_core::control::NodeCommand;
use runtime_core::error::ErrorCode;
use runtime_core::node::NodePath;
use runtime_proto::v1::{self, NodeKind, NodeState};
use runtime_tests::ground::Job;
use runtime_tests::{eventually, eventually_async};
use tokio::task::JoinSet;
use tonic::Code;

use crate::world::{World, enqueue, id_of, path, path_of, request, times_done};

/// Files put into the source's folder.
const FILES: u64 = 150;

/// Producers that go on for as long as nodes are steered.
const PRODUCERS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_says_who_and_how_it_is() {
    let world = World::start().await;
    let info = world.client.info().await.expect("info");
    assert_eq!(
        (info.apps.as_slice(), info.store.as_str()),
        (["apps/ground".to_owned()].as_slice(), "sqlite")
    );

    let tree = world.client.tree(&NodePath::root()).await.expect("the tree");
    let paths: Vec<String> = tree.iter().map(|node| path_of(node).to_string()).collect();
    for expected in [
        "/",
        "/engine/store",
        "/engine/completion",
        "/engine/templates",
        "/engine/events",
        "/engine/apps/ground/health/folder",
        "/engine/apps/ground/workers/job",
        "/engine/apps/ground/workers/follow",
        "/engine/apps/ground/sources/inbox",
        "/control/status",
        "/control/commands",
        "/control/admin",
    ] {
        assert!(paths.iter().any(|path| path == expected), "{expected} is missing in {paths:?}");
    }
    for node in &tree {
        assert_eq!(node.state(), NodeState::Running, "{}", node.name);
        let one = world.client.node(&path_of(node)).await.expect("the node by its path");
        assert_eq!((one.name.clone(), one.kind), (node.name.clone(), node.kind));
    }
    let overview = world.client.overview().await.expect("an overview");
    assert_eq!(overview.nodes, tree.len() as u64);
    assert_eq!(overview.what.health.expect("a health").level(), v1::HealthLevel::Healthy);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_of_an_app_is_steered_while_tasks_run_and_nothing_is_lost() {
    let world = World::start().await;
    for file in 0..FILES {
        let job = Job { n: 1_000_000 + file, work_ms: 2, ..Job::default() };
        world.folder().put_into_inbox(&format!("{file}.json"), &job).expect("a file");
    }
    let (on, next) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let mut producers = JoinSet::new();
    for _ in 0..PRODUCERS {
        producers.spawn(produce(world.client.clone(), on.clone(), next.clone()));
    }

    let app = path("/engine/apps/ground");
    let nodes = world.client.tree(&app).await.expect("the app's tree");
    assert_eq!(nodes.len(), 8, "{nodes:#?}");
    for node in &nodes {
        let done_before = done(&world).await;
        steer_through(&world, node).await;
        // Work goes on after each node: nothing is left stopped, and nothing is stuck.
        eventually_async("work goes on", async || (done(&world).await > done_before).then_some(())).await;
    }

    on.store(false, Ordering::Relaxed);
    producers.join_all().await;
    let folder = world.folder();
    eventually("every file is marked", || {
        (folder.names_in("outbox").expect("a folder").len() as u64 == FILES).then_some(())
    })
    .await;
    world.until_idle().await;

    let rows = world.rows().await;
    let made = next.load(Ordering::Relaxed);
    let jobs: BTreeMap<u64, usize> = (0..made).chain(1_000_000..1_000_000 + FILES).map(|n| (n, 1)).collect();
    let follow_ups: BTreeMap<u64, usize> = (0..made).filter(|n| n % 3 == 0).map(|n| (n, 1)).collect();
    assert_eq!(times_done(&rows, "job"), jobs);
    assert_eq!(times_done(&rows, "follow"), follow_ups);
    println!("{made} tasks by {PRODUCERS} producers, {FILES} files, {} nodes steered", nodes.len());
    world.stop().await;
}

async fn produce(client: AdminClient, on: Arc<AtomicBool>, next: Arc<AtomicU64>) {
    while on.load(Ordering::Relaxed) {
        let n = next.fetch_add(1, Ordering::Relaxed);
        enqueue(&client, &Job { n, work_ms: 2, follow_up: n.is_multiple_of(3), ..Job::default() }).await;
    }
}

async fn done(world: &World) -> u64 {
    let queues = world.client.queues().await.expect("the queues are listed");
    let job = queues.into_iter().find(|queue| queue.name == "queues/job");
    job.and_then(|queue| queue.stats?.counts).unwrap_or_default().done
}

/// Every command that makes sense for the node, each seen to have happened.
async fn steer_through(world: &World, node: &v1::Node) {
    let at = path_of(node);
    let steer = async |command| {
        let answer = world.client.steer_node(&at, command).await;
        answer.unwrap_or_else(|error| panic!("{command:?} at {at}: {error}"))
    };
    let leaf = node.kind() != NodeKind::Supervisor;

    let paused = steer(NodeCommand::Pause).await;
    for below in world.client.tree(&at).await.expect("the tree") {
        if below.kind() != NodeKind::Supervisor {
            let wanted = (NodeState::Paused, v1::DesiredState::Paused);
            assert_eq!((below.state(), below.desired_state()), wanted, "{}", below.name);
        }
    }
    let resumed = steer(NodeCommand::Resume).await;
    assert!(!leaf || paused.state() == NodeState::Paused && resumed.state() == NodeState::Running);

    if node.kind() == NodeKind::Executor {
        for slots in [1, 5, 8] {
            let slots = NonZeroUsize::new(slots).expect("not zero");
            let resized = steer(NodeCommand::Resize { slots }).await;
            assert_eq!(resized.slots.expect("slots").total, slots.get() as u64);
        }
    } else {
        let slots = NonZeroUsize::MIN;
        let refused = world.client.steer_node(&at, NodeCommand::Resize { slots }).await;
        assert!(is_precondition(&refused), "{at} has no slots: {refused:?}");
    }

    assert_eq!(steer(NodeCommand::Stop).await.state(), NodeState::Stopped, "{at}");
    for below in world.client.tree(&at).await.expect("the tree") {
        let at_rest = matches!(below.state(), NodeState::Stopped | NodeState::Waiting);
        assert!(at_rest, "{} is {:?} under a stopped node", below.name, below.state());
    }
    let started = steer(NodeCommand::Start).await;
    assert_eq!((started.state(), started.desired_state()), (NodeState::Running, v1::DesiredState::Running));
    let restarted = steer(NodeCommand::Restart).await;
    assert_eq!(restarted.state(), NodeState::Running, "{at}");
    assert!(restarted.incarnation > started.incarnation, "{at} was not started anew");

    assert_eq!(steer(NodeCommand::Drain).await.state(), NodeState::Stopped, "{at}");
    assert_eq!(steer(NodeCommand::Start).await.state(), NodeState::Running, "{at}");
    for below in world.client.tree(&at).await.expect("the tree") {
        assert_eq!(below.state(), NodeState::Running, "{} after {at} was started", below.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_wanted_is_still_wanted_after_a_restart_of_the_parent() {
    let world = World::start().await;
    let (job, follow) = (path("/engine/apps/ground/workers/job"), path("/engine/apps/ground/workers/follow"));
    world.client.steer_node(&job, NodeCommand::Pause).await.expect("paused");
    world.client.steer_node(&follow, NodeCommand::Stop).await.expect("stopped");
    world.client.steer_node(&path("/engine/apps/ground"), NodeCommand::Restart).await.expect("restarted");
    assert_eq!(world.client.node(&job).await.expect("a node").state(), NodeState::Paused);
    assert_eq!(world.client.node(&follow).await.expect("a node").state(), NodeState::Stopped);

    let id = world.enqueue(&Job::plain(1)).await;
    let waiting = world.client.task(id).await.expect("a task").task.expect("a task");
    assert_eq!(waiting.state(), v1::TaskState::Ready);
    world.client.steer_node(&job, NodeCommand::Resume).await.expect("resumed");
    world.until(id, v1::TaskState::Done).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_the_platform_can_be_restarted_and_nothing_else() {
    let world = World::start().await;
    let tree = world.client.tree(&NodePath::root()).await.expect("the tree");
    let app = path("/engine/apps/ground");
    // Schedules and operations are the operators' own: they may be paused and stopped.
    let own = [path("/control/schedules"), path("/control/operations")];
    let of_the_platform: Vec<NodePath> =
        tree.iter().map(path_of).filter(|at| !at.is_within(&app) && !own.contains(at)).collect();
    assert_eq!(of_the_platform.len(), 11, "{of_the_platform:?}");

    for at in &of_the_platform {
        for command in [
            NodeCommand::Stop,
            NodeCommand::Pause,
            NodeCommand::Resume,
            NodeCommand::Drain,
            NodeCommand::Start,
            NodeCommand::Resize { slots: NonZeroUsize::MIN },
        ] {
            let answer = world.client.steer_node(at, command).await;
            assert!(is_precondition(&answer), "{command:?} at {at}: {answer:?}");
        }
        assert_eq!(world.client.node(at).await.expect("a node").state(), NodeState::Running);
    }
    let nobody = world.client.steer_node(&path("/engine/apps/nobody"), NodeCommand::Stop).await;
    assert!(
        matches!(&nobody, Err(ClientError::Refused(refusal)) if refusal.canonical == Code::NotFound),
        "{nobody:?}"
    );

    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_a_restart_of_any_node_of_the_platform() {
    let world = World::start().await;
    let tree = world.client.tree(&NodePath::root()).await.expect("the tree");
    let (root, app) = (NodePath::root(), path("/engine/apps/ground"));
    let nodes = tree.iter().map(path_of).filter(|path| *path != root && !path.is_within(&app));
    for (n, at) in (0..).zip(nodes) {
        let before = world.client.node(&at).await.expect("a node").incarnation;
        match world.client.steer_node(&at, NodeCommand::Restart).await {
            Ok(node) => assert_eq!(node.state(), NodeState::Running, "{at}"),
            // Who restarts the way the answer would take gets none.
            Err(error) => {
                assert!(path("/control").is_within(&at) || at.is_within(&path("/control")), "{at}: {error}")
            }
        }
        let work_goes_on = async || {
            let node = world.client.node(&at).await.ok()?;
            if node.incarnation == before || node.state() != NodeState::Running {
                return None;
            }
            let name =
                world.client.enqueue(request(&Job { n, follow_up: true, ..Job::default() })).await.ok()?.name;
            let task = world.client.task(id_of(&name)).await.ok()?.task?;
            (task.state() == v1::TaskState::Done).then_some(())
        };
        eventually_async(&format!("work goes on after a restart of {at}"), work_goes_on).await;
    }
    world.until_idle().await;
    let rows = world.rows().await;
    assert_eq!(times_done(&rows, "job"), (0..12).map(|n| (n, 1)).collect());
    assert_eq!(times_done(&rows, "follow"), (0..12).map(|n| (n, 1)).collect());
    world.stop().await;
}

fn is_precondition<T>(answer: &Result<T, ClientError>) -> bool {
    matches!(answer, Err(ClientError::Refused(refusal))
        if refusal.canonical == Code::FailedPrecondition && refusal.code == Some(ErrorCode::FailedPrecondition))
}
