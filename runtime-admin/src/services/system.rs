//! SystemService.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_core::clock::Clock;
use runtime_core::control::{Command, DrainCommand, ShutdownAsk};
use runtime_core::journal::{Changed, Changes, Entry, EventType, Subject, Value};
use runtime_proto::v1;
use runtime_proto::v1::system_service_server::SystemService;
use tonic::{Request, Response, Status};

use crate::auth::{Caller, RULES};
use crate::convert;
use crate::door::Door;
use crate::status::{Resource, refusal};

/// The API that is served.
const API: &str = "runtime.admin.v1";

/// The runtime as a whole.
pub(crate) struct System {
    pub(crate) door: Door,
    pub(crate) clock: Arc<dyn Clock>,
    /// What the server that serves this was configured to do.
    pub(crate) features: Vec<v1::Feature>,
}

impl System {
    /// What the server can do, and what the process round it can.
    fn features(&self) -> impl Iterator<Item = v1::Feature> {
        let configured = self.door.instance().is_ok().then_some(v1::Feature::Configuration);
        self.features.iter().copied().chain(configured)
    }

    /// Whether a method is answered: reflection has a row all the same.
    fn answers(&self, method: &str) -> bool {
        !method.starts_with("grpc.reflection.") || self.features.contains(&v1::Feature::Reflection)
    }
}

#[async_trait]
impl SystemService for System {
    async fn get_info(
        &self,
        request: Request<v1::GetInfoRequest>,
    ) -> Result<Response<v1::GetInfoResponse>, Status> {
        let door = self.door.for_call(&request);
        let info = door.ask(&Resource::system(), |reply| Command::GetInfo { reply }).await?;
        Ok(Response::new(v1::GetInfoResponse { info: Some(convert::system_info(&info)) }))
    }

    async fn get_overview(
        &self,
        request: Request<v1::GetOverviewRequest>,
    ) -> Result<Response<v1::GetOverviewResponse>, Status> {
        let door = self.door.for_call(&request);
        let event_cursor = door.event_cursor();
        let overview = door.ask(&Resource::system(), |reply| Command::GetOverview { reply }).await?;
        let events = door.ask(&Resource::system(), |reply| Command::GetEventStatus { reply }).await?;
        let overview = Some(convert::overview(overview, &events));
        Ok(Response::new(v1::GetOverviewResponse { overview, event_cursor }))
    }

    async fn get_capabilities(
        &self,
        request: Request<v1::GetCapabilitiesRequest>,
    ) -> Result<Response<v1::GetCapabilitiesResponse>, Status> {
        let door = self.door.for_call(&request);
        let info = door.ask(&Resource::system(), |reply| Command::GetInfo { reply }).await?;
        let v1::SystemInfo { version, store, store_capabilities, .. } = convert::system_info(&info);
        let methods = RULES.iter().filter(|rule| self.answers(rule.method())).map(convert::method);
        let capabilities = v1::Capabilities {
            version,
            api: API.to_owned(),
            features: self.features().map(Into::into).collect(),
            store,
            store_capabilities,
            methods: methods.collect(),
        };
        Ok(Response::new(v1::GetCapabilitiesResponse { capabilities: Some(capabilities) }))
    }

    async fn start_drain(
        &self,
        request: Request<v1::StartDrainRequest>,
    ) -> Result<Response<v1::StartDrainResponse>, Status> {
        let by = Caller::of(&request)?.principal.name.to_string();
        let door = self.door.for_call(&request);
        let v1::StartDrainRequest { reason, validate_only, .. } = request.into_inner();
        let start = |reply| Command::Drain(DrainCommand::Start { by, reason, validate_only, reply });
        let drain = door.ask(&Resource::system(), start).await?;
        Ok(Response::new(v1::StartDrainResponse { drain: Some(convert::drain(&drain)) }))
    }

    async fn stop_drain(
        &self,
        request: Request<v1::StopDrainRequest>,
    ) -> Result<Response<v1::StopDrainResponse>, Status> {
        let door = self.door.for_call(&request);
        let was = if request.get_ref().validate_only {
            door.ask(&Resource::system(), |reply| Command::GetInfo { reply }).await?.drain
        } else {
            door.ask(&Resource::system(), |reply| Command::Drain(DrainCommand::Stop { reply })).await?
        };
        Ok(Response::new(v1::StopDrainResponse { drain: was.as_ref().map(convert::drain) }))
    }

    async fn shutdown(
        &self,
        request: Request<v1::ShutdownRequest>,
    ) -> Result<Response<v1::ShutdownResponse>, Status> {
        let by = Caller::of(&request)?.principal.name.to_string();
        let door = self.door.for_call(&request);
        let v1::ShutdownRequest { reason, grace, validate_only, .. } = request.into_inner();
        let wish = grace.map(|grace| convert::length("grace", Some(grace))).transpose()?;
        let instance = door.instance()?;
        let about = Resource::new("grace", "");
        let grace = instance.grace(wish).map_err(|error| refusal(&error, &about))?;
        if !validate_only {
            let told = Changes::of([Changed::is("grace_secs", Value::Number(grace.as_secs()))]);
            let entry = Entry::new(self.clock.now(), EventType::ShutdownAsked, Subject::Instance, told);
            door.note(entry, "shutdown");
            instance.shut_down(ShutdownAsk { grace, by, reason });
        }
        Ok(Response::new(v1::ShutdownResponse { grace: Some(convert::duration(grace)) }))
    }
}
