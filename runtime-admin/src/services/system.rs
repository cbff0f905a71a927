//! SystemService.

use async_trait::async_trait;
use runtime_core::control::Command;
use runtime_proto::v1;
use runtime_proto::v1::system_service_server::SystemService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::door::Door;
use crate::status::Resource;

/// The runtime as a whole.
pub(crate) struct System(pub(crate) Door);

#[async_trait]
impl SystemService for System {
    async fn get_info(
        &self,
        request: Request<v1::GetInfoRequest>,
    ) -> Result<Response<v1::GetInfoResponse>, Status> {
        let door = self.0.for_call(request.metadata());
        let info = door.ask(&Resource::system(), |reply| Command::GetInfo { reply }).await?;
        Ok(Response::new(v1::GetInfoResponse { info: Some(convert::system_info(&info)) }))
    }

    async fn get_overview(
        &self,
        request: Request<v1::GetOverviewRequest>,
    ) -> Result<Response<v1::GetOverviewResponse>, Status> {
        let door = self.0.for_call(request.metadata());
        let overview = door.ask(&Resource::system(), |reply| Command::GetOverview { reply }).await?;
        let events = door.ask(&Resource::system(), |reply| Command::GetEventStatus { reply }).await?;
        Ok(Response::new(v1::GetOverviewResponse { overview: Some(convert::overview(overview, &events)) }))
    }
}
