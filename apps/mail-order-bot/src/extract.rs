//! From an attachment to tables and text.
//!
//! CSV and plain text are read here. Workbooks and PDF are read by libraries that were not written for hostile files, so
//! each is read by a child process: this same program, started again as `extract-child`, which limits its own memory
//! and processor time before it reads a byte. Whatever happens to it is an error with a code here.
//!
//! ```text
//! Extractor ──bytes on stdin──▶ extract-child ──JSON on stdout──▶ Document
//!     │  wall clock, output cap      │ memory, processor time, no files
//! ```

pub mod charset;
mod child;
mod csv;
pub mod expansion;
pub mod html;
mod pdf;
mod workbook;

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use mail_order_domain::{Content, Document, ObstacleCode};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::attachments::Candidate;
pub use crate::extract::child::child_main;

/// The sub-command under which the program reads one attachment and ends.
pub const CHILD_COMMAND: &str = "extract-child";

/// How an attachment is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Plain text, in process.
    Text,
    /// Separated values, in process.
    Csv,
    /// Office Open XML workbook, in a child.
    Xlsx,
    /// OpenDocument spreadsheet, in a child.
    Ods,
    /// PDF, in a child.
    Pdf,
}

impl Format {
    /// The word for it on the child's command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Ods => "ods",
            Self::Pdf => "pdf",
        }
    }
}

/// What one child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtractLimits {
    /// Wall clock, from start to end.
    pub timeout: Duration,
    /// Processor time in seconds.
    pub cpu_secs: u64,
    /// Address space in bytes.
    pub memory_bytes: u64,
    /// What it may write, in bytes.
    pub output_bytes: usize,
}

impl Default for ExtractLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), cpu_secs: 20, memory_bytes: 1 << 30, output_bytes: 8 << 20 }
    }
}

/// Why an attachment was not read.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// It is damaged, needs a password, or unpacks to too much: the document's own fault, found by its reader.
    #[error("the document cannot be read: {}", .0.code())]
    Document(ObstacleCode),
    /// Its reader ran out of time.
    #[error("the document took too long to read")]
    Timeout,
    /// Its reader ran out of memory.
    #[error("the document took too much memory to read")]
    Memory,
    /// It holds more than an order can.
    #[error("the document holds more text than an order can have")]
    Output,
    /// Its reader broke: a stack overflow, an abort, or somebody killed it.
    #[error("the reader ended with {status}: {detail}")]
    Crashed {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it complained.
        detail: String,
        /// Whether it was killed from outside, which another time may not happen.
        killed: bool,
    },
    /// Its reader could not be started or spoken to.
    #[error("the reader could not be run")]
    Process(#[source] io::Error),
}

impl ExtractError {
    /// The stable code, which is also the reason a customer is given when nothing helps.
    #[must_use]
    pub fn code(&self) -> ObstacleCode {
        match self {
            Self::Document(code) => *code,
            Self::Timeout => ObstacleCode::ExtractTimeout,
            Self::Memory => ObstacleCode::ExtractMemory,
            Self::Output => ObstacleCode::ExtractOutput,
            Self::Crashed { .. } | Self::Process(_) => ObstacleCode::ExtractCrashed,
        }
    }

    /// Whether trying again could end otherwise: time and machine may be to blame, memory and the document are not.
    #[must_use]
    pub fn retry_could_help(&self) -> bool {
        match self {
            Self::Timeout | Self::Process(_) => true,
            Self::Crashed { killed, .. } => *killed,
            Self::Document(_) | Self::Memory | Self::Output => false,
        }
    }
}

/// Reads attachments. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Extractor {
    program: PathBuf,
    limits: ExtractLimits,
}

impl Extractor {
    /// An extractor whose children are `program`, which must hand its `extract-child` sub-command to [`child_main`].
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, limits: ExtractLimits) -> Self {
        Self { program: program.into(), limits }
    }

    /// An extractor whose children are the running program, with the default limits.
    ///
    /// # Errors
    /// The system does not tell where the program is.
    pub fn current() -> io::Result<Self> {
        Ok(Self::new(std::env::current_exe()?, ExtractLimits::default()))
    }

    /// Reads one attachment.
    ///
    /// # Errors
    /// [`ExtractError`]; whatever the attachment holds, this process comes to no harm.
    pub async fn extract(&self, candidate: &Candidate) -> Result<Document, ExtractError> {
        let contents = match candidate.format {
            Format::Text => vec![Content::Text(text(candidate))],
            Format::Csv => {
                let table = csv::read(&candidate.bytes, candidate.charset.as_deref());
                vec![Content::Table(table.map_err(|code| match code {
                    ObstacleCode::ExtractOutput => ExtractError::Output,
                    code => ExtractError::Document(code),
                })?)]
            }
            Format::Xlsx | Format::Ods | Format::Pdf => self.extract_in_child(candidate).await?,
        };
        Ok(Document { name: Some(candidate.name.clone()), contents })
    }

    async fn extract_in_child(&self, candidate: &Candidate) -> Result<Vec<Content>, ExtractError> {
        let mut child = self.spawn(candidate.format).map_err(ExtractError::Process)?;
        let talk = talk(&mut child, &candidate.bytes, self.limits.output_bytes);
        // Dropping the child kills it; reaping is the runtime's.
        let said =
            tokio::time::timeout(self.limits.timeout, talk).await.map_err(|_| ExtractError::Timeout)??;
        said.contents()
    }

    fn spawn(&self, format: Format) -> io::Result<Child> {
        Command::new(&self.program)
            .args([CHILD_COMMAND, "--format", format.as_str()])
            .args(["--memory-bytes", &self.limits.memory_bytes.to_string()])
            .args(["--cpu-secs", &self.limits.cpu_secs.to_string()])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

fn text(candidate: &Candidate) -> String {
    charset::decode(&candidate.bytes, candidate.charset.as_deref())
}

/// Everything a child said before it ended.
struct Said {
    status: ExitStatus,
    output: Vec<u8>,
    complaint: String,
}

/// Hands the document over while listening, since a child that writes first would otherwise wait for ever.
async fn talk(child: &mut Child, document: &[u8], output_bytes: usize) -> Result<Said, ExtractError> {
    let pipe_gone = || ExtractError::Process(io::Error::from(io::ErrorKind::BrokenPipe));
    let mut stdin = child.stdin.take().ok_or_else(pipe_gone)?;
    let stdout = child.stdout.take().ok_or_else(pipe_gone)?;
    let stderr = child.stderr.take().ok_or_else(pipe_gone)?;
    let hand_over = async move {
        // A child that ends early does not read the rest; its status says why.
        let _ = stdin.write_all(document).await;
        drop(stdin);
        Ok(())
    };
    let listen = async move {
        let output = read_up_to(stdout, output_bytes + 1).await?;
        if output.len() > output_bytes { Err(ExtractError::Output) } else { Ok(output) }
    };
    let complaints = async move {
        let complaint = read_up_to(stderr, 64 * 1024).await?;
        Ok(String::from_utf8_lossy(&complaint).into_owned())
    };
    let ((), output, complaint) = tokio::try_join!(hand_over, listen, complaints)?;
    let status = child.wait().await.map_err(ExtractError::Process)?;
    Ok(Said { status, output, complaint })
}

async fn read_up_to(pipe: impl AsyncRead + Unpin, most: usize) -> Result<Vec<u8>, ExtractError> {
    let mut bytes = Vec::new();
    pipe.take(most as u64).read_to_end(&mut bytes).await.map_err(ExtractError::Process)?;
    Ok(bytes)
}

impl Said {
    fn contents(self) -> Result<Vec<Content>, ExtractError> {
        if self.status.success() {
            let broken = |_| ExtractError::Document(ObstacleCode::Unreadable);
            return serde_json::from_slice(&self.output).map_err(broken);
        }
        if self.status.code() == Some(i32::from(child::NOT_BEGUN)) {
            return Err(ExtractError::Process(io::Error::other(self.complaint.trim().to_owned())));
        }
        if let Some(failure) = self.status.code().and_then(child::Failure::from_exit_code) {
            return Err(match failure {
                child::Failure::Document(code) => ExtractError::Document(code),
                child::Failure::Memory => ExtractError::Memory,
            });
        }
        Err(self.crash())
    }

    /// A child that did not end by itself: out of processor time, out of memory, or broken.
    fn crash(self) -> ExtractError {
        let signal = signal_of(self.status);
        match signal {
            Some(SIGXCPU) => ExtractError::Timeout,
            Some(SIGABRT) if self.complaint.contains("memory allocation of") => ExtractError::Memory,
            _ => ExtractError::Crashed {
                status: self.status,
                detail: self
                    .complaint
                    .lines()
                    .map(str::trim)
                    .rfind(|line| !line.is_empty())
                    .unwrap_or("")
                    .to_owned(),
                killed: signal == Some(SIGKILL),
            },
        }
    }
}

/// Signal numbers, the same on every Unix this runs on.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}
