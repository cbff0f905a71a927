//! The storefront as its own process: configured, started, killed, asked over its APIs, and looked at through its file.

mod counter;

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use runtime::stores::SqliteReader;
use runtime_core::store::{SqlRow, SqlValue};

pub use counter::Counter;

use crate::eventually;
use crate::ground::GroundProcess;

/// A folder with everything one shop has.
pub struct ShopFolder {
    program: PathBuf,
    folder: tempfile::TempDir,
    settings: Vec<String>,
}

impl ShopFolder {
    /// A fresh one. `settings` are lines of its configuration, such as `app.settlements.every = "month"`. The nightly
    /// sweep is off: what is counted here is what requests asked for.
    ///
    /// # Panics
    /// When the system gives no folder.
    pub fn new(program: &str, settings: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shop = Self { program: program.into(), folder, settings: settings.to_vec() };
        let own = format!(
            "runtime.data_dir = {:?}\nadmin.listen = \"127.0.0.1:0\"\ntelemetry.log_format = \"json\"\n\
             app.listen = \"127.0.0.1:0\"\napp.nightly_sweep = false\napp.address_file = {:?}\napp.notifications.spool = {:?}\n",
            shop.path("data"),
            shop.address_file(),
            shop.path("letters"),
        );
        fs::write(shop.path("shop.toml"), own + &shop.settings.join("\n")).expect("a configuration file");
        shop
    }

    /// Something in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the HTTP API's address is written.
    pub fn address_file(&self) -> PathBuf {
        self.path("http.addr")
    }

    /// The program with the folder's configuration and these words.
    ///
    /// # Panics
    /// When the log cannot be opened.
    pub fn command(&self, words: &[&str]) -> Command {
        let log = OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log");
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.path("shop.toml")).args(words).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    /// Starts the program with these words; `run` serves.
    ///
    /// # Panics
    /// When the system does not start it.
    pub fn start(&self, words: &[&str], variables: &[(&str, String)]) -> GroundProcess {
        let admin_file = runtime::admin_file(&self.path("data"));
        // What a process before it left must not be taken for this one's.
        drop(fs::remove_file(&admin_file));
        drop(fs::remove_file(self.address_file()));
        let mut command = self.command(words);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        GroundProcess::spawn(&mut command, admin_file)
    }

    /// Where a shop that was just started takes requests, once it does.
    ///
    /// # Panics
    /// When it does not, or ends before.
    pub async fn address(&self, process: &mut GroundProcess) -> SocketAddr {
        eventually("the shop takes requests", || {
            assert_eq!(process.has_ended(), None, "the shop ended\n{}", self.log());
            fs::read_to_string(self.address_file()).ok()?.parse().ok()
        })
        .await
    }

    /// The letters that left: names of the files in the spool.
    pub fn letters(&self) -> Vec<PathBuf> {
        let list = || -> std::io::Result<Vec<PathBuf>> {
            fs::read_dir(self.path("letters").join("new"))?.map(|file| Ok(file?.path())).collect()
        };
        let mut letters = list().unwrap_or_default();
        letters.sort();
        letters
    }

    /// Everything that its processes wrote to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The store's file.
    pub fn store_file(&self) -> PathBuf {
        self.path("data/runtime.db")
    }

    /// Reads the shop's own tables; its owner may be at work.
    ///
    /// # Panics
    /// When there is no store, or the query is wrong.
    pub async fn query(&self, sql: &str, params: Vec<SqlValue>) -> Vec<SqlRow> {
        let reader = SqliteReader::open(&self.store_file()).expect("the store opens for reading");
        reader.query_app(sql, params).await.expect("the rows are read")
    }

    /// One number out of them; `None` while the tables are not there.
    ///
    /// # Panics
    /// When the answer is no number.
    pub async fn number(&self, sql: &str) -> Option<i64> {
        let file: &Path = &self.store_file();
        let reader = SqliteReader::open(file).ok()?;
        let rows = reader.query_app(sql, Vec::new()).await.ok()?;
        Some(rows[0].integer(0).expect("a number"))
    }
}
