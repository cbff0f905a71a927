//! `<app> worker …`: the operators' command line, on the running instance when there is one.
//!
//! ```text
//! admin.addr ─▶ a running instance answers ─▶ runtimectl on it
//!      └─ nobody does ─▶ the tree, quiet: nothing moves by itself ─▶ runtimectl on it ─▶ down again
//! ```
//!
//! Either way the worker runs through its own node: same slots, same limits, same ledger.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use runtime_admin::cli;
use runtime_admin::{AdminClient, ClientError, new_token};
use runtime_stores::SystemClock;

use crate::app::{App, AppConfig};
use crate::command_line::{ConfigArgs, Words, control_runtime};
use crate::config::RuntimeConfig;
use crate::running::admin_file;
use crate::signals::Exit;

impl<A: AppConfig> App<A> {
    /// Does what `runtimectl VERB …` would do: on the instance that runs in this data folder, or else on a quiet tree of its own, in
    /// which nothing moves but what is asked for.
    pub(crate) fn operate(&self, config: &ConfigArgs, verb: &[&str], words: &Words) -> ExitCode {
        let line = verb.iter().map(OsString::from).chain(words.words.iter().cloned()).collect();
        let loaded = match self.load(config) {
            Ok(loaded) => loaded.value,
            Err(exit) => return exit.into(),
        };
        let Some(runtime) = control_runtime() else { return Exit::StartUp.into() };
        runtime.block_on(async {
            match running_instance(&loaded.runtime.data_dir).await {
                Some(endpoint) => runtimectl(&endpoint, line, None).await,
                None => self.on_a_quiet_tree(loaded, line).await,
            }
        })
    }

    async fn on_a_quiet_tree(&self, mut config: RuntimeConfig<A>, line: Vec<OsString>) -> ExitCode {
        config.admin.enabled = true;
        config.admin.listen = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        config.admin.tls = None;
        let telemetry = match self.telemetry(&config) {
            Ok(telemetry) => telemetry,
            Err(error) => return Exit::StartUp.because(&error).into(),
        };
        let token = match new_token() {
            Ok(token) => token,
            Err(error) => return Exit::StartUp.because(&error).into(),
        };
        let exit = match self.start_tree(&config, &telemetry, None, Some(token.hash())).await {
            Err(error) => Exit::StartUp.because(&error).into(),
            Ok(running) => {
                let exit = match running.admin_endpoint() {
                    Some(endpoint) => runtimectl(&endpoint, line, Some(token.expose())).await,
                    None => Exit::StartUp.into(),
                };
                match running.stop().await {
                    Exit::Clean => exit,
                    unclean => unclean.into(),
                }
            }
        };
        if let Err(error) = telemetry.shutdown(Duration::from_secs(config.runtime.flush_secs.get())).await {
            eprintln!("{error}");
        }
        exit
    }
}

/// Where the instance that owns this folder can be reached. The file outlives a killed process: so somebody must answer.
async fn running_instance(data_dir: &Path) -> Option<String> {
    let endpoint = std::fs::read_to_string(admin_file(data_dir)).ok()?;
    let client = AdminClient::connect(&endpoint).await.ok()?;
    // Whoever refuses is there.
    match client.info().await {
        Ok(_) | Err(ClientError::Refused(_)) => Some(endpoint),
        Err(_) => None,
    }
}

async fn runtimectl(endpoint: &str, line: Vec<OsString>, token: Option<&str>) -> ExitCode {
    let program = ["runtimectl", "--endpoint", endpoint].map(OsString::from);
    cli::run_here(program.into_iter().chain(line), &SystemClock, token).await.into()
}
