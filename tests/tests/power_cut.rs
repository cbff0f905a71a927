//! The power goes: what the disk has by then is all there is.
//!
//! The store lies on a file system of its own, in an image behind a loop device. To cut the power, the process is stopped where it
//! stands and the image is copied: what the system still keeps in memory is not in it. The copy is mounted, which replays the file
//! system's journal, and opened. What the disk itself keeps in a cache of its own is taken as kept. Needs root, for the mounts.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use runtime_core::name::InstanceName;
use runtime_core::store::{StoreError, TaskFilter, TaskReader, TaskStore};
use runtime_stores::{SqliteOptions, SqliteStore, SystemClock};
use runtime_tests::eventually;
use rustix::process::{Pid, Signal, kill_process};

/// Cuts of each kind.
const CUTS: usize = 20;

/// Cuts of the control.
const CONTROLS: usize = 3;

/// What is acknowledged before a cut, at most.
const ACKNOWLEDGED: usize = 4_000;

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let began = Instant::now();
    let mut acknowledged = 0;
    for cut in 0..CUTS {
        let after = fastrand::usize(1..ACKNOWLEDGED);
        let found = cut_power(after, &[]).await;
        assert_eq!(found.lost(), 0, "cut {cut} after {after} acknowledged tasks: {found:?}");
        acknowledged += found.acknowledged.len();
    }
    println!(
        "{CUTS} cuts, {acknowledged} tasks acknowledged, 0 lost, {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

#[tokio::test]
async fn without_waiting_for_the_disk_acknowledged_tasks_are_lost() {
    let (mut acknowledged, mut lost) = (0, 0);
    for _ in 0..CONTROLS {
        let found = cut_power(ACKNOWLEDGED, &["--synchronous-off"]).await;
        acknowledged += found.acknowledged.len();
        lost += found.lost();
    }
    assert!(lost > 0, "the control must lose tasks");
    println!("{CONTROLS} cuts with synchronous=OFF, {acknowledged} tasks acknowledged, {lost} lost");
}

/// What was promised, and what was there afterwards.
#[derive(Debug)]
struct Found {
    acknowledged: BTreeSet<u64>,
    kept: Result<BTreeSet<u64>, StoreError>,
}

impl Found {
    fn lost(&self) -> usize {
        match &self.kept {
            Ok(kept) => self.acknowledged.difference(kept).count(),
            Err(_) => self.acknowledged.len(),
        }
    }
}

/// Lets a producer work on a fresh disk until so many tasks are acknowledged, and cuts the power.
async fn cut_power(after: usize, more: &[&str]) -> Found {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = folder.path().join("disk.img");
    let disk = Disk::make(&image, &folder.path().join("disk"));
    let mut producer = Producer::start(&disk.0.join("runtime.db"), more);
    eventually("enough tasks are acknowledged", || (producer.acknowledged().len() >= after).then_some(()))
        .await;
    producer.signal(Signal::STOP);
    let acknowledged = producer.acknowledged();
    let copy = folder.path().join("cut.img");
    std::fs::copy(&image, &copy).expect("the disk as it is now");
    drop(producer);
    drop(disk);

    let disk = Disk::mount(&copy, &folder.path().join("cut"));
    Found { acknowledged, kept: numbers(&disk.0.join("runtime.db")).await }
}

/// The numbers of all tasks in a store's file.
async fn numbers(file: &Path) -> Result<BTreeSet<u64>, StoreError> {
    let instance = InstanceName::new("after").expect("a name");
    let store = SqliteStore::open(SqliteOptions::new(file, instance, Arc::new(SystemClock)))?;
    let (mut numbers, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.list(TaskFilter::default(), after, 1_000).await?;
        let keys = page.tasks.iter().filter_map(|task| task.idempotency_key.as_ref());
        numbers.extend(keys.map(|key| key.as_str().parse::<u64>().expect("a number")));
        after = page.next;
        if after.is_none() {
            store.close().await?;
            return Ok(numbers);
        }
    }
}

/// A producing process, and what it has said to be acknowledged.
struct Producer {
    child: Child,
    said: Arc<Mutex<BTreeSet<u64>>>,
}

impl Producer {
    fn start(file: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proving_ground"));
        command.arg("producer").arg("--file").arg(file).args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the producer starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let said = Arc::new(Mutex::new(BTreeSet::new()));
        let noted = said.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // A line that the end cut off counts for nothing, or for a task that was acknowledged too.
                let number = line.parse().expect("a number a line");
                noted.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
            }
        });
        Self { child, said }
    }

    fn acknowledged(&self) -> BTreeSet<u64> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn signal(&mut self, signal: Signal) {
        assert_eq!(self.child.try_wait().expect("it is ours"), None, "the producer goes on");
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it is there");
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

/// A mounted file system.
struct Disk(PathBuf);

impl Disk {
    /// A fresh one. Its journal is written when somebody waits for it, not by the clock.
    fn make(image: &Path, at: &Path) -> Self {
        let file = std::fs::File::create(image).expect("a file");
        file.set_len(64 << 20).expect("a size");
        run(Command::new("mkfs.ext4").arg("-q").arg(image));
        Self::mount(image, at)
    }

    fn mount(image: &Path, at: &Path) -> Self {
        std::fs::create_dir_all(at).expect("a folder");
        run(Command::new("mount").args(["-o", "loop,commit=600"]).arg(image).arg(at));
        Self(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}, which needs root and loop devices: {said}");
}
