//! Who is at the other end of a connection, as far as the connection itself says so.

use std::net::SocketAddr;

/// The other end of a connection. Every request that comes over the connection has it among its extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it calls from.
    pub address: SocketAddr,
    /// Who it is by the certificate it showed; `None` without TLS, or when it showed none.
    pub identity: Option<PeerIdentity>,
}

impl Peer {
    /// A peer that showed no certificate.
    pub fn anonymous(address: SocketAddr) -> Self {
        Self { address, identity: None }
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
}
