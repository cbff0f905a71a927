//! Mails over which a session broke, so that one that the server cannot give does not keep the others waiting for ever.
//!
//! Whoever was being fetched when the session broke is a suspect, and is fetched alone from then on: mostly the line was to
//! blame, and that clears it. A mail that breaks sessions alone is held back for a while, longer each time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a mail may fail, once in its batch and once alone, before it is held back.
const FREE_FAILURES: u32 = 2;

/// How long a mail is held back; doubled with each failure.
const FIRST_HOLD: Duration = Duration::from_secs(15);
const LONGEST_HOLD: Duration = Duration::from_hours(1);

/// The suspects of one folder under one UIDVALIDITY. They outlive the session; clones are the same.
#[derive(Clone, Default)]
pub(super) struct Suspects(Arc<Mutex<BTreeMap<u32, Suspect>>>);

#[derive(Clone, Copy)]
struct Suspect {
    failures: u32,
    /// Not to be fetched before.
    again_at: Instant,
}

impl Suspects {
    fn all(&self) -> MutexGuard<'_, BTreeMap<u32, Suspect>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These mails are about to be fetched. Until they are [cleared](Self::clear), that counts as a failure.
    pub(super) fn accuse(&self, uids: &[u32], now: Instant) {
        let mut all = self.all();
        for uid in uids {
            let suspect = all.entry(*uid).or_insert(Suspect { failures: 0, again_at: now });
            suspect.failures += 1;
            suspect.again_at = now + hold(suspect.failures);
        }
    }

    /// These mails were fetched, or are gone.
    pub(super) fn clear(&self, uids: &[u32]) {
        self.all().retain(|uid, _| !uids.contains(uid));
    }

    /// Whether a mail is to be fetched alone, if at all.
    pub(super) fn include(&self, uid: u32) -> bool {
        self.all().contains_key(&uid)
    }

    /// Suspects that may be fetched now.
    pub(super) fn due(&self, now: Instant) -> Vec<u32> {
        self.all().iter().filter(|(_, suspect)| suspect.again_at <= now).map(|(uid, _)| *uid).collect()
    }

    /// Suspects that may not be fetched now.
    pub(super) fn held_back(&self, now: Instant) -> Vec<u32> {
        self.all().iter().filter(|(_, suspect)| suspect.again_at > now).map(|(uid, _)| *uid).collect()
    }

    /// Forgets all: the folder gave its mails other names.
    pub(super) fn forget(&self) {
        self.all().clear();
    }
}

fn hold(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FAILURES + 1) {
        Some(doublings) => FIRST_HOLD.saturating_mul(1 << doublings.min(10)).min(LONGEST_HOLD),
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_failed_is_tried_one_by_one_and_a_mail_that_failed_alone_is_held_back() {
        let (suspects, now) = (Suspects::default(), Instant::now());
        suspects.accuse(&[1, 2, 3], now);
        assert_eq!(suspects.due(now), [1, 2, 3]);
        suspects.accuse(&[1], now);
        suspects.clear(&[1]);
        suspects.accuse(&[2], now);
        assert_eq!(suspects.due(now), [2, 3], "the line may have been to blame twice");
        suspects.accuse(&[2], now);
        assert_eq!((suspects.due(now), suspects.held_back(now)), (vec![3], vec![2]));
        assert!(!suspects.include(1) && suspects.include(2));
        let later = now + FIRST_HOLD;
        assert_eq!(suspects.due(later), [2, 3]);
        suspects.forget();
        assert!(!suspects.include(2));
    }

    #[test]
    fn a_mail_is_held_back_longer_each_time_and_never_for_good() {
        let holds: Vec<_> = (1..=12).map(|failures| hold(failures).as_secs()).collect();
        assert_eq!(holds, [0, 0, 15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(hold(u32::MAX), LONGEST_HOLD);
    }
}
