//! TaskService.

use async_trait::async_trait;
use runtime_core::control::{Command, CommandError};
use runtime_core::error::ErrorCode;
use runtime_core::etag::Terms;
use runtime_core::operation::OperationKind;
use runtime_core::store::{TaskCommand, TaskFilter, TaskPage};
use runtime_core::task::TaskId;
use runtime_proto::v1;
use runtime_proto::v1::task_service_server::TaskService;
use tonic::{Request, Response, Status};

use super::operations::{Bulk, Found, meant, who};
use crate::convert;
use crate::door::Door;
use crate::filter;
use crate::page::{cursor, page_size, page_token};
use crate::status::{Resource, invalid, refusal};

/// Tasks that a count looks at, live ones and finished ones each: it answers soon, however many there are.
pub(super) const MAX_COUNT: u64 = 20_000;

/// Tasks, live and finished.
pub(crate) struct Tasks(pub(crate) Door);

impl Tasks {
    async fn steer(
        &self,
        door: Door,
        name: &str,
        command: TaskCommand,
        terms: Terms,
    ) -> Result<(v1::TaskState, String), Status> {
        let (id, about) = convert::task_from_wire(name)?;
        let validate_only = terms.validate_only;
        tracing::info!(task = %id, command = command.name(), validate_only, "an operator steers a task");
        let steered = door.ask(&about, |reply| Command::SteerTask { id, command, terms, reply }).await?;
        Ok((convert::task_state(steered.state), steered.etag.to_string()))
    }
}

#[async_trait]
impl TaskService for Tasks {
    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let v1::ListTasksRequest { filter, page_size: asked, page_token: token } = request.get_ref();
        let list = format!("tasks {filter}");
        let filter = selected(filter)?;
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let (tasks, next_page_token) = listed(&door, &list, filter, *asked, token).await?;
        Ok(Response::new(v1::ListTasksResponse { tasks, next_page_token, event_cursor }))
    }

    async fn get_task(
        &self,
        request: Request<v1::GetTaskRequest>,
    ) -> Result<Response<v1::GetTaskResponse>, Status> {
        let (id, about) = convert::task_from_wire(&request.get_ref().name)?;
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let detail = door.ask(&about, |reply| Command::GetTask { id, reply }).await?;
        Ok(Response::new(v1::GetTaskResponse {
            task: Some(convert::task(&detail.task)),
            attempts: detail.attempts.iter().map(convert::attempt).collect(),
            event_cursor,
        }))
    }

    async fn count_tasks(
        &self,
        request: Request<v1::CountTasksRequest>,
    ) -> Result<Response<v1::CountTasksResponse>, Status> {
        let filter = selected(&request.get_ref().filter)?;
        let door = self.0.for_call(&request);
        let (system, at_most) = (Resource::system(), MAX_COUNT);
        let event_cursor = door.event_cursor();
        let count = door.ask(&system, |reply| Command::CountTasks { filter, at_most, reply }).await?;
        Ok(Response::new(v1::CountTasksResponse {
            counts: Some(convert::counts(&count.counts)),
            total: count.total(),
            at_least: !count.whole,
            event_cursor,
        }))
    }

    async fn get_task_payload(
        &self,
        request: Request<v1::GetTaskPayloadRequest>,
    ) -> Result<Response<v1::GetTaskPayloadResponse>, Status> {
        let (id, about) = convert::task_from_wire(&request.get_ref().name)?;
        let door = self.0.for_call(&request);
        tracing::info!(task = %id, "an operator reads a payload");
        let task = door.ask(&about, |reply| Command::GetTask { id, reply }).await?.task;
        Ok(Response::new(v1::GetTaskPayloadResponse {
            payload: task.payload,
            schema_version: task.schema_version,
            output: task.output.unwrap_or_default(),
        }))
    }

    async fn reschedule_task(
        &self,
        request: Request<v1::RescheduleTaskRequest>,
    ) -> Result<Response<v1::RescheduleTaskResponse>, Status> {
        let at = convert::moment("at", request.get_ref().at)?;
        let at = at.ok_or_else(|| invalid("at", "name the time"))?;
        let command = TaskCommand::Reschedule { at };
        let v1::RescheduleTaskRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let (state, etag) = self.steer(self.0.for_call(&request), name, command, terms).await?;
        Ok(Response::new(v1::RescheduleTaskResponse { state: state.into(), etag }))
    }

    async fn delete_task(
        &self,
        request: Request<v1::DeleteTaskRequest>,
    ) -> Result<Response<v1::DeleteTaskResponse>, Status> {
        let v1::DeleteTaskRequest { name, reason: why, etag, validate_only, .. } = request.get_ref();
        let command = TaskCommand::Delete { reason: why.clone() };
        let terms = convert::terms(etag, *validate_only);
        let (state, _) = self.steer(self.0.for_call(&request), name, command, terms).await?;
        Ok(Response::new(v1::DeleteTaskResponse { state: state.into() }))
    }

    async fn enqueue_task(
        &self,
        request: Request<v1::EnqueueTaskRequest>,
    ) -> Result<Response<v1::EnqueueTaskResponse>, Status> {
        let door = self.0.for_call(&request);
        let (metadata, _, request) = request.into_parts();
        let about = Resource::new("queue", request.queue.clone());
        let task = convert::new_task(request, &metadata)?;
        let answers = door.ask(&about, |reply| Command::EnqueueTasks { tasks: vec![task], reply }).await?;
        let enqueued = answers
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(CommandError::new(ErrorCode::NoAnswer, "the store answered for no task")));
        let enqueued = enqueued.map_err(|error| refusal(&error, &about))?;
        Ok(Response::new(convert::enqueued(&enqueued)))
    }

    async fn retry_task(
        &self,
        request: Request<v1::RetryTaskRequest>,
    ) -> Result<Response<v1::RetryTaskResponse>, Status> {
        let v1::RetryTaskRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let (state, etag) = self.steer(self.0.for_call(&request), name, TaskCommand::Retry, terms).await?;
        Ok(Response::new(v1::RetryTaskResponse { state: state.into(), etag }))
    }

    async fn retry_tasks(
        &self,
        request: Request<v1::RetryTasksRequest>,
    ) -> Result<Response<v1::RetryTasksResponse>, Status> {
        let v1::RetryTasksRequest { filter, all, rate, reason, validate_only, .. } = request.get_ref();
        let kind = OperationKind::Retry;
        let (asked, rate, by, validate_only) = (filter.clone(), *rate, who(&request)?, *validate_only);
        let bulk = Bulk { kind, filter: meant(kind, filter, *all)?, asked, rate, reason, by, validate_only };
        let begun = bulk.begin(&self.0.for_call(&request)).await?;
        let (Found { matched, at_least, sample }, operation) = begun.told();
        Ok(Response::new(v1::RetryTasksResponse { matched, at_least, sample, operation }))
    }

    async fn cancel_tasks(
        &self,
        request: Request<v1::CancelTasksRequest>,
    ) -> Result<Response<v1::CancelTasksResponse>, Status> {
        let v1::CancelTasksRequest { filter, all, rate, reason, validate_only, .. } = request.get_ref();
        let kind = OperationKind::Cancel;
        let (asked, rate, by, validate_only) = (filter.clone(), *rate, who(&request)?, *validate_only);
        let bulk = Bulk { kind, filter: meant(kind, filter, *all)?, asked, rate, reason, by, validate_only };
        let begun = bulk.begin(&self.0.for_call(&request)).await?;
        let (Found { matched, at_least, sample }, operation) = begun.told();
        Ok(Response::new(v1::CancelTasksResponse { matched, at_least, sample, operation }))
    }

    async fn resolve_task(
        &self,
        request: Request<v1::ResolveTaskRequest>,
    ) -> Result<Response<v1::ResolveTaskResponse>, Status> {
        let command = match request.get_ref().decision() {
            v1::Decision::Approve => TaskCommand::Approve,
            v1::Decision::Reject => TaskCommand::Reject,
            v1::Decision::Unspecified => return Err(invalid("decision", "approve or reject")),
        };
        let v1::ResolveTaskRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let (state, etag) = self.steer(self.0.for_call(&request), name, command, terms).await?;
        Ok(Response::new(v1::ResolveTaskResponse { state: state.into(), etag }))
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let v1::CancelTaskRequest { name, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let (state, etag) = self.steer(self.0.for_call(&request), name, TaskCommand::Cancel, terms).await?;
        Ok(Response::new(v1::CancelTaskResponse { state: state.into(), etag }))
    }

    async fn replay_task(
        &self,
        request: Request<v1::ReplayTaskRequest>,
    ) -> Result<Response<v1::ReplayTaskResponse>, Status> {
        let (door, request) = (self.0.for_call(&request), request.into_inner());
        let (name, terms) = (request.name.clone(), convert::terms(&request.etag, request.validate_only));
        let (state, etag) = self.steer(door, &name, convert::replay(request)?, terms).await?;
        Ok(Response::new(v1::ReplayTaskResponse { state: state.into(), etag }))
    }

    async fn discard_task(
        &self,
        request: Request<v1::DiscardTaskRequest>,
    ) -> Result<Response<v1::DiscardTaskResponse>, Status> {
        let v1::DiscardTaskRequest { name, reason: why, etag, validate_only, .. } = request.get_ref();
        let command = TaskCommand::Discard { reason: why.clone() };
        let terms = convert::terms(etag, *validate_only);
        let (state, etag) = self.steer(self.0.for_call(&request), name, command, terms).await?;
        Ok(Response::new(v1::DiscardTaskResponse { state: state.into(), etag }))
    }
}

/// One page of the tasks that fit a filter, and where the next one begins; `list` names them for the page's token.
pub(super) async fn listed(
    door: &Door,
    list: &str,
    filter: TaskFilter,
    asked: u32,
    token: &str,
) -> Result<(Vec<v1::Task>, String), Status> {
    let page_size = page_size(asked)?;
    let after: Option<TaskId> =
        cursor(list, token)?.map(|id| convert::parsed("page_token", &id)).transpose()?;
    let TaskPage { tasks, next } =
        door.ask(&Resource::system(), |reply| Command::ListTasks { filter, after, page_size, reply }).await?;
    let next_page_token = next.map(|id| page_token(list, &id.to_string())).unwrap_or_default();
    Ok((tasks.iter().map(convert::task).collect(), next_page_token))
}

/// The tasks that a filter selects.
pub(super) fn selected(filter: &str) -> Result<TaskFilter, Status> {
    filter::tasks(filter).map_err(|error| invalid("filter", error.to_string()))
}
