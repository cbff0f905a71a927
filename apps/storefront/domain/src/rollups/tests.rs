//! The calendar of the cells, and that every way to them gives the recomputed truth.

use proptest::prelude::*;

use super::*;

fn berlin() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

fn fact(value: i64, at: &str, recorded_at: &str) -> Fact {
    let (at, recorded_at) = (at.parse().unwrap(), recorded_at.parse().unwrap());
    Fact { store: StoreId(42), metric: Metric::Revenue, value, at, recorded_at }
}

#[test]
fn the_day_of_25_hours_has_25_of_them() {
    // Each half hour of 25 October 2026 in Berlin, from 22:00 UTC of the day before.
    let start: Timestamp = "2026-10-24T22:00:00Z".parse().unwrap();
    let half_hours = (0..50).map(|n| start + jiff::SignedDuration::from_mins(30 * n));
    let facts: Vec<_> =
        half_hours.map(|at| Fact { at, ..fact(1, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z") }).collect();
    let all = Rollups::rebuild(&facts, &berlin());
    let hours = all.iter().filter(|(key, _)| matches!(key.bucket, Bucket::Hour { .. }));
    assert_eq!(hours.map(|(_, total)| total.count).collect::<Vec<_>>(), [2; 25]);
    let day = all.iter().find(|(key, _)| key.to_string() == "store:42/revenue/day:2026-10-25").unwrap();
    assert_eq!((day.1.count, day.1.sum), (50, 50));
    assert_eq!(all.iter().count(), 25 + 1 + 1);
}

#[test]
fn a_late_fact_dirties_its_own_hour_day_and_month() {
    // Midnight of 1 April in Berlin is 22:00 UTC of 31 March.
    let late = fact(5, "2026-03-31T21:59:59Z", "2026-04-05T00:00:00Z");
    assert!(late.is_late(&berlin()));
    assert!(!fact(5, "2026-03-31T21:00:00Z", "2026-03-31T21:59:59Z").is_late(&berlin()));
    let dirty: Vec<_> = dirty_buckets([&late], &berlin()).iter().map(RollupKey::to_string).collect();
    assert_eq!(
        dirty,
        [
            "store:42/revenue/hour:2026-03-31+23",
            "store:42/revenue/day:2026-03-31",
            "store:42/revenue/month:2026-03"
        ]
    );
}

#[test]
fn the_first_moment_after_an_hour_is_the_next_ones() {
    let moments = ["2026-03-10T12:00:00Z", "2026-03-10T12:59:59.999999999Z", "2026-03-10T13:00:00Z"];
    let facts = moments.map(|at| fact(1, at, at));
    let hour = |fact| RollupKey::of_fact(fact, &berlin()).next().unwrap();
    for (key, count) in [(hour(&facts[0]), 2), (hour(&facts[2]), 1)] {
        assert_eq!(recompute(key, &facts, &berlin()).unwrap().count, count, "{key}");
    }
}

fn any_fact() -> impl Strategy<Value = Fact> {
    // March to April 2026, over Berlin's change of clocks, up to ten days late.
    let second = 1_772_300_000i64..1_776_000_000;
    (1u64..3, 0usize..3, any::<i64>(), second, 0i64..864_000).prop_map(
        |(store, metric, value, second, late)| {
            let at = Timestamp::from_second(second).unwrap();
            let metric = [Metric::Revenue, Metric::Pieces, Metric::Refunded][metric];
            let recorded_at = at + jiff::SignedDuration::from_secs(late);
            Fact { store: StoreId(store), metric, value, at, recorded_at }
        },
    )
}

proptest! {
    #[test]
    fn every_way_gives_the_recomputed_truth(mut facts in prop::collection::vec(any_fact(), 0..40), cut in 0usize..40) {
        let zone = berlin();
        let rebuilt = Rollups::rebuild(&facts, &zone);
        for (key, total) in rebuilt.iter() {
            prop_assert_eq!(Some(*total), recompute(*key, &facts, &zone), "{}", key);
        }
        prop_assert_eq!(rebuilt.iter().map(|(key, _)| *key).collect::<BTreeSet<_>>(), dirty_buckets(&facts, &zone));
        // One by one, in the order in which they were recorded.
        facts.sort_by_key(|fact| fact.recorded_at);
        let mut added = Rollups::default();
        for fact in &facts {
            let changed = added.add(fact, &zone);
            prop_assert!(RollupKey::of_fact(fact, &zone).eq(changed));
        }
        prop_assert_eq!(&added, &rebuilt);
        // Rolled up early, then what came later makes cells dirty, and each is made again, twice.
        let cut = cut.min(facts.len());
        let mut mended = Rollups::rebuild(&facts[..cut], &zone);
        let dirty = dirty_buckets(&facts[cut..], &zone);
        for key in dirty.iter().chain(&dirty) {
            match key.bucket {
                Bucket::Hour { .. } => mended.put(*key, recompute(*key, &facts, &zone)),
                Bucket::Day { .. } | Bucket::Month { .. } => mended.refresh(*key),
            }
        }
        prop_assert_eq!(&mended, &rebuilt);
    }
}
