//! Why a task failed, in words that say what to do.

use std::fmt;
use std::io;

use crate::args::USAGE;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line was not understood.
    Usage(String),
    /// A program could not be started, or a file could not be read or written.
    Io { doing: String, source: io::Error },
    /// A program ran and said no; its output has been shown.
    Step { name: String, status: String },
    /// Servers that were neither found nor installed, each with the reason and what would help.
    Missing(Vec<Missing>),
}

/// One server that could not be had.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) server: &'static str,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// 2 for a command line that was not understood, 1 for everything else.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Io { .. } | Self::Step { .. } | Self::Missing(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) => write!(f, "{problem}\n\n{USAGE}"),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::Step { name, status } => write!(f, "{name}: {status}"),
            Self::Missing(all) => {
                write!(f, "these servers could not be had:")?;
                for missing in all {
                    write!(
                        f,
                        "\n  {}: {}",
                        missing.server,
                        missing.reason.trim_end().replace('\n', "\n    ")
                    )?;
                }
                write!(f, "\nwithout them: cargo xtask test --without-servers")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_server_is_named_with_its_reason_and_the_way_out() {
        let failure = Failure::Missing(vec![
            Missing { server: "dovecot", reason: "not root\ninstall it".into() },
            Missing { server: "rotel", reason: "no pip".into() },
        ]);
        assert_eq!(
            failure.to_string(),
            "these servers could not be had:\n  dovecot: not root\n    install it\n  rotel: no pip\n\
             without them: cargo xtask test --without-servers"
        );
    }
}
