//! A certificate for loopback, for both servers and their clients.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::generate_simple_self_signed;
use runtime::admin::ClientTls;
use runtime::config::{AdminTlsConfig, SecretRef};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

/// Signed by itself, and known by itself.
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
}

impl Tls {
    /// In this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let made = generate_simple_self_signed(names).expect("a certificate");
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        fs::write(&certificate, made.cert.pem()).expect("written");
        fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("closed to others");
        Self { certificate, key }
    }

    /// For the admin server.
    pub(crate) fn of_the_product(&self) -> AdminTlsConfig {
        let key = SecretRef::File(self.key.clone());
        AdminTlsConfig { certificate: self.certificate.clone(), key, client_ca: None }
    }

    /// For a client of it.
    pub(crate) fn of_its_client(&self) -> ClientTls {
        ClientTls { ca: Some(self.certificate.clone()), identity: None }
    }

    /// For the server beside it.
    pub(crate) fn of_the_server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(Identity::from_pem(read(&self.certificate), read(&self.key)))
    }

    /// For a client of that.
    pub(crate) fn of_a_client(&self) -> ClientTlsConfig {
        Self::trusting(&self.certificate)
    }

    /// The same, for whoever has the file alone.
    pub(crate) fn trusting(certificate: &Path) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(certificate)))
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("as it was written")
}
