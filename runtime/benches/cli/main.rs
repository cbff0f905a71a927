//! How long somebody waits who types `runtimectl …`, from the start of the process to its end: `cargo xtask bench cli [--quick]`.
//!
//! ```text
//! spawn ─▶ runtimectl ─▶ (command line, profiles, files) ─▶ connect ─▶ unary call ─▶ print ─▶ end
//! spawn ─▶ true                                                                            ─▶ end
//! spawn ─▶ a process that does nothing else ─▶ connect ─▶ empty call of the same library   ─▶ end
//! ```
//!
//! All are run in turns, against a real tree on loopback, with TLS and without. The lines are those of the specification: help within 20 ms,
//! a list within 50 ms.

mod bare_client;
#[path = "../control/empty.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod empty;
#[path = "../table/product.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod product;
#[path = "../shared/setup.rs"]
mod setup;
#[path = "../control/tls.rs"]
mod tls;
#[path = "../shared/token.rs"]
mod token;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use empty::Empty;
use product::{Product, Work};
use runtime::config::AuthenticationKind;
use runtime::core::control::NodeCommand;
use runtime::telemetry::TelemetryGuard;
use tls::Tls;
use token::first_token;

/// Runs of each command.
const RUNS: [(&str, usize); 2] = [("--quick", 30), ("", 200)];

/// Tasks that are there to be listed.
const TASKS: u64 = 1_000;

/// What help may take, and what a list may.
const HELP: Duration = Duration::from_millis(20);
const LIST: Duration = Duration::from_millis(50);

/// How the server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Token,
    TokenAndTls,
}

impl Door {
    const ALL: [Self; 3] = [Self::Open, Self::Token, Self::TokenAndTls];

    fn label(self) -> &'static str {
        match self {
            Self::Open => "no TLS, no token",
            Self::Token => "no TLS, a token",
            Self::TokenAndTls => "TLS, a token",
        }
    }
}

/// One command that is run again and again.
struct Row {
    label: &'static str,
    /// What it may take; nothing for what is there to compare with.
    line: Option<Duration>,
    command: Box<dyn Fn() -> Command>,
    took: Vec<Duration>,
}

impl Row {
    fn new(label: &'static str, line: Option<Duration>, command: impl Fn() -> Command + 'static) -> Self {
        Self { label, line, command: Box::new(command), took: Vec::new() }
    }

    /// Runs it once and looks at what it says.
    fn rehearse(&self, says: &str) {
        let Output { status, stdout, stderr } = (self.command)().output().expect("it starts");
        let said = String::from_utf8_lossy(&stdout);
        assert!(
            status.success() && said.contains(says),
            "{}: {status}, {said}{}",
            self.label,
            String::from_utf8_lossy(&stderr)
        );
    }

    fn run(&mut self) {
        let mut command = (self.command)();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        let status = command.status().expect("it starts");
        self.took.push(began.elapsed());
        assert!(status.success(), "{}: {status}", self.label);
    }

    fn report(&mut self) {
        self.took.sort_unstable();
        let last = self.took.len() - 1;
        let at = |percent: usize| self.took[(last * percent).div_ceil(100)];
        let (p50, p99) = (at(50), at(99));
        let verdict = match self.line {
            None => String::new(),
            Some(line) => format!("{:>6} {}", line.as_millis(), if p99 <= line { "within" } else { "over" }),
        };
        println!("  {:<40} {:>9.2} {:>9.2}  {verdict}", self.label, ms(p50), ms(p99));
    }
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Runs all of them in turns, so that whatever else goes on meets all alike.
fn measure(title: &str, mut rows: Vec<Row>, runs: usize) {
    for _ in 0..runs {
        rows.iter_mut().for_each(Row::run);
    }
    println!("\n{title:<42} {:>9} {:>9}  {:>6}", "p50 ms", "p99 ms", "line");
    rows.iter_mut().for_each(Row::report);
}

/// The program, as `cargo xtask bench cli` has built it beside this one.
fn runtimectl() -> PathBuf {
    let here = std::env::current_exe().expect("a path");
    let release = here.parent().and_then(Path::parent).expect("deps, in the folder of the profile");
    let program = release.join("runtimectl");
    assert!(program.is_file(), "{}: `cargo xtask bench cli` builds it", program.display());
    program
}

/// A command in an environment that says nothing, not even where profiles are.
fn alone(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

fn without_a_server(program: &Path, runs: usize) {
    let ctl = |label, arguments: &'static [&'static str]| {
        let program = program.to_owned();
        Row::new(label, Some(HELP), move || alone(&program, arguments))
    };
    let rows = vec![
        Row::new("true", None, || alone("true", &[])),
        ctl("runtimectl --version", &["--version"]),
        ctl("runtimectl --help", &["--help"]),
        ctl("runtimectl help task list", &["help", "task", "list"]),
        ctl("runtimectl task list --help", &["task", "list", "--help"]),
        ctl("runtimectl errors RT0051", &["errors", "RT0051"]),
    ];
    for (row, says) in rows.iter().zip(["", "runtimectl ", "Usage:", "Usage:", "Usage:", "changed_meanwhile"])
    {
        row.rehearse(says);
    }
    measure("nobody is asked", rows, runs);
}

/// Everything that a command needs to know of both servers.
#[derive(Clone)]
struct Target {
    program: PathBuf,
    endpoint: String,
    token: Option<String>,
    ca: Option<PathBuf>,
    empty: String,
}

impl Target {
    fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = alone(&self.program, arguments);
        command.env("RUNTIMECTL_ENDPOINT", &self.endpoint);
        command.envs(self.token.iter().map(|token| ("RUNTIMECTL_TOKEN", token)));
        command.envs(self.ca.iter().map(|ca| ("RUNTIMECTL_CA", ca)));
        command
    }

    fn row(&self, label: &'static str, arguments: &'static [&'static str]) -> Row {
        let target = self.clone();
        Row::new(label, Some(LIST), move || target.ctl(arguments))
    }

    /// As bash asks when somebody types `runtimectl queue pause l` and a tabulator.
    fn completion(&self) -> Row {
        let target = self.clone();
        Row::new("completion of a queue's name", Some(LIST), move || {
            let mut command = target.ctl(&["--", "runtimectl", "queue", "pause", "l"]);
            command.env("COMPLETE", "bash").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", "3");
            command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true");
            command
        })
    }

    fn bare(&self) -> Row {
        let target = self.clone();
        Row::new("an empty call, in a process of its own", None, move || {
            bare_client::command(&target.empty, target.ca.as_deref())
        })
    }
}

/// A tree that rests, with tasks to list, and a server that does nothing.
struct Servers {
    product: Product,
    empty: Empty,
    token: Option<String>,
    ca: Option<PathBuf>,
}

impl Servers {
    async fn start(folder: &Path, door: Door, telemetry: &TelemetryGuard) -> Self {
        let tls = (door == Door::TokenAndTls).then(|| Tls::new(folder));
        let mut config = product::config(folder);
        config.admin.tls = tls.as_ref().map(Tls::of_the_product);
        let as_often_as_it_likes = 1_000_000.try_into().expect("not zero");
        config.admin.limits.requests_per_sec = as_often_as_it_likes;
        config.admin.limits.requests_at_once = as_often_as_it_likes;
        let mut token = None;
        if door != Door::Open {
            config.admin.authentication = AuthenticationKind::Required;
            token = Some(first_token(&config).await);
        }
        let product = Product::configured(&config, telemetry, Work::Ledger).await;
        product.steer(NodeCommand::Pause).await;
        product.bulk(TASKS, TASKS).await;
        let ca = tls.as_ref().and_then(|tls| tls.of_its_client().ca);
        Self { product, empty: Empty::serve(tls.as_ref()).await, token, ca }
    }

    fn target(&self, program: &Path) -> Target {
        let empty = self.empty.endpoint(self.ca.is_some());
        Target {
            program: program.to_owned(),
            endpoint: self.product.admin_endpoint(),
            token: self.token.clone(),
            ca: self.ca.clone(),
            empty,
        }
    }
}

fn with_a_server(target: &Target, door: Door, runs: usize) {
    let rows = vec![
        target.bare(),
        target.row("runtimectl info", &["info"]),
        target.row("runtimectl queue list", &["queue", "list"]),
        target.row("runtimectl task list", &["task", "list"]),
        target.row("runtimectl tree", &["tree"]),
        target.completion(),
    ];
    for (row, says) in rows.iter().zip(["", "bench", "ledger", "ledger", "workers", "ledger"]) {
        row.rehearse(says);
    }
    measure(door.label(), rows, runs);
}

fn main() {
    if bare_client::is_asked_for() {
        bare_client::run();
        return;
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (_, runs) = RUNS[usize::from(!quick)];
    let program = runtimectl();
    println!("{runs} runs of each, in turns");
    without_a_server(&program, runs);
    let servers = runtime::control_runtime().expect("threads");
    let telemetry = setup::telemetry();
    for door in Door::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let both = servers.block_on(Servers::start(folder.path(), door, &telemetry));
        with_a_server(&both.target(&program), door, runs);
        servers.block_on(both.product.stop());
    }
    setup::print_load_average();
}
