//! Calls about schedules.

use jiff::Timestamp;
use runtime_core::name::ScheduleName;
use runtime_proto::v1;
use runtime_proto::v1::schedule_service_client::ScheduleServiceClient;

use super::{AdminClient, Channel, ClientError, Page, Seen, pages, present};
use crate::convert::{schedule_name, timestamp};
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// Every schedule, by name.
    pub async fn schedules(&self) -> Result<Seen<Vec<v1::Schedule>>, ClientError> {
        pages(None, |page_size, page_token| async move {
            let request = self.request(v1::ListSchedulesRequest { page_size, page_token });
            let page = self.schedule_service().list_schedules(request).await?.into_inner();
            let v1::ListSchedulesResponse { schedules: items, next_page_token, event_cursor } = page;
            Ok(Page { items, next_page_token, event_cursor })
        })
        .await
    }

    /// One schedule.
    pub async fn schedule(&self, name: &ScheduleName) -> Result<Seen<v1::Schedule>, ClientError> {
        let request = self.request(v1::GetScheduleRequest { name: schedule_name(name) });
        let v1::GetScheduleResponse { schedule, event_cursor } =
            self.schedule_service().get_schedule(request).await?.into_inner();
        Ok(Seen { what: present(schedule, "schedule")?, event_cursor })
    }

    /// Its next ticks, strictly after `after`, or from now on.
    pub async fn preview_schedule(
        &self,
        name: &ScheduleName,
        after: Option<Timestamp>,
        count: u32,
    ) -> Result<v1::PreviewTimesResponse, ClientError> {
        let after = after.map(timestamp);
        let request = self.request(v1::PreviewTimesRequest { name: schedule_name(name), after, count });
        Ok(self.schedule_service().preview_times(request).await?.into_inner())
    }

    /// It makes nothing until it is resumed.
    pub async fn pause_schedule(
        &self,
        name: &ScheduleName,
        reason: &str,
    ) -> Result<v1::Schedule, ClientError> {
        let request = v1::PauseScheduleRequest {
            name: schedule_name(name),
            reason: reason.to_owned(),
            ..Default::default()
        };
        present(self.change(request).await?.schedule, "schedule")
    }

    /// It goes on with its next tick.
    pub async fn resume_schedule(&self, name: &ScheduleName) -> Result<v1::Schedule, ClientError> {
        let request = v1::ResumeScheduleRequest { name: schedule_name(name), ..Default::default() };
        present(self.change(request).await?.schedule, "schedule")
    }

    /// Makes a task now, besides the ticks.
    pub async fn trigger_schedule(
        &self,
        name: &ScheduleName,
    ) -> Result<v1::TriggerScheduleResponse, ClientError> {
        let request = v1::TriggerScheduleRequest { name: schedule_name(name), ..Default::default() };
        self.change(request).await
    }

    /// Makes the tasks of a past period's ticks: at most 500 of them, and says where the next call goes on.
    pub async fn backfill_schedule(
        &self,
        name: &ScheduleName,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<v1::BackfillScheduleResponse, ClientError> {
        let (from, until) = (Some(timestamp(from)), Some(timestamp(until)));
        let name = schedule_name(name);
        let request = v1::BackfillScheduleRequest { name, from, until, ..Default::default() };
        self.change(request).await
    }

    /// Makes one at run time.
    pub async fn create_schedule(
        &self,
        name: &ScheduleName,
        spec: v1::ScheduleSpec,
    ) -> Result<v1::Schedule, ClientError> {
        let request = v1::CreateScheduleRequest {
            schedule_id: name.to_string(),
            spec: Some(spec),
            ..Default::default()
        };
        present(self.change(request).await?.schedule, "schedule")
    }

    /// Changes one that was made at run time, unless it was changed since the schedule with this etag was read.
    pub async fn update_schedule(
        &self,
        name: &ScheduleName,
        spec: v1::ScheduleSpec,
        etag: &str,
    ) -> Result<v1::Schedule, ClientError> {
        let (name, etag) = (schedule_name(name), etag.to_owned());
        let request = v1::UpdateScheduleRequest { name, spec: Some(spec), etag, ..Default::default() };
        present(self.change(request).await?.schedule, "schedule")
    }

    /// Forgets one that was made at run time, or is orphaned.
    pub async fn delete_schedule(&self, name: &ScheduleName) -> Result<(), ClientError> {
        let request = v1::DeleteScheduleRequest { name: schedule_name(name), ..Default::default() };
        self.change(request).await?;
        Ok(())
    }

    fn schedule_service(&self) -> ScheduleServiceClient<Channel> {
        ScheduleServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
