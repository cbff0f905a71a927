//! The port of a real process, and peers that hold on to it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use runtime_admin::{AdminClient, ClientTls};
use runtime_proto::v1;
use runtime_tests::authority::Authority;
use runtime_tests::eventually;
use runtime_tests::ground::{Ground, GroundProcess};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::FULL;

/// For what must happen on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Sockets of all peers at once, and a few files.
const DESCRIPTORS: u64 = 8_000;

/// Who floods. Either has a certificate of the right authority: without one nobody gets as far as HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attackers {
    /// The certificate is of a principal that may operate.
    LetIn,
    /// The certificate is of nobody.
    Strangers,
}

impl Attackers {
    pub(crate) const ALL: [Self; 2] = [Self::LetIn, Self::Strangers];

    /// Those who flood below the calls, where nobody is asked who they are: one kind is enough, but for the nightly run.
    pub(crate) fn below_the_calls() -> &'static [Self] {
        if FULL { &Self::ALL } else { &Self::ALL[..1] }
    }
}

/// The token that the configuration names.
const FIRST_TOKEN: &str = "a token that nobody guesses, of one test";

/// A process that serves the admin API over TLS to clients with a certificate, and asks everybody who they are.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    /// Of the good client.
    pub(crate) tls: ClientTls,
    /// Of the attackers.
    pub(crate) hostile: ClientTls,
    connector: TlsConnector,
    authority: Authority,
    ground: Ground,
    process: GroundProcess,
    _certificates: TempDir,
}

impl Port {
    pub(crate) async fn open(attackers: Attackers) -> Self {
        raise_limit();
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(folder.path());
        let (server, server_key) = authority.sign("server");
        let [good, hostile] = ["good", "hostile"].map(|name| authority.sign(name));
        let token = folder.path().join("token");
        std::fs::write(&token, FIRST_TOKEN).expect("a file");
        let setting = format!(
            "admin.tls={{ certificate = {server:?}, key = \"file:{}\", client_ca = {:?} }}",
            server_key.display(),
            authority.file
        );
        let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
        let settings = [
            setting,
            "admin.authentication=required".to_owned(),
            format!("admin.bootstrap_token=file:{}", token.display()),
            // What is beyond the rate of a principal, or its calls at once, would be refused before it costs anything.
            "admin.limits.requests_per_sec=1000000".to_owned(),
            "admin.limits.requests_at_once=1000000".to_owned(),
            "admin.limits.calls_per_principal=65536".to_owned(),
        ];
        let args: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let mut process = ground.start_with(&args, &[]);
        let address: SocketAddr = eventually("the admin API listens", || {
            assert_eq!(process.has_ended(), None, "{}", ground.log());
            let log = ground.log();
            let (_, address) = log.split_once("https://")?;
            address.split('"').next()?.parse().ok()
        })
        .await;
        let connector = authority.connector(&hostile, "h2");
        let [tls, hostile] = [good, hostile]
            .map(|shown| ClientTls { ca: Some(authority.file.clone()), identity: Some(shown) });
        let port =
            Self { address, tls, hostile, connector, authority, ground, process, _certificates: folder };
        port.let_in("good", "viewer").await;
        if attackers == Attackers::LetIn {
            port.let_in("hostile", "operator").await;
        }
        port
    }

    /// Makes the holder of this certificate a principal.
    async fn let_in(&self, name: &str, grant: &str) {
        let principal = v1::Principal {
            grants: vec![grant.to_owned()],
            certificates: vec![format!("CN={name}")],
            ..Default::default()
        };
        let name = name.parse().expect("a name");
        self.root().await.create_principal(&name, principal).await.expect("a principal");
    }

    /// Whoever may do anything.
    pub(crate) async fn root(&self) -> AdminClient {
        let client = AdminClient::connect_with(&self.endpoint(), &self.tls).await.expect("let in");
        client.with_token(FIRST_TOKEN).expect("a token")
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A good client.
    pub(crate) async fn client(&self) -> AdminClient {
        AdminClient::connect_with(&self.endpoint(), &self.tls).await.expect("a good client is let in")
    }

    /// Connected, and nothing more.
    pub(crate) async fn plain(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the port is open")
    }

    /// An attacker's connection.
    pub(crate) async fn tls(&self) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        self.connector.connect(name, TcpStream::connect(self.address).await?).await
    }

    /// An attacker's connection that is to speak another protocol.
    pub(crate) async fn speaking(&self, protocol: &str) -> io::Result<TlsStream<TcpStream>> {
        let shown = self.hostile.identity.as_ref().expect("a certificate");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = self.authority.connector(shown, protocol);
        connector.connect(name, TcpStream::connect(self.address).await?).await
    }

    /// How long a flood that has no end of its own goes on.
    pub(crate) fn flood_for(&self) -> Duration {
        Duration::from_secs(if FULL { 10 } else { 2 })
    }

    /// Resident memory of the process in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    /// Sockets that the process has open. Of its other files, the store opens some only when they are needed.
    pub(crate) fn sockets(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.process.pid())).expect("it runs");
        open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
            .filter(|what| what.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// It runs, stops in order, and nothing in it panicked.
    pub(crate) async fn close(mut self) {
        assert_eq!(self.process.stop().await, 0, "{}", self.ground.log());
        let log = self.ground.log();
        assert!(!log.contains("panicked") && !log.contains("RT0046"), "{log}");
    }
}

/// As many as the system lets this process have, which the process that it starts inherits.
fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(DESCRIPTORS, |most| DESCRIPTORS.min(most));
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).expect("within the limit");
    }
}

pub(crate) async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    // Who is sent away in the middle of a word has no answer to give.
    drop(stream.write_all(bytes).await);
    drop(stream.flush().await);
}

/// Reads and throws away, until the other side ends it.
pub(crate) async fn drained(mut stream: impl AsyncRead + Unpin) {
    let mut buffer = vec![0; 16 * 1024];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

pub(crate) async fn until_closed(stream: impl AsyncRead + Unpin, what: &str) {
    tokio::time::timeout(PATIENCE, drained(stream)).await.unwrap_or_else(|_| panic!("still open: {what}"));
}

/// A connection that somebody holds, for as long as the server lets them.
pub(crate) struct Held(JoinHandle<()>);

impl Held {
    pub(crate) fn of(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(tokio::spawn(drained(stream)))
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) async fn until_at_most(most: usize, held: &[Held], what: &str) {
    eventually(&format!("at most {most} {what}"), || {
        (held.iter().filter(|peer| peer.is_open()).count() <= most).then_some(())
    })
    .await;
}
