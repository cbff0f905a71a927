//! `kill -9` at random moments while tasks run.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runtime_admin::AdminClient;
use runtime_tests::PATIENCE;
use runtime_tests::ground::Job;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::world::{assert_all_done_once, enqueue, ground, work_off};

#[cfg(not(feature = "nightly"))]
const KILLS: usize = 12;
#[cfg(not(feature = "nightly"))]
const TASKS: u64 = 3_000;
#[cfg(feature = "nightly")]
const KILLS: usize = 100;
#[cfg(feature = "nightly")]
const TASKS: u64 = 20_000;

/// Tasks that come through the source; the others come through the admin API.
const FILES: usize = TASKS as usize / 10;

const PRODUCERS: usize = 16;

/// One in so many processes is killed at a random moment of its start.
const KILLED_STARTING: u8 = 6;

/// The longest such start.
const START_MS: u64 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_is_done_twice_through_kill_9() {
    let seed = std::env::var("RUNTIME_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("RUNTIME_TEST_SEED={seed} runs this again with the same dice");
    let mut dice = fastrand::Rng::with_seed(seed);
    let began = Instant::now();

    let ground = ground();
    let jobs: Vec<Job> = (0..TASKS).map(job).collect();
    let (files, calls) = jobs.split_at(FILES);
    let mut files = files.iter();
    let work = Arc::new(Work::new(calls));
    let mut starting = 0;
    for kill in 0..KILLS {
        for job in files.by_ref().take(FILES / KILLS + 1) {
            ground.folder().put_into_inbox(&format!("{}.json", job.n), job).expect("a file");
        }
        let mut process = ground.start();
        if dice.u8(..KILLED_STARTING) == 0 {
            // The moment itself is what is random here; nothing is waited for.
            tokio::time::sleep(Duration::from_millis(dice.u64(..START_MS))).await;
            process.kill().expect("killed");
            starting += 1;
            continue;
        }
        let client = process.client().await;
        let producers = work.produce(&client);
        let last = kill + 1 == KILLS;
        let share = work.unacknowledged() / (KILLS - kill) as u64;
        work.acknowledged(if last { u64::MAX } else { dice.u64(1..=share.max(1) * 2) }).await;
        process.kill().expect("killed");
        drop(producers);
    }
    for job in files {
        ground.folder().put_into_inbox(&format!("{}.json", job.n), job).expect("a file");
    }

    // Whoever comes after the last death asks nobody: the work goes on by itself.
    let mut process = ground.start();
    let client = process.client().await;
    // What the deaths kept from being acknowledged is asked for again under its key.
    let producers = work.produce(&client);
    work.acknowledged(u64::MAX).await;
    drop(producers);
    let decided = work_off(&client, &ground, FILES).await;
    assert_eq!(process.stop().await, 0);
    assert_all_done_once(&ground, &jobs).await;

    let cut_off = released_at_starts(&ground.log());
    assert!(cut_off > 0, "no kill met a task that was leased");
    println!(
        "{TASKS} tasks, {KILLS} kills ({starting} while starting), {cut_off} attempts cut off, {decided:?}, \
         {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

/// A bit of everything.
fn job(n: u64) -> Job {
    Job {
        n,
        work_ms: n % 8,
        fails: u32::from(n.is_multiple_of(13)),
        follow_up: n.is_multiple_of(5),
        keyed: n.is_multiple_of(7),
        unkeyed: n.is_multiple_of(11),
        ..Job::default()
    }
}

/// What is still to be asked for, and how much was acknowledged. It lives here, so no kill touches it.
struct Work {
    left: Mutex<VecDeque<Job>>,
    unacknowledged: AtomicU64,
    changed: Notify,
}

impl Work {
    fn new(jobs: &[Job]) -> Self {
        let unacknowledged = AtomicU64::new(jobs.len() as u64);
        Self { left: Mutex::new(jobs.iter().cloned().collect()), unacknowledged, changed: Notify::new() }
    }

    fn left(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unacknowledged(&self) -> u64 {
        self.unacknowledged.load(Ordering::Acquire)
    }

    /// Asks for what is left until it is all acknowledged, or until dropped. A job whose answer did not come is asked for again; its
    /// key makes that harmless.
    fn produce(self: &Arc<Self>, client: &AdminClient) -> JoinSet<()> {
        let mut producers = JoinSet::new();
        for _ in 0..PRODUCERS {
            let (work, client) = (self.clone(), client.clone());
            producers.spawn(async move {
                while let Some(asked) = work.ask() {
                    if enqueue(&client, asked.job()).await.is_ok() {
                        asked.acknowledged();
                    }
                }
            });
        }
        producers
    }

    fn ask(&self) -> Option<Asked<'_>> {
        let job = self.left().pop_front()?;
        Some(Asked { work: self, job: Some(job) })
    }

    /// Waits until so many more were acknowledged, or all.
    async fn acknowledged(&self, count: u64) {
        let goal = self.unacknowledged().saturating_sub(count);
        let reached = async {
            loop {
                let changed = self.changed.notified();
                if self.unacknowledged() <= goal {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE * 10, reached).await.expect("the process takes tasks");
    }
}

/// A job that was asked for; goes back to what is left unless it is acknowledged.
struct Asked<'a> {
    work: &'a Work,
    job: Option<Job>,
}

impl Asked<'_> {
    fn job(&self) -> &Job {
        self.job.as_ref().expect("there until acknowledged")
    }

    fn acknowledged(mut self) {
        self.job = None;
        self.work.unacknowledged.fetch_sub(1, Ordering::AcqRel);
        self.work.changed.notify_one();
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            self.work.left().push_front(job);
        }
    }
}

/// How many attempts the kills cut off, as each start found them.
fn released_at_starts(log: &str) -> u64 {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| find(&line, "released")).sum()
}

fn find(line: &Value, field: &str) -> Option<u64> {
    match line {
        Value::Object(fields) => fields
            .get(field)
            .and_then(Value::as_u64)
            .or_else(|| fields.values().find_map(|value| find(value, field))),
        _ => None,
    }
}
