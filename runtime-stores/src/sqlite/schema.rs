//! The tables, and how a file comes to have them.
//!
//! What decides their shape:
//! - `rt_task` holds live tasks only. Its key is the row number that every task id carries, so inserts append, and no index over ids exists.
//! - Two partial indexes serve the hot path. `rt_ready` is all a claim reads: queue, lane (absent in most queues), rank, row. `rt_waiting`
//!   finds what ends by itself: due times of scheduled tasks, ends of leases. Every other index has an entry only for a task that has
//!   what it is about: a deadline, a scope, an ordering key, two deaths behind it, somebody it waits for.
//! - A finished task moves to `rt_history` within the settling transaction. History has no index that a task done well pays for.
//! - Names are stored once and referred to by number.
//! - Moments are whole milliseconds since 1970, UTC. States are [`runtime_core::task::TaskState::number`].

use runtime_core::store::StoreError;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::fault::Fault;

/// Marks a file as ours (`PRAGMA application_id`): "RtSt".
const APPLICATION_ID: i32 = 0x5274_5374;

/// Version n is the file after the n-th of these.
pub(super) const MIGRATIONS: &[&str] =
    &[include_str!("schema/v1.sql"), include_str!("schema/v2.sql"), include_str!("schema/v3.sql")];

/// Newest schema this release knows.
pub(super) fn known_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    application_id: i32,
    version: u32,
    empty: bool,
}

impl Stamp {
    pub(super) fn read(conn: &Connection) -> Result<Self, Fault> {
        let application_id = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let version = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let first_table: Option<i64> =
            conn.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |row| row.get(0)).optional()?;
        Ok(Self { application_id, version, empty: first_table.is_none() })
    }

    /// Refuses files that are not ours, and files of a newer release.
    pub(super) fn check(self) -> Result<(), StoreError> {
        if self.empty && self.application_id == 0 && self.version == 0 {
            return Ok(());
        }
        if self.application_id != APPLICATION_ID {
            return Err(StoreError::Corrupt { detail: "the file is a database of something else".into() });
        }
        if self.version > known_version() {
            return Err(StoreError::TooNew { found: self.version, known: known_version() });
        }
        Ok(())
    }
}

/// Brings the file to the newest version, all or nothing.
pub(super) fn migrate(conn: &mut Connection, salt: u64) -> Result<(), StoreError> {
    let stamp = Stamp::read(conn)?;
    stamp.check()?;
    if stamp.version == known_version() {
        return Ok(());
    }
    let run = || -> Result<Result<(), StoreError>, Fault> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Somebody else may have been faster.
        let stamp = Stamp::read(&tx)?;
        if let Err(error) = stamp.check() {
            return Ok(Err(error));
        }
        for sql in MIGRATIONS.iter().skip(usize::try_from(stamp.version).unwrap_or(usize::MAX)) {
            tx.execute_batch(sql)?;
        }
        if stamp.version == 0 {
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            let salt = i64::try_from(salt).unwrap_or(i64::MAX);
            tx.execute("INSERT INTO rt_meta (key, value) VALUES ('salt', ?1), ('next_row', 1)", [salt])?;
        }
        tx.pragma_update(None, "user_version", known_version())?;
        tx.commit()?;
        Ok(Ok(()))
    };
    let mut run = run;
    run()?
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use runtime_core::name::{InstanceName, QueueName};
    use runtime_core::store::{LeaseAsk, TaskCommand, TaskFilter, TaskReader, TaskStore};
    use runtime_core::task::TaskState;

    use super::*;
    use crate::{SqliteOptions, SqliteStore, SystemClock};

    /// A file as the first release left it: tasks in every live state, and one that is dead.
    fn file_of_version_1(path: &Path) {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(MIGRATIONS[0]).unwrap();
        conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        conn.pragma_update(None, "user_version", 1).unwrap();
        conn.execute_batch(
            "INSERT INTO rt_meta VALUES ('salt', 7), ('next_row', 4097);
             INSERT INTO rt_queue VALUES (1, 'work');
             INSERT INTO rt_route VALUES (1, 'shop', 1, 'handle');
             INSERT INTO rt_instance VALUES (1, 'one');
             INSERT INTO rt_history_count VALUES (1, 5, 1);
             INSERT INTO rt_task (row, state, queue, priority, at, max_attempts, holder, route, schema_version, created_at, payload, scope) VALUES
                 (1, 1, 1, 5, 1000, 3, 0, 1, 1, 1000, 'late', 'store=1'),
                 (2, 1, 1, 0, 1001, 3, 0, 1, 1, 1001, 'first', NULL),
                 (3, 2, 1, 0, 1002, 3, 1, 1, 1, 1002, 'second', NULL),
                 (4, 0, 1, 0, 4000000000000, 3, 0, 1, 1, 1003, 'far', NULL),
                 (5, 3, 1, 0, 1004, 3, 0, 1, 1, 1004, 'parked', NULL);
             INSERT INTO rt_history (row, state, queue, priority, at, epoch, attempt, max_attempts, crash_count, holder, route, \
                 schema_version, created_at, payload, approved) VALUES (6, 5, 1, 0, 1005, 1, 3, 3, 0, 1, 1, 1, 1005, 'dead', 0);",
        )
        .unwrap();
    }

    #[tokio::test]
    async fn a_file_of_the_first_release_opens_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        file_of_version_1(&path);
        let instance = InstanceName::new("two").unwrap();
        let mut options = SqliteOptions::new(path, instance.clone(), Arc::new(SystemClock));
        options.retention.keep_finished_for = Duration::MAX;
        let store = SqliteStore::open(options).unwrap();
        let all = store.list(TaskFilter::default(), None, 10).await.unwrap().tasks;
        let states: Vec<_> = all.iter().rev().map(|task| task.state).collect();
        use TaskState::{Dead, Parked, Ready, Scheduled};
        assert_eq!(
            states,
            [Ready, Ready, Ready, Scheduled, Parked, Dead],
            "the predecessor's lease is released"
        );
        assert!(all.iter().all(|task| task.held.is_none() && task.ordering_key.is_none()));
        store.steer(vec![(all[0].id, TaskCommand::Retry)]).await.unwrap().remove(0).unwrap();
        let queue = QueueName::new("work").unwrap();
        let ask = LeaseAsk { queue, instance, up_to: 10, lease_for: Duration::from_secs(30), task: None };
        let order: Vec<_> =
            store.lease(ask).await.unwrap().into_iter().map(|leased| leased.task.payload).collect();
        let order: Vec<_> = order.iter().map(|payload| std::str::from_utf8(payload).unwrap()).collect();
        assert_eq!(order, ["first", "second", "late", "dead"]);
    }
}
