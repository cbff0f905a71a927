//! Making a worker's projection again from truth, for one scope.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::error::TaskError;
use crate::name::{CorrelationId, Scope};
use crate::store::{AppWrite, Store};
use crate::task::NewTask;

/// What is to be made again.
#[derive(Clone)]
pub struct RebuildAsk {
    /// The part of the world.
    pub scope: Scope,
    /// From here on; from the beginning when absent.
    pub since: Option<Timestamp>,
    /// Up to, but not including, this moment; to the end when absent.
    pub until: Option<Timestamp>,
    /// For reads of the app's own rows.
    pub store: Arc<dyn Store>,
    /// What the run is found under. The platform makes it part of the idempotency keys of the tasks: under the keys of the first time
    /// they would be duplicates of tasks that are done.
    pub run: CorrelationId,
}

/// What has to happen for it.
#[derive(Debug, Default)]
pub struct RebuildPlan {
    /// Discards the projection for the scope.
    pub discard: Vec<AppWrite>,
    /// Makes it again.
    pub tasks: Vec<NewTask>,
}

/// A worker that can make its projection again. It reads truth and answers with a plan; it changes nothing itself.
#[async_trait]
pub trait Rebuild: Send + Sync + 'static {
    /// What to discard and which tasks make it again.
    ///
    /// # Errors
    /// When truth cannot be read, or the ask makes no sense for this worker.
    async fn plan(&self, ask: RebuildAsk) -> Result<RebuildPlan, TaskError>;
}
