//! What operators ask of one worker: a slot first, then the claim, before anything that the queue has.

use runtime_core::control::{CommandError, Reply};
use runtime_core::error::ErrorCode;
use runtime_core::name::CorrelationId;
use runtime_core::task::TaskId;

use super::{ExecutorMsg, TaskExecutorActor};
use crate::attempt::Attempt;
use crate::granted::Granted;
use crate::node::NodeContext;
use crate::services::breakers::Held;
use crate::services::executor::Takes;

/// A task that an operator wants to run.
pub(super) struct AskedFor {
    pub(super) task: TaskId,
    pub(super) correlation: CorrelationId,
    pub(super) reply: Reply<()>,
}

impl TaskExecutorActor {
    /// Notes what an operator wants, until a slot is free. What depends on something that is down is refused at once.
    pub(super) fn ask_for(&mut self, node: &NodeContext<ExecutorMsg>, asked: AskedFor) {
        match (self.service.takes(), self.room()) {
            (Takes::Nothing, _) => asked.reply.send(Err(takes_no_work(node))),
            (_, Err(held)) => asked.reply.send(Err(self.must_wait(node, &held))),
            (_, Ok(_)) => self.asked_for.push_back(asked),
        }
    }

    /// Claims what has a slot. Whoever stands there and waits goes before the queue.
    pub(super) fn claim_asked_for(&mut self, node: &NodeContext<ExecutorMsg>) {
        while !self.asked_for.is_empty() && self.service.reserve() {
            self.asked_for.pop_front().into_iter().for_each(|asked| self.claim(node, asked));
        }
    }

    /// Nobody waits for a worker that takes nothing any more.
    pub(super) fn refuse_asked_for(&mut self, node: &NodeContext<ExecutorMsg>) {
        self.asked_for.drain(..).for_each(|asked| asked.reply.send(Err(takes_no_work(node))));
    }

    /// Claims one task for an operator, in the slot that was reserved for it.
    fn claim(&self, node: &NodeContext<ExecutorMsg>, asked: AskedFor) {
        let AskedFor { task, correlation, reply } = asked;
        let (run, myself, ask) = (self.run.clone(), node.myself(), self.ask_of(1, Some(task)));
        tokio::spawn(async move {
            let _asking = run.platform.leases.asking();
            let refusal = match run.platform.store.lease(ask).await {
                Ok(leased) if leased.is_empty() => {
                    CommandError::precondition(format!("task {task} is not ready in this worker's queue"))
                }
                Ok(leased) => {
                    let leased = Granted::new(&run, leased);
                    myself.tell(ExecutorMsg::ExecuteTask { leased, correlation, reply });
                    return;
                }
                Err(error) => error.into(),
            };
            myself.tell(ExecutorMsg::RunRefused);
            reply.send(Err(refusal));
        });
    }

    /// Runs an operator's task in the slot that was kept for it.
    pub(super) fn run_granted(
        &mut self,
        node: &NodeContext<ExecutorMsg>,
        leased: Granted,
        correlation: &CorrelationId,
        reply: Reply<()>,
    ) {
        self.service.unreserve();
        if self.service.takes() == Takes::Nothing {
            return reply.send(Err(takes_no_work(node)));
        }
        let permits = match self.run.breakers.allow(&self.run.descriptor.dependencies) {
            Ok(permits) => permits,
            Err(held) => return reply.send(Err(self.must_wait(node, &held))),
        };
        // One was asked for.
        if let Some(leased) = leased.take().pop() {
            self.service.started(Attempt::start(&self.run, leased, permits, Some(correlation.clone())));
        }
        reply.send(Ok(()));
    }

    /// What it depends on is down: says which, and when it is tried next.
    fn must_wait(&self, node: &NodeContext<ExecutorMsg>, held: &Held) -> CommandError {
        let wait = held.until.map(|until| until.duration_since(self.run.platform.clock.now()));
        CommandError {
            retry_after: wait.and_then(|wait| wait.try_into().ok()),
            ..CommandError::new(ErrorCode::DependencyDown, format!("{} {held}", node.path()))
        }
    }
}

fn takes_no_work(node: &NodeContext<ExecutorMsg>) -> CommandError {
    CommandError::precondition(format!("{} drains or stops, and takes no work", node.path()))
}
