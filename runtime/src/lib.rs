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
//! #[derive(Deserialize, JsonSchema)]
//! struct Greet { name: String }
//!
//! async fn greet(_ctx: Context, greet: Greet) -> HandlerResult<String> {
//!     Ok(format!("hello {}", greet.name))
//! }
//!
//! struct Greeter;
//!
//! impl Module for Greeter {
//!     fn register(&self, _config: &NoAppConfig, setup: &mut Setup) -> Result<(), SetupError> {
//!         setup.worker(Worker::named("greet").responsibility("greets whoever is named").handler(greet));
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     App::named("greeter").module(Greeter).run()
//! }
//! ```

mod app;
mod command_line;
pub mod config;
mod running;
pub mod signals;
pub mod telemetry;
mod worker;

pub use app::{App, AppConfig, Assembled, Module, Setup, SetupError};
pub use command_line::{ConfigArgs, ConfigCommand, control_runtime};
pub use running::{Running, StartError, admin_file};
pub use worker::Worker;

pub use runtime_actors as actors;
pub use runtime_admin as admin;
pub use runtime_core as core;
pub use runtime_stores as stores;

/// What a module needs every day.
pub mod prelude {
    pub use runtime_core::error::{ErrorCode, TaskError};
    pub use runtime_core::event::NewEvent;
    pub use runtime_core::handler::{Context, EffectFailed, HandlerResult, NotDone};
    pub use runtime_core::name::{IdempotencyKey, Route, StepName};
    pub use runtime_core::node::Health;
    pub use runtime_core::outcome::ParkReason;
    pub use runtime_core::retry::{RetryDelay, RetryPolicy};
    pub use runtime_core::source::{Finished, Found, Source};
    pub use runtime_core::store::{AppMigration, AppWrite, EffectClass, SqlValue, StoreTx};
    pub use runtime_core::task::NewTask;
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};

    pub use crate::app::{App, Module, Setup, SetupError};
    pub use crate::config::NoAppConfig;
    pub use crate::worker::Worker;
}

/// The app of the README is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
