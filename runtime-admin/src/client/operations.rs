//! Calls about operations: many tasks at once.

use runtime_core::name::{QueueName, Scope};
use runtime_core::operation::OperationId;
use runtime_proto::v1;
use runtime_proto::v1::operation_service_client::OperationServiceClient;

use super::{AdminClient, Channel, ClientError, present, text, to_the_end};
use crate::convert::{operation_name, queue_name};
use crate::page::MAX_PAGE_SIZE;
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// One operation.
    pub async fn operation(&self, id: OperationId) -> Result<v1::Operation, ClientError> {
        let request = self.request(v1::GetOperationRequest { name: operation_name(id) });
        let answer = self.operation_service().get_operation(request).await?.into_inner();
        present(answer.operation, "operation")
    }

    /// The newest operations, at most `limit`, over as many pages as that takes.
    pub async fn operations(&self, limit: usize) -> Result<Vec<v1::Operation>, ClientError> {
        let (mut operations, mut page_token) = (Vec::new(), String::new());
        while operations.len() < limit {
            let page_size = u32::try_from((limit - operations.len()).min(MAX_PAGE_SIZE)).unwrap_or(0);
            let request = self.request(v1::ListOperationsRequest { page_size, page_token });
            let page = self.operation_service().list_operations(request).await?.into_inner();
            operations.extend(page.operations);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(operations)
    }

    /// Ends an operation after the batch under way.
    pub async fn cancel_operation(
        &self,
        id: OperationId,
        reason: &str,
    ) -> Result<v1::Operation, ClientError> {
        let request = v1::CancelOperationRequest {
            name: operation_name(id),
            reason: reason.to_owned(),
            ..Default::default()
        };
        present(self.change(request).await?.operation, "operation")
    }

    /// Tells how an operation goes, and returns it at its end. Without a time limit of its own: dropping the future changes nothing.
    ///
    /// # Errors
    /// No such operation; a connection that broke on the way, whatever becomes of the operation.
    pub async fn watch_operation(
        &self,
        name: &str,
        mut progress: impl FnMut(&v1::Operation),
    ) -> Result<v1::Operation, ClientError> {
        let request = v1::WatchOperationRequest { name: name.to_owned() };
        let watch = self.operation_service().watch_operation(request).await?.into_inner();
        let has_ended = |message: &v1::WatchOperationResponse| {
            message.operation.as_ref().is_some_and(|known| known.state() != v1::OperationState::Running)
        };
        let last = to_the_end(watch, has_ended, |message| message.operation.iter().for_each(&mut progress));
        present(last.await?.and_then(|message| message.operation), "end of the operation")
    }

    /// Has tasks that wait for their time go now: begins an operation, or only looks.
    pub async fn retry_tasks(
        &self,
        request: v1::RetryTasksRequest,
    ) -> Result<v1::RetryTasksResponse, ClientError> {
        self.change(request).await
    }

    /// Cancels tasks that are not finished: begins an operation, or only looks.
    pub async fn cancel_tasks(
        &self,
        request: v1::CancelTasksRequest,
    ) -> Result<v1::CancelTasksResponse, ClientError> {
        self.change(request).await
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

    fn operation_service(&self) -> OperationServiceClient<Channel> {
        OperationServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
