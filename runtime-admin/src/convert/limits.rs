//! Limits of a queue's lanes: who says which, and what operators change.

use std::num::NonZeroU32;
use std::time::Duration;

use runtime_core::control::QueueDetail;
use runtime_core::flow::{LaneLimits, RateLimit};
use runtime_core::name::FlowKey;
use runtime_core::store::{Change, Limit, LimitOverride, QueueChange, QueueOverride};
use runtime_proto::v1;
use tonic::Status;

use super::{duration, optional};
use crate::status::invalid;

/// The limits in force, of every lane first, each with who says it. None where no limit can hold.
pub(crate) fn limits(detail: &QueueDetail) -> Vec<v1::LaneLimits> {
    let (declared, says) = (&detail.policy, says(detail));
    if declared.lanes.is_none() {
        return Vec::new();
    }
    let in_force = declared.overridden(&says);
    let row = |lane: Option<&FlowKey>, limits: LaneLimits| {
        let origin = |is_said: fn(&LimitOverride) -> bool| {
            let of_lane = lane.and_then(|lane| says.lanes.get(lane));
            let declared_of_lane = lane.and_then(|lane| declared.overrides.get(lane));
            let nearest = [of_lane.map(|said| (said, v1::LimitOrigin::Operator))]
                .into_iter()
                .chain([declared_of_lane.map(|said| (said, v1::LimitOrigin::Declared))])
                .chain([Some((&says.every_lane, v1::LimitOrigin::Operator))])
                .flatten()
                .find(|(said, _)| is_said(said));
            nearest.map_or(v1::LimitOrigin::Declared, |(_, origin)| origin).into()
        };
        v1::LaneLimits {
            lane: lane.map(ToString::to_string).unwrap_or_default(),
            concurrency: limits.concurrency.map(NonZeroU32::get),
            concurrency_origin: origin(|said| said.concurrency.is_some()),
            rate: limits.rate.map(rate),
            rate_origin: origin(|said| said.rate.is_some()),
        }
    };
    let of_each = row(None, in_force.limits.of_each());
    let own = in_force.overrides.keys().map(|lane| row(Some(lane), in_force.limits_of(lane)));
    [of_each].into_iter().chain(own).collect()
}

/// Whether lanes share fairly, and who says so.
pub(crate) fn fairness(detail: &QueueDetail) -> (bool, v1::LimitOrigin) {
    match says(detail).fair {
        Some(fair) => (fair, v1::LimitOrigin::Operator),
        None => (detail.policy.limits.fair, v1::LimitOrigin::Declared),
    }
}

/// What operators say of a queue.
pub(crate) fn says(detail: &QueueDetail) -> QueueOverride {
    detail.overridden.as_ref().map(|known| known.says.clone()).unwrap_or_default()
}

fn rate(rate: RateLimit) -> v1::Rate {
    v1::Rate { tokens: rate.tokens().get(), per: Some(duration(rate.per())), burst: rate.burst().get() }
}

/// What an operator changes.
pub(crate) fn change_from_wire(request: &v1::UpdateQueueRequest) -> Result<QueueChange, Status> {
    use v1::{concurrency_change, rate_change};
    let concurrency = match request.concurrency.and_then(|concurrency| concurrency.change) {
        None => Change::Keep,
        Some(concurrency_change::Change::Most(most)) => match NonZeroU32::new(most) {
            Some(most) => Change::Say(Limit::To(most)),
            None => return Err(invalid("concurrency", "at least one at once; pause a queue to stop it")),
        },
        Some(concurrency_change::Change::Unlimited(yes)) => {
            meant("concurrency", yes, Change::Say(Limit::Unlimited))?
        }
        Some(concurrency_change::Change::Clear(yes)) => meant("concurrency", yes, Change::Clear)?,
    };
    let rate = match request.rate.and_then(|rate| rate.change) {
        None => Change::Keep,
        Some(rate_change::Change::Rate(rate)) => Change::Say(Limit::To(rate_from_wire(&rate)?)),
        Some(rate_change::Change::Unlimited(yes)) => meant("rate", yes, Change::Say(Limit::Unlimited))?,
        Some(rate_change::Change::Clear(yes)) => meant("rate", yes, Change::Clear)?,
    };
    let fair = match request.fairness() {
        v1::FairnessChange::Unspecified => Change::Keep,
        v1::FairnessChange::Fair => Change::Say(true),
        v1::FairnessChange::InOrder => Change::Say(false),
        v1::FairnessChange::Clear => Change::Clear,
    };
    let lane = optional("lane", &request.lane)?;
    if lane.is_some() && fair != Change::Keep {
        return Err(invalid("fairness", "it is of the queue as a whole: leave the lane out"));
    }
    let change = QueueChange { lane, clear_all: request.clear_all, concurrency, rate, fair };
    if change.changes_nothing() {
        return Err(invalid("name", "name something to change: concurrency, rate, fairness or clear_all"));
    }
    Ok(change)
}

/// A flag of a choice that stands for something only when it is set.
fn meant<T>(field: &str, yes: bool, change: Change<T>) -> Result<Change<T>, Status> {
    if yes { Ok(change) } else { Err(invalid(field, "unlimited and clear can only be true")) }
}

fn rate_from_wire(rate: &v1::Rate) -> Result<RateLimit, Status> {
    let tokens = NonZeroU32::new(rate.tokens).ok_or_else(|| invalid("rate.tokens", "at least one"))?;
    let per = rate.per.and_then(|per| Duration::try_from(per).ok()).unwrap_or_default();
    let burst = NonZeroU32::new(rate.burst).unwrap_or(tokens);
    RateLimit::new(tokens, per, burst).map_err(|error| invalid("rate", error.to_string()))
}
