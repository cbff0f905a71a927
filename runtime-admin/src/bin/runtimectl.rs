//! The `runtimectl` program: hands the process's arguments and clock to [`runtime_admin::cli`].

use std::process::ExitCode;

use jiff::Timestamp;
use runtime_admin::cli;
use runtime_core::clock::Clock;

/// The machine's clock. Ages are for reading: nothing is decided by them.
struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock of the program")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

fn main() -> ExitCode {
    cli::complete_here();
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::run_here(std::env::args_os(), &MachineClock, None)).into(),
        Err(error) => {
            eprintln!("error: {error}");
            cli::Exit::Unexpected.into()
        }
    }
}
