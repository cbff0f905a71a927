//! Every move of the clock in twelve zones over eleven years, against a second calculation that shares nothing with the
//! first: it walks through the world's time step by step, adds offsets that another program found, and watches the wall
//! clock's highest reading so far.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use runtime_core::schedule::{Timing, Window};

/// The moves of each zone: instant, offset before, offset after; all in seconds.
type Moves = BTreeMap<&'static str, Vec<[i64; 3]>>;

fn moves() -> Moves {
    let mut moves = Moves::new();
    for line in include_str!("moves.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split(' ');
        let zone = columns.next().expect("a zone");
        let mut number = || columns.next().and_then(|text| text.parse().ok()).expect("a number");
        moves.entry(zone).or_default().push([number(), number(), number()]);
    }
    moves
}

fn offset(moves: &[[i64; 3]], at: i64) -> i64 {
    let passed = moves.iter().rfind(|[moved, ..]| *moved <= at);
    passed.map_or_else(|| moves[0][1], |[_, _, after]| *after)
}

/// A reading of a wall clock.
struct Wall {
    day: i64,
    last_of_month: bool,
    last_week_of_month: bool,
    /// Sunday is 0.
    weekday: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Wall {
    /// From the seconds since 1970 that the clock shows. The days are counted from March, so that the odd day comes last.
    fn read(shown: i64) -> Self {
        let (days, second) = (shown.div_euclid(86_400), shown.rem_euclid(86_400));
        let day = day_of_month(days);
        Self {
            day,
            last_of_month: day_of_month(days + 1) == 1,
            last_week_of_month: day_of_month(days + 7) < day,
            weekday: (days + 4).rem_euclid(7),
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }
}

fn day_of_month(days: i64) -> i64 {
    let since_march_of_0 = days + 719_468;
    let day = since_march_of_0.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    day - (153 * month + 2) / 5 + 1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    AllDay,
    Appointment,
}

struct Case {
    expression: &'static str,
    rule: Rule,
    fits: fn(&Wall) -> bool,
}

/// Expressions in minutes, with what they mean in other words.
const MINUTES: &[Case] = &[
    case("* * * * *", Rule::AllDay, |_| true),
    case("*/15 * * * *", Rule::AllDay, |wall| wall.minute % 15 == 0),
    case("0 * * * *", Rule::AllDay, |wall| wall.minute == 0),
    case("7 0-23 * * *", Rule::AllDay, |wall| wall.minute == 7),
    case("30 */1 * * SUN", Rule::AllDay, |wall| wall.minute == 30 && wall.weekday == 0),
    case("0 0 * * *", Rule::Appointment, |wall| wall.hour == 0 && wall.minute == 0),
    case("30 0 * * *", Rule::Appointment, |wall| wall.hour == 0 && wall.minute == 30),
    case("15 1 * * *", Rule::Appointment, |wall| wall.hour == 1 && wall.minute == 15),
    case("30 2 * * *", Rule::Appointment, |wall| wall.hour == 2 && wall.minute == 30),
    case("0 3 * * *", Rule::Appointment, |wall| wall.hour == 3 && wall.minute == 0),
    case("45 23 * * *", Rule::Appointment, |wall| wall.hour == 23 && wall.minute == 45),
    case("* 1,2 * * *", Rule::Appointment, |wall| matches!(wall.hour, 1 | 2)),
    case("*/20 0-3 * * *", Rule::Appointment, |wall| wall.hour <= 3 && wall.minute % 20 == 0),
    case("0 */2 * * *", Rule::Appointment, |wall| wall.hour % 2 == 0 && wall.minute == 0),
    case("5 1-23 * * *", Rule::Appointment, |wall| wall.hour != 0 && wall.minute == 5),
    case("10 2 * * 6,7", Rule::Appointment, |wall| {
        matches!(wall.weekday, 0 | 6) && wall.hour == 2 && wall.minute == 10
    }),
    case("0 0 L * *", Rule::Appointment, |wall| wall.last_of_month && wall.hour == 0 && wall.minute == 0),
    case("0 2 1-7 * SUN", Rule::Appointment, |wall| {
        (wall.day <= 7 || wall.weekday == 0) && wall.hour == 2 && wall.minute == 0
    }),
    case("0 2 * * SUNL", Rule::Appointment, |wall| {
        wall.weekday == 0 && wall.last_week_of_month && wall.hour == 2 && wall.minute == 0
    }),
];

/// Expressions in seconds.
const SECONDS: &[Case] = &[
    case("*/20 30 * * * *", Rule::AllDay, |wall| wall.minute == 30 && wall.second % 20 == 0),
    case("*/30 59 0-3,23 * * *", Rule::Appointment, |wall| {
        (wall.hour <= 3 || wall.hour == 23) && wall.minute == 59 && wall.second % 30 == 0
    }),
];

const fn case(expression: &'static str, rule: Rule, fits: fn(&Wall) -> bool) -> Case {
    Case { expression, rule, fits }
}

/// The ticks of `[from, until)`, found by walking.
fn walked(
    moves: &[[i64; 3]],
    (from, until): (i64, i64),
    step: i64,
    rule: Rule,
    fits: fn(&Wall) -> bool,
) -> Vec<i64> {
    let mut highest = from - step + offset(moves, from - step);
    let mut ticks = Vec::new();
    for now in (from..until).step_by(usize::try_from(step).expect("a step forward")) {
        let shown = now + offset(moves, now);
        let fires = match rule {
            Rule::AllDay => fits(&Wall::read(shown)),
            // Whatever the clock has passed on its way here and never showed before.
            Rule::Appointment => {
                (1..=(shown - highest) / step).any(|steps| fits(&Wall::read(highest + steps * step)))
            }
        };
        highest = highest.max(shown);
        if fires {
            ticks.push(now);
        }
    }
    ticks
}

fn computed(expression: &str, zone: &str, (from, until): (i64, i64)) -> Vec<i64> {
    let timing = Timing::cron(expression, zone).expect(expression);
    let at = |second| Timestamp::from_second(second).expect("an instant");
    timing.period(at(from), at(until), &Window::default()).map(Timestamp::as_second).collect()
}

/// Ticks around a move on which the two calculations do not agree.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    around: (&'static str, i64),
    expression: &'static str,
    computed: Vec<i64>,
    walked: Vec<i64>,
}

/// Compares the two around each move, so many seconds before and after it, and says how often. `rule` chooses the rule to walk by.
fn differences<'c>(
    cases: impl IntoIterator<Item = &'c Case> + Clone,
    reach: i64,
    step: i64,
    rule: fn(Rule) -> Rule,
) -> (usize, Vec<Difference>) {
    let (mut compared, mut different) = (0, Vec::new());
    for (zone, moves) in moves() {
        for [moved, ..] in &moves {
            let period = (moved - reach, moved + reach);
            for Case { expression, rule: of_case, fits } in cases.clone() {
                let walked = walked(&moves, period, step, rule(*of_case), *fits);
                let computed = computed(expression, zone, period);
                compared += 1;
                if computed != walked {
                    different.push(Difference { around: (zone, *moved), expression, computed, walked });
                }
            }
        }
    }
    (compared, different)
}

#[test]
fn every_move_of_the_clock_is_as_another_calculation_has_it() {
    let (compared, different) = differences(MINUTES, 12 * 3_600, 60, |rule| rule);
    assert_eq!(different, []);
    assert_eq!(compared, 207 * MINUTES.len());
}

#[test]
fn every_move_of_the_clock_is_right_to_the_second() {
    let (_, different) = differences(SECONDS, 3 * 3_600, 1, |rule| rule);
    assert_eq!(different, []);
}

/// The control: by the other rule the second calculation must disagree, around most moves.
#[test]
fn by_the_other_rule_the_comparison_fails() {
    let swapped = |rule| if rule == Rule::AllDay { Rule::Appointment } else { Rule::AllDay };
    let back = moves().values().flatten().filter(|[_, before, after]| after < before).count();
    let (_, different) = differences(&MINUTES[1..2], 12 * 3_600, 60, swapped);
    assert_eq!(different.len(), back, "every move back repeats a quarter of an hour");
    let appointments: Vec<&Case> = MINUTES.iter().filter(|case| case.rule == Rule::Appointment).collect();
    let (_, different) = differences(appointments, 12 * 3_600, 60, swapped);
    let noticed: BTreeSet<(&str, i64)> = different.iter().map(|difference| difference.around).collect();
    assert_eq!(noticed.len(), 207, "every move leaves out or repeats some appointment");
}

#[test]
fn the_rules_in_one_zone_by_eye() {
    // Berlin: 02:00 to 03:00 is left out on 29 March 2026 (at 01:00 UTC) and comes twice on 25 October (from 00:00 UTC).
    let cases: [(&str, &str, &[&str]); 6] = [
        ("30 2 * * *", "2026-03-29", &["2026-03-29T01:00:00Z"]),
        ("30 2 * * *", "2026-10-25", &["2026-10-25T00:30:00Z"]),
        ("*/20 2 * * *", "2026-03-29", &["2026-03-29T01:00:00Z"]),
        ("0 2,3 * * *", "2026-03-29", &["2026-03-29T01:00:00Z"]),
        (
            "0 * * * *",
            "2026-03-29",
            &["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"],
        ),
        (
            "0 * * * *",
            "2026-10-25",
            &["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"],
        ),
    ];
    for (expression, day, expected) in cases {
        let timing = Timing::cron(expression, "Europe/Berlin").expect(expression);
        let (from, until) = (crate::at(&format!("{day}T00:00:00Z")), crate::at(&format!("{day}T02:30:00Z")));
        let ticks: Vec<String> =
            timing.period(from, until, &Window::default()).map(|tick| tick.to_string()).collect();
        assert_eq!(ticks, expected, "{expression} on {day}");
    }
}

#[test]
fn a_day_that_a_zone_left_out_is_made_up_for_once() {
    // Samoa went from 29 to 31 December 2011 at 10:00 UTC: both midnights are the same instant.
    let midnight = Timing::cron("0 0 * * *", "Pacific/Apia").expect("a timing");
    let ticks = midnight.preview(crate::at("2011-12-29T00:00:00Z"), &Window::default(), 3);
    let expected = ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"].map(crate::at);
    assert_eq!(ticks, expected);
    let on_the_30th = Timing::cron("0 15 30 12 *", "Pacific/Apia").expect("a timing");
    let tick = on_the_30th.next_after(crate::at("2011-12-29T00:00:00Z"), &Window::default());
    assert_eq!(tick, Some(crate::at("2011-12-30T10:00:00Z")));
}
