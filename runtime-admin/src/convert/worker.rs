//! Workers.

use runtime_core::control::DependencyView;
use runtime_core::flow::BreakerState;
use runtime_core::retry::{RetryDelay, RetryPolicy};
use runtime_core::store::EffectClass;
use runtime_core::worker::{Home, WorkerDescriptor};
use runtime_proto::v1;

use super::{app_name, duration, queue_name, timestamp, worker_name};

/// A worker, for the wire, with the breakers of what it depends on.
pub(crate) fn worker(worker: &WorkerDescriptor, dependencies: &[DependencyView]) -> v1::Worker {
    let needed = dependencies.iter().filter(|known| known.workers.contains(&worker.name));
    let needed = needed.filter(|known| known.app == worker.route.app);
    v1::Worker {
        name: worker_name(&worker.name),
        responsibility: worker.responsibility.clone(),
        app: app_name(&worker.route.app),
        queue: queue_name(&worker.route.queue),
        handler: worker.route.handler.to_string(),
        slots: u32::try_from(worker.slots.get()).unwrap_or(u32::MAX),
        timeout: Some(duration(worker.timeout)),
        retry: Some(retry(&worker.retry)),
        effects: worker
            .effects
            .iter()
            .map(|(step, class)| v1::Effect { step: step.to_string(), class: effect_class(*class).into() })
            .collect(),
        input_schema: worker.input_schema.to_string(),
        output_schema: worker.output_schema.to_string(),
        serves: worker.serves.clone(),
        writes: worker.writes.iter().map(home).collect(),
        idempotency_key: worker.key.clone(),
        schema_version: worker.schema_version,
        retry_horizon: Some(duration(worker.retry_horizon())),
        deadline: worker.deadline.map(duration),
        dependencies: worker.dependencies.iter().map(ToString::to_string).collect(),
        flow: worker.flow.to_string(),
        breakers: needed.map(dependency).collect(),
        entry_point: Some(v1::EntryPoint {
            scope_key: worker.entry_point.scope_key().unwrap_or_default().to_owned(),
            rebuilds: worker.rebuilds,
        }),
    }
}

/// A dependency with its breaker, for the wire.
pub(crate) fn dependency(view: &DependencyView) -> v1::Dependency {
    let state = match view.breaker.state {
        BreakerState::Closed => v1::BreakerState::Closed,
        BreakerState::Open => v1::BreakerState::Open,
        BreakerState::HalfOpen => v1::BreakerState::HalfOpen,
    };
    v1::Dependency {
        name: view.name.to_string(),
        app: app_name(&view.app),
        workers: view.workers.iter().map(worker_name).collect(),
        state: state.into(),
        since: Some(timestamp(view.breaker.since)),
        failures: view.breaker.failures,
        next_probe_at: view.breaker.until.map(timestamp),
        probing: u32::try_from(view.breaker.probing).unwrap_or(u32::MAX),
    }
}

fn home(home: &Home) -> v1::Home {
    let (kind, name) = match *home {
        Home::Truth(name) => (v1::HomeKind::Truth, name),
        Home::Projection(name) => (v1::HomeKind::Projection, name),
        Home::Outside(name) => (v1::HomeKind::Outside, name),
        Home::Output => (v1::HomeKind::Output, ""),
    };
    v1::Home { kind: kind.into(), name: name.to_owned() }
}

fn retry(policy: &RetryPolicy) -> v1::RetryPolicy {
    let delay = match &policy.delay {
        RetryDelay::Fixed { delay } => v1::retry_policy::Delay::Fixed(duration(*delay)),
        RetryDelay::Exponential { first, factor, cap } => {
            v1::retry_policy::Delay::Exponential(v1::ExponentialDelay {
                first: Some(duration(*first)),
                factor: *factor,
                cap: Some(duration(*cap)),
            })
        }
    };
    v1::RetryPolicy {
        max_attempts: policy.max_attempts.get(),
        asked_after_cap: Some(duration(policy.asked_after_cap)),
        delay: Some(delay),
    }
}

fn effect_class(class: EffectClass) -> v1::EffectClass {
    match class {
        EffectClass::Transactional => v1::EffectClass::Transactional,
        EffectClass::Keyed => v1::EffectClass::Keyed,
        EffectClass::Unkeyed => v1::EffectClass::Unkeyed,
    }
}
