//! Whose tasks a filter can select.
//!
//! A grant for a part lets a filter through when every task that fits it, by whichever of its ORs, belongs to the part. So every way through
//! the filter has to name an app or a queue that is covered. What this finds is never too small: where it cannot tell, it says everybody's.

use std::collections::BTreeSet;

use runtime_core::access::Target;
use runtime_core::store::{Expr, TaskFilter, TaskTest, TextTest};

/// Most ways through a filter that are told apart.
const MAX_WAYS: usize = 64;

/// The names that every task has which goes this way through a filter.
type Names = BTreeSet<String>;

/// What a filter is about: of each way through it, the apps and queues that it names.
pub(super) fn confined(filter: &TaskFilter) -> Target {
    match ways(&filter.expr()) {
        Some(ways) => Target::Things(ways.into_iter().map(|names| names.into_iter().collect()).collect()),
        None => Target::Whole,
    }
}

/// `None`: a task that fits may be anybody's.
fn ways(expr: &Expr<TaskTest>) -> Option<Vec<Names>> {
    match expr {
        Expr::Is(TaskTest::App(TextTest::Is(app))) => Some(vec![Names::from([format!("apps/{app}")])]),
        Expr::Is(TaskTest::Queue(TextTest::Is(queue))) => {
            Some(vec![Names::from([format!("queues/{queue}")])])
        }
        // What begins like a name is another name, and what is not somebody's may be anybody else's.
        Expr::Is(_) | Expr::Not(_) => None,
        Expr::All(parts) => parts.iter().filter_map(ways).reduce(both),
        Expr::Any(parts) => {
            let ways: Option<Vec<Vec<Names>>> = parts.iter().map(ways).collect();
            Some(ways?.concat())
        }
    }
}

/// Ways through two parts that both hold. Where there are too many, those through one part: they lose names, and gain none.
fn both(some: Vec<Names>, others: Vec<Names>) -> Vec<Names> {
    if some.len() * others.len() > MAX_WAYS {
        return if some.len() <= others.len() { some } else { others };
    }
    some.iter().flat_map(|a| others.iter().map(move |b| a.union(b).cloned().collect())).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use proptest::sample::select;
    use runtime_core::access::{Principal, PrincipalKind, Role};
    use runtime_core::task::TaskState;

    use super::*;
    use crate::filter::tasks;

    const APPS: [&str; 2] = ["shop", "books"];
    const QUEUES: [&str; 3] = ["mail", "mail2", "orders"];
    const GRANTS: [&str; 5] = ["apps/shop", "apps/books", "queues/mail", "queues/mail2", "tasks/1"];

    #[test]
    fn every_way_through_a_filter_has_to_name_an_app_or_a_queue() {
        for (filter, things) in [
            ("app=shop", Some("apps/shop")),
            ("app=shop AND queue=mail", Some("apps/shop queues/mail")),
            ("app=shop AND state=dead AND NOT queue=mail", Some("apps/shop")),
            ("app=shop OR queue=mail", Some("apps/shop; queues/mail")),
            (
                "app=shop AND (queue=mail OR queue=orders)",
                Some("apps/shop queues/mail; apps/shop queues/orders"),
            ),
            ("(app=shop OR app=books) AND state=dead", Some("apps/shop; apps/books")),
            ("", None),
            ("state=dead", None),
            ("app:shop", None),
            ("app!=shop", None),
            ("NOT app=shop", None),
            ("app=shop OR state=dead", None),
            ("app=shop OR NOT app=shop", None),
            ("NOT (app!=shop)", None),
            ("(app=shop OR tenant=acme) AND state=dead", None),
        ] {
            let found = match confined(&tasks(filter).expect(filter)) {
                Target::Things(things) => {
                    Some(things.iter().map(|names| names.join(" ")).collect::<Vec<_>>().join("; "))
                }
                _ => None,
            };
            assert_eq!(found.as_deref(), things, "{filter}");
        }
    }

    #[test]
    fn a_filter_with_many_ways_is_still_confined() {
        let either = ["(app=shop OR app=books)"; 12].join(" AND ");
        let Target::Things(ways) = confined(&tasks(&either).unwrap()) else { panic!("confined") };
        assert!(!ways.is_empty() && ways.len() <= MAX_WAYS, "{}", ways.len());
    }

    fn expression() -> impl Strategy<Value = Expr<TaskTest>> {
        let text = |names: &'static [&'static str]| {
            let name = select(names).prop_map(str::to_owned);
            prop_oneof![3 => name.clone().prop_map(TextTest::Is), 1 => name.prop_map(TextTest::Begins)]
        };
        let test = prop_oneof![
            3 => text(&APPS).prop_map(TaskTest::App),
            3 => text(&QUEUES).prop_map(TaskTest::Queue),
            1 => select(vec![TaskState::Dead, TaskState::Ready]).prop_map(|state| TaskTest::State(vec![state])),
        ];
        test.prop_map(Expr::Is).prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::All),
                prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::Any),
                inner.prop_map(|part| !part),
            ]
        })
    }

    /// A task that fits a filter which this grant lets through, and does not belong to the grant's part.
    fn outside(filter: &TaskFilter, target: &Target, grant: &str) -> Option<String> {
        let principal = Principal {
            grants: vec![format!("operator:{grant}").parse().expect("a grant")],
            ..Principal::almighty(
                "alice".parse().expect("a name"),
                PrincipalKind::Person,
                Timestamp::UNIX_EPOCH,
            )
        };
        if !principal.may(Role::Operator, target) {
            return None;
        }
        let expr = filter.expr();
        let worlds = APPS.iter().flat_map(|app| QUEUES.iter().map(move |queue| (*app, *queue)));
        let worlds = worlds
            .flat_map(|(app, queue)| [TaskState::Dead, TaskState::Ready].map(|state| (app, queue, state)));
        worlds
            .filter(|(app, queue, state)| {
                expr.holds(&|test| match test {
                    TaskTest::App(text) => text.fits(app),
                    TaskTest::Queue(text) => text.fits(queue),
                    TaskTest::State(states) => states.contains(state),
                    other => panic!("none of these are made: {other:?}"),
                })
            })
            .map(|(app, queue, state)| (format!("apps/{app}"), format!("queues/{queue}"), state))
            .find(|(app, queue, _)| {
                !principal.may(Role::Operator, &Target::thing([app.clone(), queue.clone()]))
            })
            .map(|task| format!("{task:?}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whoever_is_let_through_selects_nothing_of_others(expr in expression(), grant in select(&GRANTS[..])) {
            let filter = TaskFilter::from(expr);
            prop_assert_eq!(outside(&filter, &confined(&filter), grant), None);
        }
    }

    /// The control: a rule that is content when any one way names a part lets strangers' tasks through, and the property above sees it.
    #[test]
    fn a_rule_that_looks_at_one_way_alone_is_found_out() {
        fn careless(expr: &Expr<TaskTest>) -> Option<Vec<Names>> {
            match expr {
                Expr::Any(parts) => parts.iter().find_map(careless),
                Expr::Not(part) => careless(part),
                Expr::All(parts) => parts.iter().find_map(careless),
                other => ways(other),
            }
        }
        for text in ["app=shop OR app=books", "NOT app=shop", "(app=shop OR state=dead) AND state=dead"] {
            let filter = tasks(text).unwrap();
            let things = careless(&filter.expr()).expect(text);
            let target =
                Target::Things(things.into_iter().map(|names| names.into_iter().collect()).collect());
            assert!(outside(&filter, &target, "apps/shop").is_some(), "{text}");
            assert_eq!(outside(&filter, &confined(&filter), "apps/shop"), None, "{text}");
        }
    }
}
