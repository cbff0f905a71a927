//! A process that makes tasks as fast as the store acknowledges them and says which: for tests that cut the power.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use runtime::core::name::InstanceName;
use runtime::core::store::TaskStore;
use runtime::core::task::NewTask;
use runtime::stores::{SqliteOptions, SqliteStore, Synchronous, SystemClock};
use runtime::{Setup, signals::Exit};

use super::{APP, Job};

/// Producers at a time: their tasks are committed in groups.
const PRODUCERS: usize = 8;

/// Where it works, and how careful the store is.
#[derive(Debug, Clone, Args)]
pub struct ProducerArgs {
    /// The store's file.
    #[arg(long)]
    pub file: PathBuf,
    /// Never waits for the disk: the control.
    #[arg(long)]
    pub synchronous_off: bool,
}

/// Makes tasks 0, 1, 2, … for ever; writes each number to standard output once its task is acknowledged.
pub fn run_producer(args: &ProducerArgs) -> Exit {
    let Some(runtime) = runtime::control_runtime() else { return Exit::StartUp };
    match runtime.block_on(produce(args)) {
        Ok(()) => Exit::Clean,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed
        }
    }
}

async fn produce(args: &ProducerArgs) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut options = SqliteOptions::new(&args.file, InstanceName::new("producer")?, Arc::new(SystemClock));
    if args.synchronous_off {
        options.synchronous = Synchronous::Off;
    }
    let store = SqliteStore::open(options)?;
    let (route, next) = (Setup::route_of(APP, "job")?, Arc::new(AtomicU64::new(0)));
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..PRODUCERS {
        let (store, route, next) = (store.clone(), route.clone(), next.clone());
        producers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let task = NewTask::of(route.clone(), &Job::plain(n))?;
                for answer in store.enqueue(vec![task]).await? {
                    answer?;
                }
                writeln!(io::stdout(), "{n}")?;
            }
        });
    }
    match producers.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}
