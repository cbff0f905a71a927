//! The fields that tasks are filtered by.

use std::fmt::Display;
use std::str::FromStr;

use runtime_core::error::{ErrorClass, ErrorCode};
use runtime_core::name::{AppName, HandlerName, QueueName, Scope, Tenant};
use runtime_core::store::{TaskFilter, TaskTest, TextTest};
use runtime_core::task::TaskState;

use super::{Field, FilterError, Value, one_of, parse};

/// The classes of errors.
const CLASSES: [ErrorClass; 5] = [
    ErrorClass::Retryable,
    ErrorClass::Permanent,
    ErrorClass::InvalidRequest,
    ErrorClass::InvalidOutput,
    ErrorClass::NeedsHuman,
];

/// Reads a filter of tasks.
pub(crate) fn tasks(text: &str) -> Result<TaskFilter, FilterError> {
    Ok(parse::<TaskField>(text)?.map(TaskFilter::from).unwrap_or_default())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskField {
    State,
    App,
    Queue,
    Handler,
    Tenant,
    Scope,
    Code,
    Class,
    Created,
    Finished,
}

impl Field for TaskField {
    type Test = TaskTest;

    const ALL: &'static [(&'static str, Self)] = &[
        ("state", Self::State),
        ("app", Self::App),
        ("queue", Self::Queue),
        ("handler", Self::Handler),
        ("tenant", Self::Tenant),
        ("scope", Self::Scope),
        ("code", Self::Code),
        ("class", Self::Class),
        ("created", Self::Created),
        ("finished", Self::Finished),
    ];

    fn is_time(self) -> bool {
        matches!(self, Self::Created | Self::Finished)
    }

    fn test(self, value: Value<'_>) -> Result<TaskTest, String> {
        Ok(match (self, value) {
            (Self::Finished, Value::Time(time)) => TaskTest::Finished(time),
            (_, Value::Time(time)) => TaskTest::Created(time),
            (Self::Created | Self::Finished, _) => return Err("a time is no text".into()),
            (Self::State, _) => TaskTest::State(one_of(&TaskState::ALL, TaskState::as_str, "states", value)?),
            (Self::Class, _) => {
                let classes = one_of(&CLASSES, ErrorClass::as_str, "classes", value)?;
                TaskTest::Code(codes(|code| classes.contains(&code.class())))
            }
            (Self::Code, Value::Is(text)) => match codes(|code| code.name() == text) {
                by_name if !by_name.is_empty() => TaskTest::Code(by_name),
                _ => TaskTest::Code(vec![text.parse().map_err(|error| format!("{error}"))?]),
            },
            (Self::Code, Value::Begins(prefix)) => TaskTest::Code(codes(|code| {
                code.as_str().starts_with(prefix) || code.name().starts_with(prefix)
            })),
            (Self::App, _) => TaskTest::App(text::<AppName>(value)?),
            (Self::Queue, _) => TaskTest::Queue(text::<QueueName>(value)?),
            (Self::Handler, _) => TaskTest::Handler(text::<HandlerName>(value)?),
            (Self::Tenant, _) => TaskTest::Tenant(text::<Tenant>(value)?),
            (Self::Scope, _) => TaskTest::Scope(text::<Scope>(value)?),
        })
    }
}

fn codes(fits: impl Fn(ErrorCode) -> bool) -> Vec<ErrorCode> {
    ErrorCode::ALL.iter().copied().filter(|code| fits(*code)).collect()
}

/// What is compared as a whole has to be a possible name; a prefix can be anything.
fn text<T: FromStr<Err: Display>>(value: Value<'_>) -> Result<TextTest, String> {
    match value {
        Value::Begins(prefix) => Ok(TextTest::Begins(prefix.to_owned())),
        Value::Is(text) => match text.parse::<T>() {
            Ok(_) => Ok(TextTest::Is(text.to_owned())),
            Err(error) => Err(error.to_string()),
        },
        Value::Time(_) => Err("a text is no time".into()),
    }
}

#[cfg(test)]
mod tests {
    use runtime_core::store::{Expr, TimeTest};

    use super::*;

    fn expr(text: &str) -> Expr<TaskTest> {
        parse::<TaskField>(text).expect(text).expect("something is said")
    }

    fn is(text: &str) -> TextTest {
        TextTest::Is(text.to_owned())
    }

    #[test]
    fn comparisons_become_what_a_store_evaluates() {
        use Expr::Is;
        let (parked, dead) =
            (TaskTest::State(vec![TaskState::Parked]), TaskTest::State(vec![TaskState::Dead]));
        let (app, queue) = (TaskTest::App(is("shop")), TaskTest::Queue(is("mail")));
        assert_eq!(expr(" state=parked "), Is(parked.clone()));
        let all = vec![Is(parked.clone()), Is(app.clone()), Is(TaskTest::Handler(is("take-in")))];
        assert_eq!(expr("state=parked AND app = shop AND handler=take-in"), Expr::All(all));
        let either = Expr::Any(vec![Is(parked.clone()), Expr::All(vec![Is(dead.clone()), Is(app.clone())])]);
        assert_eq!(expr("state=parked OR state=dead AND app=shop"), either, "AND binds closer");
        let both = Expr::All(vec![Expr::Any(vec![Is(parked), Is(dead)]), Is(app.clone())]);
        assert_eq!(expr("(state=parked OR state=dead) AND app=shop"), both);
        assert_eq!(expr("NOT app=shop AND queue=mail"), Expr::All(vec![!Is(app.clone()), Is(queue.clone())]));
        assert_eq!(expr("app!=shop"), expr("NOT app=shop"));
        assert_eq!(expr("NOT(app=shop OR NOT queue=mail)"), !Expr::Any(vec![Is(app), !Is(queue)]));
        assert_eq!(tasks("  ").unwrap(), TaskFilter::default());
    }

    #[test]
    fn states_codes_and_classes_go_by_names_and_their_beginnings() {
        use TaskState::{Dead, Done, Ready};
        assert_eq!(expr("state:d"), Expr::Is(TaskTest::State(vec![Done, Dead])));
        assert_eq!(expr("state:r"), Expr::Is(TaskTest::State(vec![Ready])));
        let poison = Expr::Is(TaskTest::Code(vec![ErrorCode::Poison]));
        assert_eq!((expr("code=poison"), expr("code=RT0008")), (poison.clone(), poison));
        assert_eq!(expr("code:RT"), Expr::Is(TaskTest::Code(ErrorCode::ALL.to_vec())));
        for class in CLASSES {
            let of_class = codes(|code| code.class() == class);
            assert_eq!(expr(&format!("class={}", class.as_str())), Expr::Is(TaskTest::Code(of_class)));
        }
    }

    #[test]
    fn times_are_bounds() {
        let at = "2030-01-31T08:00:00Z";
        let (on, after) = (at.parse().unwrap(), "2030-01-31T08:00:00.000000001Z".parse().unwrap());
        for (sign, test) in [
            (">=", TimeTest::Since(on)),
            (">", TimeTest::Since(after)),
            ("<", TimeTest::Before(on)),
            ("<=", TimeTest::Before(after)),
        ] {
            assert_eq!(expr(&format!("created{sign}{at}")), Expr::Is(TaskTest::Created(test)));
            assert_eq!(expr(&format!("finished {sign} \"{at}\"")), Expr::Is(TaskTest::Finished(test)));
        }
    }

    #[test]
    fn values_hold_anything_in_quotes() {
        let of = |text: &str| Expr::Is(TaskTest::Scope(is(text)));
        assert_eq!(expr(r#"scope="store=42 (\"main\") \\""#), of(r#"store=42 ("main") \"#));
        assert_eq!(expr("(scope=store=42)"), of("store=42"), "a parenthesis ends a word");
    }

    #[test]
    fn an_error_names_the_column() {
        for (text, column) in [
            ("colour=red", 1),
            ("state", 6),
            ("state=", 7),
            ("state=lost", 7),
            ("state:x", 7),
            ("state=done or app=a", 12),
            ("state=done AND", 15),
            ("state=done OR", 14),
            ("state=done AND AND state=dead", 16),
            ("(state=done", 1),
            ("state=done)", 11),
            ("(state=done queue=mail)", 13),
            ("()", 2),
            ("NOT", 4),
            ("app!shop", 4),
            ("app=Shop", 5),
            ("code=RT9999", 6),
            (r#"scope="open"#, 7),
            (r#"scope="a\n""#, 9),
            ("scope=a\"b\"", 8),
            ("tenant=\"ü\" AND =", 16),
            ("class=odd", 7),
            ("created=2030-01-31T08:00:00Z", 8),
            ("created<soon", 9),
            ("app<shop", 4),
        ] {
            let error = tasks(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("column {column}: ")), "{text}: {error}");
        }
    }

    #[test]
    fn a_filter_is_bounded_in_length_comparisons_and_depth() {
        assert!(tasks(&format!("scope={}", "x".repeat(200))).is_ok());
        let refused = |text: &str| tasks(text).expect_err(text).to_string();
        assert_eq!(
            refused(&format!("scope={}", "x".repeat(2_043))),
            "column 1: a filter has at most 2048 bytes"
        );
        let many = |count: usize| vec!["app=a"; count].join(" OR ");
        assert!(tasks(&many(100)).is_ok());
        assert_eq!(refused(&many(101)), "column 901: a filter has at most 100 comparisons");
        let deep = |depth: usize| format!("{}app=a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(tasks(&deep(16)).is_ok());
        assert_eq!(refused(&deep(17)), "column 17: at most 16 parentheses and NOTs within each other");
        assert!(tasks(&format!("{}app=a", "NOT ".repeat(16))).is_ok());
        assert!(tasks(&format!("{}app=a", "NOT ".repeat(400))).is_err());
    }
}
