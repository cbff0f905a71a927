//! The client library: what `runtimectl`, apps and tests use to see and steer a running tree.

mod access;
mod bearer;
mod config;
mod dead_letters;
mod error;
mod events;
mod mutation;
mod operations;
mod schedules;
mod system;
mod tls;

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use prost::Message;
use runtime_core::control::NodeCommand;
use runtime_core::name::{QueueName, Scope, WorkerName};
use runtime_core::node::NodePath;
use runtime_core::store::TaskCommand;
use runtime_core::task::TaskId;
use runtime_proto::v1;
use runtime_proto::v1::queue_service_client::QueueServiceClient;
use runtime_proto::v1::system_service_client::SystemServiceClient;
use runtime_proto::v1::task_service_client::TaskServiceClient;
use runtime_proto::v1::tree_service_client::TreeServiceClient;
use runtime_proto::v1::worker_service_client::WorkerServiceClient;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response};

pub use error::{ClientError, Refusal};
pub use events::{EventAsk, EventWatch, Watched};
pub use tls::ClientTls;

pub(crate) use bearer::{Bearer, Channel};
use mutation::Signature;

use crate::convert::{node_name, queue_name, task_name, timestamp, worker_name};
use crate::server::MAX_MESSAGE_BYTES;

/// Where an admin server listens when nothing else is said.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7070";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to an admin server. Cheap to clone; calls may go on at the same time.
///
/// ```no_run
/// # async fn look() -> Result<(), runtime_admin::ClientError> {
/// use runtime_admin::AdminClient;
/// use runtime_core::control::NodeCommand;
/// let client = AdminClient::connect("http://127.0.0.1:7070").await?;
/// let settle = "/engine/apps/shop/workers/settle".parse().expect("a path");
/// let paused = client.steer_node(&settle, NodeCommand::Pause).await?;
/// println!("{} is {:?}", paused.name, paused.state());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct AdminClient {
    channel: Channel,
    plain: tonic::transport::Channel,
    /// The endpoint, when it is of another machine and without TLS.
    in_clear: Option<String>,
    timeout: Duration,
    signature: Signature,
}

/// Whether what is sent to this address leaves the machine for everybody on the way to read.
fn in_clear(address: &str) -> bool {
    let Ok(address) = address.parse::<http::Uri>() else { return false };
    let host = address.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let stays = host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback());
    address.scheme_str() == Some("http") && !stays
}

impl AdminClient {
    /// Connects to `http://host:port`, `https://host:port` (with the authorities that the machine trusts) or `unix:PATH`; `http` may be left
    /// out.
    ///
    /// # Errors
    /// [`ClientError::InvalidEndpoint`] and [`ClientError::Connect`].
    pub async fn connect(endpoint: &str) -> Result<Self, ClientError> {
        Self::connect_with(endpoint, &ClientTls::default()).await
    }

    /// As [`AdminClient::connect`], with files for TLS. When there are any, `https` is what may be left out.
    ///
    /// # Errors
    /// [`ClientError::InvalidEndpoint`], [`ClientError::Connect`], [`ClientError::File`] for a file that cannot be used, and
    /// [`ClientError::WithoutTls`] when there are files and the endpoint is not for TLS.
    pub async fn connect_with(endpoint: &str, tls: &ClientTls) -> Result<Self, ClientError> {
        let address = match endpoint {
            given if given.contains("://") || given.starts_with("unix:") => given.to_owned(),
            given if tls.is_empty() => format!("http://{given}"),
            given => format!("https://{given}"),
        };
        let invalid = || ClientError::InvalidEndpoint(endpoint.to_owned());
        let refused = |source| ClientError::Connect { endpoint: endpoint.to_owned(), source };
        let mut to = Endpoint::from_shared(address.clone()).map_err(|_| invalid())?;
        if address.starts_with("https://") {
            to = to.tls_config(tls.read()?).map_err(refused)?;
        } else if !tls.is_empty() {
            return Err(ClientError::WithoutTls(endpoint.to_owned()));
        }
        let channel = to.connect_timeout(CONNECT_TIMEOUT).connect().await.map_err(refused)?;
        Ok(Self {
            channel: Channel::new(channel.clone(), Bearer::default()),
            plain: channel,
            in_clear: in_clear(&address).then(|| endpoint.to_owned()),
            timeout: DEFAULT_TIMEOUT,
            signature: Signature::default(),
        })
    }

    /// Whom each call comes from, from now on: whoever has this token.
    ///
    /// # Errors
    /// [`ClientError::InvalidToken`] for a text that cannot stand in a header, and [`ClientError::TokenInClear`] where the endpoint is of
    /// another machine and without TLS.
    pub fn with_token(self, token: &str) -> Result<Self, ClientError> {
        if let Some(endpoint) = self.in_clear {
            return Err(ClientError::TokenInClear(endpoint));
        }
        let bearer = Bearer::of(token).ok_or(ClientError::InvalidToken)?;
        Ok(Self { channel: Channel::new(self.plain.clone(), bearer), ..self })
    }

    /// How long each call may take from now on; 30 s by default, and never longer than the server allows.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Who is this?
    pub async fn info(&self) -> Result<v1::SystemInfo, ClientError> {
        let answer = self.system().get_info(self.request(v1::GetInfoRequest {})).await?;
        present(answer.into_inner().info, "info")
    }

    /// How is it?
    pub async fn overview(&self) -> Result<v1::Overview, ClientError> {
        let answer = self.system().get_overview(self.request(v1::GetOverviewRequest {})).await?;
        present(answer.into_inner().overview, "overview")
    }

    /// A node and everything under it, parents before children, siblings in start order.
    pub async fn tree(&self, root: &NodePath) -> Result<Vec<v1::Node>, ClientError> {
        let request = v1::GetTreeRequest { name: node_name(root) };
        Ok(self.nodes().get_tree(self.request(request)).await?.into_inner().nodes)
    }

    /// One node.
    pub async fn node(&self, path: &NodePath) -> Result<v1::Node, ClientError> {
        let request = v1::GetNodeRequest { name: node_name(path) };
        present(self.nodes().get_node(self.request(request)).await?.into_inner().node, "node")
    }

    /// The latest restarts at and under a node, newest first, at most `limit` and at most 1,000; with how many of the tree are no longer kept.
    pub async fn restarts(
        &self,
        under: &NodePath,
        limit: usize,
    ) -> Result<v1::ListRestartsResponse, ClientError> {
        let page_size = u32::try_from(limit.clamp(1, crate::page::MAX_PAGE_SIZE)).unwrap_or(0);
        let request =
            v1::ListRestartsRequest { name: node_name(under), page_size, page_token: String::new() };
        Ok(self.nodes().list_restarts(self.request(request)).await?.into_inner())
    }

    /// Changes a node, and waits until the change has happened.
    pub async fn steer_node(&self, path: &NodePath, command: NodeCommand) -> Result<v1::Node, ClientError> {
        let name = node_name(path);
        let node = match command {
            NodeCommand::Start => {
                self.change(v1::StartNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::Stop => self.change(v1::StopNodeRequest { name, ..Default::default() }).await?.node,
            NodeCommand::Restart => {
                self.change(v1::RestartNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::Pause => {
                self.change(v1::PauseNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::Resume => {
                self.change(v1::ResumeNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::Drain => {
                self.change(v1::DrainNodeRequest { name, ..Default::default() }).await?.node
            }
            NodeCommand::AsConfigured => {
                self.clear_override(&name).await?;
                return self.node(path).await;
            }
            NodeCommand::Resize { slots } => {
                let slots = u32::try_from(slots.get()).unwrap_or(u32::MAX);
                let request = v1::ResizeNodeRequest { name, slots, ..Default::default() };
                self.change(request).await?.node
            }
        };
        present(node, "node")
    }

    /// Every queue, by name.
    pub async fn queues(&self) -> Result<Vec<v1::Queue>, ClientError> {
        let (mut queues, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = self.request(v1::ListQueuesRequest { page_size: 0, page_token });
            let page = self.queue_service().list_queues(request).await?.into_inner();
            queues.extend(page.queues);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(queues);
            }
        }
    }

    /// One queue: figures, policy, what is paused, what blocks.
    pub async fn queue(&self, queue: &QueueName) -> Result<v1::QueueDetail, ClientError> {
        let request = v1::GetQueueRequest { name: queue_name(queue) };
        present(self.queue_service().get_queue(self.request(request)).await?.into_inner().queue, "queue")
    }

    /// Holds the tasks of a queue, or of one of its scopes.
    pub async fn pause_queue(
        &self,
        queue: &QueueName,
        scope: Option<&Scope>,
        reason: &str,
    ) -> Result<v1::QueueDetail, ClientError> {
        let request = v1::PauseQueueRequest {
            name: queue_name(queue),
            scope: text(scope),
            reason: reason.to_owned(),
            ..Default::default()
        };
        present(self.change(request).await?.queue, "queue")
    }

    /// Lets the tasks of a queue, or of one of its scopes, go again.
    pub async fn resume_queue(
        &self,
        queue: &QueueName,
        scope: Option<&Scope>,
    ) -> Result<v1::QueueDetail, ClientError> {
        let request =
            v1::ResumeQueueRequest { name: queue_name(queue), scope: text(scope), ..Default::default() };
        present(self.change(request).await?.queue, "queue")
    }

    /// Changes what operators say of the limits of a queue, and says how it is then; with `validate_only`, how it would be.
    pub async fn update_queue(&self, change: v1::UpdateQueueRequest) -> Result<v1::QueueDetail, ClientError> {
        present(self.change(change).await?.queue, "queue")
    }

    /// The figures of one queue.
    pub async fn queue_stats(&self, queue: &QueueName) -> Result<v1::QueueStats, ClientError> {
        let request = v1::GetQueueStatsRequest { name: queue_name(queue) };
        let answer = self.queue_service().get_queue_stats(self.request(request)).await?;
        present(answer.into_inner().stats, "stats")
    }

    /// One page of tasks, newest first.
    pub async fn list_tasks(
        &self,
        request: v1::ListTasksRequest,
    ) -> Result<v1::ListTasksResponse, ClientError> {
        Ok(self.task_service().list_tasks(self.request(request)).await?.into_inner())
    }

    /// The newest tasks that fit `filter`, at most `limit`, over as many pages as that takes.
    pub async fn tasks(&self, filter: &str, limit: usize) -> Result<Vec<v1::Task>, ClientError> {
        newest(limit, |page_size, page_token| async move {
            let request = v1::ListTasksRequest { filter: filter.to_owned(), page_size, page_token };
            let page = self.list_tasks(request).await?;
            Ok((page.tasks, page.next_page_token))
        })
        .await
    }

    /// One task with its attempts.
    pub async fn task(&self, id: TaskId) -> Result<v1::GetTaskResponse, ClientError> {
        let request = v1::GetTaskRequest { name: task_name(id) };
        Ok(self.task_service().get_task(self.request(request)).await?.into_inner())
    }

    /// How many tasks fit `filter`, by state.
    pub async fn count_tasks(&self, filter: &str) -> Result<v1::CountTasksResponse, ClientError> {
        let request = self.request(v1::CountTasksRequest { filter: filter.to_owned() });
        Ok(self.task_service().count_tasks(request).await?.into_inner())
    }

    /// What a task was given and what it gave.
    pub async fn task_payload(&self, id: TaskId) -> Result<v1::GetTaskPayloadResponse, ClientError> {
        let request = self.request(v1::GetTaskPayloadRequest { name: task_name(id) });
        Ok(self.task_service().get_task_payload(request).await?.into_inner())
    }

    /// Makes a task.
    pub async fn enqueue(
        &self,
        task: v1::EnqueueTaskRequest,
    ) -> Result<v1::EnqueueTaskResponse, ClientError> {
        self.change(task).await
    }

    /// Changes a task, and says where it stands afterwards.
    pub async fn steer_task(&self, id: TaskId, command: TaskCommand) -> Result<v1::TaskState, ClientError> {
        let name = task_name(id);
        let state = match command {
            TaskCommand::Approve => self.resolve_task(name, v1::Decision::Approve).await?,
            TaskCommand::Reject => self.resolve_task(name, v1::Decision::Reject).await?,
            TaskCommand::Retry => {
                self.change(v1::RetryTaskRequest { name, ..Default::default() }).await?.state()
            }
            TaskCommand::Cancel => {
                self.change(v1::CancelTaskRequest { name, ..Default::default() }).await?.state()
            }
            TaskCommand::Replay { at, payload } => {
                let request =
                    v1::ReplayTaskRequest { name, at: at.map(timestamp), payload, ..Default::default() };
                self.change(request).await?.state()
            }
            TaskCommand::Discard { reason } => {
                self.change(v1::DiscardTaskRequest { name, reason, ..Default::default() }).await?.state()
            }
            TaskCommand::Reschedule { at } => {
                let request =
                    v1::RescheduleTaskRequest { name, at: Some(timestamp(at)), ..Default::default() };
                self.change(request).await?.state()
            }
            TaskCommand::Delete { reason } => {
                self.change(v1::DeleteTaskRequest { name, reason, ..Default::default() }).await?.state()
            }
        };
        Ok(state)
    }

    async fn resolve_task(&self, name: String, decision: v1::Decision) -> Result<v1::TaskState, ClientError> {
        let request = v1::ResolveTaskRequest { name, decision: decision.into(), ..Default::default() };
        Ok(self.change(request).await?.state())
    }

    /// Gives a task that waits another time, and says where it stands afterwards, with its etag.
    pub async fn reschedule_task(
        &self,
        id: TaskId,
        at: Timestamp,
    ) -> Result<v1::RescheduleTaskResponse, ClientError> {
        let (name, at) = (task_name(id), Some(timestamp(at)));
        self.change(v1::RescheduleTaskRequest { name, at, ..Default::default() }).await
    }

    /// Every worker, by name.
    pub async fn workers(&self) -> Result<Vec<v1::Worker>, ClientError> {
        let (mut workers, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = self.request(v1::ListWorkersRequest { page_size: 0, page_token });
            let page = self.worker_service().list_workers(request).await?.into_inner();
            workers.extend(page.workers);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(workers);
            }
        }
    }

    /// One worker with its duties.
    pub async fn worker(&self, worker: &WorkerName) -> Result<v1::Worker, ClientError> {
        let request = self.request(v1::GetWorkerRequest { name: worker_name(worker) });
        present(self.worker_service().get_worker(request).await?.into_inner().worker, "worker")
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

    /// What `grpc.health.v1` says of `service`: `""` for the whole, [`crate::LIVENESS`], or an app's name.
    pub async fn health(&self, service: &str) -> Result<ServingStatus, ClientError> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(self.channel.clone()).check(self.request(request)).await?.into_inner();
        Ok(match answer.status() {
            health_check_response::ServingStatus::Serving => ServingStatus::Serving,
            health_check_response::ServingStatus::NotServing => ServingStatus::NotServing,
            health_check_response::ServingStatus::Unknown
            | health_check_response::ServingStatus::ServiceUnknown => ServingStatus::Unknown,
        })
    }

    fn request<T: Message>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    fn system(&self) -> SystemServiceClient<Channel> {
        SystemServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn nodes(&self) -> TreeServiceClient<Channel> {
        TreeServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn queue_service(&self) -> QueueServiceClient<Channel> {
        QueueServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn task_service(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn worker_service(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

/// Tasks from the first page on, at most `limit`. `page` gets the size and the token of a page, and answers with its tasks and the token
/// of the next.
async fn newest<F>(limit: usize, page: impl Fn(u32, String) -> F) -> Result<Vec<v1::Task>, ClientError>
where
    F: Future<Output = Result<(Vec<v1::Task>, String), ClientError>>,
{
    let (mut tasks, mut page_token) = (Vec::new(), String::new());
    while tasks.len() < limit {
        let page_size = u32::try_from((limit - tasks.len()).min(crate::page::MAX_PAGE_SIZE)).unwrap_or(0);
        let (more, next) = page(page_size, page_token).await?;
        tasks.extend(more);
        page_token = next;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(tasks)
}

/// Listens to long work: hands every message on and returns the last one, or nothing when the stream ends without it.
async fn to_the_end<M>(
    mut work: Streaming<M>,
    is_last: impl Fn(&M) -> bool,
    mut progress: impl FnMut(&M),
) -> Result<Option<M>, ClientError> {
    while let Some(message) = work.message().await? {
        if is_last(&message) {
            return Ok(Some(message));
        }
        progress(&message);
    }
    Ok(None)
}

fn present<T>(part: Option<T>, what: &'static str) -> Result<T, ClientError> {
    part.ok_or(ClientError::Incomplete(what))
}

fn text(scope: Option<&Scope>) -> String {
    scope.map(ToString::to_string).unwrap_or_default()
}
