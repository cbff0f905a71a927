//! The client library: what `runtimectl`, apps and tests use to see and steer a running tree.

mod access;
mod bearer;
mod config;
mod dead_letters;
mod error;
mod events;
mod list;
mod mutation;
mod nodes;
mod operations;
mod queues;
mod schedules;
mod system;
mod tasks;
mod tls;
mod workers;

use std::net::IpAddr;
use std::time::Duration;

use prost::Message;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response};

pub use error::{ClientError, Refusal};
pub use events::{EventAsk, EventWatch, Watched};
pub use list::Seen;
pub use tls::ClientTls;

pub(crate) use bearer::{Bearer, Channel};
use list::{Page, pages};
use mutation::Signature;

/// Where an admin server listens when nothing else is said.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7070";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to an admin server. Cheap to clone; calls may go on at the same time.
///
/// ```no_run
/// # async fn look() -> Result<(), runtime_admin::ClientError> {
/// use runtime_admin::AdminClient;
/// use runtime_core::control::NodeCommand;
/// let client = AdminClient::connect("http://127.0.0.1:7070").await?;
/// let settle = "/engine/apps/shop/workers/settle".parse().expect("a path");
/// let paused = client.steer_node(&settle, NodeCommand::Pause).await?;
/// println!("{} is {:?}", paused.name, paused.state());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct AdminClient {
    channel: Channel,
    plain: tonic::transport::Channel,
    /// The endpoint, when it is of another machine and without TLS.
    in_clear: Option<String>,
    timeout: Duration,
    signature: Signature,
}

/// Whether what is sent to this address leaves the machine for everybody on the way to read.
fn in_clear(address: &str) -> bool {
    let Ok(address) = address.parse::<http::Uri>() else { return false };
    let host = address.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let stays = host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback());
    address.scheme_str() == Some("http") && !stays
}

impl AdminClient {
    /// Connects to `http://host:port`, `https://host:port` (with the authorities that the machine trusts) or `unix:PATH`; `http` may be left
    /// out.
    ///
    /// # Errors
    /// [`ClientError::InvalidEndpoint`] and [`ClientError::Connect`].
    pub async fn connect(endpoint: &str) -> Result<Self, ClientError> {
        Self::connect_with(endpoint, &ClientTls::default()).await
    }

    /// As [`AdminClient::connect`], with files for TLS. When there are any, `https` is what may be left out.
    ///
    /// # Errors
    /// [`ClientError::InvalidEndpoint`], [`ClientError::Connect`], [`ClientError::File`] for a file that cannot be used, and
    /// [`ClientError::WithoutTls`] when there are files and the endpoint is not for TLS.
    pub async fn connect_with(endpoint: &str, tls: &ClientTls) -> Result<Self, ClientError> {
        let address = match endpoint {
            given if given.contains("://") || given.starts_with("unix:") => given.to_owned(),
            given if tls.is_empty() => format!("http://{given}"),
            given => format!("https://{given}"),
        };
        let invalid = || ClientError::InvalidEndpoint(endpoint.to_owned());
        let refused = |source| ClientError::Connect { endpoint: endpoint.to_owned(), source };
        if !["http://", "https://", "unix:"].iter().any(|scheme| address.starts_with(scheme)) {
            return Err(invalid());
        }
        let mut to = Endpoint::from_shared(address.clone()).map_err(|_| invalid())?;
        if address.starts_with("https://") {
            to = to.tls_config(tls.read()?).map_err(refused)?;
        } else if !tls.is_empty() {
            return Err(ClientError::WithoutTls(endpoint.to_owned()));
        }
        let channel = to.connect_timeout(CONNECT_TIMEOUT).connect().await.map_err(refused)?;
        Ok(Self {
            channel: Channel::new(channel.clone(), Bearer::default()),
            plain: channel,
            in_clear: in_clear(&address).then(|| endpoint.to_owned()),
            timeout: DEFAULT_TIMEOUT,
            signature: Signature::default(),
        })
    }

    /// Whom each call comes from, from now on: whoever has this token.
    ///
    /// # Errors
    /// [`ClientError::InvalidToken`] for a text that cannot stand in a header, and [`ClientError::TokenInClear`] where the endpoint is of
    /// another machine and without TLS.
    pub fn with_token(self, token: &str) -> Result<Self, ClientError> {
        if let Some(endpoint) = self.in_clear {
            return Err(ClientError::TokenInClear(endpoint));
        }
        let bearer = Bearer::of(token).ok_or(ClientError::InvalidToken)?;
        Ok(Self { channel: Channel::new(self.plain.clone(), bearer), ..self })
    }

    /// How long each call may take from now on; 30 s by default, and never longer than the server allows.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// What `grpc.health.v1` says of `service`: `""` for the whole, [`crate::LIVENESS`], or an app's name.
    pub async fn health(&self, service: &str) -> Result<ServingStatus, ClientError> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(self.channel.clone()).check(self.request(request)).await?.into_inner();
        Ok(match answer.status() {
            health_check_response::ServingStatus::Serving => ServingStatus::Serving,
            health_check_response::ServingStatus::NotServing => ServingStatus::NotServing,
            health_check_response::ServingStatus::Unknown
            | health_check_response::ServingStatus::ServiceUnknown => ServingStatus::Unknown,
        })
    }

    fn request<T: Message>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

/// Listens to long work: hands every message on and returns the last one, or nothing when the stream ends without it.
async fn to_the_end<M>(
    mut work: Streaming<M>,
    is_last: impl Fn(&M) -> bool,
    mut progress: impl FnMut(&M),
) -> Result<Option<M>, ClientError> {
    while let Some(message) = work.message().await? {
        if is_last(&message) {
            return Ok(Some(message));
        }
        progress(&message);
    }
    Ok(None)
}

fn present<T>(part: Option<T>, what: &'static str) -> Result<T, ClientError> {
    part.ok_or(ClientError::Incomplete(what))
}
