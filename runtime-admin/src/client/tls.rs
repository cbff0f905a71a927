//! What a client trusts, and what it shows.

use std::io;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::ClientError;

/// Files for TLS. Without any, the machine's own authorities are trusted and no certificate is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The authorities that are trusted, instead of those of the machine: a PEM file.
    pub ca: Option<PathBuf>,
    /// The certificate to show and its private key: PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl ClientTls {
    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn read(&self) -> Result<ClientTlsConfig, ClientError> {
        let config = match &self.ca {
            None => ClientTlsConfig::new().with_enabled_roots(),
            Some(path) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate("authority", path)?))
            }
        };
        Ok(match &self.identity {
            None => config,
            Some((path, key)) => {
                let shown = certificate("certificate", path)?;
                let key = read("private key", key, |pem| PrivateKeyDer::from_pem_slice(pem).is_ok())?;
                config.identity(Identity::from_pem(shown, key))
            }
        })
    }
}

fn certificate(what: &'static str, path: &Path) -> Result<Vec<u8>, ClientError> {
    read(what, path, |pem| matches!(CertificateDer::pem_slice_iter(pem).next(), Some(Ok(_))))
}

/// The file, when it holds what it should; what else it holds is never repeated.
fn read(what: &'static str, path: &Path, holds_it: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, ClientError> {
    let unusable = |source| ClientError::File { what, path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(unusable)?;
    if !holds_it(&pem) {
        return Err(unusable(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it holds no {what} in PEM form"),
        )));
    }
    Ok(pem)
}
