//! The `runtimectl` program against the same server: what it prints, and what its exit code says.

use std::process::{Command, Output, Stdio};

use runtime_proto::v1::TaskState;
use runtime_tests::ground::{APP, GroundFolder, Job};
use runtime_tests::{PATIENCE, eventually_async};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::world::World;

/// Runs the program; exit code, standard output, standard error.
pub(crate) async fn runtimectl(endpoint: &str, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtimectl_under_test"));
    command.args(args).env("RUNTIMECTL_ENDPOINT", endpoint).env("NO_COLOR", "1");
    let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let Output { status, stdout, stderr } = ended.expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

async fn json(endpoint: &str, args: &[&str]) -> Value {
    let (code, stdout, stderr) = runtimectl(endpoint, &[args, &["-o", "json"]].concat()).await;
    assert_eq!(code, 0, "{args:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error} in {stdout}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_and_steers_what_the_server_has() {
    let world = World::start().await;
    let endpoint = world.endpoint();
    let done = world.enqueue(&Job::plain(1)).await;
    let dead = world.enqueue(&Job { n: 2, rejects: true, ..Job::default() }).await;
    world.until(done, TaskState::Done).await;
    world.until(dead, TaskState::Dead).await;

    assert_eq!(json(&endpoint, &["info"]).await["apps"][0], "apps/ground");
    let tree = json(&endpoint, &["tree"]).await.to_string();
    assert!(tree.contains("nodes/engine/apps/ground/workers/job"), "{tree}");
    let (code, table, _) = runtimectl(&endpoint, &["tree"]).await;
    assert!(code == 0 && table.contains("inbox") && table.contains("job"), "{table}");

    let paused = json(&endpoint, &["node", "pause", "ground/workers/job"]).await;
    assert_eq!(paused["state"], "NODE_STATE_PAUSED", "{paused}");
    let resumed = json(&endpoint, &["node", "resume", "/engine/apps/ground/workers/job"]).await;
    assert_eq!(resumed["state"], "NODE_STATE_RUNNING", "{resumed}");
    let resized = json(&endpoint, &["node", "resize", "ground/workers/job", "3"]).await;
    assert_eq!(resized["slots"]["total"], 3, "{resized}");

    let (code, names, _) =
        runtimectl(&endpoint, &["task", "list", "--filter", "state=dead", "-o", "name"]).await;
    assert_eq!((code, names.trim()), (0, format!("tasks/{dead}").as_str()));
    world.folder().raise(GroundFolder::REPAIRED).expect("a flag");
    let (code, ..) = runtimectl(&endpoint, &["task", "retry", &dead.to_string()]).await;
    assert_eq!(code, 0);
    world.until(dead, TaskState::Done).await;
    let got = json(&endpoint, &["task", "get", &dead.to_string()]).await.to_string();
    assert!(got.contains("TASK_STATE_DONE") && got.contains("reject"), "{got}");

    let asks = world.enqueue(&Job { n: 3, asks: true, ..Job::default() }).await;
    world.until(asks, TaskState::Parked).await;
    let (code, ..) = runtimectl(&endpoint, &["task", "resolve", &asks.to_string(), "--approve"]).await;
    assert_eq!(code, 0);
    world.until(asks, TaskState::Done).await;

    let enqueue = ["task", "enqueue", "job", "--payload", r#"{"n":4}"#, "--key", "4", "-o", "name"];
    let (code, name, stderr) = runtimectl(&endpoint, &enqueue).await;
    assert_eq!(code, 0, "{stderr}");
    world.until(crate::world::id_of(name.trim()), TaskState::Done).await;
    let queues = json(&endpoint, &["queue", "stats", "job"]).await.to_string();
    assert!(queues.contains(r#""done":4"#), "{queues}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_exit_code_says_what_went_wrong() {
    let world = World::start().await;
    let endpoint = world.endpoint();
    let done = world.enqueue(&Job::plain(1)).await;
    world.until(done, TaskState::Done).await;
    for (args, code) in [
        (vec!["overview", "--check"], 0),
        (vec!["node", "bury", "ground/workers/job"], 2),
        (vec!["task", "list", "--filter", "state=asleep"], 2),
        (vec!["node", "get", "ground/workers/nobody"], 3),
        (vec!["node", "stop", "/engine/store", "--reason", "why not"], 4),
        (vec!["task", "retry", &done.to_string()], 4),
        (vec!["--endpoint", "http://127.0.0.1:1", "info"], 6),
    ] {
        let (ended, stdout, stderr) = runtimectl(&endpoint, &args).await;
        assert_eq!(ended, code, "{args:?}: {stdout}{stderr}");
        assert_eq!(stderr.is_empty(), code == 0, "{args:?}: {stderr}");
    }

    world.folder().raise(GroundFolder::UNHEALTHY).expect("a flag");
    let (code, ..) = eventually_async("the check fails", async || {
        Some(runtimectl(&endpoint, &["overview", "--check"]).await).filter(|(code, ..)| *code != 0)
    })
    .await;
    assert_eq!(code, 9);
    let overview = json(&endpoint, &["overview"]).await.to_string();
    assert!(overview.contains("the folder says so") && overview.contains(APP), "{overview}");
    world.stop().await;
}

/// A watch that is under way, and what it prints.
struct Watching {
    child: tokio::process::Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Watching {
    fn start(endpoint: &str, args: &[&str]) -> Self {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_runtimectl_under_test"));
        command.args(args).arg("--watch").env("RUNTIMECTL_ENDPOINT", endpoint).kill_on_drop(true);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// Reads on until a line that fits.
    async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let read = async {
            loop {
                let line = self.lines.next_line().await.expect("text").expect("the watch goes on");
                let line: Value = serde_json::from_str(&line).expect("JSON");
                if fits(&line) {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a line in time")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_prints_what_there_is_and_then_what_happens_to_it() {
    let world = World::start().await;
    let endpoint = world.endpoint();
    let (worker, node) = ("ground/workers/job", "nodes/engine/apps/ground/workers/job");

    let first = world.enqueue(&Job::plain(0)).await;
    world.until(first, TaskState::Done).await;

    let mut nodes = Watching::start(&endpoint, &["node", "list"]);
    nodes.until(|line| line["name"] == node).await;
    let mut queues = Watching::start(&endpoint, &["queue", "list"]);
    queues.until(|line| line["name"] == "queues/job").await;
    let (code, _, stderr) = runtimectl(&endpoint, &["node", "pause", worker]).await;
    assert_eq!(code, 0, "{stderr}");
    let paused = nodes.until(|line| line["resource"] == node).await;
    assert!(paused.to_string().contains("paused"), "{paused}");

    let (code, ..) = runtimectl(&endpoint, &["node", "resume", worker]).await;
    assert_eq!(code, 0);
    let task = world.enqueue(&Job { n: 1, rejects: true, ..Job::default() }).await;
    world.until(task, TaskState::Dead).await;
    // How a queue is follows from how many of its tasks stand where, not from which.
    let died = queues
        .until(|line| line["resource"] == "queues/job" && line["changes"].to_string().contains("dead"))
        .await;
    assert_eq!(died["count"], 1, "{died}");
    assert!(!died.to_string().contains(&task.to_string()), "{died}");
    nodes.child.kill().await.expect("it is there");
    queues.child.kill().await.expect("it is there");
    world.stop().await;
}
