//! Keeps: task stores behind the ports of `runtime-core`, and the suite that every back end passes.
//!
//! ```text
//!                          ┌─▶ group ─▶ writer ─▶ file     one thread, one transaction for all that wait
//! runtime_core::store ─────┤
//!        (ports)           └─▶ readers ─────────▶ file     a few connections, never in the writer's way
//! ```
//!
//! [`SqliteStore`] is the embedded default; [`MemoryStore`] keeps nothing and starts no thread, for tests that own the clock.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use runtime_core::name::{AppName, HandlerName, InstanceName, QueueName, Route};
//! use runtime_core::store::{LeaseAsk, TaskStore};
//! use runtime_core::task::NewTask;
//! use runtime_stores::{SqliteOptions, SqliteStore, SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let instance = InstanceName::new("example")?;
//! let options = SqliteOptions::new(folder.path().join("store.db"), instance.clone(), Arc::new(SystemClock));
//! let store = SqliteStore::open(options)?;
//!
//! let route = Arc::new(Route {
//!     app: AppName::new("shop")?,
//!     queue: QueueName::new("orders")?,
//!     handler: HandlerName::new("take-order")?,
//! });
//! store.enqueue(vec![NewTask::new(Arc::clone(&route), b"{}".to_vec())]).await?;
//!
//! let ask = LeaseAsk { queue: route.queue.clone(), instance, up_to: 10, lease_for: Duration::from_secs(30), task: None };
//! let leased = store.lease(ask).await?;
//! assert_eq!(leased[0].task.payload, b"{}");
//! store.close().await?;
//! # Ok(())
//! # }
//! ```

mod clock;
mod content;
mod hold_back;
mod lanes;
mod load;
mod memory;
mod retention;
mod rules;
mod sqlite;
#[cfg(feature = "suite")]
pub mod suite;
mod tokens;

/// What one degree of priority is worth in due time when nothing else is said: see [`runtime_core::flow::rank`].
pub const PRIORITY_STEP: std::time::Duration = std::time::Duration::from_mins(1);

pub use clock::SystemClock;
pub use memory::MemoryStore;
pub use retention::Retention;
pub use sqlite::{SqliteOptions, SqliteReader, SqliteStore, Synchronous};
