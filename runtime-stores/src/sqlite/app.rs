//! The app's own rows in the same file.
//!
//! App SQL runs on the writer's connection between our statements, so it is fenced in: an authorizer refuses everything that would
//! end, nest or leave the transaction, and every table of ours; a progress handler interrupts what runs past its deadline.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::name::AppName;
use runtime_core::store::{
    AppMigration, AppRows, AppWrite, EnqueueError, SqlRow, SqlValue, StoreError, StoreTx,
};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql};

use super::SqliteStore;
use super::fault::Fault;
use super::writer::Writer;

/// Our tables begin with this; apps keep away from it.
const OUR_PREFIX: &str = "rt_";

/// Virtual-machine steps between two looks at the deadline.
const STEPS_BETWEEN_LOOKS: i32 = 4_000;

/// Fences app SQL in on one connection.
#[derive(Debug, Clone)]
pub(super) struct AppGuard {
    on: Arc<AtomicBool>,
    /// Nanoseconds after `origin`; zero: none.
    deadline: Arc<AtomicU64>,
    origin: Instant,
}

impl AppGuard {
    /// Installs the hooks. They stay, and do nothing until the guard is on.
    pub(super) fn install(conn: &mut Connection) -> Result<Self, Fault> {
        let guard = Self { on: Arc::default(), deadline: Arc::default(), origin: Instant::now() };
        let on = Arc::clone(&guard.on);
        conn.authorizer(Some(move |context: AuthContext<'_>| {
            if on.load(Ordering::Relaxed) && !is_for_apps(&context) {
                Authorization::Deny
            } else {
                Authorization::Allow
            }
        }))?;
        let clone = guard.clone();
        conn.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || clone.is_over()))?;
        Ok(guard)
    }

    /// Runs app SQL under the fence.
    fn fenced<T>(&self, work: impl FnOnce() -> T) -> T {
        self.on.store(true, Ordering::Relaxed);
        let result = work();
        self.on.store(false, Ordering::Relaxed);
        result
    }

    pub(super) fn arm(&self, within: Duration) {
        let at = self.origin.elapsed().saturating_add(within);
        self.deadline.store(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    pub(super) fn disarm(&self) {
        self.deadline.store(0, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        deadline != 0 && self.origin.elapsed().as_nanos() > u128::from(deadline)
    }
}

fn is_for_apps(context: &AuthContext<'_>) -> bool {
    let theirs = |name: &str| {
        !name.get(..OUR_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(OUR_PREFIX))
    };
    match context.action {
        AuthAction::Select | AuthAction::Function { .. } | AuthAction::Recursive => true,
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name }
        | AuthAction::CreateTable { table_name }
        | AuthAction::DropTable { table_name }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::CreateIndex { table_name, .. }
        | AuthAction::DropIndex { table_name, .. }
        | AuthAction::CreateTrigger { table_name, .. }
        | AuthAction::DropTrigger { table_name, .. } => theirs(table_name),
        AuthAction::CreateView { view_name } | AuthAction::DropView { view_name } => theirs(view_name),
        AuthAction::Reindex { .. } => true,
        // Transactions, savepoints, pragmas, attached files, temporary objects, virtual tables, and what is not known.
        _ => false,
    }
}

/// Says no to SQL that could end the transaction without asking the authorizer (`INSERT OR ROLLBACK`, `RAISE(ROLLBACK, …)`).
fn look_at(sql: &str) -> Result<(), TaskError> {
    let mentions_rollback = sql.as_bytes().windows(8).any(|word| word.eq_ignore_ascii_case(b"rollback"));
    if mentions_rollback {
        return Err(TaskError::new(
            ErrorCode::AppWriteFailed,
            "a statement may not roll back: return an error instead",
        ));
    }
    Ok(())
}

/// The open transaction, as the app sees it.
struct AppTx<'a> {
    conn: &'a Connection,
    guard: &'a AppGuard,
    now: Timestamp,
    /// The store itself failed, whatever the app makes of it.
    fault: Option<Fault>,
}

impl AppTx<'_> {
    fn failed(&mut self, error: rusqlite::Error) -> TaskError {
        let text = error.to_string();
        let fault = Fault::from(error);
        if fault.concerns_all() {
            self.fault = Some(fault);
        }
        TaskError::new(ErrorCode::AppWriteFailed, text)
    }
}

impl StoreTx for AppTx<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn execute(&mut self, sql: &str, params: &[SqlValue]) -> Result<usize, TaskError> {
        look_at(sql)?;
        let done = self.guard.fenced(|| {
            let mut statement = self.conn.prepare_cached(&marked(sql))?;
            statement.execute(rusqlite::params_from_iter(params.iter().map(Bound)))
        });
        done.map_err(|error| self.failed(error))
    }

    fn query(&mut self, sql: &str, params: &[SqlValue]) -> Result<Vec<SqlRow>, TaskError> {
        look_at(sql)?;
        let found = self.guard.fenced(|| query(self.conn, sql, params));
        found.map_err(|error| self.failed(error))
    }
}

/// Reads app tables on a reader's connection.
pub(super) fn query_fenced(
    conn: &Connection,
    guard: &AppGuard,
    sql: &str,
    params: &[SqlValue],
) -> Result<Vec<SqlRow>, Fault> {
    guard.fenced(|| query(conn, sql, params)).map_err(Fault::from)
}

/// The same text from us and from an app must not share a prepared statement: ours was allowed more.
fn marked(sql: &str) -> String {
    format!("/*app*/{sql}")
}

fn query(conn: &Connection, sql: &str, params: &[SqlValue]) -> rusqlite::Result<Vec<SqlRow>> {
    let mut statement = conn.prepare_cached(&marked(sql))?;
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(params.iter().map(Bound)))?;
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        let values =
            (0..columns).map(|index| Ok(sql_value(row.get_ref(index)?))).collect::<rusqlite::Result<_>>()?;
        answer.push(SqlRow(values));
    }
    Ok(answer)
}

struct Bound<'a>(&'a SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            SqlValue::Null => ToSqlOutput::Owned(Value::Null),
            SqlValue::Integer(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            SqlValue::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            SqlValue::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            SqlValue::Blob(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        })
    }
}

fn sql_value(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(value) => SqlValue::Integer(value),
        ValueRef::Real(value) => SqlValue::Real(value),
        ValueRef::Text(value) => SqlValue::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => SqlValue::Blob(value.to_vec()),
    }
}

#[async_trait]
impl AppRows for SqliteStore {
    async fn migrate_app(&self, app: AppName, migrations: &'static [AppMigration]) -> Result<(), StoreError> {
        self.write((app, migrations), |writer, asked| writer.migrate_app(asked)).await?
    }

    async fn query_app(&self, sql: &str, params: Vec<SqlValue>) -> Result<Vec<SqlRow>, StoreError> {
        let sql = sql.to_owned();
        self.0.readers.read(move |reader, _| reader.query_app(&sql, &params)).await
    }

    async fn write_app(&self, write: AppWrite) -> Result<(), EnqueueError> {
        self.write(write, |writer, asked| writer.write_app(asked)).await?
    }
}

impl Writer<'_> {
    /// Runs the app's writes of one member. The caller has opened the savepoint that an error undoes.
    pub(super) fn write_app_rows(&mut self, writes: &[AppWrite]) -> Result<Result<(), TaskError>, Fault> {
        if writes.is_empty() {
            return Ok(Ok(()));
        }
        let mut tx = AppTx { conn: self.conn, guard: &self.app, now: self.timestamp()?, fault: None };
        self.app.arm(self.app_write_deadline);
        let ran = catch_unwind(AssertUnwindSafe(|| writes.iter().try_for_each(|write| write.run(&mut tx))));
        let fault = tx.fault;
        let late = self.app.is_over();
        self.app.disarm();
        // A panic may have passed through the fence.
        self.app.on.store(false, Ordering::Relaxed);
        if let Some(fault) = fault {
            return Err(fault);
        }
        if self.conn.is_autocommit() {
            return Err(Fault(StoreError::Unavailable {
                detail: "an app's write ended the transaction".into(),
            }));
        }
        Ok(match ran {
            Ok(Ok(())) if late => Err(self.too_late()),
            Ok(Err(_)) if late => Err(self.too_late()),
            Ok(result) => result,
            Err(_) => Err(TaskError::new(ErrorCode::AppWriteFailed, "the app's write panicked")),
        })
    }

    fn too_late(&self) -> TaskError {
        let allowed = self.app_write_deadline.as_millis();
        TaskError::new(ErrorCode::AppWriteFailed, format!("the app's write took longer than {allowed} ms"))
    }

    pub(super) fn write_app(&mut self, write: &AppWrite) -> Result<Result<(), EnqueueError>, Fault> {
        self.all_or_nothing(|writer| {
            Ok(writer.write_app_rows(std::slice::from_ref(write))?.map_err(EnqueueError::AppWrite))
        })
    }

    pub(super) fn migrate_app(
        &mut self,
        (app, migrations): &(AppName, &'static [AppMigration]),
    ) -> Result<Result<(), StoreError>, Fault> {
        let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
        let found: u32 = self
            .conn
            .prepare_cached("SELECT version FROM rt_app WHERE app = ?1")?
            .query_row([app.as_str()], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        if found > known {
            return Ok(Err(StoreError::TooNew { found, known }));
        }
        if found == known {
            return Ok(Ok(()));
        }
        self.all_or_nothing(|writer| {
            for migration in migrations.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
                if let Err(error) = writer.run_migration(migration)? {
                    let detail = format!("migration {:?} of app {app} failed: {}", migration.name, error.message);
                    return Ok(Err(StoreError::Unavailable { detail }));
                }
            }
            let sql = "INSERT INTO rt_app (app, version) VALUES (?1, ?2) ON CONFLICT (app) DO UPDATE SET version = excluded.version";
            writer.conn.prepare_cached(sql)?.execute((app.as_str(), known))?;
            Ok(Ok(()))
        })
    }

    fn run_migration(&mut self, migration: &AppMigration) -> Result<Result<(), TaskError>, Fault> {
        if let Err(error) = look_at(migration.sql) {
            return Ok(Err(error));
        }
        let ran = self.app.fenced(|| self.conn.execute_batch(migration.sql));
        match ran.map_err(Fault::from) {
            Ok(()) => Ok(Ok(())),
            Err(Fault(StoreError::Unavailable { detail })) => {
                Ok(Err(TaskError::new(ErrorCode::AppWriteFailed, detail)))
            }
            Err(fault) => Err(fault),
        }
    }
}
