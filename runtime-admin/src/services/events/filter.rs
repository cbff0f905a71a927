//! Which events a caller asks for, and which of them it may see.

use std::fmt::Write;
use std::str::FromStr;

use runtime_core::access::{Principal, Role, Target};
use runtime_core::journal::{Class, Classes, Entry, EventType, Place, Subject};
use runtime_core::store::{Expr, TextTest, TimeTest};
use runtime_core::task::TaskId;

use crate::filter::{Field, FilterError, Value, parse};

/// How the names of tasks begin.
const TASKS: &str = "tasks/";

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventFilter(Option<Expr<Test>>);

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    Type(TextTest),
    Resource(TextTest),
    /// A task by its name: compared as it is, since there are many.
    Task(TaskId),
    App(TextTest),
    Queue(TextTest),
    Worker(TextTest),
    Principal(TextTest),
    Cause(TextTest),
    RequestId(TextTest),
    TraceId(TextTest),
    At(TimeTest),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventField {
    Type,
    Resource,
    App,
    Queue,
    Worker,
    Principal,
    Cause,
    RequestId,
    TraceId,
    At,
}

impl Field for EventField {
    type Test = Test;

    const ALL: &'static [(&'static str, Self)] = &[
        ("type", Self::Type),
        ("resource", Self::Resource),
        ("app", Self::App),
        ("queue", Self::Queue),
        ("worker", Self::Worker),
        ("principal", Self::Principal),
        ("cause", Self::Cause),
        ("request_id", Self::RequestId),
        ("trace_id", Self::TraceId),
        ("at", Self::At),
    ];

    fn is_time(self) -> bool {
        self == Self::At
    }

    fn test(self, value: Value<'_>) -> Result<Test, String> {
        // The collection of a name may be left out where there is only one.
        let text = |collection: &str| match value {
            Value::Begins(text) => TextTest::Begins(text.strip_prefix(collection).unwrap_or(text).to_owned()),
            Value::Is(text) => TextTest::Is(text.strip_prefix(collection).unwrap_or(text).to_owned()),
            Value::Time(_) => TextTest::Is(String::new()),
        };
        Ok(match (self, value) {
            (_, Value::Time(time)) => Test::At(time),
            (Self::Type, _) => {
                let test = text("");
                if !EventType::ALL.iter().any(|kind| test.fits(kind.as_str())) {
                    let all: Vec<&str> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
                    return Err(format!("the types are {}", all.join(", ")));
                }
                Test::Type(test)
            }
            (Self::Resource, Value::Is(name)) => {
                let task = name.strip_prefix("tasks/").and_then(|id| id.parse().ok());
                task.map_or_else(|| Test::Resource(text("")), Test::Task)
            }
            (Self::Resource, _) => Test::Resource(text("")),
            (Self::App, _) => Test::App(text("apps/")),
            (Self::Queue, _) => Test::Queue(text("queues/")),
            (Self::Worker, _) => Test::Worker(text("workers/")),
            (Self::Principal, _) => Test::Principal(text("principals/")),
            (Self::Cause, _) => Test::Cause(text("")),
            (Self::RequestId, _) => Test::RequestId(text("")),
            (Self::TraceId, _) => Test::TraceId(text("")),
            (Self::At, _) => return Err("a time is compared by '<', '<=', '>' or '>='".to_owned()),
        })
    }
}

impl FromStr for EventFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse::<EventField>(text).map(Self)
    }
}

fn fits(test: &TextTest, text: Option<&str>) -> bool {
    text.is_some_and(|text| test.fits(text))
}

impl Test {
    /// Whether it names single tasks: a type or a name of theirs, or what they are found by.
    fn names_tasks(&self) -> bool {
        match self {
            Self::Type(test) => {
                EventType::ALL.iter().any(|kind| kind.class() == Class::Tasks && test.fits(kind.as_str()))
            }
            Self::Resource(TextTest::Is(name) | TextTest::Begins(name)) => name.starts_with("tasks"),
            Self::Task(_) | Self::Queue(_) | Self::RequestId(_) | Self::TraceId(_) => true,
            Self::App(_) | Self::Worker(_) | Self::Principal(_) | Self::Cause(_) | Self::At(_) => false,
        }
    }

    /// Whether it fits events of a class, as far as that is the same for all of them.
    fn of_class(&self, class: Class) -> Option<bool> {
        match self {
            Self::Type(test) => {
                let mut fitting = EventType::ALL.iter().filter(|kind| kind.class() == class);
                let fits = fitting.any(|kind| test.fits(kind.as_str()));
                (!fits).then_some(false)
            }
            Self::Task(_) => (class == Class::Tree).then_some(false),
            Self::Resource(TextTest::Is(name)) => {
                (name.starts_with(TASKS) != (class == Class::Tasks)).then_some(false)
            }
            Self::Resource(TextTest::Begins(prefix)) => match class {
                Class::Tree => prefix.starts_with(TASKS).then_some(false),
                Class::Tasks => {
                    (!prefix.starts_with(TASKS) && !TASKS.starts_with(prefix.as_str())).then_some(false)
                }
            },
            _ => None,
        }
    }

    /// Whether it fits everything of a place, or nothing of it.
    fn of_place(&self, place: &Place) -> Option<bool> {
        Some(match self {
            Self::App(test) => fits(test, place.app.as_ref().map(|app| app.as_str())),
            Self::Queue(test) => fits(test, place.queue.as_ref().map(|queue| queue.as_str())),
            Self::Worker(test) => fits(test, place.worker.as_ref().map(|worker| worker.as_str())),
            _ => return None,
        })
    }

    /// Whether it fits every task of a place to which this happened, or none.
    fn of_kind(&self, place: &Place, kind: EventType) -> Option<bool> {
        match self {
            Self::Type(test) => Some(test.fits(kind.as_str())),
            Self::Resource(TextTest::Begins(prefix)) if TASKS.starts_with(prefix.as_str()) => Some(true),
            Self::Resource(_) => self.of_class(Class::Tasks),
            _ => self.of_place(place),
        }
    }

    fn of_entry(&self, place: &Place, entry: &Entry, name: &mut String) -> bool {
        let asked = entry.origin.asked();
        match self {
            Self::App(_) | Self::Queue(_) | Self::Worker(_) => self.of_place(place) == Some(true),
            Self::Type(test) => test.fits(entry.kind.as_str()),
            Self::Cause(test) => test.fits(entry.cause.as_str()),
            Self::Principal(test) => fits(test, entry.origin.principal().map(|name| name.as_str())),
            Self::Task(id) => entry.subject == Subject::Task(*id),
            Self::Resource(test) => {
                name.clear();
                write!(name, "{}", entry.subject).is_ok() && test.fits(name)
            }
            Self::RequestId(test) => {
                fits(test, asked.and_then(|asked| asked.request_id.as_ref()).map(|id| id.as_str()))
            }
            Self::TraceId(test) => entry.trace.is_some_and(|trace| test.fits(&trace.to_string())),
            Self::At(test) => test.fits(entry.at),
        }
    }

    /// Whether it fits the state of a resource. What was done to it, when and by whom, says nothing of that.
    fn of_state(&self, place: &Place, subject: &Subject) -> Option<bool> {
        match self {
            Self::Type(test) => {
                let kind = kind(subject);
                let mut types = EventType::ALL.iter().map(|kind| kind.as_str());
                Some(types.any(|name| name.starts_with(kind) && test.fits(name)))
            }
            Self::Task(id) => Some(*subject == Subject::Task(*id)),
            Self::Resource(test) => Some(test.fits(&subject.to_string())),
            _ => self.of_place(place),
        }
    }
}

impl EventFilter {
    fn decided(&self, is: &impl Fn(&Test) -> Option<bool>) -> Option<bool> {
        self.0.as_ref().map_or(Some(true), |expr| expr.decided(is))
    }

    /// The rings in which such events are. Single tasks are meant only where something names them, or where they are counted.
    pub(crate) fn classes(&self, count_tasks: bool) -> Classes {
        let can_be = |class| self.decided(&|test| test.of_class(class)) != Some(false);
        let tasks = count_tasks || self.0.as_ref().is_some_and(|expr| any(expr, &Test::names_tasks));
        Classes { tree: can_be(Class::Tree), tasks: tasks && can_be(Class::Tasks) }
    }

    /// Whether anything of this place can be meant.
    pub(crate) fn fits_place(&self, place: &Place) -> bool {
        self.decided(&|test| test.of_place(place)) != Some(false)
    }

    /// Whether every task of a place is meant to which this happened, or none; nothing where it depends on the task.
    pub(crate) fn fits_kind(&self, place: &Place, kind: EventType) -> Option<bool> {
        self.decided(&|test| test.of_kind(place, kind))
    }

    /// Whether an entry is meant; `name` is room for its resource name.
    pub(crate) fn fits(&self, place: &Place, entry: &Entry, name: &mut String) -> bool {
        let name = std::cell::RefCell::new(name);
        let is = |test: &Test| test.of_entry(place, entry, &mut name.borrow_mut());
        self.0.as_ref().is_none_or(|expr| expr.holds(&is))
    }

    /// Whether the state of a resource is asked for.
    pub(crate) fn fits_state(&self, place: &Place, subject: &Subject) -> bool {
        self.decided(&|test| test.of_state(place, subject)) != Some(false)
    }

    /// Whether the state of any resource can be asked for whose events' types and whose names begin so.
    pub(crate) fn asks_for(&self, kind: &str, collection: &str) -> bool {
        let can_be = |test: &Test| match test {
            Test::Type(test) => {
                let mut types = EventType::ALL.iter().map(|kind| kind.as_str());
                (!types.any(|name| name.starts_with(kind) && test.fits(name))).then_some(false)
            }
            Test::Resource(TextTest::Is(name)) => (!name.starts_with(collection)).then_some(false),
            Test::Resource(TextTest::Begins(prefix)) => {
                (!prefix.starts_with(collection) && !collection.starts_with(prefix.as_str())).then_some(false)
            }
            Test::Task(_) => (collection != "tasks/").then_some(false),
            _ => None,
        };
        self.decided(&can_be) != Some(false)
    }

    /// The tasks that are asked for by their names.
    pub(crate) fn tasks(&self) -> Vec<TaskId> {
        let mut named = Vec::new();
        if let Some(expr) = &self.0 {
            each(expr, &mut |test| {
                if let Test::Task(id) = test {
                    named.push(*id);
                }
            });
        }
        named
    }
}

/// Whether any comparison is such, that is not negated.
fn any(expr: &Expr<Test>, is: &impl Fn(&Test) -> bool) -> bool {
    let mut found = false;
    each(expr, &mut |test| found |= is(test));
    found
}

/// Every comparison that is not negated.
fn each<'a>(expr: &'a Expr<Test>, take: &mut impl FnMut(&'a Test)) {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().for_each(|part| each(part, take)),
        Expr::Not(_) => {}
        Expr::Is(test) => take(test),
    }
}

/// How the types of a resource's events begin.
fn kind(subject: &Subject) -> &'static str {
    match subject {
        Subject::Node(_) => "node_",
        Subject::Queue(_) => "queue_",
        Subject::Task(_) => "task_",
        Subject::Schedule(_) => "schedule_",
        Subject::Operation(_) => "operation_",
        Subject::Dependency(..) => "breaker_",
        Subject::Config => "config_",
        Subject::LogFilter => "log_filter_",
        Subject::Instance => "drain_",
        Subject::Principal(_) => "principal_",
        Subject::Token(_) => "token_",
    }
}

/// Whether somebody may see what happens to this: everything, or what a grant covers by one of its names.
pub(crate) fn may_see(principal: &Principal, place: &Place, subject: &Subject) -> bool {
    principal.may(subject.role(), &Target::thing(place.names_of(subject)))
}

/// Whether somebody may see what happens to all that belongs there.
pub(crate) fn may_see_place(principal: &Principal, place: &Place) -> bool {
    principal.may(Role::Viewer, &Target::thing(place.names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> EventFilter {
        text.parse().expect("a filter")
    }

    #[test]
    fn single_tasks_are_told_of_only_when_something_names_them() {
        let id = "01a201aa-f69a-7d24-8bd8-650000000001";
        for (text, tree, tasks) in [
            ("", true, false),
            ("app=shop", true, false),
            ("type:node_", true, false),
            ("type:task_", false, true),
            ("type=task_settled OR type=node_restarted", true, true),
            ("NOT type:task_", true, false),
            ("queue=mail", true, true),
            (&format!("resource=tasks/{id}"), false, true),
            ("resource:tasks/", false, true),
            ("resource:queues/", true, false),
            ("principal=alice AND trace_id=4bf92f3577b34da6a3ce929d0e0e4736", true, true),
        ] {
            assert_eq!(filter(text).classes(false), Classes { tree, tasks }, "{text}");
        }
    }

    #[test]
    fn tasks_that_are_counted_are_meant_wherever_they_can_be() {
        for (text, tree, tasks) in [
            ("", true, true),
            ("app=shop", true, true),
            ("resource:nodes/ OR resource:queues/", true, false),
            ("resource:t", true, true),
            ("type:node_", true, false),
            ("resource=queues/mail", true, false),
        ] {
            assert_eq!(filter(text).classes(true), Classes { tree, tasks }, "{text}");
        }
    }

    #[test]
    fn a_place_is_skipped_only_when_nothing_of_it_can_fit() {
        let place = Place { queue: Some("mail".parse().expect("a name")), ..Place::default() };
        for (text, can) in [
            ("", true),
            ("queue=mail", true),
            ("queue=queues/mail", true),
            ("queue=orders", false),
            ("queue=orders OR type=task_settled", true),
            ("NOT queue=mail", false),
            ("queue=orders AND type=task_settled", false),
        ] {
            assert_eq!(filter(text).fits_place(&place), can, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_names_its_column() {
        for (text, column) in [("who=alice", 1), ("type=theft", 6), ("at=now", 3)] {
            let error = text.parse::<EventFilter>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("column {column}:")), "{error}");
        }
    }
}
