//! The command line that every app has: run, and look at the configuration.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use runtime_actors::AppPlan;
use runtime_core::access::TokenText;

use crate::access::AdminCommand;
use crate::app::{App, AppConfig, SetupError};
use crate::config::{ConfigProblems, ConfigSources, Loaded, RuntimeConfig, config_example, config_schema};
use crate::signals::Exit;
use crate::worker_docs::worker_docs;

/// How long threads may go on that nobody waits for any more.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// Where the configuration comes from, beside the environment (`RUNTIME__SECTION__KEY`).
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML); without it `runtime.toml` is read when it is there.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, over file and environment; may be given again.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigArgs {
    /// Where all of it is read from.
    fn sources(&self) -> ConfigSources {
        ConfigSources {
            file: self.config.clone(),
            default_file: Some("runtime.toml".into()),
            env: ConfigSources::process_env(),
            sets: self.set.clone(),
            ..ConfigSources::default()
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It has problems.
    #[error(transparent)]
    Problems(#[from] ConfigProblems),
    /// The modules do not fit together with it.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// What can be done with a configuration.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Says whether the configuration is right, or everything that is wrong with it.
    Check,
    /// The configuration in force.
    Show {
        /// With where each value comes from.
        #[arg(long)]
        origins: bool,
    },
    /// The JSON schema of the configuration.
    Schema,
    /// A commented example with the defaults.
    Example,
}

/// What can be done with the workers of an app.
#[derive(Debug, Clone, Subcommand)]
pub enum WorkerCommand {
    /// A page of documentation in Markdown: every worker with its five duties.
    Docs,
    /// As `runtimectl worker list`, on the running instance, or alone when none runs.
    #[command(disable_help_flag = true)]
    List(Words),
    /// As `runtimectl worker get`, on the running instance, or alone when none runs.
    #[command(disable_help_flag = true)]
    Get(Words),
    /// As `runtimectl worker run`: `run settle --scope store=42`, on the running instance, or alone when none runs.
    #[command(disable_help_flag = true)]
    Run(Words),
}

/// What follows a verb, handed on as it is.
#[derive(Debug, Clone, Default, Args)]
pub struct Words {
    /// Its arguments; `--help` says which.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub words: Vec<OsString>,
}

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Option<AppCommand>,
}

/// What every app can be told to do. An app with verbs of its own has these beside them by `#[command(flatten)]`, and hands them to
/// [`App::run_command`].
#[derive(Debug, Clone, Subcommand)]
pub enum AppCommand {
    /// Serves until a signal.
    Run,
    /// Looks at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Looks at workers, and runs one for one scope.
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Lets somebody in to the admin API.
    #[command(subcommand)]
    Admin(AdminCommand),
}

impl<A: AppConfig> App<A> {
    /// The whole `main` of an app without verbs of its own: reads the command line and does what it says; without a command, it runs.
    pub fn run(&self) -> ExitCode {
        self.run_with(std::env::args_os())
    }

    /// The same with arguments handed in; the first is the program's name.
    pub fn run_with(&self, arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
        let name = self.name().map_or_else(|_| "app".to_owned(), |name| name.to_string());
        let parsed = CommandLine::command()
            .bin_name(name)
            .try_get_matches_from(arguments)
            .and_then(|matches| CommandLine::from_arg_matches(&matches));
        match parsed {
            Ok(line) => self.run_command(&line.config, &line.command.unwrap_or(AppCommand::Run)),
            Err(error) => not_a_command(&error),
        }
    }

    /// Does what one of the commands that every app has says.
    pub fn run_command(&self, args: &ConfigArgs, command: &AppCommand) -> ExitCode {
        match command {
            AppCommand::Run => self.run_until_signal(args),
            AppCommand::Config(command) => self.run_config(args, command),
            AppCommand::Worker(command) => self.run_worker(args, command),
            AppCommand::Admin(command) => self.run_admin(args, command),
        }
    }

    /// Reads the configuration with all its layers.
    ///
    /// # Errors
    /// All problems, printed to standard error already; the exit code to end with.
    pub fn load(&self, args: &ConfigArgs) -> Result<Loaded<RuntimeConfig<A>>, Exit> {
        self.load_from(&args.sources()).map_err(|error| match error {
            LoadError::Problems(problems) => {
                eprintln!("{problems}");
                Exit::Configuration
            }
            LoadError::Setup(error) => Exit::Configuration.because(&error),
        })
    }

    /// The same from sources that are handed in, with the problems as a value.
    pub(crate) fn load_from(&self, sources: &ConfigSources) -> Result<Loaded<RuntimeConfig<A>>, LoadError> {
        self.load_shown(sources, None)
    }

    /// The same, where the modules are to see these settings of the app and not those of the sources.
    pub(crate) fn load_shown(
        &self,
        sources: &ConfigSources,
        app: Option<A>,
    ) -> Result<Loaded<RuntimeConfig<A>>, LoadError> {
        let loaded = sources.load::<RuntimeConfig<A>>()?;
        let shown = match app {
            Some(app) => RuntimeConfig { app, ..loaded.value },
            None => loaded.value,
        };
        // Which workers and sources there are is known once the modules have seen their settings.
        let assembled = self.assemble(&shown)?;
        let workers =
            assembled.plan.workers.iter().map(|worker| worker.descriptor.name.to_string()).collect();
        let needed = assembled.plan.workers.iter().flat_map(|worker| &worker.descriptor.dependencies);
        let dependencies: BTreeSet<_> = needed.map(ToString::to_string).collect();
        let names = [
            ("workers".to_owned(), workers),
            ("dependencies".to_owned(), dependencies.into_iter().collect()),
        ]
        .into();
        Ok(ConfigSources { names, ..sources.clone() }.load()?)
    }

    /// Runs until a signal: the tree on a runtime of its own, apart from the work pool.
    fn run_until_signal(&self, args: &ConfigArgs) -> ExitCode {
        crate::descriptors::raise_limit();
        let loaded = match self.load(args) {
            Ok(loaded) => loaded,
            Err(exit) => return exit.into(),
        };
        let Some(runtime) = control_runtime() else { return Exit::StartUp.into() };
        let exit = runtime.block_on(self.serve(loaded, args.sources()));
        // Everything has ended in order, but for what reads a configuration that does not come.
        runtime.shutdown_timeout(LAST_THREADS);
        exit.into()
    }

    /// Does what a configuration command says.
    fn run_config(&self, args: &ConfigArgs, command: &ConfigCommand) -> ExitCode {
        match command {
            ConfigCommand::Schema => print!("{}", config_schema::<RuntimeConfig<A>>()),
            ConfigCommand::Example => print!("{}", config_example::<RuntimeConfig<A>>()),
            ConfigCommand::Check | ConfigCommand::Show { .. } => match self.load(args) {
                Err(exit) => return exit.into(),
                Ok(loaded) => match command {
                    ConfigCommand::Show { origins } => print!("{}", loaded.show(*origins)),
                    _ => match loaded.value.admin.servable() {
                        Ok(()) => println!("ok"),
                        Err(error) => return Exit::Configuration.because(&error).into(),
                    },
                },
            },
        }
        ExitCode::SUCCESS
    }

    /// Does what a worker command says.
    fn run_worker(&self, args: &ConfigArgs, command: &WorkerCommand) -> ExitCode {
        match command {
            WorkerCommand::Docs => self.print_worker_docs(args),
            WorkerCommand::List(words) => self.operate(args, &["worker", "list"], words),
            WorkerCommand::Get(words) => self.operate(args, &["worker", "get"], words),
            WorkerCommand::Run(words) => self.operate(args, &["worker", "run"], words),
        }
    }

    fn print_worker_docs(&self, args: &ConfigArgs) -> ExitCode {
        let assembled = match self.load(args).map(|loaded| self.assemble(&loaded.value)) {
            Ok(Ok(assembled)) => assembled,
            Ok(Err(error)) => {
                eprintln!("error: {error}");
                return Exit::Configuration.into();
            }
            Err(exit) => return exit.into(),
        };
        let AppPlan { name, workers, .. } = &assembled.plan;
        print!("{}", worker_docs(name.as_str(), workers.iter().map(|worker| &worker.descriptor)));
        ExitCode::SUCCESS
    }
}

/// Says what is wrong with a command line, or its help when that was asked for; the exit code to end with. What somebody typed is
/// repeated without the secret of a token: not everybody who reads a log may have it.
pub fn not_a_command(error: &clap::Error) -> ExitCode {
    let text = TokenText::redacted(&error.render().to_string());
    if error.use_stderr() {
        eprint!("{text}");
        ExitCode::from(2)
    } else {
        print!("{text}");
        ExitCode::SUCCESS
    }
}

/// The runtime of the tree and the admin server.
///
/// `None`, with the reason on standard error, when the system gives no threads.
pub fn control_runtime() -> Option<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| eprintln!("error: no threads for the tree: {error}"))
        .ok()
}
