//! Whoever stands at the shop's counter: one HTTP request at a time.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A connection to the HTTP API.
pub struct Counter {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Counter {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn at(address: SocketAddr) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// Posts a document; status and answer.
    ///
    /// # Errors
    /// When the connection broke before the answer came.
    pub async fn post(
        &mut self,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> Result<(StatusCode, Value), Box<dyn std::error::Error + Send + Sync>> {
        self.sender.ready().await?;
        let mut request = Request::post(path).header("host", self.address.to_string());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = self.sender.send_request(request.body(Full::from(body.to_string()))?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body)?))
    }
}
