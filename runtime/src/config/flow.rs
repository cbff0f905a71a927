//! What is different of flow control: when a worker's queue sheds load, and how the breakers around dependencies behave.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use runtime_core::flow::{BreakerPolicy, ShedPolicy};
use runtime_core::task::Priority;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a worker's queue refuses tasks that can wait; what is absent stays as its module says, or as the platform's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShedConfig {
    /// Whether it sheds load at all. Unset: if its module says so, or any other key here is set.
    #[schemars(example = true)]
    pub enabled: Option<bool>,
    /// It sheds from so many ready tasks on.
    #[schemars(example = 100_000)]
    pub depth: Option<NonZeroU64>,
    /// It sheds while the oldest ready task is later than this, in milliseconds.
    #[schemars(example = 30_000)]
    pub delay_ms: Option<NonZeroU64>,
    /// The delay must stand so long first, in milliseconds.
    #[schemars(example = 10_000)]
    pub interval_ms: Option<u64>,
    /// The worst priority that is still taken while it sheds; lower goes first.
    #[schemars(example = 0)]
    pub keeps: Option<i16>,
    /// The shortest wait that whoever is refused is asked for, in milliseconds.
    #[schemars(example = 5_000)]
    pub retry_after_ms: Option<NonZeroU64>,
    /// While it sheds, a task with less time than this to its deadline is ended instead of begun, in milliseconds.
    #[schemars(example = 2_000)]
    pub hopeless_ms: Option<NonZeroU64>,
}

impl ShedConfig {
    /// The policy that the module declared, with what is different.
    pub(crate) fn over(&self, declared: Option<ShedPolicy>) -> Option<ShedPolicy> {
        let says_nothing = *self == Self::default();
        if self.enabled == Some(false) || (says_nothing && declared.is_none()) {
            return None;
        }
        let declared = declared.unwrap_or_default();
        Some(ShedPolicy {
            depth: self.depth.or(declared.depth),
            delay: self.delay_ms.map(millis).or(declared.delay),
            interval: self.interval_ms.map_or(declared.interval, Duration::from_millis),
            keeps: self.keeps.map_or(declared.keeps, Priority),
            retry_after: self.retry_after_ms.map_or(declared.retry_after, millis),
            hopeless: self.hopeless_ms.map(millis).or(declared.hopeless),
        })
    }
}

/// How the breaker around one dependency behaves; what is absent stays as its module says, or as the platform's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DependencyConfig {
    /// Failures in a row that open it.
    #[schemars(example = 5)]
    pub failures: Option<NonZeroU32>,
    /// How long it stays open at first, in milliseconds.
    #[schemars(example = 1_000)]
    pub open_for_ms: Option<NonZeroU64>,
    /// What that is multiplied with each time it opens again without having been closed.
    #[schemars(example = 2)]
    pub factor: Option<NonZeroU32>,
    /// The longest time that it stays open, in milliseconds.
    #[schemars(example = 60_000)]
    pub cap_ms: Option<NonZeroU64>,
    /// How many attempts it lets through to see whether the dependency is back; as many must go well.
    #[schemars(example = 1)]
    pub probes: Option<NonZeroU32>,
    /// When such an attempt is given up if it has not ended, in milliseconds. Never before its worker's timeout.
    #[schemars(example = 30_000)]
    pub probe_within_ms: Option<NonZeroU64>,
}

impl DependencyConfig {
    /// The policy that a module declared, with what is different.
    pub(crate) fn over(&self, declared: BreakerPolicy) -> BreakerPolicy {
        BreakerPolicy {
            failures: self.failures.unwrap_or(declared.failures),
            open_for: self.open_for_ms.map_or(declared.open_for, millis),
            factor: self.factor.map_or(declared.factor, NonZeroU32::get),
            cap: self.cap_ms.map_or(declared.cap, millis),
            probes: self.probes.unwrap_or(declared.probes),
            probe_within: self.probe_within_ms.map_or(declared.probe_within, millis),
        }
    }
}

fn millis(count: NonZeroU64) -> Duration {
    Duration::from_millis(count.get())
}
