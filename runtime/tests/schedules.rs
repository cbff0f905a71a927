//! Declared schedules are checked when an app is assembled.

use std::error::Error;
use std::time::Duration;

use runtime::config::RuntimeConfig;
use runtime::core::schedule::Timing;
use runtime::prelude::*;

struct Declares(fn() -> Vec<Schedule>);

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Period {
    store: u32,
    day: String,
}

impl TaskInput for Period {
    const KEY: &'static str = "store and day";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(format!("{}/{}", self.store, self.day))
    }

    fn scope(&self) -> Result<Option<Scope>, InvalidName> {
        Scope::new(format!("store={}", self.store)).map(Some)
    }
}

fn yesterday(store: u32) -> serde_json::Value {
    serde_json::json!({ "store": store, "day": FromTick::date().minus("P1D") })
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
                .enqueues("settle", &yesterday(42))
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
    assert_eq!((&spec.input, spec.jitter_secs), (&yesterday(42), 60));
    assert_eq!((spec.overlap, spec.catch_up), (OverlapPolicy::BufferOne, CatchUpPolicy::Last));
    assert_eq!(spec.scope.as_ref().map(|scope| scope.as_str()), Some("store=42"));
}

#[test]
fn all_problems_of_all_schedules_are_told_at_once() {
    let text = refused(|| {
        vec![
            Schedule::named("times").cron("0 26 * * *", "UTC").enqueues("settle", &yesterday(1)),
            Schedule::named("zone").cron("@daily", "Moon/Base").enqueues("settle", &yesterday(1)),
            Schedule::named("worker").cron("@daily", "UTC").enqueues("sleep", &yesterday(1)),
            Schedule::named("nothing"),
            Schedule::named("schema")
                .cron("@daily", "UTC")
                .enqueues("settle", &serde_json::json!({ "store": "42", "day": 7, "more": 1 })),
            Schedule::named("placeholder").cron("@daily", "UTC").enqueues(
                "settle",
                &serde_json::json!({ "store": 1, "day": { "$tick": "day", "minus": "P1D" } }),
            ),
            Schedule::named("contradicts")
                .cron("@daily", "UTC")
                .enqueues("settle", &yesterday(1))
                .scope("store=2"),
            Schedule::named("once")
                .cron("@daily", "UTC")
                .enqueues("settle", &Period { store: 1, day: "2026-11-21".into() }),
            Schedule::named("sound").cron("@daily", "UTC").enqueues("settle", &yesterday(1)).scope("store=1"),
        ]
    });
    insta::assert_snapshot!(text);
}

#[test]
fn a_schedule_with_one_tick_may_have_a_plain_input() {
    let app = App::named("shop").module(Declares(|| {
        let start = "2030-01-01T00:00:00Z".parse().expect("a moment");
        let end = "2030-01-01T12:00:00Z".parse().expect("a moment");
        let input = Period { store: 1, day: "2029-12-31".into() };
        vec![
            Schedule::named("once")
                .cron("@daily", "UTC")
                .enqueues("settle", &input)
                .starting(start)
                .ending(end),
        ]
    }));
    assert!(app.assemble(&RuntimeConfig::default()).is_ok());
}

#[test]
fn two_schedules_of_one_name_are_refused() {
    let twice = || {
        let one = || Schedule::named("nightly").cron("@daily", "UTC").enqueues("settle", &yesterday(1));
        vec![one(), one()]
    };
    assert_eq!(refused(twice), "schedule nightly is registered twice");
}
