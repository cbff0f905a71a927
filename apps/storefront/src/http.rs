//! The request path: an endpoint of the tree that validates, writes truth and tasks in one transaction, and answers.
//!
//! Nothing here takes longer than that transaction. An answer waits for the store alone, under a deadline; whatever the
//! backlog of the workers, a request's time is its own.

mod answer;
mod connections;
mod desk;
mod form;
mod numbers;
mod reads;
mod server;

pub use server::{HttpConfig, endpoint};
