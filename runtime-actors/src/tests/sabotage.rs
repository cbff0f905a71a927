//! Faults that strike a real node of the tree at a chosen point of its life: the only seam that the nodes have for tests.

use std::sync::Mutex;
use std::time::Duration;

use runtime_core::supervision::{Fault, FaultKind};

use crate::node::{ControlMsg, NodeMsg};

/// Where in a node's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// While its state is built.
    Build,
    /// While it does the I/O of its start.
    Init,
    /// While it handles a message.
    Handle,
    /// While it stops.
    Stop,
}

impl Point {
    pub(crate) fn of<M>(message: &NodeMsg<M>) -> Self {
        match message {
            NodeMsg::Init => Self::Init,
            NodeMsg::Control(ControlMsg::Stop) => Self::Stop,
            NodeMsg::Control(_) | NodeMsg::Own(_) => Self::Handle,
        }
    }
}

/// What goes wrong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It returns an error.
    Error,
    /// It panics.
    Panic,
    /// It never comes to an end.
    Hang,
    /// It takes this long and goes on.
    Slow(Duration),
}

/// Faults that wait for their node. Each strikes once.
#[derive(Default)]
pub(crate) struct Sabotage(Mutex<Vec<(Point, How)>>);

impl Sabotage {
    /// Lets this happen the next time the node comes to that point.
    pub(crate) fn plant(&self, point: Point, how: How) {
        self.0.lock().unwrap().push((point, how));
    }

    /// Whether every planted fault has struck.
    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    pub(crate) async fn at(&self, point: Point) -> Result<(), Fault> {
        let how = {
            let mut planted = self.0.lock().unwrap();
            planted.iter().position(|(at, _)| *at == point).map(|index| planted.remove(index).1)
        };
        match how {
            None => Ok(()),
            Some(How::Error) => Err(Fault::new("", FaultKind::Error, format!("planted at {point:?}"))),
            Some(How::Panic) => panic!("planted at {point:?}"),
            Some(How::Hang) => std::future::pending().await,
            Some(How::Slow(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}
