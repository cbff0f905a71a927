//! QueueService.

use async_trait::async_trait;
use runtime_core::control::{Command, CommandError};
use runtime_core::store::QueueStats;
use runtime_proto::v1;
use runtime_proto::v1::queue_service_server::QueueService;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::door::Door;
use crate::page::page_of;
use crate::status::{Resource, refusal};

/// Depth and age of the queues.
pub(crate) struct Queues(pub(crate) Door);

impl Queues {
    async fn all(&self, metadata: &MetadataMap, about: &Resource) -> Result<Vec<QueueStats>, Status> {
        let mut queues = self.0.for_call(metadata).ask(about, |reply| Command::ListQueues { reply }).await?;
        queues.sort_by(|a, b| a.queue.cmp(&b.queue));
        Ok(queues)
    }
}

#[async_trait]
impl QueueService for Queues {
    async fn list_queues(
        &self,
        request: Request<v1::ListQueuesRequest>,
    ) -> Result<Response<v1::ListQueuesResponse>, Status> {
        let queues = self.all(request.metadata(), &Resource::system()).await?;
        let v1::ListQueuesRequest { page_size, page_token } = request.get_ref();
        let (page, next_page_token) =
            page_of("queues", queues, |stats| stats.queue.as_str(), *page_size, page_token)?;
        Ok(Response::new(v1::ListQueuesResponse {
            queues: page.iter().map(convert::queue).collect(),
            next_page_token,
        }))
    }

    async fn get_queue_stats(
        &self,
        request: Request<v1::GetQueueStatsRequest>,
    ) -> Result<Response<v1::GetQueueStatsResponse>, Status> {
        let (queue, about) = convert::queue_from_wire(&request.get_ref().name)?;
        let queues = self.all(request.metadata(), &about).await?;
        let stats = queues
            .iter()
            .find(|stats| stats.queue == queue)
            .ok_or_else(|| refusal(&CommandError::not_found(format!("no queue {queue}")), &about))?;
        Ok(Response::new(v1::GetQueueStatsResponse { stats: Some(convert::queue_stats(stats)) }))
    }
}
