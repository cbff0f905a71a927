//! Assembles: the one crate an app depends on.
//!
//! ```text
//! configuration ─▶ telemetry ─▶ store ─▶ tree ─▶ admin API ─▶ … signal … ─▶ down again, in order
//! ```
//!
//! A whole app:
//!
//! ```no_run
//! use runtime::prelude::*;
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Greet { name: String }
//!
//! impl TaskInput for Greet {
//!     const KEY: &'static str = "name";
//!     fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
//!         IdempotencyKey::new(&self.name)
//!     }
//! }
//!
//! async fn greet(_ctx: Context, greet: Greet) -> HandlerResult<String> {
//!     Ok(format!("hello {}", greet.name))
//! }
//!
//! struct Greeter;
//!
//! impl Module for Greeter {
//!     fn register(&self, _config: &NoAppConfig, setup: &mut Setup) -> Result<(), SetupError> {
//!         setup.worker(
//!             Worker::named("greet")
//!                 .responsibility("greets whoever is named")
//!                 .serves("whoever is named")
//!                 .writes(Home::Output)
//!                 .handler(greet)
//!                 .retry(RetryPolicy::default())
//!                 .no_effects()
//!                 .entry_point(EntryPoint::per_task()),
//!         );
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     App::named("greeter").module(Greeter).run()
//! }
//! ```

mod access;
mod app;
mod command_line;
pub mod config;
mod descriptors;
mod duties;
mod live;
mod operate;
mod running;
mod schedule;
pub mod signals;
pub mod telemetry;
mod worker;
mod worker_docs;

pub use access::{AdminCommand, TokenCommand, TokenCreate};
pub use app::{App, AppConfig, Assembled, Module, Setup, SetupError};
pub use command_line::{
    AppCommand, ConfigArgs, ConfigCommand, Words, WorkerCommand, control_runtime, not_a_command,
};
pub use duties::{LateWorker, MissingDuty};
pub use running::{Running, StartError, admin_file};
pub use schedule::{Schedule, ScheduleProblem};
pub use worker::Worker;
pub use worker_docs::worker_docs;

pub use runtime_actors as actors;
pub use runtime_admin as admin;
pub use runtime_core as core;
pub use runtime_stores as stores;

/// What a module needs every day.
pub mod prelude {
    pub use runtime_core::error::{ErrorCode, TaskError};
    pub use runtime_core::event::NewEvent;
    pub use runtime_core::flow::{BreakerPolicy, FlowLimits, RateLimit, ShedPolicy};
    pub use runtime_core::handler::{Context, EffectFailed, HandlerResult, NotDone};
    pub use runtime_core::input::TaskInput;
    pub use runtime_core::name::{
        DependencyName, IdempotencyKey, InvalidName, OrderingKey, Route, Scope, StepName, Tenant,
    };
    pub use runtime_core::node::Health;
    pub use runtime_core::outcome::ParkReason;
    pub use runtime_core::rebuild::{Rebuild, RebuildAsk, RebuildPlan};
    pub use runtime_core::retry::{RetryDelay, RetryPolicy};
    pub use runtime_core::schedule::{CatchUpPolicy, FromTick, OverlapPolicy};
    pub use runtime_core::source::{Finished, Found, Source};
    pub use runtime_core::store::{
        AppMigration, AppWrite, EffectClass, LaneBy, Limit, LimitOverride, QueuePolicy, SqlValue, StoreTx,
    };
    pub use runtime_core::task::{NewTask, OnConflict, Priority, Unique, UniqueWithin};
    pub use runtime_core::worker::{EntryPoint, Home};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};

    pub use crate::app::{App, Module, Setup, SetupError};
    pub use crate::config::NoAppConfig;
    pub use crate::schedule::Schedule;
    pub use crate::worker::Worker;
}

/// The app of the README is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So is the worker of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/workers.md")]
struct WorkersGuide;
