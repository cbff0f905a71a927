//! The development tasks of this workspace: `cargo xtask <task>`.
//!
//! Everything starts with this program, often on a machine that has built nothing yet, so it depends on the standard
//! library alone and compiles in a second. It decides *what* is run and *where* the real servers are; the tests
//! themselves are ordinary `cargo test` targets that learn the places from environment variables.

mod args;
mod bench;
mod ci;
mod config;
mod coverage;
mod deny;
mod failure;
mod servers;
mod step;
mod test;
mod totals;
mod workspace;

use std::env;
use std::process::ExitCode;

use args::{Task, USAGE};
use failure::Failure;
use workspace::Workspace;

fn main() -> ExitCode {
    match args::parse(env::args().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(task: Task) -> Result<(), Failure> {
    let workspace = Workspace::current()?;
    match task {
        Task::Help => {
            println!("{USAGE}");
            Ok(())
        }
        Task::Data => servers::print_data_places(&workspace),
        Task::Servers => servers::print_places(&workspace),
        Task::Test { with_servers, cargo_args } => test::run(&workspace, with_servers, cargo_args),
        Task::Nightly { cargo_args } => test::run_nightly(&workspace, cargo_args),
        Task::Bench { bench, bench_args } => bench::run(&workspace, bench, bench_args),
        Task::Coverage { crates } => coverage::run(&workspace, crates),
        Task::Config => config::run(&workspace),
        Task::Deny => deny::run(&workspace),
        Task::Ci => ci::run(&workspace),
    }
}
