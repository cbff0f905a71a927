//! The limits: the same work in the tightest loop through the same driver.
//!
//! Two shapes. *Narrow* is the least row a queue could do with: id, queue, state, payload, one partial index. *Same* is the store's own
//! tables of today with all their columns and indexes, written as the store writes them: many rows a statement, where they come together.
//! A claim-and-complete cycle deletes narrow rows; of the same rows it moves each to history, as the store does.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use runtime_core::name::InstanceName;
use runtime_stores::{SqliteOptions, SqliteStore, SystemClock};
use rusqlite::{Connection, params, params_from_iter};

/// Rows of one statement, as the store writes them.
const ROWS: usize = 64;
const NARROW: &str = "CREATE TABLE task (id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, state INTEGER NOT NULL, payload BLOB NOT NULL); \
    CREATE INDEX ready ON task (queue, id) WHERE state = 1;";

/// The tables of the store, made by itself: with every column and index that it has today.
fn make_tables(path: &Path) {
    let instance = InstanceName::new("bench").expect("a name");
    drop(
        SqliteStore::open(SqliteOptions::new(path, instance, Arc::new(SystemClock)))
            .expect("the store opens"),
    );
}

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The least a queue could do with.
    Narrow,
    /// The store's own.
    Same,
}

/// A database without a store around it.
pub(crate) struct Bare {
    conn: Connection,
    shape: Shape,
    next: i64,
}

/// What a row carries.
pub(crate) fn payload(number: i64) -> Vec<u8> {
    format!("{{\"id\":{number}}}").into_bytes()
}

impl Bare {
    /// A new database in this folder, with the settings of the store.
    pub(crate) fn new(folder: &Path, shape: Shape) -> Self {
        let path = folder.join("bare.db");
        if shape == Shape::Same {
            make_tables(&path);
        }
        let conn = Connection::open(path).expect("the database opens");
        for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("temp_store", "MEMORY")] {
            conn.pragma_update(None, name, value).expect("a setting");
        }
        conn.pragma_update(None, "wal_autocheckpoint", 8_192).expect("a setting");
        conn.pragma_update(None, "cache_size", -16_384).expect("a setting");
        conn.set_prepared_statement_cache_capacity(32);
        if shape == Shape::Narrow {
            conn.execute_batch(NARROW).expect("a schema");
        }
        Self { conn, shape, next: 1 }
    }

    fn insert_sql(&self, rows: usize) -> String {
        let (head, tuple) = match self.shape {
            Shape::Narrow => ("INSERT INTO task (id, queue, state, payload) VALUES", "(?, 1, 1, ?)"),
            Shape::Same => (
                "INSERT INTO rt_task (row, state, queue, priority, at, max_attempts, route, schema_version, created_at, payload, rank) \
                 VALUES",
                "(?, 1, 1, 0, 1790000000000, 5, 1, 1, 1790000000000, ?, 1790000000000)",
            ),
        };
        format!("{head} {}", vec![tuple; rows].join(", "))
    }

    /// Rows inserted one per transaction.
    pub(crate) fn insert_singly(&mut self, rows: i64) -> Duration {
        let mut insert = self.conn.prepare(&self.insert_sql(1)).expect("a statement");
        let started = Instant::now();
        for id in self.next..self.next + rows {
            insert.execute(params![id, payload(id)]).expect("an insert");
        }
        let took = started.elapsed();
        self.next += rows;
        took
    }

    /// Rows inserted many per transaction: one a statement, or of the same rows as many as the store puts into one.
    pub(crate) fn insert_bulk(&mut self, rows: i64, per_transaction: i64) -> Duration {
        let many = if self.shape == Shape::Same { ROWS } else { 1 };
        let mut insert = self.conn.prepare(&self.insert_sql(1)).expect("a statement");
        let mut insert_many = self.conn.prepare(&self.insert_sql(many)).expect("a statement");
        let mut begin = self.conn.prepare("BEGIN IMMEDIATE").expect("a statement");
        let mut commit = self.conn.prepare("COMMIT").expect("a statement");
        let started = Instant::now();
        for first in (self.next..self.next + rows).step_by(usize::try_from(per_transaction).expect("a size"))
        {
            begin.execute([]).expect("a transaction");
            let ids: Vec<i64> = (first..(first + per_transaction).min(self.next + rows)).collect();
            for ids in ids.chunks(many) {
                let insert = if ids.len() == many { &mut insert_many } else { &mut insert };
                for ids in ids.chunks(insert.parameter_count() / 2) {
                    for (index, id) in ids.iter().enumerate() {
                        insert.raw_bind_parameter(index * 2 + 1, id).expect("an id");
                        insert.raw_bind_parameter(index * 2 + 2, payload(*id)).expect("a payload");
                    }
                    insert.raw_execute().expect("an insert");
                }
            }
            commit.execute([]).expect("a commit");
        }
        let took = started.elapsed();
        self.next += rows;
        took
    }

    /// Rows of many producers, each waiting for its own commit; one writer commits all that wait together.
    pub(crate) fn insert_grouped(&mut self, rows: i64, producers: i64) -> Duration {
        let (to_writer, inbox) = mpsc::channel::<(i64, mpsc::SyncSender<()>)>();
        let per_producer = rows / producers;
        let first = self.next;
        let started = Instant::now();
        std::thread::scope(|scope| {
            for producer in 0..producers {
                let to_writer = to_writer.clone();
                scope.spawn(move || {
                    let (done, committed) = mpsc::sync_channel(1);
                    for number in 0..per_producer {
                        let id = first + producer * per_producer + number;
                        to_writer.send((id, done.clone())).expect("the writer lives");
                        committed.recv().expect("the writer answers");
                    }
                });
            }
            drop(to_writer);
            let mut insert = self.conn.prepare(&self.insert_sql(1)).expect("a statement");
            let mut begin = self.conn.prepare("BEGIN IMMEDIATE").expect("a statement");
            let mut commit = self.conn.prepare("COMMIT").expect("a statement");
            let mut group = Vec::new();
            while let Ok(first) = inbox.recv() {
                group.push(first);
                group.extend(inbox.try_iter());
                begin.execute([]).expect("a transaction");
                for (id, _) in &group {
                    insert.execute(params![id, payload(*id)]).expect("an insert");
                }
                commit.execute([]).expect("a commit");
                for (_, done) in group.drain(..) {
                    // A producer that is gone needs no answer.
                    let _ = done.send(());
                }
            }
        });
        let took = started.elapsed();
        self.next += per_producer * producers;
        took
    }

    /// Every ready row claimed and completed, in batches: one transaction claims, the next completes.
    pub(crate) fn work_off(&mut self, batch: i64) -> Duration {
        match self.shape {
            Shape::Narrow => self.work_off_narrow(batch),
            Shape::Same => self.work_off_same(batch),
        }
    }

    fn work_off_narrow(&mut self, batch: i64) -> Duration {
        let claim = "UPDATE task SET state = 2 WHERE id IN (SELECT id FROM task INDEXED BY ready WHERE queue = 1 AND state = 1 \
            ORDER BY id LIMIT ?1) RETURNING id, payload";
        let mut claim = self.conn.prepare(claim).expect("a statement");
        let mut delete = self.conn.prepare("DELETE FROM task WHERE id = ?1").expect("a statement");
        let mut begin = self.conn.prepare("BEGIN IMMEDIATE").expect("a statement");
        let mut commit = self.conn.prepare("COMMIT").expect("a statement");
        let started = Instant::now();
        loop {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let claimed: Vec<(i64, Vec<u8>)> =
                claim.query_map([batch], read).expect("a claim").map(|row| row.expect("a row")).collect();
            if claimed.is_empty() {
                return started.elapsed();
            }
            begin.execute([]).expect("a transaction");
            for (id, _) in &claimed {
                delete.execute([id]).expect("a delete");
            }
            commit.execute([]).expect("a commit");
        }
    }

    fn work_off_same(&mut self, batch: i64) -> Duration {
        let ready = "SELECT row, state, queue, priority, at, epoch, attempt, max_attempts, crash_count, holder, route, schema_version, \
            created_at, payload, run_at, deadline, approved, tenant, scope, idempotency_key, trace, correlation_id, causation_id, \
            checkpoint, progress, error, ordering_key, edited, weight \
            FROM rt_task INDEXED BY rt_ready WHERE queue = 1 AND lane IS NULL AND state = 1 AND held = 0 ORDER BY rank, row LIMIT ?1";
        let mut ready = self.conn.prepare(ready).expect("a statement");
        let mut grant = Many::prepare(&self.conn, |rows| {
            format!(
                "UPDATE rt_task SET state = 2, at = 1790000030000, epoch = epoch + 1, attempt = attempt + 1, holder = 1 \
                 WHERE row IN ({}) AND state = 1",
                vec!["?"; rows].join(", ")
            )
        });
        let mut finish = Many::prepare(&self.conn, |rows| {
            format!(
                "INSERT INTO rt_history (row, state, queue, priority, at, epoch, attempt, max_attempts, crash_count, holder, route, \
                 schema_version, created_at, payload, run_at, deadline, approved, tenant, scope, idempotency_key, trace, \
                 correlation_id, causation_id, checkpoint, progress, error, ordering_key, edited, weight, output, started_at, took_us) \
                 SELECT task.row, 4, queue, priority, 1790000000005, epoch, attempt, max_attempts, crash_count, holder, route, \
                 schema_version, created_at, payload, run_at, deadline, approved, tenant, scope, idempotency_key, trace, \
                 correlation_id, causation_id, checkpoint, progress, error, ordering_key, edited, weight, '{{}}', 1790000000005, 7 \
                 FROM (VALUES {}) AS ended CROSS JOIN rt_task AS task ON task.row = ended.column1 WHERE state = 2 AND epoch = 1",
                vec!["(?)"; rows].join(", ")
            )
        });
        let mut delete = Many::prepare(&self.conn, |rows| {
            format!("DELETE FROM rt_task WHERE row IN ({})", vec!["?"; rows].join(", "))
        });
        let mut begin = self.conn.prepare("BEGIN IMMEDIATE").expect("a statement");
        let mut commit = self.conn.prepare("COMMIT").expect("a statement");
        let started = Instant::now();
        loop {
            begin.execute([]).expect("a transaction");
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(13)?));
            let claimed: Vec<(i64, Vec<u8>)> =
                ready.query_map([batch], read).expect("a claim").map(|row| row.expect("a row")).collect();
            let rows: Vec<i64> = claimed.iter().map(|(row, _)| *row).collect();
            grant.execute(&rows);
            commit.execute([]).expect("a commit");
            if claimed.is_empty() {
                return started.elapsed();
            }
            begin.execute([]).expect("a transaction");
            finish.execute(&rows);
            delete.execute(&rows);
            commit.execute([]).expect("a commit");
        }
    }
}

/// A statement over the rows it is given by number, for [`ROWS`] of them and for one.
struct Many<'c>([rusqlite::Statement<'c>; 2]);

impl<'c> Many<'c> {
    fn prepare(conn: &'c Connection, sql: impl Fn(usize) -> String) -> Self {
        Self([ROWS, 1].map(|rows| conn.prepare(&sql(rows)).expect("a statement")))
    }

    fn execute(&mut self, rows: &[i64]) {
        let (many, rest) = rows.as_chunks::<ROWS>();
        let [of_many, of_one] = &mut self.0;
        for rows in many {
            assert_eq!(of_many.execute(params_from_iter(rows)), Ok(ROWS));
        }
        for row in rest {
            assert_eq!(of_one.execute([row]), Ok(1));
        }
    }
}

/// Median time of one small durable write in this folder.
pub(crate) fn fsync_p50(folder: &Path) -> Duration {
    use std::io::Write;
    let mut file = std::fs::File::create(folder.join("fsync.probe")).expect("a file");
    let mut took: Vec<Duration> = (0..300)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[1; 4096]).expect("a write");
            file.sync_data().expect("a flush");
            started.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}
