//! `runtimectl`: sees and steers a running tree from the command line.
//!
//! Nouns, then verbs: `runtimectl node pause shop/workers/settle`. It is a function, so that apps can offer it and tests can
//! hold its output still: everything from outside (streams, environment, time) comes in with [`Surroundings`].

mod access;
mod args;
mod config;
mod dead_letters;
mod errors;
mod events;
mod exit;
mod failure;
mod json;
mod nodes;
mod operations;
mod output;
mod profiles;
mod queues;
mod schedules;
#[cfg(feature = "shell")]
mod shell;
mod system;
mod table;
mod target;
mod tasks;
mod terminal;
mod tree;
mod watch;
mod words;
mod workers;
mod yaml;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};

use clap::{CommandFactory, Parser};
use runtime_core::access::TokenText;
use runtime_core::clock::Clock;

pub use exit::Exit;

use crate::client::AdminClient;
use args::{Args, Common, Format, Known, Noun, ProfileVerb, What};
use failure::Failure;
use output::Output;
use target::{Place, Target};
use terminal::Guarded;

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

/// The variable that names the profile when no flag does.
pub const PROFILE_VARIABLE: &str = "RUNTIMECTL_PROFILE";

/// The variable that names the file of profiles when no flag does.
pub const CONFIG_VARIABLE: &str = "RUNTIMECTL_CONFIG";

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

/// The command line, for what looks at it from outside.
pub fn command() -> clap::Command {
    Args::command()
}

/// Answers a shell that asks this process for completion, and ends the process then. Has to be called before a tokio runtime is there.
pub fn complete_here() {
    #[cfg(feature = "shell")]
    shell::complete();
}

/// Runs one command line, its program name included.
pub async fn run(args: impl IntoIterator<Item = OsString>, around: Surroundings<'_>) -> Exit {
    let mut stdout = Guarded::over(around.stdout, around.terminal);
    let mut stderr = Guarded::over(around.stderr, around.progress);
    obey(args, Surroundings { stdout: &mut stdout, stderr: &mut stderr, ..around }).await
}

async fn obey(args: impl IntoIterator<Item = OsString>, around: Surroundings<'_>) -> Exit {
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
    let place = Place::default();
    let mut output = Output {
        stdout,
        stderr,
        terminal,
        format: Format::default(),
        colours,
        progress,
        clock,
        place,
        answer,
        dry_run: false,
        as_of: String::new(),
    };
    match carry_out(args, token, variable, &mut output).await {
        Ok(exit) => exit,
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Exit::Ok,
        Err(failure) => {
            // Whoever closed stderr reads the exit code alone.
            drop(failure.explain(output.stderr));
            failure.exit()
        }
    }
}

async fn carry_out(
    Args { common, what }: Args,
    token: Option<&str>,
    variable: &dyn Fn(&str) -> Option<String>,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let noun = match what {
        What::Known(known) => return tell(known, &common, variable, output).map(|()| Exit::Ok),
        What::Asked(noun) => noun,
    };
    let target = Target::of(&common, common.profile.as_deref(), variable)?;
    output.format = target.output.value;
    output.place = target.place();
    output.dry_run = noun.change().is_some_and(|change| change.dry_run);
    let token = match token {
        Some(token) => Some(token.to_owned()),
        None => target.token(variable)?,
    };
    let client = AdminClient::connect_with(&target.endpoint.value, &target.tls()).await?;
    let client = match &token {
        Some(token) => client.with_token(token)?,
        None => client,
    };
    let client = client.with_timeout(target.timeout());
    let client = match noun.change() {
        Some(change) => change.sign(client),
        None => client,
    };
    match noun {
        Noun::Events(args) if common.watch => events::watch(args, &client, output).await,
        noun if common.watch => match watch::events_of(&noun) {
            Some(filter) => watch::run(noun, filter, &client, output).await,
            None => Err(Failure::Unwatchable),
        },
        noun => ask(noun, &client, output).await,
    }
}

/// What the program knows by itself.
fn tell(
    known: Known,
    common: &Common,
    variable: &dyn Fn(&str) -> Option<String>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    output.format = common.output.unwrap_or_default();
    match known {
        Known::Errors { code } => errors::run(code, output),
        #[cfg(feature = "shell")]
        Known::Completion { shell } => shell::completion(&shell, output),
        #[cfg(feature = "shell")]
        Known::Man { dir } => shell::man(dir.as_deref(), output),
        Known::Profile { verb } => {
            let named = match &verb {
                ProfileVerb::Show { name: Some(name) } => Some(name.as_str()),
                _ => common.profile.as_deref(),
            };
            profiles::run(&verb, &Target::of(common, named, variable)?, output)
        }
    }
}

/// What a server is asked.
async fn ask(noun: Noun, client: &AdminClient, output: &mut Output<'_>) -> Result<Exit, Failure> {
    match noun {
        Noun::Tree { path } => tree::show(&path, client, output).await?,
        Noun::Node { verb } => nodes::run(verb, client, output).await?,
        Noun::Queue { verb } => queues::run(verb, client, output).await?,
        Noun::Schedule { verb } => schedules::run(verb, client, output).await?,
        Noun::Task { verb } => tasks::run(verb, client, output).await?,
        Noun::DeadLetter { verb } => dead_letters::run(verb, client, output).await?,
        Noun::Operation { verb } => operations::run(verb, client, output).await?,
        Noun::Worker { verb } => workers::run(verb, client, output).await?,
        Noun::Principal { verb } => access::principals(verb, client, output).await?,
        Noun::Token { verb } => access::tokens(verb, client, output).await?,
        Noun::Events(args) => events::list(args, client, output).await?,
        Noun::Audit { verb } => access::audit(verb, client, output).await?,
        Noun::Config { verb } => return config::run(verb, client, output).await,
        Noun::LogFilter { verb } => config::log_filter(verb, client, output).await?,
        Noun::System { verb } => system::run(verb, client, output).await?,
        Noun::Dump => config::dump(client, output).await?,
        Noun::Info => system::info(client, output).await?,
        Noun::Overview { check } => return system::overview(check, client, output).await,
    }
    Ok(Exit::Ok)
}
