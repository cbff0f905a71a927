//! DeadLetterService.

use std::future::ready;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, once};
use runtime_core::control::Command;
use runtime_core::operation::{Operation, OperationKind};
use runtime_core::store::TaskFilter;
use runtime_proto::v1;
use runtime_proto::v1::dead_letter_service_server::DeadLetterService;
use tonic::{Request, Response, Status};

use super::operations::{Begun, Bulk, Found, follow, meant, who};
use super::tasks::{MAX_COUNT, listed, selected};
use crate::convert;
use crate::door::Door;
use crate::status::{Resource, invalid};

/// Dead tasks, many at a time.
pub(crate) struct DeadLetters(pub(crate) Door);

impl DeadLetters {
    /// Begins an operation and tells of it until its end, or says what it would change.
    async fn act<M: Send + 'static>(
        &self,
        door: Door,
        bulk: Bulk<'_>,
        all: bool,
        preview: impl FnOnce(Found) -> M,
        message: impl Fn(&Operation, bool) -> M + Send + 'static,
    ) -> Result<Response<BoxStream<'static, Result<M, Status>>>, Status> {
        let filter = meant(bulk.kind, &bulk.asked, all)?;
        let begun = Bulk { filter, ..bulk }.begin(&door).await?;
        let messages = match begun {
            Begun::Operation(operation) => follow(&self.0, *operation)?.told(message),
            Begun::Preview(found) => once(ready(Ok(preview(Found::of(&found))))).boxed(),
        };
        Ok(Response::new(messages))
    }
}

#[async_trait]
impl DeadLetterService for DeadLetters {
    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let door = self.0.for_call(&request);
        let v1::ListDeadLettersRequest { filter, page_size, page_token } = request.get_ref();
        let list = format!("dead letters {filter}");
        let filter = dead(selected(filter)?)?;
        let event_cursor = door.event_cursor();
        let (tasks, next_page_token) = listed(&door, &list, filter, *page_size, page_token).await?;
        Ok(Response::new(v1::ListDeadLettersResponse { tasks, next_page_token, event_cursor }))
    }

    async fn count_dead_letters(
        &self,
        request: Request<v1::CountDeadLettersRequest>,
    ) -> Result<Response<v1::CountDeadLettersResponse>, Status> {
        let filter = dead(selected(&request.get_ref().filter)?)?;
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let (system, at_most) = (Resource::system(), MAX_COUNT);
        let found = door.ask(&system, |reply| Command::CountDeadLetters { filter, at_most, reply }).await?;
        Ok(Response::new(v1::CountDeadLettersResponse {
            groups: found.groups.iter().map(convert::dead_letter_group).collect(),
            total: found.total(),
            at_least: !found.whole,
            event_cursor,
        }))
    }

    type ReplayDeadLettersStream = BoxStream<'static, Result<v1::ReplayDeadLettersResponse, Status>>;

    async fn replay_dead_letters(
        &self,
        request: Request<v1::ReplayDeadLettersRequest>,
    ) -> Result<Response<Self::ReplayDeadLettersStream>, Status> {
        let by = who(&request)?;
        let (door, request) = (self.0.for_call(&request), request.into_inner());
        let v1::ReplayDeadLettersRequest { filter: asked, all, rate, validate_only, reason, .. } = request;
        let kind = OperationKind::Replay;
        let filter = TaskFilter::default();
        let bulk = Bulk { kind, filter, asked, rate, reason: &reason, by, validate_only };
        let preview = |Found { matched, at_least, sample }| v1::ReplayDeadLettersResponse {
            matched,
            at_least,
            sample,
            finished: true,
            ..v1::ReplayDeadLettersResponse::default()
        };
        let message = |operation: &Operation, finished| v1::ReplayDeadLettersResponse {
            matched: operation.spec.matched,
            replayed: operation.counts.done,
            due_by: (operation.counts.done > 0).then(|| convert::timestamp(operation.next_at)),
            finished,
            operation: Some(convert::operation(operation)),
            ..v1::ReplayDeadLettersResponse::default()
        };
        self.act(door, bulk, all, preview, message).await
    }

    type DiscardDeadLettersStream = BoxStream<'static, Result<v1::DiscardDeadLettersResponse, Status>>;

    async fn discard_dead_letters(
        &self,
        request: Request<v1::DiscardDeadLettersRequest>,
    ) -> Result<Response<Self::DiscardDeadLettersStream>, Status> {
        let by = who(&request)?;
        let (door, request) = (self.0.for_call(&request), request.into_inner());
        let v1::DiscardDeadLettersRequest { filter: asked, all, reason, validate_only, rate, .. } = request;
        let kind = OperationKind::Discard;
        let filter = TaskFilter::default();
        let bulk = Bulk { kind, filter, asked, rate, reason: &reason, by, validate_only };
        let preview = |Found { matched, at_least, sample }| v1::DiscardDeadLettersResponse {
            matched,
            at_least,
            sample,
            finished: true,
            ..v1::DiscardDeadLettersResponse::default()
        };
        let message = |operation: &Operation, finished| v1::DiscardDeadLettersResponse {
            matched: operation.spec.matched,
            discarded: operation.counts.done,
            finished,
            operation: Some(convert::operation(operation)),
            ..v1::DiscardDeadLettersResponse::default()
        };
        self.act(door, bulk, all, preview, message).await
    }
}

fn dead(filter: TaskFilter) -> Result<TaskFilter, Status> {
    filter.of_the_dead().ok_or_else(|| invalid("filter", "dead letters are dead: leave the state out"))
}
