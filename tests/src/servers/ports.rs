//! Free loopback ports, and who answers on them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, ServerError};

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

/// Whether a server is there and says hello; with none expected, being there is enough.
pub(crate) async fn greets(addr: SocketAddr, greeting: Option<&str>) -> bool {
    let Ok(stream) = TcpStream::connect(addr).await else { return false };
    let Some(greeting) = greeting else { return true };
    let mut line = String::new();
    let read = timeout(PATIENCE, BufReader::new(stream).read_line(&mut line)).await;
    matches!(read, Ok(Ok(_))) && line.starts_with(greeting)
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
