//! How close the store comes to its limits: ratios of one run, interleaved rounds, medians.
//!
//! `cargo bench -p runtime-stores --bench store -- [--quick] [--only <part of a measurement's name>]`

mod bare;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bare::{Bare, Shape, payload};
use runtime_core::name::{AppName, HandlerName, InstanceName, QueueName, Route};
use runtime_core::outcome::{Outcome, Settlement};
use runtime_core::store::{LeaseAsk, TaskStore};
use runtime_core::task::NewTask;
use runtime_stores::{SqliteOptions, SqliteStore, SystemClock};
use tokio::runtime::Runtime;

const LEASE: Duration = Duration::from_secs(30);

/// Rows of each measurement.
struct Sizes {
    singly: i64,
    grouped: i64,
    bulk: i64,
    shallow: i64,
    deep: i64,
    rounds: usize,
}

/// Whether a measurement of this name is asked for.
type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// Rates per second, by measurement.
type Rates = BTreeMap<&'static str, Vec<f64>>;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let only = arguments.iter().skip_while(|argument| *argument != "--only").nth(1);
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only.as_str()));
    let sizes = if quick {
        Sizes { singly: 2_000, grouped: 16_000, bulk: 50_000, shallow: 10_000, deep: 200_000, rounds: 3 }
    } else {
        Sizes { singly: 10_000, grouped: 80_000, bulk: 200_000, shallow: 10_000, deep: 1_000_000, rounds: 5 }
    };
    let runtime = Runtime::new().expect("a runtime");
    let mut rates = Rates::new();
    let mut fsyncs = Vec::new();
    for round in 1..=sizes.rounds {
        eprintln!("round {round} of {}", sizes.rounds);
        let folder = tempfile::tempdir().expect("a folder");
        fsyncs.push(bare::fsync_p50(folder.path()));
        for shape in [Shape::Narrow, Shape::Same] {
            measure_bare(shape, &sizes, &mut rates, &wanted);
        }
        measure_store(&runtime, &sizes, &mut rates, &wanted);
    }
    fsyncs.sort();
    report(&rates, fsyncs[fsyncs.len() / 2]);
}

fn note(rates: &mut Rates, name: &'static str, rows: i64, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    rates.entry(name).or_default().push(rows as f64 / took.as_secs_f64());
}

fn measure_bare(shape: Shape, sizes: &Sizes, rates: &mut Rates, wanted: Wanted<'_>) {
    let name = |narrow, same| if shape == Shape::Narrow { narrow } else { same };
    let mut measure = |name, rows, prepared: i64, run: &dyn Fn(&mut Bare) -> Duration| {
        if wanted(name) {
            let folder = tempfile::tempdir().expect("a folder");
            let mut bare = Bare::new(folder.path(), shape);
            bare.insert_bulk(prepared, 1_000);
            note(rates, name, rows, run(&mut bare));
        }
    };
    measure(name("narrow singly", "same singly"), sizes.singly, 0, &|bare| bare.insert_singly(sizes.singly));
    measure(name("narrow grouped", "same grouped"), sizes.grouped, 0, &|bare| {
        bare.insert_grouped(sizes.grouped, 16)
    });
    measure(name("narrow bulk", "same bulk"), sizes.bulk, 0, &|bare| bare.insert_bulk(sizes.bulk, 1_000));
    let off = sizes.bulk / 4;
    measure(name("narrow work-off 100", "same work-off 100"), off, off, &|bare| bare.work_off(100));
    measure(name("narrow work-off 1000", "same work-off 1000"), sizes.bulk, sizes.bulk, &|bare| {
        bare.work_off(1_000)
    });
}

fn open(folder: &Path) -> SqliteStore {
    let instance = InstanceName::new("bench").expect("a name");
    SqliteStore::open(SqliteOptions::new(folder.join("store.db"), instance, Arc::new(SystemClock)))
        .expect("the store opens")
}

fn route() -> Arc<Route> {
    Arc::new(Route {
        app: AppName::new("bench").expect("a name"),
        queue: QueueName::new("work").expect("a name"),
        handler: HandlerName::new("noop").expect("a name"),
    })
}

fn measure_store(runtime: &Runtime, sizes: &Sizes, rates: &mut Rates, wanted: Wanted<'_>) {
    let mut measure = |name, rows, prepared: i64, run: &dyn Fn(&SqliteStore) -> Duration| {
        if wanted(name) {
            let folder = tempfile::tempdir().expect("a folder");
            let store = open(folder.path());
            runtime.block_on(enqueue_bulk(&store, prepared));
            note(rates, name, rows, run(&store));
        }
    };
    let off = sizes.bulk / 4;
    measure("store singly", sizes.singly, 0, &|store| runtime.block_on(produce(store, sizes.singly, 1)));
    measure("store grouped", sizes.grouped, 0, &|store| runtime.block_on(produce(store, sizes.grouped, 16)));
    measure("store bulk", sizes.bulk, 0, &|store| runtime.block_on(enqueue_bulk(store, sizes.bulk)));
    measure("store work-off 100", off, off, &|store| runtime.block_on(work_off(store, off, 100)));
    measure("store work-off 1000", sizes.bulk, sizes.bulk, &|store| {
        runtime.block_on(work_off(store, sizes.bulk, 1_000))
    });
    for (name, depth) in [("store shallow", sizes.shallow), ("store deep", sizes.deep)] {
        measure(name, sizes.shallow, depth, &|store| runtime.block_on(work_off(store, sizes.shallow, 1_000)));
    }
}

/// Tasks of many producers, each waiting for its own answer.
async fn produce(store: &SqliteStore, rows: i64, producers: i64) -> Duration {
    let route = route();
    let started = Instant::now();
    let producers: Vec<_> = (0..producers)
        .map(|producer| {
            let (store, route, mine) = (store.clone(), Arc::clone(&route), rows / producers);
            tokio::spawn(async move {
                for number in 0..mine {
                    let task = NewTask::new(Arc::clone(&route), payload(producer * mine + number));
                    let answers = store.enqueue(vec![task]).await.expect("the store answers");
                    assert!(answers.iter().all(Result::is_ok));
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.expect("a producer ends");
    }
    started.elapsed()
}

async fn enqueue_bulk(store: &SqliteStore, rows: i64) -> Duration {
    let route = route();
    let started = Instant::now();
    for first in (0..rows).step_by(1_000) {
        let tasks: Vec<NewTask> = (first..(first + 1_000).min(rows))
            .map(|number| NewTask::new(Arc::clone(&route), payload(number)))
            .collect();
        let answers = store.enqueue(tasks).await.expect("the store answers");
        assert!(answers.iter().all(Result::is_ok));
    }
    started.elapsed()
}

/// Leases and settles, the settlements of one batch beside the leases of the next, as an executor does.
async fn work_off(store: &SqliteStore, rows: i64, batch: usize) -> Duration {
    let instance = InstanceName::new("bench").expect("a name");
    let started = Instant::now();
    let mut settled: i64 = 0;
    let mut ended = Vec::new();
    while settled < rows {
        let ask = LeaseAsk {
            queue: route().queue.clone(),
            instance: instance.clone(),
            up_to: batch,
            lease_for: LEASE,
            task: None,
        };
        let count = i64::try_from(ended.len()).expect("a batch");
        let (leased, answers) =
            tokio::join!(store.lease(ask), store.settle(Arc::new(std::mem::take(&mut ended))));
        answers.expect("the store answers");
        settled += count;
        ended = leased
            .expect("the store answers")
            .into_iter()
            .map(|leased| Settlement {
                lease: leased.lease,
                outcome: Outcome::Done { output: b"{}".to_vec() },
                with: None,
                node: None,
                started_at: leased.task.created_at,
                took: Duration::from_micros(7),
                trace: None,
            })
            .collect();
    }
    started.elapsed()
}

fn report(rates: &Rates, fsync: Duration) {
    let median = |name: &str| {
        let mut all = rates.get(name).cloned().unwrap_or_default();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    };
    println!("\nfsync p50: {} µs\n", fsync.as_micros());
    println!("| per second | narrow row | same rows | store | same ÷ narrow | store ÷ same | floor |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (what, floor) in
        [("singly", 0.6), ("grouped", 0.6), ("bulk", 0.5), ("work-off 100", 0.4), ("work-off 1000", 0.4)]
    {
        let [narrow, same, store] = ["narrow", "same", "store"].map(|who| median(&format!("{who} {what}")));
        println!(
            "| {what} | {narrow:.0} | {same:.0} | {store:.0} | {:.2} | {:.2} | {floor} |",
            same / narrow,
            store / same
        );
    }
    let (shallow, deep) = (median("store shallow"), median("store deep"));
    println!("\ndepth: {shallow:.0} shallow, {deep:.0} deep, ratio {:.2} (floor 0.8)", deep / shallow);
}
