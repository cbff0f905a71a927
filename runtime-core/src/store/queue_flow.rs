//! Who has to wait although it is due: what workers and operators say of whole queues and scopes.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LimitOverride, OverriddenQueue, QueueChange, QueueStats, StoreError};
use crate::flow::{FlowLimits, ShedPolicy};
use crate::name::{FlowKey, OrderingKey, QueueName, Scope, Tenant};
use crate::task::{TaskId, TaskState};

/// What makes the lanes of a queue: tasks with the same value share one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneBy {
    /// Whose work it is.
    Tenant,
    /// The part of the world it concerns.
    Scope,
    /// A text, a number or a truth value in the payload, found by this JSON pointer (`/customer/id`).
    Payload(String),
}

impl LaneBy {
    /// The lane of every task whose value is missing, or cannot be a flow key.
    pub const SHARED: &'static str = "(none)";

    /// The lane of a task.
    pub fn lane(&self, tenant: Option<&Tenant>, scope: Option<&Scope>, payload: &[u8]) -> FlowKey {
        let key = match self {
            Self::Tenant => tenant.and_then(|tenant| FlowKey::new(tenant.as_str()).ok()),
            Self::Scope => scope.and_then(|scope| FlowKey::new(scope.as_str()).ok()),
            Self::Payload(pointer) => at(payload, pointer).and_then(|text| FlowKey::new(text).ok()),
        };
        key.unwrap_or_else(|| FlowKey::new(Self::SHARED).expect("the shared lane has a valid name"))
    }
}

fn at(payload: &[u8], pointer: &str) -> Option<String> {
    let payload: Value = serde_json::from_slice(payload).ok()?;
    match payload.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// How a queue gives its tasks away. The default has no lanes and is the cheapest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueuePolicy {
    /// What the limits hold for. Without lanes there are no limits.
    pub lanes: Option<LaneBy>,
    /// The limits of every lane.
    pub limits: FlowLimits,
    /// What is said of single lanes, in place of `limits`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<FlowKey, LimitOverride>,
    /// Whether a dead head of an ordering key blocks its key until it is replayed or discarded. Else the next goes on.
    pub dead_head_blocks: bool,
    /// When it refuses tasks that can wait, long before it is full; absent, never.
    pub shed: Option<ShedPolicy>,
}

impl fmt::Display for QueuePolicy {
    /// In words, for people: `fair by tenant, at most 2 at once each`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.limits.fair { "fair" } else { "in order" };
        match &self.lanes {
            None => f.write_str("in order")?,
            Some(LaneBy::Tenant) => write!(f, "{order} by tenant")?,
            Some(LaneBy::Scope) => write!(f, "{order} by scope")?,
            Some(LaneBy::Payload(pointer)) => write!(f, "{order} by {pointer} of the payload")?,
        }
        if self.lanes.is_some() {
            if let Some(most) = self.limits.concurrency_per_key {
                write!(f, ", at most {most} at once each")?;
            }
            if let Some(rate) = self.limits.rate_per_key {
                write!(
                    f,
                    ", {} in {} s each, {} at a time",
                    rate.tokens(),
                    rate.per().as_secs_f64(),
                    rate.burst()
                )?;
            }
            match self.overrides.len() {
                0 => {}
                1 => f.write_str(", 1 lane with limits of its own")?,
                several => write!(f, ", {several} lanes with limits of their own")?,
            }
        }
        if self.dead_head_blocks {
            f.write_str(", a dead head blocks its ordering key")?;
        }
        self.shed.map_or(Ok(()), |shed| write!(f, ", {shed}"))
    }
}

/// The task whose turn it is within its ordering key, while it does not run and others wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingHead {
    /// The key.
    pub key: OrderingKey,
    /// The task.
    pub task: TaskId,
    /// Where it stands: scheduled, parked, dead (see [`QueuePolicy::dead_head_blocks`]), or ready in a paused scope.
    pub state: TaskState,
    /// Tasks that wait behind it.
    pub waiting: u64,
}

/// Heads of a queue, by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingHeads {
    /// They.
    pub heads: Vec<OrderingHead>,
    /// Whether these are all; else there may be more.
    pub whole: bool,
}

impl Default for OrderingHeads {
    fn default() -> Self {
        Self { heads: Vec::new(), whole: true }
    }
}

/// A scope of a queue whose tasks are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedScope {
    /// The queue.
    pub queue: QueueName,
    /// The scope.
    pub scope: Scope,
    /// What was given as the reason.
    pub reason: String,
    /// When it was paused.
    pub since: Timestamp,
}

/// Everything that is stored of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLook {
    /// Its figures; `None` while it has never held a task.
    pub stats: Option<QueueStats>,
    /// How it gives its tasks away, as declared: without what operators say.
    pub policy: QueuePolicy,
    /// What operators say in place of it, if they say anything.
    pub overridden: Option<OverriddenQueue>,
    /// Its scopes that are paused, by scope.
    pub paused_scopes: Vec<PausedScope>,
    /// The first heads that block others, by key, of as many keys as a look of this store goes over. Needs
    /// [`super::Capability::OrderingKeys`].
    pub heads: OrderingHeads,
}

/// Order, fairness and pauses of queues. Everything set here is stored and survives a restart.
///
/// A task that has to wait, although it is due, is *held*: it stays in its state, is not leased, also not by its id, and says why
/// ([`crate::task::Task::held`]). Needs [`super::Capability::OrderingKeys`] where ordering keys are concerned.
#[async_trait]
pub trait QueueFlow: Send + Sync {
    /// Sets the policy of a queue, from the next lease on. Live tasks of the queue get their lanes anew, in the same transaction; leases
    /// already granted stay and are counted in their new lanes. Setting what is set already costs nothing.
    async fn set_queue_policy(&self, queue: QueueName, policy: QueuePolicy) -> Result<(), StoreError>;

    /// Changes what operators say of a queue in place of its policy, from the next lease on, and returns what they say now. It is stored
    /// apart from the policy: setting that leaves it as it is, and what is cleared leaves what the policy declares. The reason is kept
    /// while something is said.
    async fn override_queue(
        &self,
        queue: QueueName,
        change: QueueChange,
        reason: String,
    ) -> Result<Option<OverriddenQueue>, StoreError>;

    /// Queues of which operators say something, by queue.
    async fn overridden_queues(&self) -> Result<Vec<OverriddenQueue>, StoreError>;

    /// One queue, read at once, with so many heads at most.
    async fn look_at_queue(&self, queue: QueueName, heads_at_most: usize) -> Result<QueueLook, StoreError>;

    /// Holds the tasks of a scope of a queue, present and future, or lets them go. Attempts under way go on. Pausing what is paused
    /// replaces the reason. Returns whether it was paused before.
    async fn pause_scope(
        &self,
        queue: QueueName,
        scope: Scope,
        paused: bool,
        reason: String,
    ) -> Result<bool, StoreError>;

    /// Says that an operator paused whatever takes tasks from a queue, or lets it go on. It holds no task: who takes them does that by
    /// itself. It is for a queue that sheds load ([`crate::flow::Load::pause`]): that tasks are late which nobody may take says nothing. Not
    /// stored: who starts paused says so.
    async fn pause_delay(&self, queue: QueueName, paused: bool) -> Result<(), StoreError>;

    /// Scopes that are paused, by queue and scope.
    async fn paused_scopes(&self) -> Result<Vec<PausedScope>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_a_value_of_the_task_or_the_shared_one() {
        let (tenant, scope) = (Tenant::new("acme").unwrap(), Scope::new("store=1").unwrap());
        let payload = br#"{"customer": {"id": 7, "name": "x", "tags": []}, "long": "LONG"}"#;
        let lane = |by: LaneBy| by.lane(Some(&tenant), Some(&scope), payload).to_string();
        let pointer = |text: &str| LaneBy::Payload(text.into());
        assert_eq!(lane(LaneBy::Tenant), "acme");
        assert_eq!(lane(LaneBy::Scope), "store=1");
        assert_eq!(lane(pointer("/customer/id")), "7");
        assert_eq!(lane(pointer("/customer/name")), "x");
        for nothing in ["/customer/tags", "/customer/age", "/customer", "", "customer"] {
            assert_eq!(lane(pointer(nothing)), LaneBy::SHARED, "{nothing:?}");
        }
        assert_eq!(LaneBy::Tenant.lane(None, None, b"").as_str(), LaneBy::SHARED);
        assert_eq!(pointer("/a").lane(None, None, b"no json").as_str(), LaneBy::SHARED);
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(300));
        assert_eq!(pointer("/a").lane(None, None, long.as_bytes()).as_str(), LaneBy::SHARED);
    }

    #[test]
    fn a_policy_reads_back_and_says_only_what_differs() {
        assert_eq!(serde_json::from_str::<QueuePolicy>("{}").unwrap(), QueuePolicy::default());
        assert_eq!(QueuePolicy::default().to_string(), "in order");
        let policy = QueuePolicy {
            lanes: Some(LaneBy::Payload("/customer".into())),
            dead_head_blocks: true,
            ..QueuePolicy::default()
        };
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<QueuePolicy>(&json).unwrap(), policy);
        assert!(serde_json::from_str::<QueuePolicy>(r#"{"lane": "tenant"}"#).is_err(), "misspelt");
    }
}
