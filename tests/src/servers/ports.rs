//! Free loopback ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::ServerError;

/// `N` different addresses that were free a moment ago. Another process may take one before the server does; whoever
/// starts a server tries again with others.
pub(crate) fn free_addrs<const N: usize>() -> Result<[SocketAddr; N], ServerError> {
    // All are held until all are known, so that no two are the same.
    let mut held = Vec::with_capacity(N);
    let mut addrs = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for addr in &mut addrs {
        let listener = TcpListener::bind(*addr).map_err(ServerError::io("find a free port"))?;
        *addr = listener.local_addr().map_err(ServerError::io("find a free port"))?;
        held.push(listener);
    }
    Ok(addrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_differ_and_can_be_bound() {
        let addrs = free_addrs::<8>().expect("free ports");
        let bound: Vec<_> = addrs.iter().map(|addr| TcpListener::bind(addr).expect("free")).collect();
        assert_eq!(bound.len(), 8);
    }
}
