//! An authority of one test, and the files that it signs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use runtime_admin::{CertificateFiles, ClientTls, KeySource};
use runtime_core::clock::Clock;

/// The machine's clock: certificates are checked against it by the library too.
pub(crate) struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock of the tests with certificates")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

pub(crate) struct Authority {
    pub(crate) file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One whose certificate is `NAME.pem` in the folder.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, certificate.pem()).expect("written");
        Self { file, issuer: Issuer::new(params, key) }
    }

    /// Signs `NAME.pem` with `NAME.key` beside the authority's own file; `valid` may say for how long.
    pub(crate) fn sign_for(
        &self,
        name: &str,
        valid: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let mut params =
            CertificateParams::new(["localhost", "127.0.0.1"].map(str::to_owned)).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        valid(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (file, key_file) = (self.file.with_file_name(format!("{name}.pem")), self.key_file(name));
        fs::write(&file, certificate.pem()).expect("written");
        fs::write(&key_file, key.serialize_pem()).expect("written");
        fs::set_permissions(&key_file, PermissionsExt::from_mode(0o600)).expect("closed to others");
        (file, key_file)
    }

    pub(crate) fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        self.sign_for(name, |_| {})
    }

    fn key_file(&self, name: &str) -> PathBuf {
        self.file.with_file_name(format!("{name}.key"))
    }
}

/// The files of a server, with the authority for clients when there is one.
pub(crate) fn files((certificate, key): (PathBuf, PathBuf), clients: Option<&Authority>) -> CertificateFiles {
    let client_ca = clients.map(|authority| authority.file.clone());
    CertificateFiles { certificate, key: KeySource::File(key), client_ca }
}

/// What a client needs that trusts `server` and shows `identity`.
pub(crate) fn shows(server: &Authority, identity: Option<(PathBuf, PathBuf)>) -> ClientTls {
    ClientTls { ca: Some(server.file.clone()), identity }
}
