//! What every worker must say of itself before the app starts.

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use runtime::config::RuntimeConfig;
use runtime::core::worker::Duty;
use runtime::prelude::*;
use runtime::{MissingDuty, worker_docs};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Settle {
    store: u32,
    period: String,
}

impl TaskInput for Settle {
    const KEY: &'static str = "store and period";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(format!("{}/{}", self.store, self.period))
    }
}

/// Whatever there is to do.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Everything {}

impl TaskInput for Everything {
    const KEY: &'static str = "";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new("everything")
    }
}

async fn settle(_ctx: Context, _input: Settle) -> HandlerResult<u32> {
    Ok(1)
}

async fn settle_everything(_ctx: Context, _input: Everything) -> HandlerResult<u32> {
    Ok(1)
}

struct Again;

#[async_trait::async_trait]
impl Rebuild for Again {
    async fn plan(&self, _ask: RebuildAsk) -> Result<RebuildPlan, TaskError> {
        Ok(RebuildPlan::default())
    }
}

fn whole() -> Worker {
    Worker::named("settle")
        .responsibility("settles what each store sold")
        .serves("store owners")
        .writes(Home::Truth("settlement"))
        .handler(settle)
        .retry(RetryPolicy::default())
        .effect("settlement", EffectClass::Transactional)
        .entry_point(EntryPoint::per_scope("store"))
        .rebuild(Again)
        .deadline(Duration::from_hours(24))
        .depends_on("bank")
}

struct Of(Vec<fn() -> Worker>);

impl Module for Of {
    fn register(&self, _config: &NoAppConfig, setup: &mut Setup) -> Result<(), SetupError> {
        self.0.iter().for_each(|make| setup.worker(make()));
        Ok(())
    }
}

fn missing(make: fn() -> Worker) -> Vec<MissingDuty> {
    missing_in(vec![make])
}

fn missing_in(workers: Vec<fn() -> Worker>) -> Vec<MissingDuty> {
    match App::named("shop").module(Of(workers)).assemble(&RuntimeConfig::default()) {
        Ok(_) => Vec::new(),
        Err(SetupError::MissingDuty { missing }) => missing,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_worker_with_all_five_duties_is_taken() {
    assert_eq!(missing(whole), []);
    let assembled = App::named("shop").module(Of(vec![whole])).assemble(&RuntimeConfig::default()).unwrap();
    let plan = &assembled.plan.workers[0];
    let known = &plan.descriptor;
    assert_eq!((known.serves.as_str(), known.key.as_str()), ("store owners", "store and period"));
    assert_eq!(known.entry_point.scope_key(), Some("store"));
    assert!(known.rebuilds && plan.rebuild.is_some());
    insta::assert_snapshot!("worker_docs", worker_docs("shop", [known]));
}

#[test]
fn everything_that_is_missing_is_named_at_once_for_every_worker() {
    let refused = App::named("shop")
        .module(Of(vec![|| Worker::named("bare"), whole, || {
            Worker::named("implicit").handler(settle_everything).effect("x", EffectClass::Keyed).no_effects()
        }]))
        .assemble(&RuntimeConfig::default());
    let Err(error) = refused else { panic!("must be refused") };
    insta::assert_snapshot!("missing_duties", error.to_string());
    let SetupError::MissingDuty { missing } = error else { panic!("{error}") };
    for duty in Duty::ALL {
        if duty != Duty::IdempotenceBoundary {
            assert!(missing.iter().any(|missing| missing.worker == "bare" && missing.duty == duty), "{duty}");
        }
        assert!(missing.iter().any(|missing| missing.worker == "implicit" && missing.duty == duty), "{duty}");
    }
    assert!(missing.iter().all(|missing| missing.worker != "settle"));
}

#[test]
fn each_duty_is_missed_alone() {
    let without: [(Duty, fn() -> Worker); 7] = [
        (Duty::NamedResponsibility, || whole().responsibility(" ")),
        (Duty::NamedResponsibility, || whole().serves("")),
        (Duty::DurableInput, || {
            #[derive(Serialize, Deserialize, JsonSchema)]
            struct Nothing;
            impl TaskInput for Nothing {
                const KEY: &'static str = "none";
                fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
                    IdempotencyKey::new("none")
                }
            }
            whole().handler(async |_ctx: Context, _input: Nothing| Ok(1))
        }),
        (Duty::IdempotenceBoundary, || whole().no_effects()),
        (Duty::EntryPoint, || whole().entry_point(EntryPoint::per_scope("store=1"))),
        (Duty::EntryPoint, || whole().entry_point(EntryPoint::per_task())),
        (Duty::EntryPoint, || whole().entry_point(EntryPoint::per_scope(""))),
    ];
    for (duty, make) in without {
        let missing = missing(make);
        assert_eq!(missing.iter().map(|missing| missing.duty).collect::<Vec<_>>(), [duty], "{missing:?}");
    }
}

#[test]
fn an_app_with_a_missing_duty_does_not_start_and_has_no_documentation() {
    let app = App::named("shop").module(Of(vec![|| Worker::named("bare")]));
    for command in ["run", "worker"] {
        let arguments = ["shop", command].into_iter().chain((command == "worker").then_some("docs"));
        assert_eq!(format!("{:?}", app.run_with(arguments)), format!("{:?}", ExitCode::from(3)), "{command}");
    }
}

/// Ten attempts, three days apart: 27 days and ten minutes.
fn patient() -> Worker {
    whole().deadline(Duration::from_hours(24 * 365)).retry(RetryPolicy {
        max_attempts: const { NonZeroU32::new(10).expect("not zero") },
        delay: RetryDelay::Fixed { delay: Duration::from_hours(72) },
        ..RetryPolicy::default()
    })
}

#[test]
fn a_store_that_forgets_keys_before_a_worker_gives_up_is_refused() {
    let assemble = |worker: fn() -> Worker, days| {
        let mut config = RuntimeConfig::<NoAppConfig>::default();
        config.store.key_retention_days = days;
        App::named("shop").module(Of(vec![worker])).assemble(&config).map(drop)
    };
    assert!(assemble(patient, 30).is_ok(), "the default is long enough");
    assert!(assemble(patient, 28).is_ok(), "what the error says is enough");
    let error = assemble(patient, 27).expect_err("27 days are ten minutes too short");
    insta::assert_snapshot!("forgets_too_early", error.to_string());
    let with_deadline: fn() -> Worker = || patient().deadline(Duration::from_hours(48));
    assert!(assemble(with_deadline, 3).is_ok(), "its tasks are dead by then");
    assert!(matches!(assemble(with_deadline, 2), Err(SetupError::ForgetsTooEarly { .. })));
}

#[test]
fn a_worker_whose_rate_never_gives_what_its_input_may_weigh_is_refused() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Rows {
        rows: u32,
    }
    impl TaskInput for Rows {
        const KEY: &'static str = "number of rows";
        const HEAVIEST: Option<NonZeroU32> = NonZeroU32::new(100);
        fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
            IdempotencyKey::new(self.rows.to_string())
        }
        fn weight(&self) -> NonZeroU32 {
            NonZeroU32::new(self.rows).unwrap_or(NonZeroU32::MIN)
        }
    }
    fn sends(burst: u32) -> Worker {
        let of = |number| NonZeroU32::new(number).unwrap();
        let rate = RateLimit::new(of(10), Duration::from_secs(1), of(burst)).unwrap();
        let limits = FlowLimits { rate_per_key: Some(rate), ..FlowLimits::default() };
        let flow = QueuePolicy { lanes: Some(LaneBy::Tenant), limits, ..QueuePolicy::default() };
        whole().handler(async |_ctx: Context, _input: Rows| Ok(1)).flow(flow)
    }
    let assemble = |worker: fn() -> Worker| {
        App::named("shop").module(Of(vec![worker])).assemble(&RuntimeConfig::default()).map(drop)
    };
    assert!(assemble(|| sends(100)).is_ok());
    let refused = assemble(|| sends(99)).expect_err("100 never fit 99");
    assert!(matches!(&refused, SetupError::TooHeavy { worker, .. } if worker == "settle"), "{refused}");
}
