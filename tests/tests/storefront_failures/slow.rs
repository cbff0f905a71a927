//! Slow work inline: with a long backlog a request still takes its own time, and a variant that does the work before it
//! answers takes the backlog's.

use std::time::{Duration, Instant};

use jiff::ToSpan;
use jiff::civil::date;
use runtime::core::store::Enqueued;
use runtime::prelude::*;
use runtime::stores::SqliteReader;
use runtime::{App, ConfigArgs, Setup};
use runtime_core::name::QueueName;
use runtime_tests::shop::Counter;
use serde_json::json;
use storefront::config::StorefrontConfig;
use storefront::module::{APP, Storefront};
use storefront::workers::rollup::RollUp;

use crate::world::World;

/// Tasks that wait when the shop opens.
const BACKLOG: u32 = if cfg!(feature = "nightly") { 1_000_000 } else { 50_000 };

/// Requests that are timed, one after the other.
const REQUESTS: usize = 200;

/// Requests to the variant, and when it is no longer waited for.
const INLINE: usize = 2;
const ENOUGH: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_request_takes_its_own_time_whatever_waits() {
    let world = World::on_the_wall().await;
    fill(&world).await;
    let mut process = world.start(None);
    let client = process.client().await;
    let address = world.shop.address(&mut process).await;
    let waiting = async || {
        let stats = client.queue_stats(&QueueName::new("rollup").expect("a name")).await.expect("stats");
        let counts = stats.counts.unwrap_or_default();
        counts.ready + counts.scheduled
    };

    let mut counter = Counter::at(address).await.expect("the shop listens");
    let sale = json!({ "store": 1, "customer": 1, "product": 1, "quantity": 1, "amount_minor": 100 });
    let before = waiting().await;
    let mut took = Vec::new();
    for _ in 0..REQUESTS {
        let began = Instant::now();
        let (status, answer) = counter.post("/sales", None, &sale).await.expect("an answer");
        took.push(began.elapsed());
        assert_eq!(status.as_u16(), 201, "{answer}");
    }
    took.sort();
    let p99 = took[REQUESTS * 99 / 100];

    // The variant: it answers when what follows from the request is done.
    let mut inline = Vec::new();
    for _ in 0..INLINE {
        let began = Instant::now();
        let (_, answer) = counter.post("/sales", None, &sale).await.expect("an answer");
        let known = answer["sale"].as_u64().expect("a number");
        while began.elapsed() < ENOUGH && !is_added_up(&world, known).await {
            tokio::task::yield_now().await;
        }
        inline.push(began.elapsed());
    }
    inline.sort();
    let after = waiting().await;
    println!(
        "{before} tasks waited, {after} still do: p50 {:?}, p99 {p99:?}; inline p99 {:?}",
        took[REQUESTS / 2],
        inline[INLINE - 1]
    );
    assert!(after > 0, "the backlog lasted as long as the requests");
    assert!(p99 * 4 < inline[INLINE - 1], "a request waits for the store alone");
}

/// Puts the backlog into the shop's store before it opens: sums of days on which nothing was sold.
async fn fill(world: &World) {
    let app = App::<StorefrontConfig>::configured(APP).module(Storefront);
    let args = ConfigArgs { config: Some(world.shop.path("shop.toml")), ..ConfigArgs::default() };
    let config = app.load(&args).expect("a configuration").value;
    let store = app.open_store(&config).await.expect("the store opens");
    let route = Setup::route_of(APP, "rollup").expect("a route");
    let first = date(1000, 1, 1);
    for block in 0..BACKLOG / 1_000 {
        let tasks = (0..1_000).map(|day| {
            let day = i64::from(block * 1_000 + day);
            let date = first.checked_add((day % 300_000).days()).expect("a date");
            let ask = RollUp { store: u64::try_from(1 + day / 300_000).expect("not negative"), date };
            NewTask::of(route.clone(), &ask).expect("a task")
        });
        for answer in store.enqueue(tasks.collect()).await.expect("enqueued") {
            assert!(matches!(answer, Ok(Enqueued::Accepted { .. })), "{answer:?}");
        }
    }
    store.close().await.expect("closed");
}

/// Whether the sums hold a sale: as many as were made up to it.
async fn is_added_up(world: &World, sale: u64) -> bool {
    let reader = SqliteReader::open(&world.shop.store_file()).expect("the store opens");
    let sql =
        "SELECT (SELECT COALESCE(SUM(counted), 0) FROM rollup WHERE level = 'month' AND metric = 'revenue')
                   >= (SELECT COUNT(*) FROM sales WHERE id <= ?1)";
    let rows = reader.query_app(sql, vec![i64::try_from(sale).expect("fits").into()]).await.expect("rows");
    rows[0].integer(0).expect("a number") > 0
}
