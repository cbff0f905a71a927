//! A server with nothing but the library's own limits.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Served until it is dropped.
pub(crate) struct Unlimited {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

pub(crate) async fn serve_with_the_librarys_limits() -> Unlimited {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (_, health) = tonic_health::server::health_reporter();
    let serving = Server::builder().add_service(health).serve_with_incoming(TcpIncoming::from(listener));
    Unlimited { address, serving: tokio::spawn(async move { serving.await.expect("it serves") }) }
}

impl Unlimited {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the port is open")
    }
}

impl Drop for Unlimited {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
