//! A node that holds a server: the admin API, or an app's endpoint. The bridge between the tree and something that listens.
//!
//! An endpoint is a source that the outside calls. What it answers to its callers must not wait for handlers, and what its code
//! does must not hold up the tree: so it runs on a thread of its own.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use runtime_core::control::Reply;
use runtime_core::name::SourceName;
use runtime_core::store::Store;
use runtime_core::supervision::Fault;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::node::{NodeActor, NodeContext, Progress};

/// What a server is given when it starts.
pub struct Serving {
    /// Set when it shall end.
    pub stop: CancellationToken,
    /// Whether it shall take requests. A paused server goes on listening and tells its callers that it is paused.
    pub open: watch::Receiver<bool>,
    listening: Box<dyn FnOnce() + Send>,
}

impl Serving {
    /// Says that it listens: its node is ready, and what comes after it may start.
    pub fn listening(&mut self) {
        std::mem::replace(&mut self.listening, Box::new(|| ()))();
    }
}

/// What a server's node runs: bind, say that you are listening, serve until asked to stop. An error is a fault of the node.
pub type Serve = Arc<dyn Fn(Serving) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// How an endpoint is made.
#[derive(Clone)]
pub struct EndpointPlan {
    /// Its name, among those of the sources.
    pub name: SourceName,
    /// Makes what its node runs; the store is where its requests become tasks.
    pub build: Arc<dyn Fn(Arc<dyn Store>) -> Serve + Send + Sync>,
}

/// Where a server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Beside the tree.
    Tree,
    /// On a thread of its own.
    OwnThread,
}

/// What a server's node is told.
pub(crate) enum ServerMsg {
    /// It listens.
    Listening,
    /// It ended.
    Ended(Result<(), String>),
}

/// The logic of a server's node.
pub(crate) struct ServerActor {
    serve: Serve,
    place: Place,
    thread: Option<Runtime>,
    stop: CancellationToken,
    open: watch::Sender<bool>,
    task: Option<AbortHandle>,
    stopping: bool,
}

impl ServerActor {
    pub(crate) fn new(serve: Serve, place: Place) -> Self {
        Self {
            serve,
            place,
            thread: None,
            stop: CancellationToken::new(),
            open: watch::Sender::new(true),
            task: None,
            stopping: false,
        }
    }

    fn place(&mut self) -> std::io::Result<Handle> {
        if self.place == Place::Tree {
            return Ok(Handle::current());
        }
        let thread =
            Builder::new_multi_thread().worker_threads(1).thread_name("endpoint").enable_all().build()?;
        Ok(self.thread.insert(thread).handle().clone())
    }
}

#[async_trait]
impl NodeActor for ServerActor {
    type Msg = ServerMsg;

    async fn init(&mut self, node: &NodeContext<ServerMsg>) -> Result<Progress, Fault> {
        let (listening, ended) = (node.myself(), node.myself());
        let place = self.place().map_err(|error| node.fault(error.to_string()))?;
        let serving = place.spawn((self.serve)(Serving {
            stop: self.stop.clone(),
            open: self.open.subscribe(),
            listening: Box::new(move || {
                listening.tell(ServerMsg::Listening);
            }),
        }));
        self.task = Some(serving.abort_handle());
        tokio::spawn(async move {
            let result = serving.await.unwrap_or_else(|error| Err(error.to_string()));
            ended.tell(ServerMsg::Ended(result));
        });
        Ok(Progress::Underway)
    }

    async fn handle(&mut self, node: &NodeContext<ServerMsg>, message: ServerMsg) -> Result<(), Fault> {
        match message {
            ServerMsg::Listening => node.ready(),
            ServerMsg::Ended(Ok(())) if self.stopping => node.finish(),
            ServerMsg::Ended(Ok(())) => return Err(node.fault("the server ended although nobody asked")),
            ServerMsg::Ended(Err(error)) => return Err(node.fault(error)),
        }
        Ok(())
    }

    fn pause(&mut self, _node: &NodeContext<ServerMsg>) {
        self.open.send_replace(false);
    }

    fn resume(&mut self, _node: &NodeContext<ServerMsg>) {
        self.open.send_replace(true);
    }

    fn drain(&mut self, node: &NodeContext<ServerMsg>, reply: Reply<()>) {
        self.pause(node);
        reply.send(Ok(()));
    }

    async fn stop(&mut self, _node: &NodeContext<ServerMsg>) -> Result<Progress, Fault> {
        self.stopping = true;
        self.stop.cancel();
        Ok(Progress::Underway)
    }
}

impl Drop for ServerActor {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        if let Some(thread) = self.thread.take() {
            thread.shutdown_background();
        }
    }
}
