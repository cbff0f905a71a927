//! A node that holds a server, such as the admin API: the bridge between the tree and something that listens.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use runtime_core::supervision::Fault;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::node::{NodeActor, NodeContext, Progress};

/// What a server's node runs: bind, say that you are ready, serve until the token is set.
pub type Serve = Arc<
    dyn Fn(CancellationToken, Box<dyn FnOnce() + Send>) -> BoxFuture<'static, Result<(), String>>
        + Send
        + Sync,
>;

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
    stop: CancellationToken,
    task: Option<AbortHandle>,
    stopping: bool,
}

impl ServerActor {
    pub(crate) fn new(serve: Serve) -> Self {
        Self { serve, stop: CancellationToken::new(), task: None, stopping: false }
    }
}

#[async_trait]
impl NodeActor for ServerActor {
    type Msg = ServerMsg;

    async fn init(&mut self, node: &NodeContext<ServerMsg>) -> Result<Progress, Fault> {
        let (listening, ended) = (node.myself(), node.myself());
        let serving = tokio::spawn((self.serve)(
            self.stop.clone(),
            Box::new(move || {
                listening.tell(ServerMsg::Listening);
            }),
        ));
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
    }
}
