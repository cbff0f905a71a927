//! The least that a unary call can cost: a server of the same library that does nothing, with the library's own limits.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::tls::Tls;

/// Served until it is dropped.
pub(crate) struct Empty {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Empty {
    /// Serves on the runtime of whoever calls this.
    pub(crate) async fn serve(tls: Option<&Tls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        // The whole server is healthy from the start: its answer is a look into a map.
        let (_, health) = tonic_health::server::health_reporter();
        let mut server = Server::builder().tcp_nodelay(true);
        if let Some(tls) = tls {
            server = server.tls_config(tls.of_the_server()).expect("TLS");
        }
        let serving = server.add_service(health).serve_with_incoming(TcpListenerStream::new(listener));
        Self { address, serving: tokio::spawn(async move { serving.await.expect("it serves") }) }
    }

    /// Where it is.
    pub(crate) fn endpoint(&self, with_tls: bool) -> String {
        let scheme = if with_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self, tls: Option<&Tls>) -> HealthClient<Channel> {
        let mut to = Endpoint::from_shared(self.endpoint(tls.is_some())).expect("an address");
        if let Some(tls) = tls {
            to = to.tls_config(tls.of_a_client()).expect("TLS");
        }
        HealthClient::new(to.connect().await.expect("connected"))
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Asks, and gets the same answer each time.
pub(crate) async fn check(client: &mut HealthClient<Channel>) {
    client.check(HealthCheckRequest::default()).await.expect("an answer");
}
