//! Implicit input: a worker that settles "whatever there is" is refused before anything runs.

use runtime::config::RuntimeConfig;
use runtime::prelude::*;
use runtime::{App, SetupError};
use storefront::config::StorefrontConfig;
use storefront::module::{APP, Storefront};

/// Whatever there is to settle.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Everything {}

/// What there is to settle of one store.
#[derive(Serialize, Deserialize, JsonSchema)]
struct OfStore {
    store: u64,
}

impl TaskInput for Everything {
    const KEY: &'static str = "nothing";
    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new("everything")
    }
}

impl TaskInput for OfStore {
    const KEY: &'static str = "store";
    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(self.store.to_string())
    }
}

/// One more worker of the shop, with this input.
struct OneMore<I>(std::marker::PhantomData<fn() -> I>);

impl<I: TaskInput> Module<StorefrontConfig> for OneMore<I> {
    fn register(&self, _config: &StorefrontConfig, setup: &mut Setup) -> Result<(), SetupError> {
        setup.worker(
            Worker::named("settle-all")
                .responsibility("settles")
                .serves("stores")
                .writes(Home::Projection("settlement"))
                .handler(async |_ctx: Context, _ask: I| -> HandlerResult<u64> { Ok(0) })
                .retry(RetryPolicy::default())
                .no_effects()
                .entry_point(EntryPoint::per_task()),
        );
        Ok(())
    }
}

fn assembled(app: &App<StorefrontConfig>) -> Result<usize, SetupError> {
    let config = RuntimeConfig::<StorefrontConfig>::default();
    app.assemble(&config).map(|assembled| assembled.plan.workers.len())
}

fn shop() -> App<StorefrontConfig> {
    App::configured(APP).module(Storefront)
}

#[test]
fn a_worker_whose_input_says_nothing_is_refused_at_registration() {
    assert_eq!(assembled(&shop()).expect("the shop's own workers have their duties"), 7);
    let refused = assembled(&shop().module(OneMore::<Everything>(std::marker::PhantomData)));
    let Err(SetupError::MissingDuty { missing }) = refused else { panic!("{refused:?}") };
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(format!("{missing:?}").contains("settle-all"), "{missing:?}");
    // Control: it is the input that is refused, and nothing else of it.
    let taken = assembled(&shop().module(OneMore::<OfStore>(std::marker::PhantomData)));
    assert_eq!(taken.expect("an input that says which store"), 8);
}
