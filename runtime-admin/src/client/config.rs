//! Calls about the configuration, and a closer look at the instance.

use std::time::Duration;

use runtime_proto::v1;
use runtime_proto::v1::config_service_client::ConfigServiceClient;
use runtime_proto::v1::diagnostics_service_client::DiagnosticsServiceClient;

use super::{AdminClient, Channel, ClientError, present};
use crate::convert;
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// The configuration in force, and what operators said in place of it.
    pub async fn config(&self) -> Result<v1::GetConfigResponse, ClientError> {
        let request = self.request(v1::GetConfigRequest {});
        Ok(self.config_service().get_config(request).await?.into_inner())
    }

    /// The JSON schema of the configuration.
    pub async fn config_schema(&self) -> Result<String, ClientError> {
        let request = self.request(v1::GetSchemaRequest {});
        Ok(self.config_service().get_schema(request).await?.into_inner().schema)
    }

    /// What is wrong with the configuration as its sources are now, or with a TOML document in place of the file.
    pub async fn validate_config(
        &self,
        document: Option<String>,
    ) -> Result<v1::ValidateConfigResponse, ClientError> {
        let request = self.request(v1::ValidateConfigRequest { document });
        Ok(self.config_service().validate_config(request).await?.into_inner())
    }

    /// Puts in force what can change without a restart, all of it or nothing; with `validate_only` only says what would change.
    pub async fn reload_config(&self, validate_only: bool) -> Result<v1::ReloadConfigResponse, ClientError> {
        let request = v1::ReloadConfigRequest { validate_only, ..Default::default() };
        self.change(request).await
    }

    /// Takes back what operators said of a node, a queue or a schedule, by its resource name.
    pub async fn clear_override(&self, name: &str) -> Result<v1::ClearOverrideResponse, ClientError> {
        let request = v1::ClearOverrideRequest { name: name.to_owned(), ..Default::default() };
        self.change(request).await
    }

    /// Which log lines are written.
    pub async fn log_filter(&self) -> Result<v1::LogFilter, ClientError> {
        let request = self.request(v1::GetLogFilterRequest {});
        present(self.diagnostics().get_log_filter(request).await?.into_inner().log_filter, "log filter")
    }

    /// Writes other log lines for a while; an empty filter brings the configured one back at once.
    pub async fn set_log_filter(
        &self,
        filter: &str,
        time_to_live: Option<Duration>,
    ) -> Result<v1::LogFilter, ClientError> {
        let time_to_live = time_to_live.map(convert::duration);
        let filter = filter.to_owned();
        let request = v1::SetLogFilterRequest { filter, time_to_live, ..Default::default() };
        present(self.change(request).await?.log_filter, "log filter")
    }

    /// All that can be known of the tree at this moment, as a JSON document.
    pub async fn dump_state(&self) -> Result<String, ClientError> {
        let request = self.request(v1::DumpStateRequest {});
        Ok(self.diagnostics().dump_state(request).await?.into_inner().document)
    }

    fn config_service(&self) -> ConfigServiceClient<Channel> {
        ConfigServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn diagnostics(&self) -> DiagnosticsServiceClient<Channel> {
        DiagnosticsServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
