//! Who may call the admin API, out of the configuration; and the first token, for whoever has the store at hand.

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use runtime_admin::{Access, AdminError, AdminServerConfig, Authentication, LocalToken};
use runtime_core::access::TokenHash;
use runtime_core::clock::Clock;
use runtime_core::name::{PrincipalName, TokenName};
use runtime_core::store::{Capability, Store};
use runtime_stores::SystemClock;
use secrecy::ExposeSecret;

use crate::app::{App, AppConfig};
use crate::command_line::{ConfigArgs, control_runtime};
use crate::config::{AdminConfig, AuthenticationKind, RuntimeConfig, SecretError, SecretRef};
use crate::running::StartError;
use crate::signals::Exit;

/// Shortest token that the configuration may name, in bytes: one that is made by [`runtime_admin::new_token`] is longer.
const LEAST_BYTES: usize = 32;

/// What can be done with the admin API of an app that does not run.
#[derive(Debug, Clone, Subcommand)]
pub enum AdminCommand {
    /// Tokens of those who may call the admin API.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// What can be done with tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Makes a token straight in the store, and prints it, once. For the first one, and when all are lost: the app must not run.
    Create(TokenCreate),
}

/// A token to be made.
#[derive(Debug, Clone, Args)]
pub struct TokenCreate {
    /// Whose. A principal that is not there is made, as an admin of everything.
    pub principal: PrincipalName,
    /// What it is for.
    #[arg(long)]
    pub name: TokenName,
    /// How long it is good.
    #[arg(long, default_value = "90", value_name = "DAYS")]
    pub expires_days: NonZeroU32,
}

impl AdminConfig {
    /// Whether the admin API may be served like this at all, which a start asks.
    pub(crate) fn servable(&self) -> Result<(), AdminError> {
        let are_known = self.authentication == AuthenticationKind::Required;
        if self.enabled {
            AdminServerConfig::allows(&self.listen, self.tls.is_some(), are_known)
        } else {
            Ok(())
        }
    }

    /// Whether callers have to say who they are.
    pub(crate) fn authentication(&self) -> Result<Authentication, StartError> {
        if self.authentication == AuthenticationKind::Off {
            return Ok(Authentication::Off);
        }
        let bootstrap = self.bootstrap_token.as_ref().map(bootstrap).transpose();
        let bootstrap = bootstrap.map_err(|source| StartError::BootstrapToken { source })?;
        Ok(Authentication::Required { bootstrap })
    }

    /// Who may call, and where that is kept.
    pub(crate) fn access(
        authentication: Authentication,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
    ) -> Access {
        Access { principals: store.clone(), audit: store.clone(), clock: clock.clone(), authentication }
    }
}

/// The hash of the token that the configuration names.
fn bootstrap(reference: &SecretRef) -> Result<TokenHash, SecretError> {
    let token = reference.resolve()?;
    if token.expose_secret().len() < LEAST_BYTES {
        return Err(SecretError::TooShort { reference: reference.to_string(), least: LEAST_BYTES });
    }
    Ok(TokenHash::of(token.expose_secret()))
}

impl<A: AppConfig> App<A> {
    /// Does what an admin command says.
    pub(crate) fn run_admin(&self, args: &ConfigArgs, command: &AdminCommand) -> ExitCode {
        let AdminCommand::Token(TokenCommand::Create(create)) = command;
        let loaded = match self.load(args) {
            Ok(loaded) => loaded.value,
            Err(exit) => return exit.into(),
        };
        let Some(runtime) = control_runtime() else { return Exit::StartUp.into() };
        runtime.block_on(self.create_token(&loaded, create)).into()
    }

    async fn create_token(&self, config: &RuntimeConfig<A>, create: &TokenCreate) -> Exit {
        let store = match self.open_store(config).await {
            Ok(store) => store,
            Err(error) => return Exit::StartUp.because(&error),
        };
        if !store.capabilities().contains(&Capability::Durable) {
            eprintln!("error: the store of this configuration keeps nothing, a token neither");
            return Exit::Configuration;
        }
        let TokenCreate { principal, name, expires_days } = create.clone();
        let now = SystemClock.now();
        let days = jiff::SignedDuration::from_hours(24 * i64::from(expires_days.get()));
        let Ok(expires_at) = now.checked_add(days) else {
            eprintln!("error: {expires_days} days from now is too far");
            return Exit::Configuration;
        };
        let asked = LocalToken { principal, name, expires_at: Some(expires_at) };
        let made = asked.make(&*store, &*store, now).await;
        let exit = match made {
            Ok(token) => {
                eprintln!("a token of {}, good until {expires_at}; it is shown this once:", asked.principal);
                println!("{}", token.expose());
                Exit::Clean
            }
            Err(error) => Exit::Failed.because(&error),
        };
        if let Err(error) = store.close().await {
            return Exit::Failed.because(&error);
        }
        exit
    }
}
