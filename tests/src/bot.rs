//! The mail order bot as its own process: started, killed, asked over its admin API, and looked at through its files.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use mail_order_bot::sources::Maildir;
use runtime::stores::SqliteReader;
use runtime_admin::AdminClient;
use runtime_core::name::QueueName;
use runtime_core::store::{SqlRow, SqlValue};

use crate::{eventually, eventually_within};

/// How long a queue full of mails may take on a busy machine, unoptimised.
const LONG: Duration = Duration::from_mins(5);

/// A folder with everything one bot has: Maildir, data, outgoing replies, configuration.
pub struct BotFolder {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// Tasks of a queue that are neither finished nor parked, and those that are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Scheduled, ready or leased.
    pub moving: u64,
    /// Waiting for a person.
    pub parked: u64,
    /// Finished well.
    pub done: u64,
    /// Finished badly.
    pub dead: u64,
}

impl Depth {
    /// All tasks that ever came.
    pub fn all(self) -> u64 {
        self.moving + self.parked + self.done + self.dead
    }
}

impl BotFolder {
    /// A fresh folder; `mailbox` is the configuration of the one source, in TOML, or nothing for a Maildir.
    pub fn new(program: &str, mailbox: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bot = Self { program: program.into(), folder };
        Maildir::create(bot.path("mail")).expect("a Maildir");
        bot.configure(mailbox);
        bot
    }

    /// Writes the configuration; a running bot has read it already. Replies go into the spool.
    pub fn configure(&self, mailbox: Option<&str>) {
        let spool = format!("kind = \"spool\"\npath = {:?}", self.path("outgoing"));
        self.write_config(mailbox, &spool, "");
    }

    /// The same with replies that leave through a mail server on this machine; `breaker` is the section about the breaker around it.
    pub fn configure_smtp(&self, server: SocketAddr, breaker: &str) {
        let smtp = format!(
            "kind = \"smtp\"\nhost = \"{}\"\nport = {}\ntls = \"none_loopback_only\"",
            server.ip(),
            server.port()
        );
        self.write_config(None, &smtp, breaker);
    }

    fn write_config(&self, mailbox: Option<&str>, transport: &str, breaker: &str) {
        let maildir = format!("kind = \"maildir\"\naccount = \"inbox\"\npath = {:?}", self.path("mail"));
        let text = format!(
            "runtime.data_dir = {:?}\nadmin.listen = \"127.0.0.1:0\"\ntelemetry.log_format = \"text\"\n\
             [app.replies.transport]\n{transport}\n[app.mailboxes.inbox]\n{}\n{breaker}",
            self.path("data"),
            mailbox.unwrap_or(&maildir),
        );
        fs::write(self.path("bot.toml"), text).expect("a configuration file");
    }

    /// Something in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a mail into the Maildir.
    pub fn deliver(&self, raw: &[u8]) {
        Maildir::open(self.path("mail")).and_then(|mail| mail.deliver(raw)).expect("delivered");
    }

    /// Starts the bot; it may still be coming up.
    pub fn start(&self) -> Bot<'_> {
        drop(fs::remove_file(self.path("data/admin.addr")));
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.path("bot.log")).expect("a log file");
        let child = Command::new(&self.program)
            .args(["--config".as_ref(), self.path("bot.toml").as_os_str(), "run".as_ref()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the bot starts");
        Bot { folder: self, child }
    }

    /// What the bot logged, all runs together.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("bot.log")).unwrap_or_default()
    }

    /// Reads the bot's own tables.
    pub async fn query(&self, sql: &str, params: Vec<SqlValue>) -> Vec<SqlRow> {
        let store = SqliteReader::open(&self.path("data/runtime.db")).expect("the store opens");
        store.query_app(sql, params).await.expect("a good query")
    }

    /// One number out of the bot's own tables.
    pub async fn number(&self, sql: &str) -> i64 {
        self.query(sql, Vec::new()).await[0].integer(0).expect("a number")
    }

    /// Mails in a folder of the Maildir, read or not.
    pub fn mails_in(&self, folder: &str) -> usize {
        let root =
            if folder.is_empty() { self.path("mail") } else { self.path("mail").join(format!(".{folder}")) };
        ["new", "cur"].iter().map(|part| files(&root.join(part)).len()).sum()
    }

    /// The Message-IDs that replies in the spool answer.
    pub fn answered(&self) -> Vec<String> {
        let replies = files(&self.path("outgoing/new"));
        let header = |text: String| {
            text.lines()
                .find_map(|line| line.strip_prefix("In-Reply-To: ").map(str::to_owned))
                .unwrap_or_default()
        };
        replies.into_iter().map(|path| header(fs::read_to_string(path).expect("a reply"))).collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let list =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect() };
    list().unwrap_or_default()
}

/// A running bot; killed when dropped.
pub struct Bot<'a> {
    folder: &'a BotFolder,
    child: Child,
}

impl Bot<'_> {
    /// A client of its admin API, as soon as it listens.
    pub async fn client(&mut self) -> AdminClient {
        let file = self.folder.path("data/admin.addr");
        let address = eventually("the admin API listens", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the bot ended with {status}:\n{}", self.folder.log());
            }
            fs::read_to_string(&file).ok().filter(|text| !text.is_empty())
        })
        .await;
        AdminClient::connect(&address).await.expect("the admin API answers")
    }

    /// Waits until a queue is as wanted.
    pub async fn until(
        &self,
        client: &AdminClient,
        queue: &str,
        what: &str,
        wanted: impl Fn(Depth) -> bool,
    ) -> Depth {
        let name = QueueName::new(queue).expect("a name");
        eventually_within(LONG, what, async || {
            let depth = depth(client, &name).await;
            wanted(depth).then_some(depth)
        })
        .await
    }

    /// Kills it on the spot.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    /// Asks it to stop, and waits.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        self.child.wait().expect("reaped")
    }
}

impl Drop for Bot<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn depth(client: &AdminClient, queue: &QueueName) -> Depth {
    match client.queue_stats(queue).await {
        // A queue that never held a task is not known yet.
        Err(_) => Depth::default(),
        Ok(stats) => {
            let counts = stats.counts.unwrap_or_default();
            Depth {
                moving: counts.scheduled + counts.ready + counts.leased,
                parked: counts.parked,
                done: counts.done,
                dead: counts.dead + counts.cancelled,
            }
        }
    }
}

/// An order mail that differs from every other of another number: a known customer, two articles, a Message-ID of its own.
pub fn order_mail(number: usize) -> Vec<u8> {
    let quantity = number % 40 + 1;
    let text = format!(
        "From: Bea Lind <orders@baeckerei-lind.example>\r\nTo: orders@shop.example\r\nSubject: Bestellung {number}\r\n\
         Message-ID: <generated-{number}@mail.example>\r\nDate: Mon, 02 Nov 2026 08:00:00 +0100\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"part\"\r\n\r\n\
         --part\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBitte liefern Sie wie in der Datei. Nr. {number}\r\n\
         --part\r\nContent-Type: text/csv; name=\"bestellung.csv\"\r\n\
         Content-Disposition: attachment; filename=\"bestellung.csv\"\r\n\r\n\
         Artikel;Menge;Einheit\r\nCOF-100;{quantity};Packung\r\nFIL-500;10;Packung\r\n\
         --part--\r\n"
    );
    text.into_bytes()
}
