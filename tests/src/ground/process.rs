//! The proving ground from outside: its folders, its processes, their signals and ends.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use runtime_admin::AdminClient;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::GroundFolder;
use crate::wait::{eventually, eventually_async};

/// One proving ground: what its processes have in common, one after another or at a time.
pub struct Ground {
    program: PathBuf,
    dir: TempDir,
}

impl Ground {
    /// An empty one in a folder of its own. `program` is the `proving_ground` binary.
    ///
    /// # Panics
    /// When the system gives no folder.
    pub fn new(program: impl AsRef<Path>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self { program: program.as_ref().to_owned(), dir }
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The outside world.
    pub fn folder(&self) -> GroundFolder {
        GroundFolder::new(&self.path().join("ground"))
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The store's file.
    pub fn store_file(&self) -> PathBuf {
        self.data_dir().join("runtime.db")
    }

    /// The file that says how far the clocks of bare processes are ahead.
    pub fn clock_file(&self) -> PathBuf {
        self.path().join("clock")
    }

    /// Puts the clocks of its bare processes forward.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set_clock_ahead(&self, secs: i64) {
        fs::write(self.clock_file(), secs.to_string()).expect("the clock file");
    }

    /// The settings that every process gets, as arguments.
    pub fn settings(&self) -> Vec<String> {
        let set = |key: &str, value: &str| ["--set".to_owned(), format!("{key}={value}")];
        [
            set("runtime.data_dir", &self.data_dir().to_string_lossy()),
            set("runtime.grace_secs", "10"),
            set("app.folder", &self.path().join("ground").to_string_lossy()),
            set("admin.listen", "127.0.0.1:0"),
            set("work.threads", "2"),
            set("telemetry.log_format", "json"),
        ]
        .concat()
    }

    /// Everything that its processes wrote to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.path().join("log")
    }

    /// A command with the settings, to be given more.
    ///
    /// # Panics
    /// When the log cannot be opened.
    pub fn command(&self, verb: Option<&str>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(verb).args(self.settings()).current_dir(self.path());
        let log: File = OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    /// Starts the app as its user would.
    pub fn start(&self) -> GroundProcess {
        self.start_with(&[] as &[&str], &[])
    }

    /// Starts it with more arguments and variables.
    ///
    /// # Panics
    /// When the system does not start it.
    pub fn start_with(&self, args: &[impl AsRef<OsStr>], variables: &[(&str, String)]) -> GroundProcess {
        // What an instance before it left must not be taken for this one's.
        drop(fs::remove_file(self.admin_file()));
        let mut command = self.command(None);
        command.args(args).envs(variables.iter().map(|(name, value)| (name, value)));
        GroundProcess::spawn(&mut command, self.admin_file())
    }

    /// Starts it bare.
    ///
    /// # Panics
    /// When the system does not start it.
    pub fn start_bare(&self, args: &[impl AsRef<OsStr>]) -> GroundProcess {
        let mut command = self.command(Some("bare"));
        command.args(args);
        GroundProcess::spawn(&mut command, self.admin_file())
    }

    fn admin_file(&self) -> PathBuf {
        runtime::admin_file(&self.data_dir())
    }
}

/// One running process; killed when dropped.
pub struct GroundProcess {
    child: Child,
    admin_file: PathBuf,
}

impl GroundProcess {
    /// Starts a program that writes down where its admin API listens.
    ///
    /// # Panics
    /// When the system does not start it.
    pub fn spawn(command: &mut Command, admin_file: PathBuf) -> Self {
        let child = command.spawn().expect("the program starts");
        Self { child, admin_file }
    }

    /// Where its admin API listens; `None` as long as it does not, or once it has ended.
    ///
    /// # Panics
    /// When the system does not say how the process is.
    pub fn endpoint(&mut self) -> Option<String> {
        if self.has_ended().is_some() {
            return None;
        }
        let address = fs::read_to_string(&self.admin_file).ok()?;
        let has_scheme = address.contains("://") || address.starts_with("unix:");
        let endpoint = if has_scheme { address } else { format!("http://{address}") };
        (endpoint != "http://").then_some(endpoint)
    }

    /// A connection to its admin API, once it listens.
    ///
    /// # Panics
    /// When it does not, or ends before.
    pub async fn client(&mut self) -> AdminClient {
        eventually_async("the admin API listens", async || {
            assert_eq!(self.has_ended(), None, "the process ended before its admin API listened");
            let endpoint = self.endpoint()?;
            Some(AdminClient::connect(&endpoint).await.ok()?.with_reason("a test"))
        })
        .await
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the process is ours")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it goes on.
    pub async fn end(&mut self) -> ExitStatus {
        eventually("the process ends", || self.has_ended()).await
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it held so far, in KiB: the high-water mark of its resident set. `None` once it has ended.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        mark.trim().trim_end_matches("kB").trim().parse().ok()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        // Not reaped yet, so the id is still this process and no other.
        kill_process(pid, signal).expect("the process is there");
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// What the system said.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Asks it to stop, waits, and returns its exit code.
    ///
    /// # Panics
    /// When it goes on, or ends by a signal.
    pub async fn stop(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.end().await.code().expect("it ends by itself")
    }
}

impl Drop for GroundProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.kill());
        }
    }
}
