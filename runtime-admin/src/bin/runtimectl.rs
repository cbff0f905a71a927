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

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cli::run_here(std::env::args_os(), &MachineClock, None).await.into()
}
