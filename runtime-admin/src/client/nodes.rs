//! Calls about the tree.

use runtime_core::control::NodeCommand;
use runtime_core::node::NodePath;
use runtime_proto::v1;
use runtime_proto::v1::tree_service_client::TreeServiceClient;

use super::{AdminClient, Channel, ClientError, Seen, present};
use crate::convert::node_name;
use crate::page::MAX_PAGE_SIZE;
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// A node and everything under it, parents before children, siblings in start order.
    pub async fn tree(&self, root: &NodePath) -> Result<Seen<Vec<v1::Node>>, ClientError> {
        let request = self.request(v1::GetTreeRequest { name: node_name(root) });
        let v1::GetTreeResponse { nodes: what, event_cursor } =
            self.nodes().get_tree(request).await?.into_inner();
        Ok(Seen { what, event_cursor })
    }

    /// One node.
    pub async fn node(&self, path: &NodePath) -> Result<Seen<v1::Node>, ClientError> {
        let request = self.request(v1::GetNodeRequest { name: node_name(path) });
        let v1::GetNodeResponse { node, event_cursor } = self.nodes().get_node(request).await?.into_inner();
        Ok(Seen { what: present(node, "node")?, event_cursor })
    }

    /// The latest restarts at and under a node, newest first, at most `limit` and at most 1,000; with how many of the tree are no longer kept.
    pub async fn restarts(
        &self,
        under: &NodePath,
        limit: usize,
    ) -> Result<v1::ListRestartsResponse, ClientError> {
        let page_size = u32::try_from(limit.clamp(1, MAX_PAGE_SIZE)).unwrap_or(0);
        let request =
            v1::ListRestartsRequest { name: node_name(under), page_size, page_token: String::new() };
        Ok(self.nodes().list_restarts(self.request(request)).await?.into_inner())
    }

    /// Changes a node, and waits until the change has happened.
    pub async fn steer_node(&self, path: &NodePath, command: NodeCommand) -> Result<v1::Node, ClientError> {
        let name = node_name(path);
        let node = match command {
            NodeCommand::Start => {
                self.change(v1::StartNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::Stop => self.change(v1::StopNodeRequest { name, ..Default::default() }).await?.node,
            NodeCommand::Restart => {
                self.change(v1::RestartNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::Pause => {
                self.change(v1::PauseNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::Resume => {
                self.change(v1::ResumeNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::Drain => {
                self.change(v1::DrainNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::AsConfigured => {
                self.clear_override(&name).await?;
                return Ok(self.node(path).await?.what);
            }
            NodeCommand::Resize { slots } => {
                let slots = u32::try_from(slots.get()).unwrap_or(u32::MAX);
                let request = v1::ResizeNodeRequest { name, slots, ..Default::default() };
                self.change(request).await?.node
            }
        };
        present(node, "node")
    }

    fn nodes(&self) -> TreeServiceClient<Channel> {
        TreeServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
