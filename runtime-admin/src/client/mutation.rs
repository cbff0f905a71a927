//! A request that changes something goes under an id, so that the server does it once however often it comes.
//!
//! When the connection breaks before the answer, nobody here knows whether it was done. The same request under the same id is asked once
//! more: what was done answers as before, what was not is done now, and what is still under way says so.

use http::uri::PathAndQuery;
use prost::Message;
use runtime_core::name::RequestId;
use runtime_proto::v1;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use super::{AdminClient, Channel, ClientError};
use crate::server::MAX_MESSAGE_BYTES;

/// A request that changes something: whom it goes to, why it is made, and under which id.
pub(super) trait Mutation: Message + Clone + 'static {
    /// What comes back: once, or many times.
    type Answer: Message + Default + 'static;
    /// Where it goes.
    const PATH: &'static str;

    /// The fields `reason` and `request_id`.
    fn signature(&mut self) -> (&mut String, &mut String);

    /// The field `etag`, of those that have one.
    fn etag(&mut self) -> Option<&mut String>;

    /// The field `validate_only`, of those that can be looked at before.
    fn validate_only(&mut self) -> Option<&mut bool>;
}

macro_rules! mutations {
    ($($path:literal: $request:ident $($etag:ident $(in $holder:ident)?)? $(; $unseen:ident)? => $answer:ident,)*) => {
        $(impl Mutation for v1::$request {
            type Answer = v1::$answer;
            const PATH: &'static str = $path;

            fn signature(&mut self) -> (&mut String, &mut String) {
                (&mut self.reason, &mut self.request_id)
            }

            fn etag(&mut self) -> Option<&mut String> {
                mutations!(@field self $($etag $(in $holder)?)?)
            }

            fn validate_only(&mut self) -> Option<&mut bool> {
                mutations!(@look self $($unseen)?)
            }
        })*

        /// Path, request and answer of each.
        #[cfg(test)]
        const ROWS: &[(&str, &str, &str)] = &[$(($path, stringify!($request), stringify!($answer)),)*];
    };
    (@look $message:ident unseen) => { None };
    (@look $message:ident) => { Some(&mut $message.validate_only) };
    (@field $message:ident etag) => { Some(&mut $message.etag) };
    (@field $message:ident etag in $holder:ident) => { $message.$holder.as_mut().map(|held| &mut held.etag) };
    (@field $message:ident) => { None };
}

mutations! {
    "/runtime.admin.v1.SystemService/StartDrain": StartDrainRequest => StartDrainResponse,
    "/runtime.admin.v1.SystemService/StopDrain": StopDrainRequest => StopDrainResponse,
    "/runtime.admin.v1.SystemService/Shutdown": ShutdownRequest => ShutdownResponse,
    "/runtime.admin.v1.TreeService/StartNode": StartNodeRequest etag => StartNodeResponse,
    "/runtime.admin.v1.TreeService/StopNode": StopNodeRequest etag => StopNodeResponse,
    "/runtime.admin.v1.TreeService/RestartNode": RestartNodeRequest etag => RestartNodeResponse,
    "/runtime.admin.v1.TreeService/PauseNode": PauseNodeRequest etag => PauseNodeResponse,
    "/runtime.admin.v1.TreeService/ResumeNode": ResumeNodeRequest etag => ResumeNodeResponse,
    "/runtime.admin.v1.TreeService/DrainNode": DrainNodeRequest etag => DrainNodeResponse,
    "/runtime.admin.v1.TreeService/ResizeNode": ResizeNodeRequest etag => ResizeNodeResponse,
    "/runtime.admin.v1.WorkerService/RunWorker": RunWorkerRequest => RunWorkerResponse,
    "/runtime.admin.v1.QueueService/PauseQueue": PauseQueueRequest etag => PauseQueueResponse,
    "/runtime.admin.v1.QueueService/ResumeQueue": ResumeQueueRequest etag => ResumeQueueResponse,
    "/runtime.admin.v1.QueueService/UpdateQueue": UpdateQueueRequest etag => UpdateQueueResponse,
    "/runtime.admin.v1.QueueService/DrainQueue": DrainQueueRequest etag => DrainQueueResponse,
    "/runtime.admin.v1.QueueService/PurgeQueue": PurgeQueueRequest; unseen => PurgeQueueResponse,
    "/runtime.admin.v1.TaskService/EnqueueTask": EnqueueTaskRequest; unseen => EnqueueTaskResponse,
    "/runtime.admin.v1.TaskService/RetryTask": RetryTaskRequest etag => RetryTaskResponse,
    "/runtime.admin.v1.TaskService/RetryTasks": RetryTasksRequest => RetryTasksResponse,
    "/runtime.admin.v1.TaskService/ResolveTask": ResolveTaskRequest etag => ResolveTaskResponse,
    "/runtime.admin.v1.TaskService/CancelTask": CancelTaskRequest etag => CancelTaskResponse,
    "/runtime.admin.v1.TaskService/CancelTasks": CancelTasksRequest => CancelTasksResponse,
    "/runtime.admin.v1.TaskService/ReplayTask": ReplayTaskRequest etag => ReplayTaskResponse,
    "/runtime.admin.v1.TaskService/DiscardTask": DiscardTaskRequest etag => DiscardTaskResponse,
    "/runtime.admin.v1.TaskService/RescheduleTask": RescheduleTaskRequest etag => RescheduleTaskResponse,
    "/runtime.admin.v1.TaskService/DeleteTask": DeleteTaskRequest etag => DeleteTaskResponse,
    "/runtime.admin.v1.DeadLetterService/ReplayDeadLetters": ReplayDeadLettersRequest => ReplayDeadLettersResponse,
    "/runtime.admin.v1.DeadLetterService/DiscardDeadLetters": DiscardDeadLettersRequest => DiscardDeadLettersResponse,
    "/runtime.admin.v1.OperationService/CancelOperation": CancelOperationRequest etag => CancelOperationResponse,
    "/runtime.admin.v1.ScheduleService/PauseSchedule": PauseScheduleRequest etag => PauseScheduleResponse,
    "/runtime.admin.v1.ScheduleService/ResumeSchedule": ResumeScheduleRequest etag => ResumeScheduleResponse,
    "/runtime.admin.v1.ScheduleService/TriggerSchedule": TriggerScheduleRequest; unseen => TriggerScheduleResponse,
    "/runtime.admin.v1.ScheduleService/BackfillSchedule": BackfillScheduleRequest; unseen => BackfillScheduleResponse,
    "/runtime.admin.v1.ScheduleService/CreateSchedule": CreateScheduleRequest => CreateScheduleResponse,
    "/runtime.admin.v1.ScheduleService/UpdateSchedule": UpdateScheduleRequest etag => UpdateScheduleResponse,
    "/runtime.admin.v1.ScheduleService/DeleteSchedule": DeleteScheduleRequest etag => DeleteScheduleResponse,
    "/runtime.admin.v1.PrincipalService/CreatePrincipal": CreatePrincipalRequest => CreatePrincipalResponse,
    "/runtime.admin.v1.PrincipalService/UpdatePrincipal": UpdatePrincipalRequest etag in principal => UpdatePrincipalResponse,
    "/runtime.admin.v1.PrincipalService/DeletePrincipal": DeletePrincipalRequest etag => DeletePrincipalResponse,
    "/runtime.admin.v1.PrincipalService/CreateToken": CreateTokenRequest; unseen => CreateTokenResponse,
    "/runtime.admin.v1.PrincipalService/RevokeToken": RevokeTokenRequest etag; unseen => RevokeTokenResponse,
    "/runtime.admin.v1.ConfigService/ReloadConfig": ReloadConfigRequest => ReloadConfigResponse,
    "/runtime.admin.v1.ConfigService/ClearOverride": ClearOverrideRequest etag => ClearOverrideResponse,
    "/runtime.admin.v1.DiagnosticsService/SetLogFilter": SetLogFilterRequest => SetLogFilterResponse,
}

/// What goes with each change of a client.
#[derive(Debug, Clone, Default)]
pub(super) struct Signature {
    reason: String,
    request_id: Option<RequestId>,
    etag: Option<String>,
    validate_only: bool,
}

impl AdminClient {
    /// Why each change is made, from now on, where the call itself does not say.
    #[must_use]
    pub fn with_reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.signature.reason);
        self
    }

    /// The id of the next change, so that it is done once however often it is asked for within a day. It is good for one change: another
    /// one under the same id is refused. Without it, and without one in the request, each change has an id of its own.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.signature.request_id = Some(id);
        self
    }

    /// The etag of what the next change is about, as it was read: the change is refused when that is something else by now. A change that takes
    /// none is refused here.
    #[must_use]
    pub fn with_etag(mut self, etag: &str) -> Self {
        self.signature.etag = Some(etag.to_owned());
        self
    }

    /// Nothing is changed from now on: what is asked for is only looked at, and answered with how it would be. A change that cannot be looked at
    /// is refused here.
    #[must_use]
    pub fn with_validate_only(mut self) -> Self {
        self.signature.validate_only = true;
        self
    }

    /// Asks for a change, and waits for its answer for as long as a call may take.
    pub(super) async fn change<M: Mutation>(&self, mut message: M) -> Result<M::Answer, ClientError> {
        self.sign(&mut message)?;
        let ask = || async {
            let (mut grpc, path) = self.grpc(M::PATH).await?;
            grpc.unary(self.request(message.clone()), path, ProstCodec::default()).await
        };
        let answer = match ask().await.map_err(ClientError::from) {
            Err(ClientError::ConnectionLost(_)) => ask().await?,
            first => first?,
        };
        Ok(answer.into_inner())
    }

    /// Asks for a change that tells how it goes, for as long as it takes.
    pub(super) async fn begin<M: Mutation>(
        &self,
        mut message: M,
    ) -> Result<Streaming<M::Answer>, ClientError> {
        self.sign(&mut message)?;
        let ask = || async {
            let (mut grpc, path) = self.grpc(M::PATH).await?;
            grpc.server_streaming(Request::new(message.clone()), path, ProstCodec::default()).await
        };
        let answers = match ask().await.map_err(ClientError::from) {
            Err(ClientError::ConnectionLost(_)) => ask().await?,
            first => first?,
        };
        Ok(answers.into_inner())
    }

    async fn grpc(&self, path: &'static str) -> Result<(Grpc<Channel>, PathAndQuery), Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok((grpc, PathAndQuery::from_static(path)))
    }

    fn sign<M: Mutation>(&self, message: &mut M) -> Result<(), ClientError> {
        let (reason, request_id) = message.signature();
        if reason.is_empty() {
            reason.clone_from(&self.signature.reason);
        }
        if request_id.is_empty() {
            let given = self.signature.request_id.as_ref();
            *request_id = given.map_or_else(|| Uuid::new_v4().to_string(), ToString::to_string);
        }
        match (&self.signature.etag, message.etag()) {
            (Some(given), Some(etag)) if etag.is_empty() => etag.clone_from(given),
            (Some(_), None) => return Err(ClientError::TakesNoEtag(M::PATH)),
            _ => {}
        }
        match message.validate_only() {
            Some(look) => *look |= self.signature.validate_only,
            None if self.signature.validate_only => return Err(ClientError::TakesNoLook(M::PATH)),
            None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::DescriptorPool;

    use super::ROWS;
    use crate::auth::method_rules;

    #[test]
    fn every_change_of_the_api_is_asked_for_under_an_id() {
        let changes = method_rules().iter().filter(|rule| rule.changes());
        let changes: BTreeSet<_> =
            changes.map(|rule| format!("/runtime.admin.v1.{}", rule.method())).collect();
        assert_eq!(ROWS.iter().map(|(path, ..)| (*path).to_owned()).collect::<BTreeSet<_>>(), changes);
    }

    #[test]
    fn what_is_asked_and_answered_is_what_the_method_says() {
        let pool = DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let known: Vec<_> = methods
            .map(|method| {
                let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                (path, method.input().name().to_owned(), method.output().name().to_owned())
            })
            .collect();
        for (path, request, answer) in ROWS {
            let row = ((*path).to_owned(), (*request).to_owned(), (*answer).to_owned());
            assert!(known.contains(&row), "{row:?}");
        }
    }
}
