//! The product beside its limits, in one run: `cargo xtask bench [--quick]`.
//!
//! Three things are measured in interleaved rounds, and their medians and ratios printed: the product through its public API with its
//! defaults (history, events, telemetry on), the same rows in the tightest loop through the same driver, and the narrow row that a
//! queue could do with at the least.

#[path = "../../../runtime-stores/benches/bare.rs"]
mod bare;
#[expect(dead_code, reason = "the other bench uses the rest")]
mod product;
#[path = "../shared/setup.rs"]
mod setup;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bare::{Bare, Shape};
use product::{Product, SLOTS, Work, cpu_seconds, peak_mib};
use runtime::core::control::NodeCommand;
use runtime::telemetry::TelemetryGuard;

/// Rows of each measurement.
struct Sizes {
    singly: i64,
    grouped: i64,
    bulk: i64,
    shallow: i64,
    deep: i64,
    latency: usize,
    idle: Duration,
    rounds: usize,
}

const QUICK: Sizes = Sizes {
    singly: 2_000,
    grouped: 16_000,
    bulk: 50_000,
    shallow: 10_000,
    deep: 200_000,
    latency: 300,
    idle: Duration::from_secs(5),
    rounds: 3,
};

const FULL: Sizes = Sizes {
    singly: 10_000,
    grouped: 80_000,
    bulk: 200_000,
    shallow: 10_000,
    deep: 1_000_000,
    latency: 1_000,
    idle: Duration::from_secs(20),
    rounds: 5,
};

/// Makes this program a process that only runs the product, with so many tasks queued, and prints its peak memory.
const RESIDENT: &str = "--resident";

/// Figures by name, one a round.
#[derive(Default)]
struct Figures(BTreeMap<&'static str, Vec<f64>>);

impl Figures {
    fn note(&mut self, name: &'static str, value: f64) {
        self.0.entry(name).or_default().push(value);
    }

    fn median(&self, name: &str) -> f64 {
        let mut values = self.0.get(name).cloned().unwrap_or_default();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let sizes = if quick { QUICK } else { FULL };
    let control = runtime::control_runtime().expect("threads");
    let resident = std::env::args().skip_while(|argument| argument != RESIDENT).nth(1);
    let telemetry = setup::telemetry();
    if let Some(queued) = resident {
        let queued = queued.parse().expect("a count");
        println!("{}", control.block_on(measure_peak(queued, &telemetry)));
        return;
    }
    let mut figures = Figures::default();
    for round in 1..=sizes.rounds {
        eprintln!("round {round} of {}", sizes.rounds);
        measure_bare(&sizes, &mut figures);
        control.block_on(measure_product(&sizes, &telemetry, &mut figures));
    }
    control.block_on(measure_rest(&sizes, &telemetry, &mut figures));
    report(&figures, &sizes);
    setup::print_load_average();
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(rows: i64, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64()
}

fn measure_bare(sizes: &Sizes, figures: &mut Figures) {
    let folder = tempfile::tempdir().expect("a folder");
    figures.note("fsync p50 us", bare::fsync_p50(folder.path()).as_secs_f64() * 1e6);
    for (shape, names) in [
        (Shape::Narrow, ["narrow singly", "narrow grouped", "narrow bulk", "narrow work-off"]),
        (Shape::Same, ["same singly", "same grouped", "same bulk", "same work-off"]),
    ] {
        let on_fresh = |run: &mut dyn FnMut(&mut Bare) -> Duration| {
            let folder = tempfile::tempdir().expect("a folder");
            run(&mut Bare::new(folder.path(), shape))
        };
        figures.note(names[0], rate(sizes.singly, on_fresh(&mut |bare| bare.insert_singly(sizes.singly))));
        figures.note(
            names[1],
            rate(sizes.grouped, on_fresh(&mut |bare| bare.insert_grouped(sizes.grouped, 16))),
        );
        figures.note(names[2], rate(sizes.bulk, on_fresh(&mut |bare| bare.insert_bulk(sizes.bulk, 1_000))));
        let work_off = on_fresh(&mut |bare| {
            bare.insert_bulk(sizes.bulk, 1_000);
            bare.work_off(1_000)
        });
        figures.note(names[3], rate(sizes.bulk, work_off));
    }
}

async fn measure_product(sizes: &Sizes, telemetry: &TelemetryGuard, figures: &mut Figures) {
    let (singly, grouped, bulk) = (count(sizes.singly), count(sizes.grouped), count(sizes.bulk));
    let fresh = async |folder: &Path, work| {
        let product = Product::start(folder, telemetry, work).await;
        product.steer(NodeCommand::Pause).await;
        product
    };
    let folder = tempfile::tempdir().expect("a folder");
    let product = fresh(folder.path(), Work::Noop).await;
    figures.note("product singly", product.enqueue(singly, 1).await);
    figures.note("product grouped", product.enqueue(grouped, 16).await);
    product.stop().await;

    let folder = tempfile::tempdir().expect("a folder");
    let product = fresh(folder.path(), Work::Noop).await;
    figures.note("product bulk", product.bulk(bulk, 1_000).await);
    figures.note("product work-off", product.work_off(bulk, true).await);
    product.stop().await;

    let folder = tempfile::tempdir().expect("a folder");
    let product = fresh(folder.path(), Work::Ledger).await;
    product.bulk(grouped, 1_000).await;
    figures.note("ledger work-off", product.work_off(grouped, true).await);
    product.stop().await;
}

/// Peak memory of a process that takes in so many tasks and works off some of them.
async fn measure_peak(queued: u64, telemetry: &TelemetryGuard) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let product = Product::start(folder.path(), telemetry, Work::Noop).await;
    product.steer(NodeCommand::Pause).await;
    product.bulk(queued, 1_000).await;
    product.work_off(queued.min(50_000), false).await;
    let peak = peak_mib();
    product.stop().await;
    peak
}

/// The same in a process of its own: nothing else that the bench does counts.
fn peak_of_a_process(queued: u64) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let output =
        std::process::Command::new(program).args([RESIDENT, &queued.to_string()]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a figure")
}

/// What is measured once: latency, depth, idle cost, memory.
async fn measure_rest(sizes: &Sizes, telemetry: &TelemetryGuard, figures: &mut Figures) {
    let (shallow, deep) = (count(sizes.shallow), count(sizes.deep));
    let folder = tempfile::tempdir().expect("a folder");
    let product = Product::start(folder.path(), telemetry, Work::Noop).await;
    eprintln!("latency");
    let waits = product.latency(sizes.latency).await;
    figures.note("latency p50 ms", waits[waits.len() / 2].as_secs_f64() * 1e3);
    figures.note("latency p99 ms", waits[waits.len() * 99 / 100].as_secs_f64() * 1e3);
    eprintln!("idle");
    let (cpu, began) = (cpu_seconds(), Instant::now());
    tokio::time::sleep(sizes.idle).await;
    figures.note("idle cores", (cpu_seconds() - cpu) / began.elapsed().as_secs_f64());
    eprintln!("depth");
    for _ in 0..3 {
        product.steer(NodeCommand::Pause).await;
        product.bulk(shallow, 1_000).await;
        figures.note("shallow work-off", product.work_off(shallow, true).await);
    }
    product.steer(NodeCommand::Pause).await;
    product.bulk(deep, 1_000).await;
    for _ in 0..3 {
        // As many as the shallow queue held, out of the deep one.
        figures.note("deep work-off", product.work_off(shallow, false).await);
        product.steer(NodeCommand::Pause).await;
    }
    product.stop().await;
    eprintln!("memory");
    figures.note("resident at work", peak_of_a_process(shallow * 5));
    figures.note("resident deep", peak_of_a_process(deep));
}

fn count(rows: i64) -> u64 {
    u64::try_from(rows).expect("a count")
}

fn report(figures: &Figures, sizes: &Sizes) {
    let of = |name: &str| figures.median(name);
    println!(
        "\nSQLite, synchronous=FULL; fsync p50 {:.0} us; {SLOTS} slots; {} rounds, medians; per second\n",
        of("fsync p50 us"),
        sizes.rounds
    );
    println!(
        "{:<32} {:>10} {:>10} {:>10} {:>14} {:>14} {:>12}",
        "", "narrow", "same rows", "product", "product/same", "product/narrow", "same/narrow"
    );
    for (label, key) in [
        ("durable enqueue, 1 producer", "singly"),
        ("durable enqueue, 16 producers", "grouped"),
        ("bulk, 1,000 a call", "bulk"),
        ("work-off of no-op tasks", "work-off"),
    ] {
        let (narrow, same, product) =
            (of(&format!("narrow {key}")), of(&format!("same {key}")), of(&format!("product {key}")));
        println!(
            "{label:<32} {narrow:>10.0} {same:>10.0} {product:>10.0} {:>14.2} {:>14.2} {:>12.2}",
            product / same,
            product / narrow,
            same / narrow
        );
    }
    println!();
    println!(
        "idle latency p50 / p99            {:.3} / {:.3} ms",
        of("latency p50 ms"),
        of("latency p99 ms")
    );
    println!(
        "depth {} against {}         {:.2} ({:.0} against {:.0} a second)",
        sizes.deep,
        sizes.shallow,
        of("deep work-off") / of("shallow work-off"),
        of("deep work-off"),
        of("shallow work-off")
    );
    println!("idle cost                         {:.4} cores", of("idle cores"));
    println!(
        "ledger: a keyed step and a row    {:.2} of the no-op work-off ({:.0} a second)",
        of("ledger work-off") / of("product work-off"),
        of("ledger work-off")
    );
    println!(
        "peak memory at work / {} queued   {:.0} / {:.0} MiB (a process of its own)",
        sizes.deep,
        of("resident at work"),
        of("resident deep")
    );
}
