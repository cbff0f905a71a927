//! DeadLetterService.

use std::num::NonZeroU32;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use runtime_core::control::{
    Command, DeadLetterAction, DeadLetterAsk, DeadLetterCommand, DeadLetterProgress, Reply,
};
use runtime_core::store::TaskFilter;
use runtime_core::task::TaskState;
use runtime_proto::v1;
use runtime_proto::v1::dead_letter_service_server::DeadLetterService;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::progress::Work;
use super::tasks::{listed, reason};
use crate::convert;
use crate::door::Door;
use crate::filter::Filter;
use crate::status::{Resource, invalid};

/// Dead tasks, many at a time.
pub(crate) struct DeadLetters(pub(crate) Door);

impl DeadLetters {
    fn act(&self, ask: DeadLetterAsk) -> Result<Work<DeadLetterProgress>, Status> {
        let DeadLetterAsk { filter, action, dry_run } = &ask;
        tracing::info!(action = action.name(), ?filter, dry_run, "an operator acts on dead letters");
        let about = Resource::system();
        let (progress, listens) = watch::channel(DeadLetterProgress::default());
        let (reply, end) = Reply::channel();
        self.0.send(Command::DeadLetters(DeadLetterCommand::Act { ask, progress, reply }), &about)?;
        Ok(Work { about, listens, end })
    }
}

#[async_trait]
impl DeadLetterService for DeadLetters {
    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let door = self.0.for_call(request.metadata());
        let v1::ListDeadLettersRequest { filter, page_size, page_token } = request.get_ref();
        let list = format!("dead letters {filter}");
        let mut filter: Filter = parsed(filter)?;
        filter.select = dead(filter.select)?;
        let (tasks, next_page_token) = listed(&door, &list, filter, *page_size, page_token).await?;
        Ok(Response::new(v1::ListDeadLettersResponse { tasks, next_page_token }))
    }

    async fn count_dead_letters(
        &self,
        request: Request<v1::CountDeadLettersRequest>,
    ) -> Result<Response<v1::CountDeadLettersResponse>, Status> {
        let filter = selected(&request.get_ref().filter)?;
        let door = self.0.for_call(request.metadata());
        let groups = door
            .ask(&Resource::system(), |reply| {
                Command::DeadLetters(DeadLetterCommand::Count { filter, reply })
            })
            .await?;
        Ok(Response::new(v1::CountDeadLettersResponse {
            total: groups.iter().map(|group| group.count).sum(),
            groups: groups.iter().map(convert::dead_letter_group).collect(),
        }))
    }

    type ReplayDeadLettersStream = BoxStream<'static, Result<v1::ReplayDeadLettersResponse, Status>>;

    async fn replay_dead_letters(
        &self,
        request: Request<v1::ReplayDeadLettersRequest>,
    ) -> Result<Response<Self::ReplayDeadLettersStream>, Status> {
        let v1::ReplayDeadLettersRequest { filter, all, rate, validate_only } = request.into_inner();
        let work = self.act(DeadLetterAsk {
            filter: meant(&filter, all)?,
            action: DeadLetterAction::Replay { rate: NonZeroU32::new(rate) },
            dry_run: validate_only,
        })?;
        Ok(Response::new(work.told(|progress, finished| v1::ReplayDeadLettersResponse {
            matched: progress.matched,
            replayed: progress.acted,
            due_by: progress.due_by.map(convert::timestamp),
            sample: progress.sample.iter().map(convert::task).collect(),
            finished,
        })))
    }

    type DiscardDeadLettersStream = BoxStream<'static, Result<v1::DiscardDeadLettersResponse, Status>>;

    async fn discard_dead_letters(
        &self,
        request: Request<v1::DiscardDeadLettersRequest>,
    ) -> Result<Response<Self::DiscardDeadLettersStream>, Status> {
        let v1::DiscardDeadLettersRequest { filter, all, reason: why, validate_only } = request.into_inner();
        let work = self.act(DeadLetterAsk {
            filter: meant(&filter, all)?,
            action: DeadLetterAction::Discard { reason: reason(why)? },
            dry_run: validate_only,
        })?;
        Ok(Response::new(work.told(|progress, finished| v1::DiscardDeadLettersResponse {
            matched: progress.matched,
            discarded: progress.acted,
            sample: progress.sample.iter().map(convert::task).collect(),
            finished,
        })))
    }
}

fn parsed(filter: &str) -> Result<Filter, Status> {
    filter.parse().map_err(|error| invalid("filter", format!("{error}")))
}

/// A filter that the store selects by as a whole: nobody looks at each task between count and deed.
fn selected(filter: &str) -> Result<TaskFilter, Status> {
    let select = parsed(filter)?.whole();
    dead(select.ok_or_else(|| invalid("filter", "a prefix lists, it does not select: compare by '='"))?)
}

fn dead(filter: TaskFilter) -> Result<TaskFilter, Status> {
    filter.of_the_dead().ok_or_else(|| invalid("filter", "dead letters are dead: leave the state out"))
}

/// What is to be changed: a filter that leaves something out, or all, said in so many words.
fn meant(filter: &str, all: bool) -> Result<TaskFilter, Status> {
    let select = selected(filter)?;
    let any = select == TaskFilter { states: vec![TaskState::Dead], ..TaskFilter::default() };
    match (any, all) {
        (true, false) => Err(invalid("filter", "name what is meant, or say that all are")),
        (false, true) => Err(invalid("all", "all, or those of a filter: not both")),
        _ => Ok(select),
    }
}
