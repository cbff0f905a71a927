//! The way of an unpaid membership, what a payment changes, and that the worker's visits do not matter.

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
        assert_eq!(moved.advance(&due, &terms, due.at), Ok(None), "the second time nothing is left to do");
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
