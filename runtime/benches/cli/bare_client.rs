//! The least that a program can take that asks a server one thing: this executable once more, with nothing to do but that.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tonic::transport::Endpoint;
use tonic_health::pb::health_client::HealthClient;

use crate::empty::check;
use crate::tls::Tls;

/// Names the server for the process that only asks it.
const ENDPOINT: &str = "RUNTIME_BENCH_EMPTY";
/// Names the file with its certificate.
const CA: &str = "RUNTIME_BENCH_EMPTY_CA";

/// The process that asks this server.
pub(crate) fn command(endpoint: &str, ca: Option<&Path>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.env_clear().env(ENDPOINT, endpoint).stdin(Stdio::null());
    command.envs(ca.map(|ca| (CA, ca)));
    command
}

/// Whether this process is one.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(ENDPOINT).is_some()
}

/// Asks once.
pub(crate) fn run() {
    let endpoint = std::env::var(ENDPOINT).expect("a server");
    let mut to = Endpoint::from_shared(endpoint).expect("an address");
    if let Some(ca) = std::env::var_os(CA) {
        to = to.tls_config(Tls::trusting(&PathBuf::from(ca))).expect("TLS");
    }
    let one_thread = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    one_thread.block_on(async {
        check(&mut HealthClient::new(to.connect().await.expect("connected"))).await;
    });
}
