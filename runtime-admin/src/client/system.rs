//! Calls about the instance as a whole: what it can do, its draining, and its end.

use std::time::Duration;

use runtime_proto::v1;
use runtime_proto::v1::system_service_client::SystemServiceClient;

use super::{AdminClient, Channel, ClientError, Seen, present};
use crate::convert;
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// Who is this?
    pub async fn info(&self) -> Result<v1::SystemInfo, ClientError> {
        let answer = self.system().get_info(self.request(v1::GetInfoRequest {})).await?;
        present(answer.into_inner().info, "info")
    }

    /// How is it?
    pub async fn overview(&self) -> Result<Seen<v1::Overview>, ClientError> {
        let request = self.request(v1::GetOverviewRequest {});
        let v1::GetOverviewResponse { overview, event_cursor } =
            self.system().get_overview(request).await?.into_inner();
        Ok(Seen { what: present(overview, "overview")?, event_cursor })
    }

    /// What can it do?
    pub async fn capabilities(&self) -> Result<v1::Capabilities, ClientError> {
        let answer = self.system().get_capabilities(self.request(v1::GetCapabilitiesRequest {})).await?;
        present(answer.into_inner().capabilities, "capabilities")
    }

    /// The instance takes no new work, and finishes what it has. Says how far it is; the overview says so from then on. With
    /// `validate_only` nothing is changed.
    pub async fn start_drain(&self, reason: &str, validate_only: bool) -> Result<v1::Drain, ClientError> {
        let reason = reason.to_owned();
        let request = v1::StartDrainRequest { reason, validate_only, ..Default::default() };
        present(self.change(request).await?.drain, "drain")
    }

    /// The instance takes work again. Says how far it was, when it did drain.
    pub async fn stop_drain(&self, reason: &str) -> Result<Option<v1::Drain>, ClientError> {
        let request = v1::StopDrainRequest { reason: reason.to_owned(), ..Default::default() };
        Ok(self.change(request).await?.drain)
    }

    /// The process ends in order. Says how long attempts that run may take to end: the configured time, unless less is wanted. With
    /// `validate_only` it goes on.
    pub async fn shut_down(
        &self,
        reason: &str,
        grace: Option<Duration>,
        validate_only: bool,
    ) -> Result<Duration, ClientError> {
        let (reason, grace) = (reason.to_owned(), grace.map(convert::duration));
        let request = v1::ShutdownRequest { reason, grace, validate_only, ..Default::default() };
        let grace = present(self.change(request).await?.grace, "grace")?;
        grace.try_into().map_err(|_| ClientError::Incomplete("grace"))
    }

    fn system(&self) -> SystemServiceClient<Channel> {
        SystemServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
