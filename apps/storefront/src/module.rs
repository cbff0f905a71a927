//! What the app consists of: the workers of six obligations, a nightly sweep, an HTTP endpoint, a schema.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use runtime::prelude::*;

use crate::config::StorefrontConfig;
use crate::http::{HttpConfig, endpoint};
use crate::obligations::{Obligations, names};
use crate::payments::{PAYMENTS, Provider};
use crate::post::Spool;
use crate::schema::MIGRATIONS;
use crate::workers::expire::expire;
use crate::workers::grace::{LookAgain, look};
use crate::workers::notify::Herald;
use crate::workers::recommend::{RecommendAgain, recommend};
use crate::workers::rollup::{RollUpAgain, roll_up};
use crate::workers::settle::{Cashier, SettleAgain};
use crate::workers::sweep::{nightly, sweep};

/// The app's name, and that of its place in the tree.
pub const APP: &str = "storefront";

/// The endpoint of the request path.
pub const HTTP: &str = "http";

/// The shop.
pub struct Storefront;

impl Module<StorefrontConfig> for Storefront {
    fn register(&self, config: &StorefrontConfig, setup: &mut Setup) -> Result<(), SetupError> {
        setup.migrations(MIGRATIONS);
        let obligations = Arc::new(Obligations::new(config, setup)?);
        recommending(setup, &obligations);
        expiring(setup, &obligations);
        settling(config, setup, &obligations);
        members(setup, &obligations);
        adding_up(setup, &obligations);
        notifying(config, setup, &obligations)?;
        sweeping(config, setup, &obligations);
        let http = HttpConfig::from(config);
        setup.endpoint(HTTP, move |rows| endpoint(http.clone(), obligations.clone(), rows))
    }
}

fn settling(config: &StorefrontConfig, setup: &mut Setup, obligations: &Arc<Obligations>) {
    let cashier = Arc::new(Cashier {
        obligations: obligations.clone(),
        provider: Provider {
            address: config.settlements.provider,
            timeout: Duration::from_millis(config.settlements.provider_timeout_ms.get()),
        },
    });
    setup.worker(
        Worker::named(names::SETTLE)
            .responsibility("pays each store what it earned in a period, once")
            .serves("stores that wait for their money")
            .writes(Home::Projection("settlement, payout_lines"))
            .writes(Home::Truth("closed_periods"))
            .writes(Home::Outside("the payment provider"))
            .handler(move |ctx, ask| cashier.clone().settle(ctx, ask))
            .retry(RetryPolicy::default())
            .effect("pay", EffectClass::Keyed)
            .effect("settlement", EffectClass::Transactional)
            .entry_point(EntryPoint::per_scope("store"))
            .rebuild(SettleAgain { obligations: obligations.clone() })
            .depends_on(PAYMENTS)
            .flow(fair_by_scope())
            .slots(slots(4))
            .timeout(Duration::from_mins(5)),
    );
}

fn adding_up(setup: &mut Setup, obligations: &Arc<Obligations>) {
    setup.worker(
        Worker::named(names::ROLLUP)
            .responsibility("adds up what each store sold and gave back, by hour, day and month")
            .serves("whoever looks at how the stores are doing")
            .writes(Home::Projection("rollup"))
            .handler(roll_up)
            .retry(RetryPolicy::default())
            .effect("rollup", EffectClass::Transactional)
            .entry_point(EntryPoint::per_scope("store"))
            .rebuild(RollUpAgain { obligations: obligations.clone() })
            .flow(fair_by_scope())
            .slots(slots(4)),
    );
}

fn recommending(setup: &mut Setup, obligations: &Arc<Obligations>) {
    setup.worker(
        Worker::named(names::RECOMMEND)
            .responsibility("keeps each product's list of what those who liked it liked too")
            .serves("customers who look at a product")
            .writes(Home::Projection("recommendation, recommendation_model"))
            .handler(recommend)
            .retry(RetryPolicy::default())
            .effect("lists", EffectClass::Transactional)
            .entry_point(EntryPoint::per_scope("category"))
            .rebuild(RecommendAgain { obligations: obligations.clone() })
            // A list that is a little old is still a list: who rates may come again when the shop has caught up.
            .shed(ShedPolicy {
                delay: Some(Duration::from_mins(2)),
                depth: NonZeroU64::new(10_000),
                ..ShedPolicy::default()
            })
            .slots(slots(2))
            .timeout(Duration::from_mins(5)),
    );
}

fn expiring(setup: &mut Setup, obligations: &Arc<Obligations>) {
    let obligations = obligations.clone();
    setup.worker(
        Worker::named(names::EXPIRE)
            .responsibility("gives stock back that was held for a buyer who did not come")
            .serves("customers who would buy it")
            .writes(Home::Truth("reservations, stock"))
            .handler(move |ctx, ask| expire(obligations.clone(), ctx, ask))
            .retry(RetryPolicy::default())
            .effect("release", EffectClass::Transactional)
            .entry_point(EntryPoint::per_scope("product"))
            .slots(slots(4)),
    );
}

fn members(setup: &mut Setup, obligations: &Arc<Obligations>) {
    let looking = obligations.clone();
    setup.worker(
        Worker::named(names::GRACE)
            .responsibility("moves each membership on when it is unpaid: past due, suspended, cancelled")
            .serves("members, and whoever lets them in")
            .writes(Home::Projection("membership, membership_change"))
            .handler(move |ctx, cause| look(looking.clone(), ctx, cause))
            .retry(RetryPolicy::default())
            .effect("standing", EffectClass::Transactional)
            .entry_point(EntryPoint::per_scope("member"))
            .rebuild(LookAgain { obligations: obligations.clone() })
            .slots(slots(4)),
    );
}

fn notifying(
    config: &StorefrontConfig,
    setup: &mut Setup,
    obligations: &Arc<Obligations>,
) -> Result<(), SetupError> {
    let spool = Spool::open(&config.notifications)?;
    let herald = Arc::new(Herald { obligations: obligations.clone(), spool });
    setup.worker(
        Worker::named(names::NOTIFY)
            .responsibility("tells customers what there is to tell, together and at a decent hour")
            .serves("customers")
            .writes(Home::Truth("promotions, drafts"))
            .writes(Home::Outside("the customer's mailbox"))
            .handler(move |ctx, ask| herald.clone().notify(ctx, ask))
            .retry(RetryPolicy::default())
            .effect("promote", EffectClass::Transactional)
            .effect("send", EffectClass::Unkeyed)
            .entry_point(EntryPoint::per_scope("customer"))
            .slots(slots(4)),
    );
    Ok(())
}

fn sweeping(config: &StorefrontConfig, setup: &mut Setup, obligations: &Arc<Obligations>) {
    let obligations = obligations.clone();
    setup.worker(
        Worker::named(names::SWEEP)
            .responsibility("asks for each day of each store to be added up once more when it has ended")
            .serves("whoever would miss a sum that nobody asked for")
            .writes(Home::Output)
            .handler(move |ctx, ask| sweep(obligations.clone(), ctx, ask))
            .retry(RetryPolicy::default())
            .no_effects()
            .entry_point(EntryPoint::per_task())
            .slots(slots(1)),
    );
    if config.nightly_sweep {
        setup.schedule(nightly(config.clock));
    }
}

/// One store's backlog does not make the others wait.
fn fair_by_scope() -> QueuePolicy {
    let limits = FlowLimits { fair: true, ..FlowLimits::default() };
    QueuePolicy { lanes: Some(LaneBy::Scope), limits, ..QueuePolicy::default() }
}

fn slots(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}
