//! A look has an end: where few fit among many, a page comes back short and says where it goes on, and a count says that there may be more.

use std::sync::Arc;

use std::time::Duration;

use runtime_core::audit::{AuditKind, AuditOutcome, AuditSubject};
use runtime_core::clock::Clock;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::name::{InstanceName, Route};
use runtime_core::outcome::{Outcome, Settlement};
use runtime_core::store::{
    AuditFilter, AuditLog, AuditTest, DeadLetters, Expr, LeaseAsk, TaskFilter, TaskReader, TaskStore,
    TaskTest, TextTest,
};
use runtime_core::task::{NewTask, TaskId};
use runtime_stores::suite::ManualClock;
use runtime_stores::{SqliteOptions, SqliteStore, Synchronous};

/// More than two pages look at.
const TASKS: usize = 24_000;

fn open(folder: &tempfile::TempDir) -> SqliteStore {
    let instance = InstanceName::new("one").unwrap();
    let mut options =
        SqliteOptions::new(folder.path().join("store.db"), instance, Arc::new(ManualClock::new()));
    options.synchronous = Synchronous::NormalLosesLastCommitsOnPowerCut;
    SqliteStore::open(options).unwrap()
}

fn task(tenant: &str) -> NewTask {
    let route = Route {
        app: "shop".parse().unwrap(),
        queue: "work".parse().unwrap(),
        handler: "handle".parse().unwrap(),
    };
    NewTask { tenant: tenant.parse().ok(), ..NewTask::new(Arc::new(route), b"1".to_vec()) }
}

/// The only one of this tenant is the oldest of all.
async fn a_needle_in_a_haystack(store: &SqliteStore) -> TaskId {
    let needle = store.enqueue(vec![task("needle")]).await.unwrap().remove(0).unwrap().id();
    for _ in 0..TASKS / 1_000 {
        store.enqueue(vec![task("hay"); 1_000]).await.unwrap();
    }
    needle
}

#[tokio::test]
async fn a_hopeless_look_comes_back_short_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let needle = a_needle_in_a_haystack(&store).await;
    let of = |tenant: &str| TaskFilter::from(Expr::Is(TaskTest::Tenant(TextTest::Is(tenant.into()))));
    for (filter, fitting) in [(of("needle"), vec![needle]), (of("nobody"), vec![])] {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = store.list(filter.clone(), after, 50).await.unwrap();
            found.extend(page.tasks.iter().map(|task| task.id));
            pages += 1;
            assert!(page.next.is_none() || page.next != after, "every page comes further");
            assert!(
                pages > 1 || (page.tasks.is_empty() && page.next.is_some()),
                "the first finds nothing, and says that it is not all"
            );
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, fitting);
        assert!(pages >= 3, "{pages}");
        let some = store.count(filter.clone(), 5_000).await.unwrap();
        assert_eq!((some.total(), some.whole), (0, false));
        let all = store.count(filter.clone(), u64::MAX).await.unwrap();
        assert_eq!((all.total(), all.whole), (fitting.len() as u64, true));
        assert_eq!(store.walk(filter, None, 10).await.unwrap(), fitting, "a walk goes to the end");
    }
    let all = store.count(TaskFilter::default(), 0).await.unwrap();
    assert_eq!((all.total(), all.whole), (TASKS as u64 + 1, true), "what the writer has counted is exact");
    store.close().await.unwrap();
}

/// So many tasks die of this.
async fn die(store: &SqliteStore, tasks: usize, tenant: &str, code: ErrorCode) {
    for many in (0..tasks).step_by(1_000).map(|done| (tasks - done).min(1_000)) {
        store.enqueue(vec![task(tenant); many]).await.unwrap();
        let ask = LeaseAsk {
            queue: "work".parse().unwrap(),
            instance: InstanceName::new("one").unwrap(),
            up_to: many,
            lease_for: Duration::from_secs(30),
            task: None,
        };
        let settlement = |leased: runtime_core::task::LeasedTask| Settlement {
            lease: leased.lease,
            outcome: Outcome::Reject { error: TaskError::new(code, "no") },
            with: None,
            node: None,
            started_at: ManualClock::new().now(),
            took: Duration::from_millis(1),
            trace: None,
        };
        let settlements: Vec<_> = store.lease(ask).await.unwrap().into_iter().map(settlement).collect();
        assert_eq!(settlements.len(), many);
        store.settle(Arc::new(settlements)).await.unwrap();
    }
}

#[tokio::test]
async fn a_hopeless_count_of_dead_letters_names_every_group_and_says_at_least() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    die(&store, 9_000, "acme", ErrorCode::HandlerFailed).await;
    die(&store, 6_000, "other", ErrorCode::HandlerRejected).await;
    die(&store, 3, "acme", ErrorCode::Poison).await;
    let groups = async |filter: TaskFilter, look_at_most| {
        let found = store.dead_groups(filter, look_at_most).await.unwrap();
        let counts: Vec<_> =
            found.groups.iter().map(|group| (group.code, group.count, group.whole)).collect();
        (counts, found.whole)
    };
    let everything = vec![
        (ErrorCode::HandlerFailed, 9_000, true),
        (ErrorCode::HandlerRejected, 6_000, true),
        (ErrorCode::Poison, 3, true),
    ];
    let all = TaskFilter::default;
    assert_eq!(groups(all(), 20_000).await, (everything.clone(), true), "an index answers");
    assert_eq!(groups(all(), u64::MAX).await, (everything.clone(), true));
    let (some, whole) = groups(all(), 300).await;
    assert!(!whole);
    assert_eq!(
        some.iter().map(|group| group.0).collect::<Vec<_>>(),
        everything.iter().map(|group| group.0).collect::<Vec<_>>()
    );
    for ((code, at_least, whole), (_, exactly, _)) in some.into_iter().zip(&everything) {
        assert!(at_least > 0 && at_least <= *exactly, "{code}: {at_least}");
        assert_eq!(whole, at_least == *exactly, "{code}: {at_least}");
    }
    let is = |test: TaskTest| TaskFilter::from(Expr::Is(test));
    let acme = || is(TaskTest::Tenant(TextTest::Is("acme".into())));
    let of_acme = vec![everything[0], everything[2]];
    assert_eq!(groups(acme(), 2_000).await, (of_acme.clone(), true), "as is whose work it is");
    let not_other = || TaskFilter::from(!Expr::Is(TaskTest::Tenant(TextTest::Is("other".into()))));
    assert_eq!(groups(not_other(), 2_000).await, (of_acme, true), "named or not");
    let no_scope = || TaskFilter::from(!Expr::Is(TaskTest::Scope(TextTest::Is("store=1".into()))));
    assert_eq!(groups(no_scope(), u64::MAX).await, (everything.clone(), true));
    let (some, whole) = groups(no_scope(), 3_000).await;
    assert!(!whole && some.len() == 3 && !some[0].2, "of each a part was looked at: {some:?}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_hopeless_page_of_the_audit_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let subject = AuditSubject {
        kind: AuditKind::Denial,
        principal: "ann".parse().ok(),
        token: None,
        method: "QueueService/PauseQueue".into(),
        resource: "queues/needle".into(),
        reason: String::new(),
        request_id: None,
        peer: "127.0.0.1:1".into(),
        trace_id: None,
        unwritten: 0,
    };
    let denied = || AuditOutcome { canonical: "PERMISSION_DENIED".into(), error: None };
    let needle = store.write_denial(subject.clone(), denied()).await.unwrap();
    for _ in 0..TASKS / 1_000 {
        let hay = AuditSubject { resource: "queues/hay".into(), ..subject.clone() };
        let written = (0..1_000).map(|_| store.write_denial(hay.clone(), denied()));
        futures_util::future::try_join_all(written).await.unwrap();
    }
    let of = |resource: &str| Expr::Is(AuditTest::Resource(TextTest::Is(resource.into())));
    let anns = || Expr::Is(AuditTest::Principal("ann".parse().unwrap()));
    let denials = || Expr::Is(AuditTest::Kind(AuditKind::Denial));
    for expr in [
        of("queues/needle"),
        Expr::All(vec![anns(), of("queues/needle")]),
        Expr::All(vec![denials(), of("queues/needle")]),
    ] {
        let filter = AuditFilter { expr: Some(expr) };
        let (mut found, mut before, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = store.audit_entries(filter.clone(), before, 50).await.unwrap();
            found.extend(page.entries.iter().map(|entry| entry.position));
            pages += 1;
            assert!(page.next.is_none() || page.next != before, "every page comes further");
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, [needle], "{filter:?}");
        assert!(pages >= 3, "{pages}");
    }
    store.close().await.unwrap();
}
