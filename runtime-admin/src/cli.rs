//! `runtimectl`: sees and steers a running tree from the command line.
//!
//! Nouns, then verbs: `runtimectl node pause shop/workers/settle`. It is a function, so that apps can offer it and tests can
//! hold its output still: everything from outside (streams, environment, time) comes in with [`Surroundings`].

mod access;
mod args;
mod config;
mod dead_letters;
mod events;
mod exit;
mod failure;
mod json;
mod nodes;
mod operations;
mod output;
mod queues;
mod schedules;
mod system;
mod table;
mod tasks;
mod tree;
mod words;
mod workers;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use runtime_core::access::TokenText;
use runtime_core::clock::Clock;

pub use exit::Exit;

use crate::client::{AdminClient, ClientTls, DEFAULT_ENDPOINT};
use args::{Args, Noun};
use failure::Failure;
use output::Output;

/// The variable that names the endpoint when no flag does.
pub const ENDPOINT_VARIABLE: &str = "RUNTIMECTL_ENDPOINT";

/// The variable that names the file of trusted authorities when no flag does.
pub const CA_VARIABLE: &str = "RUNTIMECTL_CA";

/// The variable that names the file of the certificate to show when no flag does.
pub const CLIENT_CERT_VARIABLE: &str = "RUNTIMECTL_CLIENT_CERT";

/// The variable that names the file of its private key when no flag does.
pub const CLIENT_KEY_VARIABLE: &str = "RUNTIMECTL_CLIENT_KEY";
/// The variable that names a file with the token of whoever asks.
pub const TOKEN_FILE_VARIABLE: &str = "RUNTIMECTL_TOKEN_FILE";

/// The variable that holds the token itself.
pub const TOKEN_VARIABLE: &str = "RUNTIMECTL_TOKEN";

/// What a run of `runtimectl` touches outside of the tree.
pub struct Surroundings<'a> {
    /// Where answers go.
    pub stdout: &'a mut dyn Write,
    /// Where errors go, and what is about to be changed.
    pub stderr: &'a mut dyn Write,
    /// Whether `stdout` is a terminal: colours are for terminals only.
    pub terminal: bool,
    /// The token of whoever asks, where neither command line nor environment has to say it.
    pub token: Option<&'a str>,
    /// Whether `stderr` is a terminal: how long work goes is shown on terminals only.
    pub progress: bool,
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// What ages are counted from.
    pub clock: &'a dyn Clock,
    /// Reads a line from whoever sits at the terminal; `None` when nobody does.
    pub answer: &'a dyn Fn() -> Option<String>,
}

/// A line from the standard input, when that is a terminal.
fn line_from_terminal() -> Option<String> {
    let stdin = std::io::stdin();
    let mut line = String::new();
    (stdin.is_terminal() && stdin.read_line(&mut line).is_ok()).then_some(line)
}

/// Runs one command line on the streams and in the environment of this process; with this token, if there is one.
pub async fn run_here(
    args: impl IntoIterator<Item = OsString>,
    clock: &dyn Clock,
    token: Option<&str>,
) -> Exit {
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let around = Surroundings {
        terminal: stdout.is_terminal(),
        progress: stderr.is_terminal(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        token,
        variable: &|name| std::env::var(name).ok(),
        clock,
        answer: &line_from_terminal,
    };
    run(args, around).await
}

/// Runs one command line, its program name included.
pub async fn run(args: impl IntoIterator<Item = OsString>, around: Surroundings<'_>) -> Exit {
    let Surroundings { stdout, stderr, terminal, progress, token, variable, clock, answer } = around;
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let help = !error.use_stderr();
            // Whoever typed a token by mistake need not have it in a log as well.
            let text = TokenText::redacted(&error.render().to_string());
            let stream = if help { stdout } else { stderr };
            return match stream.write_all(text.as_bytes()) {
                Ok(()) if help => Exit::Ok,
                Ok(()) => Exit::Usage,
                Err(_) => Exit::Unexpected,
            };
        }
    };
    let colours = terminal && variable("NO_COLOR").is_none_or(|value| value.is_empty());
    let endpoint = args
        .endpoint
        .clone()
        .or_else(|| variable(ENDPOINT_VARIABLE))
        .unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    let tls = tls_files(&args, &endpoint, variable);
    let token = match token_of(args.token_file.as_deref(), variable) {
        Ok(named) => token.map(str::to_owned).or(named),
        Err(failure) => {
            drop(failure.explain(stderr));
            return failure.exit();
        }
    };
    let now = clock.now();
    let mut output =
        Output { stdout, stderr, format: args.output, colours, progress, now, endpoint, token, answer };
    match carry_out(args, &tls, &mut output).await {
        Ok(exit) => exit,
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Exit::Ok,
        Err(failure) => {
            // Whoever closed stderr reads the exit code alone.
            drop(failure.explain(output.stderr));
            failure.exit()
        }
    }
}

/// The files for TLS: those of the flags, else those of the environment, which are for endpoints with TLS alone. A certificate and its key
/// come from the same place.
fn tls_files(args: &Args, endpoint: &str, variable: &dyn Fn(&str) -> Option<String>) -> ClientTls {
    let without_tls = endpoint.starts_with("http://") || endpoint.starts_with("unix:");
    let named = |name| variable(name).filter(|path| !path.is_empty() && !without_tls).map(PathBuf::from);
    let given = args.client_cert.clone().zip(args.client_key.clone());
    ClientTls {
        ca: args.ca.clone().or_else(|| named(CA_VARIABLE)),
        identity: given.or_else(|| named(CLIENT_CERT_VARIABLE).zip(named(CLIENT_KEY_VARIABLE))),
    }
}

/// The token of whoever asks: never from the command line, which everybody on the machine can read.
fn token_of(
    file: Option<&Path>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, Failure> {
    let named = variable(TOKEN_FILE_VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from);
    let Some(file) = file.map(Path::to_owned).or(named) else {
        return Ok(variable(TOKEN_VARIABLE).filter(|token| !token.is_empty()));
    };
    let unreadable = |source| Failure::Input { file: file.display().to_string(), source };
    let text = std::fs::read_to_string(&file).map_err(unreadable)?;
    Ok(Some(text.trim().to_owned()))
}

async fn carry_out(args: Args, tls: &ClientTls, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let client = AdminClient::connect_with(&output.endpoint, tls).await?;
    let client = match &output.token {
        Some(token) => client.with_token(token)?,
        None => client,
    };
    let client = client.with_timeout(Duration::from_secs(args.timeout_secs.get().into()));
    let client = match args.noun.change() {
        Some(change) => change.sign(client),
        None => client,
    };
    match args.noun {
        Noun::Tree { path } => tree::show(&path, &client, output).await?,
        Noun::Node { verb } => nodes::run(verb, &client, output).await?,
        Noun::Queue { verb } => queues::run(verb, &client, output).await?,
        Noun::Schedule { verb } => schedules::run(verb, &client, output).await?,
        Noun::Task { verb } => tasks::run(verb, &client, output).await?,
        Noun::DeadLetter { verb } => dead_letters::run(verb, &client, output).await?,
        Noun::Operation { verb } => operations::run(verb, &client, output).await?,
        Noun::Worker { verb } => workers::run(verb, &client, output).await?,
        Noun::Principal { verb } => access::principals(verb, &client, output).await?,
        Noun::Token { verb } => access::tokens(verb, &client, output).await?,
        Noun::Events(args) => events::run(args, &client, output).await?,
        Noun::Audit { verb } => access::audit(verb, &client, output).await?,
        Noun::Config { verb } => return config::run(verb, &client, output).await,
        Noun::LogFilter { verb } => config::log_filter(verb, &client, output).await?,
        Noun::System { verb } => system::run(verb, &client, output).await?,
        Noun::Dump => config::dump(&client, output).await?,
        Noun::Info => system::info(&client, output).await?,
        Noun::Overview { check } => return system::overview(check, &client, output).await,
    }
    Ok(Exit::Ok)
}
