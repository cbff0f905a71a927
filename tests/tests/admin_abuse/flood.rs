//! One flood against one process, with the good client beside it: what it took, and whether all was as before afterwards.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use runtime_tests::eventually;
use tokio::sync::{Mutex, MutexGuard};

use crate::frames::Frames;
use crate::good::{GoodClient, Latencies};
use crate::port::{Attackers, Port};

/// What is promised of a flood: latency of the good client, memory above what there was, and time until all is as before.
const LATENCY: Duration = Duration::from_millis(250);
const MEMORY_KIB: u64 = 256 * 1024;
const RECOVERY: Duration = Duration::from_secs(10);

/// Sockets that may come and go by themselves.
const FEW: usize = 8;

/// Most times that the connections of a flood come back.
const WAVES: usize = 200;

const LOOK_EVERY: Duration = Duration::from_millis(50);

static ALONE: Mutex<()> = Mutex::const_new(());

/// Floods would disturb each other.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

pub(crate) struct Figures {
    name: String,
    before: Latencies,
    during: Latencies,
    newcomers: Latencies,
    came_back: usize,
    took: Duration,
    memory_kib: u64,
    recovered_in: Duration,
}

/// Floods a process of its own, and measures.
pub(crate) async fn under(name: &str, attackers: Attackers, flood: impl AsyncFnOnce(&Port)) -> Figures {
    let _alone = alone().await;
    let port = Port::open(attackers).await;
    let quiet = GoodClient::call(&port);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let quiet = quiet.stop().await;
    let (base, sockets) = (port.memory(), port.sockets());

    let peak = AtomicU64::new(base);
    let watch = async {
        loop {
            peak.fetch_max(port.memory(), Ordering::Relaxed);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let good = GoodClient::call(&port);
    let began = Instant::now();
    tokio::select! {
        () = flood(&port) => {}
        () = watch => {}
    }
    let took = began.elapsed();
    let served = good.stop().await;

    let began = Instant::now();
    eventually("all connections of the flood are gone", || (port.sockets() <= sockets + FEW).then_some(()))
        .await;
    port.client().await.info().await.expect("served as before");
    let figures = Figures {
        name: format!("{name}, {attackers:?}"),
        before: quiet.calls,
        during: served.calls,
        newcomers: served.newcomers,
        came_back: served.came_back,
        took,
        memory_kib: peak.into_inner() - base,
        recovered_in: began.elapsed(),
    };
    assert!(figures.memory_kib <= MEMORY_KIB, "{figures}");
    port.close().await;
    figures
}

impl Figures {
    /// What is promised on a machine that does nothing else.
    pub(crate) fn keep_the_promise(&self) {
        assert!(self.during.p99() <= LATENCY, "{self}");
        assert!(self.recovered_in <= RECOVERY, "{self}");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, before, during, newcomers, came_back, took, memory_kib, recovered_in } = self;
        writeln!(f, "{name}: {:.1} s", took.as_secs_f64())?;
        writeln!(f, "  good client before: {before}")?;
        writeln!(f, "  good client:        {during}, came back {came_back} times")?;
        writeln!(f, "  newcomers:          {newcomers}")?;
        write!(f, "  memory +{} MiB, as before after {:.1} s", memory_kib / 1024, recovered_in.as_secs_f64())
    }
}

/// The same over many connections at once, wave after wave for as long as floods go on.
pub(crate) struct Flood<'f> {
    pub(crate) connections: usize,
    pub(crate) frames: &'f Frames,
}

impl Flood<'_> {
    /// Whoever is sent away comes back at once. No connection may outlive its frames.
    pub(crate) async fn ends_them_all(&self, port: &Port) {
        let began = Instant::now();
        for _ in 0..WAVES {
            let ended = join_all((0..self.connections).map(async |_| {
                let stream = port.tls().await.expect("a connection");
                self.frames.end(stream).await
            }))
            .await;
            assert!(ended.iter().all(|ended| *ended), "{}: some connections go on", self.frames.name);
            if began.elapsed() >= port.flood_for() {
                break;
            }
        }
    }
}
