//! Long work that its caller listens to: messages while it goes on, and one at the end.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use runtime_core::control::CommandError;
use runtime_core::error::ErrorCode;
use tokio::sync::{oneshot, watch};
use tonic::Status;

use crate::status::{Resource, refusal};

/// How often a caller hears of the work at most.
const GLANCE: Duration = Duration::from_millis(200);

/// Work under way. Dropped with the stream, which the work notices.
pub(super) struct Work<P> {
    /// What it concerns, for errors.
    pub(super) about: Resource,
    /// How it goes.
    pub(super) listens: watch::Receiver<P>,
    /// How it ended.
    pub(super) end: oneshot::Receiver<Result<P, CommandError>>,
}

impl<P: Clone + Send + Sync + 'static> Work<P> {
    /// The messages of the work; the last one is made with `true`.
    pub(super) fn told<M: Send + 'static>(
        self,
        message: impl Fn(&P, bool) -> M + Send + 'static,
    ) -> BoxStream<'static, Result<M, Status>> {
        unfold(Some((self, message)), async |state| {
            let (mut work, message) = state?;
            match work.next().await {
                Next::Goes(progress) => Some((Ok(message(&progress, false)), Some((work, message)))),
                Next::Ended(progress) => Some((Ok(message(&progress, true)), None)),
                Next::Failed(error) => Some((Err(refusal(&error, &work.about)), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Next<P> {
        let ended = tokio::select! {
            biased;
            ended = &mut self.end => Some(ended),
            _ = self.listens.changed() => {
                // Fast work is told of in glances, not step by step.
                tokio::time::timeout(GLANCE, &mut self.end).await.ok()
            }
        };
        match ended {
            None => Next::Goes(self.listens.borrow_and_update().clone()),
            Some(Ok(Ok(progress))) => Next::Ended(progress),
            Some(Ok(Err(error))) => Next::Failed(error),
            Some(Err(_)) => {
                Next::Failed(CommandError::new(ErrorCode::NoAnswer, "the work broke before it ended"))
            }
        }
    }
}

enum Next<P> {
    Goes(P),
    Ended(P),
    Failed(CommandError),
}
