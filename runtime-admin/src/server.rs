//! Serves the admin API within limits.
//!
//! ```text
//! listener ─▶ place ─▶ TLS, preface ─▶ HTTP/2, frames counted ─▶ calls: shed, deadline, panics ─▶ services ─▶ the tree
//! ```
//!
//! The libraries' own defaults are open-ended, so every limit is set here and in the parts of that line. An address that others can
//! reach needs TLS and callers that are known; there is no switch to turn this off.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime_core::clock::Clock;
use runtime_core::control::Control;
use runtime_proto::v1;
use runtime_proto::v1::audit_service_server::AuditServiceServer;
use runtime_proto::v1::config_service_server::ConfigServiceServer;
use runtime_proto::v1::dead_letter_service_server::DeadLetterServiceServer;
use runtime_proto::v1::diagnostics_service_server::DiagnosticsServiceServer;
use runtime_proto::v1::event_service_server::EventServiceServer;
use runtime_proto::v1::operation_service_server::OperationServiceServer;
use runtime_proto::v1::principal_service_server::PrincipalServiceServer;
use runtime_proto::v1::queue_service_server::QueueServiceServer;
use runtime_proto::v1::schedule_service_server::ScheduleServiceServer;
use runtime_proto::v1::system_service_server::SystemServiceServer;
use runtime_proto::v1::task_service_server::TaskServiceServer;
use runtime_proto::v1::tree_service_server::TreeServiceServer;
use runtime_proto::v1::worker_service_server::WorkerServiceServer;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tower_layer::Layer;

use crate::auth::{Access, Authentication, Directory, Gate, GateLayer, RULES};
use crate::calls::Calls;
use crate::certificates::Certificates;
use crate::connection::Host;
use crate::door::Door;
use crate::error::AdminError;
use crate::health::HealthWatcher;
use crate::limits::LiveLimits;
use crate::listen::{ListenAddress, Listener};
use crate::places::Places;
use crate::services::{
    Audit, Config, DeadLetters, Diagnostics, Events, Operations, Principals, Queues, Schedules, System,
    Tasks, Tree, Workers,
};

/// Largest message of the API in bytes, both ways.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// How long to wait after the system refused to accept, for example because no file descriptor is free.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(100);

/// How much longer a call may take than the tree may take for its answer: so that it is the tree of which it is said.
const BEYOND_THE_TREE: Duration = Duration::from_secs(2);

/// A generated server with the message limits set both ways.
macro_rules! sized {
    ($server:ident, $service:expr) => {
        $server::new($service)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    };
}

/// Where and within which limits an [`AdminServer`] serves.
#[derive(Debug, Clone)]
pub struct AdminServerConfig {
    /// The address to listen on. One that others can reach needs `certificates`, and callers that say who they are.
    pub listen: ListenAddress,
    /// With what it speaks TLS; without, anybody on the way can read along.
    pub certificates: Option<Certificates>,
    /// A Unix socket besides: so that the user of the process needs no certificate on this machine.
    pub local_socket: Option<PathBuf>,
    /// Whether it describes its API to whoever asks, as `grpcurl` does.
    pub reflection: bool,
    /// How often the files of the certificates are looked at.
    pub certificates_interval: Duration,
    /// How much of everything there may be; it may be changed meanwhile.
    pub limits: LiveLimits,
    /// How long a request waits for the tree's answer, unless its caller has less patience.
    pub request_timeout: Duration,
    /// How often the health services are brought up to date.
    pub health_interval: Duration,
    /// How long requests under way may go on after a stop.
    pub stop_grace: Duration,
}

impl AdminServerConfig {
    /// The default limits on this address, without TLS.
    pub fn new(listen: impl Into<ListenAddress>) -> Self {
        Self {
            listen: listen.into(),
            certificates: None,
            local_socket: None,
            reflection: false,
            certificates_interval: Duration::from_secs(30),
            limits: LiveLimits::default(),
            request_timeout: Duration::from_secs(30),
            health_interval: Duration::from_secs(1),
            stop_grace: Duration::from_secs(3),
        }
    }

    /// Whether it may be served like this at all.
    ///
    /// # Errors
    /// [`AdminError::Exposed`] for an address that others can reach, without TLS or without asking who they are;
    /// [`AdminError::TlsOverSocket`].
    pub fn check(&self, authentication: Authentication) -> Result<(), AdminError> {
        Self::allows(&self.listen, self.certificates.is_some(), authentication.is_required())
    }

    /// Whether an address may be served with or without TLS, by callers that say who they are or need not.
    ///
    /// # Errors
    /// As of [`Self::check`].
    pub fn allows(listen: &ListenAddress, tls: bool, are_known: bool) -> Result<(), AdminError> {
        let exposed = |missing| Err(AdminError::Exposed { address: listen.clone(), missing });
        match listen {
            ListenAddress::Unix(_) if tls => Err(AdminError::TlsOverSocket { address: listen.clone() }),
            _ if listen.is_local() => Ok(()),
            _ if !tls => exposed("TLS: name a certificate and its key"),
            _ if !are_known => exposed("knowing who calls: set the authentication to required"),
            _ => Ok(()),
        }
    }
}

/// An admin server that does not listen yet.
///
/// ```no_run
/// # async fn serve(control: std::sync::Arc<dyn runtime_core::control::Control>, access: runtime_admin::Access) -> Result<(), runtime_admin::AdminError> {
/// use runtime_admin::{AdminServer, AdminServerConfig};
/// let config = AdminServerConfig::new(std::net::SocketAddr::from(([127, 0, 0, 1], 7070)));
/// let server = AdminServer { config, control, access }.bind().await?;
/// println!("listening on {}", server.endpoint());
/// server.serve(std::future::pending()).await
/// # }
/// ```
pub struct AdminServer {
    /// Where, and within which limits.
    pub config: AdminServerConfig,
    /// The door into the tree.
    pub control: Arc<dyn Control>,
    /// Who may do what, and what is written down of it.
    pub access: Access,
}

impl AdminServer {
    /// Takes the address. Callers may connect from here on; they are answered by [`BoundAdminServer::serve`].
    ///
    /// # Errors
    /// What [`AdminServerConfig::check`] says, and [`AdminError::Bind`] when the system refuses the address.
    pub async fn bind(self) -> Result<BoundAdminServer, AdminError> {
        self.config.check(self.access.authentication)?;
        let (access, now) = (&self.access, self.access.clock.now());
        let directory = Directory::read(Arc::clone(&access.principals), access.authentication, now);
        let directory = Arc::new(directory.await.map_err(AdminError::Principals)?);
        let (listener, address) = bind(&self.config.listen).await?;
        let local = match self.config.local_socket.clone().map(ListenAddress::Unix) {
            Some(address) => Some(bind(&address).await?),
            None => None,
        };
        if access.authentication == Authentication::Off {
            tracing::warn!(%address, "the admin API asks nobody who they are: whoever can connect may do anything");
        }
        Ok(BoundAdminServer { server: self, directory, listener, address, local })
    }
}

/// An admin server that has its address.
pub struct BoundAdminServer {
    server: AdminServer,
    directory: Arc<Directory>,
    listener: Listener,
    address: ListenAddress,
    local: Option<(Listener, ListenAddress)>,
}

async fn bind(address: &ListenAddress) -> Result<(Listener, ListenAddress), AdminError> {
    let refused = |source| AdminError::Bind { address: address.clone(), source };
    Listener::bind(address).await.map_err(refused)
}

impl BoundAdminServer {
    /// The address it listens on, with the port it really got.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// What a client connects to.
    pub fn endpoint(&self) -> String {
        self.address.endpoint(self.server.config.certificates.is_some())
    }

    /// What the user of the process connects to on this machine.
    pub fn local_endpoint(&self) -> String {
        self.local.as_ref().map_or_else(|| self.endpoint(), |(_, address)| address.endpoint(false))
    }

    /// Answers requests until `stop` completes. Requests under way then have `stop_grace` to finish; what is still open
    /// afterwards is cut.
    ///
    /// # Errors
    /// [`AdminError::Reflection`], before anything is answered.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), AdminError> {
        let Self { server: AdminServer { config, control, access }, directory, listener, local, .. } = self;
        let local = local.map(|(listener, _)| listener);
        let features = config.features(&access);
        let door = Door::new(control, config.request_timeout);
        let principals = Principals::new(access.clone(), Arc::clone(&directory), door.clone());
        let audit = Audit(Arc::clone(&access.audit));
        let (stopping, cut) = (CancellationToken::new(), CancellationToken::new());
        let clock = Arc::clone(&access.clock);
        let events = Events {
            door: door.clone(),
            clock: Arc::clone(&clock),
            pace: Arc::default(),
            stopping: stopping.clone(),
        };
        let limits = config.limits.clone();
        let gate = Gate::new(access, directory, RULES, door.clone(), config.request_timeout, limits.clone());
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut routes = services(&door, &clock, features)
            .add_service(sized!(PrincipalServiceServer, principals))
            .add_service(sized!(AuditServiceServer, audit))
            .add_service(sized!(EventServiceServer, events))
            .add_service(health.max_decoding_message_size(MAX_MESSAGE_BYTES));
        if config.reflection {
            routes = routes.add_service(reflection()?);
        }
        let mut watcher = HealthWatcher::new(door, reporter, config.health_interval);
        watcher.look().await;

        let _cut_when_dropped = cut.clone().drop_guard();
        let host = Arc::new(Host {
            calls: Calls::new(
                GateLayer(Arc::new(gate)).layer(routes.prepare()),
                limits.clone(),
                config.request_timeout + BEYOND_THE_TREE,
            ),
            certificates: config.certificates.clone(),
            limits: limits.clone(),
            leave: config.stop_grace,
            stopping: stopping.clone(),
            cut: cut.clone(),
        });
        let connections = TaskTracker::new();
        let places = Places::new(limits);
        tokio::select! {
            () = accept(&listener, &host, &places, &connections) => {}
            () = accept_some(local.as_ref(), &host, &places, &connections) => {}
            () = watcher.watch() => {}
            () = watch(config.certificates.as_ref(), config.certificates_interval) => {}
            () = stop => {}
        }
        drop((listener, local));
        watcher.stop().await;
        stopping.cancel();
        connections.close();
        if tokio::time::timeout(config.stop_grace, connections.wait()).await.is_err() {
            tracing::warn!(grace = ?config.stop_grace, "cutting admin requests that did not finish in time");
            cut.cancel();
            connections.wait().await;
        }
        Ok(())
    }
}

/// The services of the API.
fn services(door: &Door, clock: &Arc<dyn Clock>, features: Vec<v1::Feature>) -> Routes {
    let system = System { door: door.clone(), clock: Arc::clone(clock), features };
    Routes::new(sized!(SystemServiceServer, system))
        .add_service(sized!(TreeServiceServer, Tree(door.clone())))
        .add_service(sized!(QueueServiceServer, Queues(door.clone())))
        .add_service(sized!(ScheduleServiceServer, Schedules(door.clone())))
        .add_service(sized!(TaskServiceServer, Tasks(door.clone())))
        .add_service(sized!(ConfigServiceServer, Config(door.clone())))
        .add_service(sized!(DiagnosticsServiceServer, Diagnostics(door.clone())))
        .add_service(sized!(DeadLetterServiceServer, DeadLetters(door.clone())))
        .add_service(sized!(OperationServiceServer, Operations(door.clone())))
        .add_service(sized!(WorkerServiceServer, Workers(door.clone())))
}

/// The API described for whoever asks, health included.
fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>, AdminError> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(runtime_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| AdminError::Reflection(Box::new(error)))
}

impl AdminServerConfig {
    fn features(&self, access: &Access) -> Vec<v1::Feature> {
        let known = access.authentication.is_required();
        let has = [
            (self.certificates.is_some(), v1::Feature::Tls),
            (known, v1::Feature::Authentication),
            (self.reflection, v1::Feature::Reflection),
            (known && self.limits.now().rate_per_principal.is_some(), v1::Feature::RateLimit),
        ];
        has.into_iter().filter(|(has, _)| *has).map(|(_, feature)| feature).collect()
    }
}

/// Takes connections as they come, and never waits for one of them.
async fn accept(listener: &Listener, host: &Arc<Host>, places: &Arc<Places>, connections: &TaskTracker) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let (host, place) = (host.clone(), places.arrive());
                connections.spawn(async move { host.serve(stream, place).await });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an admin connection");
                sleep(AFTER_ACCEPT_ERROR).await;
            }
        }
    }
}

/// The same for a listener that need not be.
async fn accept_some(
    listener: Option<&Listener>,
    host: &Arc<Host>,
    places: &Arc<Places>,
    connections: &TaskTracker,
) {
    match listener {
        Some(listener) => accept(listener, host, places, connections).await,
        None => std::future::pending().await,
    }
}

async fn watch(certificates: Option<&Certificates>, every: Duration) {
    match certificates {
        Some(certificates) => certificates.clone().watch(every).await,
        None => std::future::pending().await,
    }
}
