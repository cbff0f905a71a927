//! The child's side: limit yourself, read the document from stdin, write what it holds to stdout, end.

use std::any::Any;
use std::io::{Read, Write, stdin, stdout};
use std::panic::{catch_unwind, set_hook};
use std::process::ExitCode;

use mail_order_domain::{Content, ObstacleCode};
use rlimit::Resource;

use super::expansion::Workbook;
use super::{pdf, workbook};

/// Most bytes that are taken from stdin; the parent sends less.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;

/// Why a child gave up by itself, as the parent reads it from the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Document(ObstacleCode),
    Memory,
}

/// Exit code of a child that did not begin: its limits could not be set, or it was called wrongly.
pub(super) const NOT_BEGUN: u8 = 2;

/// Exit codes of a child that gave up.
const EXIT_CODES: [(Failure, u8); 5] = [
    (Failure::Document(ObstacleCode::Unreadable), 10),
    (Failure::Document(ObstacleCode::Encrypted), 11),
    (Failure::Document(ObstacleCode::ExpansionLimit), 12),
    (Failure::Memory, 13),
    (Failure::Document(ObstacleCode::NoText), 14),
];

impl Failure {
    pub(super) fn from_exit_code(code: i32) -> Option<Self> {
        EXIT_CODES.iter().find(|(_, known)| i32::from(*known) == code).map(|(failure, _)| *failure)
    }

    fn exit_code(self) -> ExitCode {
        let known = EXIT_CODES.iter().find(|(failure, _)| *failure == self);
        ExitCode::from(known.map_or(EXIT_CODES[0].1, |(_, code)| *code))
    }
}

/// The whole life of a child: `--format xlsx|ods|pdf --memory-bytes N --cpu-secs N`, where `arguments` are those after
/// the name of the sub-command. Call it before anything else is started: memory that is taken already counts.
pub fn child_main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let Some(task) = Task::parse(arguments) else {
        eprintln!("usage: extract-child --format xlsx|ods|pdf --memory-bytes N --cpu-secs N");
        return ExitCode::from(NOT_BEGUN);
    };
    if let Err(error) = task.limit_yourself() {
        eprintln!("the limits cannot be set: {error}");
        return ExitCode::from(NOT_BEGUN);
    }
    match task.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit_code(),
    }
}

#[derive(Debug, Clone, Copy)]
enum Reader {
    Workbook(Workbook),
    Pdf,
}

#[derive(Debug, Clone, Copy)]
struct Task {
    reader: Reader,
    memory_bytes: u64,
    cpu_secs: u64,
}

impl Task {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Option<Self> {
        let (mut reader, mut memory_bytes, mut cpu_secs) = (None, None, None);
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let value = arguments.next()?;
            match (flag.as_str(), value.as_str()) {
                ("--format", "xlsx") => reader = Some(Reader::Workbook(Workbook::Xlsx)),
                ("--format", "ods") => reader = Some(Reader::Workbook(Workbook::Ods)),
                ("--format", "pdf") => reader = Some(Reader::Pdf),
                ("--memory-bytes", value) => memory_bytes = value.parse().ok(),
                ("--cpu-secs", value) => cpu_secs = value.parse().ok(),
                _ => return None,
            }
        }
        Some(Self { reader: reader?, memory_bytes: memory_bytes?, cpu_secs: cpu_secs? })
    }

    /// No more memory and processor time than given, no core file, nothing written to any file.
    fn limit_yourself(self) -> std::io::Result<()> {
        lower(Resource::AS, self.memory_bytes, 0)?;
        // The soft limit comes with a signal of its own; the hard one is the end.
        lower(Resource::CPU, self.cpu_secs, 1)?;
        lower(Resource::CORE, 0, 0)?;
        lower(Resource::FSIZE, 0, 0)
    }

    fn run(self) -> Result<(), Failure> {
        let unreadable = Failure::Document(ObstacleCode::Unreadable);
        let mut document = Vec::new();
        stdin().take(MAX_INPUT_BYTES).read_to_end(&mut document).map_err(|_| unreadable)?;
        // What a reader's panic says is of no use to anyone; the exit code tells all.
        set_hook(Box::new(|_| {}));
        let contents =
            catch_unwind(|| self.read(&document)).map_err(|panic| meaning_of(panic.as_ref()))??;
        let output = serde_json::to_vec(&contents).map_err(|_| unreadable)?;
        // A parent that closed its end has read enough.
        let _ = stdout().write_all(&output).and_then(|()| stdout().flush());
        Ok(())
    }

    fn read(self, document: &[u8]) -> Result<Vec<Content>, Failure> {
        let contents = match self.reader {
            Reader::Workbook(kind) => workbook::read(document, kind),
            Reader::Pdf => pdf::read(document),
        };
        contents.map_err(Failure::Document)
    }
}

/// Lowers a limit; where somebody already set a lower one, that one stays.
fn lower(resource: Resource, soft: u64, grace: u64) -> std::io::Result<()> {
    let (_, most) = resource.get()?;
    resource.set(soft.min(most), soft.saturating_add(grace).min(most))
}

/// A reader that panics met something it did not expect, or asked for more memory than there can be.
fn meaning_of(panic: &(dyn Any + Send)) -> Failure {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    match text {
        Some("capacity overflow") => Failure::Memory,
        // How the decompressor says that it got no memory to begin with.
        Some(text) if text.contains("MemError") => Failure::Memory,
        _ => Failure::Document(ObstacleCode::Unreadable),
    }
}
