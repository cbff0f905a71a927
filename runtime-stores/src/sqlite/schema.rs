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
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema/v1.sql"),
    include_str!("schema/v2.sql"),
    include_str!("schema/v3.sql"),
    include_str!("schema/v4.sql"),
    include_str!("schema/v5.sql"),
    include_str!("schema/v6.sql"),
    include_str!("schema/v7.sql"),
    include_str!("schema/v8.sql"),
    include_str!("schema/v9.sql"),
    include_str!("schema/v10.sql"),
];

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
