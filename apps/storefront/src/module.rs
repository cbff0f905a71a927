//! What the app consists of: six workers, an HTTP endpoint, a schema.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use runtime::prelude::*;

use crate::config::StorefrontConfig;
use crate::http::{HttpConfig, endpoint};
use crate::obligations::{Obligations, names};
use crate::payments::{PAYMENTS, Provider};
use crate::schema::MIGRATIONS;
use crate::workers::rollup::{RollUpAgain, roll_up};
use crate::workers::settle::{Cashier, SettleAgain};

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
        settle(config, setup, &obligations);
        rollup(setup, &obligations);
        let http = HttpConfig::from(config);
        setup.endpoint(HTTP, move |rows| endpoint(http.clone(), obligations.clone(), rows))
    }
}

fn settle(config: &StorefrontConfig, setup: &mut Setup, obligations: &Arc<Obligations>) {
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
            .slots(slots(4))
            .timeout(Duration::from_mins(5)),
    );
}

fn rollup(setup: &mut Setup, obligations: &Arc<Obligations>) {
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
            .slots(slots(4)),
    );
}

fn slots(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}
