//! Statements that write many rows of the hot path at once.
//!
//! A statement opens its table and every index of it before it writes, and closes them afterwards. With the indexes of `rt_task` that
//! takes as long as writing a row does, although most of them have no entry for it. So rows that come together are written together, by
//! statements that were prepared for a fixed number of rows; a lone row goes through the one prepared for one.

use std::fmt::Write as _;

use rusqlite::{Connection, Statement};

use super::enqueue::PlainRow;
use super::fault::Fault;
use super::lease::Terms;
use super::settle::End;
use super::writer::Writer;

/// Rows of one statement, largest first. More than 64 hardly gain anything.
const SIZES: [usize; 3] = [64, 8, 1];

/// The same statement for each of [`SIZES`].
struct Sized<'c>([Statement<'c>; 3]);

impl<'c> Sized<'c> {
    fn prepare(conn: &'c Connection, sql: fn(usize) -> String) -> Result<Self, Fault> {
        let [many, some, one] = SIZES.map(|rows| conn.prepare(&sql(rows)));
        Ok(Self([many?, some?, one?]))
    }

    /// Executes it over all of these, as many at a time as it takes. `bind` gets those whose turn it is.
    fn execute<T>(
        &mut self,
        mut rows: &[T],
        bind: impl Fn(&mut Statement<'c>, &[T]) -> rusqlite::Result<()>,
    ) -> Result<(), Fault> {
        for (statement, size) in self.0.iter_mut().zip(SIZES) {
            while let Some((now, rest)) = rows.split_at_checked(size) {
                bind(statement, now)?;
                let written = statement.raw_execute()?;
                if written != size {
                    return Err(Fault::corrupt(format!(
                        "{written} rows were written where {size} were meant"
                    )));
                }
                rows = rest;
            }
        }
        Ok(())
    }
}

/// Prepared statements of the writer's connection, each for several numbers of rows.
pub(super) struct Batches<'c> {
    insert: Sized<'c>,
    grant: Sized<'c>,
    finish: Sized<'c>,
    delete: Sized<'c>,
}

impl<'c> Batches<'c> {
    pub(super) fn prepare(conn: &'c Connection) -> Result<Self, Fault> {
        Ok(Self {
            insert: Sized::prepare(conn, insert)?,
            grant: Sized::prepare(conn, grant)?,
            finish: Sized::prepare(conn, finish)?,
            delete: Sized::prepare(conn, delete)?,
        })
    }
}

/// New tasks without anything rare, ready since ?1.
fn insert(rows: usize) -> String {
    format!(
        "INSERT INTO rt_task (row, state, queue, priority, at, max_attempts, route, schema_version, created_at, payload, rank) \
         VALUES {}",
        tuples(rows, |row| {
            let first = 2 + row * INSERTED;
            let [row, queue, priority, max_attempts, route, schema_version, payload, rank] =
                std::array::from_fn(|index| first + index);
            format!(
                "(?{row}, 1, ?{queue}, ?{priority}, ?1, ?{max_attempts}, ?{route}, ?{schema_version}, ?1, ?{payload}, ?{rank})"
            )
        })
    )
}

/// Values of one row of [`insert`].
const INSERTED: usize = 8;

/// Leases until ?1, held by ?2, of ready tasks.
fn grant(rows: usize) -> String {
    format!(
        "UPDATE rt_task SET state = 2, at = ?1, epoch = epoch + 1, attempt = attempt + 1, holder = ?2 \
         WHERE row IN ({}) AND state = 1",
        tuples(rows, |row| format!("?{}", 3 + row))
    )
}

/// Live tasks, copied to history at ?1.
fn finish(rows: usize) -> String {
    format!(
        "INSERT INTO rt_history (row, state, queue, priority, at, epoch, attempt, max_attempts, crash_count, holder, route, \
         schema_version, created_at, payload, run_at, deadline, approved, tenant, scope, idempotency_key, trace, correlation_id, \
         causation_id, checkpoint, progress, error, ordering_key, edited, weight, output, started_at, took_us, \
         attempt_trace, attempt_node) \
         SELECT task.row, ended.column2, queue, priority, ?1, epoch, ended.column3, max_attempts, ended.column4, holder, route, \
         schema_version, created_at, payload, run_at, deadline, approved, tenant, scope, idempotency_key, trace, correlation_id, \
         causation_id, checkpoint, progress, coalesce(ended.column5, error), ordering_key, edited, weight, ended.column6, \
         ended.column7, ended.column8, ended.column9, ended.column10 \
         FROM (VALUES {}) AS ended CROSS JOIN rt_task AS task ON task.row = ended.column1",
        tuples(rows, |row| {
            let first = 2 + row * FINISHED;
            format!("({})", tuples(FINISHED, |index| format!("?{}", first + index)))
        })
    )
}

/// Values of one row of [`finish`].
const FINISHED: usize = 10;

/// Live tasks that are in history now.
fn delete(rows: usize) -> String {
    format!("DELETE FROM rt_task WHERE row IN ({})", tuples(rows, |row| format!("?{}", 1 + row)))
}

/// So many of these, with commas between them.
fn tuples(count: usize, tuple: impl Fn(usize) -> String) -> String {
    let mut list = String::new();
    for index in 0..count {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(list, "{comma}{}", tuple(index));
    }
    list
}

impl Writer<'_> {
    /// Tasks that came in just now.
    pub(super) fn write_plain(&mut self, rows: &[PlainRow<'_>]) -> Result<(), Fault> {
        let now = self.now;
        self.batches.insert.execute(rows, |statement, rows| {
            statement.raw_bind_parameter(1, now)?;
            for (index, PlainRow { row, ids, rank, task }) in rows.iter().enumerate() {
                let first = 2 + index * INSERTED;
                statement.raw_bind_parameter(first, row)?;
                statement.raw_bind_parameter(first + 1, ids.queue)?;
                statement.raw_bind_parameter(first + 2, task.priority.0)?;
                statement.raw_bind_parameter(first + 3, task.max_attempts.get())?;
                statement.raw_bind_parameter(first + 4, ids.route)?;
                statement.raw_bind_parameter(first + 5, task.schema_version)?;
                statement.raw_bind_parameter(first + 6, task.payload.as_slice())?;
                statement.raw_bind_parameter(first + 7, rank)?;
            }
            Ok(())
        })
    }

    /// Leases of ready tasks, on these terms.
    pub(super) fn write_grants(&mut self, rows: &[i64], terms: Terms) -> Result<(), Fault> {
        self.batches.grant.execute(rows, |statement, rows| {
            statement.raw_bind_parameter(1, terms.until)?;
            statement.raw_bind_parameter(2, terms.instance)?;
            (3..).zip(rows).try_for_each(|(place, row)| statement.raw_bind_parameter(place, row))
        })
    }

    /// Moves live tasks to history. The books and the lines they stand in are the caller's.
    pub(super) fn write_ends(&mut self, ends: &[End<'_>]) -> Result<(), Fault> {
        let now = self.now;
        self.batches.finish.execute(ends, |statement, ends| {
            statement.raw_bind_parameter(1, now)?;
            for (index, end) in ends.iter().enumerate() {
                let first = 2 + index * FINISHED;
                statement.raw_bind_parameter(first, end.row)?;
                statement.raw_bind_parameter(first + 1, end.state.number())?;
                statement.raw_bind_parameter(first + 2, end.attempt)?;
                statement.raw_bind_parameter(first + 3, end.crash_count)?;
                statement.raw_bind_parameter(first + 4, end.error.as_deref())?;
                statement.raw_bind_parameter(first + 5, end.finish.output)?;
                statement.raw_bind_parameter(first + 6, end.finish.started_at)?;
                statement.raw_bind_parameter(first + 7, end.finish.took_us)?;
                statement.raw_bind_parameter(first + 8, end.finish.trace.as_deref())?;
                statement.raw_bind_parameter(first + 9, end.finish.node)?;
            }
            Ok(())
        })?;
        self.batches.delete.execute(ends, |statement, ends| {
            (1..).zip(ends).try_for_each(|(place, end)| statement.raw_bind_parameter(place, end.row))
        })
    }
}

#[cfg(test)]
mod tests {
    use runtime_core::lifecycle::{LifecycleEvent, LifecycleView, transition};
    use runtime_core::task::TaskState;

    use super::super::schema::MIGRATIONS;
    use super::*;

    #[test]
    fn tasks_are_found_by_their_row() {
        let conn = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|sql| conn.execute_batch(sql).unwrap());
        for (sql, rows) in
            [grant, finish, delete].into_iter().flat_map(|sql| SIZES.map(|rows| (sql(rows), rows)))
        {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let steps: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(nulls), |row| row.get(3))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let found = |step: &String| step.contains("USING INTEGER PRIMARY KEY (rowid=?)");
            assert!(steps.iter().any(found), "{rows} rows: {steps:?}");
            let scans = |step: &String| step.starts_with("SCAN rt_") || step.starts_with("SCAN task");
            assert!(!steps.iter().any(scans), "{rows} rows: {steps:?}");
        }
    }

    #[test]
    fn a_lease_counts_in_the_sql_as_in_the_lifecycle() {
        let ready = LifecycleView { state: TaskState::Ready, attempt: 3, max_attempts: 5, crash_count: 1 };
        let leased = transition(ready, LifecycleEvent::Leased).unwrap();
        assert_eq!((leased.state.number(), leased.attempt), (2, ready.attempt + 1), "state = 2, attempt + 1");
        assert_eq!(leased.crash_count, ready.crash_count, "deaths are not touched");
        assert_eq!(TaskState::Ready.number(), 1, "ready tasks are inserted and leased");
    }
}
