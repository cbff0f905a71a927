//! Filters as SQL.

use runtime_core::error::ErrorCode;
use runtime_core::name::Route;
use runtime_core::store::{Expr, Known, StateCounts, TaskFilter, TaskTest, TextTest};
use runtime_core::task::TaskState;

use super::columns::shared_columns;
use super::expression::{Values, condition_of, text_condition, time_condition};
use super::names::Names;

/// Behind what both have: what a finished task gave, how a live one is held.
pub(super) const LIVE: &str = concat!("SELECT ", shared_columns!(), ", NULL, held FROM rt_task");
pub(super) const FINISHED: &str = concat!("SELECT ", shared_columns!(), ", output, 0 FROM rt_history");

/// A filter as SQL, and what every task that fits has in common.
pub(super) struct Conditions<'a> {
    expr: Expr<TaskTest>,
    names: &'a Names,
    /// Where they can stand.
    pub(super) states: Vec<TaskState>,
    /// The queues they can be in, by number.
    pub(super) queues: Vec<i64>,
    /// Their scope is one of these, when that is said.
    pub(super) scopes: Option<Vec<TextTest>>,
    /// Their tenant is one of these, when that is said.
    pub(super) tenants: Option<Vec<TextTest>>,
    /// They have one of these codes, when that is said.
    pub(super) codes: Option<Vec<ErrorCode>>,
}

impl<'a> Conditions<'a> {
    /// `None` when nothing can fit.
    pub(super) fn of(filter: &TaskFilter, names: &'a Names) -> Option<Self> {
        let (expr, states) = (filter.expr(), filter.possible_states());
        let mut queues: Vec<i64> = names
            .routes()
            .filter(|(_, route)| {
                let known = Known { route: Some(route), ..Known::default() };
                expr.decided(&|test| test.decided(known)) != Some(false)
            })
            .filter_map(|(_, route)| names.queue_id(&route.queue))
            .collect();
        queues.sort_unstable();
        queues.dedup();
        if states.is_empty() || queues.is_empty() {
            return None;
        }
        let scopes = one_of(&expr, &|test| match test {
            TaskTest::Scope(text) => Some(vec![text.clone()]),
            _ => None,
        });
        let tenants = one_of(&expr, &|test| match test {
            TaskTest::Tenant(text) => Some(vec![text.clone()]),
            _ => None,
        });
        let codes = one_of(&expr, &|test| match test {
            TaskTest::Code(codes) => Some(codes.clone()),
            _ => None,
        });
        Some(Self { expr, names, states, queues, scopes, tenants, codes })
    }

    /// Without the states in which no task of these queues stands.
    pub(super) fn where_tasks_are(mut self, counts: &[(i64, StateCounts)]) -> Self {
        let counts: Vec<&StateCounts> = counts
            .iter()
            .filter(|(queue, _)| self.queues.contains(queue))
            .map(|(_, counts)| counts)
            .collect();
        self.states.retain(|state| counts.iter().any(|counts| counts.of(*state) > 0));
        self
    }

    /// Whether every queue there is can hold a task that fits.
    pub(super) fn in_any_queue(&self) -> bool {
        self.names.queues().all(|(queue, _)| self.queues.contains(&queue))
    }

    /// The condition of a row of which this much is known; what is known needs no column.
    pub(super) fn sql(&self, known: Known<'_>, values: &mut Values) -> String {
        condition_of(&self.expr, &mut |test| match test.decided(known) {
            Some(true) => "1".to_owned(),
            Some(false) => "0".to_owned(),
            None => condition(test, self.names, values),
        })
    }

    /// Whether each task of a queue that stands so fits, or none does; `None` when that has to be looked at.
    pub(super) fn decided(&self, queue: i64, state: TaskState) -> Option<bool> {
        let mut answer = None;
        for (_, route) in
            self.names.routes().filter(|(_, route)| self.names.queue_id(&route.queue) == Some(queue))
        {
            let known = Known { state: Some(state), route: Some(route), ..Known::default() };
            let decided = self.expr.decided(&|test| test.decided(known))?;
            if answer.replace(decided).is_some_and(|before| before != decided) {
                return None;
            }
        }
        answer
    }

    /// Whether the task of this row fits.
    pub(super) fn one(&self, row: i64) -> (String, Values) {
        let mut values = Values::default();
        let sql = self.sql(Known::default(), &mut values);
        let row = values.number(row);
        let of = |table: &str| format!("SELECT 1 FROM {table} NOT INDEXED WHERE row = {row} AND {sql}");
        (format!("{} UNION ALL {}", of("rt_task"), of("rt_history")), values)
    }

    /// Whether every task of which this is known fits, or none does.
    pub(super) fn decided_of(&self, known: Known<'_>) -> Option<bool> {
        self.expr.decided(&|test| test.decided(known))
    }

    /// The routes whose tasks can fit, by number.
    pub(super) fn routes(&self) -> impl Iterator<Item = (i64, &Route)> {
        let routes = self.names.routes().map(|(id, route)| (id, &**route));
        routes.filter(|(_, route)| {
            self.decided_of(Known { route: Some(route), ..Known::default() }) != Some(false)
        })
    }

    /// Whether it hangs on whose work a task is.
    pub(super) fn asks_for_tenants(&self) -> bool {
        asks(&self.expr, &|test| matches!(test, TaskTest::Tenant(_)))
    }
}

/// Whether one of the comparisons is like this.
fn asks<T>(expr: &Expr<T>, of: &impl Fn(&T) -> bool) -> bool {
    match expr {
        Expr::Is(test) => of(test),
        Expr::Not(part) => asks(part, of),
        Expr::All(parts) | Expr::Any(parts) => parts.iter().any(|part| asks(part, of)),
    }
}

/// Of these is what every way through the expression asks for, each by itself; `None` when one of them does not say.
pub(super) fn one_of<E, T: Clone>(expr: &Expr<E>, of: &impl Fn(&E) -> Option<Vec<T>>) -> Option<Vec<T>> {
    match expr {
        Expr::Is(test) => of(test),
        Expr::Not(_) => None,
        Expr::All(parts) => parts.iter().filter_map(|part| one_of(part, of)).min_by_key(Vec::len),
        Expr::Any(parts) => {
            let parts: Option<Vec<Vec<T>>> = parts.iter().map(|part| one_of(part, of)).collect();
            Some(parts?.concat())
        }
    }
}

/// One comparison as a condition that is never NULL. Names are compared here: what is left of them are numbers of routes.
fn condition(test: &TaskTest, names: &Names, values: &mut Values) -> String {
    let of_routes = |text: &TextTest, name: fn(&Route) -> &str| {
        let routes = names.routes().filter(|(_, route)| text.fits(name(route)));
        let ids: Vec<String> = routes.map(|(id, _)| id.to_string()).collect();
        format!("route IN ({})", ids.join(", "))
    };
    match test {
        TaskTest::State(states) => format!("state IN ({})", numbers(states)),
        TaskTest::App(text) => of_routes(text, |route| route.app.as_str()),
        TaskTest::Queue(text) => of_routes(text, |route| route.queue.as_str()),
        TaskTest::Handler(text) => of_routes(text, |route| route.handler.as_str()),
        TaskTest::Tenant(text) => text_condition("tenant", text, values),
        TaskTest::Scope(text) => text_condition("scope", text, values),
        TaskTest::Code(codes) => {
            let codes: Vec<String> = codes.iter().map(|code| format!("'{code}'")).collect();
            format!("coalesce(error ->> '$.code', '') IN ({})", codes.join(", "))
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

#[cfg(test)]
mod tests {
    use runtime_core::name::QueueName;
    use runtime_core::task::TaskState::{Cancelled, Dead, Done, Parked, Ready};
    use rusqlite::Connection;

    use super::super::schema::MIGRATIONS;
    use super::super::ways::{Order, Ways};
    use super::*;

    /// A file with three queues of two apps.
    fn file() -> (Connection, Names) {
        let conn = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|sql| conn.execute_batch(sql).unwrap());
        let mut names = Names::default();
        for (app, queue) in [("shop", "mail"), ("shop", "orders"), ("books", "loans")] {
            let queue: QueueName = queue.parse().unwrap();
            let id = names.intern_queue(&conn, &queue).unwrap();
            let route = Route { app: app.parse().unwrap(), queue, handler: "handle".parse().unwrap() };
            names.intern_route(&conn, &route.into(), id).unwrap();
        }
        (conn, names)
    }

    fn plan(conn: &Connection, (sql, values): (String, Values)) -> String {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map(values.bound(), |row| row.get::<_, String>(3)).unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    fn is(test: TaskTest) -> Expr<TaskTest> {
        Expr::Is(test)
    }

    fn text(text: &str) -> TextTest {
        TextTest::Is(text.to_owned())
    }

    fn begins(text: &str) -> TextTest {
        TextTest::Begins(text.to_owned())
    }

    fn dead() -> Expr<TaskTest> {
        is(TaskTest::State(vec![Dead]))
    }

    /// Deep in every queue and state, so that nothing is few.
    fn deep() -> Vec<(i64, StateCounts)> {
        let mut counts = StateCounts::default();
        TaskState::ALL.into_iter().for_each(|state| *counts.of_mut(state) = 1_000_000);
        (1..=3).map(|queue| (queue, counts)).collect()
    }

    #[test]
    fn each_shape_of_filter_goes_by_its_index_and_never_sorts() {
        let (conn, names) = file();
        let any = Expr::Any;
        for (shape, expr, live, finished) in [
            ("a state", dead(), vec![], vec!["rt_history_bad (state=?"]),
            (
                "two states",
                is(TaskTest::State(vec![Dead, Cancelled])),
                vec![],
                vec!["rt_history_bad (state=?", "rt_history_bad (state=?"],
            ),
            (
                "two states by OR",
                any(vec![dead(), is(TaskTest::State(vec![Cancelled]))]),
                vec![],
                vec!["rt_history_bad (state=?", "rt_history_bad (state=?"],
            ),
            (
                "a queue",
                Expr::All(vec![dead(), is(TaskTest::Queue(text("mail")))]),
                vec![],
                vec!["rt_history_bad_queue (queue=? AND state=?"],
            ),
            (
                "two queues by OR",
                Expr::All(vec![
                    dead(),
                    any(vec![is(TaskTest::Queue(text("mail"))), is(TaskTest::Queue(text("loans")))]),
                ]),
                vec![],
                vec![
                    "rt_history_bad_queue (queue=? AND state=?",
                    "rt_history_bad_queue (queue=? AND state=?",
                ],
            ),
            (
                "an app",
                Expr::All(vec![dead(), is(TaskTest::App(text("books")))]),
                vec![],
                vec!["rt_history_bad_queue (queue=? AND state=?"],
            ),
            (
                "what is not of an app",
                Expr::All(vec![dead(), !is(TaskTest::App(text("shop")))]),
                vec![],
                vec!["rt_history_bad_queue (queue=? AND state=?"],
            ),
            (
                "a tenant",
                Expr::All(vec![dead(), is(TaskTest::Tenant(text("acme")))]),
                vec![],
                vec!["rt_history_bad_tenant (tenant=? AND state=?"],
            ),
            (
                "a code or another",
                Expr::All(vec![dead(), is(TaskTest::Code(vec![ErrorCode::Poison, ErrorCode::InvalidInput]))]),
                vec![],
                vec![
                    "rt_history_bad_code (<expr>=? AND state=?",
                    "rt_history_bad_code (<expr>=? AND state=?",
                ],
            ),
            (
                "a scope",
                Expr::All(vec![
                    is(TaskTest::State(vec![Dead, Parked])),
                    is(TaskTest::Scope(text("store=1"))),
                ]),
                vec!["rt_scope (queue=? AND scope=?"; 3],
                vec!["rt_history_bad_scope (scope=? AND state=?"],
            ),
            (
                "a scope of a queue",
                Expr::All(vec![
                    is(TaskTest::Scope(text("store=1"))),
                    is(TaskTest::Queue(text("mail"))),
                    is(TaskTest::State(vec![Ready])),
                ]),
                vec!["rt_scope (queue=? AND scope=?"],
                vec![],
            ),
            ("what is ready", is(TaskTest::State(vec![Ready])), vec!["INTEGER PRIMARY KEY (rowid<?"], vec![]),
            ("what is done", is(TaskTest::State(vec![Done])), vec![], vec!["INTEGER PRIMARY KEY (rowid<?"]),
        ] {
            let filter = TaskFilter::from(expr);
            let conditions = Conditions::of(&filter, &names).expect(shape);
            let ways = [Ways::live(&conditions, &deep()), Ways::finished(&conditions)];
            for (ways, expected) in
                ways.into_iter().zip([live, finished]).filter(|(_, expected)| !expected.is_empty())
            {
                let plans: Vec<String> = ways
                    .ordered
                    .iter()
                    .map(|way| plan(&conn, way.looked_at(&conditions, Some(9), Order::NewestFirst)))
                    .collect();
                assert_eq!(plans.len(), expected.len(), "{shape}: {plans:?}");
                for (plan, expected) in plans.iter().zip(expected) {
                    assert!(plan.starts_with("SEARCH") && plan.contains(expected), "{shape}: {plan}");
                    assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{shape}: {plan}");
                }
            }
        }
    }

    #[test]
    fn a_prefix_and_what_stands_in_few_is_gathered_from_its_index() {
        let (conn, names) = file();
        let few_parked: Vec<(i64, StateCounts)> = deep()
            .into_iter()
            .map(|(queue, mut counts)| {
                *counts.of_mut(Parked) = 7;
                (queue, counts)
            })
            .collect();
        for (expr, live, finished) in [
            (is(TaskTest::State(vec![Parked])), vec!["rt_waiting (state=?"], vec![]),
            (
                is(TaskTest::Scope(begins("store="))),
                vec!["rt_scope (queue=? AND scope>? AND scope<?"; 3],
                vec![],
            ),
            (
                Expr::All(vec![dead(), is(TaskTest::Scope(begins("store=")))]),
                vec![],
                vec!["rt_history_bad_scope (scope>? AND scope<?"],
            ),
            (
                Expr::All(vec![dead(), is(TaskTest::Tenant(begins("ac")))]),
                vec![],
                vec!["rt_history_bad_tenant (tenant>? AND tenant<?"],
            ),
        ] {
            let filter = TaskFilter::from(expr);
            let conditions = Conditions::of(&filter, &names).unwrap();
            let ways = [Ways::live(&conditions, &few_parked), Ways::finished(&conditions)];
            for (ways, expected) in
                ways.into_iter().zip([live, finished]).filter(|(_, expected)| !expected.is_empty())
            {
                let plans: Vec<String> =
                    ways.few.iter().map(|way| plan(&conn, way.rows(Some(9), Order::NewestFirst))).collect();
                assert_eq!(plans.len(), expected.len(), "{plans:?}");
                for (plan, expected) in plans.iter().zip(expected) {
                    assert!(plan.starts_with("SEARCH") && plan.contains(expected), "{plan}");
                }
            }
        }
    }

    fn any_of_two() -> Expr<TaskTest> {
        Expr::Any(vec![is(TaskTest::Queue(text("mail"))), is(TaskTest::Code(vec![ErrorCode::Poison]))])
    }

    #[test]
    fn one_task_is_looked_up_by_its_row() {
        let (conn, names) = file();
        for filter in [TaskFilter::default(), TaskFilter::from(any_of_two())] {
            let one = plan(&conn, Conditions::of(&filter, &names).unwrap().one(1));
            assert_eq!(one.matches("USING INTEGER PRIMARY KEY (rowid=?)").count(), 2, "{one}");
        }
    }

    /// The control: written as one would at first, NOT forgets whoever has no tenant.
    #[test]
    fn a_comparison_that_may_be_null_is_found_out() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (tenant TEXT); INSERT INTO t VALUES ('acme'), ('other'), (NULL)")
            .unwrap();
        let count = |test: &dyn Fn(&mut Values) -> String| {
            let mut values = Values::default();
            let sql = condition_of(&!is(TaskTest::Tenant(text("acme"))), &mut |_| test(&mut values));
            let select = format!("SELECT count(*) FROM t WHERE {sql}");
            conn.query_row(&select, values.bound(), |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(count(&|values| text_condition("tenant", &text("acme"), values)), 2);
        assert_eq!(count(&|values| text_condition("tenant", &begins("ac"), values)), 2);
        assert_eq!(count(&|values| format!("tenant = {}", values.text("acme"))), 1, "one is lost");
    }
}
