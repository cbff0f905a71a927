//! What the tree looks like and how well it does, read from rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use runtime_core::error::ErrorCode;
use runtime_core::limits::StoreLimits;
use runtime_core::node::{Health, NodeKind, NodeState};
use runtime_core::store::{Store, StoreError, TaskReader, TaskStore};
use runtime_core::task::NewTask;
use runtime_stores::MemoryStore;

use crate::platform::Platform;
use crate::services::events::DomainEventService;
use crate::services::status::{Identity, Serving, WorkerStatusService};
use crate::table::NodeEntry;
use crate::tests::kit::{self, PausedClock, done, from_fn, path, platform, route};

struct Desk {
    store: MemoryStore,
    platform: Arc<Platform>,
    worker: Arc<NodeEntry>,
    service: WorkerStatusService,
}

impl Desk {
    fn new() -> Self {
        let clock = PausedClock::new();
        let store = MemoryStore::new(clock.clone(), StoreLimits::default());
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        let platform = platform(shared.clone(), clock.clone());
        for (at, kind) in [
            ("/", NodeKind::Supervisor),
            ("/engine", NodeKind::Supervisor),
            ("/engine/events", NodeKind::Events),
            ("/engine/apps", NodeKind::Supervisor),
            ("/engine/apps/shop", NodeKind::Supervisor),
        ] {
            platform.table.declare(path(at), kind).set_state(NodeState::Running);
        }
        let at = path("/engine/apps/shop/workers/greet");
        let worker = platform.table.declare(at.clone(), NodeKind::Executor);
        worker.set_state(NodeState::Running);
        let identity = Identity {
            apps: vec!["shop".parse().unwrap()],
            store: "memory".into(),
            started_at: runtime_core::clock::Clock::now(&*clock),
        };
        let events = Arc::new(DomainEventService::new(shared, Vec::new()));
        let mut greet = kit::worker("greet", 1, from_fn(async |_| done()));
        Arc::get_mut(&mut greet.descriptor).unwrap().timeout = Duration::from_mins(5);
        let serving = vec![Serving { path: at, worker: greet.descriptor }];
        let service = WorkerStatusService::new(platform.clone(), identity, events, serving);
        Self { store, platform, worker, service }
    }

    async fn health(&self) -> (Health, Health) {
        let overview = self.service.overview(self.store.queue_stats().await);
        (overview.health, overview.apps[0].1.clone())
    }
}

fn says(health: &Health, text: &str) -> bool {
    match health {
        Health::Healthy => false,
        Health::Degraded(why) | Health::Unhealthy(why) => why.contains(text),
    }
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_runs_is_healthy_and_each_fault_shows() {
    let desk = Desk::new();
    assert_eq!(desk.health().await, (Health::Healthy, Health::Healthy));

    desk.worker.set_fault(Some("boom".into()));
    desk.worker.set_state(NodeState::BackingOff);
    let (whole, app) = desk.health().await;
    assert!(matches!(&app, Health::Degraded(_)) && says(&app, "boom") && whole == app);
    desk.worker.set_state(NodeState::Abandoned);
    assert!(matches!(desk.health().await.1, Health::Unhealthy(_)));
    desk.worker.set_state(NodeState::Running);

    desk.worker.stuck.store(2, Ordering::Relaxed);
    assert!(says(&desk.health().await.1, "2 attempts are stuck"));
    desk.worker.stuck.store(0, Ordering::Relaxed);

    desk.worker.set_health(Health::Unhealthy("no leases".into()));
    assert!(says(&desk.health().await.0, "no leases"));
    desk.worker.set_health(Health::Healthy);

    desk.worker.begin_work();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(says(&desk.health().await.1, "at one message"));
    desk.worker.end_work(false);

    let events = desk.platform.table.get(&path("/engine/events")).unwrap();
    events.set_state(NodeState::BackingOff);
    let (whole, app) = desk.health().await;
    assert!(
        matches!(whole, Health::Degraded(_)) && app == Health::Healthy,
        "the platform's trouble is not the app's"
    );
    events.set_state(NodeState::Running);

    let away = desk.service.overview(Err(StoreError::Unavailable { detail: "away".into() }));
    assert!(says(&away.health, "away"));
    assert_eq!(desk.health().await.0, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn process_alive_pipeline_dead_is_not_healthy() {
    let desk = Desk::new();
    desk.store
        .enqueue(vec![NewTask::new(route("greet"), b"null".to_vec())])
        .await
        .unwrap()
        .pop()
        .unwrap()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(desk.health().await.1, Health::Healthy);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(says(&desk.health().await.1, "1 tasks wait and nothing was settled for 60 s"));
    // Progress is what counts, not emptiness.
    desk.worker.note_progress();
    assert_eq!(desk.health().await.1, Health::Healthy);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_ne!(desk.health().await.1, Health::Healthy);
    // An attempt that runs may take its time.
    desk.worker.busy_slots.store(1, Ordering::Relaxed);
    assert!(matches!(desk.health().await.1, Health::Degraded(_)));
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(matches!(desk.health().await.1, Health::Unhealthy(_)));
    // A worker that is paused does not progress on purpose.
    desk.worker.set_state(NodeState::Paused);
    assert_eq!(desk.health().await.1, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn rows_are_found_by_path_in_start_order() {
    let desk = Desk::new();
    let tree = desk.service.tree(&path("/engine/apps")).unwrap();
    let paths: Vec<&str> = tree.iter().map(|view| view.path.as_str()).collect();
    assert_eq!(paths, ["/engine/apps", "/engine/apps/shop", "/engine/apps/shop/workers/greet"]);
    assert_eq!(desk.service.node(&path("/engine/apps/shop")).unwrap().kind, NodeKind::Supervisor);
    assert_eq!(desk.service.node(&path("/nowhere")).unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(desk.service.tree(&path("/nowhere")).unwrap_err().code, ErrorCode::NotFound);
    tokio::time::sleep(Duration::from_secs(90)).await;
    let info = desk.service.info();
    assert_eq!((info.uptime_secs, info.store.as_str()), (90, "memory"));
}

#[tokio::test(start_paused = true)]
async fn events_are_integrated_when_their_node_runs_and_is_well() {
    let desk = Desk::new();
    assert!(!desk.service.events().integrated);
    desk.service.look_at_events();
    assert!(desk.service.events().integrated);
    desk.platform.table.get(&path("/engine/events")).unwrap().set_health(Health::Degraded("stuck".into()));
    desk.service.look_at_events();
    assert!(!desk.service.events().integrated);
    desk.service.set_events(true);
    assert!(desk.service.events().integrated);
}
