//! OperationService, and how the other services begin operations.

use std::num::NonZeroU32;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use runtime_core::control::{Command, OperationAsk, OperationCommand, OperationPreview, Reply};
use runtime_core::name::PrincipalName;
use runtime_core::operation::{Operation, OperationId, OperationKind};
use runtime_core::store::TaskFilter;
use runtime_proto::v1;
use runtime_proto::v1::operation_service_server::OperationService;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::progress::Work;
use super::tasks::{MAX_COUNT, selected};
use crate::auth::Caller;
use crate::convert;
use crate::door::Door;
use crate::page::{cursor, page_size, page_token};
use crate::status::{Resource, invalid};

/// Many tasks at once.
pub(crate) struct Operations(pub(crate) Door);

#[async_trait]
impl OperationService for Operations {
    async fn get_operation(
        &self,
        request: Request<v1::GetOperationRequest>,
    ) -> Result<Response<v1::GetOperationResponse>, Status> {
        let (id, about) = convert::operation_from_wire(&request.get_ref().name)?;
        let event_cursor = self.0.event_cursor();
        let operation = Some(convert::operation(&get(&self.0.for_call(&request), id, &about).await?));
        Ok(Response::new(v1::GetOperationResponse { operation, event_cursor }))
    }

    async fn list_operations(
        &self,
        request: Request<v1::ListOperationsRequest>,
    ) -> Result<Response<v1::ListOperationsResponse>, Status> {
        let v1::ListOperationsRequest { page_size: asked, page_token: token } = request.get_ref();
        let size = page_size(*asked)?;
        let before: Option<OperationId> =
            cursor("operations", token)?.map(|id| convert::parsed("page_token", &id)).transpose()?;
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let mut operations = door
            .ask(&Resource::system(), |reply| {
                Command::Operations(OperationCommand::List { before, page_size: size + 1, reply })
            })
            .await?;
        let more = operations.len() > size;
        operations.truncate(size);
        let last = operations.last().filter(|_| more);
        let next_page_token =
            last.map(|last| page_token("operations", &last.id.to_string())).unwrap_or_default();
        let operations = operations.iter().map(convert::operation).collect();
        Ok(Response::new(v1::ListOperationsResponse { operations, next_page_token, event_cursor }))
    }

    async fn cancel_operation(
        &self,
        request: Request<v1::CancelOperationRequest>,
    ) -> Result<Response<v1::CancelOperationResponse>, Status> {
        let v1::CancelOperationRequest { name, reason, etag, validate_only, .. } = request.get_ref();
        let terms = convert::terms(etag, *validate_only);
        let (id, about) = convert::operation_from_wire(name)?;
        let (by, reason) = (who(&request)?, reason.clone());
        tracing::info!(operation = %id, reason, "an operator cancels an operation");
        let door = self.0.for_call(&request);
        let operation = door
            .ask(&about, |reply| {
                Command::Operations(OperationCommand::Cancel { id, by, reason, terms, reply })
            })
            .await?;
        Ok(Response::new(v1::CancelOperationResponse { operation: Some(convert::operation(&operation)) }))
    }

    type WatchOperationStream = BoxStream<'static, Result<v1::WatchOperationResponse, Status>>;

    async fn watch_operation(
        &self,
        request: Request<v1::WatchOperationRequest>,
    ) -> Result<Response<Self::WatchOperationStream>, Status> {
        let (id, about) = convert::operation_from_wire(&request.get_ref().name)?;
        let operation = get(&self.0.for_call(&request), id, &about).await?;
        let work = follow(&self.0, operation)?;
        Ok(Response::new(work.told(|operation, _| v1::WatchOperationResponse {
            operation: Some(convert::operation(operation)),
        })))
    }
}

async fn get(door: &Door, id: OperationId, about: &Resource) -> Result<Operation, Status> {
    door.ask(about, |reply| Command::Operations(OperationCommand::Get { id, reply })).await
}

/// Listens to an operation until its end.
pub(super) fn follow(door: &Door, operation: Operation) -> Result<Work<Operation>, Status> {
    let id = operation.id;
    let about = Resource::new("operation", convert::operation_name(id));
    let (progress, listens) = watch::channel(operation);
    let (reply, end) = Reply::channel();
    door.send(Command::Operations(OperationCommand::Follow { id, progress, reply }), &about)?;
    Ok(Work { about, listens, end })
}

/// What is to be done to many tasks, as requests say it.
pub(super) struct Bulk<'a> {
    pub(super) kind: OperationKind,
    /// Which tasks; with a part that the method itself says.
    pub(super) filter: TaskFilter,
    /// The filter as it was asked for.
    pub(super) asked: String,
    pub(super) rate: u32,
    pub(super) reason: &'a str,
    /// Who asks.
    pub(super) by: Option<PrincipalName>,
    /// Only a look.
    pub(super) validate_only: bool,
}

/// What was begun, or would be.
pub(super) enum Begun {
    Operation(Box<Operation>),
    Preview(OperationPreview),
}

impl Begun {
    /// What was found, and the operation when there is one.
    pub(super) fn told(&self) -> (Found, Option<v1::Operation>) {
        match self {
            Self::Operation(operation) => {
                let found = Found { matched: operation.spec.matched, at_least: false, sample: Vec::new() };
                (found, Some(convert::operation(operation)))
            }
            Self::Preview(preview) => (Found::of(preview), None),
        }
    }
}

/// How many tasks fit, or at least so many, and some of them.
pub(super) struct Found {
    pub(super) matched: u64,
    pub(super) at_least: bool,
    pub(super) sample: Vec<v1::Task>,
}

impl Found {
    pub(super) fn of(preview: &OperationPreview) -> Self {
        let OperationPreview { count, sample } = preview;
        let sample = sample.iter().map(convert::task).collect();
        Self { matched: count.total(), at_least: !count.whole, sample }
    }
}

impl Bulk<'_> {
    /// Begins the operation, or looks what it would change.
    pub(super) async fn begin(self, door: &Door) -> Result<Begun, Status> {
        let Bulk { kind, filter, asked, rate, reason, by, validate_only } = self;
        let about = Resource::new("filter", "");
        if validate_only {
            let (filter, at_most) = (Box::new(filter), MAX_COUNT);
            let look = |reply| OperationCommand::Preview { kind, filter, at_most, reply };
            return Ok(Begun::Preview(door.ask(&about, |reply| Command::Operations(look(reply))).await?));
        }
        let (rate, reason) = (NonZeroU32::new(rate), reason.to_owned());
        let ask = Box::new(OperationAsk { kind, filter, asked, rate, reason, by });
        let start = |reply| Command::Operations(OperationCommand::Start { ask, reply });
        Ok(Begun::Operation(Box::new(door.ask(&about, start).await?)))
    }
}

/// Who asks.
pub(super) fn who<T>(request: &Request<T>) -> Result<Option<PrincipalName>, Status> {
    Ok(Some(Caller::of(request)?.principal.name.clone()))
}

/// What is meant: a filter that leaves something out, or all, said in so many words.
pub(super) fn meant(kind: OperationKind, filter: &str, all: bool) -> Result<TaskFilter, Status> {
    let filter = selected(filter)?;
    let states: Vec<&str> = kind.states().iter().map(|state| state.as_str()).collect();
    let other = || invalid("filter", format!("a {kind} is about tasks that are {}", states.join(", ")));
    let meant = filter.clone().in_states(kind.states()).ok_or_else(other)?;
    match (meant.states == kind.states() && filter.takes_all_of(kind.states()), all) {
        (true, false) => Err(invalid("filter", "name what is meant, or say that all are")),
        (false, true) => Err(invalid("all", "all, or those of a filter: not both")),
        _ => Ok(filter),
    }
}
