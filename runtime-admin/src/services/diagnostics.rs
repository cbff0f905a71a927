//! DiagnosticsService.

use std::time::Duration;

use async_trait::async_trait;
use runtime_core::control::Command;
use runtime_proto::v1;
use runtime_proto::v1::diagnostics_service_server::DiagnosticsService;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use crate::convert;
use crate::door::Door;
use crate::status::{Resource, invalid, refusal};

/// How long another log filter holds when nobody says how long, at least and at most.
const FOR_A_WHILE: Duration = Duration::from_mins(10);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(24);

/// A closer look at a running instance.
pub(crate) struct Diagnostics(pub(crate) Door);

#[async_trait]
impl DiagnosticsService for Diagnostics {
    async fn get_log_filter(
        &self,
        _request: Request<v1::GetLogFilterRequest>,
    ) -> Result<Response<v1::GetLogFilterResponse>, Status> {
        let event_cursor = self.0.event_cursor();
        let filter = convert::log_filter(self.0.instance()?.log_filter());
        Ok(Response::new(v1::GetLogFilterResponse { log_filter: Some(filter), event_cursor }))
    }

    async fn set_log_filter(
        &self,
        request: Request<v1::SetLogFilterRequest>,
    ) -> Result<Response<v1::SetLogFilterResponse>, Status> {
        let door = self.0.for_call(&request);
        let v1::SetLogFilterRequest { filter, time_to_live, validate_only, .. } = request.into_inner();
        let lives = match time_to_live {
            None => FOR_A_WHILE,
            some => convert::length("time_to_live", some)?,
        };
        if !(SHORTEST..=LONGEST).contains(&lives) {
            return Err(invalid("time_to_live", "at least a second, at most a day"));
        }
        let wish = (!filter.is_empty()).then_some((filter, lives));
        let set = door.instance()?.set_log_filter(door.control(), wish, validate_only, door.origin());
        let set = set.map_err(|error| refusal(&error, &Resource::new("filter", "")))?;
        Ok(Response::new(v1::SetLogFilterResponse { log_filter: Some(convert::log_filter(set)) }))
    }

    async fn dump_state(
        &self,
        request: Request<v1::DumpStateRequest>,
    ) -> Result<Response<v1::DumpStateResponse>, Status> {
        let door = self.0.for_call(&request);
        let mut document = door.ask(&Resource::system(), |reply| Command::DumpState { reply }).await?;
        if let (Ok(instance), Some(document)) = (door.instance(), document.as_object_mut()) {
            let settings = instance.settings().into_iter().map(|setting| {
                let value = json!({ "value": setting.value, "origin": setting.origin });
                (setting.key, value)
            });
            document.insert("config".into(), settings.collect::<serde_json::Map<_, _>>().into());
            let filter = instance.log_filter();
            let filter = json!({ "in_force": filter.in_force, "configured": filter.configured });
            document.insert("log_filter".into(), filter);
        }
        Ok(Response::new(v1::DumpStateResponse { document: pretty(&document) }))
    }
}

fn pretty(document: &Value) -> String {
    format!("{document:#}")
}
