//! ConfigService.

use async_trait::async_trait;
use runtime_core::control::{Command, OverrideCommand, Reloaded};
use runtime_proto::v1;
use runtime_proto::v1::config_service_server::ConfigService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::door::Door;
use crate::status::{Resource, invalid, refusal};

/// Longest document that is looked at: what is wrong in it is looked for again and again, each time without what was found.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// The configuration of the instance.
pub(crate) struct Config(pub(crate) Door);

#[async_trait]
impl ConfigService for Config {
    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        let door = self.0.for_call(&request);
        let event_cursor = door.event_cursor();
        let ask = |reply| Command::Overrides(OverrideCommand::List { reply });
        let overrides = door.ask(&Resource::system(), ask).await?;
        // A process without a configuration has overrides all the same.
        let instance = door.instance().ok();
        let settings = instance.as_ref().map(|instance| instance.settings());
        let certificates = instance.and_then(|instance| instance.certificates());
        Ok(Response::new(v1::GetConfigResponse {
            settings: settings.unwrap_or_default().into_iter().map(convert::setting).collect(),
            overrides: overrides.into_iter().map(convert::overridden).collect(),
            certificates: certificates.map(convert::certificates),
            event_cursor,
        }))
    }

    async fn get_schema(
        &self,
        _request: Request<v1::GetSchemaRequest>,
    ) -> Result<Response<v1::GetSchemaResponse>, Status> {
        Ok(Response::new(v1::GetSchemaResponse { schema: self.0.instance()?.schema() }))
    }

    async fn validate_config(
        &self,
        request: Request<v1::ValidateConfigRequest>,
    ) -> Result<Response<v1::ValidateConfigResponse>, Status> {
        let document = request.into_inner().document;
        if document.as_ref().is_some_and(|document| document.len() > MAX_DOCUMENT_BYTES) {
            return Err(invalid("document", format!("a document has at most {MAX_DOCUMENT_BYTES} bytes")));
        }
        let problems = self.0.instance()?.validate(document).await;
        let problems = problems.map_err(|error| refusal(&error, &Resource::system()))?;
        let problems = problems.into_iter().map(convert::problem).collect();
        Ok(Response::new(v1::ValidateConfigResponse { problems }))
    }

    async fn reload_config(
        &self,
        request: Request<v1::ReloadConfigRequest>,
    ) -> Result<Response<v1::ReloadConfigResponse>, Status> {
        let about = Resource::system();
        let door = self.0.for_call(&request);
        let reload = door.instance()?;
        let validate_only = request.get_ref().validate_only;
        let reload = reload.reload(door.control(), validate_only, door.origin()).await;
        let Reloaded { changes, certificates } = reload.map_err(|error| refusal(&error, &about))?;
        Ok(Response::new(v1::ReloadConfigResponse {
            changes: changes.into_iter().map(convert::change).collect(),
            certificates: certificates.map(convert::certificates),
        }))
    }

    async fn clear_override(
        &self,
        request: Request<v1::ClearOverrideRequest>,
    ) -> Result<Response<v1::ClearOverrideResponse>, Status> {
        let v1::ClearOverrideRequest { name, etag, validate_only, .. } = request.get_ref();
        let (subject, about) = convert::subject_from_wire(name)?;
        let terms = convert::terms(etag, *validate_only);
        let door = self.0.for_call(&request);
        let ask = |reply| Command::Overrides(OverrideCommand::Clear { subject, terms, reply });
        let cleared = door.ask(&about, ask).await?;
        Ok(Response::new(v1::ClearOverrideResponse {
            cleared: cleared.into_iter().map(convert::overridden).collect(),
        }))
    }
}
