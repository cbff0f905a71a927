//! Where an admin server listens: an IP address with a port, or a Unix socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};

/// Longest path of a Unix socket in bytes, as the smallest of the systems we run on has it.
pub const MAX_SOCKET_PATH_BYTES: usize = 103;

/// Connections that wait in the system until they are accepted.
const BACKLOG: u32 = 1024;

/// Whoever runs the process, and nobody else.
const SOCKET_MODE: u32 = 0o600;

const SCHEME: &str = "unix:";

/// Where an admin server listens. As text: `127.0.0.1:7070`, `[::1]:7070`, `unix:/run/shop/admin.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address with a port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// The path of a Unix socket, which only the user of the process may open.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// What a client connects to: `http://…`, `https://…` or `unix:…`.
    pub fn endpoint(&self, tls: bool) -> String {
        match self {
            Self::Tcp(address) if tls => format!("https://{address}"),
            Self::Tcp(address) => format!("http://{address}"),
            Self::Unix(_) => self.to_string(),
        }
    }
}

impl<A: Into<SocketAddr>> From<A> for ListenAddress {
    fn from(address: A) -> Self {
        Self::Tcp(address.into())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{SCHEME}{}", path.display()),
        }
    }
}

/// The text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidListenAddress {
    /// Neither form.
    #[error("expected an IP address with a port, or unix:PATH")]
    Form,
    /// The system takes no such path.
    #[error("the path of the socket has {bytes} bytes, and may have {MAX_SOCKET_PATH_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

impl FromStr for ListenAddress {
    type Err = InvalidListenAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(SCHEME) {
            None => text.parse().map(Self::Tcp).map_err(|_| InvalidListenAddress::Form),
            Some("") => Err(InvalidListenAddress::Form),
            Some(path) if path.len() > MAX_SOCKET_PATH_BYTES => {
                Err(InvalidListenAddress::TooLong { bytes: path.len() })
            }
            Some(path) => Ok(Self::Unix(path.into())),
        }
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A listener that has its address.
pub(crate) enum Listener {
    /// On a port.
    Tcp(TcpListener),
    /// On a path, which goes when the listener goes.
    Unix {
        /// The listener.
        listener: UnixListener,
        /// Its file.
        _file: SocketFile,
    },
}

/// What a listener took in, before anything was said over it.
pub(crate) enum Stream {
    /// From an address.
    Tcp(TcpStream, SocketAddr),
    /// From a process of this machine.
    Unix(UnixStream),
}

impl Listener {
    /// Takes the address, and says which it is.
    pub(crate) async fn bind(address: &ListenAddress) -> io::Result<(Self, ListenAddress)> {
        match address {
            ListenAddress::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                Ok((Self::Tcp(listener), ListenAddress::Tcp(address)))
            }
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                let socket = UnixSocket::new_stream()?;
                socket.bind(path)?;
                let _file = SocketFile::at(path)?;
                // Before anybody can connect: a bound socket refuses until it listens.
                std::fs::set_permissions(path, PermissionsExt::from_mode(SOCKET_MODE))?;
                Ok((Self::Unix { listener: socket.listen(BACKLOG)?, _file }, address.clone()))
            }
        }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream, from))
            }
            Self::Unix { listener, .. } => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// A socket that nobody listens on any more is what a killed process leaves behind. Anything else stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket stands there"));
    }
    match BlockingUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
    }
}

/// The file of a socket; removed with its listener, unless another has taken its place.
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: inode(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_alike() {
        for text in ["127.0.0.1:7070", "[::1]:0", "0.0.0.0:443", "unix:/run/shop/admin.sock", "unix:here"] {
            assert_eq!(text.parse::<ListenAddress>().expect(text).to_string(), text);
        }
        for text in ["", "unix:", "localhost:7070", "127.0.0.1", "/run/admin.sock"] {
            assert_eq!(text.parse::<ListenAddress>(), Err(InvalidListenAddress::Form), "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(MAX_SOCKET_PATH_BYTES));
        assert_eq!(
            long.parse::<ListenAddress>(),
            Err(InvalidListenAddress::TooLong { bytes: MAX_SOCKET_PATH_BYTES + 1 })
        );
    }

    #[test]
    fn local_is_what_no_other_machine_reaches() {
        let local = |text: &str| text.parse::<ListenAddress>().expect(text).is_local();
        assert!(local("127.0.0.1:1") && local("127.8.8.8:1") && local("[::1]:1") && local("unix:/x"));
        assert!(local("[::ffff:127.0.0.1]:1"));
        for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1", "[2001:db8::1]:1"] {
            assert!(!local(open), "{open}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_for_its_user_alone_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        let address = ListenAddress::Unix(path.clone());
        let (listener, _) = Listener::bind(&address).await.expect("a socket");
        let mode = std::fs::metadata(&path).expect("the socket").permissions().mode() & 0o777;
        assert_eq!(mode, SOCKET_MODE);
        let taken = Listener::bind(&address).await.err().expect("refused");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let stale = folder.path().join("stale.sock");
        drop(std::os::unix::net::UnixListener::bind(&stale).expect("a socket"));
        assert!(stale.exists());
        Listener::bind(&ListenAddress::Unix(stale)).await.expect("the stale one is replaced");

        let file = folder.path().join("notes");
        std::fs::write(&file, "kept").expect("written");
        let refused = Listener::bind(&ListenAddress::Unix(file.clone())).await.err().expect("refused");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(file).expect("still there"), "kept");
    }

    #[tokio::test]
    async fn a_listener_does_not_remove_the_socket_of_its_successor() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = ListenAddress::Unix(folder.path().join("admin.sock"));
        let ListenAddress::Unix(path) = &address else { unreachable!() };
        let (first, _) = Listener::bind(&address).await.expect("a socket");
        std::fs::remove_file(path).expect("removed by somebody");
        let (_second, _) = Listener::bind(&address).await.expect("a socket");
        drop(first);
        assert!(path.exists());
    }
}
