//! How a run ended, for scripts.

use std::process::ExitCode;

/// The exit codes of `runtimectl`. Stable; scripts may rely on them. Ctrl-C ends it as any program: 130 in a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// It was done.
    Ok = 0,
    /// Something nobody expected.
    Unexpected = 1,
    /// The command line, or a value in it, does not make sense.
    Usage = 2,
    /// No such node, queue, worker or task.
    NotFound = 3,
    /// It is there but not in a state that allows it, or something else stands in the way.
    Conflict = 4,
    /// Not permitted.
    NotPermitted = 5,
    /// Cannot connect, or the runtime cannot serve now.
    CannotConnect = 6,
    /// No answer came in time. What was asked may still happen.
    Deadline = 7,
    /// Only a part was done.
    Partial = 8,
    /// A check did not pass: `overview --check`.
    CheckFailed = 9,
    /// Whoever was asked said no.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
