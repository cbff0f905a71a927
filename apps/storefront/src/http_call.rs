//! One HTTP/1.1 call with a JSON body.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// What is called.
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a str,
    /// Sent as `Idempotency-Key`.
    pub(crate) key: Option<&'a str>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the call is none: {0}")]
    Malformed(#[from] hyper::http::Error),
    #[error("the answer cannot be read: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer in time")]
    NoAnswer,
}

/// A connection that is kept for further calls.
pub(crate) struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, CallError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the connection: when the sender is dropped, or the peer hangs up.
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// Status, headers and body.
    pub(crate) async fn call(&mut self, call: Call<'_>) -> Result<(Response<()>, Bytes), CallError> {
        self.sender.ready().await?;
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json");
        if let Some(key) = call.key {
            request = request.header("idempotency-key", key);
        }
        let response: Response<Incoming> =
            self.sender.send_request(request.body(Full::from(call.body))?).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(CallError::Answer)?;
        Ok((Response::from_parts(head, ()), body.to_bytes()))
    }
}

/// One call on a connection of its own.
pub(crate) async fn call(address: SocketAddr, call: Call<'_>) -> Result<(u16, Bytes), CallError> {
    let (head, body) = Connection::open(address).await?.call(call).await?;
    Ok((head.status().as_u16(), body))
}
