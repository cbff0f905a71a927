//! One shop with customers who do something of every kind, through ten weeks that pass in seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;
use runtime::core::clock::Clock;
use runtime::stores::SystemClock;
use runtime_admin::AdminClient;
use runtime_core::store::{SqlValue, TaskCommand};
use runtime_tests::eventually_within;
use runtime_tests::ground::GroundProcess;
use runtime_tests::shop::{Counter, ShopFolder};
use serde_json::{Value, json};
use storefront::catalogue::Catalogue;
use storefront::provider::PaymentProvider;
use storefront_domain::{Sample, SampleSize};

const PROGRAM: &str = env!("CARGO_BIN_EXE_storefront_under_test");

/// How long anything may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_mins(5);

/// The six workers.
pub(crate) const WORKERS: [&str; 6] = ["recommend", "expire", "settle", "grace", "rollup", "notify"];

/// Customers; each does one thing of every kind.
pub(crate) const CUSTOMERS: u64 = 6;

/// What each sale costs, in minor units.
const AMOUNT: u64 = 1_999;

const SMALL: SampleSize =
    SampleSize { products: 12, customers: CUSTOMERS, ratings: 0, sales: 0, holds: 0, members: 0, drafts: 0 };

/// A shop, its payment provider, and its time.
pub(crate) struct World {
    pub(crate) provider: PaymentProvider,
    pub(crate) shop: ShopFolder,
    catalogue: Catalogue,
}

/// One request: path and body. Its place in the list is its name.
pub(crate) type Ask = (String, Value);

impl World {
    /// A shop on the wall's clock.
    pub(crate) async fn on_the_wall() -> Self {
        Self::with(&[]).await
    }

    /// A shop whose ten weeks from March 2026 begin in a few seconds and are over a few seconds later.
    pub(crate) async fn in_a_hurry() -> Self {
        let since = SystemClock.now() + SignedDuration::from_secs(4);
        let clock = format!(
            "app.clock = {{ kind = \"compressed\", starts_at = \"2026-03-02T12:00:00Z\", until = \"2026-05-18T12:30:00Z\", \
             since = \"{since}\", speed = 2_500_000 }}"
        );
        // One letter at a time, so that a crash catches one of them at most.
        Self::with(&[clock, "workers.notify.slots = 1".to_owned()]).await
    }

    async fn with(settings: &[String]) -> Self {
        let provider = PaymentProvider::start(Some(3)).await.expect("a provider");
        let provided = format!("app.settlements.provider = \"{}\"", provider.address());
        let own = ["app.catalogue = \"catalogue.json\"".to_owned(), provided];
        let shop = ShopFolder::new(PROGRAM, &[&own, settings].concat());
        let catalogue = Catalogue::of_sample(&Sample::of_size(7, &SMALL));
        let document = serde_json::to_vec(&catalogue).expect("a document");
        std::fs::write(shop.path("catalogue.json"), document).expect("a file");
        Self { provider, shop, catalogue }
    }

    /// Starts the shop; when a place is named, until it comes by there for so many-th time.
    pub(crate) fn start(&self, failpoint: Option<(&str, u32)>) -> GroundProcess {
        let variables: Vec<_> =
            failpoint.iter().map(|(name, time)| ("RUNTIME_FAILPOINT", format!("{name}:{time}"))).collect();
        self.shop.start(&["run"], &variables)
    }

    /// What the customers do: buy, hold, rate, join, and have something to be told.
    pub(crate) fn asks(&self) -> Vec<Ask> {
        let (stores, products) = (&self.catalogue.stores, &self.catalogue.products);
        let mut asks = Vec::new();
        for (index, customer) in self.catalogue.customers.iter().enumerate() {
            let (customer, store) = (customer.id, stores[index % stores.len()].id);
            let product = products[index % products.len()].id;
            let mut ask = |path: &str, body: Value| asks.push((path.to_owned(), body));
            let at = "2026-03-01T10:00:00Z";
            ask(
                "/sales",
                json!({ "store": store, "customer": customer, "product": product, "quantity": 1, "amount_minor": AMOUNT, "at": at }),
            );
            ask(
                "/reservations",
                json!({ "customer": customer, "product": product, "quantity": 1, "at": at }),
            );
            ask("/ratings", json!({ "customer": customer, "product": product, "stars": 4, "at": at }));
            ask("/members", json!({ "customer": customer, "at": at }));
            ask(
                "/drafts",
                json!({ "recipient": customer, "topic": "refund", "line": format!("line of {customer}."), "at": at }),
            );
        }
        asks
    }

    /// Sends each request so many times, at once and each under its own key; answers do not matter.
    pub(crate) async fn send(&self, process: &mut GroundProcess, asks: &[Ask], times: usize, keyed: bool) {
        let address = std::fs::read_to_string(self.shop.address_file());
        let address = match address.ok().and_then(|text| text.parse().ok()) {
            Some(address) => address,
            None if process.has_ended().is_some() => return,
            None => self.shop.address(process).await,
        };
        join_all(asks.iter().enumerate().map(|(index, (path, body))| async move {
            let key = format!("ask-{index}");
            let Ok(mut counter) = Counter::at(address).await else { return };
            for _ in 0..times {
                if counter.post(path, keyed.then_some(&key), body).await.is_err() {
                    return;
                }
            }
        }))
        .await;
    }

    /// Sends each request under its key until the shop has taken it: a customer who does not give up.
    pub(crate) async fn insist(&self, process: &mut GroundProcess, asks: &[Ask]) {
        let address = self.shop.address(process).await;
        for (index, (path, body)) in asks.iter().enumerate() {
            let key = format!("ask-{index}");
            eventually_within(LONG, "the shop takes a request", async || {
                let (status, answer) =
                    Counter::at(address).await.ok()?.post(path, Some(&key), body).await.ok()?;
                assert!(!status.is_client_error(), "{path}: {status} {answer}");
                status.is_success().then_some(())
            })
            .await;
        }
    }

    /// Everything that counts, as it stands: the app's rows, the payments, the letters.
    pub(crate) async fn state(&self) -> BTreeMap<String, Vec<String>> {
        let mut state = BTreeMap::new();
        for (table, columns) in [
            ("sales", "*"),
            ("ratings", "*"),
            ("reservations", "*"),
            ("stock", "*"),
            ("members", "*"),
            ("drafts", "*"),
            ("promotions", "*"),
            ("closed_periods", "*"),
            ("settlement", "*"),
            ("payout_lines", "*"),
            ("rollup", "*"),
            ("recommendation", "*"),
            ("recommendation_model", "*"),
            // Not as of when it was last looked at.
            ("membership", "member, state, since, paid_until"),
            ("membership_change", "*"),
        ] {
            let rows =
                self.shop.query(&format!("SELECT {columns} FROM {table} ORDER BY 1, 2"), Vec::new()).await;
            state.insert(table.to_owned(), rows.iter().map(|row| format!("{:?}", row.0)).collect());
        }
        let paid = self.provider.books().paid;
        state.insert("paid".into(), paid.values().map(|order| format!("{order:?}")).collect());
        let letters = self.shop.letters();
        state.insert("letters".into(), letters.iter().map(|path| path.display().to_string()).collect());
        state
    }

    /// Counts what the customers' requests did in the end; each exactly once, or what is wrong.
    pub(crate) async fn counted_once(&self) -> Result<(), String> {
        let customers = i64::try_from(CUSTOMERS).expect("fits");
        let sold = customers * i64::try_from(AMOUNT).expect("fits");
        for (what, sql, wanted) in [
            ("sales", "SELECT COUNT(*) FROM sales", customers),
            ("money settled", "SELECT COALESCE(SUM(net_minor), 0) FROM settlement", sold),
            (
                "money in the months' sums",
                "SELECT COALESCE(SUM(CAST(total AS INTEGER)), 0) FROM rollup WHERE level = 'month' AND metric = 'revenue'",
                sold,
            ),
            ("holds", "SELECT COUNT(*) FROM reservations", customers),
            ("holds given back", "SELECT COUNT(*) FROM reservations WHERE state = 'released'", customers),
            ("pieces held", "SELECT SUM(held) FROM stock", 0),
            ("ratings", "SELECT COUNT(*) FROM ratings", customers),
            ("members", "SELECT COUNT(*) FROM members", customers),
            ("members that stand somewhere", "SELECT COUNT(*) FROM membership", customers),
            (
                "changes of one member",
                "SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM membership_change GROUP BY member)",
                3,
            ),
            ("changes of members", "SELECT COUNT(*) FROM membership_change", 3 * customers),
            ("drafts", "SELECT COUNT(*) FROM drafts", customers),
            ("drafts promoted", "SELECT COUNT(*) FROM drafts WHERE promotion IS NOT NULL", customers),
        ] {
            let found = self.shop.number(sql).await;
            if found != Some(wanted) {
                return Err(format!("{what}: {found:?} instead of {wanted}"));
            }
        }
        let free: i64 = self.catalogue.stock.iter().map(|stock| i64::from(stock.free)).sum();
        let found = self.shop.number("SELECT SUM(free) FROM stock").await;
        if found != Some(free) {
            return Err(format!("pieces free: {found:?} instead of {free}"));
        }
        let owed = self
            .shop
            .query("SELECT payout_minor FROM settlement WHERE payout_minor <> 0 ORDER BY 1", Vec::new())
            .await;
        let owed: Vec<SqlValue> = owed.into_iter().flat_map(|row| row.0).collect();
        let books = self.provider.books();
        let mut paid: Vec<i64> = books.paid.values().map(|order| order.amount_minor).collect();
        paid.sort_unstable();
        if owed != paid.iter().map(|paid| SqlValue::Integer(*paid)).collect::<Vec<_>>() || books.refused > 0 {
            return Err(format!("paid {paid:?} of {owed:?}, {} refused", books.refused));
        }
        let letters: Vec<String> =
            self.shop.letters().iter().map(|path| std::fs::read_to_string(path).expect("a letter")).collect();
        for customer in &self.catalogue.customers {
            let line = format!("line of {}.", customer.id);
            let told = letters.iter().filter(|letter| letter.contains(&line)).count();
            if told != 1 {
                return Err(format!("{line} is in {told} of {} letters", letters.len()));
            }
        }
        Ok(())
    }
}

/// Waits until no worker has anything left that runs by itself.
pub(crate) async fn until_idle(client: &AdminClient) {
    eventually_within(LONG, "every queue is idle", async || {
        let moving = moving(client).await.expect("the queues are listed");
        (moving == 0).then_some(())
    })
    .await;
}

/// Tasks that wait or run; `None` when nobody answers.
pub(crate) async fn moving(client: &AdminClient) -> Option<u64> {
    let queues = client.queues().await.ok()?;
    let counts = queues.into_iter().filter_map(|queue| queue.stats.and_then(|stats| stats.counts));
    Some(counts.map(|counts| counts.ready + counts.leased + counts.scheduled).sum())
}

/// Decides what a person has to: a letter that may have left, by what the spool shows. How many were asked about.
pub(crate) async fn decide(world: &World, client: &AdminClient) -> usize {
    let parked = client.tasks("state = parked", 1_000).await.expect("listed");
    for task in &parked {
        let id = task.name.trim_start_matches("tasks/");
        let left = world.shop.letters().iter().any(|letter| letter.display().to_string().contains(id));
        let command = if left { TaskCommand::Approve } else { TaskCommand::Reject };
        client.steer_task(id.parse().expect("an id"), command).await.expect("decided");
    }
    parked.len()
}
