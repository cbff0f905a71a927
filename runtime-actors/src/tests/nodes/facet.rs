//! The control facet that every node has.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_core::control::Reply;
use runtime_core::error::ErrorCode;
use runtime_core::node::{DesiredState, NodeKind, NodeState};
use runtime_core::supervision::Fault;

use super::{Bench, answered};
use crate::node::{ControlMsg, NodeActor, NodeContext, NodeLife, NodeMsg, Progress};
use crate::tests::kit::Probe;

/// A node that counts what the facet asks of it.
#[derive(Default)]
struct Plain {
    calls: Arc<Mutex<Vec<&'static str>>>,
    /// What an operator comes to want while the node is at its init.
    wish: Option<DesiredState>,
}

#[async_trait]
impl NodeActor for Plain {
    type Msg = ();

    async fn init(&mut self, node: &NodeContext<()>) -> Result<Progress, Fault> {
        self.wish.take().into_iter().for_each(|wish| node.entry().set_desired(wish));
        self.calls.lock().unwrap().push("init");
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, _: &NodeContext<()>, (): ()) -> Result<(), Fault> {
        self.calls.lock().unwrap().push("handle");
        Ok(())
    }

    fn pause(&mut self, _: &NodeContext<()>) {
        self.calls.lock().unwrap().push("pause");
    }

    fn resume(&mut self, _: &NodeContext<()>) {
        self.calls.lock().unwrap().push("resume");
    }

    async fn stop(&mut self, _: &NodeContext<()>) -> Result<Progress, Fault> {
        self.calls.lock().unwrap().push("stop");
        Ok(Progress::Underway)
    }
}

#[tokio::test(start_paused = true)]
async fn every_node_understands_the_control_facet() {
    let bench = Bench::new();
    let Probe { node, .. } = Probe::<()>::at(&bench.platform, "/plain", NodeKind::Health).await;
    let entry = node.entry().clone();
    entry.set_desired(DesiredState::Paused);
    let calls = Arc::default();
    let plain = Plain { calls: Arc::clone(&calls), wish: None };
    let mut life = NodeLife::new(plain, node);
    life.receive(NodeMsg::Init).await.unwrap();
    assert_eq!(*calls.lock().unwrap(), ["pause", "init"], "paused before it starts");
    assert_eq!(entry.state(), NodeState::Paused);
    let mut ask = async |make: fn(Reply<()>) -> ControlMsg| {
        let (reply, mut answer) = Reply::channel();
        life.receive(NodeMsg::Control(make(reply))).await.unwrap();
        (answered(&mut answer).expect("answered at once"), entry.state())
    };
    assert_eq!(ask(ControlMsg::Resume).await, (Ok(()), NodeState::Running));
    assert_eq!(ask(ControlMsg::Pause).await, (Ok(()), NodeState::Paused));
    assert_eq!(ask(ControlMsg::Drain).await, (Ok(()), NodeState::Draining));
    assert_eq!(
        ask(|reply| ControlMsg::Resize(2, reply)).await.0.unwrap_err().code,
        ErrorCode::FailedPrecondition
    );
    life.receive(NodeMsg::Own(())).await.unwrap();
    life.receive(NodeMsg::Control(ControlMsg::Stop)).await.unwrap();
    life.receive(NodeMsg::Control(ControlMsg::Stop)).await.unwrap();
    let stops = calls.lock().unwrap().iter().filter(|call| **call == "stop").count();
    assert_eq!(stops, 1, "a second stop changes nothing");
    let (reply, mut answer) = Reply::channel();
    life.receive(NodeMsg::Control(ControlMsg::Resume(reply))).await.unwrap();
    assert!(answered(&mut answer).unwrap().is_err(), "a node that stops is not turned round");
    let (reply, mut view) = Reply::channel();
    life.receive(NodeMsg::Control(ControlMsg::Snapshot(reply))).await.unwrap();
    assert_eq!(answered(&mut view).unwrap().unwrap().state, NodeState::Stopping, "it still answers");
    drop(life);
    assert_eq!(entry.state(), NodeState::Stopped);
    let (reply, _) = Reply::channel();
    assert!(!entry.control(ControlMsg::Pause(reply)), "the door is shut");
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_comes_during_the_init_is_obeyed_before_the_node_is_up() {
    for (before, wish, calls, state) in [
        (DesiredState::Running, DesiredState::Paused, ["init", "pause"].as_slice(), NodeState::Paused),
        (
            DesiredState::Paused,
            DesiredState::Running,
            ["pause", "init", "resume"].as_slice(),
            NodeState::Running,
        ),
    ] {
        let bench = Bench::new();
        let Probe { node, .. } = Probe::<()>::at(&bench.platform, "/plain", NodeKind::Health).await;
        let entry = node.entry().clone();
        entry.set_desired(before);
        let called = Arc::default();
        let plain = Plain { calls: Arc::clone(&called), wish: Some(wish) };
        let mut life = NodeLife::new(plain, node);
        life.receive(NodeMsg::Init).await.unwrap();
        assert_eq!(*called.lock().unwrap(), calls);
        assert_eq!(entry.state(), state);
    }
}
