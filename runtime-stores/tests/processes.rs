//! What only real processes can show: killed at any moment, stopped past their lease, without the right to write.
//!
//! Each test starts this very file again in a role (the ignored test at the end) and speaks with it over pipes.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::clock::Clock;
use runtime_core::name::{AppName, HandlerName, InstanceName, QueueName, Route};
use runtime_core::outcome::{Outcome, Settled, Settlement};
use runtime_core::store::{LeaseAsk, StoreError, TaskReader, TaskStore};
use runtime_core::task::{LeasedTask, NewTask, TaskId, TaskState};
use runtime_stores::{SqliteOptions, SqliteStore, SystemClock};
use rustix::process::{Pid, Signal, geteuid, kill_process};

const LEASE: Duration = Duration::from_secs(30);
const ROLE: &str = "STORE_TEST_ROLE";
const PLACE: &str = "STORE_TEST_FOLDER";
const NOBODY: u32 = 65_534;

fn options(folder: &Path, clock: Arc<dyn Clock>) -> SqliteOptions {
    SqliteOptions::new(folder.join("store.db"), InstanceName::new("one").unwrap(), clock)
}

fn task() -> NewTask {
    let route = Route {
        app: AppName::new("shop").unwrap(),
        queue: QueueName::new("work").unwrap(),
        handler: HandlerName::new("handle").unwrap(),
    };
    NewTask::new(Arc::new(route), b"{}".to_vec())
}

async fn lease(store: &SqliteStore, up_to: usize) -> Vec<LeasedTask> {
    let (queue, instance) = (QueueName::new("work").unwrap(), InstanceName::new("one").unwrap());
    store.lease(LeaseAsk { queue, instance, up_to, lease_for: LEASE, task: None }).await.unwrap()
}

async fn settle(store: &SqliteStore, leased: &[LeasedTask]) -> Vec<Settled> {
    let done = |leased: &LeasedTask| Settlement {
        lease: leased.lease,
        outcome: Outcome::Done { output: b"{}".to_vec() },
        with: None,
        node: None,
        started_at: leased.task.created_at,
        took: Duration::ZERO,
        trace: None,
    };
    store.settle(Arc::new(leased.iter().map(done).collect())).await.unwrap()
}

fn start(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "role", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(PLACE, folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

fn lines(child: &mut Child) -> std::io::Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

/// What follows this word on the next line that has it.
fn hear(lines: &mut std::io::Lines<BufReader<ChildStdout>>, word: &str) -> String {
    lines
        .map(Result::unwrap)
        .find_map(|line| line.split_once(word).map(|(_, rest)| rest.trim().to_owned()))
        .unwrap()
}

/// What was acknowledged, as the pipe tells it. A line cut off by the kill counts for nothing.
#[derive(Default)]
struct Acknowledged {
    enqueued: HashSet<TaskId>,
    settled: HashSet<TaskId>,
}

impl Acknowledged {
    fn note(&mut self, line: &str) {
        let Some(line) = line.strip_suffix(" .") else { return };
        let mut words = line.split(' ');
        let place = match words.next() {
            Some("enqueued") => &mut self.enqueued,
            Some("settled") => &mut self.settled,
            _ => return,
        };
        place.extend(words.map(|id| id.parse::<TaskId>().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let seed = std::env::var("STORE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut random: u64 = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("STORE_TEST_SEED={random}");
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for round in 0..12 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = start("work", folder.path()).spawn().unwrap();
        let mut lines = lines(&mut child);
        hear(&mut lines, "ready");
        let acknowledgements = (random >> 33) % 120 + 1;
        for _ in 0..acknowledgements {
            acknowledged.note(&lines.next().unwrap().unwrap());
        }
        child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            acknowledged.note(&line);
        }
        child.wait().unwrap();

        let store = SqliteStore::open(options(folder.path(), Arc::new(SystemClock))).unwrap();
        for ids in acknowledged.enqueued.iter().copied().collect::<Vec<_>>().chunks(1_000) {
            let found = store.get(ids.to_vec()).await.unwrap();
            for (id, task) in ids.iter().zip(found) {
                let task =
                    task.unwrap_or_else(|| panic!("round {round}: task {id} was acknowledged and is lost"));
                let settled = acknowledged.settled.contains(id);
                assert!(
                    !settled || task.state == TaskState::Done,
                    "round {round}: {id} was settled, is {}",
                    task.state
                );
                assert_ne!(task.state, TaskState::Leased, "round {round}: {id} is held by a dead process");
            }
        }
        store.close().await.unwrap();
    }
    assert!(!acknowledged.settled.is_empty() && acknowledged.enqueued.len() > acknowledged.settled.len() / 2);
}

/// Time that a file tells, so that two processes share it.
struct FileClock(PathBuf);

impl FileClock {
    fn set(&self, millis: i64) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, millis.to_string()).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }
}

impl Clock for FileClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(std::fs::read_to_string(&self.0).unwrap().parse().unwrap()).unwrap()
    }
}

fn shared(folder: &Path) -> SqliteOptions {
    options(folder, Arc::new(FileClock(folder.join("clock")))).owner_lock(false)
}

/// A process is stopped while it holds a lease, outlives it, and settles late. Returns what it was told, and where the task stands.
async fn a_zombie_settles(role: &str) -> (String, TaskState) {
    let folder = tempfile::tempdir().unwrap();
    let clock = FileClock(folder.path().join("clock"));
    clock.set(1_790_000_000_000);
    let store = SqliteStore::open(shared(folder.path())).unwrap();
    let id = store.enqueue(vec![task()]).await.unwrap().remove(0).unwrap().id();

    let mut zombie = start(role, folder.path()).spawn().unwrap();
    let mut lines = lines(&mut zombie);
    hear(&mut lines, "leased");
    let pid = Pid::from_child(&zombie);
    kill_process(pid, Signal::STOP).unwrap();

    clock.set(1_790_000_000_000 + 30_000);
    assert_eq!(store.sweep().await.unwrap().expired_leases, 1);
    let live = lease(&store, 1).await;
    assert_eq!(live.len(), 1);
    writeln!(zombie.stdin.as_mut().unwrap(), "settle").unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    let told = hear(&mut lines, "told");
    lines.for_each(drop);
    assert!(zombie.wait().unwrap().success());
    let state = store.get(vec![id]).await.unwrap().remove(0).unwrap().state;
    (told, state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_that_outlives_its_lease_is_refused() {
    assert_eq!(a_zombie_settles("zombie").await, ("Stale".to_owned(), TaskState::Leased));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_epoch_check_the_zombie_would_win() {
    let (told, state) = a_zombie_settles("broken zombie").await;
    assert!(told.starts_with("Applied") && state == TaskState::Done, "{told} {state}");
}

/// How a process without the right to write fares in this folder.
fn open_without_rights(folder: &Path) -> String {
    let mut command = start("open", folder);
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().unwrap();
    let mut lines = lines(&mut child);
    let told = hear(&mut lines, "told");
    lines.for_each(drop);
    child.wait().unwrap();
    told
}

fn permit(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_or_file_that_may_not_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    permit(folder.path(), 0o555);
    let told = open_without_rights(folder.path());
    assert!(told.contains("ReadOnly"), "no file, folder read-only: {told}");
    permit(folder.path(), 0o755);

    let store = SqliteStore::open(options(folder.path(), Arc::new(SystemClock))).unwrap();
    store.enqueue(vec![task()]).await.unwrap();
    store.close().await.unwrap();
    let file = folder.path().join("store.db");
    let before = std::fs::read(&file).unwrap();

    permit(&folder.path().join("store.db.lock"), 0o666);
    permit(&file, 0o444);
    permit(folder.path(), 0o777);
    let told = open_without_rights(folder.path());
    assert!(told.contains("ReadOnly"), "file read-only: {told}");
    assert_eq!(std::fs::read(&file).unwrap(), before);

    permit(folder.path(), 0o755);
    permit(&file, 0o644);
    let store = SqliteStore::open(options(folder.path(), Arc::new(SystemClock)))
        .expect("opens once it may be written");
    assert_eq!(store.queue_stats().await.unwrap()[0].counts.of(TaskState::Ready), 1);
}

fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{words}").and_then(|()| out.flush()).expect("somebody listens");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a role that the other tests start as a process of its own"]
async fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let folder = PathBuf::from(std::env::var(PLACE).unwrap());
    match role.as_str() {
        "work" => work(&folder).await,
        "zombie" => haunt(shared(&folder)).await,
        "broken zombie" => {
            let mut options = shared(&folder);
            options.break_epoch_check = true;
            haunt(options).await;
        }
        "open" => {
            let opened = SqliteStore::open(options(&folder, Arc::new(SystemClock))).map(|_| "opened");
            assert!(!matches!(opened, Err(StoreError::Owned { .. })));
            say(&format!("told {opened:?}"));
        }
        other => panic!("no role {other}"),
    }
}

/// Enqueues and settles until killed, and says what was acknowledged.
async fn work(folder: &Path) {
    let store = SqliteStore::open(options(folder, Arc::new(SystemClock))).unwrap();
    say("\nready");
    for size in [1, 1, 3, 20] {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let answers = store.enqueue(vec![task(); size]).await.unwrap();
                let ids: Vec<String> =
                    answers.into_iter().map(|answer| answer.unwrap().id().to_string()).collect();
                say(&format!("enqueued {} .", ids.join(" ")));
            }
        });
    }
    loop {
        let leased = lease(&store, 25).await;
        let settled = settle(&store, &leased).await;
        let applied =
            leased.iter().zip(settled).filter(|(_, settled)| matches!(settled, Settled::Applied { .. }));
        let ids: Vec<String> = applied.map(|(leased, _)| leased.lease.task.to_string()).collect();
        if ids.is_empty() {
            tokio::task::yield_now().await;
        } else {
            say(&format!("settled {} .", ids.join(" ")));
        }
    }
}

/// Leases, waits to be told, settles.
async fn haunt(options: SqliteOptions) {
    let store = SqliteStore::open(options).unwrap();
    let leased = lease(&store, 1).await;
    say("\nleased");
    let mut told = String::new();
    std::io::stdin().read_line(&mut told).unwrap();
    let settled = settle(&store, &leased).await.remove(0);
    say(&format!("told {settled:?}"));
}
