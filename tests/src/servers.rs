//! Private instances of real servers, for tests that talk to what a user would have.
//!
//! Each instance lives in a temporary folder, listens on free loopback ports and is stopped when its value is dropped,
//! so any number of tests can run at a time. `cargo xtask test` says where the programs are; to run one test by hand,
//! take the places from `cargo xtask servers`:
//!
//! ```text
//! eval "$(cargo xtask servers)"
//! cargo test -p runtime-tests --features servers --test servers_smoke
//! ```
//!
//! All waiting here has a deadline in real time: do not use it under tokio's paused clock.

mod corpus;
mod dovecot;
mod ports;
mod process;
pub mod public_data;
mod rotel;
mod smtp;

use std::env;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use corpus::{MailCorpus, RawMail};
pub use dovecot::Dovecot;
pub use rotel::{ReceivedLog, ReceivedMetric, ReceivedPoint, ReceivedSpan, Rotel, SpanRef};
pub use smtp::SmtpServer;

/// How long a server may take until it answers or has ended. Generous: a machine under load is no fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a start is tried, each time with other ports when the server ended at once.
pub(crate) const STARTS: usize = 5;

/// Why a server did not do what the test asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The variable that tells where the program is, is not set.
    #[error("{0} is not set: run `cargo xtask test`, or take it from `cargo xtask servers`")]
    NotGiven(&'static str),
    /// The operating system refused something.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The refusal.
        source: io::Error,
    },
    /// The server ended, or never answered, while it was being started.
    #[error("{server} did not start: {said}")]
    NotStarted {
        /// The server's name.
        server: &'static str,
        /// What it wrote to its log.
        said: String,
    },
    /// The server answered, but not with what was asked for.
    #[error("{asked}: {answer}")]
    Refused {
        /// What it was asked.
        asked: String,
        /// Its answer.
        answer: String,
    },
    /// Something that was waited for did not come in time.
    #[error("{waited_for} did not come within {} s; seen so far: {seen}", deadline.as_secs_f64())]
    Deadline {
        /// What was waited for.
        waited_for: String,
        /// How long.
        deadline: Duration,
        /// What was there when time was up.
        seen: String,
    },
    /// A certificate could not be made.
    #[error("make a certificate")]
    Certificate(#[from] rcgen::Error),
}

impl ServerError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// The place that `cargo xtask test` put into a variable.
pub(crate) fn place(variable: &'static str) -> Result<PathBuf, ServerError> {
    env::var_os(variable).map(PathBuf::from).ok_or(ServerError::NotGiven(variable))
}
