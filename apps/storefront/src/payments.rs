//! The payment provider, as `settle` speaks to it: `POST /payouts` with an `Idempotency-Key`.

use std::net::SocketAddr;
use std::time::Duration;

use runtime::prelude::{DependencyName, ErrorCode, JsonSchema, TaskError};
use serde::{Deserialize, Serialize};

use crate::http_call::{Call, CallError, call};

/// What `settle` depends on.
pub const PAYMENTS: &str = "payments";

/// What is to be paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayoutOrder {
    /// Names the payment: paid once, however often it is asked.
    pub key: String,
    /// Whom.
    pub store: u64,
    /// How much, in minor units; collected from the store when negative.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Proof that it was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The provider's number for the payment.
    pub receipt: String,
}

/// A payment provider.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Where it listens.
    pub address: SocketAddr,
    /// Longest time of one call.
    pub timeout: Duration,
}

impl Provider {
    /// Pays, or learns that it was paid before.
    ///
    /// # Errors
    /// Retryable when the provider is away or fails; a question to a person when it knows the key with another order;
    /// permanent when it refuses the order.
    pub async fn pay(&self, order: &PayoutOrder) -> Result<Receipt, TaskError> {
        let body = serde_json::to_vec(order).map_err(|error| TaskError::permanent(error.to_string()))?;
        let asked = Call { method: "POST", path: "/payouts", key: Some(&order.key), body };
        let (status, answer) = match tokio::time::timeout(self.timeout, call(self.address, asked)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => return Err(away(&error)),
            Err(_) => return Err(away(&CallError::NoAnswer)),
        };
        match status {
            200 | 201 => serde_json::from_slice(&answer).map_err(|error| {
                TaskError::retryable(format!("the provider's receipt cannot be read: {error}"))
            }),
            409 => Err(TaskError::new(
                ErrorCode::NeedsDecision,
                format!("the provider knows {} with another amount; which one is right?", order.key),
            )),
            429 | 500..=599 => Err(TaskError::retryable(format!("the provider answered {status}"))),
            _ => Err(TaskError::permanent(format!("the provider refused the order with {status}"))),
        }
    }
}

fn away(error: &CallError) -> TaskError {
    let error = TaskError::retryable(format!("the provider does not answer: {error}"));
    match DependencyName::new(PAYMENTS) {
        Ok(name) => error.of_dependency(name),
        Err(_) => error,
    }
}
