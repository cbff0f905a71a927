//! The port of a health reporter.

use async_trait::async_trait;

use crate::node::Health;

/// Looks at one thing that an app depends on. Supervised, called at its interval, never while the look before is under way.
#[async_trait]
pub trait HealthCheck: Send + Sync + 'static {
    /// How is it? Bounded by the reporter's timeout: no answer reads as unhealthy.
    async fn check(&self) -> Health;
}
