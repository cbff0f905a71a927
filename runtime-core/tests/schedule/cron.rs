//! Cron expressions: what they say, what they refuse, and each next time against a walk over every minute.

use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::sample::subsequence;
use runtime_core::schedule::{Cron, InvalidSchedule, Timing, Window, Zone};

use crate::at;

const ALWAYS: Window = Window { start: None, end: None };

fn next(expression: &str, after: &str) -> String {
    let timing = Timing::cron(expression, "UTC").expect(expression);
    timing.next_after(at(after), &ALWAYS).expect("a next time").to_string()
}

#[test]
fn the_next_time_follows_the_table() {
    // 2026-01-01 is a Thursday.
    for (expression, after, expected) in [
        ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
        ("* * * * *", "2026-01-01T00:00:59.999Z", "2026-01-01T00:01:00Z"),
        ("* * * * * *", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:01Z"),
        ("30 15 4 * * *", "2026-01-01T00:00:00Z", "2026-01-01T04:15:30Z"),
        ("*/15 * * * *", "2026-01-01T00:50:00Z", "2026-01-01T01:00:00Z"),
        ("5/25 * * * *", "2026-01-01T00:31:00Z", "2026-01-01T00:55:00Z"),
        ("10-20/5,40 * * * *", "2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z"),
        ("0 22,6 * * *", "2026-01-01T07:00:00Z", "2026-01-01T22:00:00Z"),
        ("0 0 1 * *", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("0 0 L * *", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"),
        ("0 0 L,15 2 ?", "2028-02-16T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 9 ? jan mon-fri", "2026-01-02T09:00:00Z", "2026-01-05T09:00:00Z"),
        ("0 9 * * FRI-SUN", "2026-01-01T09:00:00Z", "2026-01-02T09:00:00Z"),
        ("0 9 * * 5-7", "2026-01-03T09:00:00Z", "2026-01-04T09:00:00Z"),
        ("0 9 * * 7", "2026-01-01T09:00:00Z", "2026-01-04T09:00:00Z"),
        ("0 9 * * */3", "2026-01-01T09:00:00Z", "2026-01-03T09:00:00Z"),
        ("0 9 * * TUE#2", "2026-01-01T00:00:00Z", "2026-01-13T09:00:00Z"),
        ("0 9 * * 4#5", "2026-01-01T09:00:00Z", "2026-01-29T09:00:00Z"),
        ("0 9 * * FRIL", "2026-01-01T00:00:00Z", "2026-01-30T09:00:00Z"),
        ("0 0 13 * FRI", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"),
        ("0 0 13 * FRI", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("0 0 */2 * FRI", "2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"),
        ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        ("@daily", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("@midnight", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("@Monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("@annually", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("59 23 31 12 *", "1969-12-31T23:58:30.5Z", "1969-12-31T23:59:00Z"),
        ("* * * * * *", "1969-12-31T23:58:30.5Z", "1969-12-31T23:58:31Z"),
    ] {
        assert_eq!(next(expression, after), expected, "{expression} after {after}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    for (expression, expected) in [
        ("60 * * * *", "minute \"60\": 60 is not from 0 to 59"),
        ("* 5,26 * * *", "hour \"26\": 26 is not from 0 to 23"),
        ("* * 0 * *", "day of month \"0\": 0 is not from 1 to 31"),
        ("* * * 13 *", "month \"13\": 13 is not from 1 to 12"),
        ("* * * * 8", "day of week \"8\": 8 is not from 0 to 7"),
        ("61 * * * * *", "second \"61\": 61 is not from 0 to 59"),
        ("* * * * FRY", "day of week \"FRY\": \"FRY\" is no value of this field"),
        ("* * 15W * *", "day of month \"15W\": \"15W\" is no value of this field"),
        ("? * * * *", "minute \"?\": \"?\" is no value of this field"),
        ("5, * * * *", "minute \"\": a value is missing"),
        ("5- * * * *", "minute \"5-\": a value is missing"),
        ("-5 * * * *", "minute \"-5\": a value is missing"),
        ("+5 * * * *", "minute \"+5\": \"+5\" is no value of this field"),
        ("* 22-2 * * *", "hour \"22-2\": the range runs backwards; write it as two"),
        ("*/0 * * * *", "minute \"*/0\": the step \"0\" is not from 1 to 60"),
        ("*/90 * * * *", "minute \"*/90\": the step \"90\" is not from 1 to 60"),
        ("*/x * * * *", "minute \"*/X\": the step \"X\" is not from 1 to 60"),
        (
            "99999999999999999999 * * * *",
            "minute \"99999999999999999999\": 99999999999999999999 is not from 0 to 59",
        ),
        ("* * * * MON#6", "day of week \"MON#6\": a month has no weekday number \"6\": 1 to 5"),
        ("* * 30 2 *", "\"* * 30 2 *\" never comes: no date fits"),
        ("* * 31 4,6,9,11 *", "\"* * 31 4,6,9,11 *\" never comes: no date fits"),
        ("* * */31 * MON#2", "\"* * */31 * MON#2\" never comes: no date fits"),
        (
            "* * * *",
            "4 fields in \"* * * *\": five are expected (minute, hour, day of month, month, day of week), \
             or six with the second first",
        ),
        (
            "@reboot",
            "unknown name \"@reboot\": there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly",
        ),
    ] {
        assert_eq!(expression.parse::<Cron>().expect_err(expression).to_string(), expected);
    }
    for fields in ["", "* * * * * * *", "@daily @daily"] {
        assert!(fields.parse::<Cron>().is_err(), "{fields:?}");
    }
}

#[test]
fn a_date_that_comes_rarely_is_not_refused() {
    for rare in ["0 0 29 2 *", "0 0 * 2 SUN#5", "0 0 31 2 MON", "0 0 */31 2 WED#1"] {
        assert!(rare.parse::<Cron>().is_ok(), "{rare}");
    }
}

#[test]
fn an_expression_is_written_as_it_was_read() {
    let cron: Cron = "  */5   8-18 *  * mon-fri ".parse().expect("an expression");
    assert_eq!(cron.to_string(), "*/5 8-18 * * MON-FRI");
    assert_eq!(cron.to_string().parse(), Ok(cron));
    let timing = Timing::cron("@daily", "europe/berlin").expect("a timing");
    let json = r#"{"kind":"cron","expression":"@DAILY","zone":"Europe/Berlin"}"#;
    assert_eq!(serde_json::to_string(&timing).expect("JSON"), json);
    assert_eq!(serde_json::from_str::<Timing>(json).expect("the timing"), timing);
    assert!(serde_json::from_str::<Timing>(r#"{"kind":"every","interval_secs":0}"#).is_err());
}

#[test]
fn a_zone_is_found_without_the_systems_database() {
    assert_eq!("europe/BERLIN".parse::<Zone>().expect("a zone").name(), "Europe/Berlin");
    assert_eq!(Zone::default().name(), "UTC");
    assert_eq!("UTC".parse::<Zone>().expect("a zone"), Zone::default());
    for unknown in ["", "Mars/Olympus", "Etc/Unknown", "../UTC"] {
        assert!(unknown.parse::<Zone>().is_err(), "{unknown:?}");
    }
}

#[test]
fn an_interval_is_counted_from_its_start_and_never_drifts() {
    let every = Timing::every(Duration::from_secs(5_400)).expect("an interval");
    let window = Window { start: Some(at("2026-03-29T00:10:00.25Z")), end: Some(at("2026-03-29T04:40:01Z")) };
    let ticks = every.preview(at("2020-01-01T00:00:00Z"), &window, 10);
    let expected = ["00:10:01", "01:40:01", "03:10:01"].map(|time| at(&format!("2026-03-29T{time}Z")));
    assert_eq!(ticks, expected, "the end is no tick");
    assert_eq!(every.next_after(at("2026-03-29T01:40:00.9Z"), &window), Some(expected[1]));
    assert_eq!(every.next_after(at("1969-12-31T23:59:59Z"), &ALWAYS), Some(at("1970-01-01T00:00:00Z")));
    assert_eq!(every.next_after(at("1969-12-31T22:29:59.5Z"), &ALWAYS), Some(at("1969-12-31T22:30:00Z")));
    for wrong in [Duration::ZERO, Duration::from_millis(1_500), Duration::MAX] {
        assert!(Timing::every(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_period_has_its_first_moment_and_not_its_last() {
    let hourly = Timing::cron("@hourly", "UTC").expect("a timing");
    let (from, until) = (at("2026-01-01T05:00:00Z"), at("2026-01-01T08:00:00Z"));
    let ticks: Vec<String> = hourly.period(from, until, &ALWAYS).map(|tick| tick.to_string()).collect();
    assert_eq!(ticks, ["2026-01-01T05:00:00Z", "2026-01-01T06:00:00Z", "2026-01-01T07:00:00Z"]);
    let ended = Window { start: Some(at("2026-01-01T05:30:00Z")), end: Some(at("2026-01-01T07:00:00Z")) };
    assert_eq!(hourly.period(from, until, &ended).count(), 1);
}

#[test]
fn the_end_of_time_is_an_end() {
    let minutely = Timing::cron("* * * * *", "Pacific/Apia").expect("a timing");
    let daily = Timing::cron("@daily", "Europe/Berlin").expect("a timing");
    let every = Timing::every(Duration::from_secs(u32::MAX.into())).expect("an interval");
    for timing in [minutely, daily, every] {
        assert_eq!(timing.next_after(Timestamp::MAX, &ALWAYS), None);
        assert!(timing.next_after(Timestamp::MIN, &ALWAYS).is_some());
    }
}

/// Some of the values, as a list; or all, as `*`.
fn field(values: std::ops::RangeInclusive<i8>) -> impl Strategy<Value = (String, Vec<i8>)> {
    let all: Vec<i8> = values.collect();
    let some = subsequence(all.clone(), 1..=all.len().min(6));
    let text = |set: &[i8]| set.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
    prop_oneof![some.prop_map(move |set| (text(&set), set)), Just(("*".to_owned(), all))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_minute_between_two_ticks_fits(
        (minutes, hours) in (field(0..=59), field(0..=23)),
        (days, months, weekdays) in (field(1..=31), field(1..=12), field(0..=6)),
        start in 1_400_000_000_i64..1_900_000_000,
    ) {
        let text = format!("{} {} {} {} {}", minutes.0, hours.0, days.0, months.0, weekdays.0);
        let timing = match Timing::cron(&text, "UTC") {
            Ok(timing) => timing,
            Err(never) => {
                prop_assert_eq!(never, InvalidSchedule::Never(text));
                prop_assert!(days.1.iter().all(|day| *day > 29) && weekdays.0 == "*");
                return Ok(());
            }
        };
        let both = days.0 == "*" || weekdays.0 == "*";
        let fits = |at: Timestamp| {
            let wall = at.to_zoned(jiff::tz::TimeZone::UTC);
            let day = days.1.contains(&wall.day());
            let weekday = weekdays.1.contains(&wall.weekday().to_sunday_zero_offset());
            wall.second() == 0
                && minutes.1.contains(&wall.minute())
                && hours.1.contains(&wall.hour())
                && months.1.contains(&wall.month())
                && if both { day && weekday } else { day || weekday }
        };
        let after = Timestamp::from_second(start).unwrap();
        let first = timing.next_after(after, &ALWAYS).unwrap();
        prop_assert!(first > after && fits(first), "{text}: {first}");
        let minute = Timestamp::from_second(start / 60 * 60 + 60).unwrap();
        let walk = std::iter::successors(Some(minute), |at| at.checked_add(1.minute()).ok());
        let found = walk.take(20_000).find(|at| fits(*at));
        prop_assert!(found.is_none_or(|found| found == first), "{text}: {first}, not {found:?}");
        prop_assert!(found.is_some() || first.as_second() - start > 19_000 * 60, "{text}: {first} was not found");
        prop_assert_eq!(timing.latest(after, first, &ALWAYS), Some(first));
    }

    #[test]
    fn the_latest_is_the_last_of_those_walked(
        expression in prop::sample::select(vec!["*/7 * * * *", "0 9 * * MON", "*/10 * 1 * * *", "0 0 29 2 *", "30 2 * * *"]),
        start in 1_400_000_000_i64..1_900_000_000,
        length in 0_i64..200_000,
    ) {
        let timing = Timing::cron(expression, "Europe/Berlin").unwrap();
        let (after, until) = (Timestamp::from_second(start).unwrap(), Timestamp::from_second(start + length).unwrap());
        let walked = timing.ticks(after, &ALWAYS).take_while(|tick| *tick <= until).last();
        prop_assert_eq!(timing.latest(after, until, &ALWAYS), walked);
    }
}
