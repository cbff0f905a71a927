//! Dovecot: the mail server behind IMAP, IMAPS and LMTP.

mod config;
mod lmtp;
mod tls;

use std::fs::{self, File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::ports::{free_addrs, greets};
use super::process::ServerProcess;
use super::{PATIENCE, STARTS, ServerError, place};
use config::{Account, Addrs};

/// Between two attempts to reach a server that is starting.
const KNOCK_EVERY: Duration = Duration::from_millis(10);

/// A private Dovecot. Every user name exists and logs in with [`Dovecot::PASSWORD`]; each has the mailboxes `INBOX`,
/// `Processed` and `Failed`. Mail survives [`stop`](Self::stop) and [`start_again`](Self::start_again), and is gone
/// with the value; dropping it blocks for about a second, which is how long Dovecot takes to end.
///
/// At most ten sessions at a time per user: that is Dovecot's default, and so what a user has.
pub struct Dovecot {
    dovecot: PathBuf,
    doveadm: PathBuf,
    account: Account,
    root: TempDir,
    addrs: Addrs,
    ca_pem: String,
    /// `None` while it is stopped.
    running: Mutex<Option<ServerProcess>>,
}

impl Dovecot {
    /// The password of every user.
    pub const PASSWORD: &str = config::PASSWORD;

    /// Starts an instance of its own and returns when IMAP, IMAPS and LMTP answer.
    ///
    /// # Errors
    /// When `RUNTIME_DOVECOT` or `RUNTIME_DOVEADM` is not set, or the server does not come up; the error then carries
    /// its log.
    pub async fn start() -> Result<Self, ServerError> {
        let mut server = Self::prepare()?;
        for _ in 1..STARTS {
            match server.start_again().await {
                // Most likely one of its ports was taken in between: others then.
                Err(ServerError::NotStarted { .. }) => server.take_addrs()?,
                other => return other.map(|()| server),
            }
        }
        server.start_again().await.map(|()| server)
    }

    /// Ends the server, with all its sessions, as an outage would.
    ///
    /// # Errors
    /// When it does not end within half a minute; it is killed then.
    pub async fn stop(&self) -> Result<(), ServerError> {
        match self.running.lock().await.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Starts it on the same ports with the same mail. A running server is left as it is.
    ///
    /// # Errors
    /// [`ServerError::NotStarted`] with the server's log.
    pub async fn start_again(&self) -> Result<(), ServerError> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let mut process = self.spawn()?;
            self.answers(&mut process).await?;
            *running = Some(process);
        }
        Ok(())
    }

    /// Ends it and starts it again on the same ports with the same mail.
    ///
    /// # Errors
    /// Those of [`stop`](Self::stop) and [`start_again`](Self::start_again).
    pub async fn restart(&self) -> Result<(), ServerError> {
        self.stop().await?;
        self.start_again().await
    }

    /// Where IMAP is, without TLS.
    #[must_use]
    pub fn imap_addr(&self) -> SocketAddr {
        self.addrs.imap
    }

    /// Where IMAP over TLS is. Its certificate is for `localhost` and `127.0.0.1`, signed by [`ca_pem`](Self::ca_pem).
    #[must_use]
    pub fn imaps_addr(&self) -> SocketAddr {
        self.addrs.imaps
    }

    /// Where LMTP is.
    #[must_use]
    pub fn lmtp_addr(&self) -> SocketAddr {
        self.addrs.lmtp
    }

    /// The certificate of the authority that signed the server's certificate, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A file with [`ca_pem`](Self::ca_pem), for whoever is configured with a path.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.path("tls/ca.pem")
    }

    /// The process id of the master process, or `None` while the server is stopped.
    pub async fn pid(&self) -> Option<u32> {
        self.running.lock().await.as_ref().map(ServerProcess::pid)
    }

    /// Delivers a raw mail to a user's `INBOX` by LMTP. When it returns, the server has the mail on disk.
    ///
    /// # Errors
    /// When the server refuses the mail or cannot be reached. After a broken connection the mail may have been
    /// delivered all the same, as with any peer.
    pub async fn deliver_lmtp(&self, user: &str, raw: &[u8]) -> Result<(), ServerError> {
        lmtp::deliver(self.addrs.lmtp, user, raw).await
    }

    /// How many mails a mailbox holds, whatever their flags.
    ///
    /// # Errors
    /// When there is no such mailbox, or the server is stopped.
    pub async fn count(&self, user: &str, mailbox: &str) -> Result<usize, ServerError> {
        let answer = self.doveadm(&["mailbox", "status", "-u", user, "messages", mailbox]).await?;
        messages(&answer)
            .ok_or_else(|| ServerError::Refused { asked: format!("messages in {mailbox}"), answer })
    }

    /// Ends a user's sessions, as an administrator would: a client in IDLE reads `* BYE` and the end of the stream.
    /// Tells whether there was a session to end.
    ///
    /// # Errors
    /// When the server is stopped.
    pub async fn kick(&self, user: &str) -> Result<bool, ServerError> {
        match self.doveadm(&["kick", user]).await {
            Ok(_) => Ok(true),
            Err(ServerError::Refused { answer, .. }) if answer.contains("no users kicked") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a mailbox another UIDVALIDITY, as a restore from a backup does: all UIDs that a client knows are void.
    ///
    /// # Errors
    /// When there is no such mailbox, or the server is stopped.
    pub async fn set_uid_validity(&self, user: &str, mailbox: &str, value: u32) -> Result<(), ServerError> {
        self.doveadm(&["mailbox", "update", "-u", user, "--uid-validity", &value.to_string(), mailbox])
            .await
            .map(drop)
    }

    /// Runs a `doveadm` command on this instance and returns what it prints.
    ///
    /// # Errors
    /// [`ServerError::Refused`] with what it says, when it ends with a failure.
    pub async fn doveadm(&self, args: &[&str]) -> Result<String, ServerError> {
        let mut command = tokio::process::Command::new(&self.doveadm);
        command.arg("-c").arg(self.config_file()).args(args).stdin(Stdio::null()).kill_on_drop(true);
        let asked = format!("doveadm {}", args.join(" "));
        let output = match timeout(PATIENCE, command.output()).await {
            Ok(output) => output.map_err(ServerError::io(asked.as_str()))?,
            Err(_) => {
                return Err(ServerError::Deadline {
                    waited_for: asked,
                    deadline: PATIENCE,
                    seen: self.log(),
                });
            }
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        Err(ServerError::Refused { asked, answer: said + &String::from_utf8_lossy(&output.stderr) })
    }

    /// What the server wrote to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        ["log/start.log", "log/dovecot.log"]
            .map(|log| fs::read_to_string(self.path(log)).unwrap_or_default())
            .concat()
    }

    /// Lays out the folder of an instance that has not been started.
    fn prepare() -> Result<Self, ServerError> {
        let root = TempDir::with_prefix("dovecot-").map_err(ServerError::io("make a folder"))?;
        let account = account(root.path())?;
        let certificates = tls::Certificates::for_loopback()?;
        let mut server = Self {
            dovecot: place("RUNTIME_DOVECOT")?,
            doveadm: place("RUNTIME_DOVEADM")?,
            account,
            root,
            addrs: Addrs::some()?,
            ca_pem: certificates.ca_pem,
            running: Mutex::new(None),
        };

        let made = ServerError::io("lay out the folder of dovecot");
        let lay_out = || {
            // The server's processes run as several users, all of which have to get through.
            fs::set_permissions(server.root.path(), Permissions::from_mode(0o755))?;
            for folder in ["run", "state", "log", "tls", "mail"] {
                fs::create_dir(server.path(folder))?;
            }
            fs::write(server.path("tls/ca.pem"), &server.ca_pem)?;
            fs::write(server.path("tls/cert.pem"), &certificates.cert_pem)?;
            fs::write(server.path("tls/key.pem"), &certificates.key_pem)?;
            match server.account {
                Account::Root => chown(server.path("mail"), Some(config::NOBODY), Some(config::NOBODY)),
                Account::User { .. } => Ok(()),
            }
        };
        lay_out().map_err(made)?;
        server.take_addrs()?;
        Ok(server)
    }

    fn take_addrs(&mut self) -> Result<(), ServerError> {
        self.addrs = Addrs::some()?;
        let text = config::text(self.root.path(), &self.addrs, &self.account);
        fs::write(self.config_file(), text).map_err(ServerError::io("write the configuration of dovecot"))
    }

    fn spawn(&self) -> Result<ServerProcess, ServerError> {
        let log = File::create(self.path("log/start.log")).map_err(ServerError::io("make a log"))?;
        let mut command = Command::new(&self.dovecot);
        command.arg("-F").arg("-c").arg(self.config_file());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        ServerProcess::start("dovecot", &mut command)
    }

    /// Returns when all three doors answer.
    async fn answers(&self, process: &mut ServerProcess) -> Result<(), ServerError> {
        let started = Instant::now();
        for (addr, greeting) in
            [(self.addrs.lmtp, Some("220 ")), (self.addrs.imap, Some("* OK")), (self.addrs.imaps, None)]
        {
            while !greets(addr, greeting).await {
                if process.ended()?.is_some() || started.elapsed() > PATIENCE {
                    return Err(ServerError::NotStarted { server: "dovecot", said: self.log() });
                }
                sleep(KNOCK_EVERY).await;
            }
        }
        Ok(())
    }

    fn config_file(&self) -> PathBuf {
        self.path("dovecot.conf")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

impl Addrs {
    fn some() -> Result<Self, ServerError> {
        free_addrs().map(|[imap, imaps, lmtp]| Self { imap, imaps, lmtp })
    }
}

/// Root's processes change to users of their own; anybody else runs everything as oneself.
fn account(own_folder: &Path) -> Result<Account, ServerError> {
    let whoami = ServerError::io("see who runs the tests");
    if fs::metadata(own_folder).map_err(whoami)?.uid() == 0 {
        return Ok(Account::Root);
    }
    let name = |flag| -> Result<String, ServerError> {
        let output = Command::new("id").arg(flag).output().map_err(ServerError::io("id"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Ok(Account::User { user: name("-un")?, group: name("-gn")? })
}

/// The number in `INBOX messages=3`.
fn messages(status: &str) -> Option<usize> {
    status
        .split_whitespace()
        .find_map(|word| word.strip_prefix("messages="))
        .and_then(|number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::messages;

    #[test]
    fn the_count_is_read_from_the_status() {
        assert_eq!(messages("INBOX messages=3\n"), Some(3));
        assert_eq!(messages("In box messages=12 "), Some(12));
        assert_eq!(messages("INBOX messages=\n"), None);
        assert_eq!(messages(""), None);
    }
}
