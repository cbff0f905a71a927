//! What went wrong, told on stderr, and the exit code that says so to scripts.

use std::error::Error;
use std::io::{self, Write};

use runtime_core::access::TokenText;
use tonic::Code;

use super::exit::Exit;
use super::target::TargetError;
use super::words::clean;
use crate::client::{ClientError, Refusal};

/// A command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The call failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The answer could not be written.
    #[error("cannot write the answer")]
    Output(#[from] io::Error),
    /// The input could not be read.
    #[error("cannot read {file}")]
    Input {
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not everything that was begun came to a good end.
    #[error("{0}")]
    Partial(&'static str),
    /// Whoever was asked does not want it.
    #[error("nothing was changed")]
    Declined,
    /// It has to be confirmed, and nobody is there to ask.
    #[error("nobody is at a terminal to confirm this: nothing was changed; --yes goes on without asking")]
    Unasked,
    /// No principal goes by that name.
    #[error("no principal {0}")]
    NoPrincipal(String),
    /// It has to be confirmed by name, and nobody is there to ask.
    #[error(
        "nobody is at a terminal to confirm this: nothing was changed; --confirm with its name goes on without asking"
    )]
    Unnamed,
    /// No worker goes by that name.
    #[error("no worker {0}")]
    NoWorker(String),
    /// No error has that code.
    #[error("no error code {0}")]
    NoCode(String),
    /// Where to go, and as whom, cannot be made out.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It cannot be watched.
    #[error("--watch is for lists, get, tree, overview and events")]
    Unwatchable,
    /// It is watched in a form that has no lines.
    #[error("without a terminal --watch tells lines of JSON: -o jsonl")]
    Unlined,
    /// Another name than that of what is to be changed.
    #[error("--confirm {given} is not {name}: nothing was changed")]
    Misnamed {
        /// What was said.
        given: String,
        /// What it concerns.
        name: String,
    },
    /// Something is to be changed, and only a file says where.
    #[error("nobody said where: {0} is what the file of profiles has for looking; nothing was changed")]
    Unplaced(String),
}

impl Failure {
    /// What a script gets to know.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => exit_of(error),
            Self::Output(_) => Exit::Unexpected,
            Self::Input { .. }
            | Self::Unasked
            | Self::Unnamed
            | Self::Target(_)
            | Self::Unplaced(_)
            | Self::Unwatchable
            | Self::Unlined
            | Self::Misnamed { .. } => Exit::Usage,
            Self::Declined => Exit::Interrupted,
            Self::Partial(_) => Exit::Partial,
            Self::NoWorker(_) | Self::NoPrincipal(_) | Self::NoCode(_) => Exit::NotFound,
        }
    }

    /// What a person gets to know.
    pub(super) fn explain(&self, stderr: &mut dyn Write) -> io::Result<()> {
        let code = match self {
            Self::Client(error) => error.code(),
            _ => None,
        };
        let mark = code.map(|code| format!(" ({code} {})", code.name())).unwrap_or_default();
        writeln!(stderr, "error: {}{mark}", told(&self.to_string()))?;
        if let Some(cause) = root_cause(self) {
            writeln!(stderr, "cause: {}", told(&cause.to_string()))?;
        }
        match (self, code) {
            (Self::Client(ClientError::Connect { .. }), _) => {
                writeln!(
                    stderr,
                    "hint: is the runtime running? --endpoint or RUNTIMECTL_ENDPOINT names another address"
                )
            }
            (Self::Client(ClientError::ConnectionLost(_)), _) => {
                writeln!(
                    stderr,
                    "hint: what was asked may have happened all the same; look before you ask again"
                )
            }
            (Self::Client(ClientError::Refused(refusal)), None)
                if refusal.canonical == Code::Unimplemented =>
            {
                writeln!(
                    stderr,
                    "hint: is this the address of an admin server, no older than this runtimectl?"
                )
            }
            (Self::Client(ClientError::Refused(refusal)), _) if lacks_reason(refusal) => {
                writeln!(stderr, "hint: --reason TEXT says why")
            }
            (Self::Client(ClientError::Refused(refusal)), _) if refusal.is_about("spec.cron.expression") => {
                writeln!(stderr, "hint: --cron EXPRESSION says wall times, in place of --every-secs")
            }
            (Self::Unplaced(_), _) => {
                writeln!(stderr, "hint: --profile default or --endpoint URL says where to change it")
            }
            (_, code) => match (self.missing().and_then(shown_by), code) {
                (Some(look), _) => writeln!(stderr, "hint: {look} shows what there is"),
                (None, Some(code)) => writeln!(stderr, "hint: runtimectl errors {code}"),
                (None, None) => Ok(()),
            },
        }
    }

    /// What kind of thing is not there.
    fn missing(&self) -> Option<&str> {
        match self {
            Self::NoCode(_) => Some("error code"),
            Self::NoWorker(_) => Some("worker"),
            Self::NoPrincipal(_) => Some("principal"),
            Self::Client(ClientError::Refused(refusal)) => refusal.missing.as_deref(),
            _ => None,
        }
    }
}

/// Whether a reason is wanted; one that is too long is another matter.
fn lacks_reason(refusal: &Refusal) -> bool {
    refusal.fields.iter().any(|(field, why)| field == "reason" && !why.contains("at most"))
}

/// The command that shows which things of a kind there are.
fn shown_by(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "error code" => "runtimectl errors",
        "node" => "runtimectl node list",
        "operation" => "runtimectl operation list",
        "principal" => "runtimectl principal list",
        "queue" => "runtimectl queue list",
        "schedule" => "runtimectl schedule list",
        "task" => "runtimectl task list",
        "token" => "runtimectl token list",
        "worker" => "runtimectl worker list",
        _ => return None,
    })
}

/// A text that may repeat what somebody typed or wrote into a file: without the secret of a token in it.
fn told(text: &str) -> String {
    clean(&TokenText::redacted(text))
}

fn exit_of(error: &ClientError) -> Exit {
    match error {
        ClientError::InvalidEndpoint(_)
        | ClientError::InvalidToken
        | ClientError::TokenInClear(_)
        | ClientError::WithoutTls(_)
        | ClientError::TakesNoEtag(_)
        | ClientError::TakesNoLook(_)
        | ClientError::File { .. } => Exit::Usage,
        ClientError::Connect { .. } | ClientError::ConnectionLost(_) => Exit::CannotConnect,
        ClientError::DeadlineExceeded => Exit::Deadline,
        ClientError::Incomplete(_) => Exit::Unexpected,
        ClientError::Refused(refusal) => match refusal.canonical {
            Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
            Code::NotFound => Exit::NotFound,
            Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted | Code::ResourceExhausted => {
                Exit::Conflict
            }
            Code::PermissionDenied | Code::Unauthenticated => Exit::NotPermitted,
            Code::Unavailable => Exit::CannotConnect,
            Code::DeadlineExceeded => Exit::Deadline,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Exit::Unexpected,
        },
    }
}

/// The deepest cause below `error`, which is the one that says something.
fn root_cause(error: &dyn Error) -> Option<&dyn Error> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause)
}
