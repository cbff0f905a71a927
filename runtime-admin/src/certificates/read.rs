//! Reads PEM files, and says what is wrong with them without repeating what is in them.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CertificateEnds, CertificateFiles, KeySource};

/// More is no certificate file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What others may not do to the file of a private key: anything. Its group may read it.
const FORBIDDEN_MODE: u32 = 0o027;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is far too large to be what it should be.
    #[error("{} has more than {MAX_FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Others could read the private key, or put another in its place.
    #[error("the private key {} is open to others (mode {mode:03o}): take from them what they do not need, as by chmod 600", path.display())]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The variable is absent, or no text.
    #[error("environment variable {variable} with the private key is not set")]
    NotSet {
        /// The variable.
        variable: String,
    },
    /// No certificate in PEM form.
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No private key in PEM form.
    #[error("{place} holds no private key in PEM form (PKCS #8, PKCS #1 or SEC 1, without a password)")]
    NoKey {
        /// The file or the variable.
        place: String,
    },
    /// What stands in PEM form is no certificate.
    #[error("{} holds something that is no X.509 certificate", path.display())]
    NotX509 {
        /// The file.
        path: PathBuf,
    },
    /// What clients' certificates are checked against is no authority.
    #[error("{} holds a certificate that cannot be trusted as an authority", path.display())]
    NoAuthority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The certificate has ended.
    #[error("the certificate {} ended at {ends}", path.display())]
    Ended {
        /// The file.
        path: PathBuf,
        /// When.
        ends: Timestamp,
    },
    /// The certificate and the key do not belong together, or are of a kind that is not supported.
    #[error("the certificate and its private key cannot be used together")]
    Unusable(#[source] rustls::Error),
}

/// What the files hold.
pub(super) struct Material {
    pub(super) certificate_path: PathBuf,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) authorities: Option<(PathBuf, Vec<CertificateDer<'static>>)>,
    ends: CertificateEnds,
}

impl Material {
    pub(super) fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let CertificateFiles { certificate, key, client_ca } = files;
        let certificates = certificates(certificate)?;
        let server = end_of(&certificates[0], certificate)?;
        let authorities = match client_ca {
            None => None,
            Some(path) => Some((path.clone(), self::certificates(path)?)),
        };
        // What is no certificate here is told when it is to become an authority.
        let ends = authorities.iter().flat_map(|(path, all)| all.iter().flat_map(|one| end_of(one, path)));
        let ends = CertificateEnds { server, clients: ends.min() };
        Ok(Self {
            certificate_path: certificate.clone(),
            certificates,
            key: private_key(key)?,
            authorities,
            ends,
        })
    }

    /// Tells one content from another.
    pub(super) fn content(&self) -> blake3::Hash {
        let mut hasher = hash_of(&self.certificates);
        hasher.update(self.key.secret_der());
        if let Some((_, authorities)) = &self.authorities {
            hasher.update(hash_of(authorities).finalize().as_bytes());
        }
        hasher.finalize()
    }

    /// The same for the authorities alone.
    pub(super) fn authorities_content(&self) -> Option<blake3::Hash> {
        self.authorities.as_ref().map(|(_, certificates)| hash_of(certificates).finalize())
    }

    /// When they end.
    pub(super) fn ends(&self) -> CertificateEnds {
        self.ends
    }
}

fn hash_of(certificates: &[CertificateDer<'_>]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    for certificate in certificates {
        hasher.update(&(certificate.len() as u64).to_le_bytes()).update(certificate);
    }
    hasher
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let none = || CertificateError::NoCertificate { path: path.to_owned() };
    let pem = content(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| none())?;
    if found.is_empty() { Err(none()) } else { Ok(found) }
}

/// The parser's own errors may repeat a line of the file: they are left out.
fn private_key(source: &KeySource) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let (pem, place) = match source {
        KeySource::File(path) => {
            let unreadable = |source| CertificateError::Unreadable { path: path.clone(), source };
            let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
            if mode & FORBIDDEN_MODE != 0 {
                return Err(CertificateError::KeyExposed { path: path.clone(), mode });
            }
            (content(path)?, path.display().to_string())
        }
        KeySource::Variable(variable) => {
            let text = std::env::var(variable)
                .map_err(|_| CertificateError::NotSet { variable: variable.clone() })?;
            (text.into_bytes(), format!("environment variable {variable}"))
        }
    };
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| CertificateError::NoKey { place })
}

fn end_of(certificate: &CertificateDer<'_>, path: &Path) -> Result<Timestamp, CertificateError> {
    let not_x509 = || CertificateError::NotX509 { path: path.to_owned() };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| not_x509())?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|_| not_x509())
}

fn content(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |source| CertificateError::Unreadable { path: path.to_owned(), source };
    // A pipe would keep whoever opens it waiting, for ever perhaps.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(CertificateError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}
