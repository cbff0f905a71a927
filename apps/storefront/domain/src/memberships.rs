//! A membership over the weeks: what becomes of it when nobody pays.
//!
//! ```text
//!            paid_until           + grace              + suspension
//!  active ───────▶ past due ──────────▶ suspended ──────────▶ cancelled
//!    ▲                │ pay: the time goes on   │ pay: a new cycle starts    (for good)
//!    └────────────────┴─────────────────────────┘
//! ```
//!
//! Every deadline follows from `paid_until`, so where a membership stands at a moment is a plain function of what was
//! paid. A worker that comes late, twice or out of order finds the same: a transition is named by member, what it does
//! and when it was due ([`Due::key`]), and one that a payment has overtaken changes nothing.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::truth::{CustomerId, MemberId, PaymentId};

/// The lengths of things. Days and weeks here are of 24 and 168 hours: a membership knows no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipTerms {
    /// What one payment pays for; more than nothing.
    pub cycle: SignedDuration,
    /// How long an unpaid member is served; not negative.
    pub grace: SignedDuration,
    /// How long an unserved member may come back; not negative.
    pub suspension: SignedDuration,
}

impl Default for MembershipTerms {
    /// Four weeks, two weeks of grace, four more until the end.
    fn default() -> Self {
        let weeks = |weeks: i64| SignedDuration::from_hours(weeks * 168);
        Self { cycle: weeks(4), grace: weeks(2), suspension: weeks(4) }
    }
}

/// Where a membership stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Paid.
    Active,
    /// Unpaid and still served.
    PastDue,
    /// Unpaid and no longer served.
    Suspended,
    /// Over, for good.
    Cancelled,
}

/// What the clock does to a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// From active to past due.
    FallDue,
    /// From past due to suspended.
    Suspend,
    /// From suspended to cancelled.
    End,
}

impl Transition {
    /// Its name in keys and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FallDue => "fall_due",
            Self::Suspend => "suspend",
            Self::End => "end",
        }
    }

    fn leads_to(self) -> MemberState {
        match self {
            Self::FallDue => MemberState::PastDue,
            Self::Suspend => MemberState::Suspended,
            Self::End => MemberState::Cancelled,
        }
    }
}

/// A transition at its moment: the durable input of whoever carries it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Due {
    /// Whose.
    pub member: MemberId,
    /// What.
    pub transition: Transition,
    /// From when on.
    pub at: Timestamp,
}

impl Due {
    /// Names this transition once and for all: `member:7/suspend/2026-03-15T00:00:00Z`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("member:{}/{}/{}", self.member, self.transition.name(), self.at)
    }
}

/// Somebody pays for cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Its number; unique.
    pub id: PaymentId,
    /// Who pays.
    pub member: MemberId,
    /// For how many cycles.
    pub cycles: u16,
    /// When it came.
    pub at: Timestamp,
}

/// A membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: MemberId,
    /// Whose it is.
    pub customer: CustomerId,
    /// Where it stands.
    pub state: MemberState,
    /// Since when it stands there: the moment it was due, not the one at which somebody noticed.
    pub since: Timestamp,
    /// Until when it is paid.
    pub paid_until: Timestamp,
    /// The payments that are in `paid_until`; one that comes again is not counted again.
    pub payments: BTreeSet<PaymentId>,
}

/// What was asked cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MembershipError {
    /// A transition before its time.
    #[error("not due before {at}")]
    NotDue {
        /// When it will be due.
        at: Timestamp,
    },
    /// A payment for a membership that was over when it came. The money is to be given back.
    #[error("the membership ended at {at}")]
    Ended {
        /// When it ended.
        at: Timestamp,
    },
    /// A transition or payment of somebody else.
    #[error("it is of member {other}")]
    OtherMember {
        /// Whose it is.
        other: MemberId,
    },
    /// The end would lie beyond the calendar.
    #[error("the time ends beyond the calendar")]
    TooLong,
}

impl Member {
    /// A membership that starts at `now` with one cycle given.
    ///
    /// # Errors
    /// [`MembershipError::TooLong`].
    pub fn join(
        id: MemberId,
        customer: CustomerId,
        now: Timestamp,
        terms: &MembershipTerms,
    ) -> Result<Self, MembershipError> {
        let paid_until = now.checked_add(terms.cycle).map_err(|_| MembershipError::TooLong)?;
        let payments = BTreeSet::new();
        Ok(Self { id, customer, state: MemberState::Active, since: now, paid_until, payments })
    }

    /// What the clock will do next; `None` for a membership that is over.
    #[must_use]
    pub fn next_due(&self, terms: &MembershipTerms) -> Option<Due> {
        let after = |length| self.paid_until.saturating_add(length).unwrap_or(Timestamp::MAX);
        let (transition, at) = match self.state {
            MemberState::Active => (Transition::FallDue, self.paid_until),
            MemberState::PastDue => (Transition::Suspend, after(terms.grace)),
            MemberState::Suspended => (Transition::End, after(terms.grace.saturating_add(terms.suspension))),
            MemberState::Cancelled => return None,
        };
        Some(Due { member: self.id, transition, at })
    }

    /// Carries a transition out; `None` when there is nothing to do, because it was done before or a payment has
    /// overtaken it. So doing it twice is doing it once.
    ///
    /// # Errors
    /// [`MembershipError::NotDue`] before its time, [`MembershipError::OtherMember`] for another one's.
    pub fn advance(
        &self,
        due: &Due,
        terms: &MembershipTerms,
        now: Timestamp,
    ) -> Result<Option<Self>, MembershipError> {
        if due.member != self.id {
            return Err(MembershipError::OtherMember { other: due.member });
        }
        if now < due.at {
            return Err(MembershipError::NotDue { at: due.at });
        }
        let moved = || Self { state: due.transition.leads_to(), since: due.at, ..self.clone() };
        Ok((self.next_due(terms) == Some(*due)).then(moved))
    }

    /// Where the membership stands at `now`, when everything due by then was done.
    #[must_use]
    pub fn caught_up(&self, terms: &MembershipTerms, now: Timestamp) -> Self {
        let mut member = self.clone();
        while let Some(due) = member.next_due(terms).filter(|due| due.at <= now) {
            member = Self { state: due.transition.leads_to(), since: due.at, ..member };
        }
        member
    }

    /// Takes a payment in. In grace, the unpaid time is paid first; from a suspension a new cycle starts with the
    /// payment. What counts is when the payment came, not whether somebody has noticed since that it was late. `None`
    /// when this payment was taken before.
    ///
    /// # Errors
    /// [`MembershipError::Ended`], [`MembershipError::OtherMember`] or [`MembershipError::TooLong`].
    pub fn pay(&self, payment: &Payment, terms: &MembershipTerms) -> Result<Option<Self>, MembershipError> {
        if payment.member != self.id {
            return Err(MembershipError::OtherMember { other: payment.member });
        }
        if self.payments.contains(&payment.id) {
            return Ok(None);
        }
        let mut member = self.caught_up(terms, payment.at);
        let paid_from = match member.state {
            MemberState::Active | MemberState::PastDue => member.paid_until,
            MemberState::Suspended => payment.at,
            MemberState::Cancelled => return Err(MembershipError::Ended { at: member.since }),
        };
        let length = terms.cycle.checked_mul(payment.cycles.into()).ok_or(MembershipError::TooLong)?;
        member.paid_until = paid_from.checked_add(length).map_err(|_| MembershipError::TooLong)?;
        member.payments.insert(payment.id);
        if member.state != MemberState::Active {
            // A grace longer than the cycle can leave it unpaid still: catching up says so.
            (member.state, member.since) = (MemberState::Active, payment.at);
            member = member.caught_up(terms, payment.at);
        }
        Ok(Some(member))
    }

    /// The member leaves. `None` when it is over already.
    #[must_use]
    pub fn leave(&self, terms: &MembershipTerms, now: Timestamp) -> Option<Self> {
        let member = self.caught_up(terms, now);
        let left = || Self { state: MemberState::Cancelled, since: now, ..member.clone() };
        (member.state != MemberState::Cancelled).then(left)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn week(week: i64) -> Timestamp {
        Timestamp::from_second(week * 604_800).unwrap()
    }

    fn member() -> Member {
        Member::join(MemberId(7), CustomerId(1), week(0), &MembershipTerms::default()).unwrap()
    }

    fn payment(id: u64, at: Timestamp) -> Payment {
        Payment { id: PaymentId(id), member: MemberId(7), cycles: 1, at }
    }

    #[test]
    fn an_unpaid_membership_goes_its_way_in_weeks() {
        let terms = MembershipTerms::default();
        let mut member = member();
        let mut seen = Vec::new();
        while let Some(due) = member.next_due(&terms) {
            let early = due.at - SignedDuration::from_secs(1);
            assert_eq!(member.advance(&due, &terms, early), Err(MembershipError::NotDue { at: due.at }));
            let moved = member.advance(&due, &terms, due.at).unwrap().expect("it is due");
            assert_eq!(
                moved.advance(&due, &terms, due.at),
                Ok(None),
                "the second time nothing is left to do"
            );
            assert!(moved.next_due(&terms) != member.next_due(&terms));
            seen.push((due.transition, due.at));
            member = moved;
        }
        assert_eq!(
            seen,
            [(Transition::FallDue, week(4)), (Transition::Suspend, week(6)), (Transition::End, week(10))]
        );
        assert_eq!((member.state, member.since), (MemberState::Cancelled, week(10)));
    }

    #[test]
    fn a_payment_restores_and_overtakes() {
        let terms = MembershipTerms::default();
        let late = member().caught_up(&terms, week(5));
        let suspend = late.next_due(&terms).unwrap();
        assert_eq!(suspend.key(), "member:7/suspend/1970-02-12T00:00:00Z");
        let paid = late.pay(&payment(1, week(5)), &terms).unwrap().unwrap();
        assert_eq!((paid.state, paid.since, paid.paid_until), (MemberState::Active, week(5), week(8)));
        assert_eq!(paid.advance(&suspend, &terms, week(6)), Ok(None), "the payment came first");
        assert_eq!(paid.pay(&payment(1, week(5)), &terms), Ok(None), "the same payment again");
        let suspended = member().caught_up(&terms, week(7));
        let back = suspended.pay(&payment(1, week(7)), &terms).unwrap().unwrap();
        assert_eq!(
            (back.state, back.paid_until),
            (MemberState::Active, week(11)),
            "a new cycle from the payment on"
        );
    }

    #[test]
    fn what_is_over_is_over() {
        let terms = MembershipTerms::default();
        assert_eq!(member().pay(&payment(1, week(10)), &terms), Err(MembershipError::Ended { at: week(10) }));
        let left = member().leave(&terms, week(1)).unwrap();
        assert_eq!((left.state, left.next_due(&terms)), (MemberState::Cancelled, None));
        assert_eq!(left.leave(&terms, week(2)), None);
        assert_eq!(left.pay(&payment(1, week(2)), &terms), Err(MembershipError::Ended { at: week(1) }));
        let other = Payment { member: MemberId(8), ..payment(1, week(1)) };
        assert_eq!(member().pay(&other, &terms), Err(MembershipError::OtherMember { other: MemberId(8) }));
    }

    #[test]
    fn one_cycle_may_not_be_enough_for_a_long_grace() {
        let terms = MembershipTerms { grace: SignedDuration::from_hours(10 * 168), ..Default::default() };
        let paid = member().pay(&payment(1, week(9)), &terms).unwrap().unwrap();
        assert_eq!((paid.state, paid.since, paid.paid_until), (MemberState::PastDue, week(8), week(8)));
    }

    proptest! {
        /// The worker comes when it comes, also twice, with old dues; in the end only payments have counted.
        #[test]
        fn where_it_stands_does_not_depend_on_the_worker(
            mut payments in prop::collection::vec(0i64..2_000, 0..8),
            visits in prop::collection::vec((0i64..2_000, any::<bool>()), 0..20),
        ) {
            let terms = MembershipTerms::default();
            let hour = |hour| Timestamp::from_second(hour * 3600).unwrap();
            payments.sort_unstable();
            let mut plain = member();
            let mut events: Vec<(i64, Option<u64>, bool)> = Vec::new();
            for (id, at) in payments.iter().enumerate() {
                events.push((*at, Some(id as u64), false));
                if let Ok(Some(paid)) = plain.pay(&payment(id as u64, hour(*at)), &terms) {
                    plain = paid;
                }
            }
            events.extend(visits.into_iter().map(|(at, twice)| (at, None, twice)));
            events.sort_by_key(|event| (event.0, event.1));
            let mut watched = member();
            let mut dues: Vec<Due> = Vec::new();
            for (at, pays, twice) in events {
                if let Some(id) = pays {
                    for _ in 0..2 {
                        if let Ok(Some(paid)) = watched.pay(&payment(id, hour(at)), &terms) {
                            watched = paid;
                        }
                    }
                    continue;
                }
                dues.extend(watched.next_due(&terms).filter(|due| !dues.contains(due)));
                for due in dues.iter().cycle().take(dues.len() * (1 + usize::from(twice))) {
                    if let Ok(Some(moved)) = watched.advance(due, &terms, hour(at)) {
                        watched = moved;
                    }
                }
            }
            let end = hour(3_000);
            prop_assert_eq!(watched.caught_up(&terms, end), plain.caught_up(&terms, end));
        }
    }
}
