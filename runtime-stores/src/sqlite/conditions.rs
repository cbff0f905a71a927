//! Filters as SQL.

use runtime_core::error::ErrorCode;
use runtime_core::store::TaskFilter;
use runtime_core::task::{TaskId, TaskState};
use rusqlite::types::Value;

use super::columns::shared_columns;
use super::names::Names;
use super::writer::row_of;
use crate::content::millis_up;

/// Behind what both have: what a finished task gave, how a live one is held.
pub(super) const LIVE: &str = concat!("SELECT ", shared_columns!(), ", NULL, held FROM rt_task");
pub(super) const FINISHED: &str = concat!("SELECT ", shared_columns!(), ", output, 0 FROM rt_history");

/// A filter as SQL.
pub(super) struct Conditions {
    sql: String,
    values: Vec<Value>,
    live: bool,
    finished: bool,
    /// Where the finished ones are looked up.
    history: &'static str,
    /// Of the finished ones only those of one state that is not done: their indexes have them in the order of rows.
    one_bad_state: bool,
}

impl Conditions {
    /// `None` when nothing can fit: a name that no task ever had.
    pub(super) fn of(filter: &TaskFilter, after: Option<TaskId>, names: &Names) -> Option<Self> {
        let states = if filter.states.is_empty() { TaskState::ALL.to_vec() } else { filter.states.clone() };
        let mut conditions = Self {
            sql: String::from("1"),
            values: Vec::new(),
            live: states.iter().any(|state| !state.is_finished())
                && filter.finished_since.is_none()
                && filter.finished_until.is_none(),
            finished: states.iter().any(|state| state.is_finished()),
            history: history(filter, &states),
            one_bad_state: one_bad_state(&states),
        };
        if !filter.states.is_empty() {
            let numbers: Vec<String> = states.iter().map(|state| state.number().to_string()).collect();
            conditions.sql.push_str(&format!(" AND state IN ({})", numbers.join(", ")));
        }
        if let Some(after) = after {
            conditions.add("row < ?", Value::Integer(row_of(after)));
        }
        if let Some(queue) = &filter.queue {
            conditions.add("queue = ?", Value::Integer(names.queue_id(queue)?));
        }
        if filter.app.is_some() || filter.handler.is_some() {
            let routes: Vec<String> = names
                .routes()
                .filter(|(_, route)| filter.app.as_ref().is_none_or(|app| route.app == *app))
                .filter(|(_, route)| filter.handler.as_ref().is_none_or(|handler| route.handler == *handler))
                .map(|(id, _)| id.to_string())
                .collect();
            if routes.is_empty() {
                return None;
            }
            conditions.sql.push_str(&format!(" AND route IN ({})", routes.join(", ")));
        }
        if let Some(tenant) = &filter.tenant {
            conditions.add("tenant = ?", Value::Text(tenant.as_str().to_owned()));
        }
        if let Some(scope) = &filter.scope {
            conditions.add("scope = ?", Value::Text(scope.as_str().to_owned()));
        }
        if let Some(code) = filter.code {
            conditions.add("error ->> '$.code' = ?", Value::Text(code.as_str().to_owned()));
        }
        if let Some(class) = filter.error_class {
            let of_class = ErrorCode::ALL.iter().filter(|code| code.class() == class);
            let codes: Vec<String> = of_class.map(|code| format!("'{code}'")).collect();
            conditions.sql.push_str(&format!(" AND error ->> '$.code' IN ({})", codes.join(", ")));
        }
        // Whole milliseconds are at or after a moment exactly when they are at or after it rounded up.
        for (condition, at) in [
            ("created_at >= ?", filter.created_since),
            ("created_at < ?", filter.created_until),
            ("at >= ?", filter.finished_since),
            ("at < ?", filter.finished_until),
        ] {
            if let Some(at) = at {
                conditions.add(condition, Value::Integer(millis_up(at)));
            }
        }
        (conditions.live || conditions.finished).then_some(conditions)
    }

    /// Newest first, at most so many.
    pub(super) fn list(mut self, limit: usize) -> (String, Vec<Value>) {
        self.values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let (sql, history) = (&self.sql, self.history);
        let select = match (self.live, self.finished) {
            (true, true) => format!("{LIVE} WHERE {sql} UNION ALL {FINISHED}{history} {sql}"),
            (true, false) => format!("{LIVE} WHERE {sql}"),
            (false, _) => format!("{FINISHED}{history} {sql}"),
        };
        (format!("{select} ORDER BY row DESC LIMIT ?{}", self.values.len()), self.values)
    }

    /// Row and creation of each, oldest first, from after a task on. Always in the order of rows, so that a walk over all of them reads each
    /// row once, however few fit and however many steps it takes.
    pub(super) fn walk(mut self, after: Option<TaskId>, up_to: usize) -> (String, Vec<Value>) {
        self.add("row > ?", Value::Integer(after.map_or(0, row_of)));
        self.values.push(Value::Integer(i64::try_from(up_to).unwrap_or(i64::MAX)));
        let limit = self.values.len();
        let select = |table: &str| format!("SELECT row, created_at FROM {table} {}", self.sql);
        let live = select("rt_task NOT INDEXED WHERE");
        let history = select(&format!(
            "rt_history{}",
            if self.one_bad_state { self.history } else { " NOT INDEXED WHERE" }
        ));
        let select = match (self.live, self.finished) {
            (true, true) => format!("{live} UNION ALL {history}"),
            (true, false) => live,
            (false, _) => history,
        };
        (format!("{select} ORDER BY row LIMIT ?{limit}"), self.values)
    }

    /// Whether the task whose row is bound behind the values fits.
    pub(super) fn one(self) -> (String, Vec<Value>) {
        let (sql, row) = (&self.sql, self.values.len() + 1);
        let of = |table: &str| format!("SELECT 1 FROM {table} NOT INDEXED WHERE row = ?{row} AND {sql}");
        let select = match (self.live, self.finished) {
            (true, true) => format!("{} UNION ALL {}", of("rt_task"), of("rt_history")),
            (true, false) => of("rt_task"),
            (false, _) => of("rt_history"),
        };
        (select, self.values)
    }

    /// State and number, of at most so many live ones, and of at most so many finished ones.
    pub(super) fn counts(self, at_most: u64) -> Vec<(String, Vec<Value>)> {
        let mut values = self.values;
        values.push(Value::Integer(i64::try_from(at_most).unwrap_or(i64::MAX)));
        let (sql, limit) = (&self.sql, values.len());
        let tables =
            [(self.live, "rt_task WHERE".to_owned()), (self.finished, format!("rt_history{}", self.history))];
        let tables = tables.into_iter().filter(|(wanted, _)| *wanted);
        let count = |(_, table): (bool, String)| {
            let select = format!("SELECT state FROM {table} {sql} LIMIT ?{limit}");
            (format!("SELECT state, count(*) FROM ({select}) GROUP BY state"), values.clone())
        };
        tables.map(count).collect()
    }

    /// Route, code, how many, first and last end, last row of each group.
    pub(super) fn dead_groups(self) -> (String, Vec<Value>) {
        let (sql, history) = (&self.sql, self.history);
        let select = format!(
            "SELECT route, error ->> '$.code' AS code, count(*), min(at), max(at), max(row) FROM rt_history{history} {sql} \
             GROUP BY route, code"
        );
        (select, self.values)
    }

    fn add(&mut self, condition: &str, value: Value) {
        self.values.push(value);
        self.sql.push_str(&format!(" AND {condition}{}", self.values.len()));
    }
}

/// Finished tasks that are not done are few, and have indexes of their own. One of them is named, with its own condition repeated:
/// SQLite does not see by itself that it fits, and would read history whole.
fn history(filter: &TaskFilter, states: &[TaskState]) -> &'static str {
    let mut finished = states.iter().filter(|state| state.is_finished());
    if finished.any(|state| *state == TaskState::Done) {
        " WHERE"
    } else if filter.scope.is_some() {
        " INDEXED BY rt_history_bad_scope WHERE state <> 4 AND scope IS NOT NULL AND"
    } else if filter.queue.is_some() {
        " INDEXED BY rt_history_bad_queue WHERE state <> 4 AND"
    } else if one_bad_state(states) {
        " INDEXED BY rt_history_bad WHERE state <> 4 AND"
    } else {
        " WHERE state <> 4 AND"
    }
}

fn one_bad_state(states: &[TaskState]) -> bool {
    let mut finished = states.iter().filter(|state| state.is_finished());
    matches!((finished.next(), finished.next()), (Some(TaskState::Dead | TaskState::Cancelled), None))
}

#[cfg(test)]
mod tests {
    use runtime_core::name::{QueueName, Scope};
    use rusqlite::Connection;

    use super::super::schema::MIGRATIONS;
    use super::*;

    fn plan(conn: &Connection, (sql, values): (String, Vec<Value>)) -> String {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps =
            statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn dead_tasks_are_listed_without_a_look_at_the_others() {
        let conn = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|sql| conn.execute_batch(sql).unwrap());
        let queue = QueueName::new("work").unwrap();
        let mut names = Names::default();
        names.intern_queue(&conn, &queue).unwrap();
        let scope: Scope = "store=1".parse().unwrap();
        let dead = || TaskFilter { states: vec![TaskState::Dead], ..TaskFilter::default() };
        let filters = [
            dead(),
            TaskFilter { queue: Some(queue.clone()), ..dead() },
            TaskFilter { scope: Some(scope.clone()), ..dead() },
            TaskFilter { queue: Some(queue), scope: Some(scope), code: Some(ErrorCode::Poison), ..dead() },
        ];
        for filter in filters {
            let conditions = || Conditions::of(&filter, None, &names).unwrap();
            let list = plan(&conn, conditions().list(50));
            assert!(list.starts_with("SEARCH rt_history USING INDEX rt_history_bad"), "{filter:?}: {list}");
            assert!(!list.contains("TEMP B-TREE") && !list.contains("SCAN"), "{filter:?}: {list}");
            let groups = plan(&conn, conditions().dead_groups());
            assert!(
                groups.starts_with("SEARCH rt_history USING INDEX rt_history_bad"),
                "{filter:?}: {groups}"
            );
        }
    }

    #[test]
    fn a_walk_goes_by_rows_and_never_sorts() {
        let conn = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|sql| conn.execute_batch(sql).unwrap());
        let queue = QueueName::new("work").unwrap();
        let mut names = Names::default();
        names.intern_queue(&conn, &queue).unwrap();
        let scope: Scope = "store=1".parse().unwrap();
        let any = TaskFilter::default;
        let filters = [
            any(),
            TaskFilter { states: vec![TaskState::Scheduled, TaskState::Ready], ..any() },
            TaskFilter { states: vec![TaskState::Dead, TaskState::Cancelled], ..any() },
            TaskFilter { states: vec![TaskState::Done], queue: Some(queue.clone()), ..any() },
            TaskFilter { states: vec![TaskState::Dead], queue: Some(queue.clone()), ..any() },
            TaskFilter { states: vec![TaskState::Dead], scope: Some(scope.clone()), ..any() },
            TaskFilter { states: vec![TaskState::Dead], ..any() },
            TaskFilter { scope: Some(scope), queue: Some(queue), ..any() },
        ];
        for filter in filters {
            let conditions = || Conditions::of(&filter, None, &names).unwrap();
            let walk = plan(&conn, conditions().walk(None, 500));
            assert!(!walk.contains("TEMP B-TREE") && !walk.contains("SCAN"), "{filter:?}: {walk}");
            let one = {
                let (sql, mut values) = conditions().one();
                values.push(Value::Integer(1));
                plan(&conn, (sql, values))
            };
            let by_row = one.matches("USING INTEGER PRIMARY KEY (rowid=?)").count();
            assert!(by_row >= 1 && !one.contains("SCAN"), "{filter:?}: {one}");
            for counted in conditions().counts(10) {
                plan(&conn, counted);
            }
        }
    }
}
