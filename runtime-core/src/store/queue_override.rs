//! Limits said in place of others: by the code for single lanes, by operators at run time for a lane or for all.
//!
//! What is nearer wins, field by field: what is said of a lane before what is said of every lane, and of each what operators say before
//! what the code declares.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::QueuePolicy;
use crate::flow::{FlowError, LaneLimits, RateLimit};
use crate::name::{FlowKey, QueueName};

/// A limit, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit<T> {
    /// No limit: written `"unlimited"`.
    Unlimited,
    /// This one: written as itself.
    #[serde(untagged)]
    To(T),
}

impl<T> Limit<T> {
    fn into_option(self) -> Option<T> {
        match self {
            Self::Unlimited => None,
            Self::To(limit) => Some(limit),
        }
    }
}

/// What is said of the limits of one lane, or of every lane, in place of others. What is absent stays as it is.
///
/// ```toml
/// overrides = { acme = { concurrency = 10, rate = { tokens = 100, per_ms = 1000 } }, nightly = { rate = "unlimited" } }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOverride {
    /// Most of its tasks under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Limit<NonZeroU32>>,
    /// How many tokens its tasks may take in a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Limit<RateLimit>>,
}

impl LimitOverride {
    /// Whether everything stays as it is.
    pub fn says_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The limits where this is said in place of them.
    pub fn over(&self, limits: LaneLimits) -> LaneLimits {
        LaneLimits {
            concurrency: self.concurrency.map_or(limits.concurrency, Limit::into_option),
            rate: self.rate.map_or(limits.rate, Limit::into_option),
        }
    }

    /// What both say, this one first.
    fn before(self, other: Self) -> Self {
        Self { concurrency: self.concurrency.or(other.concurrency), rate: self.rate.or(other.rate) }
    }
}

/// What operators say of a queue at run time, in place of what its policy says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueOverride {
    /// Of every lane of which nothing else is said.
    pub every_lane: LimitOverride,
    /// Whether the lanes share the slots fairly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fair: Option<bool>,
    /// Of single lanes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lanes: BTreeMap<FlowKey, LimitOverride>,
}

impl QueueOverride {
    /// Most lanes of one queue of which operators may say something.
    pub const MAX_LANES: usize = 1_000;

    /// Whether everything is as the policy says.
    pub fn says_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What is said after a change.
    #[must_use]
    pub fn changed(&self, change: &QueueChange) -> Self {
        let mut said = self.clone();
        match &change.lane {
            None => {
                if change.clear_all {
                    said = Self::default();
                }
                change.apply_to(&mut said.every_lane);
            }
            Some(lane) => {
                let mut limits = said.lanes.remove(lane).filter(|_| !change.clear_all).unwrap_or_default();
                change.apply_to(&mut limits);
                if !limits.says_nothing() {
                    said.lanes.insert(lane.clone(), limits);
                }
            }
        }
        change.fair.apply_to(&mut said.fair);
        said
    }
}

/// What becomes of one thing that operators may say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it was said, or not said, before.
    #[default]
    Keep,
    /// It is no longer said: what the policy declares holds again.
    Clear,
    /// It is said from now on.
    Say(T),
}

impl<T: Copy> Change<T> {
    fn apply_to(&self, said: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *said = None,
            Self::Say(value) => *said = Some(*value),
        }
    }
}

/// What an operator changes of what is said of a queue: its limits for every lane or for one, and its fairness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueChange {
    /// Of this lane alone; absent, of every lane of which nothing else is said.
    pub lane: Option<FlowKey>,
    /// Forgets first what was said of the lane; without a lane, of the whole queue and all its lanes.
    pub clear_all: bool,
    /// Most tasks of a lane under way at once.
    pub concurrency: Change<Limit<NonZeroU32>>,
    /// How many tokens the tasks of a lane may take in a time.
    pub rate: Change<Limit<RateLimit>>,
    /// Whether the lanes share the slots fairly: of the queue, also when a lane is given.
    pub fair: Change<bool>,
}

impl QueueChange {
    /// Whether it says something anew, and does not only clear.
    pub fn says_something(&self) -> bool {
        matches!(self.concurrency, Change::Say(_))
            || matches!(self.rate, Change::Say(_))
            || matches!(self.fair, Change::Say(_))
    }

    /// Whether it changes nothing, whatever was said before.
    pub fn changes_nothing(&self) -> bool {
        *self == Self { lane: self.lane.clone(), ..Self::default() }
    }

    fn apply_to(&self, limits: &mut LimitOverride) {
        self.concurrency.apply_to(&mut limits.concurrency);
        self.rate.apply_to(&mut limits.rate);
    }
}

/// A queue of which operators said something, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverriddenQueue {
    /// The queue.
    pub queue: QueueName,
    /// What they say.
    pub says: QueueOverride,
    /// What was given as the reason of the latest change.
    pub reason: String,
    /// When it was changed last.
    pub since: Timestamp,
}

impl QueuePolicy {
    /// The limits of one lane.
    pub fn limits_of(&self, lane: &FlowKey) -> LaneLimits {
        let of_each = self.limits.of_each();
        self.overrides.get(lane).map_or(of_each, |said| said.over(of_each))
    }

    /// The policy where this is said in place of it.
    #[must_use]
    pub fn overridden(&self, by: &QueueOverride) -> Self {
        let mut policy = self.clone();
        let of_each = by.every_lane.over(self.limits.of_each());
        (policy.limits.concurrency_per_key, policy.limits.rate_per_key) = (of_each.concurrency, of_each.rate);
        policy.limits.fair = by.fair.unwrap_or(self.limits.fair);
        for (lane, said) in &by.lanes {
            let declared = self.overrides.get(lane).copied().unwrap_or_default();
            policy.overrides.insert(lane.clone(), said.before(declared));
        }
        policy
    }

    /// Whether a task of this weight can run in each lane, also in those of which something else is said. Ask when the worker is registered.
    ///
    /// # Errors
    /// [`FlowError::WeightAboveBurst`], with the smallest burst, when it cannot.
    pub fn accepts(&self, weight: NonZeroU32) -> Result<(), FlowError> {
        let said = self.overrides.values().filter_map(|said| said.rate.and_then(Limit::into_option));
        let rates = self.limits.rate_per_key.into_iter().chain(said);
        match rates.min_by_key(RateLimit::burst) {
            Some(rate) if self.lanes.is_some() => rate.accepts(weight),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flow::FlowLimits;
    use crate::store::LaneBy;

    fn most(number: u32) -> Limit<NonZeroU32> {
        Limit::To(NonZeroU32::new(number).unwrap())
    }

    fn a_second(tokens: u32) -> RateLimit {
        let tokens = NonZeroU32::new(tokens).unwrap();
        RateLimit::new(tokens, Duration::from_secs(1), tokens).unwrap()
    }

    fn lane(name: &str) -> FlowKey {
        FlowKey::new(name).unwrap()
    }

    fn declared() -> QueuePolicy {
        QueuePolicy {
            lanes: Some(LaneBy::Tenant),
            limits: FlowLimits {
                concurrency_per_key: NonZeroU32::new(2),
                rate_per_key: Some(a_second(4)),
                fair: true,
            },
            overrides: BTreeMap::from([(
                lane("acme"),
                LimitOverride { concurrency: Some(most(10)), rate: None },
            )]),
            ..QueuePolicy::default()
        }
    }

    /// Concurrency and tokens of a lane; 0 for no limit.
    fn limits(policy: &QueuePolicy, name: &str) -> (u32, u32) {
        let limits = policy.limits_of(&lane(name));
        (limits.concurrency.map_or(0, NonZeroU32::get), limits.rate.map_or(0, |rate| rate.tokens().get()))
    }

    #[test]
    fn what_is_nearer_wins_field_by_field() {
        let policy = declared();
        assert_eq!((limits(&policy, "acme"), limits(&policy, "else")), ((10, 4), (2, 4)));
        let for_all = QueueChange {
            concurrency: Change::Say(most(1)),
            rate: Change::Say(Limit::Unlimited),
            fair: Change::Say(false),
            ..QueueChange::default()
        };
        let said = QueueOverride::default().changed(&for_all);
        let now = policy.overridden(&said);
        assert_eq!(
            (limits(&now, "acme"), limits(&now, "else")),
            ((10, 0), (1, 0)),
            "a lane's own comes first"
        );
        assert!(!now.limits.fair);
        let for_acme = QueueChange {
            lane: Some(lane("acme")),
            rate: Change::Say(Limit::To(a_second(7))),
            ..QueueChange::default()
        };
        let said = said.changed(&for_acme);
        let now = policy.overridden(&said);
        assert_eq!((limits(&now, "acme"), limits(&now, "else")), ((10, 7), (1, 0)));
    }

    #[test]
    fn a_change_touches_what_it_names_and_clearing_leaves_the_policy() {
        let say = |lane: Option<FlowKey>, number| QueueChange {
            lane,
            concurrency: Change::Say(most(number)),
            ..QueueChange::default()
        };
        let said = QueueOverride::default().changed(&say(None, 5)).changed(&say(Some(lane("acme")), 6));
        assert_eq!(said.every_lane.concurrency, Some(most(5)));
        assert_eq!(said.lanes[&lane("acme")].concurrency, Some(most(6)));
        let clear = |lane| QueueChange { lane, concurrency: Change::Clear, ..QueueChange::default() };
        let less = said.changed(&clear(Some(lane("acme"))));
        assert!(less.lanes.is_empty(), "a lane of which nothing is said is not kept");
        assert!(less.changed(&clear(None)).says_nothing());
        let all = |lane| QueueChange { lane, clear_all: true, ..QueueChange::default() };
        assert_eq!(said.changed(&all(Some(lane("acme")))), less);
        assert!(said.changed(&all(None)).says_nothing());
        assert_eq!(declared().overridden(&said.changed(&all(None))), declared());
        assert!(!all(None).changes_nothing() && QueueChange::default().changes_nothing());
        assert!(say(None, 1).says_something() && !clear(None).says_something());
    }

    #[test]
    fn what_is_said_reads_back() {
        let said = QueueOverride {
            every_lane: LimitOverride { concurrency: Some(Limit::Unlimited), rate: None },
            fair: Some(false),
            lanes: BTreeMap::from([(
                lane("acme"),
                LimitOverride { concurrency: Some(most(3)), rate: Some(Limit::To(a_second(2))) },
            )]),
        };
        let json = serde_json::to_string(&said).unwrap();
        assert_eq!(serde_json::from_str::<QueueOverride>(&json).unwrap(), said, "{json}");
        let json = serde_json::to_string(&declared()).unwrap();
        assert_eq!(serde_json::from_str::<QueuePolicy>(&json).unwrap(), declared(), "{json}");
        for refused in
            [r#"{"every_lane":{"concurrency":0}}"#, r#"{"every_lane":{"rates":1}}"#, r#"{"lane":{}}"#]
        {
            assert!(serde_json::from_str::<QueueOverride>(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_weight_must_fit_the_smallest_burst_of_all_lanes() {
        let mut policy = declared();
        let weight = |weight| NonZeroU32::new(weight).unwrap();
        assert_eq!(policy.accepts(weight(4)), Ok(()));
        assert_eq!(policy.accepts(weight(5)), Err(FlowError::WeightAboveBurst { weight: 5, burst: 4 }));
        let slow = LimitOverride { concurrency: None, rate: Some(Limit::To(a_second(2))) };
        policy.overrides.insert(lane("slow"), slow);
        assert_eq!(policy.accepts(weight(4)), Err(FlowError::WeightAboveBurst { weight: 4, burst: 2 }));
        policy.lanes = None;
        assert_eq!(policy.accepts(weight(4)), Ok(()), "without lanes there are no limits");
    }
}
