//! One running shop, and somebody who calls it.

use std::net::SocketAddr;
use std::time::Duration;

use runtime::config::RuntimeConfig;
use runtime::core::control::{Command, NodeCommand, ask};
use runtime::core::task::TaskState;
use runtime::telemetry::{Identity, LogSink, Telemetry};
use runtime::{App, Running};
use serde_json::Value;
use storefront::config::StorefrontConfig;
use storefront::http_call::{Call, Connection};
use storefront::module::{APP, HTTP, Storefront};

/// A shop in a folder of its own. Its workers are there; what is due by the wall's clock is due in minutes and days.
pub(crate) struct Shop {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// What a caller is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) again: bool,
    pub(crate) body: Value,
}

impl Told {
    pub(crate) fn field(&self) -> &str {
        self.body["field"].as_str().unwrap_or_default()
    }
}

impl Shop {
    pub(crate) async fn open(change: impl FnOnce(&mut RuntimeConfig<StorefrontConfig>)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = RuntimeConfig::<StorefrontConfig>::default();
        config.runtime.data_dir = folder.path().join("data");
        config.admin.enabled = false;
        config.app.listen = ([127, 0, 0, 1], 0).into();
        config.app.address_file = Some(folder.path().join("http.addr"));
        config.app.notifications.spool = folder.path().join("letters");
        change(&mut config);
        let name = |text: &str| text.to_owned();
        let identity = Identity { service: name(APP), instance: name("test"), version: name("0") };
        let telemetry = Telemetry::scoped(&config.telemetry, &identity, LogSink::stderr()).unwrap();
        let (_, telemetry) = telemetry.into_parts();
        let app = App::<StorefrontConfig>::configured(APP).module(Storefront);
        let running = app.start(&config, &telemetry).await.unwrap();
        let address = std::fs::read_to_string(folder.path().join("http.addr")).unwrap().parse().unwrap();
        Self { running, address, _folder: folder }
    }

    pub(crate) async fn call(
        &self,
        method: &'static str,
        path: &str,
        key: Option<&str>,
        body: Vec<u8>,
    ) -> Told {
        let mut connection = Connection::open(self.address).await.unwrap();
        let (head, body) = connection.call(Call { method, path, key, body }).await.unwrap();
        let header = |name: &str| head.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Told {
            status: head.status().as_u16(),
            retry_after: header("retry-after"),
            again: header("idempotent-replayed").is_some(),
            body: serde_json::from_slice(&body).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Told {
        self.call("GET", path, None, Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Told {
        self.call("POST", path, None, body.to_string().into_bytes()).await
    }

    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Value) -> Told {
        self.call("POST", path, Some(key), body.to_string().into_bytes()).await
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        self.running.store().query_app(&sql, Vec::new()).await.unwrap()[0].integer(0).unwrap()
    }

    pub(crate) async fn door(&self, command: NodeCommand) {
        self.steer(&format!("sources/{HTTP}"), command).await;
    }

    /// Steers a node of the shop.
    pub(crate) async fn steer(&self, node: &str, command: NodeCommand) {
        let path = format!("/engine/apps/{APP}/{node}").parse().unwrap();
        ask(&*self.running.control(), |reply| Command::SteerNode {
            path,
            command,
            terms: Default::default(),
            reply,
        })
        .await
        .unwrap();
    }

    /// Asks until it is told so.
    pub(crate) async fn until(&self, path: &str, status: u16) -> Told {
        let asking = async {
            loop {
                let told = self.get(path).await;
                if told.status == status {
                    return told;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asking).await.expect("told so in a minute")
    }

    /// Looks until a task of the worker is ready.
    pub(crate) async fn until_ready(&self, worker: &str) {
        self.until_waiting(worker, |ready, _| ready > 0).await;
    }

    /// Looks until the worker has nothing to do.
    pub(crate) async fn until_idle(&self, worker: &str) {
        self.until_waiting(worker, |ready, live| ready == 0 && live == 0).await;
    }

    async fn until_waiting(&self, worker: &str, enough: impl Fn(u64, u64) -> bool) {
        let looking = async {
            loop {
                let stats = self.running.store().queue_stats().await.unwrap();
                let mine = stats.iter().find(|stats| stats.queue.as_str() == worker);
                if mine.is_some_and(|stats| enough(stats.counts.of(TaskState::Ready), stats.counts.live())) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), looking).await.expect("so in a minute");
    }
}
