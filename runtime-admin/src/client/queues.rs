//! Calls about queues.

use runtime_core::name::{QueueName, Scope};
use runtime_proto::v1;
use runtime_proto::v1::queue_service_client::QueueServiceClient;

use super::{AdminClient, Channel, ClientError, Page, Seen, pages, present, to_the_end};
use crate::convert::queue_name;
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// Every queue, by name.
    pub async fn queues(&self) -> Result<Seen<Vec<v1::Queue>>, ClientError> {
        pages(None, |page_size, page_token| async move {
            let request = self.request(v1::ListQueuesRequest { page_size, page_token });
            let page = self.queue_service().list_queues(request).await?.into_inner();
            let v1::ListQueuesResponse { queues: items, next_page_token, event_cursor } = page;
            Ok(Page { items, next_page_token, event_cursor })
        })
        .await
    }

    /// One queue: figures, policy, what is paused, what blocks.
    pub async fn queue(&self, queue: &QueueName) -> Result<Seen<v1::QueueDetail>, ClientError> {
        let request = self.request(v1::GetQueueRequest { name: queue_name(queue) });
        let v1::GetQueueResponse { queue, event_cursor } =
            self.queue_service().get_queue(request).await?.into_inner();
        Ok(Seen { what: present(queue, "queue")?, event_cursor })
    }

    /// Holds the tasks of a queue, or of one of its scopes.
    pub async fn pause_queue(
        &self,
        queue: &QueueName,
        scope: Option<&Scope>,
        reason: &str,
    ) -> Result<v1::QueueDetail, ClientError> {
        let request = v1::PauseQueueRequest {
            name: queue_name(queue),
            scope: text(scope),
            reason: reason.to_owned(),
            ..Default::default()
        };
        present(self.change(request).await?.queue, "queue")
    }

    /// Lets the tasks of a queue, or of one of its scopes, go again.
    pub async fn resume_queue(
        &self,
        queue: &QueueName,
        scope: Option<&Scope>,
    ) -> Result<v1::QueueDetail, ClientError> {
        let request =
            v1::ResumeQueueRequest { name: queue_name(queue), scope: text(scope), ..Default::default() };
        present(self.change(request).await?.queue, "queue")
    }

    /// Changes what operators say of the limits of a queue, and says how it is then; with `validate_only`, how it would be.
    pub async fn update_queue(&self, change: v1::UpdateQueueRequest) -> Result<v1::QueueDetail, ClientError> {
        present(self.change(change).await?.queue, "queue")
    }

    /// The figures of one queue.
    pub async fn queue_stats(&self, queue: &QueueName) -> Result<Seen<v1::QueueStats>, ClientError> {
        let request = self.request(v1::GetQueueStatsRequest { name: queue_name(queue) });
        let v1::GetQueueStatsResponse { stats, event_cursor } =
            self.queue_service().get_queue_stats(request).await?.into_inner();
        Ok(Seen { what: present(stats, "stats")?, event_cursor })
    }

    /// Forgets tasks of a queue: begins an operation, or without `force` only looks.
    pub async fn purge_queue(
        &self,
        request: v1::PurgeQueueRequest,
    ) -> Result<v1::PurgeQueueResponse, ClientError> {
        if !request.force {
            // A look needs no id: whoever gave one means what follows it.
            return Ok(self.queue_service().purge_queue(self.request(request)).await?.into_inner());
        }
        self.change(request).await
    }

    /// Holds the tasks of a queue, or of one of its scopes, and waits until none is under way. Without a time limit of its own: dropping
    /// the future waits no longer, and what is held stays so.
    ///
    /// # Errors
    /// What kept it from being paused; a connection that broke on the way.
    pub async fn drain_queue(
        &self,
        queue: &QueueName,
        scope: Option<&Scope>,
        reason: &str,
        progress: impl FnMut(&v1::DrainQueueResponse),
    ) -> Result<v1::DrainQueueResponse, ClientError> {
        let request = v1::DrainQueueRequest {
            name: queue_name(queue),
            scope: text(scope),
            reason: reason.to_owned(),
            ..Default::default()
        };
        let drain = self.begin(request).await?;
        let last = to_the_end(drain, |message| message.finished, progress).await?;
        last.ok_or(ClientError::Incomplete("end of the drain"))
    }

    fn queue_service(&self) -> QueueServiceClient<Channel> {
        QueueServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

fn text(scope: Option<&Scope>) -> String {
    scope.map(ToString::to_string).unwrap_or_default()
}
