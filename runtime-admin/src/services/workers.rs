//! WorkerService.

use async_trait::async_trait;
use runtime_core::control::{Command, CommandError};
use runtime_core::name::{CorrelationId, Scope, WorkerName};
use runtime_core::store::TaskFilter;
use runtime_core::task::{TaskId, TaskState};
use runtime_core::worker::WorkerDescriptor;
use runtime_proto::v1;
use runtime_proto::v1::run_worker_request::Selection;
use runtime_proto::v1::worker_service_server::WorkerService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::door::Door;
use crate::page::{MAX_PAGE_SIZE, page_of};
use crate::status::{Resource, invalid, refusal};

/// The registered workers.
pub(crate) struct Workers(pub(crate) Door);

#[async_trait]
impl WorkerService for Workers {
    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let door = self.0.for_call(request.metadata());
        let mut workers = door.ask(&Resource::system(), |reply| Command::ListWorkers { reply }).await?;
        workers.sort_by(|a, b| a.name.cmp(&b.name));
        let v1::ListWorkersRequest { page_size, page_token } = request.get_ref();
        let (page, next_page_token) =
            page_of("workers", workers, |worker| worker.name.as_str(), *page_size, page_token)?;
        Ok(Response::new(v1::ListWorkersResponse {
            workers: page.iter().map(convert::worker).collect(),
            next_page_token,
        }))
    }

    async fn get_worker(
        &self,
        request: Request<v1::GetWorkerRequest>,
    ) -> Result<Response<v1::GetWorkerResponse>, Status> {
        let (name, about) = convert::worker_from_wire(&request.get_ref().name)?;
        let worker = registered(&self.0.for_call(request.metadata()), &about, &name).await?;
        Ok(Response::new(v1::GetWorkerResponse { worker: Some(convert::worker(&worker)) }))
    }

    async fn run_worker(
        &self,
        request: Request<v1::RunWorkerRequest>,
    ) -> Result<Response<v1::RunWorkerResponse>, Status> {
        let v1::RunWorkerRequest { name, selection, correlation_id } = request.get_ref();
        let (worker, about) = convert::worker_from_wire(name)?;
        let correlation: Option<CorrelationId> = convert::optional("correlation_id", correlation_id)?;
        let door = self.0.for_call(request.metadata());
        let task = match selection {
            Some(Selection::Task(name)) => convert::named("task", "tasks/", name)?,
            Some(Selection::Scope(scope)) => {
                let scope = convert::parsed("scope", scope)?;
                ready_task(&door, &about, &worker, scope).await?
            }
            None => return Err(invalid("selection", "name a task or a scope")),
        };
        let correlation = match correlation {
            Some(correlation) => correlation,
            None => convert::parsed("correlation_id", &format!("run-{task}"))?,
        };
        let correlation_id = correlation.to_string();
        tracing::info!(%worker, %task, correlation_id, "an operator runs a worker");
        door.ask(&about, |reply| Command::RunWorker { worker, task, correlation, reply }).await?;
        Ok(Response::new(v1::RunWorkerResponse { task: convert::task_name(task), correlation_id }))
    }
}

/// A ready task of this worker and scope: the oldest of the newest page.
async fn ready_task(
    door: &Door,
    about: &Resource,
    worker: &WorkerName,
    scope: Scope,
) -> Result<TaskId, Status> {
    let route = registered(door, about, worker).await?.route;
    let filter = TaskFilter {
        states: vec![TaskState::Ready],
        app: Some(route.app.clone()),
        queue: Some(route.queue.clone()),
        handler: Some(route.handler.clone()),
        scope: Some(scope.clone()),
        ..TaskFilter::default()
    };
    let page = door
        .ask(about, |reply| Command::ListTasks { filter, after: None, page_size: MAX_PAGE_SIZE, reply })
        .await?;
    let oldest = page.tasks.last().map(|task| task.id);
    oldest.ok_or_else(|| missing(format!("no ready task of scope {scope} for worker {worker}"), about))
}

async fn registered(door: &Door, about: &Resource, worker: &WorkerName) -> Result<WorkerDescriptor, Status> {
    let workers: Vec<WorkerDescriptor> = door.ask(about, |reply| Command::ListWorkers { reply }).await?;
    let known = workers.into_iter().find(|known| known.name == *worker);
    known.ok_or_else(|| missing(format!("no worker {worker}"), about))
}

fn missing(what: String, about: &Resource) -> Status {
    refusal(&CommandError::not_found(what), about)
}
