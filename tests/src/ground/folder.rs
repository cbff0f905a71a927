//! The outside world of the proving ground: a folder that test and app both see, in one process or in two.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime_core::task::Lease;
use serde::Serialize;

/// Between two looks at a gate.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where an attempt waits until a test lets it go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Before the handler does anything.
    Begin,
    /// Within the keyed call: it was made, its answer is still out.
    Call,
}

impl Gate {
    fn name(self, number: u64, epoch: u64) -> String {
        match self {
            Self::Begin => format!("begin.{number}.{epoch}"),
            Self::Call => format!("call.{number}.{epoch}"),
        }
    }
}

/// The folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GroundFolder(PathBuf);

impl GroundFolder {
    /// Flag: the app's health reporter finds it unhealthy.
    pub const UNHEALTHY: &'static str = "unhealthy";
    /// Flag: what rejected its input before takes it now.
    pub const REPAIRED: &'static str = "repaired";

    /// The folder at this path; it is made when something is put into it.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A folder within, which exists afterwards.
    pub(crate) fn part(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Whether a flag is up.
    pub fn is_raised(&self, flag: &str) -> bool {
        self.0.join("flags").join(flag).exists()
    }

    /// Puts a flag up.
    ///
    /// # Errors
    /// What the system said.
    pub fn raise(&self, flag: &str) -> io::Result<()> {
        File::create(self.part("flags")?.join(flag)).map(drop)
    }

    /// Takes a flag down.
    ///
    /// # Errors
    /// What the system said.
    pub fn lower(&self, flag: &str) -> io::Result<()> {
        fs::remove_file(self.part("flags")?.join(flag))
    }

    /// Says that an attempt has come to a gate, and waits there until it is opened.
    pub(crate) async fn wait_at(&self, gate: Gate, number: u64, lease: Lease) -> io::Result<()> {
        let name = gate.name(number, lease.epoch.0);
        File::create(self.part("reached")?.join(&name))?;
        let gate = self.part("gates")?.join(&name);
        while !gate.exists() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Whether the attempt of this job under this epoch waits at a gate, or has waited there.
    pub fn has_reached(&self, gate: Gate, number: u64, epoch: u64) -> bool {
        self.0.join("reached").join(gate.name(number, epoch)).exists()
    }

    /// Lets the attempt of this job under this epoch go on.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(&self, gate: Gate, number: u64, epoch: u64) -> io::Result<()> {
        File::create(self.part("gates")?.join(gate.name(number, epoch))).map(drop)
    }

    /// A peer that knows no keys: what is asked of it is done.
    pub(crate) fn send(&self, number: u64) -> io::Result<()> {
        self.append("sent.log", number)
    }

    /// Numbers that were sent, in order.
    ///
    /// # Errors
    /// What the system said.
    pub fn sent(&self) -> io::Result<Vec<u64>> {
        self.numbers("sent.log")
    }

    /// A peer that enforces our key: the second call with one key changes nothing. `calls.log` has all calls.
    pub(crate) fn stamp(&self, key: &str, number: u64) -> io::Result<()> {
        self.append("calls.log", number)?;
        let stamp = self.part("stamps")?.join(key.replace('/', "_"));
        match OpenOptions::new().write(true).create_new(true).open(stamp) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Numbers that the keyed peer was called with, in order.
    ///
    /// # Errors
    /// What the system said.
    pub fn calls(&self) -> io::Result<Vec<u64>> {
        self.numbers("calls.log")
    }

    /// How many stamps there are.
    ///
    /// # Errors
    /// What the system said.
    pub fn stamps(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.part("stamps")?)?.count())
    }

    /// Puts a job where the source finds it, whole or not at all.
    ///
    /// # Errors
    /// What the system said.
    pub fn put_into_inbox(&self, name: &str, job: &impl Serialize) -> io::Result<()> {
        let draft = self.part("drafts")?.join(name);
        fs::write(&draft, serde_json::to_vec(job)?)?;
        fs::rename(draft, self.part("inbox")?.join(name))
    }

    /// Names of the files in one part of the folder (`inbox`, `outbox`, `failed`), sorted.
    ///
    /// # Errors
    /// What the system said.
    pub fn names_in(&self, part: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.part(part)?)?;
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// One write, so that a crash leaves a whole line or none.
    fn append(&self, log: &str, number: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.0.join(log))?;
        file.write_all(format!("{number}\n").as_bytes())
    }

    fn numbers(&self, log: &str) -> io::Result<Vec<u64>> {
        match fs::read_to_string(self.0.join(log)) {
            Ok(text) => Ok(text.lines().map(|line| line.parse().expect("a number a line")).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
