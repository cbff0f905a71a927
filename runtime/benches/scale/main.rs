//! Lists, counts and overview over a million tasks, beside an empty call, in one run: `cargo xtask bench scale [--quick]`.
//!
//! The store is filled through its own port: several apps, queues, tenants and scopes, most of them in a few; tasks in every state, finished
//! ones in history; schedules, operations and a long audit log. Then every look is taken through the admin API, by filters that find much,
//! little and nothing: first while nobody works, then while a worker works off tasks beside it. Each line has its verdict against what is
//! promised of a look, and the load of the machine: what others do on it is in the figures.

#[path = "../control/empty.rs"]
mod empty;
mod fill;
mod looks;
#[path = "../table/product.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod product;
#[path = "../shared/setup.rs"]
mod setup;
#[path = "../control/tls.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use empty::Empty;
use fill::Amounts;
use looks::{LOOKS, Look, Operator};
use product::{Product, Work};
use runtime::core::control::NodeCommand;
use runtime::telemetry::TelemetryGuard;
use tonic::transport::Endpoint;

/// What is promised of every look: of a hundred, ninety-nine answer within this.
const WITHIN: Duration = Duration::from_millis(50);

/// How much is looked at.
struct Sizes {
    amounts: Amounts,
    /// Times that each look is taken, idle and at work each.
    turns: usize,
    /// Tasks that the worker beside has whenever it has none.
    refill: u64,
}

const QUICK: Sizes = Sizes {
    amounts: Amounts { tasks: 100_000, audit_entries: 20_000, schedules: 500, operations: 500 },
    turns: 40,
    refill: 50_000,
};
const FULL: Sizes = Sizes {
    amounts: Amounts { tasks: 1_000_000, audit_entries: 200_000, schedules: 1_000, operations: 900 },
    turns: 400,
    refill: 200_000,
};

/// Restarts that there are to list.
const RESTARTS: usize = 100;

/// Takes every look so many times, and prints how long it took. Those that took too long.
async fn measure(operator: &mut Operator, turns: usize, work: Option<(&Product, u64)>) -> Vec<String> {
    println!(
        "{:<66} {:>8} {:>8} {:>8} {:>8} {:>6}  found",
        "", "p50 ms", "p99 ms", "max ms", "verdict", "load"
    );
    let mut late = Vec::new();
    for look in LOOKS {
        let token = match look {
            Look::DeepPage(filter, pages) => operator.deep(filter, *pages).await,
            _ => String::new(),
        };
        let mut took = Vec::with_capacity(turns);
        let mut found = String::new();
        for _ in 0..turns {
            if let Some((product, refill)) = work.filter(|(product, _)| !product.works()) {
                product.steer(NodeCommand::Pause).await;
                product.bulk(refill, 1_000).await;
                product.begin_work_off(refill).await;
            }
            let began = Instant::now();
            found = operator.take(look, &token).await;
            took.push(began.elapsed());
        }
        took.sort();
        let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
        let verdict = match at(99).checked_sub(WITHIN) {
            None => "within".to_owned(),
            Some(over) => format!("+{:.1}", ms(over)),
        };
        if at(99) > WITHIN {
            late.push(look.label());
        }
        println!(
            "{:<66} {:>8.2} {:>8.2} {:>8.2} {verdict:>8} {:>6}  {found}",
            look.label(),
            ms(at(50)),
            ms(at(99)),
            ms(took[took.len() - 1]),
            load(),
        );
    }
    late
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Load average of the last minute.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("?").to_owned()
}

fn say(late: &[String]) {
    let within = format!("p99 within {} ms", WITHIN.as_millis());
    if late.is_empty() {
        println!("every look: {within}");
    } else {
        println!("{} of {} looks: {within}; not: {}", LOOKS.len() - late.len(), LOOKS.len(), late.join(", "));
    }
}

async fn run(sizes: &Sizes, telemetry: &TelemetryGuard) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = product::config(folder.path());
    let store = product::app(&Arc::default()).open_store(&config).await.expect("the store opens");
    let began = Instant::now();
    let task = fill::fill(&*store, &sizes.amounts).await;
    store.close().await.expect("closed");
    println!("\n{:?}, filled in {:.0} s", sizes.amounts, began.elapsed().as_secs_f64());
    let began = Instant::now();
    let product = Product::configured(&config, telemetry, Work::Noop).await;
    println!("opened in {:.2} s; each look {} times", began.elapsed().as_secs_f64(), sizes.turns);
    for _ in 0..RESTARTS {
        product.steer(NodeCommand::Restart).await;
    }
    let server = Empty::serve(None).await;
    let to = Endpoint::from_shared(product.admin_endpoint()).expect("an address");
    let admin = to.connect().await.expect("connected");
    let mut operator = Operator { admin, empty: server.connect(None).await, task };
    println!("\nnobody works");
    say(&measure(&mut operator, sizes.turns, None).await);
    println!("\na worker works off tasks");
    say(&measure(&mut operator, sizes.turns, Some((&product, sizes.refill))).await);
    product.stop().await;
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let sizes = if quick { QUICK } else { FULL };
    let telemetry = setup::telemetry();
    runtime::control_runtime().expect("threads").block_on(run(&sizes, &telemetry));
    setup::print_load_average();
}
