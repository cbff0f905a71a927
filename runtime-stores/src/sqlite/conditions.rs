//! Filters as SQL.

use runtime_core::name::Route;
use runtime_core::store::{Known, TaskFilter, TaskTest, TextTest};
use runtime_core::task::{TaskId, TaskState};

use super::columns::shared_columns;
use super::expression::{Values, condition_of, text_condition, time_condition};
use super::names::Names;
use super::writer::row_of;

/// Behind what both have: what a finished task gave, how a live one is held.
pub(super) const LIVE: &str = concat!("SELECT ", shared_columns!(), ", NULL, held FROM rt_task");
pub(super) const FINISHED: &str = concat!("SELECT ", shared_columns!(), ", output, 0 FROM rt_history");

/// A filter as SQL.
pub(super) struct Conditions {
    sql: String,
    values: Values,
    live: bool,
    finished: bool,
    /// Where the finished ones are looked up.
    history: &'static str,
    /// Of the finished ones only those of one state that is not done: their indexes have them in the order of rows.
    one_bad_state: bool,
}

impl Conditions {
    /// `None` when nothing can fit.
    pub(super) fn of(filter: &TaskFilter, after: Option<TaskId>, names: &Names) -> Option<Self> {
        let states = filter.possible_states();
        let expr = filter.expr();
        let may_go = |route: &Route| {
            let known = Known { route: Some(route), ..Known::default() };
            expr.decided(&|test| test.decided(known)) != Some(false)
        };
        if !names.routes().any(|(_, route)| may_go(route)) {
            return None;
        }
        let mut values = Values::default();
        let mut sql = condition_of(&expr, &mut |test| condition(test, names, &mut values));
        if states.len() < TaskState::ALL.len() {
            sql.push_str(&format!(" AND state IN ({})", numbers(&states)));
        }
        if let Some(after) = after {
            sql.push_str(&format!(" AND row < {}", values.number(row_of(after))));
        }
        let (live, finished) =
            (states.iter().any(|state| !state.is_finished()), states.iter().any(|state| state.is_finished()));
        let (history, one_bad_state) = (history(filter, &states), one_bad_state(&states));
        (live || finished).then_some(Self { sql, values, live, finished, history, one_bad_state })
    }

    /// Newest first, at most so many.
    pub(super) fn list(mut self, limit: usize) -> (String, Values) {
        let limit = self.values.number(i64::try_from(limit).unwrap_or(i64::MAX));
        let (sql, history) = (&self.sql, self.history);
        let select = match (self.live, self.finished) {
            (true, true) => format!("{LIVE} WHERE {sql} UNION ALL {FINISHED}{history} {sql}"),
            (true, false) => format!("{LIVE} WHERE {sql}"),
            (false, _) => format!("{FINISHED}{history} {sql}"),
        };
        (format!("{select} ORDER BY row DESC LIMIT {limit}"), self.values)
    }

    /// Row and creation of each, oldest first, from after a task on. Always in the order of rows, so that a walk over all of them reads each
    /// row once, however few fit and however many steps it takes.
    pub(super) fn walk(mut self, after: Option<TaskId>, up_to: usize) -> (String, Values) {
        let after = self.values.number(after.map_or(0, row_of));
        let limit = self.values.number(i64::try_from(up_to).unwrap_or(i64::MAX));
        let select =
            |table: &str| format!("SELECT row, created_at FROM {table} {} AND row > {after}", self.sql);
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
        (format!("{select} ORDER BY row LIMIT {limit}"), self.values)
    }

    /// Whether the task of this row fits.
    pub(super) fn one(&self, row: i64) -> (String, Values) {
        let (sql, mut values) = (&self.sql, self.values.clone());
        let row = values.number(row);
        let of = |table: &str| format!("SELECT 1 FROM {table} NOT INDEXED WHERE row = {row} AND {sql}");
        let select = match (self.live, self.finished) {
            (true, true) => format!("{} UNION ALL {}", of("rt_task"), of("rt_history")),
            (true, false) => of("rt_task"),
            (false, _) => of("rt_history"),
        };
        (select, values)
    }

    /// State and number, of at most so many live ones, and of at most so many finished ones.
    pub(super) fn counts(self, at_most: u64) -> Vec<(String, Values)> {
        let mut values = self.values;
        let limit = values.number(i64::try_from(at_most).unwrap_or(i64::MAX));
        let sql = &self.sql;
        let tables =
            [(self.live, "rt_task WHERE".to_owned()), (self.finished, format!("rt_history{}", self.history))];
        let tables = tables.into_iter().filter(|(wanted, _)| *wanted);
        let count = |(_, table): (bool, String)| {
            let select = format!("SELECT state FROM {table} {sql} LIMIT {limit}");
            (format!("SELECT state, count(*) FROM ({select}) GROUP BY state"), values.clone())
        };
        tables.map(count).collect()
    }

    /// Route, code, how many, first and last end, last row of each group.
    pub(super) fn dead_groups(self) -> (String, Values) {
        let (sql, history) = (&self.sql, self.history);
        let select = format!(
            "SELECT route, error ->> '$.code' AS code, count(*), min(at), max(at), max(row) FROM rt_history{history} {sql} \
             GROUP BY route, code"
        );
        (select, self.values)
    }
}

/// One comparison as a condition that is never NULL. Names are compared here: what is left of them are their numbers.
fn condition(test: &TaskTest, names: &Names, values: &mut Values) -> String {
    let of_routes = |text: &TextTest, name: fn(&Route) -> &str| {
        let routes = names.routes().filter(|(_, route)| text.fits(name(route)));
        let ids: Vec<String> = routes.map(|(id, _)| id.to_string()).collect();
        format!("route IN ({})", ids.join(", "))
    };
    match test {
        TaskTest::State(states) => format!("state IN ({})", numbers(states)),
        TaskTest::App(text) => of_routes(text, |route| route.app.as_str()),
        TaskTest::Handler(text) => of_routes(text, |route| route.handler.as_str()),
        TaskTest::Queue(text) => {
            let queues = names.queues().filter(|(_, queue)| text.fits(queue.as_str()));
            let ids: Vec<String> = queues.map(|(id, _)| id.to_string()).collect();
            format!("queue IN ({})", ids.join(", "))
        }
        TaskTest::Tenant(text) => text_condition("tenant", text, values),
        TaskTest::Scope(text) => text_condition("scope", text, values),
        TaskTest::Code(codes) => {
            let codes: Vec<String> = codes.iter().map(|code| format!("'{code}'")).collect();
            format!("error IS NOT NULL AND error ->> '$.code' IN ({})", codes.join(", "))
        }
        TaskTest::Created(time) => time_condition("created_at", *time, values),
        TaskTest::Finished(time) => {
            let finished: Vec<TaskState> =
                TaskState::ALL.into_iter().filter(|state| state.is_finished()).collect();
            format!("state IN ({}) AND {}", numbers(&finished), time_condition("at", *time, values))
        }
    }
}

fn numbers(states: &[TaskState]) -> String {
    let numbers: Vec<String> = states.iter().map(|state| state.number().to_string()).collect();
    numbers.join(", ")
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
    use runtime_core::error::ErrorCode;
    use runtime_core::name::{QueueName, Scope};
    use rusqlite::Connection;

    use super::super::schema::MIGRATIONS;
    use super::*;

    fn names(conn: &Connection, queue: &QueueName) -> Names {
        let mut names = Names::default();
        let id = names.intern_queue(conn, queue).unwrap();
        let route =
            Route { app: "shop".parse().unwrap(), queue: queue.clone(), handler: "h".parse().unwrap() };
        names.intern_route(conn, &route.into(), id).unwrap();
        names
    }

    fn plan(conn: &Connection, (sql, values): (String, Values)) -> String {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map(values.bound(), |row| row.get::<_, String>(3)).unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn dead_tasks_are_listed_without_a_look_at_the_others() {
        let conn = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|sql| conn.execute_batch(sql).unwrap());
        let queue = QueueName::new("work").unwrap();
        let names = names(&conn, &queue);
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
        let names = names(&conn, &queue);
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
            let one = plan(&conn, conditions().one(1));
            let by_row = one.matches("USING INTEGER PRIMARY KEY (rowid=?)").count();
            assert!(by_row >= 1 && !one.contains("SCAN"), "{filter:?}: {one}");
            for counted in conditions().counts(10) {
                plan(&conn, counted);
            }
        }
    }
}
