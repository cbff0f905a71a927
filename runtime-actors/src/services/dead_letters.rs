//! Dead letters for operators: counted in groups, replayed and discarded many at a time.
//!
//! ```text
//! matched = those that died before now ─▶ a step: at most so many, each on its own ─▶ progress ─▶ … until none is left,
//!                                                                                  or nobody listens
//! ```
//!
//! What it did to a task is durable with its step, so a crash on the way loses nothing: asked again, it goes on with the rest.

use std::sync::Arc;

use jiff::Timestamp;
use runtime_core::control::{
    CommandError, DeadLetterAction, DeadLetterAsk, DeadLetterCommand, DeadLetterProgress,
};
use runtime_core::error::ErrorCode;
use runtime_core::store::{BulkReplay, DeadGroup, TaskCommand, TaskFilter};
use runtime_core::task::Task;
use tokio::sync::watch;

use crate::platform::Platform;

/// Most tasks of one step. Between two steps others get at the store, and the asker may leave.
const STEP: usize = 500;

/// How many tasks a dry run shows.
const SAMPLE: usize = 5;

/// Acts on dead letters of one tree.
#[derive(Clone)]
pub struct DeadLetterService {
    platform: Arc<Platform>,
}

impl DeadLetterService {
    /// A service over this tree.
    pub fn new(platform: Arc<Platform>) -> Self {
        Self { platform }
    }

    /// Carries out a command and answers it.
    pub async fn carry_out(self, command: DeadLetterCommand) {
        match command {
            DeadLetterCommand::Count { filter, reply } => {
                reply.send(self.platform.store.dead_groups(filter).await.map_err(CommandError::from));
            }
            DeadLetterCommand::Act { ask, progress, reply } => reply.send(self.act(ask, &progress).await),
        }
    }

    async fn act(
        &self,
        ask: DeadLetterAsk,
        progress: &watch::Sender<DeadLetterProgress>,
    ) -> Result<DeadLetterProgress, CommandError> {
        let DeadLetterAsk { filter, action, dry_run } = ask;
        let now = self.platform.clock.now();
        let filter = died_before(filter, now)?;
        let groups = self.platform.store.dead_groups(filter.clone()).await?;
        progress.send_modify(|progress| progress.matched = count(&groups));
        if dry_run {
            let sample = self.platform.store.list(filter, None, SAMPLE).await?.tasks;
            progress.send_modify(|progress| progress.sample = sample);
            return Ok(progress.borrow().clone());
        }
        let mut from = now;
        loop {
            let step = match &action {
                DeadLetterAction::Replay { rate } => {
                    let replay = BulkReplay { limit: STEP, rate: *rate, from };
                    let step = self.platform.store.replay_where(filter.clone(), replay).await?;
                    from = step.next;
                    Step { acted: step.count, more: step.more, due_by: (step.count > 0).then_some(step.next) }
                }
                DeadLetterAction::Discard { reason } => self.discard(&filter, reason).await?,
            };
            progress.send_modify(|progress| {
                progress.acted += step.acted as u64;
                progress.due_by = step.due_by.or(progress.due_by);
            });
            if !step.more || progress.is_closed() || self.platform.is_stopping() {
                break;
            }
        }
        let end = progress.borrow().clone();
        tracing::info!(
            action = action.name(),
            matched = end.matched,
            acted = end.acted,
            "dead letters changed by an operator"
        );
        Ok(end)
    }

    async fn discard(&self, filter: &TaskFilter, reason: &str) -> Result<Step, CommandError> {
        let limit = STEP.min(self.platform.store.limits().max_batch);
        let page = self.platform.store.list(filter.clone(), None, limit).await?;
        let discard = |task: Task| (task.id, TaskCommand::Discard { reason: reason.to_owned() });
        let answers = self.platform.store.steer(page.tasks.into_iter().map(discard).collect()).await?;
        let acted = answers.iter().filter(|answer| answer.is_ok()).count();
        Ok(Step { acted, more: page.next.is_some(), due_by: None })
    }
}

/// What one step did.
struct Step {
    acted: usize,
    more: bool,
    due_by: Option<Timestamp>,
}

/// The same filter for what is dead already: what dies again meanwhile is not meant.
fn died_before(filter: TaskFilter, now: Timestamp) -> Result<TaskFilter, CommandError> {
    let not_dead =
        || CommandError::new(ErrorCode::InvalidArgument, "the filter selects tasks that are not dead");
    let filter = filter.of_the_dead().ok_or_else(not_dead)?;
    let until = filter.finished_until.map_or(now, |until| until.min(now));
    Ok(TaskFilter { finished_until: Some(until), ..filter })
}

fn count(groups: &[DeadGroup]) -> u64 {
    groups.iter().map(|group| group.count).sum()
}
