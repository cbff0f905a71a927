//! ScheduleService.

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::control::{Command, Reply, ScheduleCommand};
use runtime_core::store::Enqueued;
use runtime_proto::v1;
use runtime_proto::v1::schedule_service_server::ScheduleService;
use tonic::{Request, Response, Status};

use crate::auth::Caller;
use crate::convert;
use crate::door::Door;
use crate::page::page_of;
use crate::status::{Resource, invalid};

/// Ticks of a preview when nothing is asked, and at most.
const PREVIEW: (usize, usize) = (10, 1_000);

/// What makes tasks at times.
pub(crate) struct Schedules(pub(crate) Door);

impl Schedules {
    async fn ask<T, Q: Sync>(
        &self,
        call: &Request<Q>,
        about: &Resource,
        make: impl FnOnce(Reply<T>) -> ScheduleCommand,
    ) -> Result<T, Status> {
        self.0.for_call(call).ask(about, |reply| Command::Schedules(make(reply))).await
    }
}

fn moment(field: &str, at: Option<&prost_types::Timestamp>) -> Result<Timestamp, Status> {
    convert::timestamp_from_wire(field, at.ok_or_else(|| invalid(field, "is required"))?)
}

#[async_trait]
impl ScheduleService for Schedules {
    async fn list_schedules(
        &self,
        request: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesResponse>, Status> {
        let system = Resource::system();
        let event_cursor = self.0.event_cursor();
        let views = self.ask(&request, &system, |reply| ScheduleCommand::List { reply }).await?;
        let v1::ListSchedulesRequest { page_size, page_token } = request.get_ref();
        let (page, next_page_token) =
            page_of("schedules", views, |view| view.stored.spec.name.as_str(), *page_size, page_token)?;
        Ok(Response::new(v1::ListSchedulesResponse {
            schedules: page.iter().map(convert::schedule).collect(),
            next_page_token,
            event_cursor,
        }))
    }

    async fn get_schedule(
        &self,
        request: Request<v1::GetScheduleRequest>,
    ) -> Result<Response<v1::GetScheduleResponse>, Status> {
        let (name, about) = convert::schedule_from_wire(&request.get_ref().name)?;
        let event_cursor = self.0.event_cursor();
        let view = self.ask(&request, &about, |reply| ScheduleCommand::Get { name, reply }).await?;
        Ok(Response::new(v1::GetScheduleResponse { schedule: Some(convert::schedule(&view)), event_cursor }))
    }

    async fn preview_times(
        &self,
        request: Request<v1::PreviewTimesRequest>,
    ) -> Result<Response<v1::PreviewTimesResponse>, Status> {
        let v1::PreviewTimesRequest { name, after, count } = request.get_ref();
        let (name, about) = convert::schedule_from_wire(name)?;
        let after = after.as_ref().map(|at| convert::timestamp_from_wire("after", at)).transpose()?;
        let count = match usize::try_from(*count) {
            Ok(0) => PREVIEW.0,
            Ok(count) if count <= PREVIEW.1 => count,
            _ => return Err(invalid("count", format!("{count} is more than {}", PREVIEW.1))),
        };
        let make = |reply| ScheduleCommand::Preview { name, after, count, reply };
        let ticks = self.ask(&request, &about, make).await?;
        Ok(Response::new(v1::PreviewTimesResponse { ticks: ticks.iter().map(convert::tick).collect() }))
    }

    async fn pause_schedule(
        &self,
        request: Request<v1::PauseScheduleRequest>,
    ) -> Result<Response<v1::PauseScheduleResponse>, Status> {
        let v1::PauseScheduleRequest { name, reason, etag, validate_only, .. } = request.get_ref().clone();
        let (name, about) = convert::schedule_from_wire(&name)?;
        let terms = convert::terms(&etag, validate_only);
        let by = Caller::of(&request)?.principal.name.to_string();
        let make = |reply| ScheduleCommand::Pause { name, reason, by, terms, reply };
        let view = self.ask(&request, &about, make).await?;
        Ok(Response::new(v1::PauseScheduleResponse { schedule: Some(convert::schedule(&view)) }))
    }

    async fn resume_schedule(
        &self,
        request: Request<v1::ResumeScheduleRequest>,
    ) -> Result<Response<v1::ResumeScheduleResponse>, Status> {
        let v1::ResumeScheduleRequest { name, etag, validate_only, .. } = request.get_ref();
        let (name, about) = convert::schedule_from_wire(name)?;
        let terms = convert::terms(etag, *validate_only);
        let make = |reply| ScheduleCommand::Resume { name, terms, reply };
        let view = self.ask(&request, &about, make).await?;
        Ok(Response::new(v1::ResumeScheduleResponse { schedule: Some(convert::schedule(&view)) }))
    }

    async fn trigger_schedule(
        &self,
        request: Request<v1::TriggerScheduleRequest>,
    ) -> Result<Response<v1::TriggerScheduleResponse>, Status> {
        let (name, about) = convert::schedule_from_wire(&request.get_ref().name)?;
        let made = self.ask(&request, &about, |reply| ScheduleCommand::Trigger { name, reply }).await?;
        let known = !matches!(made, Enqueued::Accepted { .. });
        Ok(Response::new(v1::TriggerScheduleResponse { task: convert::task_name(made.id()), known }))
    }

    async fn backfill_schedule(
        &self,
        request: Request<v1::BackfillScheduleRequest>,
    ) -> Result<Response<v1::BackfillScheduleResponse>, Status> {
        let v1::BackfillScheduleRequest { name, from, until, .. } = request.get_ref();
        let (name, about) = convert::schedule_from_wire(name)?;
        let (from, until) = (moment("from", from.as_ref())?, moment("until", until.as_ref())?);
        let make = |reply| ScheduleCommand::Backfill { name, from, until, reply };
        let done = self.ask(&request, &about, make).await?;
        Ok(Response::new(v1::BackfillScheduleResponse {
            tasks: done.made.into_iter().map(convert::task_name).collect(),
            known: u64::try_from(done.known).unwrap_or(u64::MAX),
            next_from: done.next_from.map(convert::timestamp),
        }))
    }

    async fn create_schedule(
        &self,
        request: Request<v1::CreateScheduleRequest>,
    ) -> Result<Response<v1::CreateScheduleResponse>, Status> {
        let v1::CreateScheduleRequest { schedule_id, spec, validate_only, .. } = request.get_ref();
        let validate_only = *validate_only;
        let spec = spec.as_ref().ok_or_else(|| invalid("spec", "is required"))?;
        let name = convert::parsed("schedule_id", schedule_id)?;
        let spec = Box::new(convert::schedule_spec_from_wire(name, spec)?);
        let about = Resource::new("schedule", convert::schedule_name(&spec.name));
        let make = |reply| ScheduleCommand::Create { spec, validate_only, reply };
        let view = self.ask(&request, &about, make).await?;
        Ok(Response::new(v1::CreateScheduleResponse { schedule: Some(convert::schedule(&view)) }))
    }

    async fn update_schedule(
        &self,
        request: Request<v1::UpdateScheduleRequest>,
    ) -> Result<Response<v1::UpdateScheduleResponse>, Status> {
        let v1::UpdateScheduleRequest { name, spec, etag, validate_only, .. } = request.get_ref();
        let (name, about) = convert::schedule_from_wire(name)?;
        let spec = spec.as_ref().ok_or_else(|| invalid("spec", "is required"))?;
        let spec = Box::new(convert::schedule_spec_from_wire(name, spec)?);
        let terms = convert::terms(etag, *validate_only);
        let make = |reply| ScheduleCommand::Update { spec, terms, reply };
        let view = self.ask(&request, &about, make).await?;
        Ok(Response::new(v1::UpdateScheduleResponse { schedule: Some(convert::schedule(&view)) }))
    }

    async fn delete_schedule(
        &self,
        request: Request<v1::DeleteScheduleRequest>,
    ) -> Result<Response<v1::DeleteScheduleResponse>, Status> {
        let v1::DeleteScheduleRequest { name, etag, validate_only, .. } = request.get_ref();
        let (name, about) = convert::schedule_from_wire(name)?;
        let terms = convert::terms(etag, *validate_only);
        let make = |reply| ScheduleCommand::Delete { name, terms, reply };
        self.ask(&request, &about, make).await?;
        Ok(Response::new(v1::DeleteScheduleResponse {}))
    }
}
