//! What keeps an admin server from serving.

use std::io;
use std::net::SocketAddr;

use runtime_core::error::ErrorCode;

/// The admin server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Whoever reaches the address could steer the tree, and nothing asks who it is yet.
    #[error(
        "the admin server listens on loopback addresses only, since it cannot tell callers apart: {address} is none"
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address is taken, or not ours.
    #[error("the admin server cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Serving ended by itself.
    #[error("the admin server broke")]
    Serve(#[source] tonic::transport::Error),
}

impl AdminError {
    /// The code of the closed list.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotLoopback { .. } | Self::Bind { .. } => ErrorCode::InvalidConfig,
            Self::Serve(_) => ErrorCode::NodeFaulted,
        }
    }
}
