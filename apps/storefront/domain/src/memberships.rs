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
mod tests;
