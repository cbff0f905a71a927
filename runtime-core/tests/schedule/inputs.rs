//! Inputs that follow from the tick.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use runtime_core::input::Misfits;
use runtime_core::schedule::{FromTick, ScheduleSpec, Timing, Zone, follows_the_tick, render_input};
use serde_json::{Value, json};

use crate::at;

fn rendered(template: &Value, tick: &str, zone: &str) -> Value {
    render_input(template, at(tick), &zone.parse().expect("a zone")).expect("a sound template")
}

#[test]
fn a_value_follows_from_the_tick() {
    let tick = "2026-11-21T23:30:05Z";
    let cases = [
        (json!({"$tick": "date"}), json!("2026-11-22")),
        (json!({"$tick": "date", "zone": "UTC"}), json!("2026-11-21")),
        (json!({"$tick": "date", "minus": "P1D"}), json!("2026-11-21")),
        (json!({"$tick": "date", "plus": "P1W"}), json!("2026-11-29")),
        (json!({"$tick": "week"}), json!("2026-W47")),
        (json!({"$tick": "week", "plus": "P1D"}), json!("2026-W48")),
        (json!({"$tick": "month", "minus": "P1M"}), json!("2026-10")),
        (json!({"$tick": "year"}), json!("2026")),
        (json!({"$tick": "hour"}), json!("2026-11-22T00")),
        (json!({"$tick": "hour", "minus": "PT1H"}), json!("2026-11-21T23")),
        (json!({"$tick": "local"}), json!("2026-11-22T00:30:05")),
        (json!({"$tick": "instant"}), json!("2026-11-21T23:30:05Z")),
        (json!({"$tick": "instant", "minus": "P1DT30M5S"}), json!("2026-11-20T23:00:00Z")),
        (json!({"$tick": "unix_seconds"}), json!(1_795_303_805)),
        (json!({"$tick": "unix_millis"}), json!(1_795_303_805_000_i64)),
    ];
    for (template, expected) in cases {
        assert_eq!(rendered(&template, tick, "Europe/Berlin"), expected, "{template}");
        assert!(follows_the_tick(&template));
    }
    let nested = json!({"store": 1, "days": [{"$tick": "date"}, "x"], "raw": {"$literal": {"$tick": "no"}}});
    let expected = json!({"store": 1, "days": ["2026-11-22", "x"], "raw": {"$tick": "no"}});
    assert_eq!(rendered(&nested, tick, "Europe/Berlin"), expected);
    assert!(!follows_the_tick(&json!({"store": 1, "raw": {"$literal": {"$tick": "no"}}})));
    assert_eq!(rendered(&json!(null), tick, "UTC"), json!(null));
}

#[test]
fn the_last_day_of_a_long_month_has_a_month_before() {
    let month = json!({"$tick": "month", "minus": "P1M"});
    assert_eq!(rendered(&month, "2026-03-31T12:00:00Z", "UTC"), json!("2026-02"));
    assert_eq!(
        rendered(&json!({"$tick": "date", "minus": "P1M"}), "2026-03-31T12:00:00Z", "UTC"),
        json!("2026-02-28")
    );
    assert_eq!(rendered(&month, "2026-01-01T00:00:00Z", "UTC"), json!("2025-12"));
}

#[test]
fn yesterday_is_the_day_before_whatever_the_clock_does() {
    let yesterday = json!({"$tick": "date", "minus": "P1D"});
    let same_time = json!({"$tick": "instant", "minus": "P1D"});
    let a_day = json!({"$tick": "instant", "minus": "PT24H"});
    // On 29 March 2026 a day has 23 hours in Berlin, on 25 October 25.
    for (tick, day, wall, hours) in [
        ("2026-03-29T22:30:00Z", "2026-03-29", "2026-03-28T23:30:00Z", "2026-03-28T22:30:00Z"),
        ("2026-03-30T00:30:00Z", "2026-03-29", "2026-03-29T01:00:00Z", "2026-03-29T00:30:00Z"),
        ("2026-10-25T22:30:00Z", "2026-10-24", "2026-10-24T21:30:00Z", "2026-10-24T22:30:00Z"),
        ("2026-10-25T23:30:00Z", "2026-10-25", "2026-10-24T22:30:00Z", "2026-10-24T23:30:00Z"),
    ] {
        assert_eq!(rendered(&yesterday, tick, "Europe/Berlin"), json!(day), "{tick}");
        assert_eq!(rendered(&same_time, tick, "Europe/Berlin"), json!(wall), "{tick}");
        assert_eq!(rendered(&a_day, tick, "Europe/Berlin"), json!(hours), "{tick}");
    }
    // The hour before the second two o'clock is the first one.
    let hour = json!({"$tick": "hour", "minus": "PT1H"});
    assert_eq!(rendered(&hour, "2026-10-25T01:30:00Z", "Europe/Berlin"), json!("2026-10-25T02"));
    // Samoa left 30 December 2011 out; the calendar has it all the same.
    assert_eq!(rendered(&yesterday, "2011-12-30T12:00:00Z", "Pacific/Apia"), json!("2011-12-30"));
}

const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Pacific/Auckland",
];

/// Ticks whose yesterday, by this template, is not the one before their own date, over ten years of a schedule at half past midnight.
fn wrong_yesterdays(template: &Value, zone: &str) -> usize {
    let timing = Timing::cron("30 0 * * *", zone).expect("times");
    let other = TimeZone::get(zone).expect("the zone");
    let parsed: Zone = zone.parse().expect("the zone");
    let (from, until) = (at("2020-01-01T00:00:00Z"), at("2030-01-01T00:00:00Z"));
    let window = runtime_core::schedule::Window { start: None, end: Some(until) };
    let ticks: Vec<Timestamp> = timing.ticks(from, &window).collect();
    assert!((3_651..=3_654).contains(&ticks.len()), "{zone}: {}", ticks.len());
    let wrong = |tick: &&Timestamp| {
        let expected = tick.to_zoned(other.clone()).date().checked_sub(1.day()).expect("a date");
        render_input(template, **tick, &parsed) != Ok(json!(expected.to_string()))
    };
    ticks.iter().filter(wrong).count()
}

#[test]
fn every_day_of_ten_years_has_its_yesterday_in_every_zone() {
    let yesterday = json!({"$tick": "date", "minus": "P1D"});
    for zone in ZONES {
        assert_eq!(wrong_yesterdays(&yesterday, zone), 0, "{zone}");
    }
}

#[test]
fn yesterday_as_24_hours_ago_is_found_out() {
    let a_day_ago = json!({"$tick": "date", "minus": "PT24H"});
    let wrong: usize = ZONES.iter().map(|zone| wrong_yesterdays(&a_day_ago, zone)).sum();
    assert!(wrong >= 20, "each day after a day of 23 hours: {wrong}");
}

#[test]
fn what_is_no_placeholder_is_refused_by_its_place() {
    let zone = Zone::default();
    let cases = [
        (json!({"a": {"$tock": "date"}}), "input/a: unknown $tock: there are $tick and $literal"),
        (json!({"a/b": [{"$tick": "day"}]}), "input/a~1b/0: unknown $tick \"day\": there are date, "),
        (json!({"$tick": 1}), "input: $tick is a text"),
        (json!({"$tick": "date", "sub": "P1D"}), "input: unknown sub beside $tick"),
        (json!({"$tick": "date", "minus": "1 day"}), "input: \"1 day\" is no ISO 8601 duration"),
        (json!({"$tick": "date", "minus": "P1D", "plus": "P1D"}), "input: minus and plus exclude each other"),
        (json!({"$tick": "date", "minus": "-P1D"}), "is no ISO 8601 duration"),
        (json!({"$tick": "date", "zone": "Moon/Base"}), "input: unknown time zone \"Moon/Base\""),
        (
            json!({"$tick": "date", "plus": "P9000Y"}),
            "input: the time that it stands for is beyond the calendar",
        ),
        (json!({"$literal": 1, "x": 2}), "input: $literal stands alone"),
    ];
    for (template, expected) in cases {
        let Misfits(misfits) = render_input(&template, at("2026-11-21T23:30:00Z"), &zone).unwrap_err();
        assert_eq!(misfits.len(), 1);
        assert!(misfits[0].to_string().contains(expected), "{template}: {}", misfits[0]);
    }
    let both = json!({"a": {"$tick": "day"}, "b": {"$tock": 1}});
    let all = render_input(&both, at("2026-11-21T23:30:00Z"), &zone).unwrap_err();
    assert_eq!(all.0.len(), 2, "all at once: {all}");
}

#[test]
fn a_placeholder_is_written_by_code_as_by_hand() {
    let by_code = json!([
        FromTick::date().minus("P1D").zone("Europe/Berlin"),
        FromTick::week(),
        FromTick::month().plus("P1M"),
        FromTick::hour(),
        FromTick::instant(),
    ]);
    let by_hand = json!([
        {"$tick": "date", "minus": "P1D", "zone": "Europe/Berlin"},
        {"$tick": "week"},
        {"$tick": "month", "plus": "P1M"},
        {"$tick": "hour"},
        {"$tick": "instant"},
    ]);
    assert_eq!(by_code, by_hand);
}

#[test]
fn the_schedules_own_zone_counts_unless_another_is_named() {
    let route = serde_json::from_value(json!({"app": "shop", "queue": "settle", "handler": "settle"}));
    let timing = Timing::cron("0 0 * * *", "Pacific/Auckland").expect("times");
    let input = json!([{"$tick": "date"}, {"$tick": "date", "zone": "UTC"}]);
    let spec = ScheduleSpec::new("nightly".parse().expect("a name"), route.expect("a route"), input, timing);
    assert_eq!(spec.input_at(at("2026-11-20T11:00:00Z")), Ok(json!(["2026-11-21", "2026-11-20"])));
}
