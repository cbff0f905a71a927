//! The proving ground as a process: an app like any other (`run`, `config …`), or `bare` with its times in the test's hands.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use runtime_tests::ground::{BareArgs, app, run_bare};

#[derive(Debug, Parser)]
struct Bare {
    #[command(flatten)]
    args: BareArgs,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_none_or(|verb| verb != "bare") {
        return app().run_with(arguments);
    }
    let parsed = Bare::command()
        .try_get_matches_from(&arguments[1..])
        .and_then(|matches| Bare::from_arg_matches(&matches));
    match parsed {
        Ok(bare) => run_bare(&app(), &bare.args).into(),
        Err(error) => error.exit(),
    }
}
