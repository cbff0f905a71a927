//! Shows: the admin plane of the runtime.
//!
//! ```text
//! runtimectl, apps, tests ─▶ AdminClient ─▶ gRPC ─▶ AdminServer ─▶ services ─▶ Control ─▶ the tree
//! ```
//!
//! The server knows the tree only as [`runtime_core::control::Control`]: it converts, asks, converts back. It listens on a loopback
//! address or a Unix socket; on an address that others can reach only with TLS, and with callers who show a certificate.

mod auth;
mod calls;
mod certificates;
pub mod cli;
mod client;
mod connection;
mod convert;
mod door;
mod error;
mod filter;
mod frames;
mod health;
mod limits;
mod listen;
mod page;
mod peer;
mod places;
mod server;
mod services;
mod status;
mod turns;

pub use auth::{
    Access, Authentication, LocalToken, LocalTokenError, MethodRule, method_rule, method_rules, new_token,
};
pub use certificates::{
    CertificateEnds, CertificateError, CertificateFiles, Certificates, CertificatesRemain, KeySource,
    NewCertificates,
};
pub use client::{
    AdminClient, ClientError, ClientTls, DEFAULT_ENDPOINT, EventAsk, EventWatch, Refusal, Seen, Watched,
};
pub use error::AdminError;
pub use health::{LIVENESS, READINESS};
pub use limits::{AdminLimits, LiveLimits};
pub use listen::{InvalidListenAddress, ListenAddress, MAX_SOCKET_PATH_BYTES};
pub use peer::{Peer, PeerAddress, PeerIdentity};
pub use runtime_proto::v1;
pub use server::{AdminServer, AdminServerConfig, BoundAdminServer, MAX_MESSAGE_BYTES};
