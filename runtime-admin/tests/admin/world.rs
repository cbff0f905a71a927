//! One server and one client for a test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime_admin::{AdminClient, AdminError, AdminServer, AdminServerConfig, ListenAddress};
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

pub(crate) async fn setup() -> Served {
    setup_with(config(), InMemoryControl::new()).await
}

pub(crate) async fn setup_with(config: AdminServerConfig, control: InMemoryControl) -> Served {
    let Started { address, stop, ended } = start(config, control.clone()).await;
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
    let server = AdminServer { config, control: Arc::new(control) }.bind().await.expect("a free address");
    let address = server.address().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(server.serve(async move {
        let _ = stopped.await;
    }));
    Started { address, stop, ended }
}
