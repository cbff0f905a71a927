//! The accept loop: at most so many connections at once, each of which must begin to speak soon and can be cut.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::peer::Peer;

/// How long to wait after the system refused to accept, for example because no file descriptor is free.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(100);

/// Length of what every HTTP/2 client says first.
const PREFACE_BYTES: usize = 24;

/// Takes connections as they come.
pub(crate) struct Acceptor {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    handshake_timeout: Duration,
    cut: CancellationToken,
}

impl Acceptor {
    /// At most `limit` connections at once; `cut` ends them all.
    pub(crate) fn new(
        listener: TcpListener,
        limit: usize,
        handshake_timeout: Duration,
        cut: CancellationToken,
    ) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(limit)), handshake_timeout, cut }
    }

    /// The connections, without end.
    pub(crate) fn connections(self) -> impl Stream<Item = io::Result<Connection>> {
        futures_util::stream::unfold(self, async |acceptor| Some((acceptor.accept().await, acceptor)))
    }

    /// A permit comes before the connection, so that those past the limit wait outside the process.
    async fn accept(&self) -> io::Result<Connection> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return Ok(self.connection(stream, peer, permit)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an admin connection");
                    sleep(AFTER_ACCEPT_ERROR).await;
                }
            }
        }
    }

    fn connection(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) -> Connection {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "an admin connection keeps its delay");
        }
        Connection {
            stream,
            peer,
            handshake: Some((PREFACE_BYTES, Box::pin(sleep(self.handshake_timeout)))),
            cut: Box::pin(self.cut.clone().cancelled_owned()),
            _permit: permit,
        }
    }
}

/// One accepted connection. Reading from it fails once it is cut, which ends everything that goes on over it; and when its
/// peer does not begin to speak in time.
pub(crate) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    /// Bytes still to come before the peer counts as speaking, and how long that may take.
    handshake: Option<(usize, Pin<Box<Sleep>>)>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer::anonymous(self.peer)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if let Some((missing, deadline)) = &mut this.handshake {
            *missing = missing.saturating_sub(buffer.filled().len() - before);
            if *missing == 0 {
                this.handshake = None;
            } else if read.is_pending() && deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
