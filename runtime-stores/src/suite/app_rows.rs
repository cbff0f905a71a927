//! The app's own rows in the store's transactions.

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::name::AppName;
use runtime_core::outcome::{SettleWith, Settled, Settlement};
use runtime_core::store::{AppMigration, AppWrite, EnqueueError, Enqueued, SqlValue, StoreError};
use runtime_core::task::{Lease, TaskState};

use super::world::{World, applied, done, keyed, task, task_to};

const MIGRATIONS: &[AppMigration] = &[
    AppMigration { name: "orders", sql: "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT NOT NULL);" },
    AppMigration { name: "index", sql: "CREATE INDEX orders_by_note ON orders (note);" },
];

const ENDLESS: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

async fn migrate(w: &World) {
    w.store.migrate_app(AppName::new("shop").unwrap(), MIGRATIONS).await.unwrap();
}

fn insert(note: &'static str) -> AppWrite {
    AppWrite::new(move |tx| tx.execute("INSERT INTO orders (note) VALUES (?1)", &[note.into()]).map(drop))
}

fn settle_with(w: &World, lease: Lease, write: AppWrite) -> Settlement {
    let with = SettleWith { app_writes: vec![insert("first"), write], ..SettleWith::default() };
    Settlement { with: Some(Box::new(with)), ..w.settlement(lease, done()) }
}

async fn notes(w: &World) -> Vec<String> {
    let rows = w.store.query_app("SELECT note FROM orders ORDER BY id", vec![]).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect()
}

pub(super) async fn app_rows_commit_with_the_settlement(w: World) {
    migrate(&w).await;
    w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    let write = AppWrite::new(|tx| {
        let now = tx.now().as_millisecond();
        let changed =
            tx.execute("INSERT INTO orders (id, note) VALUES (?1, ?2)", &[now.into(), "timed".into()])?;
        let rows = tx.query("SELECT count(*), NULL, x'00ff' FROM orders", &[])?;
        assert_eq!((changed, rows[0].integer(0)?, rows[0].blob(2)?), (1, 2, [0, 255].as_slice()));
        assert_eq!(rows[0].0[1], SqlValue::Null);
        Ok(())
    });
    assert_eq!(w.settle_all(vec![settle_with(&w, lease, write)]).await, [applied(TaskState::Done)]);
    assert_eq!(notes(&w).await, ["first", "timed"]);
}

/// Three members, the middle one with this write: it alone is undone.
async fn middle_is_undone(w: &World, write: AppWrite) -> TaskError {
    migrate(w).await;
    for number in 0..3 {
        w.put_new(task(number)).await;
    }
    let leased = w.lease(3).await;
    let settled = w
        .settle_all(vec![
            settle_with(w, leased[0].lease, insert("good")),
            settle_with(w, leased[1].lease, write),
            settle_with(w, leased[2].lease, insert("good too")),
        ])
        .await;
    assert_eq!((&settled[0], &settled[2]), (&applied(TaskState::Done), &applied(TaskState::Done)));
    let Settled::Undone { error } = settled[1].clone() else { panic!("{:?}", settled[1]) };
    assert_eq!(w.state(leased[1].lease.task).await, TaskState::Leased, "its lease is still held");
    assert_eq!(notes(w).await, ["first", "good", "first", "good too"]);
    assert_eq!(w.count("work", TaskState::Leased).await, 1);
    error
}

pub(super) async fn a_failing_app_write_undoes_its_member_alone(w: World) {
    let failing = AppWrite::new(|tx| {
        tx.execute("INSERT INTO orders (note) VALUES ('lost')", &[])?;
        tx.execute("INSERT INTO orders (note) VALUES (NULL)", &[]).map(drop)
    });
    let error = middle_is_undone(&w, failing).await;
    assert_eq!(error.code, ErrorCode::AppWriteFailed);
    let own = AppWrite::new(|_| Err(TaskError::permanent("stock is gone")));
    w.advance(super::world::LEASE);
    w.store.sweep().await.unwrap();
    let lease = w.lease_one().await.lease;
    let settled = w.settle_all(vec![settle_with(&w, lease, own)]).await.remove(0);
    assert_eq!(
        settled,
        Settled::Undone { error: TaskError::permanent("stock is gone") },
        "the app's own words"
    );
}

pub(super) async fn a_panicking_app_write_undoes_its_member_alone(w: World) {
    let panicking = AppWrite::new(|tx| {
        tx.execute("INSERT INTO orders (note) VALUES ('lost')", &[])?;
        panic!("a bug in the app");
    });
    let error = middle_is_undone(&w, panicking).await;
    assert_eq!(error.code, ErrorCode::AppWriteFailed);
}

pub(super) async fn an_endless_app_write_is_interrupted(w: World) {
    let endless = AppWrite::new(|tx| tx.query(ENDLESS, &[]).map(drop));
    let error = middle_is_undone(&w, endless).await;
    assert_eq!(error.code, ErrorCode::AppWriteFailed);
    assert!(error.message.contains("took longer"), "{}", error.message);
}

pub(super) async fn an_app_write_cannot_end_the_transaction_or_touch_the_platforms_tables(w: World) {
    migrate(&w).await;
    for sql in [
        "COMMIT",
        "ROLLBACK",
        "BEGIN",
        "SAVEPOINT mine",
        "RELEASE member",
        "INSERT OR ROLLBACK INTO orders (id, note) VALUES (1, NULL)",
        "PRAGMA synchronous = OFF",
        "ATTACH DATABASE ':memory:' AS other",
        "VACUUM",
        "DELETE FROM rt_task",
        "SELECT * FROM rt_task",
        "DROP INDEX rt_ready",
        "CREATE TABLE rt_mine (id INTEGER)",
    ] {
        let refused = w.store.write_app(AppWrite::new(move |tx| tx.execute(sql, &[]).map(drop))).await;
        let Err(EnqueueError::AppWrite(error)) = refused else { panic!("{sql}: {refused:?}") };
        assert_eq!(error.code, ErrorCode::AppWriteFailed, "{sql}");
    }
    w.store.write_app(insert("still here")).await.unwrap();
    assert_eq!(notes(&w).await, ["still here"]);
    assert!(w.store.query_app("SELECT * FROM rt_task", vec![]).await.is_err());
    assert!(w.store.query_app("DELETE FROM orders", vec![]).await.is_err(), "readers only read");
}

pub(super) async fn tasks_and_app_rows_come_together_or_not_at_all(w: World) {
    migrate(&w).await;
    let taken =
        w.store.enqueue_whole(vec![task(1), task_to("other", 2)], vec![insert("mail")]).await.unwrap();
    assert_eq!(taken.len(), 2);
    let fails = AppWrite::new(|_| Err(TaskError::retryable("no")));
    let refused = w.store.enqueue_whole(vec![task(3)], vec![insert("lost"), fails]).await;
    assert_eq!(refused, Err(EnqueueError::AppWrite(TaskError::retryable("no"))));
    assert_eq!(notes(&w).await, ["mail"]);
    assert_eq!(w.count("work", TaskState::Ready).await, 1);
}

pub(super) async fn app_writes_run_although_every_task_is_known(w: World) {
    migrate(&w).await;
    let id = w.put_new(keyed(1, "a")).await;
    let taken = w.store.enqueue_whole(vec![keyed(1, "a")], vec![insert("again")]).await.unwrap();
    assert_eq!(taken, [Enqueued::Duplicate { id, state: TaskState::Ready }]);
    assert_eq!(notes(&w).await, ["again"]);
}

pub(super) async fn app_migrations_are_atomic_and_refuse_a_newer_schema(w: World) {
    const BROKEN: &[AppMigration] = &[
        MIGRATIONS[0],
        MIGRATIONS[1],
        AppMigration {
            name: "third",
            sql: "CREATE TABLE third (id INTEGER); CREATE TABLE orders (id INTEGER);",
        },
    ];
    let shop = || AppName::new("shop").unwrap();
    w.store.migrate_app(shop(), &MIGRATIONS[..1]).await.unwrap();
    w.store.write_app(insert("kept")).await.unwrap();
    let broken = w.store.migrate_app(shop(), BROKEN).await;
    assert!(matches!(broken, Err(StoreError::Unavailable { .. })), "{broken:?}");
    assert!(w.store.query_app("SELECT * FROM third", vec![]).await.is_err(), "nothing of it stays");
    w.store.migrate_app(shop(), MIGRATIONS).await.unwrap();
    w.store.migrate_app(shop(), MIGRATIONS).await.unwrap();
    assert_eq!(notes(&w).await, ["kept"]);
    let older = w.store.migrate_app(shop(), &MIGRATIONS[..1]).await;
    assert_eq!(older, Err(StoreError::TooNew { found: 2, known: 1 }));
    w.store.migrate_app(AppName::new("other").unwrap(), &[]).await.unwrap();
}
