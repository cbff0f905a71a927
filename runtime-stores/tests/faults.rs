//! What goes wrong outside: each a clear error, nothing lost, work goes on when the cause is gone.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use runtime_core::name::{AppName, HandlerName, InstanceName, QueueName, Route};
use runtime_core::outcome::{Outcome, Settled, Settlement};
use runtime_core::store::{LeaseAsk, Store, StoreError, TaskFilter, TaskReader, TaskStore};
use runtime_core::task::{NewTask, TaskState};
use runtime_stores::suite::{Backend, ManualClock, Setup, run_case};
use runtime_stores::{Retention, SqliteOptions, SqliteStore};
use std::time::Duration;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the store")
}

fn instance(name: &str) -> InstanceName {
    InstanceName::new(name).unwrap()
}

fn options(folder: &Path) -> SqliteOptions {
    SqliteOptions::new(folder.join("store.db"), instance("one"), Arc::new(ManualClock::new()))
}

fn task(payload: Vec<u8>) -> NewTask {
    let route = Route {
        app: AppName::new("shop").unwrap(),
        queue: QueueName::new("work").unwrap(),
        handler: HandlerName::new("handle").unwrap(),
    };
    NewTask::new(Arc::new(route), payload)
}

async fn put(store: &SqliteStore, payload: Vec<u8>) -> Result<(), StoreError> {
    store.enqueue(vec![task(payload)]).await.map(|mut answers| {
        answers.remove(0).expect("the queue is not full");
    })
}

async fn finish(store: &SqliteStore, up_to: usize) -> usize {
    let queue = QueueName::new("work").unwrap();
    let ask =
        LeaseAsk { queue, instance: instance("one"), up_to, lease_for: Duration::from_secs(30), task: None };
    let leased = store.lease(ask).await.unwrap();
    let settlements: Vec<Settlement> = leased
        .iter()
        .map(|leased| Settlement {
            lease: leased.lease,
            outcome: Outcome::Done { output: b"{}".to_vec() },
            with: None,
            node: None,
            started_at: leased.task.created_at,
            took: Duration::ZERO,
            trace: None,
        })
        .collect();
    let settled = store.settle(Arc::new(settlements)).await.unwrap();
    settled.iter().filter(|settled| matches!(settled, Settled::Applied { .. })).count()
}

async fn count(store: &SqliteStore, state: TaskState) -> u64 {
    store.queue_stats().await.unwrap().first().map_or(0, |stats| stats.counts.of(state))
}

/// What a reader finds, not what the writer counts.
async fn rows(store: &SqliteStore, state: TaskState) -> u64 {
    let filter = TaskFilter { states: vec![state], ..TaskFilter::default() };
    let (mut found, mut after) = (0, None);
    loop {
        let page = store.list(filter.clone(), after, 1_000).await.unwrap();
        found += page.tasks.len() as u64;
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

async fn fill_up(store: &SqliteStore) -> u64 {
    let mut taken = 0;
    loop {
        match put(store, vec![b'1'; 2_000]).await {
            Ok(()) => taken += 1,
            Err(error) => {
                assert_eq!(error, StoreError::Full);
                return taken;
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_full_and_works_again_when_history_is_forgotten() {
    let folder = folder();
    let clock = Arc::new(ManualClock::new());
    let mut options = SqliteOptions::new(folder.path().join("store.db"), instance("one"), clock.clone());
    options.max_bytes = Some(2 * 1024 * 1024);
    options.limits.max_payload_bytes = 64 * 1024;
    options.retention = Retention { keep_finished_for: Duration::from_secs(60), ..Retention::default() };
    let store = SqliteStore::open(options).unwrap();
    for _ in 0..200 {
        put(&store, vec![b'1'; 2_000]).await.unwrap();
    }
    assert_eq!(finish(&store, 200).await, 200);

    let taken = fill_up(&store).await;
    assert!(taken > 0);
    assert_eq!((count(&store, TaskState::Ready).await, rows(&store, TaskState::Ready).await), (taken, taken));
    let together = join_all((0..5).map(|_| put(&store, vec![b'1'; 2_000]))).await;
    assert!(
        together.iter().all(|answer| *answer == Err(StoreError::Full)),
        "every member of the group hears it"
    );
    assert_eq!(store.sweep().await.unwrap_err(), StoreError::Full, "and whoever looks after the store");

    clock.advance(Duration::from_secs(60));
    assert_eq!(store.sweep().await.unwrap().forgotten, 200);
    put(&store, vec![b'1'; 2_000]).await.unwrap();
    assert_eq!(
        (count(&store, TaskState::Ready).await, rows(&store, TaskState::Ready).await),
        (taken + 1, taken + 1)
    );
}

/// A file system of its own size; unmounted when dropped. `None` where this process may not mount.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        let disk = folder();
        let options = format!("size={size}");
        let path = disk.path().to_str()?;
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", path]).then_some(Self(disk))
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(run("mount", &["-o", &options, self.0.path().to_str().unwrap()]), "a mounted disk can grow");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.path().to_str().unwrap_or_default()]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    std::process::Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_work_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::new("2m") else {
        println!("skipped: this process may not mount a file system");
        return;
    };
    let store = SqliteStore::open(options(disk.0.path())).unwrap();
    let taken = fill_up(&store).await;
    assert!(taken > 0);
    assert_eq!(count(&store, TaskState::Ready).await, taken);
    disk.grow("32m");
    assert_eq!(rows(&store, TaskState::Ready).await, taken, "what was acknowledged is there");
    put(&store, vec![b'1'; 2_000]).await.unwrap();
    assert_eq!(finish(&store, 10).await, 10);
    store.close().await.unwrap();
    drop(store);
    let store = SqliteStore::open(options(disk.0.path())).unwrap();
    assert_eq!((rows(&store, TaskState::Ready).await, rows(&store, TaskState::Done).await), (taken - 9, 10));
}

#[tokio::test]
async fn a_second_owner_is_refused_until_the_first_is_gone() {
    let folder = folder();
    let first = SqliteStore::open(options(folder.path())).unwrap();
    let mut second = options(folder.path());
    second.instance = instance("two");
    let Err(StoreError::Owned { owner }) = SqliteStore::open(second.clone()) else {
        panic!("must be refused")
    };
    assert!(owner.contains("one") && owner.contains(&std::process::id().to_string()), "{owner}");
    put(&first, b"{}".to_vec()).await.unwrap();
    first.close().await.unwrap();
    let second = SqliteStore::open(second).expect("a closed store can be opened although its handle lives");
    assert_eq!(rows(&second, TaskState::Ready).await, 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_file_stays_as_it_is() {
    let folder = folder();
    let path = folder.path().join("store.db");
    SqliteStore::open(options(folder.path())).unwrap().close().await.unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let before = std::fs::read(&path).unwrap();
    let refused = SqliteStore::open(options(folder.path())).unwrap_err();
    assert!(matches!(refused, StoreError::TooNew { found: 99, .. }), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn damage_is_noticed_at_open() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let corrupt = |options: SqliteOptions| match SqliteStore::open(options) {
        Err(StoreError::Corrupt { detail }) => detail,
        other => panic!("{other:?}"),
    };
    std::fs::write(
        &path,
        b"this is no database, but it is long enough to look like one to a careless reader",
    )
    .unwrap();
    corrupt(options(folder.path()));
    std::fs::remove_file(&path).unwrap();

    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (id INTEGER)").unwrap();
    assert!(corrupt(options(folder.path())).contains("something else"));
    std::fs::remove_file(&path).unwrap();

    let store = SqliteStore::open(options(folder.path())).unwrap();
    for _ in 0..200 {
        put(&store, vec![b'1'; 2_000]).await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 8192 * 4096;
    bytes[middle..middle + 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    corrupt(options(folder.path()));
}

#[tokio::test]
async fn damage_met_at_work_is_named_and_changes_nothing() {
    let folder = folder();
    let store = SqliteStore::open(options(folder.path())).unwrap();
    put(&store, b"{}".to_vec()).await.unwrap();
    // What no release wrote: a route that does not exist.
    let conn = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    conn.execute("UPDATE rt_task SET route = 77", []).unwrap();
    let queue = QueueName::new("work").unwrap();
    let ask = LeaseAsk {
        queue,
        instance: instance("one"),
        up_to: 1,
        lease_for: Duration::from_secs(30),
        task: None,
    };
    assert!(matches!(store.lease(ask).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(count(&store, TaskState::Ready).await, 1);
    put(&store, b"{}".to_vec()).await.unwrap();
}

#[tokio::test]
async fn a_member_that_the_database_refuses_does_not_take_its_group_along() {
    let folder = folder();
    let store = SqliteStore::open(options(folder.path())).unwrap();
    let conn = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    conn.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON rt_task WHEN new.payload = CAST('bad' AS BLOB) \
         BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    .unwrap();
    drop(conn);
    for _ in 0..20 {
        let calls =
            (0..16).map(|number| put(&store, if number == 7 { b"bad".to_vec() } else { b"good".to_vec() }));
        let answers = join_all(calls).await;
        for (number, answer) in answers.iter().enumerate() {
            assert_eq!(
                matches!(answer, Err(StoreError::Unavailable { .. })),
                number == 7,
                "{number}: {answer:?}"
            );
        }
    }
    assert_eq!((count(&store, TaskState::Ready).await, rows(&store, TaskState::Ready).await), (300, 300));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = folder();
    let refused = SqliteStore::open(options(&folder.path().join("missing"))).unwrap_err();
    assert!(matches!(&refused, StoreError::ReadOnly { detail } if detail.contains("missing")), "{refused:?}");
}

/// The embedded store without its epoch check.
struct Broken(TempDir);

#[async_trait]
impl Backend for Broken {
    async fn open(&mut self, setup: &Setup) -> Result<Arc<dyn Store>, StoreError> {
        let path = self.0.path().join("store.db");
        let mut options = SqliteOptions::new(path, setup.instance.clone(), setup.clock.clone());
        (options.limits, options.retention) = (setup.limits, setup.retention);
        options.break_epoch_check = true;
        Ok(Arc::new(SqliteStore::open(options)?))
    }
}

#[tokio::test]
async fn without_the_epoch_check_the_suite_fails() {
    for case in [
        "a_late_write_of_a_lost_lease_changes_nothing_and_says_so",
        "a_lease_of_a_dead_owner_is_stale",
        "an_unknown_lease_is_stale",
    ] {
        let ran = tokio::spawn(run_case(case, Broken(folder()))).await;
        assert!(ran.is_err_and(|error| error.is_panic()), "{case} must fail against the broken store");
    }
    run_case("a_lease_raises_the_epoch_and_counts_the_attempt", Broken(folder())).await;
}
