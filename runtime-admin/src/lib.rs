//! Shows: the admin plane of the runtime.
//!
//! ```text
//! runtimectl, apps, tests ─▶ AdminClient ─▶ gRPC on loopback ─▶ AdminServer ─▶ services ─▶ Control ─▶ the tree
//! ```
//!
//! The server knows the tree only as [`runtime_core::control::Control`]: it converts, asks, converts back. There is no
//! authentication yet, so it listens on loopback addresses alone.

pub mod cli;
mod client;
mod connection;
mod convert;
mod door;
mod error;
mod filter;
mod health;
mod page;
mod peer;
mod server;
mod services;
mod status;

pub use client::{AdminClient, ClientError, DEFAULT_ENDPOINT, Refusal};
pub use error::AdminError;
pub use health::LIVENESS;
pub use peer::{Peer, PeerIdentity};
pub use runtime_proto::v1;
pub use server::{AdminServer, AdminServerConfig, BoundAdminServer, MAX_MESSAGE_BYTES};
