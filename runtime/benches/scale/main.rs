//! Lists, counts and overview over a million tasks, beside an empty call, in one run: `cargo xtask bench scale [--quick]`.
//!
//! The store is filled through its own port: several apps, queues, tenants and scopes, most of them in a few; tasks in every state, finished
//! ones in history. Then every look that operators take often is taken through the admin API, by filters that find much, little and
//! nothing, while a worker works off tasks beside it. What counts is the time beside that of an empty call.

#[path = "../control/empty.rs"]
mod empty;
mod fill;
#[path = "../table/product.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod product;
#[path = "../control/tls.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use empty::{Empty, check};
use product::{Product, Work};
use runtime::admin::{AdminClient, v1};
use runtime::config::TelemetryConfig;
use runtime::core::control::NodeCommand;
use runtime::core::task::TaskId;
use runtime::telemetry::{Identity, LogSink, Telemetry, TelemetryGuard};
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;

/// How much is looked at.
struct Sizes {
    tasks: u64,
    /// Times that each look is taken, idle and at work each.
    turns: usize,
    /// Tasks that the worker beside has whenever it has none.
    refill: u64,
}

const QUICK: Sizes = Sizes { tasks: 100_000, turns: 20, refill: 50_000 };
const FULL: Sizes = Sizes { tasks: 1_000_000, turns: 100, refill: 200_000 };

/// One look of an operator.
#[derive(Debug, Clone)]
enum Look {
    Empty,
    List(&'static str),
    /// So many pages on.
    Deep(&'static str, usize),
    Count(&'static str),
    Dead(&'static str),
    DeadGroups(&'static str),
    Queues,
    QueueStats,
    Overview,
    Task,
    Schedules,
}

const LOOKS: &[Look] = &[
    Look::Empty,
    Look::List(""),
    Look::Deep("", 200),
    Look::List("state=ready"),
    Look::List("state=parked"),
    Look::List("state=parked OR state=dead"),
    Look::List("queue=mail"),
    Look::List("queue=mail OR queue=loans"),
    Look::List("app=books"),
    Look::List("tenant=t3"),
    Look::List("tenant=rare"),
    Look::List("tenant=nobody"),
    Look::List("scope=store=42"),
    Look::List("scope:store=1"),
    Look::List("scope:depot="),
    Look::List("scope:nowhere="),
    Look::List("code=poison"),
    Look::List("state=done AND queue=quiet"),
    Look::List("NOT (state=done OR state=ready OR state=scheduled)"),
    Look::List("created<2001-01-01T00:00:00Z"),
    Look::Count(""),
    Look::Count("state=dead AND queue=mail"),
    Look::Count("app=books AND NOT state=done"),
    Look::Count("tenant=t3"),
    Look::Count("scope=store=42"),
    Look::Count("scope:nowhere="),
    Look::Dead(""),
    Look::Deep("state=dead", 200),
    Look::Dead("queue=mail"),
    Look::Dead("tenant=t3"),
    Look::Dead("tenant=rare"),
    Look::Dead("code=poison"),
    Look::Dead("scope:depot="),
    Look::Dead("class=retryable AND NOT queue=mail"),
    Look::DeadGroups(""),
    Look::DeadGroups("queue=mail"),
    Look::DeadGroups("code=poison"),
    Look::DeadGroups("tenant=rare"),
    Look::DeadGroups("tenant=t0"),
    Look::DeadGroups("NOT tenant=t0"),
    Look::Queues,
    Look::QueueStats,
    Look::Overview,
    Look::Task,
    Look::Schedules,
];

/// Somebody who looks.
struct Operator {
    admin: AdminClient,
    empty: HealthClient<Channel>,
    task: TaskId,
}

impl Operator {
    async fn page(&self, filter: &str, page_token: String) -> v1::ListTasksResponse {
        let request = v1::ListTasksRequest { filter: filter.into(), page_size: 50, page_token };
        self.admin.list_tasks(request).await.expect("an answer")
    }

    /// Where a deep page begins.
    async fn deep(&self, filter: &str, pages: usize) -> String {
        let mut token = String::new();
        for _ in 0..pages {
            token = self.page(filter, token).await.next_page_token;
        }
        token
    }

    /// Takes a look; what it found, for the table.
    async fn take(&mut self, look: &Look, token: &str) -> String {
        match look {
            Look::Empty => {
                check(&mut self.empty).await;
                String::new()
            }
            Look::List(filter) | Look::Deep(filter, _) => {
                let page = self.page(filter, token.to_owned()).await;
                format!(
                    "{} tasks{}",
                    page.tasks.len(),
                    if page.next_page_token.is_empty() { "" } else { ", more" }
                )
            }
            Look::Count(filter) => {
                let count = self.admin.count_tasks(filter).await.expect("an answer");
                format!("{}{}", if count.at_least { "at least " } else { "" }, count.total)
            }
            Look::Dead(filter) => {
                let request = v1::ListDeadLettersRequest {
                    filter: (*filter).into(),
                    page_size: 50,
                    page_token: String::new(),
                };
                let page = self.admin.list_dead_letters(request).await.expect("an answer");
                format!(
                    "{} tasks{}",
                    page.tasks.len(),
                    if page.next_page_token.is_empty() { "" } else { ", more" }
                )
            }
            Look::DeadGroups(filter) => {
                let found = self.admin.dead_letter_groups(filter).await.expect("an answer");
                format!("{} in {} groups", found.total, found.groups.len())
            }
            Look::Queues => format!("{} queues", self.admin.queues().await.expect("an answer").len()),
            Look::QueueStats => {
                let stats =
                    self.admin.queue_stats(&"mail".parse().expect("a name")).await.expect("an answer");
                format!("{} live", stats.live)
            }
            Look::Overview => {
                format!("{} queues", self.admin.overview().await.expect("an answer").queues.len())
            }
            Look::Task => {
                self.admin.task(self.task).await.expect("an answer");
                String::new()
            }
            Look::Schedules => {
                format!("{} schedules", self.admin.schedules().await.expect("an answer").len())
            }
        }
    }
}

impl Look {
    fn label(&self) -> String {
        match self {
            Self::Empty => "empty call".into(),
            Self::List(filter) => format!("ListTasks {filter}"),
            Self::Deep(filter, pages) => format!("ListTasks {filter} (page {pages})"),
            Self::Count(filter) => format!("CountTasks {filter}"),
            Self::Dead(filter) => format!("ListDeadLetters {filter}"),
            Self::DeadGroups(filter) => format!("CountDeadLetters {filter}"),
            Self::Queues => "ListQueues".into(),
            Self::QueueStats => "GetQueueStats mail".into(),
            Self::Overview => "GetOverview".into(),
            Self::Task => "GetTask".into(),
            Self::Schedules => "ListSchedules".into(),
        }
    }
}

/// Takes every look so many times, and prints how long it took.
async fn measure(operator: &mut Operator, turns: usize, work: Option<(&Product, u64)>) {
    println!("{:<66} {:>8} {:>8} {:>8}  found", "", "p50 ms", "p99 ms", "max ms");
    for look in LOOKS {
        let token = match look {
            Look::Deep(filter, pages) => operator.deep(filter, *pages).await,
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
        let at = |share: usize| ms(took[(took.len() * share / 100).min(took.len() - 1)]);
        println!(
            "{:<66} {:>8.2} {:>8.2} {:>8.2}  {found}",
            look.label(),
            at(50),
            at(99),
            ms(took[took.len() - 1])
        );
    }
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

async fn run(sizes: &Sizes, telemetry: &TelemetryGuard) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = product::config(folder.path());
    let store = product::app(&Arc::default()).open_store(&config).await.expect("the store opens");
    let began = Instant::now();
    let task = fill::fill(&*store, sizes.tasks).await;
    store.close().await.expect("closed");
    println!("\n{} tasks, filled in {:.0} s", sizes.tasks, began.elapsed().as_secs_f64());
    let began = Instant::now();
    let product = Product::configured(&config, telemetry, Work::Noop).await;
    println!("opened in {:.2} s", began.elapsed().as_secs_f64());
    let server = Empty::serve(None).await;
    let admin = AdminClient::connect(&product.admin_endpoint()).await.expect("connected");
    let mut operator = Operator { admin, empty: server.connect(None).await, task };
    println!("\nnobody works");
    measure(&mut operator, sizes.turns, None).await;
    println!("\na worker works off tasks");
    measure(&mut operator, sizes.turns, Some((&product, sizes.refill))).await;
    product.stop().await;
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let sizes = if quick { QUICK } else { FULL };
    let identity = Identity { service: "bench".into(), instance: "bench".into(), version: "0".into() };
    let (dispatch, telemetry) =
        Telemetry::scoped(&TelemetryConfig::default(), &identity, LogSink::new(std::io::sink))
            .expect("telemetry")
            .into_parts();
    tracing::dispatcher::set_global_default(dispatch).expect("the only subscriber");
    runtime::control_runtime().expect("threads").block_on(run(&sizes, &telemetry));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\nload average at the end: {}", load.trim());
}
