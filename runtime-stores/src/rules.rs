//! What holds for a queue: what its worker declares, and what operators say in its place. The same in every back end.

use jiff::Timestamp;
use runtime_core::flow::FlowError;
use runtime_core::name::QueueName;
use runtime_core::store::{EnqueueError, OverriddenQueue, QueueChange, QueueOverride, QueuePolicy};
use runtime_core::task::NewTask;
use serde::{Deserialize, Serialize};

/// The rules of one queue. Most have none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    declared: QueuePolicy,
    said: Option<Said>,
    in_force: QueuePolicy,
}

/// What operators say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    pub(crate) says: QueueOverride,
    pub(crate) reason: String,
    pub(crate) since: Timestamp,
}

impl Rules {
    pub(crate) fn new(declared: QueuePolicy, said: Option<Said>) -> Self {
        let mut rules = Self { declared, said, in_force: QueuePolicy::default() };
        rules.put_in_force();
        rules
    }

    fn put_in_force(&mut self) {
        self.in_force = match &self.said {
            Some(said) => self.declared.overridden(&said.says),
            None => self.declared.clone(),
        };
    }

    pub(crate) fn declared(&self) -> &QueuePolicy {
        &self.declared
    }

    /// What leases go by.
    pub(crate) fn policy(&self) -> &QueuePolicy {
        &self.in_force
    }

    pub(crate) fn said(&self) -> Option<&Said> {
        self.said.as_ref()
    }

    pub(crate) fn declare(&mut self, policy: QueuePolicy) {
        self.declared = policy;
        self.put_in_force();
    }

    /// Operators change what they say. Returns it as it is now, if they still say something.
    pub(crate) fn change(&mut self, change: &QueueChange, reason: &str, now: Timestamp) -> Option<&Said> {
        let before = self.said.take().map(|said| said.says).unwrap_or_default();
        let says = before.changed(change);
        self.said = (!says.says_nothing()).then(|| Said { says, reason: reason.to_owned(), since: now });
        self.put_in_force();
        self.said.as_ref()
    }

    /// Whether nothing is declared and nothing is said.
    pub(crate) fn are_default(&self) -> bool {
        self.said.is_none() && self.declared == QueuePolicy::default()
    }

    /// Refuses a task that is heavier than any bucket its lane has: neither as declared nor as operators say. So nobody who lowers a
    /// limit for a while turns producers away.
    pub(crate) fn check(&self, task: &NewTask) -> Result<(), EnqueueError> {
        let (Some(by), true) = (&self.declared.lanes, task.weight.get() > 1) else { return Ok(()) };
        let lane = by.lane(task.tenant.as_ref(), task.scope.as_ref(), &task.payload);
        let accepts = |policy: &QueuePolicy| match policy.limits_of(&lane).rate {
            Some(rate) => rate.accepts(task.weight),
            None => Ok(()),
        };
        match (accepts(&self.declared), accepts(&self.in_force)) {
            (
                Err(FlowError::WeightAboveBurst { weight, burst: declared }),
                Err(FlowError::WeightAboveBurst { burst, .. }),
            ) => {
                let (queue, burst) = (task.route.queue.clone(), burst.max(declared));
                Err(EnqueueError::WeightAboveBurst { queue, lane, weight, burst })
            }
            _ => Ok(()),
        }
    }
}

impl Said {
    pub(crate) fn of(&self, queue: &QueueName) -> OverriddenQueue {
        OverriddenQueue {
            queue: queue.clone(),
            says: self.says.clone(),
            reason: self.reason.clone(),
            since: self.since,
        }
    }
}
