//! A unary call of the admin API beside an empty one, in one run: `cargo xtask bench control [--quick]`.
//!
//! ```text
//! client ─▶ listener ─▶ limits ─▶ who calls, whether it may ─▶ (audit) ─▶ door ─▶ commands ─▶ the tree ─▶ answer
//! client ─▶ a server of the same library that does nothing
//! ```
//!
//! Both are asked in turns, by the same callers, on the same threads, with TLS and without, while the tree idles and while it works off
//! tasks as fast as it can. What counts is the ratio.

#[path = "../../../runtime-stores/benches/bare.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod bare;
mod empty;
#[path = "../table/product.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod product;
#[path = "../shared/setup.rs"]
mod setup;
mod tls;
#[path = "../shared/token.rs"]
mod token;

use std::path::Path;
use std::time::{Duration, Instant};

use empty::{Empty, check};
use product::{Product, Work};
use runtime::admin::AdminClient;
use runtime::config::AuthenticationKind;
use runtime::core::control::NodeCommand;
use runtime::core::name::QueueName;
use runtime::core::node::NodePath;
use runtime::telemetry::TelemetryGuard;
use tls::Tls;
use token::first_token;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;

/// How much is asked.
struct Sizes {
    /// Turns of one caller, of sixteen.
    turns: [usize; 2],
    /// Calls of each caller in one turn.
    calls: usize,
    /// Tasks that are queued whenever there are none.
    tasks: u64,
}

const QUICK: Sizes = Sizes { turns: [20, 6], calls: 25, tasks: 100_000 };
const FULL: Sizes = Sizes { turns: [60, 20], calls: 50, tasks: 300_000 };

/// What is asked, each beside the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Empty,
    Info,
    Node,
    Overview,
    Steer,
}

impl Call {
    const ALL: [Self; 5] = [Self::Empty, Self::Info, Self::Node, Self::Overview, Self::Steer];

    fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty call",
            Self::Info => "GetInfo",
            Self::Node => "GetNode",
            Self::Overview => "GetOverview",
            Self::Steer => "Pause/ResumeQueue, durable",
        }
    }
}

/// Somebody with connections of their own to both servers.
struct Caller {
    admin: AdminClient,
    empty: HealthClient<Channel>,
    node: NodePath,
    queue: QueueName,
    paused: bool,
}

impl Caller {
    async fn ask(&mut self, call: Call) {
        match call {
            Call::Empty => check(&mut self.empty).await,
            Call::Info => drop(self.admin.info().await.expect("an answer")),
            Call::Node => drop(self.admin.node(&self.node).await.expect("an answer")),
            Call::Overview => drop(self.admin.overview().await.expect("an answer")),
            Call::Steer => {
                self.paused = !self.paused;
                let steered = match self.paused {
                    true => self.admin.pause_queue(&self.queue, None, "measured").await,
                    false => self.admin.resume_queue(&self.queue, None).await,
                };
                drop(steered.expect("an answer"));
            }
        }
    }

    /// How long each of so many calls took.
    async fn turn(mut self, call: Call, calls: usize) -> (Self, Vec<Duration>) {
        let mut took = Vec::with_capacity(calls);
        for _ in 0..calls {
            let began = Instant::now();
            self.ask(call).await;
            took.push(began.elapsed());
        }
        (self, took)
    }
}

/// Both servers.
struct Servers {
    product: Product,
    empty: Empty,
    tls: Option<Tls>,
    token: String,
}

impl Servers {
    async fn start(folder: &Path, with_tls: bool, telemetry: &TelemetryGuard) -> Self {
        let tls = with_tls.then(|| Tls::new(folder));
        let mut config = product::config(folder);
        config.admin.authentication = AuthenticationKind::Required;
        config.admin.tls = tls.as_ref().map(Tls::of_the_product);
        let as_often_as_it_likes = 1_000_000.try_into().expect("not zero");
        config.admin.limits.requests_per_sec = as_often_as_it_likes;
        config.admin.limits.requests_at_once = as_often_as_it_likes;
        let token = first_token(&config).await;
        let product = Product::configured(&config, telemetry, Work::Noop).await;
        product.steer(NodeCommand::Pause).await;
        Self { product, empty: Empty::serve(tls.as_ref()).await, tls, token }
    }

    async fn caller(&self) -> Caller {
        let trusted = self.tls.as_ref().map(Tls::of_its_client).unwrap_or_default();
        let admin = AdminClient::connect_with(&self.product.admin_endpoint(), &trusted).await;
        Caller {
            admin: admin.expect("connected").with_token(&self.token).expect("a token"),
            empty: self.empty.connect(self.tls.as_ref()).await,
            node: "/engine/apps/bench/workers/ledger".parse().expect("a path"),
            queue: "ledger".parse().expect("a name"),
            paused: false,
        }
    }
}

/// How long the calls took, each kind for itself.
struct Figures([Vec<Duration>; Call::ALL.len()]);

impl Figures {
    /// Asks in turns; while the tree works, when there is work to refill.
    async fn measure(
        callers: Vec<Caller>,
        turns: usize,
        calls: usize,
        work: Option<(&Product, u64)>,
    ) -> (Vec<Caller>, Self) {
        let (mut callers, mut figures) = (callers, Self(Default::default()));
        for _ in 0..turns {
            for (kind, figures) in Call::ALL.into_iter().zip(&mut figures.0) {
                if let Some((product, tasks)) = work {
                    refill(product, tasks).await;
                }
                let turns = callers.into_iter().map(|caller| tokio::spawn(caller.turn(kind, calls)));
                callers = Vec::new();
                for turn in turns.collect::<Vec<_>>() {
                    let (caller, took) = turn.await.expect("no panic");
                    callers.push(caller);
                    figures.extend(took);
                }
            }
        }
        for figures in &mut figures.0 {
            figures.sort_unstable();
        }
        (callers, figures)
    }

    fn at(&self, call: usize, share: f64) -> f64 {
        let sorted = &self.0[call];
        let last = sorted.len() - 1;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list"
        )]
        let at = (last as f64 * share).round() as usize;
        sorted[at].as_secs_f64() * 1e6
    }

    fn report(&self, when: &str) {
        println!("\n{when:<44} {:>10} {:>10} {:>10} {:>10}", "p50 us", "p99 us", "p50 ratio", "p99 ratio");
        for (index, call) in Call::ALL.into_iter().enumerate() {
            let [p50, p99] = [0.5, 0.99].map(|share| self.at(index, share));
            let [least50, least99] = [0.5, 0.99].map(|share| self.at(0, share));
            println!(
                "  {:<42} {p50:>10.0} {p99:>10.0} {:>10.2} {:>10.2}",
                call.label(),
                p50 / least50,
                p99 / least99
            );
        }
    }
}

/// Sees to it that handlers run.
async fn refill(product: &Product, tasks: u64) {
    if !product.works() {
        product.steer(NodeCommand::Pause).await;
        product.bulk(tasks, 1_000).await;
        product.begin_work_off(tasks).await;
    }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let sizes = if quick { QUICK } else { FULL };
    let servers = runtime::control_runtime().expect("threads");
    let clients = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("clients")
        .enable_all()
        .build()
        .expect("threads");
    let telemetry = setup::telemetry();
    for with_tls in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let flush = bare::fsync_p50(folder.path());
        println!(
            "\n{}; fsync p50 {:.0} us",
            if with_tls { "TLS" } else { "no TLS" },
            flush.as_secs_f64() * 1e6
        );
        let both = servers.block_on(Servers::start(folder.path(), with_tls, &telemetry));
        for (turns, count) in sizes.turns.into_iter().zip([1_usize, 16]) {
            let mut callers = Vec::new();
            for _ in 0..count {
                callers.push(clients.block_on(both.caller()));
            }
            let ask = |callers, work| clients.block_on(Figures::measure(callers, turns, sizes.calls, work));
            let (callers, idle) = ask(callers, None);
            idle.report(&format!("{count} at once, the tree idles"));
            let (_, busy) = ask(callers, Some((&both.product, sizes.tasks)));
            busy.report(&format!("{count} at once, the tree works"));
        }
        servers.block_on(both.product.stop());
    }
    setup::print_load_average();
}
