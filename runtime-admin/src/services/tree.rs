//! TreeService.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use runtime_core::control::{Command, NodeCommand};
use runtime_core::etag::Terms;
use runtime_core::node::NodePath;
use runtime_proto::v1;
use runtime_proto::v1::tree_service_server::TreeService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::door::Door;
use crate::page::{cursor, page_size, page_token};
use crate::status::{Resource, invalid};

/// The live supervision tree.
pub(crate) struct Tree(pub(crate) Door);

impl Tree {
    /// Changes a node; the answer waits until the change has happened.
    async fn steer(
        &self,
        door: Door,
        name: &str,
        command: NodeCommand,
        terms: Terms,
    ) -> Result<Option<v1::Node>, Status> {
        let (path, about) = convert::node_from_wire(name)?;
        let validate_only = terms.validate_only;
        tracing::info!(node = %path, ?command, validate_only, "an operator steers a node");
        let node = door.ask(&about, |reply| Command::SteerNode { path, command, terms, reply }).await?;
        Ok(Some(convert::node(&node)))
    }
}

#[async_trait]
impl TreeService for Tree {
    async fn get_tree(
        &self,
        request: Request<v1::GetTreeRequest>,
    ) -> Result<Response<v1::GetTreeResponse>, Status> {
        let (root, about) = match request.get_ref().name.as_str() {
            "" => (NodePath::root(), Resource::new("node", convert::node_name(&NodePath::root()))),
            name => convert::node_from_wire(name)?,
        };
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let nodes = door.ask(&about, |reply| Command::GetTree { root, reply }).await?;
        let nodes = nodes.iter().map(convert::node).collect();
        Ok(Response::new(v1::GetTreeResponse { nodes, event_cursor }))
    }

    async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        let (path, about) = convert::node_from_wire(&request.get_ref().name)?;
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let node = door.ask(&about, |reply| Command::GetNode { path, reply }).await?;
        Ok(Response::new(v1::GetNodeResponse { node: Some(convert::node(&node)), event_cursor }))
    }

    async fn list_restarts(
        &self,
        request: Request<v1::ListRestartsRequest>,
    ) -> Result<Response<v1::ListRestartsResponse>, Status> {
        let v1::ListRestartsRequest { name, page_size: asked, page_token: token } = request.get_ref();
        let (under, about) = match name.as_str() {
            "" => (NodePath::root(), Resource::system()),
            name => convert::node_from_wire(name)?,
        };
        let (list, page_size) = (format!("restarts {name}"), page_size(*asked)?);
        let before: Option<u64> =
            cursor(&list, token)?.map(|place| convert::parsed("page_token", &place)).transpose()?;
        let door = self.0.for_call(&request);
        let page =
            door.ask(&about, |reply| Command::ListRestarts { under, before, page_size, reply }).await?;
        let last = page.restarts.last().filter(|_| page.more);
        Ok(Response::new(v1::ListRestartsResponse {
            restarts: page.restarts.iter().map(convert::restart).collect(),
            next_page_token: last.map(|last| page_token(&list, &last.number.to_string())).unwrap_or_default(),
            forgotten: page.forgotten,
        }))
    }

    async fn start_node(
        &self,
        request: Request<v1::StartNodeRequest>,
    ) -> Result<Response<v1::StartNodeResponse>, Status> {
        let v1::StartNodeRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let node = self.steer(self.0.for_call(&request), name, NodeCommand::Start, terms).await?;
        Ok(Response::new(v1::StartNodeResponse { node }))
    }

    async fn stop_node(
        &self,
        request: Request<v1::StopNodeRequest>,
    ) -> Result<Response<v1::StopNodeResponse>, Status> {
        let v1::StopNodeRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let node = self.steer(self.0.for_call(&request), name, NodeCommand::Stop, terms).await?;
        Ok(Response::new(v1::StopNodeResponse { node }))
    }

    async fn restart_node(
        &self,
        request: Request<v1::RestartNodeRequest>,
    ) -> Result<Response<v1::RestartNodeResponse>, Status> {
        let v1::RestartNodeRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let node = self.steer(self.0.for_call(&request), name, NodeCommand::Restart, terms).await?;
        Ok(Response::new(v1::RestartNodeResponse { node }))
    }

    async fn pause_node(
        &self,
        request: Request<v1::PauseNodeRequest>,
    ) -> Result<Response<v1::PauseNodeResponse>, Status> {
        let v1::PauseNodeRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let node = self.steer(self.0.for_call(&request), name, NodeCommand::Pause, terms).await?;
        Ok(Response::new(v1::PauseNodeResponse { node }))
    }

    async fn resume_node(
        &self,
        request: Request<v1::ResumeNodeRequest>,
    ) -> Result<Response<v1::ResumeNodeResponse>, Status> {
        let v1::ResumeNodeRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let node = self.steer(self.0.for_call(&request), name, NodeCommand::Resume, terms).await?;
        Ok(Response::new(v1::ResumeNodeResponse { node }))
    }

    async fn drain_node(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::DrainNodeResponse>, Status> {
        let v1::DrainNodeRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let node = self.steer(self.0.for_call(&request), name, NodeCommand::Drain, terms).await?;
        Ok(Response::new(v1::DrainNodeResponse { node }))
    }

    async fn resize_node(
        &self,
        request: Request<v1::ResizeNodeRequest>,
    ) -> Result<Response<v1::ResizeNodeResponse>, Status> {
        let v1::ResizeNodeRequest { name, slots, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let slots = usize::try_from(*slots).ok().and_then(NonZeroUsize::new);
        let slots = slots.ok_or_else(|| invalid("slots", "a worker has at least 1"))?;
        let node = self.steer(self.0.for_call(&request), name, NodeCommand::Resize { slots }, terms).await?;
        Ok(Response::new(v1::ResizeNodeResponse { node }))
    }
}
