//! A health reporter: looks at one thing at its interval.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_core::health::HealthCheck;
use runtime_core::node::{DesiredState, Health};
use runtime_core::supervision::Fault;
use tokio::task::JoinSet;

use crate::node::{NodeActor, NodeContext, Progress};
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
    /// A look ended.
    Looked(Health),
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
        self.paused = node.entry().desired() == DesiredState::Paused;
        node.myself().tell(HealthMsg::LookDue);
        Ok(Progress::Complete)
    }

    async fn handle(&mut self, node: &NodeContext<HealthMsg>, message: HealthMsg) -> Result<(), Fault> {
        match message {
            HealthMsg::LookDue if self.paused => {
                node.myself().tell_after(self.plan.every, HealthMsg::LookDue)
            }
            HealthMsg::LookDue => {
                // The look is user code: it runs on the work pool and its end comes back as a fact.
                let (check, within, myself) = (self.plan.check.clone(), self.plan.within, node.myself());
                let look = self.platform.pool.spawn(async move { check.check().await });
                while self.tasks.try_join_next().is_some() {}
                self.tasks.spawn(async move {
                    let health = match tokio::time::timeout(within, look).await {
                        Ok(Ok(health)) => health,
                        Ok(Err(error)) => Health::Unhealthy(format!("the check broke: {error}")),
                        Err(_) => Health::Unhealthy(format!(
                            "the check did not answer within {} ms",
                            within.as_millis()
                        )),
                    };
                    myself.tell(HealthMsg::Looked(health));
                });
            }
            HealthMsg::Looked(health) => {
                node.entry().set_health(health);
                node.myself().tell_after(self.plan.every, HealthMsg::LookDue);
            }
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
