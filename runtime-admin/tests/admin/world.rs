//! One server and one client for a test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime_admin::{
    Access, AdminClient, AdminError, AdminServer, AdminServerConfig, Authentication, ListenAddress,
};
use runtime_core::clock::Clock;
use runtime_core::limits::StoreLimits;
use runtime_core::store::Store;
use runtime_stores::{MemoryStore, SystemClock};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::control::InMemoryControl;

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) client: AdminClient,
    pub(crate) control: InMemoryControl,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) ended: JoinHandle<Result<(), AdminError>>,
}

impl Served {
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn config() -> AdminServerConfig {
    let mut config = AdminServerConfig::new(loopback());
    config.health_interval = Duration::from_millis(10);
    config
}

/// Nobody is asked who they are, and what is done is written down in memory.
pub(crate) fn open_access() -> Access {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    access_to(Arc::new(MemoryStore::new(clock.clone(), StoreLimits::default())), clock, Authentication::Off)
}

/// What is written down goes here.
pub(crate) fn access_to(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    authentication: Authentication,
) -> Access {
    Access { principals: store.clone(), audit: store, clock, authentication }
}

pub(crate) async fn setup() -> Served {
    setup_with(config(), InMemoryControl::new()).await
}

pub(crate) async fn setup_with(config: AdminServerConfig, control: InMemoryControl) -> Served {
    serve(config, control, open_access()).await
}

pub(crate) async fn serve(config: AdminServerConfig, control: InMemoryControl, access: Access) -> Served {
    let Started { address, stop, ended } = start_with(config, control.clone(), access).await;
    let ListenAddress::Tcp(address) = address else { panic!("no port: {address}") };
    let client = AdminClient::connect(&address.to_string()).await.expect("a server");
    Served { address, client, control, stop, ended }
}

/// A server to which nobody is connected yet.
pub(crate) struct Started {
    pub(crate) address: ListenAddress,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) ended: JoinHandle<Result<(), AdminError>>,
}

pub(crate) async fn start(config: AdminServerConfig, control: InMemoryControl) -> Started {
    start_with(config, control, open_access()).await
}

pub(crate) async fn start_with(
    config: AdminServerConfig,
    control: InMemoryControl,
    access: Access,
) -> Started {
    let server = AdminServer { config, control: Arc::new(control), access };
    let server = server.bind().await.expect("a free address");
    let address = server.address().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(server.serve(async move {
        let _ = stopped.await;
    }));
    Started { address, stop, ended }
}
