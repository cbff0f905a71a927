//! Declared schedules are checked when an app is assembled.

use std::error::Error;
use std::time::Duration;

use runtime::config::RuntimeConfig;
use runtime::core::schedule::Timing;
use runtime::prelude::*;

struct Declares(fn() -> Vec<Schedule>);

#[derive(Serialize, Deserialize, JsonSchema)]
struct Period {
    store: u32,
}

impl TaskInput for Period {
    const KEY: &'static str = "store";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(self.store.to_string())
    }
}

async fn settle(_ctx: Context, _period: Period) -> HandlerResult<()> {
    Ok(())
}

impl Module for Declares {
    fn register(&self, _config: &NoAppConfig, setup: &mut Setup) -> Result<(), SetupError> {
        setup.worker(
            Worker::named("settle")
                .responsibility("settles what a store is owed")
                .serves("stores")
                .writes(Home::Output)
                .handler(settle)
                .retry(RetryPolicy::default())
                .no_effects()
                .entry_point(EntryPoint::per_task()),
        );
        (self.0)().into_iter().for_each(|schedule| setup.schedule(schedule));
        Ok(())
    }
}

fn refused(schedules: fn() -> Vec<Schedule>) -> String {
    let error = App::named("shop").module(Declares(schedules)).assemble(&RuntimeConfig::default());
    let error = error.err().expect("it must be refused");
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[test]
fn a_declared_schedule_becomes_part_of_the_app() {
    let app = App::named("shop").module(Declares(|| {
        vec![
            Schedule::named("nightly")
                .cron("0 0 2 * * *", "Europe/Berlin")
                .enqueues("settle", &Period { store: 42 })
                .overlap(OverlapPolicy::BufferOne)
                .catch_up(CatchUpPolicy::Last)
                .jitter(Duration::from_mins(1))
                .scope("store=42"),
        ]
    }));
    let plan = app.assemble(&RuntimeConfig::default()).expect("a sound app").plan;
    let spec = &plan.schedules[0];
    assert_eq!(spec.timing, Timing::cron("0 0 2 * * *", "Europe/Berlin").unwrap());
    assert_eq!(&spec.route, plan.workers[0].descriptor.route.as_ref());
    assert_eq!((&spec.input, spec.jitter_secs), (&serde_json::json!({ "store": 42 }), 60));
    assert_eq!((spec.overlap, spec.catch_up), (OverlapPolicy::BufferOne, CatchUpPolicy::Last));
    assert_eq!(spec.scope.as_ref().map(|scope| scope.as_str()), Some("store=42"));
}

#[test]
fn a_problem_of_a_schedule_names_it() {
    type Declared = fn() -> Vec<Schedule>;
    let cases: &[(Declared, &str)] = &[
        (
            || vec![Schedule::named("nightly").cron("0 26 * * *", "UTC").enqueues("settle", &1)],
            r#"schedule "nightly": hour "26": 26 is not from 0 to 23"#,
        ),
        (
            || vec![Schedule::named("nightly").cron("@daily", "Moon/Base").enqueues("settle", &1)],
            "schedule \"nightly\": unknown time zone \"Moon/Base\": a name such as \"Europe/Berlin\" or \"UTC\" is expected",
        ),
        (
            || vec![Schedule::named("nightly").cron("@daily", "UTC").enqueues("sleep", &1)],
            "schedule \"nightly\": there is no worker \"sleep\"",
        ),
        (|| vec![Schedule::named("nightly").enqueues("settle", &1)], "schedule \"nightly\": it has no times"),
        (
            || vec![Schedule::named("nightly").cron("@daily", "UTC")],
            "schedule \"nightly\": it makes no tasks",
        ),
        (
            || {
                let one = || Schedule::named("nightly").cron("@daily", "UTC").enqueues("settle", &1);
                vec![one(), one()]
            },
            "schedule nightly is registered twice",
        ),
    ];
    for (schedules, expected) in cases {
        assert_eq!(refused(*schedules), *expected);
    }
}
