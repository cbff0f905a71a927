//! HTTP/1.1 calls with a JSON body: to the payment provider, and to the shop by whoever tries it out.

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
pub struct Call<'a> {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path and query.
    pub path: &'a str,
    /// Sent as `Idempotency-Key`.
    pub key: Option<&'a str>,
    /// A JSON document; empty when there is none.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    /// It ended in between.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// A path or a header that is none.
    #[error("the call is none: {0}")]
    Malformed(#[from] hyper::http::Error),
    /// Too large, or cut off.
    #[error("the answer cannot be read: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
    /// The caller's patience ended.
    #[error("no answer in time")]
    NoAnswer,
}

/// A connection that is kept for further calls.
pub struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`CallError`] when nobody listens.
    pub async fn open(address: SocketAddr) -> Result<Self, CallError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the connection: when the sender is dropped, or the peer hangs up.
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// Calls: status and headers, and the body.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer.
    pub async fn call(&mut self, call: Call<'_>) -> Result<(Response<()>, Bytes), CallError> {
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

/// One call on a connection of its own: status and body.
///
/// # Errors
/// [`CallError`] when there is no answer.
pub async fn call(address: SocketAddr, call: Call<'_>) -> Result<(u16, Bytes), CallError> {
    let (head, body) = Connection::open(address).await?.call(call).await?;
    Ok((head.status().as_u16(), body))
}
