//! Who is at the other end of a connection, as far as the connection itself says so.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;

/// The other end of a connection. Every request that comes over the connection has it among its extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it calls from.
    pub address: PeerAddress,
    /// Who it is by the certificate it showed; `None` without TLS, or when it showed none.
    pub identity: Option<PeerIdentity>,
}

impl Peer {
    /// A peer that showed no certificate.
    pub fn anonymous(address: impl Into<PeerAddress>) -> Self {
        Self { address: address.into(), identity: None }
    }

    /// The address of its machine; `None` for a Unix socket.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self.address {
            PeerAddress::Tcp(address) => Some(address.ip().to_canonical()),
            PeerAddress::Unix { .. } => None,
        }
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// Over the network, be it that of this machine alone.
    Tcp(SocketAddr),
    /// Over the Unix socket, which only the user of the server's process may open.
    Unix {
        /// Number of the user, as the system says.
        user: u32,
    },
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { user } => write!(f, "unix user {user}"),
        }
    }
}

/// Whom a client's certificate names. It is there only when the certificate was verified against the authorities that the listener trusts
/// for clients; whoever makes one answers for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The certificate's subject as RFC 4514 writes it: `CN=deploy,O=Shop`. Empty when the certificate has none.
    pub subject: String,
    /// Its subject alternative names, each with its kind: `dns:deploy.example`, `uri:spiffe://shop/deploy`, `email:ops@example.org`,
    /// `ip:192.0.2.7`.
    pub names: Vec<String>,
    /// When the certificate ends: a connection may outlive it, what is asked over it does not.
    pub ends: Timestamp,
}
