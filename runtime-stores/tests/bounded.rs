//! A look has an end: where few tasks fit among many, a page comes back short and says where it goes on, and a count says that there may be
//! more.

use std::sync::Arc;

use runtime_core::name::{InstanceName, Route};
use runtime_core::store::{Expr, TaskFilter, TaskReader, TaskStore, TaskTest, TextTest};
use runtime_core::task::{NewTask, TaskId};
use runtime_stores::suite::ManualClock;
use runtime_stores::{SqliteOptions, SqliteStore, Synchronous};

/// More than two pages look at.
const TASKS: usize = 24_000;

/// The only one of this tenant is the oldest of all.
async fn a_needle_in_a_haystack(store: &SqliteStore) -> TaskId {
    let route = Arc::new(Route {
        app: "shop".parse().unwrap(),
        queue: "work".parse().unwrap(),
        handler: "handle".parse().unwrap(),
    });
    let task =
        |tenant: &str| NewTask { tenant: tenant.parse().ok(), ..NewTask::new(route.clone(), b"1".to_vec()) };
    let needle = store.enqueue(vec![task("needle")]).await.unwrap().remove(0).unwrap().id();
    for _ in 0..TASKS / 1_000 {
        store.enqueue(vec![task("hay"); 1_000]).await.unwrap();
    }
    needle
}

#[tokio::test]
async fn a_hopeless_look_comes_back_short_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let instance = InstanceName::new("one").unwrap();
    let mut options =
        SqliteOptions::new(folder.path().join("store.db"), instance, Arc::new(ManualClock::new()));
    options.synchronous = Synchronous::NormalLosesLastCommitsOnPowerCut;
    let store = SqliteStore::open(options).unwrap();
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
        assert_eq!((found, pages), (fitting.clone(), 3));
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
