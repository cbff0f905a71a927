//! What keeps an admin server from serving.

use std::io;

use runtime_core::error::ErrorCode;
use runtime_core::store::StoreError;

use crate::certificates::CertificateError;
use crate::listen::ListenAddress;

/// The admin server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Whoever reaches the address could steer the tree, or read along.
    #[error("the admin server does not listen on {address}, which others can reach, without {missing}")]
    Exposed {
        /// The address asked for.
        address: ListenAddress,
        /// What would have to be there.
        missing: &'static str,
    },
    /// The certificates cannot be used.
    #[error("the admin server's certificates cannot be used")]
    Certificates(#[from] CertificateError),
    /// A Unix socket has no TLS: the system says who is at its other end.
    #[error(
        "the admin server speaks no TLS over {address}: leave out its certificates, or listen on an IP address"
    )]
    TlsOverSocket {
        /// The address asked for.
        address: ListenAddress,
    },
    /// The address is taken, or not ours.
    #[error("the admin server cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: ListenAddress,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store does not say who may call.
    #[error("the admin server does not know who may call")]
    Principals(#[source] StoreError),
    /// What it should say of itself by reflection cannot be read.
    #[error("the admin API cannot be described")]
    Reflection(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AdminError {
    /// The code of the closed list.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Exposed { .. } => ErrorCode::AdminExposed,
            Self::Certificates(error) => error.code(),
            Self::Principals(error) => error.code(),
            Self::Bind { .. } | Self::TlsOverSocket { .. } => ErrorCode::InvalidConfig,
            Self::Reflection(_) => ErrorCode::Internal,
        }
    }
}
