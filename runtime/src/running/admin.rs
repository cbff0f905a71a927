//! The admin server that the configuration names: checked before anything starts, bound and served by its node of the tree.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use runtime_actors::{MakeServe, Serve};
use runtime_admin::{
    Access, AdminError, AdminServer, AdminServerConfig, Authentication, CertificateFiles, Certificates,
    KeySource, ListenAddress, LiveLimits, MAX_SOCKET_PATH_BYTES,
};
use runtime_core::clock::Clock;

use crate::config::{AdminConfig, AdminTlsConfig, SecretRef};

/// Where the admin server listens, once it does.
pub(super) type AdminListens = Arc<OnceLock<ListenAddress>>;

/// The socket in the data folder that sub-commands use where the admin API speaks TLS.
const LOCAL_SOCKET: &str = "admin.sock";

/// How the admin server is served: checked before anything is started.
pub(super) fn admin_server(
    config: &AdminConfig,
    authentication: Authentication,
    data_dir: &Path,
    clock: &Arc<dyn Clock>,
) -> Result<AdminServerConfig, AdminError> {
    let files = config.tls.as_ref().map(AdminTlsConfig::files);
    let certificates = files.map(|files| Certificates::load(files, clock.clone())).transpose()?;
    // With TLS, sub-commands would need a certificate of their own. They need none where the data folder is at hand.
    let local = certificates.as_ref().map(|_| data_dir.join(LOCAL_SOCKET));
    let server = AdminServerConfig {
        local_socket: local.filter(|path| fits(path)),
        certificates,
        reflection: config.reflection,
        limits: LiveLimits::new(config.limits.limits()),
        ..AdminServerConfig::new(config.listen.clone())
    };
    server.check(authentication)?;
    Ok(server)
}

/// Whether the system takes a socket at this path.
fn fits(path: &Path) -> bool {
    let fits = path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES;
    if !fits {
        tracing::warn!(path = %path.display(), "too long for a socket: sub-commands need a certificate");
    }
    fits
}

impl AdminTlsConfig {
    fn files(&self) -> CertificateFiles {
        let key = match &self.key {
            SecretRef::File(path) => KeySource::File(path.clone()),
            SecretRef::Env(name) => KeySource::Variable(name.clone()),
        };
        CertificateFiles { certificate: self.certificate.clone(), key, client_ca: self.client_ca.clone() }
    }
}

/// The admin server as the tree's node runs it: bind, note the address where sub-commands find it, serve.
pub(super) fn serve_admin(
    config: AdminServerConfig,
    access: Access,
    address: AdminListens,
    file: PathBuf,
) -> MakeServe {
    Box::new(move |control| -> Serve {
        Arc::new(move |mut serving| {
            let (control, mut config) = (control.clone(), config.clone());
            let (access, address, file) = (access.clone(), address.clone(), file.clone());
            Box::pin(async move {
                // A restarted node takes the port it had.
                config.listen = address.get().unwrap_or(&config.listen).clone();
                let told = |error: AdminError| format!("{}: {}", error.code(), with_causes(&error));
                let bound = AdminServer { config, control, access }.bind().await.map_err(told)?;
                address.get_or_init(|| bound.address().clone());
                let (endpoint, local) = (bound.endpoint(), bound.local_endpoint());
                // Plain addresses stand there as they are.
                std::fs::write(&file, local.strip_prefix("http://").unwrap_or(&local))
                    .map_err(|error| error.to_string())?;
                tracing::info!(endpoint, "admin API listens");
                serving.listening();
                bound.serve(serving.stop.cancelled_owned()).await.map_err(told)
            })
        })
    })
}

/// An error with all that caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
