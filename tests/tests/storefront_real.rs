//! The shop on public data, in its own process: what its workers write equals what the domain crate says of the same
//! rows, in one direct calculation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use jiff::SignedDuration;
use runtime_admin::AdminClient;
use runtime_core::control::NodeCommand;
use runtime_core::name::QueueName;
use runtime_core::store::{SqlValue, TaskCommand};
use runtime_tests::eventually_within;
use runtime_tests::ground::GroundProcess;
use runtime_tests::servers::public_data;
use runtime_tests::shop::ShopFolder;
use storefront::catalogue::Catalogue;
use storefront::data::{BATCH, Journey, MovieLens, read_cdnow, store};
use storefront::provider::PaymentProvider;
use storefront_domain::{
    Bucket, CategoryModel, Fact, Period, PeriodKind, RecommendationRules, Rollups, Sale, Settlement,
    SettlementTerms, StoreId, Zone,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_storefront_under_test");

/// How long a million rows may take on a busy machine, unoptimised.
const LONG: Duration = Duration::from_mins(20);

/// Lines of the file, and their sum in cents: counted once with another reader.
const LINES: u64 = 1_469_307;
const CENTS: i64 = 459_603_958;

/// How often the shop is killed: while it takes the rows in, and while it settles.
const KILLS_AT_IMPORT: u64 = 2;
const KILLS_AT_WORK: u64 = 18;

fn zone() -> Zone {
    Zone::named("America/New_York").expect("a zone")
}

fn seeded() -> Rng {
    let given = std::env::var("RUNTIME_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}: RUNTIME_SEED={seed} runs it again");
    Rng::with_seed(seed)
}

async fn done(client: &AdminClient, queue: &str) -> (u64, u64) {
    let stats = client.queue_stats(&QueueName::new(queue).expect("a name")).await;
    let counts = stats.ok().and_then(|stats| stats.counts).unwrap_or_default();
    (counts.done, counts.scheduled + counts.ready + counts.leased)
}

/// Runs the import to its end; the time it took, and the most memory it held, in KiB.
async fn import(shop: &ShopFolder, words: &[&str]) -> (Duration, u64) {
    let began = Instant::now();
    let mut process = shop.start(&[&["import"], words].concat(), &[]);
    let mut peak = 0;
    let end = eventually_within(LONG, "the import ends", async || {
        let end = process.has_ended();
        if end.is_none() {
            peak = peak.max(process.peak_memory().unwrap_or(0));
        }
        end
    })
    .await;
    assert!(end.success(), "{words:?}: {end}\n{}", shop.log());
    (began.elapsed(), peak)
}

async fn pause(process: &mut GroundProcess, worker: &str) {
    let client = process.client().await;
    let path = format!("/engine/apps/storefront/workers/{worker}").parse().expect("a path");
    client.steer_node(&path, NodeCommand::Pause).await.expect("paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_real_receipts_is_settled_once_through_twenty_kills() {
    let data = public_data::complete_journey().expect("the data is there");
    let mut rng = seeded();
    // Every seventh payment is made and answered with an error, as real providers do.
    let provider = PaymentProvider::start(Some(7)).await.expect("a provider");
    let shop = ShopFolder::new(
        PROGRAM,
        &[
            "app.settlements.every = \"month\"".into(),
            "app.catalogue = \"catalogue.json\"".into(),
            format!("app.settlements.provider = \"{}\"", provider.address()),
        ],
    );
    // Nothing but the data: the bundled catalogue has stores of its own.
    let empty = serde_json::to_vec(&Catalogue::default()).expect("a document");
    std::fs::write(shop.path("catalogue.json"), empty).expect("a file");
    let folder = data.to_str().expect("a path in UTF-8");

    // An operator wants no sums for now: they would take most of the time. The wish outlives the process.
    let mut process = shop.start(&["run"], &[]);
    pause(&mut process, "rollup").await;
    assert_eq!(process.stop().await, 0, "{}", shop.log());

    let mut kills = 0;
    for kill in 1..=KILLS_AT_IMPORT {
        let goal = i64::try_from(LINES * kill / 10).expect("fits") + rng.i64(0..100_000);
        let mut process = shop.start(&["import", "complete-journey", folder], &[]);
        eventually_within(LONG, "rows come in", async || {
            assert!(process.has_ended().is_none(), "the import ended\n{}", shop.log());
            let taken = shop.number("SELECT COALESCE(MAX(id), 0) FROM sales").await.unwrap_or(0);
            (taken >= goal).then_some(())
        })
        .await;
        process.kill().expect("killed");
        kills += 1;
    }
    let (took, import_peak) = import(&shop, &["complete-journey", folder]).await;
    println!("import: the last of {} runs took {:.1} s", kills + 1, took.as_secs_f64());
    assert_eq!(shop.number("SELECT COUNT(*) FROM sales").await, i64::try_from(LINES).ok());
    assert_eq!(shop.number("SELECT SUM(amount_minor) FROM sales").await, Some(CENTS));

    let wanted = directly(&data);
    let all = wanted.len() as u64;
    let began = Instant::now();
    let mut peak = 0;
    for kill in 1..=KILLS_AT_WORK {
        let mut process = shop.start(&["run"], &[]);
        let client = process.client().await;
        let goal = all * kill / (KILLS_AT_WORK + 1);
        // Some of the kills come while it comes up, most while it works.
        if rng.u8(0..4) > 0 {
            eventually_within(LONG, "some stores are settled", async || {
                (done(&client, "settle").await.0 >= goal).then_some(())
            })
            .await;
        }
        peak = peak.max(process.peak_memory().unwrap_or(0));
        process.kill().expect("killed");
        kills += 1;
    }
    let mut process = shop.start(&["run"], &[]);
    let client = process.client().await;
    let mut replayed = 0;
    eventually_within(LONG, "every store is settled for every month", async || {
        let (done, moving) = done(&client, "settle").await;
        if moving == 0 && done < all {
            // Who was there at three deaths is held for poison, rightly or not: an operator lets it run again.
            for task in client.tasks("queue = settle AND state = dead", 1_000).await.expect("listed") {
                let id = task.name.trim_start_matches("tasks/").parse().expect("an id");
                client.steer_task(id, TaskCommand::Retry).await.expect("replayed");
                replayed += 1;
            }
        }
        (done == all).then_some(())
    })
    .await;
    let took = began.elapsed();
    peak = peak.max(process.peak_memory().unwrap_or(0));
    assert_eq!(process.stop().await, 0, "{}", shop.log());

    assert_same_settlements(&shop, &wanted).await;
    let books = provider.books();
    let paid: BTreeMap<String, i64> =
        books.paid.iter().map(|(key, order)| (key.clone(), order.amount_minor)).collect();
    let owed: BTreeMap<String, i64> = wanted
        .values()
        .filter(|settlement| settlement.payout.minor != 0)
        .map(|settlement| (settlement.payout_key(), settlement.payout.minor))
        .collect();
    assert_eq!(paid, owed, "each payout is paid once and nothing else is");
    assert_eq!(books.refused, 0, "no payment was asked for with two amounts");
    let net: i64 = wanted.values().map(|settlement| settlement.net.minor).sum();
    assert_eq!(net, CENTS, "what is settled is what was sold");
    println!(
        "{LINES} receipts, {all} settlements, {kills} kills, {replayed} replayed: settled in {:.1} s ({:.0} receipts/s), {} calls to the provider, \
         {} for what was paid before, {} paid and not answered",
        took.as_secs_f64(),
        LINES as f64 / took.as_secs_f64(),
        books.calls,
        books.repeated,
        books.unanswered
    );
    println!("peak memory: import {} MiB, settling {} MiB", import_peak / 1024, peak / 1024);
}

/// What the domain crate says of the same file, without the platform.
fn directly(folder: &Path) -> BTreeMap<(StoreId, Period), Settlement> {
    let zone = zone();
    let mut sales: BTreeMap<StoreId, Vec<Sale>> = BTreeMap::new();
    for batch in Journey::open(folder, BATCH).expect("the file opens") {
        for sale in batch.expect("a batch") {
            sales.entry(sale.store).or_default().push(sale);
        }
    }
    let mut all = BTreeMap::new();
    for (id, sales) in &sales {
        let terms = SettlementTerms::of(&store(*id, &zone), PeriodKind::Month, SignedDuration::from_hours(6));
        let settled = terms.settle_all(sales, []).expect("each row can be settled");
        all.extend(settled.into_iter().map(|(period, settlement)| ((*id, period), settlement)));
    }
    all
}

async fn assert_same_settlements(shop: &ShopFolder, wanted: &BTreeMap<(StoreId, Period), Settlement>) {
    let sql = "SELECT s.store, s.period, s.closed_at, s.currency, s.net_minor, s.payout_minor, s.receipt IS NOT NULL,
                      l.position, l.kind, l.counted, l.amount_minor
               FROM settlement s JOIN payout_lines l USING (store, period) ORDER BY 1, 2, 8";
    let found: Vec<Vec<SqlValue>> = shop.query(sql, Vec::new()).await.into_iter().map(|row| row.0).collect();
    let number = |number: u64| SqlValue::Integer(i64::try_from(number).expect("fits"));
    let mut expected = Vec::new();
    for ((id, period), settlement) in wanted {
        for (position, line) in (1..).zip(&settlement.lines) {
            let kind = serde_json::to_value(line.kind).expect("a name");
            expected.push(vec![
                number(id.0),
                period.to_string().into(),
                settlement.closed_at.as_millisecond().into(),
                settlement.net.currency.code().into(),
                settlement.net.minor.into(),
                settlement.payout.minor.into(),
                (settlement.payout.minor != 0).into(),
                number(position),
                kind.as_str().expect("a name").into(),
                number(line.rows),
                line.amount.minor.into(),
            ]);
        }
    }
    assert_eq!(found.len(), expected.len(), "as many lines");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_real_purchases_are_what_a_recomputation_gives() {
    let data = public_data::cdnow().expect("the data is there");
    let provider = PaymentProvider::start(None).await.expect("a provider");
    let shop = ShopFolder::new(PROGRAM, &[format!("app.settlements.provider = \"{}\"", provider.address())]);
    import(&shop, &["cdnow", data.to_str().expect("a path in UTF-8")]).await;
    let mut process = shop.start(&["run"], &[]);
    let client = process.client().await;
    eventually_within(LONG, "every day is added up", async || {
        (done(&client, "rollup").await.1 == 0).then_some(())
    })
    .await;
    assert_eq!(process.stop().await, 0, "{}", shop.log());

    let sales = read_cdnow(&data, StoreId(1), &zone()).expect("the file is read");
    let facts: Vec<Fact> = sales.iter().flat_map(Fact::of_sale).collect();
    let mut expected: Vec<Vec<SqlValue>> = Rollups::rebuild(&facts, &zone())
        .iter()
        .map(|(key, total)| {
            let (level, starts_on, hour) = match key.bucket {
                Bucket::Hour { date, hour } => ("hour", date, hour),
                Bucket::Day { date } => ("day", date, 0),
                Bucket::Month { first } => ("month", first, 0),
            };
            vec![
                level.into(),
                starts_on.to_string().into(),
                i64::from(hour).into(),
                key.metric.name().into(),
                i64::try_from(total.count).expect("fits").into(),
                total.sum.to_string().into(),
                total.least.into(),
                total.greatest.into(),
            ]
        })
        .collect();
    let sql =
        "SELECT level, starts_on, hour, metric, counted, total, least, greatest FROM rollup WHERE store = 1";
    let mut found: Vec<Vec<SqlValue>> =
        shop.query(sql, Vec::new()).await.into_iter().map(|row| row.0).collect();
    let by_text = |row: &Vec<SqlValue>| format!("{row:?}");
    expected.sort_by_key(by_text);
    found.sort_by_key(by_text);
    assert_eq!(found, expected);
    println!("{} purchases, {} cells", sales.len(), found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_real_ratings_are_what_a_rebuild_gives() {
    let data = public_data::movielens().expect("the data is there");
    let shop = ShopFolder::new(PROGRAM, &[]);
    import(&shop, &["movielens", data.to_str().expect("a path in UTF-8")]).await;
    let mut process = shop.start(&["run"], &[]);
    let client = process.client().await;
    eventually_within(LONG, "every category has its lists", async || {
        let (done, moving) = done(&client, "recommend").await;
        (done > 0 && moving == 0).then_some(())
    })
    .await;
    let peak = process.peak_memory().unwrap_or(0);
    assert_eq!(process.stop().await, 0, "{}", shop.log());

    let MovieLens { films, ratings } = MovieLens::read(&data, 1).expect("the files are read");
    let categories: BTreeSet<_> = films.iter().flat_map(|film| film.categories.iter().cloned()).collect();
    let mut expected: Vec<Vec<SqlValue>> = Vec::new();
    let number = |number: u64| SqlValue::Integer(i64::try_from(number).expect("fits"));
    for category in &categories {
        let model = CategoryModel::rebuild(category.clone(), &films, &ratings);
        for (product, list) in model.lists(&RecommendationRules::default()) {
            for (position, entry) in (1..).zip(list) {
                expected.push(vec![
                    category.0.as_str().into(),
                    number(product.0),
                    number(position),
                    number(entry.product.0),
                    number(entry.score_ppm),
                    number(entry.together),
                ]);
            }
        }
    }
    let sql =
        "SELECT category, product, position, other, score_ppm, together FROM recommendation ORDER BY 1, 2, 3";
    let found: Vec<Vec<SqlValue>> = shop.query(sql, Vec::new()).await.into_iter().map(|row| row.0).collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    println!(
        "{} ratings, {} categories, {} entries; peak memory {} MiB",
        ratings.len(),
        categories.len(),
        found.len(),
        peak / 1024
    );
}
