//! A health reporter: looks at one thing at its interval.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::health::HealthCheck;
use runtime_core::node::Health;
use runtime_core::supervision::Fault;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::node::{Myself, NodeActor, NodeContext, Progress};
use crate::platform::Platform;

/// How a thing is looked at.
#[derive(Clone)]
pub struct HealthPlan {
    /// Name of the reporter.
    pub name: String,
    /// The look.
    pub check: Arc<dyn HealthCheck>,
    /// Time between two looks.
    pub every: Duration,
    /// A look that takes longer reads as unhealthy.
    pub within: Duration,
}

/// What a reporter is told.
pub(crate) enum HealthMsg {
    /// Time to look.
    LookDue,
    /// A look said this, or said nothing in time.
    Looked(Health),
    /// The look is over: the next one may come.
    LookEnded,
}

/// The logic of a reporter's node.
pub(crate) struct HealthReporter {
    platform: Arc<Platform>,
    plan: HealthPlan,
    paused: bool,
    tasks: JoinSet<()>,
}

impl HealthReporter {
    pub(crate) fn new(platform: Arc<Platform>, plan: HealthPlan) -> Self {
        Self { platform, plan, paused: false, tasks: JoinSet::new() }
    }
}

#[async_trait]
impl NodeActor for HealthReporter {
    type Msg = HealthMsg;

    async fn init(&mut self, node: &NodeContext<HealthMsg>) -> Result<Progress, Fault> {
        node.myself().tell(HealthMsg::LookDue);
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, node: &NodeContext<HealthMsg>, message: HealthMsg) -> Result<(), Fault> {
        match message {
            HealthMsg::LookDue if self.paused => {
                node.myself().tell_after(self.plan.every, HealthMsg::LookDue)
            }
            HealthMsg::LookDue => {
                while self.tasks.try_join_next().is_some() {}
                self.tasks.spawn(look(self.platform.clone(), self.plan.clone(), node.myself()));
            }
            HealthMsg::Looked(health) => node.entry().set_health(health),
            HealthMsg::LookEnded => node.myself().tell_after(self.plan.every, HealthMsg::LookDue),
        }
        Ok(())
    }

    fn pause(&mut self, _node: &NodeContext<HealthMsg>) {
        self.paused = true;
    }

    fn resume(&mut self, _node: &NodeContext<HealthMsg>) {
        self.paused = false;
    }
}

/// One look. The check is user code: it runs on the work pool, under a deadline, and never beside the one before.
async fn look(platform: Arc<Platform>, plan: HealthPlan, myself: Myself<HealthMsg>) {
    let HealthPlan { check, within, .. } = plan;
    let mut looking = AbortOnDropHandle::new(platform.pool.spawn(async move { check.check().await }));
    let health = match tokio::time::timeout(within, &mut looking).await {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => Health::Unhealthy(format!("the check broke: {error}")),
        Err(_) => {
            let text = format!("the check did not answer within {} ms", within.as_millis());
            myself.tell(HealthMsg::Looked(Health::Unhealthy(text)));
            looking.abort();
            drop(looking.await);
            myself.tell(HealthMsg::LookEnded);
            return;
        }
    };
    myself.tell(HealthMsg::Looked(health));
    myself.tell(HealthMsg::LookEnded);
}
