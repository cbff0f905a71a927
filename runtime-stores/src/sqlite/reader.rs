//! Readers: a few read-only connections, used on blocking threads. They see the last commit and keep nobody from writing.
//!
//! There are two lots of them. One is for looks that have an end: an operator's page, a count, one task. The other is for what may take
//! long: an app's own questions, the walks of operations, counts to the end. So whoever looks waits for others who look, and for nobody else.

mod dead;
mod line;
mod looking;

pub(super) use looking::PAGE_LOOKS_AT;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use runtime_core::event::{NewEvent, StoredEvent};
use runtime_core::name::InstanceName;
use runtime_core::node::{DesiredState, NodePath};
use runtime_core::store::{QueueStats, Resized, SqlRow, SqlValue, StoreError};
use runtime_core::task::{AttemptRecord, Epoch, Task, TaskId, TaskState};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::app::{AppGuard, query_fenced};
use super::columns::{self, moment, trace_from_text};
use super::conditions::{FINISHED, LIVE};
use super::fault::Fault;
use super::names::Names;
use super::open;
use super::writer::{Shared, row_of};

/// Most connections of one kind that read at once.
const READERS: usize = 4;

/// Where a live task says how it is held.
const HELD: usize = columns::OUTPUT + 1;

/// Connections that only read, opened when first needed.
#[derive(Clone)]
pub(super) struct Readers {
    path: Arc<PathBuf>,
    salt: u64,
    shared: Arc<Shared>,
    idle: Arc<Mutex<Vec<Reader>>>,
    permits: Arc<Semaphore>,
}

/// One connection that only reads.
pub(super) struct Reader {
    pub(super) conn: Connection,
    guard: AppGuard,
}

impl Readers {
    pub(super) fn open(path: PathBuf, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let (conn, guard) = open::reader(&path)?;
        let salt: i64 = conn
            .query_row("SELECT value FROM rt_meta WHERE key = 'salt'", [], |row| row.get(0))
            .map_err(Fault::from)?;
        Ok(Self {
            path: Arc::new(path),
            salt: salt.unsigned_abs(),
            shared,
            idle: Arc::new(Mutex::new(vec![Reader { conn, guard }])),
            permits: Arc::new(Semaphore::new(READERS)),
        })
    }

    /// Runs a look on a blocking thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader, &Look<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let readers = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = match idle {
                Some(reader) => reader,
                None => {
                    let (conn, guard) = open::reader(&readers.path)?;
                    Reader { conn, guard }
                }
            };
            let result = readers.look(&reader, look);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            result
        });
        match looked.await {
            Ok(result) => result.map_err(StoreError::from),
            Err(error) => Err(StoreError::Unavailable { detail: format!("a reader broke: {error}") }),
        }
    }

    fn look<T>(
        &self,
        reader: &Reader,
        look: impl FnOnce(&Reader, &Look<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // Taken before the read: what is committed refers only to names that were known before it was.
        let names = self.shared.names();
        look(reader, &Look { names: &names, shared: &self.shared, salt: self.salt })
    }

    /// No new looks; waits for those under way.
    pub(super) async fn close(&self) {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        let waited = self.permits.acquire_many(all).await;
        self.permits.close();
        drop(waited);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// When the ready task that goes next became due: of every lane in use, as far as a look at so many is cheap, each found by one step in the
/// index, and of each its first task.
pub(super) const OLDEST_READY: &str = "WITH RECURSIVE used (lane) AS (\
        SELECT * FROM (SELECT lane FROM rt_task WHERE queue = ?1 AND state = 1 AND held = 0 ORDER BY lane LIMIT 1) \
        UNION ALL \
        SELECT (SELECT min(lane) FROM rt_task WHERE queue = ?1 AND state = 1 AND held = 0 AND lane > coalesce(used.lane, '')) \
        FROM used WHERE used.lane IS NOT NULL LIMIT 1000) \
    SELECT min((SELECT coalesce(run_at, created_at) FROM rt_task \
        WHERE queue = ?1 AND lane IS used.lane AND state = 1 AND held = 0 ORDER BY rank, row LIMIT 1)) \
    FROM used";

/// What reading rows needs to know.
pub(super) struct Look<'a> {
    names: &'a Names,
    shared: &'a Shared,
    salt: u64,
}

impl Reader {
    pub(super) fn get(&self, look: &Look<'_>, ids: &[TaskId]) -> Result<Vec<Option<Task>>, Fault> {
        // One snapshot: a task that moves to history meanwhile is found in one of the two.
        let tx = self.conn.unchecked_transaction()?;
        let mut live = tx.prepare_cached(&format!("{LIVE} WHERE row = ?1"))?;
        let mut finished = tx.prepare_cached(&format!("{FINISHED} WHERE row = ?1"))?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let mut task = None;
            for statement in [&mut live, &mut finished] {
                let mut rows = statement.query([row_of(*id)])?;
                if let Some(row) = rows.next()? {
                    task = Some(self.task(row, look)?);
                }
            }
            found.push(task.filter(|task| task.id == *id));
        }
        Ok(found)
    }

    /// A row of one of the two, as readers see it.
    fn task(&self, row: &rusqlite::Row<'_>, look: &Look<'_>) -> Result<Task, Fault> {
        let task = columns::task(row, look.names, look.salt)?;
        let held = self.held(look, row.get(HELD)?, row.get(2)?, task.ordering_key.as_ref())?;
        Ok(Task { held, ..task })
    }

    pub(super) fn attempts(&self, look: &Look<'_>, id: TaskId) -> Result<Vec<AttemptRecord>, Fault> {
        if self.get(look, &[id])?.iter().all(Option::is_none) {
            return Ok(Vec::new());
        }
        let sql = "SELECT attempt, epoch, instance, started_at, took_us, outcome, error, trace, node FROM rt_attempt WHERE row = ?1 \
            UNION ALL \
            SELECT attempt, epoch, holder, started_at, took_us, 'done', NULL, attempt_trace, attempt_node FROM rt_history \
            WHERE row = ?1 AND started_at IS NOT NULL \
            ORDER BY epoch";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([row_of(id)])?;
        let mut attempts = Vec::new();
        while let Some(row) = rows.next()? {
            let error: Option<String> = row.get(6)?;
            let error = error.map(|json| serde_json::from_str(&json)).transpose();
            attempts.push(AttemptRecord {
                attempt: row.get(0)?,
                epoch: Epoch(row.get::<_, i64>(1)?.unsigned_abs()),
                instance: instance(look.names, row.get(2)?)?,
                node: row.get::<_, Option<i64>>(8)?.map(|id| look.names.node(id).cloned()).transpose()?,
                started_at: moment(row.get(3)?)?,
                took: std::time::Duration::from_micros(row.get::<_, i64>(4)?.unsigned_abs()),
                outcome: row.get(5)?,
                error: error.map_err(|error| Fault::corrupt(error.to_string()))?,
                trace: row.get::<_, Option<String>>(7)?.map(|text| trace_from_text(&text)),
            });
        }
        Ok(attempts)
    }

    /// Counts are the writer's; only the oldest of each queue is looked up.
    pub(super) fn queue_stats(
        &self,
        look: &Look<'_>,
        mut known: Vec<QueueStats>,
    ) -> Result<Vec<QueueStats>, Fault> {
        let mut statement = self.conn.prepare_cached(OLDEST_READY)?;
        for stats in &mut known {
            if stats.counts.of(TaskState::Ready) > 0
                && let Some(queue) = look.names.queue_id(&stats.queue)
            {
                let oldest: Option<i64> = statement.query_row([queue], |row| row.get(0))?;
                stats.oldest_ready = oldest.map(moment).transpose()?;
            }
        }
        known.sort_by(|a, b| a.queue.cmp(&b.queue));
        Ok(known)
    }

    pub(super) fn unrelayed(&self, look: &Look<'_>, limit: usize) -> Result<Vec<StoredEvent>, Fault> {
        let sql =
            "SELECT position, row, created_at, at, kind, body FROM rt_outbox ORDER BY position LIMIT ?1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(1)?;
            events.push(StoredEvent {
                position: row.get::<_, i64>(0)?.unsigned_abs(),
                task: TaskId::new(moment(row.get(2)?)?, look.salt, number.unsigned_abs()),
                at: moment(row.get(3)?)?,
                event: NewEvent { kind: row.get(4)?, body: row.get(5)? },
            });
        }
        Ok(events)
    }

    pub(super) fn desired(&self) -> Result<Vec<(NodePath, DesiredState)>, Fault> {
        let mut statement = self.conn.prepare_cached("SELECT path, state FROM rt_desired ORDER BY path")?;
        let mut rows = statement.query([])?;
        let mut desired = Vec::new();
        while let Some(row) = rows.next()? {
            let (path, state): (String, String) = (row.get(0)?, row.get(1)?);
            let path = path.parse().map_err(|error| Fault::corrupt(format!("{error}")))?;
            desired.push((path, state.parse().map_err(Fault::corrupt)?));
        }
        Ok(desired)
    }

    pub(super) fn resized(&self) -> Result<Vec<Resized>, Fault> {
        let sql = "SELECT path, slots, since FROM rt_resized ORDER BY path";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut resized = Vec::new();
        while let Some(row) = rows.next()? {
            let path: String = row.get(0)?;
            let slots = usize::try_from(row.get::<_, i64>(1)?).ok().and_then(NonZeroUsize::new);
            resized.push(Resized {
                path: path.parse().map_err(|error| Fault::corrupt(format!("{error}")))?,
                slots: slots.ok_or_else(|| Fault::corrupt(format!("no slots for {path}")))?,
                since: moment(row.get(2)?)?,
            });
        }
        Ok(resized)
    }

    pub(super) fn query_app(&self, sql: &str, params: &[SqlValue]) -> Result<Vec<SqlRow>, Fault> {
        query_fenced(&self.conn, &self.guard, sql, params)
    }
}

fn instance(names: &Names, id: i64) -> Result<InstanceName, Fault> {
    names.instance(id).cloned()
}
