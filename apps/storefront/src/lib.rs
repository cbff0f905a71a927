//! A shop whose request path only validates and enqueues, and workers for everything that eventually happens.
//!
//! ```text
//! HTTP request ─▶ form ─▶ desk ─▶ one transaction: truth + tasks + the answer under its key ─▶ 201
//!                 reads   checks            │
//!                                           ▼
//!     recommend · expire · settle · grace · rollup · notify ─▶ projections, payouts, letters
//! ```
//!
//! What a row means and what follows from it is decided by the domain crate, which knows no platform. This crate reads
//! rows, asks it, and writes what it says with the outcome of the task.

pub mod business_time;
pub mod catalogue;
pub mod config;
pub mod data;
pub mod demo;
pub mod http;
pub mod http_call;
pub mod module;
pub mod obligations;
pub mod payments;
pub mod provider;
pub mod workers;

mod post;
mod rows;
mod schema;
