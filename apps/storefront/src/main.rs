//! The program: `run` serves, `demo` shows, `worker` looks at and runs workers, `config` checks.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use runtime::signals::Exit;
use runtime::{App, AppCommand, ConfigArgs, not_a_command};
use storefront::config::StorefrontConfig;
use storefront::data::{ImportCommand, import};
use storefront::demo::{Demo, DemoSize, demo, fresh_folder};
use storefront::module::{APP, Storefront};

/// A shop with six obligations.
#[derive(Debug, Parser)]
#[command(name = APP, version)]
struct CommandLine {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    EveryApp(AppCommand),
    /// Lives through a month of a shop under load and checks every obligation.
    Demo {
        /// Folder for everything the demo writes; a fresh one when absent.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// How much happens in the month.
        #[arg(long, value_enum, default_value = "full")]
        size: DemoSize,
        /// The month is made from this number.
        #[arg(long, default_value_t = 42)]
        seed: u64,
        /// How long the month takes; by its size when absent.
        #[arg(long)]
        seconds: Option<NonZeroU32>,
    },
    /// Takes a public data set in, while the shop does not run.
    #[command(subcommand)]
    Import(ImportCommand),
}

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return not_a_command(&error),
    };
    let app = App::<StorefrontConfig>::configured(APP).module(Storefront);
    match line.command {
        Verb::EveryApp(command) => app.run_command(&line.config, &command),
        Verb::Import(command) => import(&app, &line.config, &command).into(),
        Verb::Demo { dir, size, seed, seconds } => match dir.map_or_else(fresh_folder, Ok) {
            Ok(folder) => demo(&app, &line.config, &folder, &Demo { size, seed, seconds }).into(),
            Err(error) => Exit::StartUp.because(&error).into(),
        },
    }
}
