//! The proving ground as a process: an app like any other (`run`, `config …`); `bare`, with its times in the test's hands; or a
//! mere `producer` of tasks.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Command};
use runtime_tests::ground::{BareArgs, ProducerArgs, app, run_bare, run_producer};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.get(1).and_then(|verb| verb.to_str()) {
        Some("bare") => run_bare(&app(), &parsed::<BareArgs>(&arguments[1..])).into(),
        Some("producer") => run_producer(&parsed::<ProducerArgs>(&arguments[1..])).into(),
        _ => app().run_with(arguments),
    }
}

fn parsed<A: Args>(arguments: &[OsString]) -> A {
    let command = A::augment_args(Command::new("proving_ground"));
    let matches = command.get_matches_from(arguments);
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}
