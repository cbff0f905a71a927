//! What a caller is told.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use runtime::core::store::{EnqueueError, StoreError};
use runtime::prelude::{ErrorCode, TaskError};
use serde_json::{Value, json};

/// An answer to a request that was taken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// Whether it was given before.
    pub(crate) again: bool,
}

impl Answer {
    /// Something new is there.
    pub(crate) fn created(body: Value) -> Self {
        Self { status: 201, body, again: false }
    }

    /// What was asked is on its way.
    pub(crate) fn accepted(body: Value) -> Self {
        Self { status: 202, body, again: false }
    }

    /// What was asked is so.
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body, again: false }
    }
}

/// Why a request was not taken. Nothing of it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// A field is wrong.
    Field { field: String, why: String },
    /// There is no such thing.
    NotFound(String),
    /// It cannot be done as things stand.
    Conflict(String),
    /// The same request was answered before.
    Known(Answer),
    /// The period of the row was closed while the request was on its way.
    PeriodClosed,
    /// Come again, after so long.
    Busy { why: &'static str, wait: Duration },
    /// The shop's own fault.
    Fault(TaskError),
}

impl Refusal {
    pub(crate) fn field(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Field { field: field.into(), why: why.into() }
    }

    /// Come again soon.
    pub(crate) fn busy(why: &'static str) -> Self {
        Self::Busy { why, wait: COME_AGAIN }
    }
}

impl From<TaskError> for Refusal {
    fn from(error: TaskError) -> Self {
        Self::Fault(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        EnqueueError::from(error).into()
    }
}

impl From<EnqueueError> for Refusal {
    fn from(error: EnqueueError) -> Self {
        match &error {
            EnqueueError::QueueFull { .. } => Self::busy("the shop has as much to do as it takes on"),
            EnqueueError::Shed { retry_after, .. } => {
                Self::Busy { why: "the shop is behind with its work, and this can wait", wait: *retry_after }
            }
            EnqueueError::Store(store) if store.code() == ErrorCode::StoreFull => {
                Self::busy("the shop's disk is full")
            }
            EnqueueError::Store(StoreError::Unavailable { .. } | StoreError::Closed) => {
                Self::busy("the shop's store does not answer")
            }
            _ => Self::Fault(error.into()),
        }
    }
}

/// When a caller who was sent away may come again, where nothing better is known.
const COME_AGAIN: Duration = Duration::from_secs(1);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = document(self.status, &self.body);
        if self.again {
            response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = |error: &str, message: String| json!({ "error": error, "message": message });
        match self {
            Self::Field { field, why } => {
                let message = format!("{field} {why}");
                document(400, &json!({ "error": "invalid", "field": field, "message": message }))
            }
            Self::NotFound(message) => document(404, &error("not_found", message)),
            Self::Conflict(message) => document(409, &error("conflict", message)),
            Self::Known(answer) => answer.into_response(),
            Self::Busy { why, wait } => busy(&error("busy", why.to_owned()), wait),
            Self::PeriodClosed => busy(&error("busy", "the books are being closed".to_owned()), COME_AGAIN),
            Self::Fault(fault) => {
                tracing::error!(error_code = %fault.code, error = %fault.message, "a request failed");
                document(500, &error("fault", format!("the shop failed ({})", fault.code)))
            }
        }
    }
}

fn busy(body: &Value, wait: Duration) -> Response {
    let mut response = document(503, body);
    // The header knows whole seconds: never sooner than was asked for.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn document(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
