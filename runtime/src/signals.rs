//! What the operating system asks of the process, and what the process answers at its end.

use std::error::Error;
use std::io;
use std::process::{ExitCode, Termination};

use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// What a signal means. The first SIGTERM or SIGINT asks; whoever asks again means it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End in order: stop taking work, finish or release what runs, flush, close.
    Graceful,
    /// End now.
    Kill,
    /// Read the configuration again.
    Reload,
}

/// Listens for SIGTERM, SIGINT and SIGHUP. From its creation on none ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Listener,
    interrupt: Listener,
    hang_up: Listener,
    asked: bool,
}

impl Signals {
    /// Begins to listen. Needs a tokio runtime.
    ///
    /// # Errors
    /// What the system said when it refused a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            asked: false,
        })
    }

    /// Whether the process was asked to end.
    pub fn asked(&self) -> bool {
        self.asked
    }

    /// The next signal: [`Signal::Graceful`] once, then [`Signal::Kill`] for each that follows, and [`Signal::Reload`] in between.
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => return Signal::Reload,
        }
        if std::mem::replace(&mut self.asked, true) { Signal::Kill } else { Signal::Graceful }
    }
}

/// How a process of the platform ended, as its exit code tells. 2 is left to the command line's usage errors and 128
/// and above to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All work was finished or released, all was flushed and closed.
    Clean = 0,
    /// A part of the platform failed beyond its restart budget while it ran.
    Failed = 1,
    /// The configuration has problems; nothing was started.
    Configuration = 3,
    /// A part could not be started, such as the store or the admin server; what had started was stopped again.
    StartUp = 4,
    /// A node did not stop in its time and was abandoned. Nothing is lost: its tasks run again.
    Abandoned = 5,
    /// A second signal ended the shutdown. Nothing is lost: what ran is run again.
    Killed = 6,
}

impl Exit {
    /// The exit code of the process.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Says on standard error what went wrong, with every cause of it; the exit is this one.
    #[must_use]
    pub fn because(self, error: &(dyn Error + 'static)) -> Self {
        eprintln!("error: {error}");
        for cause in std::iter::successors(error.source(), |cause| (*cause).source()) {
            eprintln!("  because {cause}");
        }
        self
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{self, Command};

    use super::*;

    fn send(signal: &str) {
        let pid = process::id().to_string();
        let sent =
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid]).status().expect("a shell");
        assert!(sent.success());
    }

    #[tokio::test]
    async fn the_first_signal_asks_and_every_other_kills() {
        let mut signals = Signals::listen().expect("handlers");
        send("TERM");
        assert_eq!(signals.next().await, Signal::Graceful);
        send("HUP");
        assert_eq!(signals.next().await, Signal::Reload);
        send("INT");
        assert_eq!(signals.next().await, Signal::Kill);
        send("TERM");
        assert_eq!(signals.next().await, Signal::Kill);
    }

    #[test]
    fn each_ending_has_a_code_of_its_own() {
        use Exit::*;
        let codes = [Clean, Failed, Configuration, StartUp, Abandoned, Killed].map(Exit::code);
        assert_eq!(codes, [0, 1, 3, 4, 5, 6]);
    }
}
