//! An SMTP server by others (aiosmtpd) that takes every mail and keeps it: where confirmations go when a test sends
//! them for real.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::ports::{free_addrs, greets};
use super::process::ServerProcess;
use super::{PATIENCE, STARTS, ServerError, place};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A private SMTP server without TLS or authentication. A mail that it acknowledged is in [`mails`](Self::mails), also
/// after [`stop`](Self::stop) and [`start_again`](Self::start_again).
pub struct SmtpServer {
    packages: PathBuf,
    root: TempDir,
    addr: SocketAddr,
    /// `None` while it is stopped.
    running: Mutex<Option<ServerProcess>>,
}

impl SmtpServer {
    /// Starts an instance of its own and returns when it answers.
    ///
    /// # Errors
    /// When `RUNTIME_AIOSMTPD` is not set, or the server does not come up; the error then carries what it printed.
    pub async fn start() -> Result<Self, ServerError> {
        let [addr] = free_addrs()?;
        let mut server = Self {
            packages: place("RUNTIME_AIOSMTPD")?,
            root: TempDir::with_prefix("smtp-").map_err(ServerError::io("make a folder"))?,
            addr,
            running: Mutex::new(None),
        };
        for _ in 1..STARTS {
            match server.start_again().await {
                // Most likely its port was taken in between: another then.
                Err(ServerError::NotStarted { .. }) => [server.addr] = free_addrs()?,
                other => return other.map(|()| server),
            }
        }
        server.start_again().await.map(|()| server)
    }

    /// Ends the server, as an outage would.
    ///
    /// # Errors
    /// When it does not end within half a minute; it is killed then.
    pub async fn stop(&self) -> Result<(), ServerError> {
        match self.running.lock().await.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Starts it on the same port with the same mails. A running server is left as it is.
    ///
    /// # Errors
    /// [`ServerError::NotStarted`] with what the server printed.
    pub async fn start_again(&self) -> Result<(), ServerError> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let mut process = self.spawn()?;
            let started = Instant::now();
            while !greets(self.addr, Some("220 ")).await {
                if process.ended()?.is_some() || started.elapsed() > PATIENCE {
                    let said = fs::read_to_string(self.log_file()).unwrap_or_default();
                    return Err(ServerError::NotStarted { server: "aiosmtpd", said });
                }
                sleep(LOOK_EVERY).await;
            }
            *running = Some(process);
        }
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process id, or `None` while the server is stopped.
    pub async fn pid(&self) -> Option<u32> {
        self.running.lock().await.as_ref().map(ServerProcess::pid)
    }

    /// All mails taken so far, in no order, as the server wrote them down: line ends are its own, and it adds the
    /// envelope as `X-MailFrom` and `X-RcptTo`.
    ///
    /// # Errors
    /// When the folder of the mails cannot be read.
    pub fn mails(&self) -> Result<Vec<Vec<u8>>, ServerError> {
        // The server moves a mail here when it is complete, and makes the folder when it starts.
        let taken = self.maildir().join("new");
        let listed = ServerError::io(format!("read {}", taken.display()));
        let read = || -> io::Result<_> { fs::read_dir(&taken)?.map(|file| fs::read(file?.path())).collect() };
        read().map_err(listed)
    }

    /// Waits until at least `count` mails were taken, and returns all.
    ///
    /// # Errors
    /// [`ServerError::Deadline`] with the number there was.
    pub async fn wait_for_mails(
        &self,
        count: usize,
        deadline: Duration,
    ) -> Result<Vec<Vec<u8>>, ServerError> {
        let started = Instant::now();
        loop {
            let mails = self.mails()?;
            if mails.len() >= count {
                return Ok(mails);
            }
            if started.elapsed() > deadline {
                let seen = mails.len().to_string();
                return Err(ServerError::Deadline { waited_for: format!("{count} mails"), deadline, seen });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn spawn(&self) -> Result<ServerProcess, ServerError> {
        let log = fs::File::create(self.log_file()).map_err(ServerError::io("make a log"))?;
        let mut command = Command::new("python3");
        command
            .args(["-m", "aiosmtpd", "--nosetuid", "--listen", &self.addr.to_string()])
            .args(["--class", "aiosmtpd.handlers.Mailbox"])
            .arg(self.maildir())
            .env("PYTHONPATH", &self.packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        ServerProcess::start("aiosmtpd", &mut command)
    }

    fn maildir(&self) -> PathBuf {
        self.path("mails")
    }

    fn log_file(&self) -> PathBuf {
        self.path("log")
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(name)
    }
}
