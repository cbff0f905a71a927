//! What stands between the shop and its payment provider, and may be shut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the way to the provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Calls go through.
    Open,
    /// Connections are cut at once.
    Cut,
    /// Calls wait until the way is another.
    Held,
    /// Every call is answered with 403.
    Refusing,
}

/// A port that leads to the provider.
pub(crate) struct Gate {
    address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
}

impl Gate {
    pub(crate) async fn before(provider: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let way = Arc::new(watch::Sender::new(Way::Open));
        let at = way.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A call that breaks off is the shop's matter.
                tokio::spawn(lead(stream, provider, at.subscribe()));
            }
        });
        Self { address, way }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn lead(
    mut stream: TcpStream,
    provider: SocketAddr,
    mut way: watch::Receiver<Way>,
) -> std::io::Result<()> {
    let held = way.wait_for(|way| *way != Way::Held).await.map(|way| *way);
    match held {
        Ok(Way::Open) => {
            let mut onward = TcpStream::connect(provider).await?;
            copy_bidirectional(&mut stream, &mut onward).await.map(drop)
        }
        Ok(Way::Refusing) => {
            // The head of the request is enough to answer.
            stream.read_buf(&mut Vec::with_capacity(4_096)).await?;
            stream
                .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await
        }
        _ => Ok(()),
    }
}
