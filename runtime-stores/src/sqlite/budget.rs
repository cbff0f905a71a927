//! How far a look goes that somebody waits for: so many tasks, and so long.

use std::time::{Duration, Instant};

/// How long a look goes on. Whoever asks waits two or three times as long where the processors are busy.
pub(super) const LOOK_FOR: Duration = Duration::from_millis(15);

/// So many it sees in any case: as many as the largest page holds, so that a page of tasks that all fit is never short.
const IN_ANY_CASE: u64 = 1_000;

/// The clock is read before one in so many.
const CLOCK_EVERY: u64 = 32;

/// Entries that an index is only counted over cost so much less than tasks that are looked at.
const ENTRIES_FOR_ONE: u64 = 10;

/// What a look may still look at.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    seen: u64,
    /// Since the clock was read.
    unchecked: u64,
    /// `None`: it goes on to the end.
    until: Option<Instant>,
}

impl Budget {
    /// So many tasks, for [`LOOK_FOR`]; [`u64::MAX`]: to the end.
    pub(super) fn of(tasks: u64) -> Self {
        let bounded = tasks < u64::MAX;
        Self { left: tasks, seen: 0, unchecked: 0, until: bounded.then(|| Instant::now() + LOOK_FOR) }
    }

    /// Without an end.
    pub(super) fn endless() -> Self {
        Self::of(u64::MAX)
    }

    /// Whether one more may be looked at; that it is.
    pub(super) fn take(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        if self.seen >= IN_ANY_CASE && self.unchecked >= CLOCK_EVERY {
            if self.is_over() {
                self.left = 0;
                return false;
            }
            self.unchecked = 0;
        }
        self.left -= 1;
        self.seen += 1;
        self.unchecked += 1;
        true
    }

    /// As many, to the same end.
    pub(super) fn again(&self) -> Self {
        Self { ..*self }
    }

    /// As many, in half of the time that is left.
    pub(super) fn half_as_long(&self) -> Self {
        Self { until: self.share(2).until, ..*self }
    }

    /// A part of what is left, in tasks and in time, for the first of so many who share it. A few each of them sees, however late it is.
    pub(super) fn share(&self, sharers: usize) -> Self {
        let now = Instant::now();
        let sharers = u32::try_from(sharers.max(1)).unwrap_or(u32::MAX);
        let until = self.until.map(|until| now + until.saturating_duration_since(now) / sharers);
        Self { left: self.part(sharers), seen: self.seen, unchecked: 0, until }
    }

    fn part(&self, sharers: u32) -> u64 {
        if self.until.is_none() { self.left } else { self.left.div_ceil(sharers.into()) }
    }

    /// What is left of a share goes back.
    pub(super) fn spent(&mut self, share: &Self) {
        let spent = share.seen - self.seen;
        self.left = self.left.saturating_sub(spent);
        self.seen = share.seen;
    }

    /// Index entries that may be counted in place of the tasks that are left.
    pub(super) fn entries(&self) -> u64 {
        if self.until.is_some() && self.is_over() {
            ENTRIES_FOR_ONE
        } else {
            self.left.saturating_mul(ENTRIES_FOR_ONE)
        }
    }

    /// So many entries were counted.
    pub(super) fn counted(&mut self, entries: u64) {
        self.left = self.left.saturating_sub(entries / ENTRIES_FOR_ONE);
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(budget: &mut Budget) -> u64 {
        let mut seen = 0;
        while budget.take() {
            seen += 1;
        }
        seen
    }

    #[test]
    fn a_look_sees_as_many_as_it_may() {
        assert_eq!(seen(&mut Budget::of(7)), 7);
        assert_eq!(seen(&mut Budget::of(0)), 0);
        assert!(Budget::endless().until.is_none());
    }

    #[test]
    fn when_its_time_is_over_it_ends_but_not_before_a_page_could_be_full() {
        let mut late = Budget { until: Some(Instant::now()), ..Budget::of(1_000_000) };
        assert_eq!(seen(&mut late), IN_ANY_CASE);
        assert!(!late.take(), "and it stays so");
        assert_eq!(seen(&mut Budget { until: None, ..Budget::of(5_000) }), 5_000, "the control");
    }

    #[test]
    fn half_as_long_is_as_many_and_ends_sooner() {
        let whole = Budget { until: Some(Instant::now() + Duration::from_secs(3_600)), ..Budget::of(90) };
        let half = whole.half_as_long();
        assert!(half.until < whole.until);
        assert_eq!((half.left, whole.again().left, whole.again().until), (90, 90, whole.until));
        assert_eq!(Budget::endless().half_as_long().until, None);
    }

    #[test]
    fn a_share_is_a_part_and_what_is_not_spent_goes_back() {
        let mut whole = Budget { until: None, ..Budget::of(90) };
        whole.until = Some(Instant::now() + Duration::from_secs(3_600));
        let mut share = whole.share(3);
        assert!(share.until < whole.until);
        assert_eq!((share.left, share.entries()), (30, 300));
        assert!((0..10).all(|_| share.take()));
        whole.spent(&share);
        assert_eq!((whole.left, whole.share(2).left), (80, 40));
        whole.counted(100);
        assert_eq!(whole.left, 70);
        assert_eq!(Budget::endless().share(9).left, u64::MAX, "without an end there is nothing to share");
    }
}
