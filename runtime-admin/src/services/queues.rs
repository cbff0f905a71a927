//! QueueService.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use runtime_core::control::{Command, CommandError, QueueCommand, QueueView, Reply};
use runtime_core::etag::Terms;
use runtime_core::operation::OperationKind;
use runtime_core::task::TaskState;
use runtime_proto::v1;
use runtime_proto::v1::queue_service_server::QueueService;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::operations::{Bulk, Found, who};
use super::progress::Work;
use super::tasks::selected;
use crate::convert;
use crate::door::Door;
use crate::page::page_of;
use crate::status::{Resource, invalid, refusal};

/// The queues, and what keeps their tasks waiting.
pub(crate) struct Queues(pub(crate) Door);

impl Queues {
    async fn all<T: Sync>(&self, call: &Request<T>, about: &Resource) -> Result<Vec<QueueView>, Status> {
        self.0.for_call(call).ask(about, |reply| Command::ListQueues { reply }).await
    }

    async fn pause<T: Sync>(
        &self,
        call: &Request<T>,
        name: &str,
        scope: &str,
        paused: bool,
        reason: &str,
        terms: Terms,
    ) -> Result<v1::QueueDetail, Status> {
        let (queue, about) = convert::queue_from_wire(name)?;
        let scope = convert::optional("scope", scope)?;
        let (door, reason) = (self.0.for_call(call), reason.to_owned());
        let detail = door
            .ask(&about, |reply| {
                Command::Queues(QueueCommand::Pause { queue, scope, paused, reason, terms, reply })
            })
            .await?;
        Ok(convert::queue_detail(&detail))
    }
}

#[async_trait]
impl QueueService for Queues {
    async fn list_queues(
        &self,
        request: Request<v1::ListQueuesRequest>,
    ) -> Result<Response<v1::ListQueuesResponse>, Status> {
        let event_cursor = self.0.event_cursor();
        let queues = self.all(&request, &Resource::system()).await?;
        let v1::ListQueuesRequest { page_size, page_token } = request.get_ref();
        let (page, next_page_token) =
            page_of("queues", queues, |view| view.stats.queue.as_str(), *page_size, page_token)?;
        Ok(Response::new(v1::ListQueuesResponse {
            queues: page.iter().map(convert::queue).collect(),
            next_page_token,
            event_cursor,
        }))
    }

    async fn get_queue(
        &self,
        request: Request<v1::GetQueueRequest>,
    ) -> Result<Response<v1::GetQueueResponse>, Status> {
        let (queue, about) = convert::queue_from_wire(&request.get_ref().name)?;
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let detail = door.ask(&about, |reply| Command::Queues(QueueCommand::Get { queue, reply })).await?;
        Ok(Response::new(v1::GetQueueResponse { queue: Some(convert::queue_detail(&detail)), event_cursor }))
    }

    async fn pause_queue(
        &self,
        request: Request<v1::PauseQueueRequest>,
    ) -> Result<Response<v1::PauseQueueResponse>, Status> {
        let v1::PauseQueueRequest { name, scope, reason, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let queue = self.pause(&request, name, scope, true, reason, terms).await?;
        Ok(Response::new(v1::PauseQueueResponse { queue: Some(queue) }))
    }

    async fn resume_queue(
        &self,
        request: Request<v1::ResumeQueueRequest>,
    ) -> Result<Response<v1::ResumeQueueResponse>, Status> {
        let v1::ResumeQueueRequest { name, scope, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let queue = self.pause(&request, name, scope, false, "", terms).await?;
        Ok(Response::new(v1::ResumeQueueResponse { queue: Some(queue) }))
    }

    async fn update_queue(
        &self,
        request: Request<v1::UpdateQueueRequest>,
    ) -> Result<Response<v1::UpdateQueueResponse>, Status> {
        let door = self.0.for_call(&request);
        let request = request.into_inner();
        let (queue, about) = convert::queue_from_wire(&request.name)?;
        let change = convert::change_from_wire(&request)?;
        let v1::UpdateQueueRequest { reason, validate_only, etag, .. } = request;
        let terms = convert::terms(&etag, validate_only);
        let update = |reply| Command::Queues(QueueCommand::Update { queue, change, reason, terms, reply });
        let detail = door.ask(&about, update).await?;
        Ok(Response::new(v1::UpdateQueueResponse { queue: Some(convert::queue_detail(&detail)) }))
    }

    async fn get_queue_stats(
        &self,
        request: Request<v1::GetQueueStatsRequest>,
    ) -> Result<Response<v1::GetQueueStatsResponse>, Status> {
        let (queue, about) = convert::queue_from_wire(&request.get_ref().name)?;
        let event_cursor = self.0.event_cursor();
        let queues = self.all(&request, &about).await?;
        let known = queues
            .iter()
            .find(|known| known.stats.queue == queue)
            .ok_or_else(|| refusal(&CommandError::not_found(format!("no queue {queue}")), &about))?;
        Ok(Response::new(v1::GetQueueStatsResponse {
            stats: Some(convert::queue_stats(&known.stats, known.rates)),
            event_cursor,
        }))
    }

    type DrainQueueStream = BoxStream<'static, Result<v1::DrainQueueResponse, Status>>;

    async fn drain_queue(
        &self,
        request: Request<v1::DrainQueueRequest>,
    ) -> Result<Response<Self::DrainQueueStream>, Status> {
        let (door, request) = (self.0.for_call(&request), request.into_inner());
        let v1::DrainQueueRequest { name, scope, reason, etag, validate_only, .. } = request;
        let terms = convert::terms(&etag, validate_only);
        let (queue, about) = convert::queue_from_wire(&name)?;
        let scope = convert::optional("scope", &scope)?;
        tracing::info!(%queue, ?scope, reason, "an operator drains a queue");
        let (leased, listens) = watch::channel(0);
        let (reply, end) = Reply::channel();
        let drain = QueueCommand::Drain { queue, scope, reason, terms, leased, reply };
        door.send(Command::Queues(drain), &about)?;
        let work = Work { about, listens, end };
        let messages = work.told(|leased, finished| v1::DrainQueueResponse { leased: *leased, finished });
        Ok(Response::new(messages))
    }

    async fn purge_queue(
        &self,
        request: Request<v1::PurgeQueueRequest>,
    ) -> Result<Response<v1::PurgeQueueResponse>, Status> {
        let v1::PurgeQueueRequest { name, filter, include_waiting, rate, reason, force, .. } =
            request.get_ref();
        let (queue, _) = convert::queue_from_wire(name)?;
        let asked = if filter.is_empty() {
            format!("queue={queue}")
        } else {
            format!("queue={queue} AND ({filter})")
        };
        let mut select = selected(filter)?;
        let names_states = select.possible_states().len() < TaskState::ALL.len();
        select.queue = Some(queue);
        let finished: Vec<TaskState> =
            TaskState::ALL.into_iter().filter(|state| state.is_finished()).collect();
        if !names_states && !include_waiting {
            select.states = finished;
        }
        if select.possible_states().iter().any(|state| !state.is_finished()) && !include_waiting {
            return Err(invalid(
                "include_waiting",
                "the filter selects tasks that wait: say that they are meant",
            ));
        }
        let bulk = Bulk {
            kind: OperationKind::Purge,
            filter: select,
            asked,
            rate: *rate,
            reason,
            by: who(&request)?,
            validate_only: !force,
        };
        let begun = bulk.begin(&self.0.for_call(&request)).await?;
        let (Found { matched, at_least, sample }, operation) = begun.told();
        Ok(Response::new(v1::PurgeQueueResponse { matched, at_least, sample, operation }))
    }
}
