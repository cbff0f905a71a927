//! Where the tasks that fit a filter are looked for.
//!
//! ```text
//! filter ─▶ what all that fit have in common ─▶ ways, each in the order of rows ─▶ merged, newest or oldest first
//! ```
//!
//! A way is a table, or a part of an index whose entries stand in the order of rows because everything before the row is given: all dead
//! tasks of one queue, all live ones of one scope. Several of them stand for an OR. Of each task on the way it is asked whether it fits, so
//! a way may be wider than the filter, never narrower; what is looked at is counted, and where it is too much the look ends and says where
//! it goes on. Where few tasks can fit and their index has them in another order, their rows are gathered from that index alone and sorted
//! instead, and then looked at one after the other.

use runtime_core::error::ErrorCode;
use runtime_core::store::{Known, StateCounts, TextTest};
use runtime_core::task::TaskState;

use super::conditions::Conditions;
use super::expression::{Values, right_after};

/// So many rows are gathered and sorted at most; above that tasks are looked at in the order of rows.
pub(super) const FEW: u64 = 10_000;

/// Most ways that are merged.
const MOST: usize = 64;

/// Which table a task is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Live,
    History,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Live => "rt_task",
            Self::History => "rt_history",
        }
    }

    /// Whether the task of a row fits, and its state. The row comes behind the other values.
    pub(super) fn one(self, conditions: &Conditions<'_>) -> (String, Values) {
        let mut values = Values::default();
        let fits = conditions.sql(Known::default(), &mut values);
        (
            format!("SELECT {fits}, state FROM {} NOT INDEXED WHERE row = {}", self.name(), values.next()),
            values,
        )
    }
}

/// In which direction rows are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    NewestFirst,
    OldestFirst,
}

/// What is given of a task on a way.
#[derive(Debug, Clone)]
enum Given {
    Number(&'static str, i64),
    Text(&'static str, String),
}

/// One way to look.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) table: Table,
    /// The index, and the condition under which it has an entry.
    index: &'static str,
    given: Vec<Given>,
    /// Where every task on it stands.
    state: Option<TaskState>,
}

/// Ways that together lead to every task of a table that fits.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    /// In the order of rows.
    pub(super) ordered: Vec<Way>,
    /// In place of these: few tasks in another order, if they are as few as was thought.
    pub(super) few: Vec<Way>,
}

impl Way {
    fn new(table: Table, index: &'static str) -> Self {
        Self { table, index, given: Vec::new(), state: None }
    }

    fn all(table: Table) -> Self {
        Self::new(table, "NOT INDEXED WHERE 1")
    }

    fn number(mut self, column: &'static str, number: i64) -> Self {
        self.given.push(Given::Number(column, number));
        self
    }

    fn text(mut self, column: &'static str, text: &str) -> Self {
        self.given.push(Given::Text(column, text.to_owned()));
        self
    }

    fn state(mut self, state: TaskState) -> Self {
        self.state = Some(state);
        self.number("state =", state.number().into())
    }

    /// From one text up to another.
    fn prefix(self, column: [&'static str; 2], prefix: &str) -> Self {
        let from = self.text(column[0], prefix);
        match right_after(prefix) {
            Some(end) => from.text(column[1], &end),
            None => from,
        }
    }

    /// Row, whether it fits, and state of every task on the way from a row on, in the order of rows.
    pub(super) fn looked_at(
        &self,
        conditions: &Conditions<'_>,
        after: Option<i64>,
        order: Order,
    ) -> (String, Values) {
        let mut values = Values::default();
        let fits = conditions.sql(Known { state: self.state, ..Known::default() }, &mut values);
        let from = self.from(after, order, &mut values);
        let by = match order {
            Order::OldestFirst => "row",
            Order::NewestFirst => "row DESC",
        };
        (format!("SELECT row, {fits}, state {from} ORDER BY {by}"), values)
    }

    /// Rows of the tasks on the way from a row on, as they come, as long as they are few: no task is looked at for them.
    pub(super) fn rows(&self, after: Option<i64>, order: Order) -> (String, Values) {
        let mut values = Values::default();
        let from = self.from(after, order, &mut values);
        (format!("SELECT row {from} LIMIT {}", FEW + 1), values)
    }

    fn from(&self, after: Option<i64>, order: Order, values: &mut Values) -> String {
        let mut sql = format!("FROM {} {}", self.table.name(), self.index);
        for given in &self.given {
            let (column, mark) = match given {
                Given::Number(column, number) => (column, values.number(*number)),
                Given::Text(column, text) => (column, values.text(text)),
            };
            sql.push_str(&format!(" AND {column} {mark}"));
        }
        if let Some(after) = after {
            let beyond = if order == Order::OldestFirst { ">" } else { "<" };
            sql.push_str(&format!(" AND row {beyond} {}", values.number(after)));
        }
        sql
    }
}

impl Ways {
    /// To the finished tasks that fit. Those that are done have no index but their rows; the others are few, and have several.
    pub(super) fn finished(conditions: &Conditions<'_>) -> Self {
        let states: Vec<TaskState> =
            conditions.states.iter().copied().filter(|state| state.is_finished()).collect();
        if states.contains(&TaskState::Done) {
            return Self::all(Table::History);
        }
        let each = |base: &dyn Fn() -> Vec<Way>| {
            let of_state =
                |state: &TaskState| base().into_iter().map(|way| way.state(*state)).collect::<Vec<_>>();
            states.iter().flat_map(of_state).collect::<Vec<Way>>()
        };
        let bad = |index| Way::new(Table::History, index);
        let of_texts = |index: &'static str, column: &'static str, texts: &[String]| {
            texts.iter().map(|text| bad(index).text(column, text)).collect::<Vec<_>>()
        };
        let scopes = "INDEXED BY rt_history_bad_scope WHERE state <> 4 AND scope IS NOT NULL";
        let tenants = "INDEXED BY rt_history_bad_tenant WHERE state <> 4 AND tenant IS NOT NULL";
        let codes = "INDEXED BY rt_history_bad_code WHERE state <> 4";
        let queues = "INDEXED BY rt_history_bad_queue WHERE state <> 4";
        let any = "INDEXED BY rt_history_bad WHERE state <> 4";
        let ordered = [
            wholes(&conditions.scopes).map(|texts| each(&|| of_texts(scopes, "scope =", &texts))),
            wholes(&conditions.tenants).map(|texts| each(&|| of_texts(tenants, "tenant =", &texts))),
            named(&conditions.codes).map(|texts| each(&|| of_texts(codes, "error ->> '$.code' =", &texts))),
            (!conditions.in_any_queue()).then(|| {
                each(&|| {
                    conditions.queues.iter().map(|queue| bad(queues).number("queue =", *queue)).collect()
                })
            }),
        ];
        let ordered = ordered.into_iter().flatten().find(|ways| ways.len() <= MOST);
        let ordered = ordered.unwrap_or_else(|| each(&|| vec![bad(any)]));
        let begins = |index, texts: &Option<Vec<TextTest>>, column: [&'static str; 2]| {
            prefixes(texts)
                .map(|texts| texts.iter().map(|text| bad(index).prefix(column, text)).collect::<Vec<_>>())
        };
        let few = begins(scopes, &conditions.scopes, ["scope >=", "scope <"])
            .or_else(|| begins(tenants, &conditions.tenants, ["tenant >=", "tenant <"]));
        Self { ordered, few: few.unwrap_or_default() }
    }

    /// To the live tasks that fit; `counts` says how many stand where, by the number of their queue.
    pub(super) fn live(conditions: &Conditions<'_>, counts: &[(i64, StateCounts)]) -> Self {
        let states: Vec<TaskState> =
            conditions.states.iter().copied().filter(|state| !state.is_finished()).collect();
        let of_scope = || Way::new(Table::Live, "INDEXED BY rt_scope WHERE scope IS NOT NULL");
        let each_queue = |ways: &dyn Fn(i64) -> Vec<Way>| {
            let ways: Vec<Way> = conditions.queues.iter().flat_map(|queue| ways(*queue)).collect();
            (ways.len() <= MOST).then_some(ways)
        };
        let in_scopes = wholes(&conditions.scopes).and_then(|scopes| {
            each_queue(&|queue| {
                scopes
                    .iter()
                    .map(|scope| of_scope().number("queue =", queue).text("scope =", scope))
                    .collect()
            })
        });
        if let Some(ordered) = in_scopes {
            return Self { ordered, few: Vec::new() };
        }
        let in_prefixes = prefixes(&conditions.scopes).and_then(|texts| {
            each_queue(&|queue| {
                let ways = texts
                    .iter()
                    .map(|text| of_scope().number("queue =", queue).prefix(["scope >=", "scope <"], text));
                ways.collect()
            })
        });
        let few = in_prefixes.or_else(|| few_by_state(conditions, &states, counts));
        Self { few: few.unwrap_or_default(), ..Self::all(Table::Live) }
    }

    fn all(table: Table) -> Self {
        Self { ordered: vec![Way::all(table)], few: Vec::new() }
    }
}

/// Where all that stand in these states are few, the indexes that have them by state.
fn few_by_state(
    conditions: &Conditions<'_>,
    states: &[TaskState],
    counts: &[(i64, StateCounts)],
) -> Option<Vec<Way>> {
    let all: u64 = counts.iter().map(|(_, counts)| counts.live()).sum();
    let mut ways = Vec::new();
    let mut tasks = 0;
    for state in states {
        if *state == TaskState::Ready {
            for queue in &conditions.queues {
                let of_queue = counts.iter().filter(|(known, _)| known == queue);
                tasks += of_queue.map(|(_, counts)| counts.of(*state)).sum::<u64>();
                let ready = Way::new(Table::Live, "INDEXED BY rt_ready WHERE state = 1 AND held = 0");
                ways.push(ready.number("queue =", *queue));
                let held = Way::new(Table::Live, "INDEXED BY rt_held WHERE held <> 0");
                ways.push(held.number("queue =", *queue).state(*state));
            }
        } else {
            // Their index knows no queues.
            tasks += counts.iter().map(|(_, counts)| counts.of(*state)).sum::<u64>();
            ways.push(Way::new(Table::Live, "INDEXED BY rt_waiting WHERE state <> 1").state(*state));
        }
    }
    (tasks <= FEW && tasks < all && ways.len() <= MOST).then_some(ways)
}

/// Texts that are given whole, each once.
fn wholes(texts: &Option<Vec<TextTest>>) -> Option<Vec<String>> {
    let whole = |text: &TextTest| match text {
        TextTest::Is(text) => Some(text.clone()),
        TextTest::Begins(_) => None,
    };
    let mut texts: Vec<String> = texts.as_ref()?.iter().map(whole).collect::<Option<_>>()?;
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

/// Beginnings of texts; none of them is empty, and a whole one is a beginning too.
fn prefixes(texts: &Option<Vec<TextTest>>) -> Option<Vec<String>> {
    let begins = |text: &TextTest| match text {
        TextTest::Begins(text) | TextTest::Is(text) => Some(text.clone()).filter(|text| !text.is_empty()),
    };
    texts.as_ref()?.iter().map(begins).collect()
}

fn named(codes: &Option<Vec<ErrorCode>>) -> Option<Vec<String>> {
    let mut codes: Vec<String> = codes.as_ref()?.iter().map(|code| code.as_str().to_owned()).collect();
    codes.sort_unstable();
    codes.dedup();
    Some(codes)
}
