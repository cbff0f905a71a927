//! Ranks, as a table and against the plain meaning of ageing.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use runtime_core::flow::rank;
use runtime_core::task::Priority;

use crate::at;

const STEP: Duration = Duration::from_secs(60);
const MINUTE: i64 = 60_000_000;

#[test]
fn a_better_priority_is_a_head_start_of_so_many_steps() {
    for (what, (first, p), (second, q), step) in [
        ("the older of equals", (0, 0), (1, 0), STEP),
        ("a better priority", (0, 0), (0, 1), STEP),
        ("one that is negative is better still", (0, -1), (0, 0), STEP),
        ("a better one that comes a little later", (MINUTE - 1, 0), (0, 1), STEP),
        ("a worse one that has waited longer than the head start", (0, 1), (MINUTE + 1, 0), STEP),
        ("three degrees are three steps", (0, 3), (3 * MINUTE + 1, 0), STEP),
        ("without a step the older", (0, 100), (1, -100), Duration::ZERO),
        ("with an endless step the better", (i64::from(u32::MAX), 0), (0, 1), Duration::MAX),
    ] {
        assert!(rank(at(first), Priority(p), step) < rank(at(second), Priority(q), step), "{what}");
    }
}

#[test]
fn the_ends_of_the_range_saturate() {
    assert_eq!(rank(Timestamp::MAX, Priority(i16::MAX), Duration::MAX), i64::MAX);
    assert_eq!(rank(Timestamp::MIN, Priority(i16::MIN), Duration::MAX), i64::MIN);
    assert_eq!(rank(at(7), Priority(0), Duration::MAX), at(7).as_microsecond());
}

proptest! {
    /// Priority aged by the time waited, as one would write it down, at any moment at which both wait.
    #[test]
    fn the_static_rank_orders_as_ageing_does_at_any_moment(
        (due_a, due_b) in (0..10_i64.pow(12), 0..10_i64.pow(12)),
        (a, b) in any::<(i16, i16)>(),
        step in 1..10_i64.pow(10),
        later in 0..10_i64.pow(12),
    ) {
        let now = due_a.max(due_b) + later;
        let aged = |due: i64, priority: i16| i128::from(priority) * i128::from(step) - i128::from(now - due);
        let of = |due, priority| rank(at(due), Priority(priority), Duration::from_micros(step.unsigned_abs()));
        prop_assert_eq!(of(due_a, a).cmp(&of(due_b, b)), aged(due_a, a).cmp(&aged(due_b, b)));
    }
}
