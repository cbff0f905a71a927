//! The modules of an app that runs, let register once more: on a thread apart, one at a time, and not for ever.
//!
//! They may read files, and they are code of the app: one may break over a configuration, and one may wait for something that does not come.

use std::sync::Arc;
use std::time::Duration;

use runtime_core::control::CommandError;
use runtime_core::error::ErrorCode;
use tokio::sync::Semaphore;

use crate::app::App;

/// How long they may take. Nobody who asks waits longer.
const WITHIN: Duration = Duration::from_secs(10);

/// What a panic is told as. What it said may hold what the module was shown, and stands on standard error alone.
pub(super) const PANICKED: &str = "a module of the app panicked over it";

/// The modules of one app.
pub(super) struct Modules<A> {
    app: App<A>,
    /// Goes with the thread that they register on: of those that do not end, there is one.
    turn: Arc<Semaphore>,
}

impl<A: 'static> Modules<A> {
    pub(super) fn of(app: App<A>) -> Self {
        Self { app, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Lets them register, as `ask` does it.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] when one panics, [`ErrorCode::NoAnswer`] when they do not end.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&App<A>) -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        let (app, turn) = (self.app.clone(), self.turn.clone());
        let answer = async {
            let turn = turn.acquire_owned().await;
            let asked = move || {
                let answer = ask(&app);
                drop(turn);
                answer
            };
            tokio::task::spawn_blocking(asked).await
        };
        match tokio::time::timeout(WITHIN, answer).await {
            Ok(answer) => answer.map_err(|_| CommandError::new(ErrorCode::InvalidConfig, PANICKED)),
            Err(_) => {
                let text = format!("the app's modules have not registered within {} s", WITHIN.as_secs());
                Err(CommandError::new(ErrorCode::NoAnswer, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_modules_that_do_not_end_waits_no_longer_than_is_said_and_they_take_one_thread() {
        let modules = Modules::of(App::named("shop"));
        let (go_on, stuck) = mpsc::channel::<()>();
        let (began, begun) = tokio::sync::oneshot::channel();
        let first = modules.ask(move |_| {
            began.send(()).expect("the test waits");
            let _gone_on = stuck.recv();
        });
        let late = |answer: Result<(), CommandError>| answer.expect_err("late").code == ErrorCode::NoAnswer;
        let (answer, ()) = tokio::join!(first, async {
            begun.await.expect("it begins");
            tokio::time::advance(WITHIN).await;
        });
        assert!(late(answer));
        let second = modules.ask(|_| unreachable!("the first one holds the turn"));
        let (answer, ()) = tokio::join!(second, async {
            tokio::task::yield_now().await;
            tokio::time::advance(WITHIN).await;
        });
        assert!(late(answer));
        drop(go_on);
        assert_eq!(modules.ask(|_| 7).await.expect("it ended"), 7);
    }
}
