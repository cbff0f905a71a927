//! From a path to a store that serves: ownership, checks, schema, memory, the predecessor's leases. In this order, because a file that is
//! not ours, or not sound, must be left as it is.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime_core::lifecycle::CRASHES_BEFORE_ALONE;
use runtime_core::store::StoreError;
use runtime_core::task::TaskState;
use rusqlite::{Connection, OpenFlags};

use super::app::AppGuard;
use super::columns::state;
use super::fault::Fault;
use super::group::{self, Inbox};
use super::names::Names;
use super::options::{SqliteOptions, Synchronous};
use super::owner::OwnerLock;
use super::schema::{self, Stamp};
use super::writer::{Shared, Writer};

/// Of each file that is made: its user alone may read and write it.
pub(super) const MODE: u32 = 0o600;

/// How long the file is looked over at open. A small file is checked whole, a large one as far as this goes.
const CHECK_FOR: Duration = Duration::from_millis(500);

/// Pages the write-ahead log may grow to before its content moves to the database: 32 MiB.
const CHECKPOINT_PAGES: u32 = 8_192;

/// Memory for pages of the writer, in KiB.
const WRITER_CACHE_KIB: i32 = 16_384;

/// The writer thread, from open to close. `ready` hears whether the store could be opened.
pub(super) fn run(
    options: &SqliteOptions,
    shared: &Arc<Shared>,
    mut inbox: Inbox,
    ready: std::sync::mpsc::Sender<Result<(), StoreError>>,
) {
    let mut opened = match Opened::new(options) {
        Ok(opened) => opened,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let closing = {
        let mut writer = match opened.writer(options, shared) {
            Ok(writer) => writer,
            Err(fault) => return drop(ready.send(Err(fault.into()))),
        };
        if ready.send(Ok(())).is_err() {
            return;
        }
        drop(ready);
        group::serve(&mut writer, &mut inbox)
    };
    opened.close();
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

struct Opened {
    conn: Connection,
    guard: AppGuard,
    owner: Option<OwnerLock>,
}

impl Opened {
    fn new(options: &SqliteOptions) -> Result<Self, StoreError> {
        check_folder(&options.path)?;
        let owner =
            options.owner_lock.then(|| OwnerLock::take(&options.path, &options.instance)).transpose()?;
        check_unopened(&options.path)?;
        make(&options.path)?;
        let mut conn =
            connect(&options.path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        // SQLite opens what may not be written without a word.
        if conn.is_readonly(rusqlite::MAIN_DB).map_err(Fault::from)? {
            return Err(StoreError::ReadOnly {
                detail: format!("{} may not be written", options.path.display()),
            });
        }
        let guard = AppGuard::install(&mut conn)?;
        configure(&conn, options)?;
        check_pages(&conn, &guard)?;
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        schema::migrate(&mut conn, (high ^ low) & ((1 << 34) - 1))?;
        Ok(Self { conn, guard, owner })
    }

    fn writer(&mut self, options: &SqliteOptions, shared: &Arc<Shared>) -> Result<Writer<'_>, Fault> {
        let mut writer = Writer::new(&self.conn, options, Arc::clone(shared), self.guard.clone())?;
        let names = Names::load(&self.conn)?;
        shared.change_names(|known| *known = names);
        count(&mut writer)?;
        if options.owner_lock {
            let released = writer.begin(true).and_then(|()| {
                let released = writer.release_all()?;
                writer.commit()?;
                Ok(released)
            });
            match released {
                Ok(0) => {}
                Ok(released) => tracing::info!(released, "leases of the instance before were released"),
                Err(fault) => {
                    writer.roll_back();
                    return Err(fault);
                }
            }
        }
        writer.publish();
        Ok(writer)
    }

    fn close(self) {
        // Whether or not the log can be folded in, everything committed is on disk.
        if let Err(error) = self.conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::debug!(%error, "the write-ahead log stays for the next start");
        }
        drop(self.conn);
        drop(self.owner);
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Fault> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.set_prepared_statement_cache_capacity(128);
    // Only without the owner lock is anybody else there to wait for.
    conn.busy_timeout(Duration::from_secs(5))?;
    Ok(conn)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<(Connection, AppGuard), Fault> {
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let guard = AppGuard::install(&mut conn)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok((conn, guard))
}

fn configure(conn: &Connection, options: &SqliteOptions) -> Result<(), Fault> {
    conn.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::NormalLosesLastCommitsOnPowerCut => "NORMAL",
        #[cfg(feature = "faults")]
        Synchronous::Off => "OFF",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "trusted_schema", false)?;
    if let Some(bytes) = options.max_bytes {
        let page_size: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        conn.pragma_update(
            None,
            "max_page_count",
            i64::try_from(bytes / u64::from(page_size)).unwrap_or(i64::MAX).max(1),
        )?;
    }
    Ok(())
}

fn check_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        Ok(())
    } else {
        Err(StoreError::ReadOnly { detail: format!("{} is not a folder", folder.display()) })
    }
}

/// Makes the file where there is none, for its user alone: it holds every payload, and whoever may read those is said elsewhere. SQLite gives
/// the files beside it the same mode.
fn make(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        // What is wrong with one that is there, opening it says.
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(StoreError::ReadOnly { detail: format!("{}: {error}", path.display()) })
        }
        _ => Ok(()),
    }
}

/// Looks at an existing file without a right to change it.
fn check_unopened(path: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::ReadOnly { detail: error.to_string() }),
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    match Stamp::read(&conn) {
        Ok(stamp) => stamp.check(),
        // A file in a folder that cannot be written cannot be looked at in WAL mode: opening it for writing says why.
        Err(Fault(StoreError::ReadOnly { .. })) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

fn check_pages(conn: &Connection, guard: &AppGuard) -> Result<(), StoreError> {
    guard.arm(CHECK_FOR);
    let verdict = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    guard.disarm();
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(detail) => Err(StoreError::Corrupt { detail }),
        Err(rusqlite::Error::SqliteFailure(cause, _))
            if cause.code == rusqlite::ErrorCode::OperationInterrupted =>
        {
            tracing::debug!("the file is too large to be checked whole at open");
            Ok(())
        }
        Err(error) => Err(Fault::from(error).into()),
    }
}

/// Fills the books from the file.
fn count(writer: &mut Writer<'_>) -> Result<(), Fault> {
    let conn = writer.conn;
    // Ready tasks are counted in their index, which is all that is large; those that are held, one by one.
    for sql in [
        "SELECT queue, 1, count(*) FROM rt_task INDEXED BY rt_ready WHERE state = 1 AND held = 0 GROUP BY queue",
        "SELECT queue, 1, count(*) FROM rt_task INDEXED BY rt_held WHERE held <> 0 AND state = 1 GROUP BY queue",
        "SELECT queue, state, count(*) FROM rt_task INDEXED BY rt_waiting WHERE state <> 1 GROUP BY queue, state",
        "SELECT queue, state, tasks FROM rt_history_count",
    ] {
        let mut statement = conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            writer.books.begin_with(row.get(0)?, state(row.get(1)?)?, row.get::<_, i64>(2)?.unsigned_abs());
        }
    }
    let ready = TaskState::Ready.number();
    let mut statement =
        conn.prepare("SELECT queue, row FROM rt_task WHERE state = ?1 AND crash_count >= ?2 AND held = 0")?;
    let mut rows = statement.query((ready, CRASHES_BEFORE_ALONE))?;
    while let Some(row) = rows.next()? {
        writer.books.begin_with_suspect(row.get(0)?, row.get(1)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use crate::{SqliteStore, SystemClock};

    use super::*;

    #[tokio::test]
    async fn the_files_of_a_store_are_for_their_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("runtime.db");
        let instance = "here".parse().expect("a name");
        let options = SqliteOptions::new(path, instance, Arc::new(SystemClock));
        let _open = SqliteStore::open(options).expect("a store");
        let files: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
        assert!(files.len() >= 4, "the database, its log, the log's index and the lock: {files:?}");
        for file in files {
            let mode = file.metadata().expect("a file").permissions().mode() & 0o777;
            assert_eq!(mode, MODE, "{file:?}");
        }
    }
}
