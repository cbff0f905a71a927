//! A little payment provider, for the demo and the tests: a real HTTP peer that enforces keys.
//!
//! Under one key it pays once. The same order again gets the same receipt, another order under a known key is refused,
//! and every so often it pays and then fails to answer, as real ones do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::payments::{PayoutOrder, Receipt};

/// A running provider; it ends when dropped.
pub struct PaymentProvider {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
    stop: CancellationToken,
}

/// What it did.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// Every payment, by key: paid once each.
    pub paid: BTreeMap<String, PayoutOrder>,
    /// Calls, answered or not.
    pub calls: u64,
    /// Calls for what was paid before.
    pub repeated: u64,
    /// Orders refused because their key stands for another one.
    pub refused: u64,
    /// Calls that were paid and got an error for an answer.
    pub unanswered: u64,
    fail_every: Option<u64>,
}

impl PaymentProvider {
    /// Starts one on a free loopback port. When given, every so many-th payment is made and answered with an error.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(fail_every: Option<u64>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let books = Arc::new(Mutex::new(Books { fail_every, ..Books::default() }));
        let stop = CancellationToken::new();
        let router = Router::new().route("/payouts", post(pay)).with_state(books.clone());
        let ends = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(ends).await });
        Ok(Self { address, books, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it did so far.
    #[must_use]
    pub fn books(&self) -> Books {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for PaymentProvider {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn pay(
    State(books): State<Arc<Mutex<Books>>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
    books.calls += 1;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let Ok(order) = serde_json::from_slice::<PayoutOrder>(&body) else {
        return (StatusCode::BAD_REQUEST, Vec::new());
    };
    if key != Some(order.key.as_str()) {
        return (StatusCode::BAD_REQUEST, Vec::new());
    }
    let receipt = Receipt {
        receipt: format!("receipt-{}", blake3::hash(order.key.as_bytes()).to_hex().split_at(16).0),
    };
    match books.paid.get(&order.key) {
        Some(known) if *known == order => books.repeated += 1,
        Some(_) => {
            books.refused += 1;
            return (StatusCode::CONFLICT, Vec::new());
        }
        None => {
            books.paid.insert(order.key.clone(), order);
            if books.fail_every.is_some_and(|every| (books.paid.len() as u64).is_multiple_of(every)) {
                books.unanswered += 1;
                return (StatusCode::INTERNAL_SERVER_ERROR, Vec::new());
            }
        }
    }
    (StatusCode::OK, serde_json::to_vec(&receipt).unwrap_or_default())
}
