//! Calls about dead letters.

use runtime_proto::v1;
use runtime_proto::v1::dead_letter_service_client::DeadLetterServiceClient;

use super::{AdminClient, Channel, ClientError, Page, Seen, pages, to_the_end};
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// One page of dead tasks, newest first.
    pub async fn list_dead_letters(
        &self,
        request: v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersResponse, ClientError> {
        Ok(self.dead_letter_service().list_dead_letters(self.request(request)).await?.into_inner())
    }

    /// The newest dead tasks that fit `filter`, at most `limit`, over as many pages as that takes.
    pub async fn dead_letters(&self, filter: &str, limit: usize) -> Result<Seen<Vec<v1::Task>>, ClientError> {
        pages(Some(limit), |page_size, page_token| async move {
            let request = v1::ListDeadLettersRequest { filter: filter.to_owned(), page_size, page_token };
            let v1::ListDeadLettersResponse { tasks: items, next_page_token, event_cursor } =
                self.list_dead_letters(request).await?;
            Ok(Page { items, next_page_token, event_cursor })
        })
        .await
    }

    /// Dead tasks in groups, by app, queue, handler and code.
    pub async fn dead_letter_groups(
        &self,
        filter: &str,
    ) -> Result<v1::CountDeadLettersResponse, ClientError> {
        let request = v1::CountDeadLettersRequest { filter: filter.to_owned() };
        Ok(self.dead_letter_service().count_dead_letters(self.request(request)).await?.into_inner())
    }

    /// Replays dead tasks, and tells how it goes. Without a time limit of its own: dropping the future changes nothing,
    /// [`AdminClient::cancel_operation`] does.
    ///
    /// # Errors
    /// What kept it from going on; a connection that broke on the way.
    pub async fn replay_dead_letters(
        &self,
        request: v1::ReplayDeadLettersRequest,
        progress: impl FnMut(&v1::ReplayDeadLettersResponse),
    ) -> Result<v1::ReplayDeadLettersResponse, ClientError> {
        let replay = self.begin(request).await?;
        let last = to_the_end(replay, |message| message.finished, progress).await?;
        last.ok_or(ClientError::Incomplete("end of the replay"))
    }

    /// Discards dead tasks, as [`AdminClient::replay_dead_letters`] replays them.
    ///
    /// # Errors
    /// What kept it from going on; a connection that broke on the way.
    pub async fn discard_dead_letters(
        &self,
        request: v1::DiscardDeadLettersRequest,
        progress: impl FnMut(&v1::DiscardDeadLettersResponse),
    ) -> Result<v1::DiscardDeadLettersResponse, ClientError> {
        let discard = self.begin(request).await?;
        let last = to_the_end(discard, |message| message.finished, progress).await?;
        last.ok_or(ClientError::Incomplete("end of the discarding"))
    }

    fn dead_letter_service(&self) -> DeadLetterServiceClient<Channel> {
        DeadLetterServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
