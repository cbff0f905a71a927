//! One comparison of a task's field, and what follows when only part of a task is known.

use serde::{Deserialize, Serialize};

use super::{Expr, TaskFilter, TextTest, TimeTest};
use crate::error::ErrorCode;
use crate::name::Route;
use crate::task::{Task, TaskState};

/// One comparison of a task's field. A field that the task does not have fits none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskTest {
    /// It stands in one of these states.
    State(Vec<TaskState>),
    /// Its app.
    App(TextTest),
    /// Its queue.
    Queue(TextTest),
    /// Its handler.
    Handler(TextTest),
    /// Its tenant.
    Tenant(TextTest),
    /// Its scope.
    Scope(TextTest),
    /// Its last error has one of these codes.
    Code(Vec<ErrorCode>),
    /// When it was accepted.
    Created(TimeTest),
    /// When it finished: what is not finished fits neither.
    Finished(TimeTest),
}

impl TaskTest {
    /// Whether a task fits.
    pub fn fits(&self, task: &Task) -> bool {
        match self {
            Self::State(states) => states.contains(&task.state),
            Self::App(text) => text.fits(task.route.app.as_str()),
            Self::Queue(text) => text.fits(task.route.queue.as_str()),
            Self::Handler(text) => text.fits(task.route.handler.as_str()),
            Self::Tenant(text) => task.tenant.as_ref().is_some_and(|tenant| text.fits(tenant.as_str())),
            Self::Scope(text) => task.scope.as_ref().is_some_and(|scope| text.fits(scope.as_str())),
            Self::Code(codes) => task.last_error.as_ref().is_some_and(|error| codes.contains(&error.code)),
            Self::Created(time) => time.fits(task.created_at),
            Self::Finished(time) => task.finished_at.is_some_and(|at| time.fits(at)),
        }
    }

    /// Whether every task of which this is known fits, or none does; `None` when that hangs on what is not known.
    pub fn decided(&self, known: Known<'_>) -> Option<bool> {
        let Known { state, route, code, tenant } = known;
        let of_route = |text: &TextTest, name: fn(&Route) -> &str| route.map(|route| text.fits(name(route)));
        match self {
            Self::State(states) => state.map(|state| states.contains(&state)),
            Self::App(text) => of_route(text, |route| route.app.as_str()),
            Self::Queue(text) => of_route(text, |route| route.queue.as_str()),
            Self::Handler(text) => of_route(text, |route| route.handler.as_str()),
            Self::Finished(_) => state.filter(|state| !state.is_finished()).map(|_| false),
            Self::Code(codes) => code.map(|code| codes.contains(&code)),
            Self::Tenant(text) => tenant.map(|tenant| tenant.is_some_and(|tenant| text.fits(tenant))),
            Self::Scope(_) | Self::Created(_) => None,
        }
    }
}

/// What is known of tasks without a look at each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Where they stand.
    pub state: Option<TaskState>,
    /// Where they go.
    pub route: Option<&'a Route>,
    /// What the last error of each of them was.
    pub code: Option<ErrorCode>,
    /// Whose work they are: `Some(None)` when it is nobody's.
    pub tenant: Option<Option<&'a str>>,
}

impl TaskFilter {
    /// The whole filter as one expression.
    pub fn expr(&self) -> Expr<TaskTest> {
        let is = |text: &str| TextTest::Is(text.to_owned());
        let plain = [
            (!self.states.is_empty()).then(|| TaskTest::State(self.states.clone())),
            self.app.as_ref().map(|app| TaskTest::App(is(app.as_str()))),
            self.queue.as_ref().map(|queue| TaskTest::Queue(is(queue.as_str()))),
            self.handler.as_ref().map(|handler| TaskTest::Handler(is(handler.as_str()))),
            self.tenant.as_ref().map(|tenant| TaskTest::Tenant(is(tenant.as_str()))),
            self.scope.as_ref().map(|scope| TaskTest::Scope(is(scope.as_str()))),
            self.code.map(|code| TaskTest::Code(vec![code])),
            self.error_class.map(|class| {
                TaskTest::Code(ErrorCode::ALL.iter().copied().filter(|code| code.class() == class).collect())
            }),
            self.created_since.map(|at| TaskTest::Created(TimeTest::Since(at))),
            self.created_until.map(|at| TaskTest::Created(TimeTest::Before(at))),
            self.finished_since.map(|at| TaskTest::Finished(TimeTest::Since(at))),
            self.finished_until.map(|at| TaskTest::Finished(TimeTest::Before(at))),
        ];
        let mut parts: Vec<Expr<TaskTest>> = plain.into_iter().flatten().map(Expr::Is).collect();
        match self.also.clone() {
            Some(Expr::All(also)) => parts.extend(also),
            also => parts.extend(also),
        }
        Expr::All(parts)
    }

    /// Whether a task fits. Whoever asks of many takes [`TaskFilter::expr`] once.
    pub fn fits(&self, task: &Task) -> bool {
        self.expr().holds(&|test| test.fits(task))
    }

    /// States that a task that fits can stand in, in the order of a task's life.
    pub fn possible_states(&self) -> Vec<TaskState> {
        let expr = self.expr();
        let possible = |state: &TaskState| {
            let known = Known { state: Some(*state), ..Known::default() };
            expr.decided(&|test| test.decided(known)) != Some(false)
        };
        TaskState::ALL.into_iter().filter(possible).collect()
    }

    /// Whether everything fits that stands in one of these states.
    pub fn takes_all_of(&self, states: &[TaskState]) -> bool {
        let expr = self.expr();
        states.iter().all(|state| {
            let known = Known { state: Some(*state), ..Known::default() };
            expr.decided(&|test| test.decided(known)) == Some(true)
        })
    }
}
