//! The shop of the guide, and what happens to it.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use jiff::SignedDuration;
use runtime::core::clock::Clock;
use runtime::stores::SystemClock;
use runtime_admin::AdminClient;
use runtime_core::name::QueueName;
use runtime_proto::v1;
use runtime_tests::ground::GroundProcess;
use runtime_tests::shop::{Counter, ShopFolder};
use runtime_tests::{eventually_async, eventually_within};
use serde_json::json;
use storefront::catalogue::Catalogue;
use storefront::provider::PaymentProvider;
use storefront_domain::{Sample, SampleSize, Store, StoreId};

use crate::gate::{Gate, Way};

/// Everything that the page may ask for, in its order.
const SCENES: [&str; 9] = [
    "a worker is paused",
    "the worker goes on",
    "a scope is paused",
    "the scope goes on",
    "the provider is down",
    "the provider is back",
    "the provider is slow",
    "there are more slots",
    "the provider refuses",
];

/// How long the trouble of the first scene lasts before somebody looks, when the page is written: ages in it should look like it.
const LATE: Duration = Duration::from_secs(20);

/// How long the shop may take to be as a scene says: the longest is a breaker that stays open for its time.
const LONG: Duration = Duration::from_mins(3);

/// Stores that sell something.
const STORES: u64 = 6;

const SMALL: SampleSize =
    SampleSize { products: 12, customers: 4, ratings: 0, sales: 0, holds: 0, members: 0, drafts: 0 };

pub(crate) struct Shop {
    folder: ShopFolder,
    _process: GroundProcess,
    _provider: PaymentProvider,
    gate: Gate,
    client: AdminClient,
    endpoint: String,
    address: SocketAddr,
    sales: usize,
    played: BTreeSet<&'static str>,
    patient: bool,
}

impl Shop {
    /// A shop whose days pass in five seconds each and are settled when they are over. Two people may operate it: alice and olga.
    pub(crate) async fn open(patient: bool) -> Self {
        let provider = PaymentProvider::start(None).await.expect("a provider");
        let gate = Gate::before(provider.address()).await;
        let since = SystemClock.now() - SignedDuration::from_secs(1);
        let settings = [
            "admin.authentication = \"required\"".to_owned(),
            "app.catalogue = \"catalogue.json\"".to_owned(),
            format!(
                "app.settlements = {{ provider = \"{}\", every = \"day\", closing_hours = 0, provider_timeout_ms = 600_000 }}",
                gate.address()
            ),
            format!(
                "app.clock = {{ kind = \"compressed\", starts_at = \"2026-03-02T12:00:00Z\", until = \"2036-03-02T12:00:00Z\", since = \"{since}\", speed = 17_280 }}"
            ),
            "dependencies.payments = { failures = 1, open_for_ms = 40_000 }".to_owned(),
            "workers.settle.slots = 1".to_owned(),
        ];
        let folder = ShopFolder::new(env!("CARGO_BIN_EXE_storefront_under_test"), &settings);
        let mut catalogue = Catalogue::of_sample(&Sample::of_size(7, &SMALL));
        let one = catalogue.stores[0].clone();
        catalogue.stores = (1..=STORES).map(|id| Store { id: StoreId(id), ..one.clone() }).collect();
        let document = serde_json::to_vec(&catalogue).expect("a document");
        std::fs::write(folder.path("catalogue.json"), document).expect("a file");
        for person in ["alice", "olga"] {
            let made = folder
                .command(&["admin", "token", "create", person, "--name", "laptop"])
                .stdout(std::process::Stdio::piped())
                .output()
                .expect("the program starts");
            assert!(made.status.success(), "{}", folder.log());
            let file = folder.path(&format!("{person}.token"));
            std::fs::write(&file, made.stdout).expect("a file");
            std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("a file of one's own");
        }
        symlink(env!("CARGO_BIN_EXE_runtimectl_under_test"), folder.path("runtimectl")).expect("a link");

        let mut process = folder.start(&["run"], &[]);
        let address = folder.address(&mut process).await;
        let endpoint = eventually_async("the admin API listens", async || process.endpoint()).await;
        let token = std::fs::read_to_string(folder.path("alice.token")).expect("a token");
        let client = AdminClient::connect(&endpoint).await.expect("a client");
        let client = client.with_token(token.trim()).expect("a token");
        Self {
            folder,
            _process: process,
            _provider: provider,
            gate,
            client,
            endpoint,
            address,
            sales: 0,
            played: BTreeSet::new(),
            patient,
        }
    }

    /// What olga's terminal shows when she gives this command: what goes wrong before what is asked for.
    pub(crate) async fn give(&self, line: &str) -> String {
        let path: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
        let path = std::env::join_paths([self.folder.path("")].into_iter().chain(path)).expect("a path");
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.folder.path("")).env("PATH", path).env("NO_COLOR", "1");
        shell.env("RUNTIMECTL_ENDPOINT", &self.endpoint);
        shell.env("RUNTIMECTL_TOKEN_FILE", self.folder.path("olga.token"));
        let ended = tokio::task::spawn_blocking(move || shell.output()).await.expect("no panic");
        let Output { stdout, stderr, .. } = ended.expect("a shell");
        let text = String::from_utf8([stderr, stdout].concat()).expect("text");
        text.replace(&self.endpoint, "http://127.0.0.1:7070")
    }

    /// Alice's doing, which olga is to find.
    async fn alice(&self, args: &[&str]) {
        let mut command = Command::new(self.folder.path("runtimectl"));
        command.args(args).env("RUNTIMECTL_ENDPOINT", &self.endpoint);
        command.env("RUNTIMECTL_TOKEN_FILE", self.folder.path("alice.token"));
        let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
        let Output { status, stderr, .. } = ended.expect("the program starts");
        assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
    }

    /// Plays a scene until the world is as it says.
    pub(crate) async fn play(&mut self, name: &str) {
        let known = SCENES.iter().find(|known| **known == name);
        self.played.insert(known.unwrap_or_else(|| panic!("nobody knows the scene {name:?}")));
        match name {
            "a worker is paused" => {
                let why = "the sums are wrong, looking into it";
                self.alice(&["node", "pause", "storefront/workers/rollup", "--reason", why]).await;
                self.sell(1..=2).await;
                self.until("rollup", |counts| counts.ready == 2).await;
                self.until("settle", |counts| counts.done == 2).await;
                if self.patient {
                    tokio::time::sleep(LATE).await;
                }
            }
            "a scope is paused" => {
                let (scope, why) = ("store=1", "its till sends nonsense");
                self.alice(&["queue", "pause", "rollup", "--scope", scope, "--reason", why]).await;
                self.sell(1..=2).await;
                self.until("rollup", |counts| counts.ready == 1 && counts.done == 3).await;
            }
            "the worker goes on" | "the scope goes on" | "the provider is back" => {
                self.gate.set(Way::Open);
                self.until_idle().await;
            }
            "the provider is down" => {
                self.gate.set(Way::Cut);
                self.sell(1..=1).await;
                eventually_async("the breaker opens", async || {
                    let overview = self.client.overview().await.ok()?;
                    let open = |view: &v1::Dependency| view.state() == v1::BreakerState::Open;
                    overview.dependencies.iter().any(open).then_some(())
                })
                .await;
                self.sell(2..=4).await;
                self.until("settle", |counts| counts.ready == 4).await;
                self.until("rollup", |counts| counts.done == 8).await;
            }
            "the provider is slow" => {
                self.gate.set(Way::Held);
                self.sell(1..=STORES).await;
                self.until("settle", |counts| counts.leased == 1 && counts.ready == 5).await;
            }
            "there are more slots" => self.until("settle", |counts| counts.leased == 4).await,
            "the provider refuses" => {
                self.gate.set(Way::Open);
                self.until_idle().await;
                self.gate.set(Way::Refusing);
                self.sell(1..=3).await;
                self.until("settle", |counts| counts.dead == 3).await;
            }
            _ => unreachable!("every scene is played"),
        }
    }

    pub(crate) fn every_scene_was_played(&self) {
        assert_eq!(self.played, SCENES.into_iter().collect());
    }

    /// Each of these stores sells something, today.
    async fn sell(&mut self, stores: std::ops::RangeInclusive<u64>) {
        let mut counter = Counter::at(self.address).await.expect("the shop listens");
        for store in stores {
            self.sales += 1;
            let sale =
                json!({ "store": store, "customer": 1, "product": 1, "quantity": 1, "amount_minor": 1_999 });
            let key = format!("sale-{}", self.sales);
            let (status, answer) = counter.post("/sales", Some(&key), &sale).await.expect("an answer");
            assert_eq!(status.as_u16(), 201, "{answer}");
        }
    }

    async fn until_idle(&self) {
        for queue in ["rollup", "settle"] {
            self.until(queue, |counts| counts.ready + counts.leased + counts.scheduled == 0).await;
        }
    }

    async fn until(&self, queue: &str, fits: impl Fn(&v1::TaskCounts) -> bool) {
        let queue = QueueName::new(queue).expect("a name");
        let what = format!("queue {queue} is as the scene says");
        eventually_within(LONG, &what, async || {
            let stats = self.client.queue_stats(&queue).await.ok()?;
            fits(&stats.counts.unwrap_or_default()).then_some(())
        })
        .await;
    }
}
