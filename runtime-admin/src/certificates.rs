//! The server's certificate, its key, and the authorities that it trusts for clients: read from files, checked whole, and read
//! again while the server runs.
//!
//! A new set is taken when all of it fits together; until then the one before stays. Connections that were let in by authorities that
//! are no longer trusted are asked to leave.

mod names;
mod read;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime_core::clock::Clock;
use runtime_core::error::ErrorCode;
use tokio::sync::watch;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, version};

pub(crate) use names::identity;
pub use read::CertificateError;

use read::Material;

/// How long before its end a certificate is warned of, and how often.
const WARN_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);
const WARN_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// What the server speaks over TLS.
const PROTOCOL: &[u8] = b"h2";

/// Where a certificate, its key and the authorities for clients are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The server's certificate, and those between it and its authority: a PEM file.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: KeySource,
    /// The authorities that sign clients' certificates, a PEM file. With it, a client without a certificate of theirs is turned away.
    pub client_ca: Option<PathBuf>,
}

/// Where a private key is, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file that others cannot read.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
}

/// The certificates that a server serves with. They may change while it does. Clones are one and the same.
#[derive(Clone)]
pub struct Certificates {
    files: Arc<CertificateFiles>,
    clock: Arc<dyn Clock>,
    current: Arc<watch::Sender<Arc<Served>>>,
}

/// What connections use of one set of files.
pub(crate) struct Served {
    pub(crate) config: Arc<ServerConfig>,
    /// Which authorities let clients in; `None` when nobody asks them.
    pub(crate) authorities: Option<blake3::Hash>,
    content: blake3::Hash,
    ends: CertificateEnds,
}

/// When certificates end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateEnds {
    /// The server's own.
    pub server: Timestamp,
    /// The first of the authorities for clients; `None` when clients are not asked for a certificate.
    pub clients: Option<Timestamp>,
}

/// How long certificates are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificatesRemain {
    /// The server's own.
    pub server: SignedDuration,
    /// The first of the authorities for clients; `None` when clients are not asked for a certificate.
    pub clients: Option<SignedDuration>,
}

/// Certificates that were read and checked, and that nobody is served with yet.
pub struct NewCertificates(Served);

impl NewCertificates {
    /// When they end.
    pub fn ends(&self) -> CertificateEnds {
        self.0.ends
    }
}

impl Certificates {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// [`CertificateError`], which names the file.
    pub fn load(files: CertificateFiles, clock: Arc<dyn Clock>) -> Result<Self, CertificateError> {
        let now = clock.now();
        let served = Served::of(Material::read(&files)?, now)?;
        served.ends.announce(now);
        let current = Arc::new(watch::Sender::new(Arc::new(served)));
        Ok(Self { files: Arc::new(files), clock, current })
    }

    /// Reads the files again, and takes what they hold from the next connection on. Says whether that is something new.
    ///
    /// # Errors
    /// [`CertificateError`]; what was served before is served on.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        let new = self.look()?;
        let is_new = new.is_some();
        new.into_iter().for_each(|new| self.take(new));
        Ok(is_new)
    }

    /// Reads the files again; what they hold, if that is something new. Changes nothing.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn look(&self) -> Result<Option<NewCertificates>, CertificateError> {
        let material = Material::read(&self.files)?;
        if material.content() == self.current.borrow().content {
            return Ok(None);
        }
        Served::of(material, self.clock.now()).map(NewCertificates).map(Some)
    }

    /// Serves with these from the next connection on.
    pub fn take(&self, NewCertificates(served): NewCertificates) {
        served.ends.announce(self.clock.now());
        self.current.send_replace(Arc::new(served));
    }

    /// Whether a client has to show a certificate.
    pub fn ask_clients(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// When those that are served with end.
    pub fn ends(&self) -> CertificateEnds {
        self.current.borrow().ends
    }

    /// How long until they do; negative for one that has ended.
    pub fn remaining(&self) -> CertificatesRemain {
        let (CertificateEnds { server, clients }, now) = (self.ends(), self.clock.now());
        let left = |end: Timestamp| end.duration_since(now);
        CertificatesRemain { server: left(server), clients: clients.map(left) }
    }

    /// What to serve with, now and after each change.
    pub(crate) fn served(&self) -> watch::Receiver<Arc<Served>> {
        self.current.subscribe()
    }

    /// Looks at the files again and again, and at the clock; never ends.
    pub(crate) async fn watch(self, every: Duration) {
        let (mut told, mut warned) = (None, self.clock.now());
        loop {
            tokio::time::sleep(every).await;
            let now = self.clock.now();
            if now.duration_since(warned) >= WARN_EVERY && self.ends().are_near(now) {
                warned = now;
                self.ends().announce(now);
            }
            let looking = self.clone();
            match tokio::task::spawn_blocking(move || looking.reload()).await {
                Ok(Ok(_)) => told = None,
                Ok(Err(error)) => {
                    let text = error.to_string();
                    if told.as_ref() != Some(&text) {
                        tracing::error!(error_code = %error.code(), error = text, cause = error.source(),
                            "changed certificates are not taken, and those before stay");
                    }
                    told = Some(text);
                }
                Err(error) => tracing::error!(%error, "looking at the certificates broke"),
            }
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Served {
    /// TLS 1.3 alone, with the one cipher library of the workspace. Sessions are not resumed: each connection shows its certificate anew,
    /// so that one which has ended, or whose authority is trusted no longer, opens none.
    fn of(material: Material, now: Timestamp) -> Result<Self, CertificateError> {
        let content = material.content();
        let ends = material.ends();
        if ends.server <= now {
            return Err(CertificateError::Ended { path: material.certificate_path, ends: ends.server });
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(CertificateError::Unusable)?;
        let authorities = material.authorities_content();
        let builder = match material.authorities {
            None => builder.with_no_client_auth(),
            Some((path, certificates)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates {
                    roots
                        .add(certificate)
                        .map_err(|source| CertificateError::NoAuthority { path: path.clone(), source })?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .build()
                    .map_err(|_| CertificateError::NoCertificate { path })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(material.certificates, material.key)
            .map_err(CertificateError::Unusable)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), authorities, content, ends })
    }
}

impl CertificateEnds {
    fn first(&self) -> Timestamp {
        self.clients.map_or(self.server, |clients| clients.min(self.server))
    }

    fn are_near(&self, now: Timestamp) -> bool {
        self.first().duration_since(now) < WARN_BEFORE
    }

    fn announce(&self, now: Timestamp) {
        let Self { server, clients } = self;
        let clients = clients.map(tracing::field::display);
        if self.are_near(now) {
            tracing::warn!(%server, clients, "a certificate of the admin server ends soon");
        } else {
            tracing::info!(%server, clients, "the certificates of the admin server are taken");
        }
    }
}

impl CertificateError {
    /// The code of the closed list.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::CertificateUnusable
    }
}
