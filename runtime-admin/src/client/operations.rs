//! Calls about operations: many tasks at once.

use runtime_core::operation::OperationId;
use runtime_proto::v1;
use runtime_proto::v1::operation_service_client::OperationServiceClient;

use super::{AdminClient, Channel, ClientError, Page, Seen, pages, present, to_the_end};
use crate::convert::operation_name;
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// One operation.
    pub async fn operation(&self, id: OperationId) -> Result<Seen<v1::Operation>, ClientError> {
        let request = self.request(v1::GetOperationRequest { name: operation_name(id) });
        let v1::GetOperationResponse { operation, event_cursor } =
            self.operation_service().get_operation(request).await?.into_inner();
        Ok(Seen { what: present(operation, "operation")?, event_cursor })
    }

    /// The newest operations, at most `limit`, over as many pages as that takes.
    pub async fn operations(&self, limit: usize) -> Result<Seen<Vec<v1::Operation>>, ClientError> {
        pages(Some(limit), |page_size, page_token| async move {
            let request = self.request(v1::ListOperationsRequest { page_size, page_token });
            let page = self.operation_service().list_operations(request).await?.into_inner();
            let v1::ListOperationsResponse { operations: items, next_page_token, event_cursor } = page;
            Ok(Page { items, next_page_token, event_cursor })
        })
        .await
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

    fn operation_service(&self) -> OperationServiceClient<Channel> {
        OperationServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
