//! The server: routes, limits, and the endpoint's life in the tree.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query as UrlQuery, Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use runtime::actors::{Serve, Serving};
use runtime::core::store::Store as Rows;
use serde_json::json;
use storefront_domain::ReservationEvent;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::answer::{Answer, Refusal};
use super::connections::{self, ConnectionLimits};
use super::desk::{Asked, Desk};
use super::form::Form;
use super::reads::Query;
use crate::catalogue::Catalogue;
use crate::config::StorefrontConfig;
use crate::obligations::Obligations;

/// Longest `Idempotency-Key`.
const MAX_KEY: usize = 200;

/// What the server has to know.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to write down where it listens.
    pub address_file: Option<PathBuf>,
    /// What a new shop starts with.
    pub catalogue: Option<PathBuf>,
    /// Longest time of a request.
    pub timeout: Duration,
    /// Largest body, in bytes.
    pub max_body: usize,
    /// Requests at once.
    pub max_requests: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// Longest time until the head of a connection's next request is there.
    pub head_timeout: Duration,
}

impl From<&StorefrontConfig> for HttpConfig {
    fn from(config: &StorefrontConfig) -> Self {
        Self {
            listen: config.listen,
            address_file: config.address_file.clone(),
            catalogue: config.catalogue.clone(),
            timeout: Duration::from_millis(config.request_timeout_ms.get()),
            max_body: config.max_body_bytes.get(),
            max_requests: config.max_requests.get(),
            max_connections: config.max_connections.get(),
            head_timeout: Duration::from_millis(config.head_timeout_ms.get()),
        }
    }
}

/// The endpoint of the tree.
pub fn endpoint(config: HttpConfig, obligations: Arc<Obligations>, rows: Arc<dyn Rows>) -> Serve {
    let address = Arc::new(OnceLock::new());
    Arc::new(move |serving| {
        let door = Door {
            desk: Desk::new(rows.clone(), obligations.clone()),
            places: Semaphore::new(config.max_requests),
            open: serving.open.clone(),
            config: config.clone(),
        };
        Box::pin(serve(serving, door, address.clone()))
    })
}

async fn serve(mut serving: Serving, door: Door, address: Arc<OnceLock<SocketAddr>>) -> Result<(), String> {
    let file = door.config.catalogue.as_deref();
    let catalogue =
        Catalogue::load(file).map_err(|error| format!("the catalogue cannot be read: {error}"))?;
    catalogue.write_if_new(door.desk.rows()).await.map_err(|error| error.to_string())?;
    // A restarted node takes the port it had.
    let listen = address.get().copied().unwrap_or(door.config.listen);
    let failed = |error: std::io::Error| format!("{listen}: {error}");
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let bound = *address.get_or_init(|| bound);
    if let Some(file) = &door.config.address_file {
        std::fs::write(file, bound.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    tracing::info!(address = %bound, "the shop's HTTP API listens");
    serving.listening();
    let limits = ConnectionLimits { most: door.config.max_connections, head: door.config.head_timeout };
    let router = Router::new().fallback(come_in).with_state(Arc::new(door));
    connections::serve(listener, router, limits, serving.stop).await;
    Ok(())
}

/// What every request passes.
struct Door {
    desk: Desk,
    places: Semaphore,
    open: watch::Receiver<bool>,
    config: HttpConfig,
}

async fn come_in(State(door): State<Arc<Door>>, request: Request) -> Response {
    if !*door.open.borrow() {
        return Refusal::busy("the shop is closed for the moment").into_response();
    }
    let Ok(_place) = door.places.try_acquire() else {
        return Refusal::busy("too many requests at once").into_response();
    };
    match tokio::time::timeout(door.config.timeout, door.answer(request)).await {
        Ok(Ok(answer)) => answer.into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => {
            Refusal::busy("no answer in time; ask again under the same Idempotency-Key").into_response()
        }
    }
}

impl Door {
    async fn answer(&self, request: Request<Body>) -> Result<Answer, Refusal> {
        let (head, body) = request.into_parts();
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        let too_large =
            |_| Refusal::field("body", format!("must not be larger than {} bytes", self.config.max_body));
        let body = to_bytes(body, self.config.max_body).await.map_err(too_large)?;
        match (&head.method, path.as_slice()) {
            (&Method::GET, ["healthz"]) => Ok(Answer::ok(json!({ "status": "ok" }))),
            (&Method::GET, ["settlements"]) => self.desk.settlements(&query(&head.uri)?).await,
            (&Method::GET, ["rollups"]) => self.desk.rollups(&query(&head.uri)?).await,
            (&Method::GET, ["products", product, "recommendations"]) => {
                self.desk.recommendations(product).await
            }
            (&Method::POST, path) => {
                let asked = asked(&head.headers, path, &body)?;
                self.post(path, &asked, &body).await
            }
            _ => Err(nothing_here()),
        }
    }

    async fn post(&self, path: &[&str], asked: &Asked, body: &Bytes) -> Result<Answer, Refusal> {
        match path {
            ["sales"] => self.desk.sale(asked, Form::read(body)?).await,
            ["refunds"] => self.desk.refund(asked, Form::read(body)?).await,
            ["ratings"] => self.desk.rating(asked, Form::read(body)?).await,
            ["reservations"] => self.desk.reservation(asked, Form::read(body)?).await,
            ["reservations", id, "confirm"] => {
                self.desk.decide(asked, id, ReservationEvent::Confirm, Form::read(body)?).await
            }
            ["reservations", id, "cancel"] => {
                self.desk.decide(asked, id, ReservationEvent::Cancel, Form::read(body)?).await
            }
            ["members"] => self.desk.member(asked, Form::read(body)?).await,
            ["payments"] => self.desk.payment(asked, Form::read(body)?).await,
            ["drafts"] => self.desk.draft(asked, Form::read(body)?).await,
            _ => Err(nothing_here()),
        }
    }
}

fn nothing_here() -> Refusal {
    Refusal::NotFound("there is nothing here".to_owned())
}

fn query(uri: &axum::http::Uri) -> Result<Query, Refusal> {
    let read = UrlQuery::<BTreeMap<String, String>>::try_from_uri(uri);
    read.map(|UrlQuery(fields)| Query(fields)).map_err(|_| Refusal::field("query", "cannot be read"))
}

fn asked(headers: &HeaderMap, path: &[&str], body: &Bytes) -> Result<Asked, Refusal> {
    let key = match headers.get("idempotency-key") {
        None => None,
        Some(key) => {
            let readable = key.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
            let why =
                || Refusal::field("Idempotency-Key", format!("must be 1 to {MAX_KEY} printable characters"));
            Some(readable.ok_or_else(why)?.to_owned())
        }
    };
    let mut content = blake3::Hasher::new();
    content.update(path.join("/").as_bytes()).update(b"\n").update(body);
    Ok(Asked { key, content: *content.finalize().as_bytes() })
}
