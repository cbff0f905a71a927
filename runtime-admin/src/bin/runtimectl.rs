//! The `runtimectl` program: hands the process's streams, environment and clock to [`runtime_admin::cli`].

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use jiff::Timestamp;
use runtime_admin::cli::{self, Surroundings};
use runtime_core::clock::Clock;

/// The machine's clock. Ages are for reading: nothing is decided by them.
struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock of the program")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    let terminal = stdout.is_terminal();
    let around = Surroundings {
        stdout: &mut stdout,
        stderr: &mut stderr,
        terminal,
        variable: &|name| std::env::var(name).ok(),
        clock: &MachineClock,
        answer: &cli::line_from_terminal,
    };
    cli::run(std::env::args_os(), around).await.into()
}
