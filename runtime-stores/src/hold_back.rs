//! When new leases wait so that a suspect can run alone.
//!
//! A suspect that may only run alone is granted when its instance holds nothing else, and nothing is granted beside it. So that it
//! comes to run under steady load, asking for its queue while others are held holds back every new lease of the instance, for one
//! lease duration at most; if leases are still held then, others go on for three lease durations before the next try. No queue
//! therefore waits for ever: not the suspect's, and not the others'.

/// The rule, in milliseconds of the store's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HoldBack {
    until: i64,
    rest_until: i64,
}

impl HoldBack {
    /// A suspect was asked for and could not be granted.
    pub(crate) fn begin(&mut self, now: i64, lease_for: i64) {
        if now >= self.rest_until {
            self.until = now.saturating_add(lease_for);
            self.rest_until = self.until.saturating_add(lease_for.saturating_mul(3));
        }
    }

    /// Whether new leases wait.
    pub(crate) fn is_on(self, now: i64) -> bool {
        now < self.until
    }

    /// Whether it ended by itself since this was asked last.
    pub(crate) fn ran_out(&mut self, now: i64) -> bool {
        let ran_out = self.until != 0 && now >= self.until;
        if ran_out {
            self.until = 0;
        }
        ran_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_held_back_no_longer_than_one_lease_and_then_go_on_for_three() {
        let mut hold_back = HoldBack::default();
        hold_back.begin(1_000, 100);
        assert!(hold_back.is_on(1_099) && !hold_back.is_on(1_100));
        hold_back.begin(1_200, 100);
        assert!(!hold_back.is_on(1_200), "the rest is not over");
        assert!(hold_back.ran_out(1_200) && !hold_back.ran_out(1_200), "noticed once");
        hold_back.begin(1_400, 100);
        assert!(hold_back.is_on(1_499));
    }
}
