//! That the month is the same everywhere, that its rows make sense, and that every obligation finds work in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::memberships::MemberState;
use crate::period::PeriodKind;
use crate::recommendations::{CategoryModel, RecommendationRules};
use crate::settlements::SettlementTerms;

use super::*;

#[test]
fn the_dice_are_splitmix64() {
    // The published first numbers of seed 1234567.
    let mut dice = Dice(1_234_567);
    assert_eq!([dice.roll(), dice.roll()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
}

#[test]
fn the_same_seed_gives_the_same_month() {
    assert_eq!(Sample::month(7), Sample::month(7));
    assert!(Sample::month(7) != Sample::month(8));
}

#[test]
fn rows_have_unique_numbers_and_known_partners() {
    let sample = Sample::month(1);
    let SampleSize { products, customers, ratings, sales, holds, members, drafts } = SampleSize::default();
    assert_eq!(sample.products.len() as u64, products);
    assert_eq!(sample.customers.len() as u64, customers);
    assert_eq!(sample.ratings.len() as u64, ratings);
    assert_eq!(sample.holds.len() as u64, holds);
    assert_eq!(sample.members.len() as u64, members);
    assert_eq!(sample.drafts.iter().map(|draft| draft.id).collect::<BTreeSet<_>>().len() as u64, drafts);
    let by_id: BTreeMap<_, _> = sample.sales.iter().map(|sale| (sale.id, sale)).collect();
    assert_eq!(by_id.len() as u64, sales);
    let refunded: BTreeSet<_> = sample.refunds.iter().map(|refund| refund.sale).collect();
    assert_eq!(refunded.len(), sample.refunds.len(), "a sale is refunded once");
    for refund in &sample.refunds {
        let sale = by_id[&refund.sale];
        assert!(refund.amount.minor > 0 && refund.amount <= sale.amount && refund.store == sale.store);
        assert!(sale.recorded_at <= refund.at && refund.at <= refund.recorded_at);
    }
    assert!(sample.sales.is_sorted_by_key(|sale| sale.recorded_at));
    assert!(sample.categories().len() == CATEGORIES.len());
}

#[test]
fn every_obligation_finds_work() {
    let sample = Sample::month(1);
    for store in &sample.stores {
        let terms = SettlementTerms::of(store, PeriodKind::Week, SignedDuration::from_hours(6));
        let sales: Vec<_> = sample.sales.iter().filter(|sale| sale.store == store.id).collect();
        let refunds: Vec<_> = sample.refunds.iter().filter(|refund| refund.store == store.id).collect();
        let own = |at| crate::period::Period::containing(PeriodKind::Week, at, &store.zone);
        let late =
            refunds.iter().filter(|refund| terms.period_of(refund.at, refund.recorded_at) != own(refund.at));
        assert!(late.count() > 0, "a refund comes after its week was closed");
        assert!(terms.settle_all(sales, refunds).unwrap().len() >= 5);
    }
    for category in sample.categories() {
        let model = CategoryModel::rebuild(category, &sample.products, &sample.ratings);
        assert!(!model.lists(&RecommendationRules::default()).is_empty());
    }
    let terms = MembershipTerms::default();
    let ends = sample.starts + SignedDuration::from_mins(MINUTES as i64);
    let mut members: BTreeMap<_, _> =
        sample.members.iter().map(|member| (member.id, member.clone())).collect();
    for payment in &sample.payments {
        if let Ok(Some(paid)) = members[&payment.member].pay(payment, &terms) {
            members.insert(payment.member, paid);
        }
    }
    let states: BTreeSet<_> = members.values().map(|member| member.caught_up(&terms, ends).state).collect();
    let all = [MemberState::Active, MemberState::PastDue, MemberState::Suspended, MemberState::Cancelled];
    assert_eq!(states, BTreeSet::from(all));
}
