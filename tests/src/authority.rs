//! An authority of one test, for the server and for clients.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Signs certificates for loopback, as files in one folder.
pub struct Authority {
    /// Its own certificate, a PEM file.
    pub file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One whose files are in this folder.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "authority of one test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = folder.join("authority.pem");
        fs::write(&file, certificate.pem()).expect("written");
        Self { file, issuer: Issuer::new(params, key) }
    }

    /// Signs a certificate: its file, and that of its key.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        self.sign_until(name, 2099)
    }

    /// The same; it ends when this year begins.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn sign_until(&self, name: &str, year: i32) -> (PathBuf, PathBuf) {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let at = |kind: &str| self.file.with_file_name(format!("{name}.{kind}"));
        fs::write(at("pem"), certificate.pem()).expect("written");
        fs::write(at("key"), key.serialize_pem()).expect("written");
        fs::set_permissions(at("key"), PermissionsExt::from_mode(0o600)).expect("closed to others");
        (at("pem"), at("key"))
    }

    /// TLS for a peer that shows this certificate, and says that it speaks this protocol: `h2`.
    ///
    /// # Panics
    /// When a file is not as it was written.
    pub fn connector(&self, (certificate, key): &(PathBuf, PathBuf), protocol: &str) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.file).expect("a certificate")).expect("an authority");
        let shown = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(shown, PrivateKeyDer::from_pem_file(key).expect("a key"))
            .expect("a certificate with its key");
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    /// TLS for a server that shows this certificate and asks nobody for theirs.
    ///
    /// # Panics
    /// When a file is not as it was written.
    pub fn acceptor(&self, (certificate, key): &(PathBuf, PathBuf)) -> TlsAcceptor {
        let shown = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(shown, PrivateKeyDer::from_pem_file(key).expect("a key"))
            .expect("a certificate with its key");
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
