//! Operations: documents that change together with the tasks they are about.

use async_trait::async_trait;
use runtime_core::error::TaskError;
use runtime_core::operation::{Operation, OperationCounts, OperationId, OperationSpec, OperationState};
use runtime_core::store::{
    KEPT_OPERATIONS, OperationStep, Operations, Revision, SteerError, Stepped, StoreError,
};
use runtime_core::task::{TaskId, TaskState};
use rusqlite::{OptionalExtension, Row, params_from_iter};
use serde::{Deserialize, Serialize};

use super::SqliteStore;
use super::columns::moment;
use super::conditions::Conditions;
use super::fault::Fault;
use super::reader::Reader;
use super::writer::{Writer, row_of};

const COLUMNS: &str = "SELECT id, revision, spec, progress, created_at FROM rt_operation";

/// What changes while an operation goes on.
#[derive(Serialize, Deserialize)]
struct Progress {
    state: OperationState,
    cursor: Option<TaskId>,
    counts: OperationCounts,
    next_at: i64,
    finished_at: Option<i64>,
    error: Option<TaskError>,
}

impl Progress {
    fn of(operation: &Operation) -> Self {
        Self {
            state: operation.state,
            cursor: operation.cursor,
            counts: operation.counts,
            next_at: operation.next_at.as_millisecond(),
            finished_at: operation.finished_at.map(|at| at.as_millisecond()),
            error: operation.error.clone(),
        }
    }
}

#[async_trait]
impl Operations for SqliteStore {
    async fn start_operation(&self, spec: OperationSpec) -> Result<Operation, StoreError> {
        self.command(spec, |writer, asked| writer.start_operation(asked)).await
    }

    async fn operation(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        self.0.lookers.read(move |reader, _| reader.operation(id)).await
    }

    async fn operations(
        &self,
        before: Option<OperationId>,
        page_size: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        self.check_batch(page_size)?;
        self.0.lookers.read(move |reader, _| reader.operations(before, page_size)).await
    }

    async fn running_operations(&self) -> Result<Vec<Operation>, StoreError> {
        self.0.readers.read(|reader, _| reader.running_operations()).await
    }

    async fn step_operation(&self, step: OperationStep) -> Result<Stepped, StoreError> {
        self.check_batch(step.tasks.len())?;
        self.write(step, |writer, asked| writer.step_operation(asked)).await
    }
}

impl Writer<'_> {
    pub(super) fn start_operation(&mut self, spec: &OperationSpec) -> Result<Operation, Fault> {
        let conn = self.conn;
        let now = self.timestamp()?;
        let begun = Operation {
            id: OperationId(0),
            spec: spec.clone(),
            state: OperationState::Running,
            revision: Revision::FIRST,
            cursor: None,
            counts: OperationCounts::default(),
            created_at: now,
            next_at: now,
            finished_at: None,
            error: None,
        };
        let sql = "INSERT INTO rt_operation (revision, running, spec, progress, created_at) VALUES (?1, 1, ?2, ?3, ?4)";
        let id = conn.prepare_cached(sql)?.insert((
            count(begun.revision),
            json(spec)?,
            json(&Progress::of(&begun))?,
            self.now,
        ))?;
        let sql = "DELETE FROM rt_operation WHERE running = 0 AND id <= \
            (SELECT id FROM rt_operation WHERE running = 0 ORDER BY id DESC LIMIT 1 OFFSET ?1)";
        conn.prepare_cached(sql)?.execute([KEPT_OPERATIONS])?;
        Ok(Operation { id: OperationId(id.unsigned_abs()), ..begun })
    }

    pub(super) fn step_operation(&mut self, step: &OperationStep) -> Result<Stepped, Fault> {
        let conn = self.conn;
        let mut known =
            conn.prepare_cached(&format!("{COLUMNS} WHERE id = ?1 AND revision = ?2 AND running = 1"))?;
        let found =
            known.query_row((number(step.id), count(step.revision)), |row| Ok(operation(row))).optional()?;
        let Some(mut operation) = found.transpose()? else { return Ok(Stepped::Conflict) };
        let under_way = self.act(&mut operation, &step.tasks)?;
        runtime_core::failpoint!("operation_uncommitted");
        let wait = i64::try_from(step.wait.as_millis()).unwrap_or(i64::MAX);
        operation.revision = operation.revision.next();
        operation.cursor = step.cursor;
        operation.next_at = moment(self.now.saturating_add(wait))?;
        operation.state = step.state;
        operation.finished_at = if operation.is_running() { None } else { Some(self.timestamp()?) };
        operation.error.clone_from(&step.error);
        let sql = "UPDATE rt_operation SET revision = ?2, running = ?3, progress = ?4 WHERE id = ?1";
        let row = (
            number(operation.id),
            count(operation.revision),
            operation.is_running(),
            json(&Progress::of(&operation))?,
        );
        conn.prepare_cached(sql)?.execute(row)?;
        Ok(Stepped::Done { operation: Box::new(operation), under_way })
    }

    /// Changes the tasks and counts them. Returns those that are under way.
    fn act(&mut self, operation: &mut Operation, tasks: &[TaskId]) -> Result<Vec<TaskId>, Fault> {
        let mut under_way = Vec::new();
        if tasks.is_empty() {
            return Ok(under_way);
        }
        let command = operation.spec.kind.command(&operation.spec.reason);
        let counts = &mut operation.counts;
        let names = self.shared.names();
        let Some(conditions) = Conditions::of(&operation.spec.filter, &names) else {
            counts.skipped += tasks.len() as u64;
            return Ok(under_way);
        };
        for id in tasks {
            let (sql, values) = conditions.one(row_of(*id));
            if !self.conn.prepare_cached(&sql)?.exists(values.bound())? {
                counts.skipped += 1;
                continue;
            }
            match self.steer_one(*id, &command)? {
                Ok(_) => counts.done += 1,
                Err(SteerError::NotAllowed(refused)) if refused.state == TaskState::Leased => {
                    under_way.push(*id)
                }
                Err(_) => counts.failed += 1,
            }
        }
        Ok(under_way)
    }
}

impl Reader {
    pub(super) fn operation(&self, id: OperationId) -> Result<Option<Operation>, Fault> {
        let found = self.read_operations(&format!("{COLUMNS} WHERE id = ?1"), &[number(id)])?;
        Ok(found.into_iter().next())
    }

    pub(super) fn operations(
        &self,
        before: Option<OperationId>,
        page_size: usize,
    ) -> Result<Vec<Operation>, Fault> {
        let before = before.map_or(i64::MAX, number);
        let limit = i64::try_from(page_size).unwrap_or(i64::MAX);
        self.read_operations(&format!("{COLUMNS} WHERE id < ?1 ORDER BY id DESC LIMIT ?2"), &[before, limit])
    }

    pub(super) fn running_operations(&self) -> Result<Vec<Operation>, Fault> {
        self.read_operations(&format!("{COLUMNS} WHERE running = 1 ORDER BY id"), &[])
    }

    fn read_operations(&self, sql: &str, values: &[i64]) -> Result<Vec<Operation>, Fault> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut operations = Vec::new();
        while let Some(row) = rows.next()? {
            operations.push(operation(row)?);
        }
        Ok(operations)
    }
}

fn operation(row: &Row<'_>) -> Result<Operation, Fault> {
    let (spec, progress): (String, String) = (row.get(2)?, row.get(3)?);
    let wrong = |error: serde_json::Error| Fault::corrupt(format!("an operation: {error}"));
    let progress: Progress = serde_json::from_str(&progress).map_err(wrong)?;
    Ok(Operation {
        id: OperationId(row.get::<_, i64>(0)?.unsigned_abs()),
        revision: Revision(row.get::<_, i64>(1)?.unsigned_abs()),
        spec: serde_json::from_str(&spec).map_err(wrong)?,
        state: progress.state,
        cursor: progress.cursor,
        counts: progress.counts,
        created_at: moment(row.get(4)?)?,
        next_at: moment(progress.next_at)?,
        finished_at: progress.finished_at.map(moment).transpose()?,
        error: progress.error,
    })
}

fn number(id: OperationId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

fn count(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn json<T: Serialize>(document: &T) -> Result<String, Fault> {
    serde_json::to_string(document).map_err(|error| Fault::corrupt(error.to_string()))
}
