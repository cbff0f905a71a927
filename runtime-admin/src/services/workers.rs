//! WorkerService.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use runtime_core::control::{
    Command, CommandError, DependencyView, Reply, RunAsk, RunProgress, RunSelection,
};
use runtime_core::name::WorkerName;
use runtime_core::worker::WorkerDescriptor;
use runtime_proto::v1;
use runtime_proto::v1::run_worker_request::Selection;
use runtime_proto::v1::worker_service_server::WorkerService;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::progress::Work;
use crate::convert;
use crate::door::Door;
use crate::page::page_of;
use crate::status::{Resource, invalid, refusal};

/// The registered workers.
pub(crate) struct Workers(pub(crate) Door);

#[async_trait]
impl WorkerService for Workers {
    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let mut workers = door.ask(&Resource::system(), |reply| Command::ListWorkers { reply }).await?;
        workers.sort_by(|a, b| a.name.cmp(&b.name));
        let dependencies = dependencies(&door, &Resource::system()).await?;
        let v1::ListWorkersRequest { page_size, page_token } = request.get_ref();
        let (page, next_page_token) =
            page_of("workers", workers, |worker| worker.name.as_str(), *page_size, page_token)?;
        Ok(Response::new(v1::ListWorkersResponse {
            workers: page.iter().map(|worker| convert::worker(worker, &dependencies)).collect(),
            next_page_token,
            event_cursor,
        }))
    }

    type RunWorkerStream = BoxStream<'static, Result<v1::RunWorkerResponse, Status>>;

    async fn get_worker(
        &self,
        request: Request<v1::GetWorkerRequest>,
    ) -> Result<Response<v1::GetWorkerResponse>, Status> {
        let (name, about) = convert::worker_from_wire(&request.get_ref().name)?;
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let worker = registered(&door, &about, &name).await?;
        let dependencies = dependencies(&door, &about).await?;
        let worker = Some(convert::worker(&worker, &dependencies));
        Ok(Response::new(v1::GetWorkerResponse { worker, event_cursor }))
    }

    async fn run_worker(
        &self,
        request: Request<v1::RunWorkerRequest>,
    ) -> Result<Response<Self::RunWorkerStream>, Status> {
        let door = self.0.for_call(&request);
        let (ask, about) = asked(request.into_inner())?;
        let correlation_id = ask.correlation.to_string();
        tracing::info!(worker = %ask.worker, selection = ?ask.selection, correlation_id, rebuild = ask.rebuild,
            dry_run = ask.dry_run, "an operator runs a worker");
        let (progress, listens) = watch::channel(RunProgress::default());
        let (reply, end) = Reply::channel();
        door.send(Command::RunWorker { ask, progress, reply }, &about)?;
        let work = Work { about, listens, end };
        Ok(Response::new(work.told(move |progress, finished| v1::RunWorkerResponse {
            correlation_id: correlation_id.clone(),
            selected: progress.selected,
            made: progress.made,
            counts: Some(convert::counts(&progress.counts)),
            refused: progress.refused,
            finished,
        })))
    }
}

/// What workers depend on, as it stands now.
async fn dependencies(door: &Door, about: &Resource) -> Result<Vec<DependencyView>, Status> {
    Ok(door.ask(about, |reply| Command::GetOverview { reply }).await?.dependencies)
}

async fn registered(door: &Door, about: &Resource, worker: &WorkerName) -> Result<WorkerDescriptor, Status> {
    let workers: Vec<WorkerDescriptor> = door.ask(about, |reply| Command::ListWorkers { reply }).await?;
    let known = workers.into_iter().find(|known| known.name == *worker);
    known.ok_or_else(|| refusal(&CommandError::not_found(format!("no worker {worker}")), about))
}

/// What was asked for, checked.
fn asked(request: v1::RunWorkerRequest) -> Result<(RunAsk, Resource), Status> {
    let (worker, about) = convert::worker_from_wire(&request.name)?;
    let since = convert::moment("since", request.since)?;
    let until = convert::moment("until", request.until)?;
    let selection = match &request.selection {
        Some(Selection::Task(name)) => RunSelection::Task(convert::named("task", "tasks/", name)?),
        Some(Selection::Scope(scope)) => {
            RunSelection::Scope { scope: convert::parsed("scope", scope)?, since, until }
        }
        None => return Err(invalid("selection", "name a task or a scope")),
    };
    if request.rebuild && matches!(selection, RunSelection::Task(_)) {
        return Err(invalid("rebuild", "a rebuild is for a scope"));
    }
    let correlation = match convert::optional("correlation_id", &request.correlation_id)? {
        Some(correlation) => correlation,
        None => convert::parsed("correlation_id", &format!("run-{}", uuid::Uuid::new_v4().simple()))?,
    };
    let v1::RunWorkerRequest { once, rebuild, validate_only: dry_run, .. } = request;
    Ok((RunAsk { worker, selection, correlation, once, rebuild, dry_run }, about))
}
