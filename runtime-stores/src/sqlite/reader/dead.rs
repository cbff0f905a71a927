//! Groups of dead tasks, counted without a look at any of them wherever the filter hangs on nothing but route, code and tenant.
//!
//! ```text
//! filter ─▶ says scopes ─▶ the tasks on the ways to these, newest first, added up
//!        └▶ otherwise   ─▶ step by step through the index, a part at a time: route, code, tenant
//!                            ─▶ all of a part fit: its entries are counted · none does: passed by · some may: they are looked at
//! ```
//!
//! Parts share what a look may spend, so that a large one does not hide the others: where it does not suffice, a part has at least so many.

use std::collections::BTreeMap;

use runtime_core::error::ErrorCode;
use runtime_core::name::Route;
use runtime_core::store::{DeadGroup, DeadGroups, Known, StateCounts, TaskFilter, TextTest};
use runtime_core::task::{TaskId, TaskState};
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::budget::Budget;
use super::super::columns::moment;
use super::super::conditions::Conditions;
use super::super::expression::Values;
use super::super::fault::Fault;
use super::super::ways::{Order, Ways};
use super::looking::{Ended, through};
use super::{Look, Reader};

/// Dead tasks of one route and code; `?1` and `?2`.
const GROUP: &str =
    "FROM rt_history INDEXED BY rt_history_dead WHERE state = 5 AND route = ?1 AND error ->> '$.code' = ?2";
/// Of these, what is of one tenant, or of none; `?3`.
const GROUP_OF_TENANT: &str = "FROM rt_history INDEXED BY rt_history_dead_tenant \
    WHERE state = 5 AND route = ?1 AND error ->> '$.code' = ?2 AND tenant IS ?3";

/// The first code of a route, `?1`, behind this one, `?2`.
const NEXT_CODE: &str = "SELECT error ->> '$.code' FROM rt_history INDEXED BY rt_history_dead \
    WHERE state = 5 AND route = ?1 AND error ->> '$.code' > ?2 ORDER BY error ->> '$.code' LIMIT 1";
/// The first tenant of a group behind this one, `?3`.
const NEXT_TENANT: &str = "SELECT tenant FROM rt_history INDEXED BY rt_history_dead_tenant \
    WHERE state = 5 AND route = ?1 AND error ->> '$.code' = ?2 AND tenant > ?3 ORDER BY tenant LIMIT 1";

/// Whose tasks a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    Anybody,
    /// One tenant's, or nobody's.
    Of(Option<String>),
}

/// A part of the index of dead tasks.
#[derive(Debug, Clone)]
struct Part {
    route: i64,
    code: String,
    whose: Whose,
    /// Whether all of them fit; else each has to be looked at.
    all: bool,
}

/// A group so far.
#[derive(Debug, Clone)]
struct Tally {
    count: u64,
    whole: bool,
    oldest: i64,
    /// When the last one died, and its row.
    newest: (i64, i64),
}

impl Tally {
    fn of(at: i64, row: i64) -> Self {
        Self { count: 1, whole: true, oldest: at, newest: (at, row) }
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.whole &= other.whole;
        self.oldest = self.oldest.min(other.oldest);
        self.newest = self.newest.max(other.newest);
    }
}

/// By route and code.
#[derive(Debug, Default)]
struct Tallies(BTreeMap<(i64, String), Tally>);

impl Tallies {
    fn add(&mut self, route: i64, code: String, more: Tally) {
        match self.0.entry((route, code)) {
            std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(more)),
            std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().add(more),
        }
    }
}

impl Reader {
    pub(in super::super) fn dead_groups(
        &self,
        look: &Look<'_>,
        filter: TaskFilter,
        look_at_most: u64,
    ) -> Result<DeadGroups, Fault> {
        let Some(filter) = filter.of_the_dead() else { return Ok(DeadGroups::default()) };
        let counts = look.counts();
        let Some(conditions) = Conditions::of(&filter, look.names) else { return Ok(DeadGroups::default()) };
        let mut budget = Budget::of(look_at_most);
        // One snapshot: the examples are there.
        let tx = self.conn.unchecked_transaction()?;
        let mut tallies = Tallies::default();
        let whole = if conditions.scopes.is_some() {
            on_ways(&tx, &conditions, &mut budget, &mut tallies)?
        } else {
            in_index(&tx, &conditions, &counts, &mut budget, &mut tallies)?
        };
        let mut created = tx.prepare_cached("SELECT created_at FROM rt_history WHERE row = ?1")?;
        let mut groups = Vec::with_capacity(tallies.0.len());
        for ((route, code), tally) in tallies.0 {
            let Route { app, queue, handler } = &**look.names.route(route)?;
            let (newest, example) = tally.newest;
            let created_at = moment(created.query_row([example], |row| row.get(0))?)?;
            groups.push(DeadGroup {
                app: app.clone(),
                queue: queue.clone(),
                handler: handler.clone(),
                code: code_of(&code)?,
                count: tally.count,
                whole: tally.whole,
                oldest: moment(tally.oldest)?,
                newest: moment(newest)?,
                example: TaskId::new(created_at, look.salt, example.unsigned_abs()),
            });
        }
        let key = |group: &DeadGroup| {
            (group.app.clone(), group.queue.clone(), group.handler.clone(), group.code.as_str())
        };
        groups.sort_by_cached_key(key);
        Ok(DeadGroups { groups, whole })
    }
}

/// Adds up the tasks on the ways to them. Whether that was all.
fn on_ways(
    conn: &Connection,
    conditions: &Conditions<'_>,
    budget: &mut Budget,
    tallies: &mut Tallies,
) -> Result<bool, Fault> {
    let mut statement =
        conn.prepare_cached("SELECT route, error ->> '$.code', at FROM rt_history WHERE row = ?1")?;
    let (mut found, mut failed) = (Vec::new(), None);
    let ways = vec![Ways::finished(conditions)];
    // Looked at along the way, so that the budget is for this too.
    let ended = through(conn, conditions, ways, None, Order::NewestFirst, budget, |entry| {
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, Tally::of(row.get(2)?, entry.row)));
        match statement.query_row([entry.row], read) {
            Ok(one) => found.push(one),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let whole = ended == Ended::Whole;
    for (route, code, one) in found {
        tallies.add(route, code, Tally { whole, ..one });
    }
    Ok(whole)
}

/// Goes through the index. Whether that was all.
fn in_index(
    conn: &Connection,
    conditions: &Conditions<'_>,
    counts: &[(i64, StateCounts)],
    budget: &mut Budget,
    tallies: &mut Tallies,
) -> Result<bool, Fault> {
    let (parts, mut whole) = parts(conn, conditions, budget)?;
    // What the writer has counted says whether there is enough for all, so that nobody need share.
    let dead = counts.iter().filter(|(queue, _)| conditions.queues.contains(queue));
    let dead: u64 = dead.map(|(_, counts)| counts.of(TaskState::Dead)).sum();
    for (at, part) in parts.iter().enumerate() {
        let sharers = parts.len() - at;
        let tally = if part.all {
            let most =
                if dead <= budget.entries() { budget.entries() } else { budget.share(sharers).entries() };
            let tally = counted(conn, part, most)?;
            budget.counted(tally.as_ref().map_or(0, |tally| tally.count));
            tally
        } else {
            let mut share = budget.share(sharers);
            let (tally, is_whole) = looked_at(conn, conditions, part, &mut share)?;
            budget.spent(&share);
            whole &= is_whole;
            tally
        };
        if let Some(tally) = tally {
            whole &= tally.whole;
            tallies.add(part.route, part.code.clone(), tally);
        }
    }
    Ok(whole)
}

/// The parts of the index in which tasks can fit, and whether these are all.
fn parts(
    conn: &Connection,
    conditions: &Conditions<'_>,
    budget: &mut Budget,
) -> Result<(Vec<Part>, bool), Fault> {
    let mut codes = conn.prepare_cached(NEXT_CODE)?;
    let by_tenant = conditions.asks_for_tenants();
    let mut found = Vec::new();
    for (route, its) in conditions.routes() {
        let mut code = String::new();
        loop {
            if !budget.take() {
                return Ok((found, false));
            }
            let next = codes.query_row((route, &code), |row| row.get(0)).optional()?;
            let Some(next) = next else { break };
            code = next;
            let known = Known {
                state: Some(TaskState::Dead),
                route: Some(its),
                code: Some(code_of(&code)?),
                ..Known::default()
            };
            let part = Part { route, code: code.clone(), whose: Whose::Anybody, all: true };
            match conditions.decided_of(known) {
                Some(true) => found.push(part),
                Some(false) => {}
                None if by_tenant => {
                    if !parts_by_tenant(conn, conditions, known, &part, budget, &mut found)? {
                        return Ok((found, false));
                    }
                }
                None => found.push(Part { all: false, ..part }),
            }
        }
    }
    Ok((found, true))
}

/// The same of one group, tenant by tenant: those that are named, or one after the other.
fn parts_by_tenant(
    conn: &Connection,
    conditions: &Conditions<'_>,
    known: Known<'_>,
    group: &Part,
    budget: &mut Budget,
    found: &mut Vec<Part>,
) -> Result<bool, Fault> {
    let mut add = |tenant: Option<String>| {
        let decided = conditions.decided_of(Known { tenant: Some(tenant.as_deref()), ..known });
        if decided != Some(false) {
            let all = decided == Some(true);
            found.push(Part { whose: Whose::Of(tenant), all, ..group.clone() });
        }
    };
    if let Some(tenants) = named(conditions.tenants.as_deref()) {
        tenants.into_iter().for_each(|tenant| add(Some(tenant)));
        return Ok(true);
    }
    add(None);
    let mut tenants = conn.prepare_cached(NEXT_TENANT)?;
    let mut tenant = String::new();
    loop {
        if !budget.take() {
            return Ok(false);
        }
        let next = tenants
            .query_row((group.route, &group.code, &tenant), |row| row.get::<_, String>(0))
            .optional()?;
        let Some(next) = next else { return Ok(true) };
        tenant.clone_from(&next);
        add(Some(next));
    }
}

/// Tenants that are given whole, each once.
fn named(tenants: Option<&[TextTest]>) -> Option<Vec<String>> {
    let whole = |test: &TextTest| match test {
        TextTest::Is(text) => Some(text.clone()),
        TextTest::Begins(_) => None,
    };
    let mut names: Vec<String> = tenants?.iter().map(whole).collect::<Option<_>>()?;
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// The entries of a part, at most so many, without a look at any task. `None`: it has none.
fn counted(conn: &Connection, part: &Part, most: u64) -> Result<Option<Tally>, Fault> {
    let [newest, oldest, count] = part.questions();
    let of_part = part.values();
    let newest = conn
        .prepare_cached(&newest)?
        .query_row(of_part.bound(), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some(newest) = newest else { return Ok(None) };
    let oldest = conn.prepare_cached(&oldest)?.query_row(of_part.bound(), |row| row.get(0))?;
    let mut limited = of_part;
    limited.number(i64::try_from(most.saturating_add(1)).unwrap_or(i64::MAX));
    let count: i64 = conn.prepare_cached(&count)?.query_row(limited.bound(), |row| row.get(0))?;
    let count = count.unsigned_abs();
    Ok(Some(Tally { count: count.min(most), whole: count <= most, oldest, newest }))
}

/// The tasks of a part that fit, newest first, and whether all were looked at.
fn looked_at(
    conn: &Connection,
    conditions: &Conditions<'_>,
    part: &Part,
    budget: &mut Budget,
) -> Result<(Option<Tally>, bool), Fault> {
    let (sql, values) = part.one_by_one(conditions);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(values.bound())?;
    let (mut tally, mut whole) = (None::<Tally>, true);
    while let Some(row) = rows.next()? {
        if !budget.take() {
            whole = false;
            break;
        }
        if row.get::<_, bool>(0)? {
            let one = Tally::of(row.get(1)?, row.get(2)?);
            match &mut tally {
                Some(tally) => tally.add(one),
                None => tally = Some(one),
            }
        }
    }
    Ok((tally.map(|tally| Tally { whole, ..tally }), whole))
}

impl Part {
    /// When the last died and its row; when the first did; how many there are, up to a number that comes behind the other values.
    fn questions(&self) -> [String; 3] {
        let from = self.from();
        [
            format!("SELECT at, row {from} ORDER BY at DESC, row DESC LIMIT 1"),
            format!("SELECT at {from} ORDER BY at LIMIT 1"),
            format!("SELECT count(*) FROM (SELECT 1 {from} LIMIT {})", self.values().next()),
        ]
    }

    /// Whether it fits, when it died, and row, of every task.
    fn one_by_one(&self, conditions: &Conditions<'_>) -> (String, Values) {
        let mut values = self.values();
        let dead = Known { state: Some(TaskState::Dead), ..Known::default() };
        let fits = conditions.sql(dead, &mut values);
        (format!("SELECT {fits}, at, row {} ORDER BY at DESC, row DESC", self.from()), values)
    }

    fn from(&self) -> &'static str {
        match self.whose {
            Whose::Anybody => GROUP,
            Whose::Of(_) => GROUP_OF_TENANT,
        }
    }

    fn values(&self) -> Values {
        let mut values = Values::default();
        values.number(self.route);
        values.text(&self.code);
        if let Whose::Of(tenant) = &self.whose {
            values.maybe_text(tenant.as_deref());
        }
        values
    }
}

fn code_of(code: &str) -> Result<ErrorCode, Fault> {
    code.parse().map_err(|error| Fault::corrupt(format!("{error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use runtime_core::store::{Expr, TaskTest};

    use super::super::super::names::Names;
    use super::super::super::schema::MIGRATIONS;
    use super::*;

    fn file() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|sql| conn.execute_batch(sql).unwrap());
        conn
    }

    fn plan(conn: &Connection, sql: &str) -> String {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
        let steps = statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3));
        steps.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    /// Columns that a statement takes from the table itself, and not from its index: the plan does not say so of an index over an expression.
    fn columns_read(conn: &Connection, sql: &str) -> usize {
        let root: i64 = conn
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'rt_history'", [], |row| row.get(0))
            .unwrap();
        let mut statement = conn.prepare(&format!("EXPLAIN {sql}")).unwrap();
        let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
        let steps = statement.query_map(rusqlite::params_from_iter(nulls), |row| {
            Ok((row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
        });
        let steps: Vec<_> = steps.unwrap().map(Result::unwrap).collect();
        let table = steps
            .iter()
            .find(|(code, _, page)| code == "OpenRead" && *page == root)
            .map(|(_, cursor, _)| *cursor);
        steps.iter().filter(|(code, cursor, _)| code == "Column" && Some(*cursor) == table).count()
    }

    fn parts() -> [Part; 2] {
        [Whose::Anybody, Whose::Of(None)].map(|whose| Part {
            route: 1,
            code: "RT0002".into(),
            whose,
            all: true,
        })
    }

    #[test]
    fn groups_of_dead_tasks_are_counted_without_a_look_at_each() {
        let conn = file();
        let of_parts = parts().into_iter().flat_map(|part| part.questions());
        let questions = of_parts.chain([NEXT_CODE.to_owned(), NEXT_TENANT.to_owned()]);
        for sql in questions {
            let plan = plan(&conn, &sql);
            assert!(plan.contains("SEARCH rt_history USING"), "{sql}: {plan}");
            assert!(plan.contains("rt_history_dead") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
            assert_eq!(columns_read(&conn, &sql), 0, "{sql} reads tasks");
        }
    }

    /// The control: what hangs on a column that no index has is looked at, newest first and without sorting.
    #[test]
    fn what_no_index_says_is_looked_at_newest_first() {
        let conn = file();
        let mut names = Names::default();
        let queue = "mail".parse().unwrap();
        let id = names.intern_queue(&conn, &queue).unwrap();
        let route = Route { app: "shop".parse().unwrap(), queue, handler: "handle".parse().unwrap() };
        names.intern_route(&conn, &Arc::new(route), id).unwrap();
        let in_scope = Expr::Is(TaskTest::Scope(TextTest::Is("store=1".into())));
        let filter = TaskFilter::from(!in_scope).of_the_dead().unwrap();
        let conditions = Conditions::of(&filter, &names).unwrap();
        for part in parts() {
            let (sql, _) = part.one_by_one(&conditions);
            let plan = plan(&conn, &sql);
            assert!(plan.contains("SEARCH rt_history USING INDEX rt_history_dead"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
            assert!(columns_read(&conn, &sql) > 0, "{sql}");
        }
    }
}
