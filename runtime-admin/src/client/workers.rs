//! Calls about workers.

use runtime_core::name::WorkerName;
use runtime_proto::v1;
use runtime_proto::v1::worker_service_client::WorkerServiceClient;

use super::{AdminClient, Channel, ClientError, Page, Seen, pages, present, to_the_end};
use crate::convert::worker_name;
use crate::server::MAX_MESSAGE_BYTES;

impl AdminClient {
    /// Every worker, by name.
    pub async fn workers(&self) -> Result<Seen<Vec<v1::Worker>>, ClientError> {
        pages(None, |page_size, page_token| async move {
            let request = self.request(v1::ListWorkersRequest { page_size, page_token });
            let page = self.worker_service().list_workers(request).await?.into_inner();
            let v1::ListWorkersResponse { workers: items, next_page_token, event_cursor } = page;
            Ok(Page { items, next_page_token, event_cursor })
        })
        .await
    }

    /// One worker with its duties.
    pub async fn worker(&self, worker: &WorkerName) -> Result<Seen<v1::Worker>, ClientError> {
        let request = self.request(v1::GetWorkerRequest { name: worker_name(worker) });
        let v1::GetWorkerResponse { worker, event_cursor } =
            self.worker_service().get_worker(request).await?.into_inner();
        Ok(Seen { what: present(worker, "worker")?, event_cursor })
    }

    /// Runs one worker for one task or one scope, and tells how it goes. Without a time limit of its own: dropping the future lets what
    /// runs finish and starts nothing more.
    ///
    /// # Errors
    /// What kept it from running; a connection that broke on the way.
    pub async fn run_worker(
        &self,
        request: v1::RunWorkerRequest,
        progress: impl FnMut(&v1::RunWorkerResponse),
    ) -> Result<v1::RunWorkerResponse, ClientError> {
        let run = self.begin(request).await?;
        to_the_end(run, |message| message.finished, progress)
            .await?
            .ok_or(ClientError::Incomplete("end of the run"))
    }

    fn worker_service(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}
