//! A file of an older release opens, and goes on.

use std::sync::Arc;
use std::time::Duration;

use runtime_core::clock::Clock;
use runtime_core::limits::StoreLimits;
use runtime_core::name::{AppName, HandlerName, IdempotencyKey, InstanceName, QueueName, Route};
use runtime_core::outcome::{Outcome, Settlement};
use runtime_core::store::{Enqueued, LeaseAsk, StateCounts, TaskCommand, TaskFilter, TaskReader, TaskStore};
use runtime_core::task::{NewTask, TaskState, UniqueWithin};
use runtime_stores::suite::ManualClock;
use runtime_stores::{SqliteOptions, SqliteStore};

/// What the first release left: a ready task, a scheduled one, a leased one, one done and one dead, and a key that outlived its task.
const LEFT: &str = "
    INSERT INTO rt_meta (key, value) VALUES ('salt', 77), ('next_row', 4097);
    INSERT INTO rt_queue (id, name) VALUES (1, 'work');
    INSERT INTO rt_route (id, app, queue, handler) VALUES (1, 'shop', 1, 'handle');
    INSERT INTO rt_instance (id, name) VALUES (1, 'old');
    INSERT INTO rt_task (row, state, queue, priority, at, epoch, attempt, max_attempts, holder, route, schema_version, created_at,
        payload, run_at, idempotency_key, scope) VALUES
        (1, 1, 1, 0, 1790000000000, 0, 0, 5, 0, 1, 1, 1790000000000, CAST('1' AS BLOB), NULL, NULL, 'store=1'),
        (2, 0, 1, 0, 1790000060000, 0, 0, 5, 0, 1, 1, 1790000000000, CAST('2' AS BLOB), 1790000060000, NULL, NULL),
        (3, 2, 1, 0, 1790000030000, 1, 1, 5, 1, 1, 1, 1790000000000, CAST('3' AS BLOB), NULL, NULL, NULL);
    INSERT INTO rt_history (row, state, queue, priority, at, epoch, attempt, max_attempts, crash_count, holder, route, schema_version,
        created_at, payload, approved, error, output, started_at, took_us, scope) VALUES
        (4, 4, 1, 0, 1790000000000, 1, 1, 5, 0, 1, 1, 1, 1790000000000, CAST('4' AS BLOB), 0, NULL, CAST('{}' AS BLOB), 1790000000000, 9, NULL),
        (5, 5, 1, 0, 1790000000000, 1, 1, 5, 0, 1, 1, 1, 1790000000000, CAST('5' AS BLOB), 0, '{\"code\":\"RT0002\",\"message\":\"no\"}',
            NULL, NULL, NULL, 'store=1');
    INSERT INTO rt_history_count (queue, state, tasks) VALUES (1, 4, 1), (1, 5, 1);
    INSERT INTO rt_attempt (row, epoch, attempt, instance, started_at, took_us, outcome, error)
        VALUES (5, 1, 1, 1, 1790000000000, 9, 'reject', '{\"code\":\"RT0002\",\"message\":\"no\"}');
";

fn route() -> Arc<Route> {
    Arc::new(Route {
        app: AppName::new("shop").unwrap(),
        queue: QueueName::new("work").unwrap(),
        handler: HandlerName::new("handle").unwrap(),
    })
}

/// A file of the first schema, as the release that knew no other left it.
fn first_release(path: &std::path::Path) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.execute_batch(include_str!("../src/sqlite/schema/v1.sql")).unwrap();
    conn.execute_batch(LEFT).unwrap();
    conn.pragma_update(None, "application_id", 0x5274_5374).unwrap();
    conn.pragma_update(None, "user_version", 1).unwrap();
}

#[tokio::test]
async fn a_file_of_the_first_schema_opens_with_its_tasks_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    first_release(&path);
    let clock = Arc::new(ManualClock::new());
    let instance = InstanceName::new("new").unwrap();
    let mut options = SqliteOptions::new(path, instance.clone(), clock.clone());
    options.limits = StoreLimits::default();
    let store = SqliteStore::open(options).expect("an older file opens");

    let page = store.list(TaskFilter::default(), None, 10).await.unwrap();
    let seen: Vec<_> =
        page.tasks.iter().map(|task| (task.id.row(), task.state, task.payload.clone())).collect();
    use TaskState::{Dead, Done, Ready, Scheduled};
    let states = [(5, Dead), (4, Done), (3, Ready), (2, Scheduled), (1, Ready)];
    assert_eq!(seen, states.map(|(row, state)| (row, state, row.to_string().into_bytes())));
    let counts: StateCounts = store.queue_stats().await.unwrap()[0].counts;
    assert_eq!([Ready, Scheduled, Done, Dead].map(|state| counts.of(state)), [2, 1, 1, 1]);
    assert_eq!(store.attempts(page.tasks[0].id).await.unwrap()[0].outcome, "reject");

    let dead = page.tasks[0].id;
    assert_eq!(store.steer(vec![(dead, TaskCommand::Retry)]).await.unwrap(), [Ok(Ready)]);
    let key = IdempotencyKey::new("a").unwrap();
    let keyed = NewTask::new(route(), b"6".to_vec()).keyed(key).unique_within(UniqueWithin::Forever);
    let id = store.enqueue(vec![keyed.clone()]).await.unwrap().remove(0).unwrap().id();
    let again = store.enqueue(vec![keyed]).await.unwrap().remove(0);
    assert_eq!(again, Ok(Enqueued::Duplicate { id, state: Ready }));

    clock.advance(Duration::from_secs(60));
    assert_eq!(store.sweep().await.unwrap().promoted, 1);
    let ask = LeaseAsk {
        queue: route().queue.clone(),
        instance,
        up_to: 10,
        lease_for: Duration::from_secs(30),
        task: None,
    };
    let leased = store.lease(ask).await.unwrap();
    let rows: Vec<u64> = leased.iter().map(|leased| leased.lease.task.row()).collect();
    assert_eq!(rows, [1, 3, 5, id.row(), 2], "in the order in which they were due");
    let settlements = leased.iter().map(|leased| Settlement {
        lease: leased.lease,
        outcome: Outcome::Done { output: b"{}".to_vec() },
        with: None,
        node: None,
        started_at: clock.now(),
        took: Duration::from_millis(1),
        trace: None,
    });
    store.settle(Arc::new(settlements.collect())).await.unwrap();
    let counts = store.queue_stats().await.unwrap()[0].counts;
    assert_eq!((counts.live(), counts.of(Done), counts.of(Dead)), (0, 6, 0));
}
