//! Serves the admin API on a loopback address, within limits.
//!
//! tonic's own defaults are open-ended, so every limit is set here: connections (those past the limit wait in the kernel's
//! backlog) and how soon they must begin to speak, streams of a connection, message size both ways, time of a request, and the
//! time a stop may take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime_core::control::Control;
use runtime_proto::v1::dead_letter_service_server::DeadLetterServiceServer;
use runtime_proto::v1::queue_service_server::QueueServiceServer;
use runtime_proto::v1::schedule_service_server::ScheduleServiceServer;
use runtime_proto::v1::system_service_server::SystemServiceServer;
use runtime_proto::v1::task_service_server::TaskServiceServer;
use runtime_proto::v1::tree_service_server::TreeServiceServer;
use runtime_proto::v1::worker_service_server::WorkerServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::connection::Acceptor;
use crate::door::Door;
use crate::error::AdminError;
use crate::health::HealthWatcher;
use crate::services::{DeadLetters, Queues, Schedules, System, Tasks, Tree, Workers};

/// Largest message of the API in bytes, both ways.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

const STREAMS_PER_CONNECTION: u32 = 100;
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A generated server with the message limits set both ways.
macro_rules! sized {
    ($server:ident, $service:expr) => {
        $server::new($service)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    };
}

/// Where and within which limits an [`AdminServer`] serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminServerConfig {
    /// The address to listen on: a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Most connections at once.
    pub max_connections: usize,
    /// How long a connection may take to begin to speak.
    pub handshake_timeout: Duration,
    /// How long a request waits for the tree's answer, unless its caller has less patience.
    pub request_timeout: Duration,
    /// How often the health services are brought up to date.
    pub health_interval: Duration,
    /// How long requests under way may go on after a stop.
    pub stop_grace: Duration,
}

impl AdminServerConfig {
    /// The default limits on this address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            max_connections: 512,
            handshake_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            health_interval: Duration::from_secs(1),
            stop_grace: Duration::from_secs(3),
        }
    }
}

/// An admin server that does not listen yet.
///
/// ```no_run
/// # async fn serve(control: std::sync::Arc<dyn runtime_core::control::Control>) -> Result<(), runtime_admin::AdminError> {
/// use runtime_admin::{AdminServer, AdminServerConfig};
/// let config = AdminServerConfig::new(([127, 0, 0, 1], 7070).into());
/// let server = AdminServer { config, control }.bind().await?;
/// println!("listening on {}", server.address());
/// server.serve(std::future::pending()).await
/// # }
/// ```
pub struct AdminServer {
    /// Where, and within which limits.
    pub config: AdminServerConfig,
    /// The door into the tree.
    pub control: Arc<dyn Control>,
}

impl AdminServer {
    /// Takes the address. Callers may connect from here on; they are answered by [`BoundAdminServer::serve`].
    ///
    /// # Errors
    /// [`AdminError::NotLoopback`] for an address that others could reach, [`AdminError::Bind`] when the system refuses it.
    pub async fn bind(self) -> Result<BoundAdminServer, AdminError> {
        let address = self.config.listen;
        if !address.ip().to_canonical().is_loopback() {
            return Err(AdminError::NotLoopback { address });
        }
        let refused = |source| AdminError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(BoundAdminServer { server: self, listener, address })
    }
}

/// An admin server that has its address.
pub struct BoundAdminServer {
    server: AdminServer,
    listener: TcpListener,
    address: SocketAddr,
}

impl BoundAdminServer {
    /// The address it listens on, with the port it really got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` completes. Requests under way then have `stop_grace` to finish; what is still open
    /// afterwards is cut.
    ///
    /// # Errors
    /// [`AdminError::Serve`] when serving ends by itself.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), AdminError> {
        let AdminServer { config, control } = self.server;
        let door = Door::new(control, config.request_timeout);
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut watcher = HealthWatcher::new(door.clone(), reporter, config.health_interval);
        watcher.look().await;

        let cut = CancellationToken::new();
        let _cut_when_dropped = cut.clone().drop_guard();
        let stopping = CancellationToken::new();
        let acceptor =
            Acceptor::new(self.listener, config.max_connections, config.handshake_timeout, cut.clone());
        let serving = Server::builder()
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .http2_keepalive_interval(Some(KEEP_ALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .add_service(sized!(SystemServiceServer, System(door.clone())))
            .add_service(sized!(TreeServiceServer, Tree(door.clone())))
            .add_service(sized!(QueueServiceServer, Queues(door.clone())))
            .add_service(sized!(ScheduleServiceServer, Schedules(door.clone())))
            .add_service(sized!(TaskServiceServer, Tasks(door.clone())))
            .add_service(sized!(DeadLetterServiceServer, DeadLetters(door.clone())))
            .add_service(sized!(WorkerServiceServer, Workers(door)))
            .add_service(health.max_decoding_message_size(MAX_MESSAGE_BYTES))
            .serve_with_incoming_shutdown(acceptor.connections(), stopping.cancelled());
        tokio::pin!(serving);

        tokio::select! {
            ended = &mut serving => return ended.map_err(AdminError::Serve),
            () = watcher.watch() => {}
            () = stop => {}
        }
        watcher.stop().await;
        stopping.cancel();
        if let Ok(ended) = tokio::time::timeout(config.stop_grace, &mut serving).await {
            return ended.map_err(AdminError::Serve);
        }
        tracing::warn!(grace = ?config.stop_grace, "cutting admin requests that did not finish in time");
        cut.cancel();
        serving.await.map_err(AdminError::Serve)
    }
}
