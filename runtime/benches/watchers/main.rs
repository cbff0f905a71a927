//! What watchers cost the work: `cargo xtask bench watchers [--quick]`.
//!
//! ```text
//! tasks ─▶ the product, with its defaults, over SQLite ─▶ events ─▶ gRPC over loopback ─▶ 200 readers in a process of their own
//! ```
//!
//! The same queue is worked off with nobody watching and with 200 watchers of each form, in turns. Two figures are compared with that of
//! the same turn without watchers: how fast it went, in which the readers' own work counts too as far as they share the processors with the
//! server; and the processor time of the server's process for a task, in which it does not. In every turn somebody resizes another
//! worker ten times a second, so that there is something to tell besides tasks.

mod form;
#[path = "../table/product.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod product;
mod readers;
#[path = "../shared/setup.rs"]
mod setup;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use form::Form;
use product::{Product, Work, cpu_seconds};
use readers::{READERS, Readers, Told};
use runtime::core::control::{Command, Control, NodeCommand, ask};
use runtime::telemetry::TelemetryGuard;
use tokio::runtime::Runtime;

/// How many watch.
const WATCHERS: usize = 200;

/// How often something else than tasks changes.
const SOMETHING_ELSE: Duration = Duration::from_millis(100);

/// How much is worked off, how often.
struct Sizes {
    tasks: u64,
    rounds: usize,
}

const QUICK: Sizes = Sizes { tasks: 150_000, rounds: 3 };
const FULL: Sizes = Sizes { tasks: 400_000, rounds: 7 };

/// One queue worked off.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Tasks a second.
    rate: f64,
    /// How long it took, in seconds.
    took_secs: f64,
    /// Processor time of the server for a task, in microseconds.
    cpu_us: f64,
    told: Told,
}

impl Turn {
    fn take(control: &Runtime, telemetry: &TelemetryGuard, tasks: u64, form: Form) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let product = control.block_on(async {
            let product = Product::start(folder.path(), telemetry, Work::Noop).await;
            product.steer(NodeCommand::Pause).await;
            product.bulk(tasks, 1_000).await;
            product
        });
        let readers =
            (form != Form::Nobody).then(|| Readers::start(&product.admin_endpoint(), WATCHERS, form));
        let changing = control.spawn(change_something(product.control()));
        let (cpu, began) = (cpu_seconds(), Instant::now());
        let rate = control.block_on(product.work_off(tasks, true));
        let (took_secs, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        changing.abort();
        let told = readers.map(Readers::end).unwrap_or_default();
        control.block_on(product.stop());
        #[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
        let cpu_us = cpu * 1e6 / tasks as f64;
        Self { rate, took_secs, cpu_us, told }
    }
}

/// Resizes the worker that has nothing to do, until it is dropped.
async fn change_something(control: Arc<dyn Control>) {
    let mut slots = NonZeroUsize::MIN;
    loop {
        let path = "/engine/apps/bench/workers/ledger".parse().expect("a path");
        slots = if slots == NonZeroUsize::MIN { slots.saturating_add(1) } else { NonZeroUsize::MIN };
        let command = NodeCommand::Resize { slots };
        let resize = |reply| Command::SteerNode { path, command, terms: Default::default(), reply };
        ask(&*control, resize).await.expect("resized");
        tokio::time::sleep(SOMETHING_ELSE).await;
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(rounds: &[Vec<Turn>], sizes: &Sizes) {
    println!(
        "\n{} no-op tasks worked off, SQLite, synchronous=FULL; {WATCHERS} watchers; {} rounds, medians; ratios are of the same round\n",
        sizes.tasks, sizes.rounds
    );
    println!(
        "{:<26} {:>9} {:>7} {:>17} {:>11} {:>7} {:>13} {:>12} {:>8} {:>12}",
        "",
        "tasks/s",
        "ratio",
        "(least to most)",
        "server us",
        "ratio",
        "events/s told",
        "messages/s",
        "cut off",
        "readers' cpu"
    );
    for (index, form) in Form::ALL.into_iter().enumerate() {
        let of = |figure: &dyn Fn(&Turn) -> f64| median(rounds.iter().map(|round| figure(&round[index])));
        let ratio = |figure: fn(&Turn) -> f64| {
            let mut ratios: Vec<f64> =
                rounds.iter().map(|round| figure(&round[index]) / figure(&round[0])).collect();
            ratios.sort_by(f64::total_cmp);
            ratios
        };
        let (rates, cpu) = (ratio(|turn| turn.rate), ratio(|turn| turn.cpu_us));
        println!(
            "{:<26} {:>9.0} {:>7.3} {:>17} {:>11.2} {:>7.3} {:>13.0} {:>12.0} {:>8.0} {:>12.2}",
            form.label(),
            of(&|turn| turn.rate),
            rates[rates.len() / 2],
            format!("{:.3} to {:.3}", rates[0], rates[rates.len() - 1]),
            of(&|turn| turn.cpu_us),
            cpu[cpu.len() / 2],
            of(&|turn| turn.told.events / turn.took_secs),
            of(&|turn| turn.told.messages / turn.took_secs),
            of(&|turn| turn.told.cut_off),
            of(&|turn| turn.told.cpu_secs / turn.took_secs),
        );
    }
    println!(
        "\ntasks/s and its ratio: by the clock, readers and server on the same processors. server us: processor time of the server's process for\na task, its own alone. readers' cpu: cores that the process of the readers used."
    );
}

fn main() {
    let mut readers = std::env::args().skip_while(|argument| argument != READERS).skip(1);
    if let (Some(endpoint), Some(count), Some(form)) = (readers.next(), readers.next(), readers.next()) {
        let form = Form::named(&form).expect("a form");
        return readers::run(&endpoint, count.parse().expect("a count"), form);
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    let sizes = if quick { QUICK } else { FULL };
    let control = runtime::control_runtime().expect("threads");
    let telemetry = setup::telemetry();
    let mut rounds = Vec::new();
    for round in 1..=sizes.rounds {
        eprintln!("round {round} of {}", sizes.rounds);
        let turn = |form| Turn::take(&control, &telemetry, sizes.tasks, form);
        rounds.push(Form::ALL.map(turn).to_vec());
    }
    report(&rounds, &sizes);
    setup::print_load_average();
}
