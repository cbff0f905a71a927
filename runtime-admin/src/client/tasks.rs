//! Calls about tasks.

use jiff::Timestamp;
use runtime_core::store::TaskCommand;
use runtime_core::task::TaskId;
use runtime_proto::v1;
use runtime_proto::v1::task_service_client::TaskServiceClient;

use super::{AdminClient, Channel, ClientError, Page, Seen, pages};
use crate::convert::{task_name, timestamp};
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// One page of tasks, newest first.
    pub async fn list_tasks(
        &self,
        request: v1::ListTasksRequest,
    ) -> Result<v1::ListTasksResponse, ClientError> {
        Ok(self.task_service().list_tasks(self.request(request)).await?.into_inner())
    }

    /// The newest tasks that fit `filter`, at most `limit`, over as many pages as that takes.
    pub async fn tasks(&self, filter: &str, limit: usize) -> Result<Seen<Vec<v1::Task>>, ClientError> {
        pages(Some(limit), |page_size, page_token| async move {
            let request = v1::ListTasksRequest { filter: filter.to_owned(), page_size, page_token };
            let v1::ListTasksResponse { tasks: items, next_page_token, event_cursor } =
                self.list_tasks(request).await?;
            Ok(Page { items, next_page_token, event_cursor })
        })
        .await
    }

    /// One task with its attempts.
    pub async fn task(&self, id: TaskId) -> Result<v1::GetTaskResponse, ClientError> {
        let request = v1::GetTaskRequest { name: task_name(id) };
        Ok(self.task_service().get_task(self.request(request)).await?.into_inner())
    }

    /// How many tasks fit `filter`, by state.
    pub async fn count_tasks(&self, filter: &str) -> Result<v1::CountTasksResponse, ClientError> {
        let request = self.request(v1::CountTasksRequest { filter: filter.to_owned() });
        Ok(self.task_service().count_tasks(request).await?.into_inner())
    }

    /// What a task was given and what it gave.
    pub async fn task_payload(&self, id: TaskId) -> Result<v1::GetTaskPayloadResponse, ClientError> {
        let request = self.request(v1::GetTaskPayloadRequest { name: task_name(id) });
        Ok(self.task_service().get_task_payload(request).await?.into_inner())
    }

    /// Makes a task.
    pub async fn enqueue(
        &self,
        task: v1::EnqueueTaskRequest,
    ) -> Result<v1::EnqueueTaskResponse, ClientError> {
        self.change(task).await
    }

    /// Changes a task, and says where it stands afterwards.
    pub async fn steer_task(&self, id: TaskId, command: TaskCommand) -> Result<v1::TaskState, ClientError> {
        let name = task_name(id);
        let state = match command {
            TaskCommand::Approve => self.resolve_task(name, v1::Decision::Approve).await?,
            TaskCommand::Reject => self.resolve_task(name, v1::Decision::Reject).await?,
            TaskCommand::Retry => {
                self.change(v1::RetryTaskRequest { name, ..Default::default() }).await?.state()
            }
            TaskCommand::Cancel => {
                self.change(v1::CancelTaskRequest { name, ..Default::default() }).await?.state()
            }
            TaskCommand::Replay { at, payload } => {
                let request =
                    v1::ReplayTaskRequest { name, at: at.map(timestamp), payload, ..Default::default() };
                self.change(request).await?.state()
            }
            TaskCommand::Discard { reason } => {
                self.change(v1::DiscardTaskRequest { name, reason, ..Default::default() }).await?.state()
            }
            TaskCommand::Reschedule { at } => {
                let request =
                    v1::RescheduleTaskRequest { name, at: Some(timestamp(at)), ..Default::default() };
                self.change(request).await?.state()
            }
            TaskCommand::Delete { reason } => {
                self.change(v1::DeleteTaskRequest { name, reason, ..Default::default() }).await?.state()
            }
        };
        Ok(state)
    }

    async fn resolve_task(&self, name: String, decision: v1::Decision) -> Result<v1::TaskState, ClientError> {
        let request = v1::ResolveTaskRequest { name, decision: decision.into(), ..Default::default() };
        Ok(self.change(request).await?.state())
    }

    /// Gives a task that waits another time, and says where it stands afterwards, with its etag.
    pub async fn reschedule_task(
        &self,
        id: TaskId,
        at: Timestamp,
    ) -> Result<v1::RescheduleTaskResponse, ClientError> {
        let (name, at) = (task_name(id), Some(timestamp(at)));
        self.change(v1::RescheduleTaskRequest { name, at, ..Default::default() }).await
    }

    fn task_service(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
